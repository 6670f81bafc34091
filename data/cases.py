"""Clips of which the truth is known: phantoms, drawn outlines, annotated data sets.

A folder holds one of three tables, each a file beside the images:

- `truth.csv`: phantoms, as `endometer phantom` writes them.
- `labels.json`: outlines drawn by a reader, as polygons in pixels.
- `dataset.json`: a list of images with label images (the layout of MONAI's data lists).
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.fields import CasesError, inside, items, pair, positive, short, text_of
from data.raster import coverage
from imaging.clip import Clip, ClipError
from imaging.mask import MEANING, MaskError, read_mask

__all__ = ["Case", "CasesError", "read_cases"]

Spacing = tuple[float, float]
TRUTH, OUTLINES, DATALIST = "truth.csv", "labels.json", "dataset.json"
# What an annotation tells apart unless it says less.
ANNOTATED = ("endometrium", "fluid")
# Corners of an outline farther out than this are garbage; no frame has as many pixels in a row.
FARTHEST_PX = 100_000.0
THICKEST_MM = 100.0


@dataclass(frozen=True)
class Case:
    """A clip and what is true of it.

    `spacing_mm` is the user's mm per pixel (row, column) for images that carry none. `visible`:
    there is an endometrium to be seen. `true_mm` is None where none is visible, and where nobody
    stated it. `families` are the groups it belongs to, such as {"pattern": "thin_line"}; `patient`
    tells which cases are not independent. `label` is the file of a label image, `polygon` corners
    (row, column) in frame pixels, whole numbers at pixel centres. The truth is that of `frame`,
    which counts from 1; it tells the labels `known` from all else, drawn by `annotator`.
    """

    name: str
    path: Path
    spacing_mm: Spacing | None
    visible: bool
    true_mm: float | None
    families: dict[str, str]
    patient: str
    label: Path | None = field(default=None, repr=False)
    polygon: tuple[tuple[float, float], ...] | None = field(default=None, repr=False)
    frame: int = 1
    known: tuple[str, ...] = ANNOTATED
    annotator: str | None = None

    def mask(self, frame: int | None = None) -> NDArray[np.uint8] | None:
        """Return the truth in frame pixels: uint8 (rows, columns), 0 background, 1 endometrium, 2
        fluid; None where there is none.

        A pixel belongs to a polygon that covers at least half of it. `frame` counts from 1, None
        is the annotated one; a label image of a single plane holds for that one alone. Raises
        CasesError for a label that cannot be read.
        """
        wanted = self.frame if frame is None else frame
        if not self.visible:
            return None
        if self.label is not None:
            label = _read_label(self.label)
            if label.ndim == 3:
                return label[wanted - 1] if 1 <= wanted <= len(label) else None
            return label if wanted == self.frame else None
        if self.polygon is None or wanted != self.frame:
            return None
        try:
            with Clip.open(self.path) as clip:
                shape = (clip.rows, clip.columns)
        except ClipError as error:
            raise CasesError(f"{self.path}: {error}") from None
        drawn = (coverage([np.array(self.polygon)], shape) >= 0.5).astype(np.uint8)
        if not drawn.any():
            raise CasesError(
                f"{self.path}: the outline covers no pixel of the {shape[0]} x {shape[1]} image. "
                "Corners are [x, y] in pixels of this very file; draw it again."
            )
        return drawn


def read_cases(folder: Path) -> list[Case]:
    """Read the one table of truths in a folder.

    Raises CasesError if there is none, or more than one, or what it says cannot be used. Images
    are not opened, so that a broken one is a matter of its own case.
    """
    readers: dict[str, Callable[[Path], list[Case]]] = {
        TRUTH: _read_truth,
        OUTLINES: _read_outlines,
        DATALIST: _read_datalist,
    }
    try:
        found = [name for name in readers if (folder / name).is_file()]
    except (OSError, ValueError) as error:
        raise CasesError(f"{folder} cannot be read: {error}.") from None
    if len(found) != 1:
        there = f"more than one of them ({', '.join(found)})" if found else "none of them"
        raise CasesError(
            f"{folder}: a folder with truths holds one of {', '.join(readers)}; here is {there}."
        )
    cases = readers[found[0]](folder)
    if not cases:
        raise CasesError(f"{folder / found[0]} lists no case.")
    return cases


def _read_truth(folder: Path) -> list[Case]:
    table = folder / TRUTH
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CasesError(f"{table} cannot be read: {error}.") from None
    missing = {"file", "thickness_mm"} - set(rows[0] if rows else ())
    if missing:
        raise CasesError(f"{table} has no column {', '.join(sorted(missing))}.")
    cases = []
    for number, row in enumerate(rows, 2):
        where = f"{table}, line {number}"
        values = {name: text or "" for name, text in row.items() if isinstance(name, str)}
        text = values["thickness_mm"].strip()
        true_mm = positive(text, f"{where}, thickness_mm", THICKEST_MM) if text else None
        groups = {
            "pattern": values.get("pattern"),
            "view": values.get("subject"),
            "orientation": values.get("orientation"),
            "fluid": {"true": "with", "false": "without"}.get(values.get("fluid", "")),
            "renderer": values.get("renderer"),
        }
        label = values.get("label")
        cases.append(
            Case(
                name=values["file"],
                path=inside(folder, values["file"], f"{where}, file"),
                spacing_mm=None,  # a phantom is a DICOM file with a scale of its own
                visible=true_mm is not None,
                true_mm=true_mm,
                families={name: group for name, group in groups.items() if group},
                patient=values["file"],
                label=inside(folder, label, f"{where}, label") if label else None,
            )
        )
    return cases


def _read_outlines(folder: Path) -> list[Case]:
    table = folder / OUTLINES
    cases = []
    for where, item in items(table, "labels"):
        name = text_of(item, "file", where)
        visible = item.get("visible")
        if not isinstance(visible, bool):
            raise CasesError(f"{where}, visible is {visible!r}; it must be true or false.")
        thickness, scale = item.get("thickness_mm_est"), item.get("calibration")
        at = f"{where}, thickness_mm_est"
        stated = visible and thickness is not None
        cases.append(
            Case(
                name=name,
                path=inside(folder, name, f"{where}, file"),
                spacing_mm=None if scale is None else _outline_scale(scale, where),
                visible=visible,
                true_mm=positive(thickness, at, THICKEST_MM) if stated else None,
                families=_families(item, where, ("pattern", "view", "confidence")),
                patient=text_of(item, "group", where, default=name),
                polygon=_polygon(item.get("polygon"), f"{where}, polygon") if visible else None,
            )
        )
    return cases


def _read_datalist(folder: Path) -> list[Case]:
    return [read_item(folder, where, item) for where, item in items(folder / DATALIST, "items")]


def read_item(folder: Path, where: str, item: dict[str, Any]) -> Case:
    """Return the case of one item of `dataset.json`, `where` for messages. Raises CasesError."""
    name = text_of(item, "image", where)
    label = inside(folder, text_of(item, "label", where), f"{where}, label")
    scale = item.get("spacing")
    return Case(
        name=name,
        path=inside(folder, name, f"{where}, image"),
        spacing_mm=None if scale is None else pair(scale, f"{where}, spacing"),
        visible=_shows_something(label),
        true_mm=None,
        families=_families(item, where, ("pattern", "view", "source", "annotator")),
        patient=text_of(item, "patient", where, default=name),
        label=label,
        frame=_frame(item.get("frame", 1), f"{where}, frame"),
        known=_known(item.get("labels", list(ANNOTATED)), f"{where}, labels"),
        annotator=text_of(item, "annotator", where, default="") or None,
    )


def _families(item: dict[str, Any], where: str, names: tuple[str, ...]) -> dict[str, str]:
    return {name: text_of(item, name, where) for name in names if item.get(name) is not None}


def _frame(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise CasesError(f"{where} is {short(value)}; it must be a whole number from 1.")
    return value


def _known(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or any(name not in ANNOTATED for name in value):
        raise CasesError(
            f"{where} is {short(value)}; it must list which of {', '.join(ANNOTATED)} the label "
            "image tells apart."
        )
    return tuple(name for name in ANNOTATED if name in value)


def _outline_scale(value: object, where: str) -> Spacing:
    names = ("mm_per_px_y", "mm_per_px_x_est")
    if not isinstance(value, dict):
        raise CasesError(f"{where}, calibration is {short(value)}; it must be an object.")
    row, column = (positive(value.get(name), f"{where}, {name}", 10.0) for name in names)
    return row, column


def _polygon(value: object, where: str) -> tuple[tuple[float, float], ...]:
    """Return corners (row, column) of a list of [x, y]."""
    if not isinstance(value, list) or len(value) < 3:
        raise CasesError(
            f"{where} is {short(value)}; an outline is a list of three or more [x, y]. Where "
            "nothing can be outlined, set visible to false."
        )
    corners = []
    for point in value:
        if (
            not isinstance(point, list)
            or len(point) != 2
            or any(isinstance(c, bool) or not isinstance(c, int | float) for c in point)
            or not all(-FARTHEST_PX < c < FARTHEST_PX for c in point)  # false for NaN, too
        ):
            raise CasesError(f"{where} has the corner {short(point)}; it must be [x, y] in pixels")
        corners.append((float(point[1]), float(point[0])))
    return tuple(corners)


def _shows_something(label: Path) -> bool:
    """Tell whether a label image has any label; a broken one shows when its case is looked at."""
    try:
        return bool(_read_label(label).any())
    except CasesError:
        return True


def _read_label(path: Path) -> NDArray[np.uint8]:
    """Return a label image: uint8 (rows, columns) or (frames, rows, columns)."""
    if path.suffix.lower() != ".nrrd":
        try:
            endometrium, fluid = read_mask(path)
        except MaskError as error:
            raise CasesError(f"{path}: {error}") from None
        label = endometrium.astype(np.uint8)
        return label if fluid is None else np.where(fluid > 0, np.uint8(2), label)
    import SimpleITK as sitk  # noqa: N813 - what its own documentation calls it

    try:
        values: NDArray[np.generic] = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    except RuntimeError as error:
        last = str(error).strip().splitlines()[-1]
        raise CasesError(f"{path} cannot be read as NRRD: {last}") from None
    if values.ndim not in (2, 3) or not np.isin(values, (0, 1, 2)).all():
        raise CasesError(f"{path} has shape {values.shape} or other values. A mask has {MEANING}.")
    return values.astype(np.uint8)
