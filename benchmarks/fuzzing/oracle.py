"""The safety rule of millimetres, written a second time from the words of the design, section 4.

It shares no code with `imaging.calibration`: pydicom reads the header anew, and the rule is applied
in plain arithmetic.
"""

import math
from io import BytesIO
from typing import Any

from pydicom import Dataset, dcmread

LEAST_MM, MOST_MM = 0.01, 1.0
_CLOSE = 1e-4  # relative; scales of two regions that differ by rounding are one


def why_nonsense(
    data: bytes, shape: tuple[int, int], scale_mm: tuple[float, float], source: str
) -> str | None:
    """Return why a scale that was believed must not be, None if it may.

    `data` are the bytes of the file, `shape` (rows, columns) of the decoded frame, `scale_mm`
    millimetres per pixel (row, column), `source` what it is said to come from.
    """
    if not all(LEAST_MM <= value <= MOST_MM for value in scale_mm):
        return f"a scale of {scale_mm} mm per pixel"
    header = _header(data)
    if header is None:
        return "a scale from a file whose header cannot be read"
    stated = (header.get("Rows"), header.get("Columns"))
    if stated != shape:
        return f"a scale for a frame of {shape} where the header says {stated}"
    items = list(header.get("SequenceOfUltrasoundRegions") or [])
    tissue = [item for item in items if _tissue(item)]
    if any(_leaves(item, shape) for item in items):
        return "a scale although a region leaves the image"
    if source == "pixel_spacing":
        if tissue:
            return "PixelSpacing although a region has a scale"
        return None if _near(header.get("PixelSpacing"), scale_mm) else "not what PixelSpacing says"
    if source != "ultrasound_region":
        return f"a scale from {source}, which nobody asked for"
    if not tissue:
        return "no region of tissue in centimetres"
    named = [(10 * abs(item.PhysicalDeltaY), 10 * abs(item.PhysicalDeltaX)) for item in tissue]
    return None if any(_near(scale, scale_mm) for scale in named) else "not what a region says"


def _header(data: bytes) -> Dataset | None:
    try:
        header = dcmread(BytesIO(data), stop_before_pixels=True, force=True)
        # No millimetre depends on PixelRepresentation, but garbage in it keeps pydicom from reading
        header.pop(0x00280103, None)
        return header
    except Exception:  # noqa: BLE001 - hostile bytes raise anything
        return None


def _tissue(item: Dataset) -> bool:
    try:
        return bool(
            item.RegionSpatialFormat == 1
            and item.RegionDataType in (1, 2)
            and item.PhysicalUnitsXDirection == 3
            and item.PhysicalUnitsYDirection == 3
            and float(item.PhysicalDeltaX) != 0
            and float(item.PhysicalDeltaY) != 0
        )
    except Exception:  # noqa: BLE001 - not there, or garbage: no tissue
        return False


def _leaves(item: Dataset, shape: tuple[int, int]) -> bool:
    try:
        return (
            item.RegionLocationMinX0 < -1
            or item.RegionLocationMinY0 < -1
            or item.RegionLocationMaxX1 > shape[1]
            or item.RegionLocationMaxY1 > shape[0]
        )
    except Exception:  # noqa: BLE001 - a box that is not whole says nothing
        return False


def _near(stated: Any, scale_mm: tuple[float, float]) -> bool:
    try:
        pair = [float(value) for value in stated]
    except (TypeError, ValueError):
        return False
    return len(pair) == 2 and all(
        math.isclose(one, other, rel_tol=_CLOSE) for one, other in zip(pair, scale_mm, strict=True)
    )
