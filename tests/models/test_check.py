import json
import shutil

import numpy as np
import pytest

import models.check
from models.bundle import CARD, DEFAULT_BUNDLE, WEIGHTS, BundleError, file_sha256, load_bundle
from models.check import MODEL_CARD, check_bundle, means_of, test_picture
from models.runtime import OpenVinoRuntime
from models.sign_offs import SIGN_OFFS, sign_off


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(DEFAULT_BUNDLE, tmp_path / "bundle")


def change(folder, edit):
    card = json.loads((folder / CARD).read_text())
    edit(card)
    (folder / CARD).write_text(json.dumps(card))


def failed(folder, **options):
    return {c.name: c.words for c in check_bundle(folder, **options) if c.held is False}


def test_the_shipped_bundle_is_whole():
    checks = {check.name: check.held for check in check_bundle(DEFAULT_BUNDLE)}
    assert False not in checks.values()
    assert checks["self test"] and checks["self test as at shipping"] and checks[MODEL_CARD]


def test_the_network_outlines_the_band_of_the_test_picture():
    bundle = load_bundle()
    picture = test_picture(bundle.grid.size)
    assert picture.dtype == np.float32 and np.abs(picture).max() <= 4
    seen = OpenVinoRuntime(bundle)(picture[None, None])[0]
    outlined = seen[bundle.channel("endometrium")] > 0.5
    assert outlined.sum() > 500
    around = (seen[bundle.channel("uterus")] > 0.5) & ~outlined
    # The band is 1.5 brighter, and some of it counts as what is around.
    assert picture[outlined].mean() - picture[around].mean() > 0.4


def test_every_damage_is_told_not_only_the_first(copy):
    (copy / MODEL_CARD).write_text("All is well.")
    with (copy / WEIGHTS).open("r+b") as file:
        file.seek(5000)
        file.write(b"\0\1\2\3")
    (copy / "network.bin").unlink()
    found = failed(copy)
    assert set(found) >= {MODEL_CARD, WEIGHTS, "network.bin", "card"}
    assert "missing" in found["network.bin"] and "changed or damaged" in found[MODEL_CARD]


def test_a_card_that_is_no_card_is_told(copy):
    (copy / CARD).write_text("{")
    assert "cannot be read" in failed(copy)["card"]
    (copy / CARD).write_text('{"sha256": 3}')
    assert "card" in failed(copy)


def test_the_self_test_finds_a_network_that_is_another(copy, monkeypatch):
    assert not failed(copy)
    change(copy, lambda card: card["self_test"][1].__setitem__(0, 0.5))
    assert "differ by 0.4" in failed(copy)["self test as at shipping"]
    change(copy, lambda card: card.update(self_test="good"))
    assert "no table" in failed(copy)["self test as at shipping"]
    change(copy, lambda card: card.pop("self_test"))
    assert not failed(copy)


@pytest.mark.parametrize("wrong", [np.nan, 0.4])
def test_a_network_that_gives_no_probabilities_fails(monkeypatch, wrong):
    class Broken(OpenVinoRuntime):
        def __call__(self, batch):
            return np.full((1, 4, batch.shape[2], batch.shape[3]), wrong, np.float32)

    monkeypatch.setattr(models.check, "OpenVinoRuntime", Broken)
    assert "no probabilities" in failed(DEFAULT_BUNDLE)["self test"]


def test_a_deep_check_finds_an_export_of_other_weights(copy):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    assert not failed(copy, deep=True)
    weights = load_file(copy / WEIGHTS)
    name = [name for name in weights if name.endswith("conv.bias")][-1]
    weights[name] = weights[name] + torch.tensor([0, 1, 0, 0], dtype=weights[name].dtype)
    save_file(weights, copy / WEIGHTS)
    sha = file_sha256(copy / WEIGHTS)
    change(copy, lambda c: c["sha256"].update({WEIGHTS: sha}) or c.update(exported_from_sha256=sha))
    assert not failed(copy)  # every hash was made to fit
    assert "differ by" in failed(copy, deep=True)["deep"]


def test_a_deep_check_without_torch_is_refused_not_left_out(monkeypatch):
    monkeypatch.setattr(models.check.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BundleError, match="--deep computes with torch"):
        check_bundle(DEFAULT_BUNDLE, deep=True)


def test_a_sign_off_fails_once_card_or_weights_are_others(copy):
    entry = sign_off(copy, "phantom", "A. Smith", "PI", "read")
    assert not failed(copy)
    assert not failed(copy, must_have=entry.sha256)
    assert "not there" in failed(copy, must_have="0" * 64)["sign-off asked for"]
    change(copy, lambda card: card.update(known_failures="None."))
    assert "the card was changed since" in failed(copy)["sign-off 1"]
    (copy / SIGN_OFFS).write_text("nonsense\n")
    assert "no JSON" in failed(copy)[SIGN_OFFS]


def test_sign_offs_that_were_taken_away_are_missed_by_who_kept_their_hash(copy):
    entry = sign_off(copy, "phantom", "A. Smith", "PI", "read")
    (copy / SIGN_OFFS).unlink()
    assert not failed(copy)
    assert "sign-off asked for" in failed(copy, must_have=entry.sha256)


def test_a_card_cannot_name_files_outside_its_folder(copy):
    change(copy, lambda card: card["sha256"].update({"../secret": "0"}))
    assert "outside the bundle" in failed(copy)["../secret"]


def test_files_that_the_card_does_not_know_are_mentioned(copy):
    (copy / "model.pt").write_bytes(b"pickle")
    words = {c.name: c.words for c in check_bundle(copy) if c.held is None}
    assert "model.pt" in words["other files"]


def test_what_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(BundleError, match="not a bundle"):
        check_bundle(tmp_path)


def test_the_numbers_of_the_self_test_are_those_of_the_network():
    bundle = load_bundle()
    found = np.array(means_of(OpenVinoRuntime(bundle), bundle.grid.size))
    assert found.shape == (len(bundle.labels), 4)
    assert found.sum(0) == pytest.approx(1, abs=1e-4)
