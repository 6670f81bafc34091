"""COCO JSON: polygons and run lengths, decoded by pycocotools, the format's own library."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.importers.annotation import SLIP_PX, Annotation, Fault, Layer, Mask, size_fault
from data.importers.needs import need
from data.importers.pictures import Library, Picture, PictureError
from data.importers.sniff import json_with

# A polygon of one point in COCO is [x, y]; three make an area.
_LEAST = 6


def among(files: Sequence[Path]) -> list[Path]:
    """Return the JSON files that look like it."""
    return json_with(files, "images", "annotations", "categories")


def read(library: Library, files: Sequence[Path]) -> Iterator[Annotation | Fault]:
    """Yield an annotation for each entry of `images`; see `Reader.read`."""
    need("pycocotools", "COCO JSON")
    for path in files:
        yield from _file(library, path)


def _file(library: Library, path: Path) -> Iterator[Annotation | Fault]:
    name = library.name(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        images = {entry["id"]: entry for entry in content["images"]}
        categories = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
        drawn: dict[Any, list[dict[str, Any]]] = defaultdict(list)
        for entry in content["annotations"]:
            drawn[entry["image_id"]].append(entry)
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        yield Fault(name, f"it is no COCO JSON, or a damaged one ({_say(error)}).")
        return
    for number in drawn.keys() - images.keys():
        yield Fault(
            name, f"{len(drawn[number])} annotations are of image {number!r}, which is not listed."
        )
    for number, entry in images.items():
        where = f"{name}, image {number!r}"
        try:
            picture = library.open(library.find(str(entry["file_name"])))
        except PictureError as error:
            yield Fault(where, str(error))
            continue
        except (KeyError, TypeError) as error:
            yield Fault(where, f"its entry has no file_name ({_say(error)}).")
            continue
        size = (entry.get("height"), entry.get("width"))
        if fault := size_fault(where, picture, *size, "the list of images"):
            yield fault
            continue
        layers = [_layer(item, categories, picture) for item in drawn[number]]
        yield Annotation(where, picture, tuple(layers))


def _layer(entry: dict[str, Any], categories: dict[Any, str], picture: Picture) -> Layer:
    category = entry.get("category_id")
    known = isinstance(category, int | str) and category in categories
    name = categories[category] if known else f"category {category!r}"
    drawn = entry.get("segmentation")
    if not drawn:
        return Layer(name, None, "it is only a box, without segmentation. Outline it.")
    try:
        mask = _decode(drawn, picture.rows, picture.columns)
    except Exception as error:  # noqa: BLE001 - pycocotools raises whatever its C code meets
        said = str(error) if isinstance(error, ValueError) else type(error).__name__
        return Layer(name, None, f"its segmentation cannot be decoded: {said}")
    if not mask.any():
        return Layer(name, None, "its segmentation covers no pixel. Draw it again, or delete it.")
    return Layer(name, mask)


def _decode(drawn: Any, rows: int, columns: int) -> Mask:
    """Return bool (rows, columns). Raises ValueError for what cannot belong to the picture."""
    from pycocotools import mask as coco

    if isinstance(drawn, list):
        for polygon in drawn:
            values = np.asarray(polygon, dtype=np.float64)
            if values.ndim != 1 or len(values) < _LEAST or len(values) % 2:
                raise ValueError("a polygon is [x, y, x, y, ...] of three corners or more.")
            low, high = values.min(), (values.reshape(-1, 2) - (columns, rows)).max()
            if not (low >= -SLIP_PX and high <= SLIP_PX):
                raise ValueError(f"a polygon lies outside the picture of {rows} x {columns}.")
        encoded = coco.merge(coco.frPyObjects(drawn, rows, columns))
    else:
        size, counts = drawn["size"], drawn["counts"]
        if list(size) != [rows, columns]:
            raise ValueError(f"its run lengths are of {size}, the picture is {rows} x {columns}.")
        if isinstance(counts, list):
            if sum(counts) != rows * columns or min(counts, default=0) < 0:
                raise ValueError("its run lengths do not add up to the picture.")
            encoded = coco.frPyObjects(drawn, rows, columns)
        else:
            data = counts.encode("ascii") if isinstance(counts, str) else counts
            _check_runs(data, rows * columns)
            encoded = {"size": [rows, columns], "counts": data}
    found: Mask = coco.decode(encoded).astype(bool)
    return found


def _check_runs(data: bytes, pixels: int) -> None:
    """Raise ValueError unless compressed run lengths add up: the C code trusts them blindly.

    Base 32 with a continuation bit, from the third on the difference to the count before the last
    (rleToString of the COCO API).
    """
    counts: list[int] = []
    value = shift = 0
    for byte in data:
        part = byte - 48
        if not 0 <= part < 64:
            raise ValueError("its run lengths are damaged.")
        value |= (part & 31) << shift
        shift += 5
        if part & 32:
            continue
        if part & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift or sum(counts) != pixels or min(counts, default=0) < 0:
        raise ValueError("its run lengths do not add up to the picture.")


def _say(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else type(error).__name__
