"""Calipers, outlines and layers, drawn in a real browser."""

import json

import numpy as np
import pytest
from browsing import length
from typer.testing import CliRunner

from app.cli import app
from app.review.store import Review
from data.cases import read_cases
from data.raster import coverage
from inference.thickness import measure_thickness


def spacing_of(clip):
    return clip["row_mm"], clip["column_mm"]


@pytest.fixture
def oblong(ada):
    """Somebody before a clip with rows 1.6 times as coarse as columns."""
    return ada.clip("oblong.dcm")


def test_a_dragged_caliper_shows_the_millimetres_of_oblong_pixels(oblong):
    clip = oblong.here()
    row_mm, column_mm = spacing_of(clip)
    assert row_mm / column_mm == pytest.approx(1.6, abs=0.01)
    first, second = oblong.ends()
    # The picture is square in millimetres: what was measured tells how large one is on the screen.
    per_mm = length(first, second) / length(*clip["measurement"]["calipers"], (row_mm, column_mm))
    assert oblong.mm == round(clip["measurement"]["thickness_mm"], 1)
    for way in ((40, 0), (0, -30), (-25, 45)):
        start = oblong.ends()[0]
        oblong.drag(start, (start[0] + way[0], start[1] + way[1]))
        assert oblong.mm == pytest.approx(length(*oblong.ends()) / per_mm, abs=0.1)
    shown = oblong.mm
    assert oblong.page.inner_text("#call").startswith("Thin" if shown < 6 else "Not thin")
    with oblong.next_shown():
        oblong.press("c")
    saved = oblong.json(f"/api/clip/{clip['id']}")["review"]
    assert saved["action"] == "correct"
    assert saved["thickness_mm"] == pytest.approx(
        length(*saved["calipers"], (row_mm, column_mm)), abs=1e-6
    )
    assert round(saved["thickness_mm"], 1) == shown


def test_the_number_follows_before_the_hand_lets_go(oblong):
    start, mouse = oblong.high_and_low()[1], oblong.page.mouse
    before = oblong.mm
    mouse.move(*start)
    mouse.down()
    mouse.move(start[0], start[1] + 30, steps=3)
    assert oblong.mm > before
    assert oblong.page.is_visible("#loupe")
    mouse.up()
    assert not oblong.page.is_visible("#loupe")


def test_a_caliper_end_is_moved_by_keys_in_tenths_of_a_pixel(oblong):
    clip = oblong.here()
    (row, column), other = clip["measurement"]["calipers"]
    oblong.page.locator("#handles button").first.focus()
    oblong.press("ArrowUp", "ArrowUp", "Shift+ArrowLeft")
    calipers = oblong.draft()["work"]["calipers"]
    assert calipers[0] == pytest.approx([row - 0.2, column - 1.0], abs=1e-6)
    assert calipers[1] == other
    assert oblong.mm == pytest.approx(length(*calipers, spacing_of(clip)), abs=0.051)


def test_undo_and_redo_go_through_every_gesture(oblong):
    first = oblong.mm
    x, y = oblong.ends()[0]
    oblong.drag((x, y), (x, y - 20))
    second = oblong.mm
    x, y = oblong.ends()[0]
    oblong.drag((x, y), (x - 60, y - 20))
    third = oblong.mm
    assert len({first, second, third}) == 3
    seen = []
    for key in ("u", "Control+z", "Shift+U", "Control+Shift+Z"):
        oblong.press(key)
        seen.append(oblong.mm)
    assert seen == [second, first, second, third]
    oblong.page.click("#undo")
    assert oblong.mm == second


def test_the_whole_caliper_is_moved_by_its_line(oblong):
    (x1, y1), (x2, y2) = oblong.ends()
    before = oblong.mm
    middle = (x1 + x2) / 2, (y1 + y2) / 2
    oblong.drag(middle, (middle[0] + 30, middle[1] + 12))
    (a1, b1), (a2, b2) = oblong.ends()
    assert (a1 - x1, b1 - y1) == pytest.approx((a2 - x2, b2 - y2), abs=0.5)
    assert a1 - x1 == pytest.approx(30, abs=4)  # the first pixels are the start of the drag
    assert oblong.mm == before


def test_a_corrected_outline_is_measured_saved_and_becomes_training_data(oblong, results, tmp_path):
    clip = oblong.here()
    before = oblong.mm
    oblong.press("o")
    x, y = oblong.high_and_low()[1]  # the calipers end on the outline
    oblong.drag((x, y), (x, y + 24))
    assert oblong.page.inner_text("#hint").startswith("The outline has changed")
    oblong.press("s")
    oblong.page.wait_for_selector("#hint", state="hidden")
    assert oblong.mm > before + 1
    shown = oblong.mm
    with oblong.next_shown():
        oblong.press("Enter")
    said = CliRunner().invoke(app, ["review-export", str(results), str(tmp_path / "out")])
    assert said.exit_code == 0, said.output
    (item,) = json.loads((tmp_path / "out" / "corrections.json").read_text())["items"]
    saved = oblong.json(f"/api/clip/{clip['id']}")["review"]
    assert round(saved["thickness_mm"], 1) == shown
    assert saved["contours"] == item["contours"]
    low = max(row for contour in saved["contours"] for row, _ in contour)
    machine = oblong.json(f"/api/clip/{clip['id']}/frame/{clip['frame']}")["contours"]
    assert low > max(row for contour in machine for row, _ in contour) + 2

    words = ["dataset", "import", tmp_path / "out", tmp_path / "set", "--format", "review"]
    said = CliRunner().invoke(app, [*map(str, words)])
    assert said.exit_code == 0, said.output
    (case,) = read_cases(tmp_path / "set")
    drawn = coverage([np.array(line) for line in saved["contours"]], case.mask().shape)
    assert case.annotator == saved["reviewer"] == "Ada"
    assert np.array_equal(case.mask() == 1, drawn >= 0.5)
    mm = measure_thickness(case.mask() == 1, spacing_of(clip)).thickness_mm
    assert mm == pytest.approx(saved["thickness_mm"], abs=0.3)


def test_the_brush_adds_and_erases(oblong):
    def area():
        work = oblong.draft()["work"]
        return oblong.module(
            "geometry.js",
            "(m, lines, mm) => lines.reduce((sum, line) => sum + m.areaMm2(line, mm), 0)",
            work["contours"],
            spacing_of(oblong.here()),
        )

    machine = oblong.json(f"/api/clip/{oblong.key}/frame/{oblong.here()['frame']}")["contours"]
    whole = oblong.module(
        "geometry.js", "(m, line, mm) => m.areaMm2(line, mm)", machine[0], spacing_of(oblong.here())
    )
    (x1, y1), (x2, y2) = oblong.ends()
    oblong.press("b")
    oblong.page.fill("#brush-size", "5,0")  # a comma is as good as a dot
    oblong.page.press("#brush-size", "Enter")
    assert oblong.page.input_value("#brush-size") == "5.0"
    oblong.drag((x2, y2), (x2 + 5, y2))
    added = area()
    assert whole + 3 < added < whole + 25
    oblong.press("e")
    oblong.drag((x1 - 10, y1), (x1 + 10, y1), (x2, y2))
    assert area() < added - 10
    oblong.press("u", "u")
    assert oblong.draft() is None


def test_two_layers_leave_the_fluid_out(oblong):
    clip = oblong.here()
    oblong.press("f")
    assert len(oblong.ends()) == 4
    assert "Two layers" in oblong.page.inner_text("#layers")
    ends = oblong.ends()
    oblong.drag(ends[1], ((ends[0][0] + ends[1][0]) / 2, (ends[0][1] + ends[1][1]) / 2))
    shown = oblong.mm
    with oblong.next_shown():
        oblong.press("c")
    saved = oblong.json(f"/api/clip/{clip['id']}")["review"]
    assert saved["calipers"] is None
    by_hand = sum(length(*layer, spacing_of(clip)) for layer in saved["layers"])
    assert saved["thickness_mm"] == pytest.approx(by_hand, abs=1e-6)
    assert round(by_hand, 1) == shown < clip["measurement"]["thickness_mm"]


def test_painted_fluid_is_taken_off_what_is_snapped(oblong):
    clip = oblong.here()
    (x1, y1), (x2, y2) = oblong.ends()
    oblong.press("b")
    oblong.page.check("input[value=fluid]")
    oblong.page.fill("#brush-size", "2.0")
    oblong.page.press("#brush-size", "Enter")
    middle = (x1 + x2) / 2, (y1 + y2) / 2
    oblong.drag((middle[0] - 120, middle[1] - 40), middle, (middle[0] + 120, middle[1] + 40))
    oblong.press("s")
    oblong.page.wait_for_selector("#hint", state="hidden")
    shown = oblong.mm
    assert shown < clip["measurement"]["thickness_mm"] - 0.5
    with oblong.next_shown():
        oblong.press("c")
    saved = oblong.json(f"/api/clip/{clip['id']}")["review"]
    assert round(saved["thickness_mm"], 1) == shown
    assert saved["fluid"]


def test_another_frame_is_measured_by_the_machine(ada):
    ada.clip("cine.dcm")
    clip = ada.here()
    other = next(
        row["frame"]
        for row in clip["per_frame"]
        if row["status"] == "measured" and row["frame"] != clip["frame"]
    )
    ada.press("Home", *["ArrowRight"] * (other - 1))
    ada.page.wait_for_function(
        "text => document.getElementById('frame-words').textContent === text",
        arg=f"Frame {other} of {clip['frames']}",
    )
    assert f"calipers are on frame {clip['frame']}" in ada.page.inner_text("#hint")
    assert ada.ends() == []
    ada.press("m")
    ada.page.wait_for_selector("#hint", state="hidden")
    row = next(row for row in clip["per_frame"] if row["frame"] == other)
    assert ada.mm == round(row["thickness_mm"], 1)
    with ada.next_shown():
        ada.press("c")
    saved: Review = ada.json(f"/api/clip/{clip['id']}")["review"]
    assert (saved["frame"], saved["action"]) == (other, "correct")


def test_a_refused_clip_is_measured_by_two_clicks(ada):
    ada.clip("nothing.dcm")
    clip = ada.here()
    assert ada.page.inner_text("#big") == "Not measured"
    ada.press("d")
    ada.page.mouse.click(400, 300)
    ada.page.mouse.move(400, 340)
    ada.page.mouse.click(400, 360)
    assert len(ada.ends()) == 2
    calipers = ada.draft()["work"]["calipers"]
    assert ada.mm == pytest.approx(length(*calipers, spacing_of(clip)), abs=0.051)
    with ada.next_shown():
        ada.press("c")
    assert ada.json(f"/api/clip/{clip['id']}")["review"]["state"] == "corrected"


def test_calipers_are_placed_by_keyboard_from_nothing(ada):
    ada.clip("nothing.dcm")
    clip = ada.here()
    ada.press("d", "d")
    hint = ada.page.locator("#hint")
    assert "one basal interface with the arrows" in hint.inner_text()
    ada.press("ArrowLeft", "Shift+ArrowUp", "Enter")
    assert "the other interface" in hint.inner_text()
    ada.press("Enter")  # an end on the other is none
    assert "the other interface" in hint.inner_text()
    ada.press("Shift+ArrowDown", "Shift+ArrowDown", "ArrowUp", "ArrowRight", "Enter")
    (r1, c1), (r2, c2) = ada.draft()["work"]["calipers"]
    assert (r2 - r1, c2 - c1) == pytest.approx((19, 1))
    expected = length((r1, c1), (r2, c2), spacing_of(clip))
    assert ada.mm == pytest.approx(expected, abs=0.051)
    assert ada.here()["id"] == clip["id"]
    ada.press("d", "d", "ArrowUp", "Escape")  # thought better of it: the old ones stay
    assert ada.mm == pytest.approx(expected, abs=0.051)


def test_without_a_scale_nothing_can_be_placed(ada):
    ada.clip("unscaled.dcm")
    ada.press("d")
    assert "no millimetres" in ada.page.inner_text("#toasts")
    assert ada.page.get_attribute("#tool-place", "aria-pressed") == "false"
