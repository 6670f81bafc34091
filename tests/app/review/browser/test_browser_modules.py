"""The page's pure modules, with numbers."""

import math

import pytest

CIRCLE = [
    [50 + 20 * math.sin(a), 60 + 30 * math.cos(a)] for a in (math.tau * i / 240 for i in range(240))
]


@pytest.fixture(scope="module")
def page(chromium, measured):
    """A page whose modules are used; nothing is saved."""
    from browsing import Person

    from app.review.serve import running
    from app.review.settings import Settings

    with running(Settings(folder=measured, prefetch=False)) as server:
        somebody = Person(chromium, server).enter()
        yield somebody
        somebody.leave()
    somebody.check()


def test_millimetres_of_two_points(page):
    def mm(*values):
        return page.module("geometry.js", "(m, a, b, s) => m.distanceMm(a, b, s)", *values)

    assert mm([0, 0], [3, 4], [1, 1]) == pytest.approx(5)
    assert mm([10, 10], [10, 30], [0.3, 0.1]) == pytest.approx(2)
    assert mm([10, 10], [30, 10], [0.3, 0.1]) == pytest.approx(6)


def test_layers_add_up_to_what_they_are_split_from(page):
    layers = page.module("geometry.js", "(m) => m.splitLayers([[0, 0], [40, 0]], 6, [0.2, 0.1])")
    assert layers == [[[0, 0], [15, 0]], [[25, 0], [40, 0]]]
    total = page.module("geometry.js", "(m, l) => m.sumMm(l, [0.2, 0.1])", layers)
    assert total == pytest.approx(6)
    assert page.module("geometry.js", "(m, l) => m.joinLayers(l)", layers) == [[0, 0], [40, 0]]


def test_what_of_a_line_lies_in_fluid(page):
    square = [[10, -5], [10, 5], [20, 5], [20, -5]]
    hole = [[12, -2], [12, 2], [14, 2], [14, -2]]

    def inside(*polygons):
        return page.module(
            "geometry.js", "(m, p) => m.insideMm([0, 0], [40, 0], p, [0.5, 9])", list(polygons)
        )

    assert inside() == 0
    assert inside(square) == pytest.approx(5)
    assert inside(square, hole) == pytest.approx(4)


def test_a_pulled_point_takes_its_neighbours_along(page):
    bent = page.module("geometry.js", "(m, c) => m.bend(c, 0, [5, 0], [0.1, 0.1], 1)", CIRCLE)
    moves = [b[0] - c[0] for b, c in zip(bent, CIRCLE, strict=True)]
    assert moves[0] == 5
    assert 2 < moves[3] < 5 and moves[3] == pytest.approx(moves[-3], rel=0.02)
    assert moves[120] == 0
    assert all(b[1] == pytest.approx(c[1]) for b, c in zip(bent, CIRCLE, strict=True))


def test_an_outline_survives_being_painted_on_elsewhere(page):
    area, away, islands = page.module(
        "field.js",
        """async (m, circle) => {
            const g = await import("/static/geometry.js");
            const field = m.rasterise([circle], [0, 0, 119, 159]);
            const [line] = m.outerContours(field);
            const off = line.map(([r, c]) => Math.hypot((r - 50) / 20, (c - 60) / 30) - 1);
            m.paint(field, [100, 130], [100, 130], 4, [1, 1]);
            const away = Math.max(...off.map(Math.abs));
            return [g.areaMm2(line, [1, 1]), away, m.outerContours(field).length];
        }""",
        CIRCLE,
    )
    assert area == pytest.approx(math.pi * 600, rel=0.002)
    assert away < 0.01
    assert islands == 2


@pytest.mark.parametrize("spacing", [[1, 1], [0.32, 0.2], [0.1, 0.16]])
def test_a_dab_of_the_brush_is_round_in_millimetres(page, spacing):
    area, high, wide = page.module(
        "field.js",
        """async (m, mm) => {
            const g = await import("/static/geometry.js");
            const field = m.emptyField([10, 20, 109, 149]);
            m.paint(field, [60, 80], [60, 80], 12 * mm[0], mm);
            const [line] = m.outerContours(field);
            const along = (k) => line.map((p) => p[k]);
            const span = (k) => Math.max(...along(k)) - Math.min(...along(k));
            return [g.areaMm2(line, mm), span(0) * mm[0], span(1) * mm[1]];
        }""",
        spacing,
    )
    radius = 12 * spacing[0]
    assert area == pytest.approx(math.pi * radius**2, rel=0.01)
    assert high == pytest.approx(2 * radius, rel=0.01) == wide


def test_screen_and_frame_are_inverse_and_pixels_square_in_millimetres(page):
    seen = page.module(
        "transform.js",
        """(m) => {
            const [box, mm] = [[100, 50, 299, 449], [0.32, 0.2]];
            const view = m.zoomAt(m.fit(box, mm, 800, 600), 2.5, 123, 77, 0.1);
            const there = m.toScreen([150.25, 60.5], view, box, mm);
            const down = m.toScreen([151.25, 60.5], view, box, mm);
            const right = m.toScreen([150.25, 61.5], view, box, mm);
            const corner = m.toScreen([99.5, 49.5], m.fit(box, mm, 800, 600), box, mm);
            const tall = (down.y - there.y) / (right.x - there.x);
            return [m.toFrame(there, view, box, mm), tall, corner];
        }""",
    )
    assert seen[0] == pytest.approx([150.25, 60.5])
    assert seen[1] == pytest.approx(1.6)
    # 400 x 320 square pixels in 800 x 600 less the margin of 16: the height decides.
    assert seen[2] == pytest.approx({"x": (800 - 400 * 568 / 320) / 2, "y": 16})


def test_the_point_under_the_wheel_stays(page):
    before, after = page.module(
        "transform.js",
        """(m) => {
            const [box, view] = [[0, 0, 99, 99], { scale: 3, x: 20, y: -30 }];
            const at = { x: 111, y: 222 };
            const views = [view, m.zoomAt(view, 1.7, at.x, at.y, 0.1)];
            return views.map((each) => m.toFrame(at, each, box, null));
        }""",
    )
    assert after == pytest.approx(before)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("5.9", 5.9), ("5,9", 5.9), (" 6 mm", 6), (",5", 0.5), ("7.", 7), ("1.234,5", None),
     ("", None), ("5 9", None), ("1e3", None), ("−2", -2)],
)  # fmt: skip
def test_typed_numbers_with_a_dot_or_a_comma(page, typed, meant):
    found = page.module("numbers.js", "(m, text) => m.parse(text)", typed)
    assert found == meant or (meant is None and math.isnan(found))


def test_numbers_as_languages_write_them(page):
    def shown(*values):
        return page.module(
            "numbers.js",
            "(m, v, limit, lang) => m.mm(v, limit, m.decimalMark(lang)).replace('\\u00a0', ' ')",
            *values,
        )

    assert shown(5.72, 6, "en-GB") == shown(5.72, 6, "zh-CN") == "5.7 mm"
    assert shown(5.72, 6, "de-DE") == "5,7 mm"
    # Rounding must not put a number on the other side of the threshold.
    assert shown(5.97, 6, "en") == "5.97 mm"
    assert shown(6.04, 6, "en") == "6.0 mm"
    assert shown(5.72, 6, "no such language") == "5.7 mm"


def test_undo_keeps_whole_gestures(page):
    frames = page.module(
        "edits.js",
        """(m) => {
            const e = new m.Edits({ frame: 1, calipers: null });
            const seen = [e.changed];
            e.live({ frame: 2 }); e.live({ frame: 3 }); e.commit();
            e.set({ frame: 4 });
            seen.push(e.now.frame, e.changed);
            e.undo(); seen.push(e.now.frame);
            e.undo(); seen.push(e.now.frame, e.changed, e.undo());
            e.redo(); e.redo(); seen.push(e.now.frame);
            e.undo(); e.set({ frame: 9 }); seen.push(e.redo());
            return seen;
        }""",
    )
    assert frames == [False, 4, True, 3, 1, False, False, 4, False]


def test_keys_mean_the_same_on_every_keyboard(page):
    def name(**event):
        return page.module("keys.js", "(m, event) => m.keyName(event)", event)

    assert name(key="a", code="KeyQ") == "A"  # what is written on the key counts
    assert name(key="ф", code="KeyA") == "A"  # another script: where the key is
    assert name(key="Process", code="KeyR") == "R"  # an input method is on
    assert name(key="z", code="KeyY", ctrlKey=True) == "Ctrl+Z"
    assert name(key="Z", code="KeyZ", ctrlKey=True, shiftKey=True) == "Ctrl+Shift+Z"
    assert name(key="c", code="KeyC", ctrlKey=True) == "Ctrl+C"
    assert name(key="[", code="Digit8", ctrlKey=True, altKey=True) == "["  # AltGr
    assert name(key=" ", code="Space") == "Space"
