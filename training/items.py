"""Annotated images on the network grid: what inference would see, with labels by area.

An image goes the way of every clip (region, sector, graphics, grid). Its truth is carried along the
same mapping, each grid pixel holding the share of its area that the annotation covers.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from data.cases import ANNOTATED, Case, CasesError, read_cases
from data.phantom.render import LABELS
from imaging.calibration import Calibration, user_calibration
from imaging.clip import Clip, ClipError, Frame
from imaging.grid import GridMapping, GridSpec, fill_graphics, to_grid
from inference.clip import Settings, find_views
from inference.frame import View
from inference.thickness import NotMeasurable, measure_thickness

# Faults that a message lists before it only counts them.
LISTED = 10

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Item:
    """One annotated frame on the network grid of n x n pixels; about 1.5 MB at 256 x 256.

    `pixels` float32 (n, n), normalised, 0 outside `sector` bool (n, n); `labels` float32
    (labels, n, n) are area shares in the order of LABELS that sum to 1, those that are not
    `known`, bool (labels,), being part of the background. `visible`: one of those known is to be
    seen. `calibrated`: its scale is true, not guessed. `true_mm` is None where there is no
    endometrium, none that was annotated, no scale or no measurable truth.
    """

    name: str
    patient: str
    named_patient: bool
    pixels: Array
    sector: NDArray[np.bool_]
    labels: Array
    known: NDArray[np.bool_]
    visible: bool
    calibrated: bool
    true_mm: float | None

    @property
    def annotated(self) -> bool:
        """Somebody said where the endometrium is, or that there is none to be seen."""
        return bool(self.known[LABELS.index("endometrium")])

    @property
    def empty(self) -> bool:
        """Somebody said that there is no endometrium to be seen."""
        return self.annotated and not self.visible


def area_shares(mask: NDArray[np.generic], mapping: GridMapping, size: int) -> Array:
    """Return how much of every grid pixel a mask covers: float32 (size, size) in [0, 1].

    `mask` bool (rows, columns) in frame pixels, 0 beyond the frame. Exact, because the mapping
    scales each axis by itself: a grid pixel is a rectangle of frame pixels and parts of them.
    """

    def overlap(axis: int) -> NDArray[np.float64]:
        """Share of grid pixel i (row) that lies in frame pixel j (column) along one axis."""
        step, centre = mapping.step[axis], mapping.origin[axis]
        low = (centre + step * (np.arange(size) - 0.5))[:, None]
        pixel = np.arange(mask.shape[axis])[None, :]
        common = np.minimum(low + step, pixel + 0.5) - np.maximum(low, pixel - 0.5)
        share: NDArray[np.float64] = np.maximum(common, 0) / step
        return share

    share: Array = (overlap(0) @ mask.astype(np.float64) @ overlap(1).T).astype(np.float32)
    return np.clip(share, 0, 1)


def known_labels(annotated: Sequence[str]) -> NDArray[np.bool_]:
    """Return which of LABELS an annotation tells from the rest: bool (labels,).

    Background is what is left and always known; no annotation says what in it is uterus.
    """
    return np.array([label == "background" or label in annotated for label in LABELS])


def annotated_frame(case: Case) -> tuple[Frame, list[View]]:
    """Return the annotated frame of a case, and the B-mode images within it.

    Raises CasesError for an image that cannot be read or a scale that cannot be.
    """
    user = None
    if case.spacing_mm is not None:
        scale = user_calibration(*case.spacing_mm)
        if not isinstance(scale, Calibration):
            raise CasesError(f"{case.path}: {scale.message}")
        user = scale
    try:
        with Clip.open(case.path) as clip:
            frame, views = clip.frame(case.frame), find_views(clip, Settings(user=user))
    except ClipError as error:
        raise CasesError(f"{case.path}: {error}") from None
    return frame, views


def read_item(case: Case, spec: GridSpec) -> Item | None:
    """Bring the annotated frame of a case and its truth to the grid.

    None where nobody drew the endometrium that is visible. Raises CasesError for an image or truth
    that cannot be used.
    """
    truth = case.mask()
    if truth is None and case.visible:
        return None
    frame, views = annotated_frame(case)
    if truth is None:
        truth = np.zeros(frame.luma.shape, np.uint8)
    if truth.shape != frame.luma.shape:
        raise CasesError(
            f"{case.path}: its label has {truth.shape[0]} x {truth.shape[1]} pixels and the image "
            f"{frame.luma.shape[0]} x {frame.luma.shape[1]}. A label is drawn on this very image."
        )
    for number, label in enumerate(ANNOTATED, 1):
        if label not in case.known and (truth == number).any():
            raise CasesError(
                f"{case.path}: the data list says that its label tells {' and '.join(case.known)} "
                f"only, but there is {label} ({number}) in it. Name {label} in its labels, too, or "
                "draw it as 0."
            )
    if not views:
        raise CasesError(
            f"{case.path}: no B-mode image was found in it; it is empty or text only. Take it out "
            "of the data set."
        )

    def covered(view: View) -> int:
        return int(np.count_nonzero(truth[view.sector]))

    view = max(views, key=covered)
    if truth.any() and not covered(view):
        raise CasesError(
            f"{case.path}: the label lies outside the ultrasound image; draw it again, or check "
            "that image and label belong together."
        )
    grid = to_grid(
        fill_graphics(frame.luma, frame.graphics, view.sector), view.sector, view.spacing_mm, spec
    )
    labels = np.zeros((len(LABELS), spec.size, spec.size), np.float32)
    for number, label in enumerate(ANNOTATED, 1):
        share = area_shares(truth == number, grid.mapping, spec.size)
        labels[LABELS.index(label)] = share * grid.sector
    labels[0] = 1 - labels[1:].sum(0)
    return Item(
        name=case.name,
        patient=case.patient,
        named_patient=case.patient != case.name,
        pixels=grid.pixels,
        sector=grid.sector,
        labels=labels,
        known=known_labels(case.known),
        visible=case.visible,
        calibrated=view.spacing_mm is not None,
        true_mm=_true_mm(case, truth, view.spacing_mm),
    )


def _true_mm(
    case: Case, truth: NDArray[np.uint8], spacing_mm: tuple[float, float] | None
) -> float | None:
    """Return what the reader stated, else the thickness of what was drawn.

    A gap that a drawn endometrium encloses is fluid, whether or not fluid was annotated: it is left
    out of the thickness.
    """
    if case.true_mm is not None or spacing_mm is None or not case.visible:
        return case.true_mm
    if "endometrium" not in case.known:
        return None
    endometrium = truth == 1
    fluid = truth == 2
    if "fluid" not in case.known:
        fluid = ndimage.binary_fill_holes(endometrium) & ~endometrium
    try:
        return measure_thickness(endometrium, spacing_mm, fluid=fluid).thickness_mm
    except NotMeasurable:
        return None


def read_folder(
    folder: Path, spec: GridSpec, note: Callable[[str], None] = lambda _: None
) -> tuple[Item, ...]:
    """Read all cases of a folder; `note` hears of what is odd but no fault.

    Raises CasesError that names all faulty cases at once, before any compute is spent on others.
    """
    cases, items, faults = read_cases(folder), list[Item](), list[str]()
    for case in cases:
        try:
            item = read_item(case, spec)
        except CasesError as error:
            faults.append(str(error))
            continue
        if item is not None:
            items.append(item)
    if faults:
        more = f"\nand {len(faults) - LISTED} more." if len(faults) > LISTED else ""
        raise CasesError("\n".join(faults[:LISTED]) + more)
    if not items:
        raise CasesError(f"{folder}: nobody drew what any of its {len(cases)} cases shows.")
    if left := len(cases) - len(items):
        note(f"{folder}: {left} of {len(cases)} cases are left out, nobody drew what they show.")
    if guessed := sum(not item.calibrated for item in items):
        note(
            f"{folder}: {guessed} of {len(items)} images have no scale; they are shown at a "
            "guessed size and judged without millimetres. Give their spacing in dataset.json."
        )
    return tuple(items)


def fingerprint(items: Iterable[Item]) -> str:
    """Return a sha256 of what the network is shown and told: a run goes on with the same only."""
    found = hashlib.sha256()
    for item in items:
        found.update(f"{item.patient}\0{item.visible}\0{item.true_mm}\0".encode())
        for array in (item.pixels, item.labels, item.known):
            found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
