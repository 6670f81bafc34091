import math

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from monai.losses import DiceCELoss

from training.config import Loss
from training.losses import FAR_MM, SegmentationLoss, boundary_loss, merge_unknown, outline_distance

CPU = torch.device("cpu")
KNOWN = torch.tensor([[True, True, True, False]])
ALL = torch.ones(2, 4, dtype=torch.bool)


def batch(seed=0, n=2):
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, 4, 8, 8, generator=rng, requires_grad=True)
    labels = torch.rand(n, 4, 8, 8, generator=rng)
    return logits, labels / labels.sum(1, keepdim=True)


def test_unknown_labels_are_within_the_background():
    logits, _ = batch(n=1)
    shares, merged = logits.softmax(1), merge_unknown(logits, KNOWN).softmax(1)
    assert torch.allclose(merged[:, 0], shares[:, 0] + shares[:, 3], atol=1e-6)
    assert torch.allclose(merged[:, 1:3], shares[:, 1:3], atol=1e-6)
    assert (merged[:, 3] == 0).all()


def test_the_marginal_loss_equals_a_computation_by_hand():
    # One pixel: probabilities 0.4, 0.3, 0.1, 0.2; a quarter of it is endometrium.
    logits = torch.log(torch.tensor([0.4, 0.3, 0.1, 0.2])).view(1, 4, 1, 1)
    truth = torch.tensor([0.75, 0.25, 0.0, 0.0]).view(1, 4, 1, 1)
    loss = SegmentationLoss(Loss(endometrium_weight=2.0), 4, CPU)
    found = loss(logits, truth, KNOWN, torch.zeros(1, 1, 1)).tolist()
    total, dice, entropy, boundary, band = found
    assert entropy == pytest.approx(
        -0.75 * math.log(0.4 + 0.2) - 2 * 0.25 * math.log(0.3), abs=1e-5
    )
    smooth = 1e-5
    parts = [
        # endometrium, weight 2: what both have in common is the smaller share
        2 * (1 - (2 * 0.25 + smooth) / (0.3 + 0.25 + smooth)),
        1 - smooth / (0.1 + smooth),  # fluid
        0.0,  # uterus: nobody knows
    ]
    assert dice == pytest.approx(sum(parts) / 3, abs=1e-5)
    assert boundary == band == 0  # they have no weight
    assert total == pytest.approx(dice + 2 * entropy, abs=1e-5)


def test_what_nobody_annotated_costs_nothing():
    logits = torch.tensor([0.0, -9.0, -9.0, 9.0]).view(1, 4, 1, 1).repeat(1, 1, 4, 4)
    truth = torch.zeros(1, 4, 4, 4)
    truth[:, 0] = 1  # background, as far as was said; the network says uterus
    loss = SegmentationLoss(Loss(), 4, CPU)
    known, unknown = (
        float(loss(logits, truth, mask, torch.zeros(1, 4, 4))[2])
        for mask in (torch.ones(1, 4, dtype=torch.bool), KNOWN)
    )
    assert known > 5
    assert unknown < 1e-3


def test_gradients_are_finite_and_known_items_are_untouched():
    logits, truth = batch()
    known = torch.tensor([[True, True, True, True], [True, True, True, False]])
    truth = truth.clone()
    truth[1, 0] += truth[1, 3]
    truth[1, 3] = 0
    loss = SegmentationLoss(Loss(boundary_weight=1.0), 4, CPU)
    loss(logits, truth, known, torch.ones(2, 8, 8))[0].backward()
    assert torch.isfinite(logits.grad).all()
    assert torch.equal(merge_unknown(logits, ALL), logits)
    assert torch.allclose(merge_unknown(logits, known)[0], logits[0], atol=1e-5)


def test_with_everything_known_it_is_monais_dice_and_cross_entropy():
    logits, truth = batch()
    weight = torch.tensor([1.0, 3.0, 1.0, 1.0])
    theirs = DiceCELoss(
        softmax=True, include_background=False, batch=True, lambda_ce=2.0, weight=weight
    )(logits, truth)
    ours = SegmentationLoss(Loss(endometrium_weight=3.0, soft_dice=False), 4, CPU)
    found = ours(logits, truth, ALL, torch.zeros(2, 8, 8))
    assert found[0].item() == pytest.approx(theirs.item(), abs=1e-6)


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_the_loss_is_smallest_where_the_probability_is_the_covered_share(share):
    truth = torch.zeros(1, 4, 8, 8)
    truth[:, 0], truth[:, 1] = 1 - share, share
    loss = SegmentationLoss(Loss(), 4, CPU)
    known = torch.ones(1, 4, dtype=torch.bool)

    def at(p):
        values = torch.tensor([1 - p, p, 1e-6, 1e-6]).log()[None, :, None, None]
        logits = values.expand(1, 4, 8, 8)
        return loss(logits, truth, known, torch.zeros(1, 8, 8))[0].item()

    tried = np.arange(0.05, 1.0, 0.05)
    assert min(tried, key=at) == pytest.approx(share)


def test_distances_run_from_the_outline_in_millimetres():
    share = np.zeros((9, 40), np.float32)
    share[:, :10] = 1  # the outline lies between columns 9 and 10
    distance = outline_distance(share, 0.5)
    assert distance[4, :3] == pytest.approx([4.75, 4.25, 3.75])
    assert distance[4, 9:12] == pytest.approx([0.25, 0.25, 0.75])
    assert distance[4, -1] == FAR_MM
    assert (outline_distance(np.zeros((4, 4), np.float32), 0.5) == FAR_MM).all()


def test_the_boundary_loss_is_kervadecs_but_for_a_constant():
    rng = np.random.default_rng(0)
    share = np.zeros((1, 12, 12), np.float32)
    share[0, 4:8, 3:9] = 1
    distance = torch.from_numpy(outline_distance(share[0], 0.3)[None])
    truth = torch.from_numpy(share)
    signed = torch.where(truth > 0.5, -distance, distance)
    gaps = []
    for _ in range(3):
        shown = torch.from_numpy(rng.random((1, 12, 12), np.float32))
        ours, theirs = boundary_loss(shown, truth, distance), (signed * shown).mean()
        gaps.append(float(ours - theirs))
    assert gaps == pytest.approx([gaps[0]] * 3, abs=1e-6)
    assert float(boundary_loss(truth, truth, distance)) == 0


def test_the_bands_loss_does_not_ask_what_is_uterus():
    logits, truth = batch()
    loss = SegmentationLoss(Loss(band_weight=2.0, cross_entropy_weight=0.0, dice_weight=0), 4, CPU)
    nothing = torch.zeros(2, 8, 8)
    found = loss(logits, truth, ALL, nothing)

    def by_hand(labels):
        """The cross-entropy of three labels."""
        shown = logits.softmax(1)
        three = torch.stack([shown[:, 0] + shown[:, 3], shown[:, 1], shown[:, 2]], 1)
        told = torch.stack([labels[:, 0] + labels[:, 3], labels[:, 1], labels[:, 2]], 1)
        return -(told * three.log()).sum(1).mean().item()

    assert found[4].item() == pytest.approx(by_hand(truth), rel=1e-4)
    assert found[0].item() == pytest.approx(2 * by_hand(truth), rel=1e-4)
    # Whether it is uterus or background moves nothing, what is endometrium does.
    uterus_for_background, endometrium_for_it = truth[:, [3, 1, 2, 0]], truth[:, [1, 0, 2, 3]]
    same = loss(logits, uterus_for_background, ALL, nothing)
    assert same[0].item() == pytest.approx(found[0].item(), rel=1e-6)
    other = loss(logits, endometrium_for_it, ALL, nothing)
    assert other[4].item() == pytest.approx(by_hand(endometrium_for_it), rel=1e-4)
    assert abs(other[4].item() - found[4].item()) > 1e-3


def test_the_bands_loss_leaves_out_what_nobody_annotated():
    logits, truth = batch()
    known = torch.tensor([[True, True, False, False]] * 2)
    told = torch.cat([truth[:, :1] + truth[:, 2:].sum(1, keepdim=True), truth[:, 1:2]], 1)
    told = torch.cat([told, torch.zeros_like(told)], 1)
    loss = SegmentationLoss(Loss(band_weight=1.0), 4, CPU)
    found = loss(logits, told, known, torch.zeros(2, 8, 8))
    found[0].backward()
    assert torch.isfinite(logits.grad).all()
    endometrium = logits.softmax(1)[:, 1]
    by_hand = torch.nn.functional.binary_cross_entropy(endometrium, told[:, 1])
    assert found[4].item() == pytest.approx(by_hand.item(), rel=1e-4)


def test_the_boundary_weight_counts():
    logits, truth = batch()
    without, having = (
        SegmentationLoss(Loss(boundary_weight=w), 4, CPU)(logits, truth, ALL, torch.ones(2, 8, 8))
        for w in (0.0, 10.0)
    )
    assert (having[0] - without[0]).item() == pytest.approx(10 * having[3].item(), rel=1e-4)
    assert having[3].item() > 0
