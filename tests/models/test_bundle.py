import json
import shutil

import pytest

from models.bundle import CARD, DEFAULT_BUNDLE, EXPORT, WEIGHTS, BundleError, load_bundle


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(DEFAULT_BUNDLE, tmp_path / "bundle")


def change(folder, edit):
    card = json.loads((folder / CARD).read_text())
    edit(card)
    (folder / CARD).write_text(json.dumps(card))


def bin_of(lower, upper):
    return {"below_mm": None, "lower_factor": lower, "upper_factor": upper}


def test_an_interval_has_two_sides_and_a_card_of_before_had_one(copy):
    change(copy, lambda c: c["intervals"].update(base_mm=0.5, bins=[bin_of(0, 0.8)]))
    assert load_bundle(copy).intervals.reach(6.0, 1.0) == pytest.approx((0.0, 1.2))
    old = [{"below_mm": 4.0, "factor": 0.6}, {"below_mm": None, "factor": 0.8}]
    change(copy, lambda c: c["intervals"].update(bins=old))
    assert load_bundle(copy).intervals.reach(3.0, 1.0) == pytest.approx((0.9, 0.9))
    assert load_bundle(copy).intervals.reach(4.0, 1.0) == pytest.approx((1.2, 1.2))


def test_the_shipped_bundle_loads_and_is_small():
    bundle = load_bundle()
    assert bundle.labels[:3] == ("background", "endometrium", "fluid")
    assert max(bundle.intervals.reach(6.0, 1.0)) < 5, "intervals were never calibrated"
    assert sum(f.stat().st_size for f in DEFAULT_BUNDLE.iterdir()) <= 16 * 2**20


def test_the_card_says_what_the_model_is():
    card = json.loads((DEFAULT_BUNDLE / CARD).read_text())
    for name in ("training_data", "known_failures", "licence", "metrics", "name"):
        assert card[name], name


@pytest.mark.parametrize("name", [WEIGHTS, *EXPORT])
def test_a_changed_file_is_refused(copy, name):
    with (copy / name).open("r+b") as file:
        file.seek(2000)
        byte = file.read(1)
        file.seek(2000)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(BundleError, match=f"{name} has sha256"):
        load_bundle(copy)


@pytest.mark.parametrize("name", [WEIGHTS, *EXPORT])
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        load_bundle(copy)


@pytest.mark.parametrize(
    "field",
    [
        "name",
        "architecture",
        "labels",
        "grid",
        "normalisation",
        "training_data",
        "metrics",
        "licence",
        "sha256",
        "intervals",
        "exported_from_sha256",
    ],
)
def test_a_missing_field_is_named(copy, field):
    change(copy, lambda card: card.pop(field))
    with pytest.raises(BundleError, match=field):
        load_bundle(copy)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda c: c["labels"].append("cyst"), "cyst"),
        (lambda c: c["labels"].remove("fluid"), "missing: ..fluid"),
        (lambda c: c["labels"].append("uterus"), "at most once"),
        (lambda c: c["grid"].update(size=100), "multiple of"),
        (lambda c: c.update(min_quality=1.5), "min_quality"),
        (lambda c: c.update(architecture="unet"), "architecture.channels"),
        (lambda c: c["architecture"].update(channels=[]), "architecture.channels"),
        (lambda c: c["architecture"].update(num_res_units="2"), "architecture.num_res_units"),
        (lambda c: c["grid"].update(mm_per_px=0), "positive"),
        (lambda c: c["grid"].update(mm_per_px="0.3"), "positive"),
        (lambda c: c.update(normalisation="none"), "none"),
        (lambda c: c.update(exported_from_sha256="0"), "Export it again"),
        (lambda c: c["intervals"].update(bins=[]), "empty"),
        (lambda c: c["intervals"]["bins"][-1].update(below_mm=3.0), "rise"),
        (lambda c: c["intervals"]["bins"][0].update(factor=-1), "positive"),
        (lambda c: c["intervals"].update(bins=[bin_of(-1.0, 1.0)]), "positive"),
        (lambda c: c["intervals"].update(bins=[bin_of(0, 0)]), "without width"),
        (lambda c: c["intervals"].update(bins=[{"below_mm": None}]), "lower_factor"),
        (lambda c: c["intervals"].update(bins=[None]), "below_mm"),
    ],
)
def test_a_wrong_field_is_refused(copy, edit, says):
    change(copy, edit)
    with pytest.raises(BundleError, match=says):
        load_bundle(copy)


def test_what_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(BundleError, match="not a bundle"):
        load_bundle(tmp_path)
    for damaged in ("{", "[" * 100_000):
        (tmp_path / CARD).write_text(damaged)
        with pytest.raises(BundleError, match="cannot be read"):
            load_bundle(tmp_path)


def test_the_export_names_no_path_of_the_machine_it_was_made_on():
    text = (DEFAULT_BUNDLE / EXPORT[0]).read_text(errors="replace") + (
        DEFAULT_BUNDLE / CARD
    ).read_text()
    assert "/home/" not in text and "/tmp/" not in text and ".onnx" not in text
