"""The ultrasound regions of a header: SequenceOfUltrasoundRegions, PS3.3 C.8.5.5."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pydicom import Dataset

SPATIAL_FORMATS = {1: "2D", 2: "M-mode", 3: "spectral", 4: "waveform", 5: "graphics"}
_TISSUE, _COLOUR_FLOW = 1, 2
_CENTIMETRES = 3


@dataclass(frozen=True, order=True)
class Box:
    """A rectangle of whole pixels; all four indices belong to it."""

    row_0: int
    column_0: int
    row_1: int
    column_1: int

    def contains(self, points: NDArray[np.floating[Any]]) -> bool:
        """Tell whether all points (n, 2) of (row, column) lie on the box's pixels.

        A pixel reaches half a pixel to either side of its index. NaN lies nowhere.
        """
        low = np.array([self.row_0, self.column_0]) - 0.5
        high = np.array([self.row_1, self.column_1]) + 0.5
        return bool(((points >= low) & (points <= high)).all())

    def holds(self, other: "Box") -> bool:
        """Tell whether the other box lies in this one; equal boxes hold each other."""
        return (
            self.row_0 <= other.row_0
            and self.column_0 <= other.column_0
            and self.row_1 >= other.row_1
            and self.column_1 >= other.column_1
        )

    def as_text(self) -> str:
        """Return the box for a message."""
        return f"rows {self.row_0} to {self.row_1}, columns {self.column_0} to {self.column_1}"


@dataclass(frozen=True)
class Region:
    """One region as the header states it; None where an element is absent, empty or garbage."""

    number: int
    """Place in the sequence, from 1."""
    spatial_format: int | None
    data_type: int | None
    flags: int | None
    box: Box | None
    """As stated, unclipped; None unless all four limits are there."""
    row_unit: int | None
    column_unit: int | None
    row_delta: float | None
    """PhysicalDeltaY as stated: unit per pixel, maybe negative; NaN if it is no number."""
    column_delta: float | None
    limits: tuple[int | None, int | None, int | None, int | None] = (None, None, None, None)
    """Of the box, row_0, column_0, row_1, column_1, also where some of them are missing."""

    @property
    def is_candidate(self) -> bool:
        """Whether it claims to calibrate tissue: 2D, tissue or colour flow, cm, deltas not zero."""
        return (
            self.spatial_format == 1
            and self.data_type in (_TISSUE, _COLOUR_FLOW)
            and self.row_unit == _CENTIMETRES
            and self.column_unit == _CENTIMETRES
            and self.row_delta not in (None, 0.0)
            and self.column_delta not in (None, 0.0)
        )

    @property
    def mm(self) -> tuple[float, float]:
        """Millimetres per pixel in (rows, columns) of a candidate: 10 * |delta|; else NaN."""
        row, column = (
            math.nan if delta is None else 10.0 * abs(delta)
            for delta in (self.row_delta, self.column_delta)
        )
        return row, column

    def box_in(self, shape: tuple[int, int]) -> Box | None:
        """Return the box cut to an image of `shape` (rows, columns).

        An off-by-one at any edge is cut off. None if the box is absent or inverted, or leaves
        the image by more than that.
        """
        if self.box is None or self.leaves(shape):
            return None
        rows, columns = shape
        box = Box(
            max(self.box.row_0, 0),
            max(self.box.column_0, 0),
            min(self.box.row_1, rows - 1),
            min(self.box.column_1, columns - 1),
        )
        return box if box.row_0 <= box.row_1 and box.column_0 <= box.column_1 else None

    def leaves(self, shape: tuple[int, int]) -> bool:
        """Tell whether the box leaves an image of `shape` (rows, columns) by over one pixel.

        So does one of which a single limit lies outside, whatever the others are.
        """
        return any(
            limit is not None and not -1 <= limit <= size
            for limit, size in zip(self.limits, (*shape, *shape), strict=True)
        )


def regions(header: "Dataset | None") -> tuple[Region, ...]:
    """Return the regions in the order of the header; empty if there are none or no header."""
    items = _value(header, "SequenceOfUltrasoundRegions")
    try:
        return tuple(_region(number, item) for number, item in enumerate(items or (), start=1))
    except TypeError:  # the element is no sequence
        return ()


def _region(number: int, item: "Dataset") -> Region:
    # X runs along a row, so it counts columns: PS3.3 C.8.5.5.1.2
    limits = [
        _whole(item, f"RegionLocation{name}") for name in ("MinY0", "MinX0", "MaxY1", "MaxX1")
    ]
    complete = [limit for limit in limits if limit is not None]
    return Region(
        number=number,
        spatial_format=_whole(item, "RegionSpatialFormat"),
        data_type=_whole(item, "RegionDataType"),
        flags=_whole(item, "RegionFlags"),
        box=Box(*complete) if len(complete) == len(limits) else None,
        row_unit=_whole(item, "PhysicalUnitsYDirection"),
        column_unit=_whole(item, "PhysicalUnitsXDirection"),
        row_delta=number_of(_value(item, "PhysicalDeltaY")),
        column_delta=number_of(_value(item, "PhysicalDeltaX")),
        limits=(limits[0], limits[1], limits[2], limits[3]),
    )


def number_of(value: object) -> float | None:
    """Return a header value as a float: None if absent or empty, NaN if it is no number."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _whole(item: "Dataset", keyword: str) -> int | None:
    value = number_of(_value(item, keyword))
    if value is None or not math.isfinite(value) or value != int(value):
        return None
    return int(value)


def _value(item: "Dataset | None", keyword: str) -> Any:
    """Return an element's value, None if it is absent or cannot be converted."""
    if item is None:
        return None
    try:
        return item.get(keyword)
    except Exception:  # noqa: BLE001 - pydicom converts on access, and garbage raises anything
        return None
