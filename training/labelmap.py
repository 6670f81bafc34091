"""What a network draws as a label image in frame pixels, every label for itself.

The pipeline that measures looks for one band and refuses much; this is the bare segmentation, to
compare networks, and labels other than the endometrium, pixel by pixel.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from data.cases import ANNOTATED, Case, CasesError
from imaging.calipers import find_marks, marks_mask
from inference.frame import segment
from models.bundle import Bundle
from models.runtime import Runtime
from training.items import annotated_frame
from training.metrics import dice


def label_map(case: Case, bundle: Bundle, runtime: Runtime) -> NDArray[np.uint8]:
    """Return the most probable label of every pixel of a case's annotated frame.

    uint8 (rows, columns): 0 background, 1 endometrium, 2 fluid. The uterus, which annotations do
    not tell apart, is background. Probabilities are interpolated linearly from the network grid to
    the frame before the largest is taken. Nothing is left out, neither small pieces nor what the
    quality would refuse. Raises CasesError for an image that cannot be read.
    """
    frame, views = annotated_frame(case)
    found = np.zeros(frame.luma.shape, np.uint8)
    if not views:
        return found
    shown = np.logical_or.reduce([view.sector for view in views])
    graphics = frame.graphics | marks_mask(frame.luma, find_marks(frame.luma, shown))
    channels = [bundle.channel(label) for label in ANNOTATED]
    for view in views:
        grid, looks = segment(frame.luma, graphics, view, bundle, runtime)
        probabilities = looks.mean(0)
        drawn = probabilities[channels]
        each = np.concatenate([(probabilities.sum(0) - drawn.sum(0))[None], drawn])
        rows, columns = np.nonzero(view.sector)
        at = grid.mapping.to_grid(np.stack([rows, columns], 1)).T
        values = [ndimage.map_coordinates(label, at, order=1, mode="nearest") for label in each]
        found[rows, columns] = np.argmax(values, 0).astype(np.uint8)
    return found


def label_scores(
    case: Case, bundle: Bundle, runtime: Runtime, labels: Sequence[str]
) -> dict[str, float | None]:
    """Return Dice of every label on a case's annotated frame, None where the truth has none of it.

    Raises CasesError for an image or truth that cannot be used.
    """
    drawn = label_map(case, bundle, runtime)
    truth = case.mask()
    if truth is None:
        return dict.fromkeys(labels)
    if truth.shape != drawn.shape:
        raise CasesError(
            f"{case.path}: its label has {truth.shape[0]} x {truth.shape[1]} pixels and the image "
            f"{drawn.shape[0]} x {drawn.shape[1]}. A label is drawn on this very image."
        )
    found: dict[str, float | None] = {}
    for label in labels:
        number = ANNOTATED.index(label) + 1
        there = bool((truth == number).any())
        found[label] = dice(drawn == number, truth == number) if there else None
    return found
