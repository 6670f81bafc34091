"""For everybody: names of controls, contrast, focus, sizes of screens, touch."""

import pytest

# Contrast of text by WCAG 2.2 (1.4.3): what a text stands on is the nearest opaque background.
CONTRAST = """() => {
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const over = ([r, g, b, a], under) =>
    [...[r, g, b].map((value, k) => value * a + under[k] * (1 - a)), 1];
  const light = ([r, g, b]) => {
    const part = (v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const ground = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((under, colour) => over(colour, under), [0, 0, 0, 1]);
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const box = element.getBoundingClientRect();
    const text = walker.currentNode.textContent.trim();
    if (!text || !element.checkVisibility() || box.width < 2) continue;
    if (element.closest(":disabled, .unseen, script, title")) continue;
    const style = getComputedStyle(element);
    const below = ground(element);
    const ink = element.closest("svg") ? style.fill : style.color;
    const [a, b] = [light(over(parse(ink), below)), light(below)].sort((x, y) => y - x);
    const large = parseFloat(style.fontSize) >= 24;
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < (large ? 3 : 4.5)) poor.push([text, ratio, ink]);
  }
  return poor;
}"""
CONTROLS = "button, a[href], input, select, textarea, summary, [role=slider], [tabindex='0']"
NAMELESS = """(controls) => [...document.querySelectorAll(controls)]
  .filter((each) => each.checkVisibility())
  .filter((each) => !(
    each.getAttribute("aria-label") || each.labels?.length || each.textContent.trim()
    || document.getElementById(each.getAttribute("aria-labelledby") ?? "")))
  .map((each) => each.outerHTML)"""
SMALL = """(controls) => [...document.querySelectorAll(controls)]
  .filter((each) => each.checkVisibility() && !each.closest("svg, #handles, .segments"))
  .map((each) => [each.id || each.className || each.outerHTML, each.getBoundingClientRect()])
  .filter(([, box]) => box.width > 0 && (box.width < 32 || box.height < 32))
  .map(([name, box]) => [name, box.width, box.height])"""


@pytest.fixture(params=["worklist", "clip", "cine", "drawn", "brush", "help", "reject", "refused"])
def looked_at(request, ada):
    """Every state of the page that looks different."""
    files = {"cine": "cine.dcm", "refused": "nothing.dcm"}
    if request.param != "worklist":
        ada.clip(files.get(request.param, "still-09.dcm"))
    if request.param == "drawn":
        x, y = ada.ends()[0]
        ada.drag((x, y), (x, y - 20)).press("o")
        x, y = ada.ends()[1]
        ada.drag((x, y), (x, y + 30))
    ada.press(*{"brush": ["b"], "help": ["?"], "reject": ["r"]}.get(request.param, []))
    return ada


def test_text_stands_out_and_every_control_has_a_name_and_room(looked_at):
    page = looked_at.page
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate(NAMELESS, CONTROLS) == []
    assert page.evaluate(SMALL, CONTROLS) == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
    assert len(ids) == len(set(ids))
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.locator("h1").count() == 1


@pytest.mark.parametrize("door", ["login", "expired"])
def test_doors_are_for_everybody_too(serve, person, door):
    somebody = person(serve(), expected=(404,))
    somebody.page.goto(f"{somebody.server.address}/{door}")
    assert somebody.page.evaluate(CONTRAST) == []
    assert somebody.page.evaluate(NAMELESS, CONTROLS) == []


def test_what_has_the_focus_is_seen(ada):
    ada.clip("cine.dcm")
    seen = set()
    for _ in range(60):
        ada.press("Tab")
        name, outline = ada.page.evaluate(
            """() => {
                const at = document.activeElement;
                const ring = at.closest(".segments label")?.querySelector("span") ?? at;
                const style = getComputedStyle(ring);
                const inner = at.querySelector?.(".ring");
                const drawn = inner && getComputedStyle(inner).strokeWidth !== "0px";
                const ringed = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
                return [at.id || at.getAttribute("aria-label") || at.tagName, drawn || ringed];
            }"""
        )
        if name != "BODY":
            assert outline, name
        seen.add(name)
    wanted = {"tool-calipers", "snap", "strip", "play", "note", "accept", "reject", "next", "help"}
    assert wanted <= seen
    assert sum(name.startswith("Caliper end") for name in seen) == 2


def test_the_whole_work_can_be_done_without_a_pointer(ada):
    """From the list: open, move a caliper, save; reject; come back to the list."""
    ada.press("Enter").shown()
    first = ada.key
    while not ada.page.evaluate("document.activeElement.closest('#handles') !== null"):
        ada.press("Tab")
    before = ada.mm
    for _ in range(8):
        ada.press("Shift+ArrowUp")
    assert ada.mm != before
    with ada.next_shown():
        ada.press("c")
    second = ada.key
    with ada.next_shown():
        ada.press("r", "2")
    ada.press("l").listed()
    states = {
        item["id"]: item["state"] for item in ada.json("/api/worklist/ids?state=all")["items"]
    }
    assert (states[first], states[second]) == ("corrected", "rejected")


def test_a_screen_reader_hears_the_number_when_the_hand_rests(ada):
    ada.clip("oblong.dcm")
    x, y = ada.ends()[0]
    ada.drag((x, y), (x, y - 30))
    ada.page.wait_for_function(
        "mm => document.getElementById('spoken').textContent.startsWith(mm)", arg=f"{ada.mm}"
    )
    assert ada.page.get_attribute("#spoken", "aria-live") == "polite"
    assert "mm" in ada.page.text_content("#spoken")


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (1024, 768), (768, 1024), (1920, 1080)])
def test_nothing_is_cut_off_on_any_screen(serve, person, width, height):
    ada = person(serve(), width=width, height=height).enter()
    overflow = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not ada.page.evaluate(overflow)
    ada.clip("cine.dcm")
    assert not ada.page.evaluate(overflow)
    for name in ("#accept", "#reject", "#stage", "#strip", "#big", "#tool-brush", "#zoom-in"):
        box = ada.page.locator(name).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width + 0.5, name
        assert box["y"] >= 0 and box["y"] + box["height"] <= height + 0.5, name
    assert ada.page.locator("#stage").bounding_box()["width"] > 0.55 * width
    cut = ada.page.eval_on_selector_all(
        ".verdict button, .tool span, .title-line, #big",
        "all => all.filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.outerHTML)",
    )
    assert cut == []


class Fingers:
    """Touches on a screen, by the browser's own protocol."""

    def __init__(self, page):
        self.cdp = page.context.new_cdp_session(page)

    def touch(self, kind, *points):
        places = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        self.cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    def move(self, starts, ends, steps=6):
        self.touch("touchStart", *starts)
        for k in range(1, steps + 1):
            self.touch(
                "touchMove",
                *(
                    (a + (c - a) * k / steps, b + (d - b) * k / steps)
                    for (a, b), (c, d) in zip(starts, ends, strict=True)
                ),
            )
        self.touch("touchEnd")


@pytest.fixture
def tablet(serve, person):
    """Somebody with a tablet before a clip."""
    somebody = person(serve(), width=1024, height=768, has_touch=True).enter()
    return somebody.clip("oblong.dcm"), Fingers(somebody.page)


def test_a_finger_drags_a_caliper_and_pans(tablet):
    ada, fingers = tablet
    before = ada.mm
    x, y = ada.high_and_low()[0]
    fingers.move([(x + 6, y - 8)], [(x + 6, y - 48)])
    assert ada.mm > before
    after, ends = ada.mm, ada.ends()
    fingers.move([(150, 600)], [(200, 570)])
    assert ada.ends()[0] == pytest.approx((ends[0][0] + 50, ends[0][1] - 30), abs=9)
    assert ada.mm == after


def test_two_fingers_zoom(tablet):
    ada, fingers = tablet
    ends, before = ada.ends(), ada.mm
    fingers.move([(300, 500), (400, 500)], [(200, 500), (500, 500)])
    grown = (ada.ends()[1][1] - ada.ends()[0][1]) / (ends[1][1] - ends[0][1])
    assert grown == pytest.approx(3, rel=0.15)
    assert ada.mm == before
    assert ada.draft() is None


def test_less_motion_where_it_is_asked_for(serve, person):
    ada = person(serve(), reduced_motion="reduce").enter()
    ada.press("Enter").shown()
    ada.press("a")
    ada.page.wait_for_selector(".toast")
    assert ada.page.evaluate(
        "getComputedStyle(document.querySelector('.toast')).animationName"
    ) == ("none")
