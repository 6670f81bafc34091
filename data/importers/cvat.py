"""CVAT for images 1.1: XML with polygons and masks."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

from data.importers.annotation import (
    Annotation,
    Fault,
    Layer,
    Mask,
    from_corner,
    outlined,
    size_fault,
)
from data.importers.pictures import Library, Picture, PictureError

SHAPES = ("polygon", "mask", "box", "polyline", "points", "ellipse", "cuboid", "skeleton")


def among(files: Sequence[Path]) -> list[Path]:
    """Return the XML files with CVAT's root element."""
    found = []
    for path in files:
        if path.suffix.lower() == ".xml":
            try:
                with path.open("rb") as file:
                    start = file.read(4096)
            except OSError:
                continue
            if b"<annotations" in start:
                found.append(path)
    return found


def read(library: Library, files: Sequence[Path]) -> Iterator[Annotation | Fault]:
    """Yield an annotation for each <image>; see `Reader.read`."""
    for path in files:
        yield from _file(library, path)


def _file(library: Library, path: Path) -> Iterator[Annotation | Fault]:
    name = library.name(path)
    try:
        root = parse(path)
    except (OSError, ValueError, ET.ParseError) as error:
        yield Fault(name, f"it is no XML, or a damaged one ({error}).")
        return
    if root.find("track") is not None:
        yield Fault(name, 'it is "CVAT for video". Export the task as "CVAT for images 1.1".')
        return
    for image in root.iter("image"):
        said = image.get("name", "")
        where = f"{name}, image {said!r}"
        try:
            picture = library.open(library.find(said))
        except PictureError as error:
            yield Fault(where, str(error))
            continue
        size = _whole(image.get("height")), _whole(image.get("width"))
        if fault := size_fault(where, picture, *size, "its entry"):
            yield fault
            continue
        drawn = [shape for shape in image if shape.tag in SHAPES]
        yield Annotation(where, picture, tuple(_layer(shape, picture) for shape in drawn))


def parse(path: Path) -> ET.Element:
    """Return the root of an XML file in UTF-8. One that declares entities is refused with
    ValueError: a few of them expand to gigabytes, and CVAT writes none."""
    text = path.read_bytes().decode("utf-8-sig")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("it declares a document type or entities")
    return ET.fromstring(text)  # noqa: S314 - no entities


def _layer(shape: ET.Element, picture: Picture) -> Layer:
    name, size = shape.get("label", ""), (picture.rows, picture.columns)
    try:
        if shape.tag == "polygon":
            corners = [pair.split(",") for pair in shape.get("points", "").split(";")]
            return outlined(name, [from_corner(corners)], size)
        if shape.tag == "mask":
            return _mask(name, shape, size)
    except ValueError as error:
        return Layer(name, None, f"{error}.")
    return Layer(name, None, f"it is a {shape.tag}, which is no outline. Draw a polygon or a mask.")


def _mask(name: str, shape: ET.Element, size: tuple[int, int]) -> Layer:
    """Paste run lengths, row by row in a box, those of the background first."""
    left, top, width, height = (_whole(shape.get(k)) for k in ("left", "top", "width", "height"))
    runs = [_whole(run) for run in shape.get("rle", "").split(",")]
    if (
        min(left, top, width - 1, height - 1) < 0
        or top + height > size[0]
        or left + width > size[1]
    ):
        raise ValueError("its mask lies outside the picture")
    if min(runs) < 0 or sum(runs) != width * height:
        raise ValueError("its run lengths do not fill its box")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    mask: Mask = np.zeros(size, bool)
    mask[top : top + height, left : left + width] = flat.reshape(height, width)
    return Layer(name, mask) if mask.any() else Layer(name, None, "its mask is empty.")


def _whole(value: str | None) -> int:
    try:
        return int(value or "")
    except ValueError:
        return -1
