"""The project's own reviewed corrections: what a reader drew on the review page."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.fields import CasesError, items, pair, text_of
from data.importers.annotation import Annotation, Fault, Layer, outlined
from data.importers.pictures import Library, PictureError
from data.importers.sniff import json_with
from imaging.errors import ClipError
from imaging.source import Source

# They mean what they are called: `formats.FORMATS` says so.
ENDOMETRIUM, FLUID = "endometrium", "fluid"


def among(files: Sequence[Path]) -> list[Path]:
    """Return the files that are called as the review writes them, and look like it."""
    return [path for path in json_with(files, "items") if path.name == "corrections.json"]


def read(library: Library, files: Sequence[Path]) -> Iterator[Annotation | Fault]:
    """Yield an annotation for each entry of `items`; see `Reader.read`.

    `contours` is the outer outline with the fluid inside it, `fluid` that of the fluid, both
    [row, column] in frame pixels with whole numbers at pixel centres, even-odd.
    """
    for path in files:
        try:
            entries = items(path, "items")
        except CasesError as error:
            yield Fault(library.name(path), str(error))
            continue
        for where, entry in entries:
            try:
                yield _annotation(library, where, entry)
            except (CasesError, PictureError, ClipError) as error:
                message = str(error)
                yield Fault(where, message.removeprefix(f"{where}, "))


def _annotation(library: Library, where: str, entry: dict[str, Any]) -> Annotation:
    file = text_of(entry, "file", where)
    source = Source.at(library.root / file)
    picture = library.open(source)
    said = entry.get("sha256")
    if said is not None and source.sha256() != said:
        raise PictureError(f"{file} has changed since it was reviewed: its sha256 is another one.")
    frame = entry.get("frame")
    if isinstance(frame, bool) or not isinstance(frame, int) or not 1 <= frame <= picture.frames:
        raise PictureError(f"frame {frame!r} is none of the {picture.frames} frames of {file}.")
    size = (picture.rows, picture.columns)
    layers: list[Layer] = []
    for name, key in ((ENDOMETRIUM, "contours"), (FLUID, "fluid")):
        contours = entry.get(key) or []
        if not isinstance(contours, list):
            raise CasesError(f"{where}, {key} is no list of outlines of [row, column].")
        if contours:
            layers.append(outlined(name, [_points(c, f"{where}, {key}") for c in contours], size))
    scale = entry.get("spacing")
    return Annotation(
        where,
        picture,
        tuple(layers),
        frame,
        patient=text_of(entry, "patient", where, default="") or None,
        annotator=text_of(entry, "reviewer", where, default="") or None,
        spacing_mm=None if scale is None else pair(scale, f"{where}, spacing"),
    )


def _points(contour: object, where: str) -> "np.ndarray[Any, np.dtype[np.float64]]":
    try:
        points = np.asarray(contour, dtype=np.float64)
    except (TypeError, ValueError):
        points = np.empty(0)
    if points.ndim != 2 or points.shape[1] != 2:
        raise CasesError(f"{where} is no list of outlines of [row, column].")
    return points
