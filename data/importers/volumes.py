"""NRRD, NIfTI and MetaImage as 3D Slicer and ITK-SNAP write them, brought to the picture's grid.

A segmentation may be cropped, turned or of another resolution: each pixel of the picture takes the
label that lies at its own place in space. Two kinds of names: segments in a `.seg.nrrd` (Slicer),
values elsewhere.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.importers.annotation import SLIP_PX, Annotation, Fault, Layer, Mask
from data.importers.geometry import (
    Grid,
    VolumeError,
    grid_of_picture,
    grid_of_volume,
    read_volume,
    scale_of,
)
from data.importers.pairing import drawing_by_name, picture_of
from data.importers.pictures import (
    Library,
    PictureError,
    as_png,
    is_picture,
    is_volume,
    stem_of,
)

# Names of segments are read for so many at most; a file that says more is broken.
_MOST_SEGMENTS = 1000


@dataclass(frozen=True, eq=False)
class Segmentation:
    """`labels` is uint (layers, slices, rows, columns) on `grid`; segments in different layers may
    overlap. `names` gives the name of a value in a layer."""

    labels: NDArray[np.integer]
    grid: Grid
    names: dict[tuple[int, int], str]


def among(files: Sequence[Path]) -> list[Path]:
    """Return the volumes that are drawings: by their name, their folder, or because a picture that
    is no volume has the same name."""
    flat = {(p.parent, stem_of(p)) for p in files if not is_volume(p) and is_picture(p)}
    return [
        path
        for path in files
        if is_volume(path)
        and (
            path.name.lower().endswith((".seg.nrrd", ".label.nrrd"))
            or drawing_by_name(path)
            or (path.parent, stem_of(path)) in flat
        )
    ]


def read(library: Library, files: Sequence[Path]) -> Iterator[Annotation | Fault]:
    """Yield an annotation for each slice or frame with a label; see `Reader.read`."""
    drawings = frozenset(files)
    for path in files:
        where = library.name(path)
        try:
            of = picture_of(path, library, drawings)
            yield from _file(where, read_segmentation(path), of, library)
        except (PictureError, VolumeError) as error:
            yield Fault(where, str(error))


def read_segmentation(path: Path) -> Segmentation:
    """Read a segmentation. Raises VolumeError."""
    volume = read_volume(path)
    values = volume.values
    labels = values if volume.components else values[np.newaxis]
    if volume.components:
        labels = np.moveaxis(values, -1, 0)
    whole = np.rint(labels)
    if labels.dtype.kind not in "biuf" or not np.array_equal(whole, labels):
        raise VolumeError("it has values that are no whole numbers, so it is no segmentation.")
    names = {}
    for number in range(_MOST_SEGMENTS):
        key = f"Segment{number}_"
        if f"{key}Name" not in volume.said:
            break
        try:
            value = int(volume.said.get(f"{key}LabelValue", "1"))
            layer = int(volume.said.get(f"{key}Layer", "0"))
        except ValueError:
            raise VolumeError(f"the header of segment {number} is damaged.") from None
        names[layer, value] = volume.said[f"{key}Name"].strip()
    return Segmentation(whole.astype(np.int64), volume.grid, names)


def _file(
    where: str, drawn: Segmentation, of: Path, library: Library
) -> Iterator[Annotation | Fault]:
    pixels: NDArray[np.uint8] | None = None
    spacing: tuple[float, float] | None = None
    if is_volume(of):
        grid, pixels = grid_of_volume(of)
        spacing = scale_of(grid)
        library.used.add(of)
        picture = None
    else:
        picture = library.open(of)
        grid = grid_of_picture(of, picture, drawn.grid)
    if outside := _outside(drawn, grid):
        raise VolumeError(
            f"{outside} of its labelled pixels lie outside {library.name(of)} in space. Check that "
            "both belong together, or save the picture from the same program as NRRD."
        )
    labels = np.stack([grid.resample(layer, drawn.grid) for layer in drawn.labels])
    shown = np.flatnonzero(labels.any((0, 2, 3))).tolist() or [0]
    for slice_ in shown:
        layers = tuple(_layers(labels[:, slice_], drawn))
        name = library.name(of)
        if pixels is None and picture is not None:
            yield Annotation(where, picture, layers, slice_ + 1)
        elif pixels is not None:
            one = f"{name}, slice {slice_ + 1}" if len(pixels) > 1 else name
            yield Annotation(where, as_png(pixels[slice_], one, spacing), layers)


def _layers(labels: NDArray[np.integer], drawn: Segmentation) -> Iterator[Layer]:
    for number, layer in enumerate(labels):
        for value in np.unique(layer).tolist():
            if value:
                mask: Mask = layer == value
                yield Layer(drawn.names.get((number, value), str(value)), mask)


def _outside(drawn: Segmentation, grid: Grid) -> int:
    """Count labelled voxels that lie more than SLIP_PX pixels beside the picture."""
    at = np.argwhere(drawn.labels.any(0))
    if not len(at):
        return 0
    index = grid.index_of(drawn.grid.points(at))
    slip = np.array([0.5, SLIP_PX, SLIP_PX])  # in slices there is no slip
    beyond = (index < -0.5 - slip) | (index > np.array(grid.shape) - 0.5 + slip)
    return int(beyond.any(1).sum())
