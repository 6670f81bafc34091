"""What every reader of annotations yields: a frame of a picture and what was drawn on it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.importers.pictures import Picture
from data.raster import coverage

Mask = NDArray[np.bool_]
Points = NDArray[np.float64]

# A corner farther outside than this says that the shape was drawn on another picture; what lies
# outside by less is cut off at the edge, because tools let a corner slip over it.
SLIP_PX = 2.0


@dataclass(frozen=True, eq=False)
class Layer:
    """What carries one name in one frame.

    `mask` is bool (rows, columns) in frame pixels. With a `problem` it cannot be used, and `mask`
    is None; that is a fault unless the name is mapped to `ignore`.
    """

    name: str
    mask: Mask | None
    problem: str | None = None


@dataclass(frozen=True, eq=False)
class Annotation:
    """One frame (from 1; None: the only one) of a picture with its layers, in any order.

    `where` names file and entry for messages. `patient`, `annotator` and `spacing_mm` (row, column)
    are what the annotation itself says, None where it does not. No layers: nothing was drawn.
    """

    where: str
    picture: Picture
    layers: tuple[Layer, ...]
    frame: int | None = None
    patient: str | None = None
    annotator: str | None = None
    spacing_mm: tuple[float, float] | None = None


@dataclass(frozen=True)
class Fault:
    """An annotation that cannot be used: where it stands, what was found, and what to do."""

    where: str
    message: str

    def __str__(self) -> str:
        """Return both as one line."""
        return f"{self.where}: {self.message}"


def outlined(name: str, contours: Sequence[Points], shape: tuple[int, int]) -> Layer:
    """Return the layer of closed contours, (n, 2) points (row, column), whole numbers at pixel
    centres, even-odd; a pixel belongs to it if at least half of it is covered.

    A corner more than SLIP_PX outside the frame of `shape`, fewer than three corners and a shape
    that covers no pixel are problems of the layer.
    """
    for points in contours:
        if len(points) < 3:
            return Layer(name, None, f"an outline has {len(points)} corners; it needs three.")
        if not np.isfinite(points).all():
            return Layer(name, None, "an outline has a corner that is no number.")
        beyond = np.maximum(-0.5 - points, points - (np.array(shape) - 0.5)).max()
        if beyond > SLIP_PX:
            return Layer(
                name,
                None,
                f"an outline reaches {beyond:.0f} pixels outside the picture of {shape[0]} x "
                f"{shape[1]} pixels (rows x columns). Check that both belong together.",
            )
    mask: Mask = coverage(contours, shape) >= 0.5
    if not mask.any():
        return Layer(name, None, "the outline covers no pixel. Draw it again, or delete it.")
    return Layer(name, mask)


def from_corner(points: object) -> Points:
    """Return points (row, column), whole numbers at pixel centres, of a list of [x, y] that counts
    from the corner of the picture, as LabelMe, CVAT and COCO do: a pixel's centre is at 0.5.

    Raises ValueError for anything else.
    """
    try:
        values = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.ndim != 2 or values.shape[1] != 2:
        raise ValueError("an outline is a list of [x, y]")
    return values[:, ::-1] - 0.5


def size_fault(
    where: str, picture: Picture, rows: object, columns: object, said_by: str
) -> Fault | None:
    """Return the fault of a picture that has another size than the annotation says."""
    if (rows, columns) == (picture.rows, picture.columns):
        return None
    return Fault(
        where,
        f"{said_by} says {rows} x {columns} pixels (rows x columns), but {picture.name} has "
        f"{picture.rows} x {picture.columns}. Name the folder of the pictures that were drawn on: "
        "--images.",
    )
