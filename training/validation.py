"""How well a network in training does on the images kept aside: Dice, and errors in mm.

On the network grid, with the geometry that measures scans, and without refusals for quality:
`endometer evaluate` judges a finished bundle on whole files.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from imaging.grid import GridSpec
from inference.thickness import NotMeasurable, measure_thickness
from training.items import Item
from training.metrics import dice
from training.team import ALONE, Team


@dataclass(frozen=True)
class Validation:
    """What the averaged weights do on the validation images; None where no image can tell.

    dice: mean over images with endometrium of that of the whole band, fluid included. mae_mm: mean
    absolute error of thicknesses that were measured. refused: share of those with a true thickness
    where nothing was measured. invented: share of images without endometrium where something was.
    score_mm: mean over both kinds of the error, `refused_mm` for what was refused or invented, and
    0 for what was rightly refused; the smallest is the best. score_dice: mean over both kinds of
    Dice, 0 for what was invented and 1 for what was rightly refused; the largest is the best.
    """

    dice: float | None
    mae_mm: float | None
    refused: float | None
    invented: float | None
    score_mm: float | None
    score_dice: float | None

    def cost(self, selection: str) -> float | None:
        """Return what `run.selection` makes small: the score in mm, or what Dice lacks to 1."""
        if selection == "dice":
            return None if self.score_dice is None else 1 - self.score_dice
        return self.score_mm if selection == "thickness" else None


@dataclass(frozen=True)
class Judged:
    """One validation image. `dice` is None where there is no endometrium; so is `measured`,
    whether a thickness was, where no true one is known. `error_mm` is None unless measured.
    `invented`: something was measured; None where there is an endometrium."""

    dice: float | None = None
    measured: bool | None = None
    error_mm: float | None = None
    invented: bool | None = None


def validate(
    network: torch.nn.Module,
    items: Sequence[Item],
    spec: GridSpec,
    refused_mm: float,
    batch: int,
    team: Team = ALONE,
) -> Validation:
    """Judge a network, on the device where it is, in float32; every process a share of the items.

    Items of which nobody said where the endometrium is are left out.
    """
    own = team.mine([item for item in items if item.annotated])
    found = _probabilities(network, own, batch)
    judged = [judge(item, shown, spec) for item, shown in zip(own, found, strict=True)]
    return summed(team.everyones(judged), refused_mm)


def judge(item: Item, probabilities: NDArray[np.float32], spec: GridSpec) -> Judged:
    """Compare probabilities float32 (labels, n, n) with an item whose endometrium is annotated.

    Dice is that of endometrium and fluid together, of the endometrium alone where fluid is unknown.
    """
    # What lies outside the sector is dropped, as inference drops it.
    bands = np.clip(probabilities[1:3] * item.sector, 0, 1)
    measured = _measured(bands, spec)
    if item.empty:
        return Judged(invented=measured is not None)
    told = item.known[1:3]
    overlap = dice(bands[told].sum(0) >= 0.5, item.labels[1:3][told].sum(0) >= 0.5)
    if item.true_mm is None or not item.calibrated:
        return Judged(overlap)
    error = None if measured is None else abs(measured - item.true_mm)
    return Judged(overlap, measured is not None, error)


def summed(judged: Sequence[Judged], refused_mm: float) -> Validation:
    """Return what images amount to, whatever their order."""
    overlaps = [each.dice for each in judged if each.dice is not None]
    truths = [each for each in judged if each.measured is not None]
    known = [each.error_mm for each in truths if each.error_mm is not None]
    inventions = [each.invented for each in judged if each.invented is not None]
    costs = [refused_mm if each.error_mm is None else each.error_mm for each in truths]
    costs += [refused_mm if invented else 0.0 for invented in inventions]
    return Validation(
        dice=_mean(overlaps),
        mae_mm=_mean(known),
        refused=_mean([not each.measured for each in truths]),
        invented=_mean(inventions),
        score_mm=_mean(costs),
        score_dice=_mean(overlaps + [0.0 if invented else 1.0 for invented in inventions]),
    )


def _probabilities(
    network: torch.nn.Module, items: Sequence[Item], batch: int
) -> Iterator[NDArray[np.float32]]:
    device = next(network.parameters()).device
    training = network.training
    network.eval()
    with torch.inference_mode():
        for first in range(0, len(items), batch):
            pixels = np.stack([item.pixels for item in items[first : first + batch]])
            logits = network(torch.from_numpy(pixels)[:, None].to(device))
            yield from logits.float().softmax(1).cpu().numpy()
    network.train(training)


def _measured(bands: NDArray[np.float32], spec: GridSpec) -> float | None:
    try:
        found = measure_thickness(bands[0], (spec.mm_per_px, spec.mm_per_px), fluid=bands[1])
    except NotMeasurable:
        return None
    return found.thickness_mm


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
