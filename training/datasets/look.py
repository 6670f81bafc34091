"""What one item of a data set is like: everything that a check or a split needs to know of it."""

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from data.cases import Case, CasesError
from data.importers.needs import need
from imaging.calibration import Calibration, decide_calibration, user_calibration
from imaging.clip import Clip, ClipError
from imaging.identifying import identifying_elements, identifying_text
from imaging.mask import MaskError, read_mask
from imaging.reasons import Reason, Refusal
from imaging.ruler import Ruler, find_ruler
from imaging.source import Source
from inference.clip import Settings, find_views
from inference.frame import View
from inference.thickness import SMALLEST_PX, NotMeasurable, measure_thickness

# The perceptual hash (pHash of ImageHash) has HASH_SIDE x HASH_SIDE bits.
HASH_SIDE = 16
# Share of a label that may lie outside the ultrasound image before it is told.
OUTSIDE = 0.02
# Smaller pieces beside the largest, as a share of the label, are specks of the drawing tool.
SPECK = 0.01
# Header elements that a message lists before it counts the rest.
LISTED = 6


class Level(StrEnum):
    """How bad a finding is: an error must be mended before training, a warning be known."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """One thing that is odd: its kind in a word, the file, what was found and what to do."""

    level: Level
    kind: str
    file: str
    message: str


@dataclass(frozen=True, eq=False)
class Look:
    """One item as it was found.

    `named`: the data set says whose it is. `pixels` is the SHA-256 of the frame's grey levels,
    `perceptual` bool (HASH_SIDE**2,) of the ultrasound image, both None for what cannot be read.
    `spacing_mm` is the safe scale, `thickness_mm` that of the drawing; None where there is none.
    """

    folder: Path
    case: Case
    named: bool
    findings: tuple[Finding, ...]
    pixels: str | None = None
    perceptual: NDArray[np.bool_] | None = field(default=None, repr=False)
    spacing_mm: tuple[float, float] | None = None
    thickness_mm: float | None = None
    empty: bool = False

    @property
    def file(self) -> str:
        """The image, as messages name it."""
        return str(self.case.path)


class _Notes:
    """Findings of one item, as they come."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: list[Finding] = []

    def error(self, kind: str, message: str) -> None:
        self.found.append(Finding(Level.ERROR, kind, self.file, message))

    def warning(self, kind: str, message: str) -> None:
        self.found.append(Finding(Level.WARNING, kind, self.file, message))


def look_at(folder: Path, case: Case, *, named: bool) -> Look:
    """Look at one item; never raises for what is in its files.

    Raises MissingPackageError if ImageHash is not there.
    """
    need("imagehash", "finding the same picture saved twice")
    notes = _Notes(str(case.path))
    truth = _label(case, notes)
    luma: NDArray[np.uint8] | None = None
    views: list[View] = []
    scale: Calibration | Refusal | None = None
    try:
        with Clip.open(case.path) as clip:
            shape = (clip.rows, clip.columns)
            if truth is not None and truth.shape != shape:
                notes.error(
                    "size",
                    f"its label has {truth.shape[0]} x {truth.shape[1]} pixels and the image "
                    f"{shape[0]} x {shape[1]} (rows x columns). A label is drawn on this very "
                    "image.",
                )
                truth = None
            if case.frame > clip.frames:
                notes.error(
                    "frame", f"its label is of frame {case.frame}, the clip has {clip.frames}."
                )
            else:
                luma = clip.frame(case.frame).luma
                views = find_views(clip, Settings(user=_user(case, notes)))
                scale = _scale(clip, case, truth, views, luma)
            _identity(clip, case, notes)
    except ClipError as error:
        notes.error("unreadable", f"{error} Put the image in its place, or take the item out.")
    if luma is None:
        return Look(folder, case, named, tuple(notes.found))
    spacing = _told_scale(scale, notes)
    empty = not case.visible or (truth is not None and not truth.any())
    if truth is not None and not empty:
        _drawn(truth, views, notes)
    elif empty:
        notes.warning("empty", "its label is empty: it teaches the network to refuse.")
    mm = None if truth is None or empty else _thickness(truth, spacing, notes)
    return Look(
        folder,
        case,
        named,
        tuple(notes.found),
        pixels=hashlib.sha256(repr(luma.shape).encode() + luma.tobytes()).hexdigest(),
        perceptual=_perceptual(luma, views),
        spacing_mm=spacing,
        thickness_mm=mm,
        empty=empty,
    )


def _label(case: Case, notes: _Notes) -> NDArray[np.uint8] | None:
    """Return the truth of the case's frame, uint8 (rows, columns); None where there is none, or
    none that can be used."""
    try:
        drawn = case.mask()
        if drawn is None and case.label is not None and case.label.suffix.lower() != ".nrrd":
            drawn = read_mask(case.label)[0].astype(np.uint8)
    except (CasesError, MaskError) as error:
        notes.error("label", f"{error} Mend the label, or take the item out.")
        return None
    if drawn is None and case.visible:
        notes.warning("undrawn", "nobody drew what it shows, so nothing is learned from it.")
    if drawn is not None and (drawn == 2).any() and "fluid" not in case.known:
        notes.error("labels", "its label has fluid, which its `labels` says was not drawn.")
    return drawn


def _user(case: Case, notes: _Notes) -> Calibration | None:
    if case.spacing_mm is None:
        return None
    scale = user_calibration(*case.spacing_mm)
    if isinstance(scale, Calibration):
        return scale
    notes.error("spacing", f"{scale.message} Correct its spacing in dataset.json.")
    return None


def _scale(
    clip: Clip,
    case: Case,
    truth: NDArray[np.uint8] | None,
    views: list[View],
    luma: NDArray[np.uint8],
) -> Calibration | Refusal:
    """Return the scale of what was drawn, as `measure` would have it."""
    at = None if truth is None or not truth.any() else np.argwhere(truth).astype(float)
    user = None if case.spacing_mm is None else user_calibration(*case.spacing_mm)
    ruler = find_ruler(luma, views[0].sector) if len(views) == 1 else None
    return decide_calibration(
        clip.header,
        (clip.rows, clip.columns),
        at,
        ruler=ruler if isinstance(ruler, Ruler) else None,
        user=user if isinstance(user, Calibration) else None,
    )


def _told_scale(scale: Calibration | Refusal | None, notes: _Notes) -> tuple[float, float] | None:
    """Return the scale, mm per pixel (row, column); tell why there is none."""
    if isinstance(scale, Calibration):
        return scale.spacing_mm
    if scale is None or any(finding.kind == "spacing" for finding in notes.found):
        return None
    if scale.reason is Reason.NO_CALIBRATION:
        notes.warning(
            "no scale",
            "it has no scale, so it is shown to the network at a guessed size and judged without "
            "millimetres. Give its mm per pixel in dataset.json: "
            '"spacing": [row, column].',
        )
    else:
        notes.error("spacing", scale.message)
    return None


def _drawn(truth: NDArray[np.uint8], views: list[View], notes: _Notes) -> None:
    """Tell what is odd about a drawing: its pieces, and where it lies."""
    pieces, count = ndimage.label(truth > 0, np.ones((3, 3)))
    sizes = np.sort(np.bincount(pieces.ravel())[1:])[::-1]
    if count > 1:
        specks = int((sizes < SPECK * sizes[0]).sum())
        small = f", {specks} of them specks" if specks else ""
        notes.warning(
            "pieces",
            f"its label has {count} pieces{small}; an endometrium is one, and only the largest is "
            "measured. Look at it, and draw it again if it was not meant.",
        )
    if sizes[0] < SMALLEST_PX:
        notes.warning("speck", f"its label has {int(sizes[0])} pixels. Draw it, or empty it.")
    if not views:
        notes.error(
            "no image", "no ultrasound image was found in it: it is empty or text. Take it out."
        )
        return
    inside = np.logical_or.reduce([view.sector for view in views])
    outside = float(np.count_nonzero((truth > 0) & ~inside) / np.count_nonzero(truth))
    if outside > OUTSIDE:
        level = notes.error if outside == 1 else notes.warning
        level(
            "outside",
            f"{outside:.0%} of its label lies outside the ultrasound image. Check that image and "
            "label belong together.",
        )


def _thickness(
    truth: NDArray[np.uint8], spacing: tuple[float, float] | None, notes: _Notes
) -> float | None:
    if spacing is None:
        return None
    try:
        return measure_thickness(truth == 1, spacing, fluid=truth == 2).thickness_mm
    except NotMeasurable as error:
        notes.warning(
            "thickness",
            f"its label has no thickness: {error.message} It is learned from, not judged by.",
        )
        return None


def _identity(clip: Clip, case: Case, notes: _Notes) -> None:
    if clip.header is not None:
        found = identifying_elements(clip.header)
        if str(clip.header.get("BurnedInAnnotation") or "").strip().upper() == "YES":
            notes.warning(
                "identity", "its header says that names are burned into the picture. Black them."
            )
    else:
        found = identifying_text(Source(case.path))
    if found:
        more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
        notes.warning(
            "identity",
            f"it may say who the patient is: {', '.join(found[:LISTED])}{more}. Before it leaves "
            "the house, remove them with a tool for de-identification.",
        )


def _perceptual(luma: NDArray[np.uint8], views: list[View]) -> NDArray[np.bool_]:
    """Return the bits of what the ultrasound image looks like, whatever stands around it."""
    import imagehash

    shown = luma
    if views:
        inside = np.logical_or.reduce([view.sector for view in views])
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        cut = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        shown = np.where(inside, luma, 0)[cut].astype(np.uint8)
    bits: NDArray[np.bool_] = imagehash.phash(Image.fromarray(shown), HASH_SIDE).hash.ravel()
    return bits
