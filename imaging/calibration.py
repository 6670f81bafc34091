"""Millimetres per pixel, or the reason why there are none: the safety rule, design section 4.

A wrong scale gives a confident wrong thickness, the worst outcome there is. So every doubt is a
refusal that says what was found, and there is no default. Nothing but the region list (PS3.3
C.8.5.5) and PixelSpacing (PS3.3 10.7.1.3) is read from a header: ImagerPixelSpacing and
NominalScannedPixelSpacing describe detectors and paper, not tissue.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imaging.reasons import Reason, Refusal
from imaging.regions import Box, Region, number_of, regions
from imaging.ruler import SQUARE, Ruler

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = [
    "Box",
    "Calibration",
    "CalibrationSource",
    "Region",
    "calibrate",
    "decide_calibration",
    "regions",
    "ruler_calibration",
    "tissue_boxes",
    "user_calibration",
]

MIN_MM, MAX_MM = 0.01, 1.0
"""Plausible millimetres per pixel, both included."""

RULER_TOLERANCE = 0.03
"""A ruler and a header that differ by more contradict each other."""

# Deltas are doubles that went through single precision in some scanners (6e-8)
_SAME = 1e-5

_Outline = NDArray[np.floating[Any]]


class CalibrationSource(StrEnum):
    """Where millimetres come from; written beside every number."""

    ULTRASOUND_REGION = "ultrasound_region"
    PIXEL_SPACING = "pixel_spacing"
    RULER = "ruler"
    USER = "user"


@dataclass(frozen=True)
class Calibration:
    """Millimetres per pixel along rows (vertical) and columns (horizontal).

    `box` is where they hold; None means the whole image. When several regions of one scale were
    merged because no outline chose between them, it is the box around them all: call `calibrate`
    again with the outline before a length is believed.
    """

    row_mm: float
    column_mm: float
    source: CalibrationSource
    box: Box | None = None
    uncertainty: float = 0.0
    """Relative standard uncertainty, where the source is not exact: that of a ruler."""

    @property
    def spacing_mm(self) -> tuple[float, float]:
        """(row, column)."""
        return self.row_mm, self.column_mm


def tissue_boxes(header: "Dataset | None", shape: tuple[int, int]) -> tuple[Box, ...]:
    """Return the boxes of all regions that could calibrate, to crop to before there is an outline.

    Each is cut to the image of `shape` (rows, columns); one that leaves the image is left out,
    and so is one that lies in another. Two screens side by side give two. From top to bottom,
    then left to right.
    """
    found = {region.box_in(shape) for region in regions(header) if region.is_candidate}
    boxes = sorted(box for box in found if box is not None)
    return tuple(
        box for box in boxes if not any(other != box and other.holds(box) for other in boxes)
    )


def calibrate(
    header: "Dataset | None", shape: tuple[int, int], outline: _Outline | None = None
) -> Calibration | Refusal:
    """Return the scale that the header gives, or why it gives none that is safe.

    Args:
        header: DICOM data set, None for an image without one.
        shape: (rows, columns) of the decoded frame.
        outline: (n, 2) float of (row, column) in frame pixels, n > 0: what is to be measured.
            Between regions of different scale, the one that holds all of it decides.

    Returns:
        A Calibration from a region or from PixelSpacing, or a Refusal with reason
        no_calibration, ambiguous_calibration or implausible_calibration.

    Raises:
        ValueError: the outline has another shape.
    """
    if outline is not None and (outline.ndim != 2 or outline.shape[1] != 2 or not len(outline)):
        raise ValueError(f"outline must be (n, 2) with n > 0, not {outline.shape}")
    found = regions(header)
    outside = [region for region in found if region.leaves(shape)]
    if outside:
        return _resized(outside, shape)
    candidates = [region for region in found if region.is_candidate]
    if not candidates:
        return _pixel_spacing(header, found)
    return _from_regions(candidates, shape, outline)


def user_calibration(row_mm: float, column_mm: float) -> Calibration | Refusal:
    """Return the scale that a person gives, millimetres per pixel, if it is plausible."""
    if not (_plausible(row_mm) and _plausible(column_mm)):
        return _implausible(f"The given spacing is {_mm((row_mm, column_mm))}")
    return Calibration(float(row_mm), float(column_mm), CalibrationSource.USER)


def ruler_calibration(ruler: Ruler) -> Calibration | Refusal:
    """Return the scale that a depth ruler alone gives, if the pixels are square.

    That they are is known from the fan to within SQUARE, either way alike: the standard
    uncertainty of that is SQUARE / sqrt(3), beside the ruler's own (GUM, 4.3.7).
    """
    if not ruler.square:
        return Refusal(
            Reason.NO_CALIBRATION,
            f"The depth ruler in the picture says {ruler.row_mm:.5g} mm per pixel row, but the "
            "picture is squeezed: its arcs are no circles, and nothing says how wide a column is. "
            "Export the clip as DICOM with its regions, or give the millimetres per pixel: "
            "--spacing ROW,COLUMN.",
        )
    if not _plausible(ruler.row_mm):
        return _implausible(f"The depth ruler says {_mm((ruler.row_mm,))}")
    uncertainty = math.hypot(ruler.uncertainty, SQUARE / math.sqrt(3))
    source = CalibrationSource.RULER
    return Calibration(ruler.row_mm, ruler.row_mm, source, uncertainty=uncertainty)


def decide_calibration(
    header: "Dataset | None",
    shape: tuple[int, int],
    outline: _Outline | None = None,
    *,
    ruler: Ruler | None = None,
    allow_ruler: bool = False,
    user: Calibration | None = None,
) -> Calibration | Refusal:
    """Return the scale to use: header, then ruler, then user; the order lives only here.

    The ruler and the user are asked only if the header carries nothing at all: a header that was
    refused as ambiguous or implausible stays refused, and a good one is never overridden. A ruler
    that contradicts a good header by more than RULER_TOLERANCE in rows makes both doubtful.

    Args:
        header: see `calibrate`, as are `shape` and `outline`.
        shape: (rows, columns).
        outline: (n, 2) or None.
        ruler: the depth ruler in the pixels, if one was read.
        allow_ruler: take the ruler's scale if the header has none, not only check the header.
        user: scale from `user_calibration`, if one was given.
    """
    stated = calibrate(header, shape, outline)
    if isinstance(stated, Refusal):
        if stated.reason is not Reason.NO_CALIBRATION:
            return stated
        read = ruler_calibration(ruler) if ruler and allow_ruler else None
        return read if isinstance(read, Calibration) else user or read or stated
    if ruler and abs(ruler.row_mm - stated.row_mm) > RULER_TOLERANCE * stated.row_mm:
        return Refusal(
            Reason.IMPLAUSIBLE_CALIBRATION,
            f"The header says {_mm(stated.spacing_mm)} ({stated.source}), the depth ruler in "
            f"the picture {ruler.row_mm:.5g} mm per row. They differ by more than "
            f"{RULER_TOLERANCE:.0%}, so the picture was probably resized after scanning. "
            "Export the clip again in its original size.",
        )
    return stated


def _from_regions(
    candidates: list[Region], shape: tuple[int, int], outline: _Outline | None
) -> Calibration | Refusal:
    """Decide between candidate regions, none of which leaves the image."""
    deciding: list[tuple[Box, Region]] = []
    for region in candidates:
        box = region.box_in(shape)
        if box is None:
            return Refusal(
                Reason.IMPLAUSIBLE_CALIBRATION,
                f"Region {region.number} has a scale but no valid box, so nobody knows where the "
                "scale holds. Export the clip again.",
            )
        if outline is None or box.contains(outline):
            deciding.append((box, region))
    if not deciding:
        return Refusal(
            Reason.AMBIGUOUS_CALIBRATION,
            "The outline lies in none of the calibrated regions as a whole "
            f"({'; '.join(_named(region) for region in candidates)}). "
            "Choose a frame in which the endometrium lies within one picture.",
        )
    doubtful = [region for _, region in deciding if not all(map(_plausible, region.mm))]
    if doubtful:
        return _implausible("; ".join(_named(region) for region in doubtful))
    scales = np.array([region.mm for _, region in deciding])
    if (scales.max(axis=0) > scales.min(axis=0) * (1 + _SAME)).any():
        return Refusal(
            Reason.AMBIGUOUS_CALIBRATION,
            f"{len(deciding)} regions could be meant, and their scales differ: "
            f"{'; '.join(_named(region) for _, region in deciding)}. "
            "Export the picture alone, without inset or second picture.",
        )
    row_mm, column_mm = min(region.mm for _, region in deciding)
    boxes = np.array([(b.row_0, b.column_0, b.row_1, b.column_1) for b, _ in deciding])
    low, high = boxes.min(axis=0), boxes.max(axis=0)
    box = Box(int(low[0]), int(low[1]), int(high[2]), int(high[3]))
    return Calibration(row_mm, column_mm, CalibrationSource.ULTRASOUND_REGION, box)


def _pixel_spacing(header: "Dataset | None", found: tuple[Region, ...]) -> Calibration | Refusal:
    stated, values = _read_spacing(header)
    if not stated:
        where = "The image has no DICOM header"
        if header is not None:
            listed = f"its {len(found)} regions do not" if found else "it has no region list"
            where = (
                "The header has no scale: no region gives centimetres for a 2D tissue image "
                f"({listed}), and there is no PixelSpacing"
            )
        return Refusal(
            Reason.NO_CALIBRATION,
            f"{where}. Export the clip as DICOM with its regions, or give the millimetres per "
            "pixel: --spacing ROW,COLUMN.",
        )
    if len(values) != 2 or not all(map(_plausible, values)):
        return _implausible(f"PixelSpacing is {_mm(values)}")
    return Calibration(values[0], values[1], CalibrationSource.PIXEL_SPACING)


def _read_spacing(header: "Dataset | None") -> tuple[bool, tuple[float, ...]]:
    """Return whether PixelSpacing is there and not empty, and its values, NaN for garbage."""
    if header is None or "PixelSpacing" not in header:
        return False, ()
    try:
        value = header["PixelSpacing"].value
    except Exception:  # noqa: BLE001 - pydicom converts on access, and garbage raises anything
        return True, (math.nan, math.nan)
    if value is None or value == "" or (not isinstance(value, str | float) and not len(value)):
        return False, ()
    items = [value] if isinstance(value, str | float | int) else list(value)
    numbers = [number_of(item) for item in items]
    return True, tuple(math.nan if number is None else number for number in numbers)


def _plausible(mm: float) -> bool:
    return MIN_MM <= mm <= MAX_MM


def _resized(outside: list[Region], shape: tuple[int, int]) -> Refusal:
    boxes = "; ".join(
        f"region {region.number}: "
        + (region.box.as_text() if region.box else "a box that is not whole")
        for region in outside
    )
    return Refusal(
        Reason.IMPLAUSIBLE_CALIBRATION,
        f"The image has {shape[0]} rows x {shape[1]} columns, but the header places a region "
        f"outside it ({boxes}). The image was resized or cropped after scanning, so its scale no "
        "longer holds. Export the clip again in its original size.",
    )


def _implausible(found: str) -> Refusal:
    return Refusal(
        Reason.IMPLAUSIBLE_CALIBRATION,
        f"{found}; only {MIN_MM} to {MAX_MM} mm per pixel are believed. Check the export; "
        "--spacing cannot replace a scale that the file states.",
    )


def _named(region: Region) -> str:
    box = f" ({region.box.as_text()})" if region.box is not None else ""
    return f"region {region.number}{box} {_mm(region.mm)}"


def _mm(values: tuple[float, ...]) -> str:
    return f"{' x '.join(f'{value:.5g}' for value in values)} mm per pixel (row x column)"
