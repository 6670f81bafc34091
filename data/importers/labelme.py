"""LabelMe JSON: one file a picture, polygons and masks, the picture inside or beside it."""

import base64
import binascii
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data.importers.annotation import (
    Annotation,
    Fault,
    Layer,
    Mask,
    from_corner,
    outlined,
    size_fault,
)
from data.importers.pictures import Library, Picture, PictureError, embedded
from data.importers.sniff import json_with


def among(files: Sequence[Path]) -> list[Path]:
    """Return the JSON files that look like it."""
    return json_with(files, "shapes")


def read(library: Library, files: Sequence[Path]) -> Iterator[Annotation | Fault]:
    """Yield an annotation for each file; see `Reader.read`."""
    for path in files:
        yield _file(library, path)


def _file(library: Library, path: Path) -> Annotation | Fault:
    where = library.name(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        shapes = list(content["shapes"])
        said = content.get("imageHeight"), content.get("imageWidth")
        picture = _picture(content, library, path)
        if fault := size_fault(where, picture, *said, "the file"):
            return fault
        layers = tuple(_layer(shape, picture) for shape in shapes)
    except PictureError as error:
        return Fault(where, str(error))
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        return Fault(where, f"it is no LabelMe JSON, or a damaged one ({type(error).__name__}).")
    return Annotation(where, picture, layers)


def _picture(content: dict[str, Any], library: Library, path: Path) -> Picture:
    """Return the picture beside the file, else the one inside.

    The one beside may be a DICOM file with its scale, of which the one inside is a copy.
    """
    name, data = content.get("imagePath"), content.get("imageData")
    try:
        return library.open(library.find(name if isinstance(name, str) and name else path.name))
    except PictureError:
        if not isinstance(data, str) or not data:
            raise
    try:
        return embedded(base64.b64decode(data, validate=True), library.name(path))
    except binascii.Error:
        raise PictureError("the picture inside is damaged.") from None


def _layer(shape: dict[str, Any], picture: Picture) -> Layer:
    name, kind = str(shape["label"]), shape.get("shape_type") or "polygon"
    size = (picture.rows, picture.columns)
    try:
        if kind == "polygon":
            return outlined(name, [from_corner(shape["points"])], size)
        if kind == "mask":
            return _mask(name, shape, size)
    except ValueError as error:
        return Layer(name, None, f"{error}.")
    return Layer(name, None, f"it is a {kind}, which is no outline. Draw a polygon.")


def _mask(name: str, shape: dict[str, Any], size: tuple[int, int]) -> Layer:
    """Paste a mask: PNG in base64 that fills the box of whole-numbered corners, both included."""
    (left, top), (right, bottom) = np.asarray(shape["points"]).round().astype(int).tolist()
    try:
        with Image.open(io.BytesIO(base64.b64decode(shape["mask"])), formats=("PNG",)) as image:
            part = np.asarray(image.convert("L")) > 0
    except Exception:  # noqa: BLE001 - damaged images raise nearly anything
        raise ValueError("its mask cannot be read") from None
    inside = 0 <= top <= bottom < size[0] and 0 <= left <= right < size[1]
    if not inside or part.shape != (bottom - top + 1, right - left + 1):
        raise ValueError("its mask does not fit its box in the picture")
    mask: Mask = np.zeros(size, bool)
    mask[top : bottom + 1, left : right + 1] = part
    return Layer(name, mask) if mask.any() else Layer(name, None, "its mask is empty.")
