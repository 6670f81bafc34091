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


@dataclass(frozen=True)
class Validation:
    """What the averaged weights do on the validation images; None where no image can tell.

    dice: mean over images with endometrium of that of the whole band, fluid included. mae_mm: mean
    absolute error of thicknesses that were measured. refused: share of those with a true thickness
    where nothing was measured. invented: share of images without endometrium where something was.
    score_mm: mean over both kinds of the error, `refused_mm` for what was refused or invented, and
    0 for what was rightly refused; the smallest is the best.
    """

    dice: float | None
    mae_mm: float | None
    refused: float | None
    invented: float | None
    score_mm: float | None


def validate(
    network: torch.nn.Module,
    items: Sequence[Item],
    spec: GridSpec,
    refused_mm: float,
    batch: int,
) -> Validation:
    """Judge a network, on the device where it is, in float32."""
    overlaps, errors, inventions = list[float](), list[float | None](), list[bool]()
    for item, found in zip(items, _probabilities(network, items, batch), strict=True):
        # What lies outside the sector is dropped, as inference drops it.
        bands = np.clip(found[1:3] * item.sector, 0, 1)
        measured = _measured(bands, spec)
        if not item.visible:
            inventions.append(measured is not None)
            continue
        overlaps.append(dice(bands.sum(0) >= 0.5, item.labels[1:3].sum(0) >= 0.5))
        if item.true_mm is not None and item.calibrated:
            errors.append(None if measured is None else abs(measured - item.true_mm))
    known = [error for error in errors if error is not None]
    costs = [refused_mm if error is None else error for error in errors]
    costs += [refused_mm if invented else 0.0 for invented in inventions]
    return Validation(
        dice=_mean(overlaps),
        mae_mm=_mean(known),
        refused=_mean([error is None for error in errors]),
        invented=_mean(inventions),
        score_mm=_mean(costs),
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
