import json

import pytest

from models.bundle import DEFAULT_BUNDLE
from models.check import MODEL_CARD, card_of
from training.claim import FIELDS, ITEMS, AboutError, claim, read_about, statements, template
from training.model_card import escaped, metric_rows, model_card


@pytest.fixture
def card():
    return card_of(DEFAULT_BUNDLE)


def test_the_shipped_page_is_what_the_shipped_card_says(card):
    hashes = {name: sha for name, sha in card["sha256"].items() if name != MODEL_CARD}
    page = model_card(card | {"sha256": hashes})
    assert page == (DEFAULT_BUNDLE / MODEL_CARD).read_text("utf-8")
    assert card["claim"] == claim(card)


def test_every_item_of_the_checklist_is_on_the_page(card):
    page = model_card(card)
    numbers = [item.number for item in ITEMS]
    # 2, the abstract, is the page's head.
    assert numbers == [n for n in range(1, 45) if n != 2]
    for item in ITEMS:
        assert f"**{item.number} {item.name}.**" in page
    assert [each["number"] for each in claim(card)] == numbers


def test_what_nobody_told_is_called_not_stated(card):
    bare = {name: value for name, value in card.items() if name != "about"}
    said = {item.number: text for item, text in statements(bare)}
    assert said[5] is None and said[8] is None and said[44] is None
    assert "**8 Inclusion and exclusion criteria.** *Not stated.*" in model_card(bare)
    told = bare | {"about": {"eligibility": "Women of 20 to 45 years."}}
    assert "criteria.** Women of 20 to 45 years." in model_card(told)


def test_numbers_come_with_their_intervals():
    group = {"n": 20, "dice_mean": 0.8123, "mae_mm": 0.5, "within_1_mm": 0.75}
    ends = {"dice_mean": [0.7, 0.9], "within_1_mm": [0.5, 0.9]}
    labels = {"fluid": {"value": 0.6, "low": 0.4, "high": 0.7, "n": 9}}
    rows = {
        row[0]: row[1:] for row in metric_rows(group | {"intervals_95": ends, "label_dice": labels})
    }
    assert rows["Dice, mean of all"] == ("0.81", "0.70 to 0.90")
    assert rows["Thickness: mean absolute error"] == ("0.50 mm", "")
    assert rows["Error within 1 mm"] == ("75 %", "50 to 90")
    assert (
        rows["Dice of fluid, mean of the 9 cases that have it, pixel by pixel"][1] == "0.40 to 0.70"
    )


def test_a_model_that_nobody_judged_says_so(card):
    assert "Nobody knows how well it does." in model_card(card | {"metrics": {}})


def test_untrusted_millimetres_are_said_first(card):
    fitted = {"millimetres_trusted": False, "why": "It learned without a scale."}
    page = model_card(card | {"fitted": fitted})
    assert "**No number in millimetres can be trusted.** It learned without a scale." in page
    assert "can be trusted" not in model_card(card | {"fitted": {"millimetres_trusted": True}})


def test_texts_from_outside_are_no_markup(card):
    assert escaped("a|b\n# <c> [d](e)") == "a\\|b \\# \\<c\\> \\[d\\](e)"
    page = model_card(card | {"name": "x|y\n## Approved"})
    assert "\n## Approved" not in page and "x\\|y" in page


def test_the_gallery_names_nobody(card):
    shown = {
        "case": 3,
        "file": "gallery/01.png",
        "words": "Measured 5.0 mm.",
        "groups": "thickness 4 to 6 mm",
    }
    page = model_card(card | {"gallery": [shown]})
    assert "![Case 3](gallery/01.png)" in page and "Measured 5.0 mm." in page


def test_the_template_lists_every_field_and_reads_back(tmp_path):
    path = tmp_path / "about.toml"
    path.write_text(template())
    assert read_about(path) == {}
    lines = [
        line.removeprefix("# ").replace('""', '"x  y"') for line in template().splitlines()[1:]
    ]
    path.write_text("\n".join(lines))
    assert read_about(path) == {"known_failures": "What it does badly."} | dict.fromkeys(
        FIELDS, "x y"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nonsense = 'x'", "nonsense is unknown"),
        ("aims = 3", "aims must be a text"),
        ("aims = ''", "aims must be a text"),
        ("aims = ", "no TOML"),
    ],
)
def test_a_wrong_field_is_named(tmp_path, text, says):
    path = tmp_path / "about.toml"
    path.write_text(text)
    with pytest.raises(AboutError, match=says):
        read_about(path)
    with pytest.raises(AboutError, match="cannot be read"):
        read_about(tmp_path / "nowhere.toml")


def test_the_card_holds_the_checklist_as_data(card):
    assert json.loads(json.dumps(card["claim"])) == card["claim"]
    assert all(each.keys() == {"number", "section", "item", "text"} for each in card["claim"])
