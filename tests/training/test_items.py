import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

pytest.importorskip("torch")

from annotated import SPACING, annotated

from data.cases import CasesError, read_cases
from imaging.grid import GridMapping, GridSpec
from training.batches import augmentation, augmented, item_number, real_before
from training.items import (
    area_shares,
    fingerprint,
    read_folder,
    read_item,
)
from training.split import split_items, split_patients

SPEC = GridSpec(64, 1.2)


@given(
    step=st.tuples(st.floats(0.3, 5), st.floats(0.3, 5)),
    centre=st.tuples(st.floats(20, 30), st.floats(20, 30)),
    half=st.tuples(st.integers(1, 10), st.integers(1, 10)),
)
def test_area_is_kept_whatever_the_grid(step, centre, half):
    mask = np.zeros((50, 50), bool)
    mask[25 - half[0] : 25 + half[0], 25 - half[1] : 25 + half[1]] = True
    size = 200
    origin = tuple(c - s * (size - 1) / 2 for c, s in zip(centre, step, strict=True))
    share = area_shares(mask, GridMapping(origin, step), size)
    assert share.sum() * step[0] * step[1] == pytest.approx(mask.sum(), rel=1e-4)
    assert 0 <= share.min() <= share.max() <= 1


def test_a_pixel_that_the_edge_crosses_has_its_share():
    mask = np.zeros((6, 6), bool)
    mask[:, 3:] = True  # the edge lies at column 2.5
    share = area_shares(mask, GridMapping((1.0, 1.0), (2.0, 2.0)), 2)
    # Grid column 0 spans 0 to 2, column 1 spans 2 to 4, of which 2.5 to 4 is covered.
    assert share == pytest.approx(np.array([[0, 0.75], [0, 0.75]]))


def test_an_item_has_the_area_of_its_mask_and_does_not_know_the_uterus(tmp_path):
    case = read_cases(annotated(tmp_path))[0]
    item = read_item(case, SPEC)
    drawn = (case.mask() == 1).sum() * SPACING[0] * SPACING[1]
    assert item.labels[1].sum() * SPEC.mm_per_px**2 == pytest.approx(drawn, rel=0.01)
    assert item.labels.sum(0) == pytest.approx(np.ones((64, 64)))
    assert item.known.tolist() == [True, True, True, False]
    assert item.calibrated
    # The band is that many pixels high; the phantom's thickness is measured as it was drawn.
    assert item.true_mm == pytest.approx((case.mask() == 1).any(1).sum() * SPACING[0], abs=0.15)
    # The band is bright, so labels and picture lie on each other.
    assert item.pixels[item.labels[1] > 0.9].mean() > 1 > item.pixels[item.labels[1] == 0].mean()


def test_an_image_without_endometrium_teaches_absence(tmp_path):
    items = read_folder(annotated(tmp_path), SPEC)
    assert [item.visible for item in items] == [True] * 5 + [False]
    assert not items[-1].labels[1:].any()
    assert items[-1].true_mm is None


def test_an_image_without_scale_has_no_millimetres_and_is_told(tmp_path):
    notes = []
    items = read_folder(annotated(tmp_path, spacing=None), SPEC, notes.append)
    assert not any(item.calibrated for item in items)
    assert all(item.true_mm is None for item in items)
    assert "6 of 6 images have no scale" in notes[0]


def test_faulty_cases_are_told_together(tmp_path):
    folder = annotated(tmp_path)
    Image.new("L", (20, 30)).save(folder / "0.png")
    (folder / "1.png").unlink()
    with pytest.raises(CasesError) as caught:
        read_folder(folder, SPEC)
    assert "0.png: its label has 150 x 160 pixels and the image 30 x 20" in str(caught.value)
    assert "1.png" in str(caught.value)


@given(st.integers(2, 60), st.floats(0.01, 0.9), st.integers(0, 9))
def test_the_split_is_by_patient_and_repeats(n, share, seed):
    names = [f"p{i}" for i in range(n)]
    aside = split_patients(names, share, seed)
    assert aside == split_patients([*reversed(names), *names], share, seed)
    assert 1 <= len(aside) < n
    assert len(aside) == pytest.approx(share * n, abs=1)


def test_no_patient_is_in_both_parts(tmp_path):
    folder = annotated(tmp_path, n=8, patients=["a", "a", "b", "b", "c", "c", "d", "d"])
    items = read_folder(folder, SPEC)
    splits = [split_items([items], 0.3, seed) for seed in range(6)]
    for split in splits:
        sides = [{item.patient for item in part} for part in (split.training, split.validation)]
        assert not sides[0] & sides[1]
        assert len(split.training) + len(split.validation) == 8
    assert len({tuple(item.patient for item in split.validation) for split in splits}) > 1


def test_a_single_patient_cannot_be_split(tmp_path):
    items = read_folder(annotated(tmp_path, patients=["a"] * 6), SPEC)
    with pytest.raises(CasesError, match="all images are of one patient"):
        split_items([items], 0.2, 0)


def test_validation_data_that_were_trained_on_are_refused(tmp_path):
    one = read_folder(annotated(tmp_path / "one"), SPEC)
    other = read_folder(annotated(tmp_path / "other", seed=1), SPEC)
    with pytest.raises(CasesError, match="patients p0, p1"):
        split_items([one], other, 0)
    path = annotated(tmp_path / "again", patients=list("uvwxyz")) / "dataset.json"
    with pytest.raises(CasesError, match=r"the images 0\.png"):
        split_items([one], read_folder(path.parent, SPEC), 0)
    content = json.loads((annotated(tmp_path / "new", seed=2) / "dataset.json").read_text())
    for item in content["items"]:
        del item["patient"]  # the file's name stands for it, and says nothing about who it is
    (tmp_path / "new/dataset.json").write_text(json.dumps(content))
    assert split_items([one], read_folder(tmp_path / "new", SPEC), 0).training == one


def test_the_fingerprint_follows_pictures_and_labels(tmp_path):
    folder = annotated(tmp_path)
    before = fingerprint(read_folder(folder, SPEC))
    assert fingerprint(read_folder(folder, SPEC)) == before
    label = np.array(Image.open(folder / "0-label.png"))
    label[60:70, 60:70] = 2
    Image.fromarray(label).save(folder / "0-label.png")
    assert fingerprint(read_folder(folder, SPEC)) != before


def test_augmentation_repeats_and_moves_labels_with_the_picture(tmp_path):
    item = read_folder(annotated(tmp_path), SPEC)[0]
    transform = augmentation()
    first = augmented(item, transform, (1, 2, 3))
    augmented(item, transform, (1, 2, 4))
    again = augmented(item, transform, (1, 2, 3))
    fresh = augmented(item, augmentation(), (1, 2, 3))
    for other in (again, fresh):
        assert all((a == b).all() for a, b in zip(first, other, strict=True))
    inside = []
    for key in range(20):
        pixels, labels = (part.numpy() for part in augmented(item, transform, (key,)))
        assert pixels.dtype == labels.dtype == np.float32
        assert labels.sum(0) == pytest.approx(np.ones((64, 64)), abs=1e-5)
        assert labels.min() >= -1e-6
        inside.append(pixels[0][labels[1] > 0.9].mean())
    assert min(inside) > 1  # standard deviations: the band stays the bright part


@pytest.mark.parametrize("phantoms", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_the_mix_is_even_and_shows_every_image_once_per_epoch(phantoms):
    real = [real_before(i + 1, phantoms) - real_before(i, phantoms) for i in range(1000)]
    assert set(real) <= {0, 1}
    for first in range(0, 1000, 10):
        assert sum(real[first : first + 10]) == pytest.approx(10 * (1 - phantoms))
    numbers = [item_number(3, i, 7) for i in range(21)]
    assert sorted(numbers) == sorted(list(range(7)) * 3)
    assert numbers[:7] != numbers[7:14]
