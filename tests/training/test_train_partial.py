"""Labels that tell only a part of what is to be seen."""

import json

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

import torch
from annotated import SPACING, annotated
from runs import config_of, rows

from data.cases import CasesError, read_cases
from imaging.grid import GridSpec
from training.config import Loss
from training.items import read_folder, read_item
from training.losses import SegmentationLoss, outline_distance
from training.train import averaged_weights, train
from training.validation import judge

SPEC = GridSpec(64, 1.2)
LABELS = ("background", "endometrium", "fluid", "uterus")


def telling(folder, *labels, numbers=None):
    """Make a data list say what its labels tell; returns the folder."""
    path = folder / "dataset.json"
    content = json.loads(path.read_text())
    for number, item in enumerate(content["items"]):
        if numbers is None or number in numbers:
            item["labels"] = list(labels)
    path.write_text(json.dumps(content))
    return folder


def with_cavity(folder, *, value, numbers=None, half=2):
    """Put a dark cavity of 2 x `half` rows into every band; `value` is what its label says."""
    for number in range(6) if numbers is None else numbers:
        mask = np.array(Image.open(folder / f"{number}-label.png"))
        if not mask.any():
            continue
        at = np.argwhere(mask)
        row, column = at.mean(0).round().astype(int)
        box = (slice(row - half, row + half), slice(column - 31, column + 31))
        mask[box] = value
        Image.fromarray(mask).save(folder / f"{number}-label.png")
        grey = np.array(Image.open(folder / f"{number}.png"))
        grey[box] = 12
        Image.fromarray(grey).save(folder / f"{number}.png")


def test_items_know_what_their_annotation_tells(tmp_path):
    telling(annotated(tmp_path), "endometrium", numbers=[0])
    telling(tmp_path, "fluid", numbers=[5])
    known = [item.known.tolist() for item in read_folder(tmp_path, SPEC)]
    assert known[0] == [True, True, False, False]
    assert known[1:5] == [[True, True, True, False]] * 4
    assert known[5] == [True, False, True, False]


def test_a_label_with_more_than_the_list_says_is_refused(tmp_path):
    with_cavity(telling(annotated(tmp_path), "endometrium"), value=2, numbers=[0])
    with pytest.raises(CasesError, match=r"tells endometrium only, but there is fluid \(2\) in it"):
        read_folder(tmp_path, SPEC)


def test_fluid_left_out_of_the_endometrium_is_left_out_of_the_thickness(tmp_path):
    """Two readers draw the same cavity: one as fluid, one not at all."""
    plain = [read_item(case, SPEC) for case in read_cases(annotated(tmp_path / "plain"))]
    found = []
    for value, labels in ((2, ("endometrium", "fluid")), (0, ("endometrium",))):
        folder = telling(annotated(tmp_path / str(value)), *labels)
        with_cavity(folder, value=value)
        found.append([read_item(case, SPEC) for case in read_cases(folder)])
    for whole, drawn, not_drawn in zip(plain, *found, strict=True):
        if drawn.visible:
            assert drawn.true_mm == pytest.approx(whole.true_mm - 4 * SPACING[0], abs=0.3)
            assert not_drawn.true_mm == pytest.approx(drawn.true_mm, abs=0.1)
            # Where the cavity is, nothing is said but that it is no endometrium.
            assert np.array_equal(not_drawn.labels[1], drawn.labels[1])
            assert not not_drawn.labels[2].any()


@pytest.mark.parametrize("inside", ["background", "fluid", "uterus"])
def test_the_loss_is_the_same_whatever_lies_where_nothing_was_said(inside):
    """Endometrium alone is known: the rest may be anything else, in any mixture, at no cost."""
    truth = torch.zeros(1, 4, 16, 16)
    truth[:, 1, 4:12] = 1
    truth[:, 0] = 1 - truth[:, 1]
    known = torch.tensor([[True, True, False, False]])
    loss = SegmentationLoss(Loss(boundary_weight=1.0, band_weight=1.0), 4, torch.device("cpu"))
    distance = torch.from_numpy(outline_distance(truth[0, 1].numpy(), 0.3)[None])
    logits = torch.full((1, 4, 16, 16), -20.0)
    logits[:, 1, 4:12] = 20.0
    logits[:, LABELS.index(inside), :4] = 20.0
    logits[:, LABELS.index(inside), 12:] = 20.0
    logits.requires_grad_()
    parts = loss(logits, truth, known, distance)
    assert parts.tolist() == pytest.approx([0] * 5, abs=1e-4)
    parts[0].backward()
    assert logits.grad.abs().max() < 1e-6
    # With everything known only the background is right there.
    whole = loss(logits, truth, torch.ones(1, 4, dtype=torch.bool), distance)[2]
    assert (whole > 1) == (inside != "background")


def test_what_is_known_is_still_punished():
    truth = torch.zeros(1, 4, 16, 16)
    truth[:, 1, 4:12] = 1
    truth[:, 0] = 1 - truth[:, 1]
    logits = torch.full((1, 4, 16, 16), -9.0)
    logits[:, 2] = 9.0  # fluid everywhere, the drawn endometrium, too
    known = torch.tensor([[True, True, False, False]])
    loss = SegmentationLoss(Loss(), 4, torch.device("cpu"))
    assert loss(logits, truth, known, torch.zeros(1, 16, 16))[2] > 5


def test_labels_have_weights_of_their_own():
    logits = torch.zeros(1, 4, 1, 1)
    found = []
    for label in range(1, 4):
        truth = torch.zeros(1, 4, 1, 1)
        truth[:, label] = 1
        weights = {"endometrium_weight": 2.0, "fluid_weight": 3.0, "uterus_weight": 5.0}
        loss = SegmentationLoss(Loss(**weights), 4, torch.device("cpu"))
        everything = torch.ones(1, 4, dtype=torch.bool)
        found.append(float(loss(logits, truth, everything, torch.zeros(1, 1, 1))[2]))
    assert found == pytest.approx([2 * np.log(4), 3 * np.log(4), 5 * np.log(4)])


def test_validation_judges_only_what_was_annotated(tmp_path):
    with_cavity(annotated(tmp_path / "whole"), value=2, half=4)
    with_cavity(telling(annotated(tmp_path / "part"), "endometrium"), value=0, half=4)
    whole, part = (read_item(read_cases(tmp_path / name)[0], SPEC) for name in ("whole", "part"))
    # What the network should say: the cavity is fluid.
    found = whole.labels.copy()
    for item in (whole, part):
        judged = judge(item, found, SPEC)
        assert judged.dice == pytest.approx(1, abs=0.02)
        assert judged.error_mm == pytest.approx(0, abs=0.5)
    fluid_only = telling(annotated(tmp_path / "fluid"), "fluid", numbers=[5])
    last = read_folder(fluid_only, SPEC)[-1]
    assert not last.annotated and not last.empty


def test_a_network_learns_from_mixed_annotations(tmp_path):
    """Two thirds of the images tell the endometrium only, the others both. The network learns both
    labels, and finds the fluid in the former, too, where nobody drew it."""
    folder = annotated(tmp_path / "images", n=10, patients=[f"p{n}" for n in range(10)])
    numbers = range(9)
    with_cavity(folder, value=2, numbers=numbers, half=4)
    truths = {n: np.array(Image.open(folder / f"{n}-label.png")) for n in numbers}
    part = [0, 2, 3, 5, 6, 8]
    telling(folder, "endometrium", numbers=part)
    for number in part:
        mask = truths[number].copy()
        mask[mask == 2] = 0
        Image.fromarray(mask).save(folder / f"{number}-label.png")
    config = config_of(
        tmp_path,
        150,
        data='datasets = ["images"]\nphantoms = false\nvalidation = 0.0',
        rate=0.01,
        channels=[8, 16, 16],
        grid_size=64,
        mm_per_px=1.2,
    )
    weights = averaged_weights(train(config, tmp_path / "run"))
    losses = [float(row[1]) for row in rows(tmp_path / "run", "log.csv")]
    assert losses[-1] < 0.7 * losses[0]
    from models.network import Architecture, build_network

    network = build_network(Architecture.halving((8, 16, 16)), 4).eval()
    network.load_state_dict(weights)
    found = []
    for item in read_folder(folder, SPEC)[:9]:
        with torch.inference_mode():
            shares = network(torch.from_numpy(item.pixels)[None, None]).softmax(1)[0].numpy()
        # The cavity: what lies within the band and is not endometrium.
        band = item.labels[1] >= 0.5
        rows_ = np.flatnonzero(band.any(1))
        columns = np.flatnonzero(band.any(0))
        middle = shares[:, rows_.mean().round().astype(int), columns.mean().round().astype(int)]
        found.append(int(middle.argmax()))
    assert sum(label == 2 for label in found) >= 8  # fluid, whether or not it was drawn
