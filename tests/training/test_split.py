from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

from annotated import annotated
from runs import config_of

from data.cases import CasesError
from imaging.grid import GridSpec
from training.batches import Numbers, Pictures, item_groups, item_shown
from training.config import ConfigError, read_config
from training.items import Item, read_folder
from training.split import patient_folds, read_images, read_items, split, split_fold
from training.team import Team

EMPTY = np.zeros((1, 1), np.float32)
KNOWN = np.array([True, True, True, False])


def item(patient, true_mm=None, *, visible=True, name="", known=KNOWN):
    return Item(
        name=name or patient,
        patient=patient,
        named_patient=True,
        pixels=EMPTY,
        sector=EMPTY > 0,
        labels=EMPTY[None],
        known=known,
        visible=visible,
        calibrated=True,
        true_mm=true_mm,
    )


@st.composite
def hospitals(draw):
    patients = draw(st.integers(2, 40))
    kinds = st.one_of(st.none(), st.floats(1, 15))
    items = []
    for number in range(patients):
        for _ in range(draw(st.integers(1, 3))):
            mm = draw(kinds)
            items.append(item(f"p{number}", mm, visible=mm is not None or draw(st.booleans())))
    return items


@given(hospitals(), st.integers(2, 8), st.integers(0, 9))
@settings(max_examples=50)
def test_folds_are_a_partition_by_patient_whatever_the_order(items, folds, seed):
    patients = {each.patient for each in items}
    if len(patients) < folds:
        with pytest.raises(CasesError, match=f"{len(patients)} patients .* {folds} folds"):
            patient_folds(items, folds, seed)
        return
    of = patient_folds(items, folds, seed)
    assert of == patient_folds(items[::-1], folds, seed)
    assert of.keys() == patients
    sizes = Counter(of.values())
    assert sizes.keys() == set(range(1, folds + 1))
    assert max(sizes.values()) - min(sizes.values()) <= 1
    parts = [split_fold([tuple(items)], fold, folds, seed) for fold in range(1, folds + 1)]
    assert sum(len(part.validation) for part in parts) == len(items)
    for part in parts:
        assert not {i.patient for i in part.training} & {i.patient for i in part.validation}
        assert len(part.training) + len(part.validation) == len(items)


def test_folds_are_alike_in_thickness_and_in_empty_images():
    rng = np.random.default_rng(0)
    items = [item(f"p{n}", float(mm)) for n, mm in enumerate(rng.uniform(2, 14, 40))]
    items += [item(f"e{n}", visible=False) for n in range(10)]
    of = patient_folds(items, 5, 1)
    for fold in range(1, 6):
        inside = [each for each in items if of[each.patient] == fold]
        assert sum(each.empty for each in inside) == 2
        known = [each.true_mm for each in inside if each.true_mm]
        assert np.mean(known) == pytest.approx(np.mean([i.true_mm for i in items[:40]]), abs=0.8)
        assert min(known) < 5 and max(known) > 11
    assert patient_folds(items, 5, 2) != of


def test_balance_shows_both_kinds_equally_often_and_each_image_once_per_turn():
    items = [item(f"p{n}", 5.0) for n in range(6)] + [item("e1", visible=False)]
    items.append(item("e2", visible=False))
    # Whether this one shows an endometrium nobody said.
    items.append(item("f", visible=False, known=np.array([True, False, True, False])))
    groups = item_groups(items, balance=True)
    shown = [item_shown(3, number, groups) for number in range(28)]
    assert [each.empty for each in shown] == [False, True] * 14
    assert set(Counter(each.name for each in shown[::2]).values()) == {2}
    assert Counter(each.name for each in shown[1::2]) == {"e1": 7, "e2": 7}
    plain = [item_shown(3, number, item_groups(items, balance=False)) for number in range(9)]
    assert {each.name for each in plain} == {each.name for each in items}


def test_a_balanced_run_shows_empty_images_half_of_the_time(tmp_path):
    annotated(tmp_path / "images", n=12)  # one of twelve is empty
    data = 'datasets = ["images"]\nphantoms = false\nvalidation = 0.0\n'
    counts = []
    for balance in ("true", "false"):
        config = config_of(tmp_path, data=f"{data}balance = {balance}")
        pictures = Pictures(config, read_items(config).training, range(24))
        counts.append(sum(not pictures[n].labels[1:3].any() for n in range(24)))
    assert counts == [12, 2]


def test_balance_that_can_change_nothing_is_told(tmp_path, caplog):
    annotated(tmp_path / "images", n=4)
    data = 'datasets = ["images"]\nphantoms = false\nvalidation = 0.0\nbalance = true'
    read_images(config_of(tmp_path, data=data))
    assert "every image of data.datasets shows an endometrium" in caplog.text


@pytest.mark.parametrize(("size", "batch", "first"), [(1, 4, 0), (2, 4, 3), (4, 4, 1), (3, 6, 2)])
def test_the_shares_of_a_team_are_the_batches(tmp_path, size, batch, first):
    config = config_of(tmp_path, 7).model_copy(update={"batch": batch})
    shares = [Numbers(config, first, Team(rank, size).share(batch)) for rank in range(size)]
    own = batch // size
    for step in range(7 - first):
        parts = [list(each)[step * own : (step + 1) * own] for each in shares]
        whole = [number for part in parts for number in part]
        assert whole == list(range((first + step) * batch, (first + step + 1) * batch))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("folds = 1", "folds = 1 leaves nothing"),
        ("folds = 3\nfold = 4", "fold = 4, but there are 3 folds"),
        ("fold = 1", "fold = 1, but there are 0 folds"),
        ('folds = 3\nvalidation = "aside"', "take the folder of validation out"),
        ("folds = 21", "folds = 21: .*less than or equal to 20"),
    ],
)
def test_folds_that_cannot_be_are_refused(tmp_path, text, says):
    with pytest.raises(ConfigError, match=says):
        config_of(tmp_path, data=f'datasets = ["images"]\nphantoms = 0.5\n{text}')


@pytest.mark.parametrize("text", ["folds = 3", "balance = true"])
def test_folds_and_balance_need_images(tmp_path, text):
    with pytest.raises(ConfigError, match="but there are none"):
        config_of(tmp_path, data=text)


def test_a_fold_that_cannot_tell_the_thickness_is_refused_by_name(tmp_path):
    # The last image is empty; with as many folds as patients it is alone in one of them.
    annotated(tmp_path / "images", n=6)
    data = 'datasets = ["images"]\nphantoms = 0.5\nfolds = 6\nfold = {}'
    said = 0
    for fold in range(1, 7):
        config = config_of(tmp_path, data=data.format(fold), run='selection = "thickness"')
        try:
            split(config, read_images(config))
        except CasesError as error:
            said += f"kept aside in fold {fold} has a scale" in str(error)
    assert said == 1


def test_a_fold_draws_pictures_of_its_own_from_the_same_partition(tmp_path):
    annotated(tmp_path / "images")
    (tmp_path / "recipe.toml").write_text(
        'steps = 1\n[data]\ndatasets = ["images"]\nphantoms = 0.5\n'
    )
    config = read_config(tmp_path / "recipe.toml")
    folds = [config.of_fold(number, 3) for number in (1, 2, 3)]
    assert len({config.draws, *(one.draws for one in folds)}) == 4
    assert config.draws == config.seed
    assert {one.seed for one in folds} == {config.seed}
    with pytest.raises(ConfigError, match="fold = 3, but there are 2"):
        config.of_fold(3, 2)
    with pytest.raises(CasesError, match="does not say which of them"):
        no_fold = config.data.model_copy(update={"folds": 3})
        read_items(config.model_copy(update={"data": no_fold}))


def test_an_item_without_a_patient_of_its_own_keeps_its_images_together(tmp_path):
    items = read_folder(annotated(tmp_path, n=8, patients=list("aabbccdd")), GridSpec(64, 1.2))
    of = patient_folds(items, 2, 0)
    assert Counter(of.values()) == {1: 2, 2: 2}
    same = [replace(each, patient="one") for each in items]
    with pytest.raises(CasesError, match="1 patients cannot be divided"):
        patient_folds(same, 2, 0)
