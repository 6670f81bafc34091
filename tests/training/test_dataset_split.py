"""Parts on disk: data sets themselves, without a patient or a picture in two."""

import json
import random
import shutil

import numpy as np
import pytest
from annotated import annotated

from data.cases import CasesError, read_cases
from data.splits import SplitError
from training.datasets.check import check, parts_of
from training.datasets.split import split_dataset

pytest.importorskip("imagehash")
PARTS = ("train", "validation", "test")


def patients(folder):
    return {case.patient for case in read_cases(folder)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """15 items of 10 patients."""
    folder = tmp_path_factory.mktemp("whole") / "a"
    return annotated(folder, n=15, patients=[f"p{n % 10}" for n in range(15)])


def split(folder, out, **options):
    wishes = {"test": 0.2, "validation": 0.2, "folds": None, "seed": 1, **options}
    return split_dataset(folder, out, **wishes)


def test_parts_are_data_sets_that_share_nobody_and_lose_nothing(whole, tmp_path):
    done = split(whole, tmp_path / "s")
    assert sum(part.items for part in done.parts.values()) == 15
    found = [patients(tmp_path / "s" / part) for part in PARTS]
    assert set.union(*found) == patients(whole)
    assert sum(map(len, found)) == 10
    assert check(parts_of(tmp_path / "s")).errors == 0
    for part in PARTS:
        for case in read_cases(tmp_path / "s" / part):
            assert case.path.read_bytes() == (whole / case.name).read_bytes()
            assert case.path.stat().st_ino == (whole / case.name).stat().st_ino


def test_the_same_seed_gives_the_same_parts_whatever_the_order(whole, tmp_path):
    split(whole, tmp_path / "a")
    shuffled = tmp_path / "shuffled"
    shutil.copytree(whole, shuffled)
    content = json.loads((shuffled / "dataset.json").read_text())
    random.Random(3).shuffle(content["items"])
    (shuffled / "dataset.json").write_text(json.dumps(content))
    split(shuffled, tmp_path / "b")
    split(whole, tmp_path / "c", seed=2)
    names = {n: [patients(tmp_path / n / part) for part in PARTS] for n in "abc"}
    assert names["a"] == names["b"] != names["c"]


def test_folds_hold_every_item_once_in_a_validation_part(whole, tmp_path):
    split(whole, tmp_path / "s", folds=3)
    test = patients(tmp_path / "s/test")
    aside = [patients(tmp_path / f"s/fold-{k}/validation") for k in (1, 2, 3)]
    assert sum(map(len, aside)) + len(test) == 10
    assert set.union(test, *aside) == patients(whole)
    for k, kept in enumerate(aside, 1):
        assert patients(tmp_path / f"s/fold-{k}/train") == patients(whole) - test - kept


def test_the_same_picture_under_two_names_stays_in_one_part(tmp_path):
    folder = annotated(tmp_path / "a", n=8)
    for twin in range(4, 8):
        shutil.copy(folder / f"{twin - 4}.png", folder / f"{twin}.png")
    done = split(folder, tmp_path / "s")
    assert (done.groups, done.joined) == (4, 4)
    assert check(parts_of(tmp_path / "s")).findings != ()
    assert not [f for f in check(parts_of(tmp_path / "s")).findings if "another part" in f.message]


def test_copies_serve_where_there_are_no_links(whole, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    split(whole, tmp_path / "s")
    case = read_cases(tmp_path / "s/train")[0]
    assert case.path.read_bytes() == (whole / case.name).read_bytes()
    assert case.path.stat().st_nlink == 1


def test_what_a_part_is_called_in_dataset_json_stays(whole, tmp_path):
    folder = tmp_path / "a"
    shutil.copytree(whole, folder)
    content = json.loads((folder / "dataset.json").read_text())
    content["items"][0]["hospital"] = "B"
    (folder / "dataset.json").write_text(json.dumps(content))
    split(folder, tmp_path / "s")
    kept = [
        item
        for part in PARTS
        for item in json.loads((tmp_path / "s" / part / "dataset.json").read_text())["items"]
    ]
    assert sorted(map(json.dumps, kept)) == sorted(map(json.dumps, content["items"]))


def test_what_cannot_be_split_is_told_and_nothing_is_left(whole, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there/x").touch()
    with pytest.raises(SplitError, match="not empty"):
        split(whole, tmp_path / "there")
    with pytest.raises(CasesError, match=r"no dataset\.json"):
        split(tmp_path, tmp_path / "s")
    with pytest.raises(SplitError, match="2 patients"):
        split(annotated(tmp_path / "two", n=2), tmp_path / "s")
    broken = annotated(tmp_path / "broken")
    (broken / "1.png").unlink()
    with pytest.raises(CasesError, match=r"1 items cannot be used.*1\.png.*dataset check"):
        split(broken, tmp_path / "s")
    assert not (tmp_path / "s").exists()
    assert not list(tmp_path.glob(".s-*"))


def test_thicknesses_are_alike_between_parts(tmp_path):
    folder = annotated(tmp_path / "a", n=40)
    done = split(folder, tmp_path / "s")
    medians = [done.parts[part].median_mm for part in PARTS]
    assert np.ptp(medians) < 1.5
    assert [done.parts[part].items for part in PARTS] == [24, 8, 8]
