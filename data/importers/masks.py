"""Label images beside scans, PNG or TIFF: the name of a label is its value, or its colour."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.importers.annotation import Annotation, Fault, Layer, size_fault
from data.importers.pairing import drawing_by_name, picture_of
from data.importers.pictures import Library, PictureError
from imaging.mask import MaskError, read_labels

_MASK_SUFFIXES = frozenset({".png", ".tif", ".tiff"})


def among(files: Sequence[Path]) -> list[Path]:
    """Return the files that are masks by their name or their folder."""
    return [
        path for path in files if path.suffix.lower() in _MASK_SUFFIXES and drawing_by_name(path)
    ]


def read(library: Library, files: Sequence[Path]) -> Iterator[Annotation | Fault]:
    """Yield one annotation for each picture that has masks; see `Reader.read`."""
    together: dict[Path, list[Path]] = {}
    masks = frozenset(files)
    for path in files:
        try:
            together.setdefault(picture_of(path, library, masks), []).append(path)
        except PictureError as error:
            yield Fault(library.name(path), str(error))
    for of, drawn in together.items():
        where = library.name(drawn[0])
        try:
            picture = library.open(of)
            layers: list[Layer] = []
            for path in drawn:
                values = read_labels(path)
                rows, columns = values.shape[:2]
                fault = size_fault(library.name(path), picture, rows, columns, "the mask")
                if fault:
                    yield fault
                    break
                layers += layers_of(values)
            else:
                yield Annotation(where, picture, tuple(layers))
        except (MaskError, PictureError) as error:
            yield Fault(where, str(error))


def layers_of(values: NDArray[np.integer]) -> list[Layer]:
    """Return a layer for every value but 0: whole numbers (rows, columns), or colours (rows,
    columns, 3), which are named like #ff0000; black is the background."""
    if values.ndim == 3:
        wide = values.astype(np.int64)
        values = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
        return [Layer(f"#{value:06x}", values == value) for value in np.unique(values) if value]
    return [Layer(str(value), values == value) for value in np.unique(values) if value]
