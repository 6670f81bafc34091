"""One clip: its views, its frames, the best of them, the record."""

import traceback
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging.calibration import Box, Calibration, decide_calibration, tissue_boxes
from imaging.calipers import Mark, find_marks, marks_mask, pair_mm
from imaging.clip import Clip, ClipError, Frame, sha256
from imaging.errors import NotAnImageError
from imaging.modality import bmode_refusal
from imaging.probing import brightest
from imaging.reasons import Reason, Refusal
from imaging.ruler import Ruler, find_ruler
from imaging.sector import find_sector
from imaging.source import Source, as_source
from inference.cine import measure_all, measure_best, summarise
from inference.decision import decide
from inference.flow import flow_mask, unless_hidden
from inference.focal import WIDER
from inference.frame import Finding, View, find, segment, too_poor
from inference.glance import Glancer
from inference.records import ClipRecord, Measurement, Status
from inference.screening import screened
from models.bundle import Bundle
from models.runtime import Runtime


@dataclass(frozen=True)
class Settings:
    """What a run may choose."""

    threshold_mm: float = 6.0
    user: Calibration | None = None
    """The scale given by hand, for images that carry none."""
    allow_ruler: bool = False
    """Take the scale from the depth ruler in the picture if the file states none."""
    all_frames: bool = False
    """Measure every frame, also of a long cine, and keep, and draw, what was outlined in each; not
    only the frames that may speak for the clip (inference.cine), of which the best is drawn."""
    pseudonym_key: bytes | None = field(default=None, repr=False)
    """Replace patient identifiers by a hash with this key (HMAC-SHA256)."""


@dataclass(frozen=True)
class MeasuredClip:
    """The record of a clip, its frames' measurements, and what was outlined, by frame number.

    `frames` holds a row for every frame that was measured or could not be read: all frames unless
    the clip is long (inference.cine.Thrift) and not all were asked for. `findings` holds the best
    frame's only, or every frame's if they were asked for. `sector` is bool (rows, columns), None
    where nothing was decoded; `in_region` tells that DICOM regions say where it lies. `no_image`
    tells that the file is sound but of another kind, such as a report.
    """

    record: ClipRecord
    frames: tuple[Measurement, ...]
    findings: dict[int, Finding]
    sector: NDArray[np.bool_] | None
    in_region: bool = False
    no_image: bool = False


def measure_clip(
    source: Path | Source,
    bundle: Bundle,
    runtime: Runtime,
    settings: Settings | None = None,
    digest: str | None = None,
) -> MeasuredClip:
    """Measure the frames of a file; never raises for what is in the file.

    `digest` is the file's sha256 where it is known. A file that cannot be read gives a record with
    status failed and the cause as its message.
    """
    settings = settings or Settings()
    source = as_source(source)
    blank = ClipRecord.failed(source.name, None, bundle.name, runtime.device)
    try:
        blank = replace(blank, sha256=digest or sha256(source))
        with Clip.open(source) as clip:
            blank = replace(blank, identity=clip.identity, frames=clip.frames)
            return _measure(clip, blank, bundle, runtime, settings)
    except ClipError as error:
        best = replace(blank.best, message=str(error))
        other = isinstance(error, NotAnImageError)
        return MeasuredClip(replace(blank, best=best), (), {}, None, no_image=other)
    except Exception as error:  # noqa: BLE001 - a batch never stops for one file
        best = replace(blank.best, message=_unexpected(error))
        return MeasuredClip(replace(blank, best=best), (), {}, None)


def _unexpected(error: Exception) -> str:
    """Say where a fault of this program lies. The error's own text may hold what is in the file."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"An unexpected {type(error).__name__} at {Path(last.filename).name}:{last.lineno}. "
        "This is a fault of endometer: please report it with this line."
    )


def _measure(
    clip: Clip,
    blank: ClipRecord,
    bundle: Bundle,
    runtime: Runtime,
    settings: Settings,
) -> MeasuredClip:
    views, ruler, refusal = look_at(clip, settings)
    if refusal:
        alike = tuple(_refused(number, refusal) for number in range(1, clip.frames + 1))
        return MeasuredClip(replace(blank, best=_refused(None, refusal)), alike, {}, None)
    sector = np.logical_or.reduce([view.sector for view in views])

    findings: dict[int, Finding] = {}
    glancers = [Glancer(view, bundle, runtime) for view in views]

    def look(number: int) -> float | None:
        try:
            frame = clip.frame(number)
        except ClipError:
            return None
        return max(glance(frame) for glance in glancers)

    def measure(number: int) -> Measurement:
        try:
            frame = clip.frame(number)
        except ClipError as error:
            return Measurement(number, Status.FAILED, message=str(error))
        row, finding = measure_frame(frame, clip, views, bundle, runtime, settings, ruler)
        if finding:
            findings[number] = finding
        return row

    if settings.all_frames:
        rows = measure_all(clip.frames, measure)
    else:
        rows = measure_best(clip.frames, look, measure)
    record = summarise(blank, rows)
    if not settings.all_frames:
        findings = {n: found for n, found in findings.items() if n == record.best.frame}
    in_region = bool(tissue_boxes(clip.header, (clip.rows, clip.columns)))
    return MeasuredClip(record, tuple(rows), findings, sector, in_region)


def look_at(clip: Clip, settings: Settings) -> tuple[list[View], Ruler | None, Refusal | None]:
    """Return the B-mode images to measure and the depth ruler; or none, and why there is none.

    Raises ClipError if no frame is readable.
    """
    refusal = bmode_refusal(clip.header)
    views, ruler = ([], None) if refusal else views_and_ruler(clip, settings)
    if views:
        views, refusal = screened(clip, views)
    if not views:
        refusal = refusal or Refusal(
            Reason.NOT_BMODE, "No B-mode image was found in the picture: it is empty or text only."
        )
    return views, ruler, None if views else refusal


def find_views(clip: Clip, settings: Settings) -> list[View]:
    """Return the B-mode images of a clip: one per calibrated region, else one for the frame.

    Raises ClipError if no frame is readable.
    """
    return views_and_ruler(clip, settings)[0]


def views_and_ruler(clip: Clip, settings: Settings) -> tuple[list[View], Ruler | None]:
    """Return the B-mode images as `find_views`, and the depth ruler beside them.

    The sector is found once, on the brightest of some frames in every pixel: the picture does not
    move within a clip, and a shadow rarely stays. Raises ClipError if no frame is readable.
    """
    shape = (clip.rows, clip.columns)
    seen = brightest(clip.frame, clip.frames, shape)
    found = []
    for box in tissue_boxes(clip.header, shape) or (Box(0, 0, shape[0] - 1, shape[1] - 1),):
        window = np.s_[box.row_0 : box.row_1 + 1, box.column_0 : box.column_1 + 1]
        sector = np.zeros(shape, bool)
        sector[window] = find_sector(seen.drawn[window])
        if not sector.any():
            continue
        found.append((box, sector))
    # Beside two pictures nobody knows whose depth a ruler counts.
    ruler = find_ruler(seen.shown, found[0][1]) if len(found) == 1 else None
    ruler = ruler if isinstance(ruler, Ruler) else None
    views = []
    for box, sector in found:
        corners = np.array([[box.row_0, box.column_0], [box.row_1, box.column_1]], float)
        scale = scale_of(clip, settings, ruler, corners)
        spacing = scale.spacing_mm if isinstance(scale, Calibration) else None
        views.append(View(box, sector, spacing))
    return views, ruler


def scale_of(
    clip: Clip,
    settings: Settings,
    ruler: Ruler | None,
    outline: NDArray[np.float64] | None = None,
) -> Calibration | Refusal:
    """Decide the scale of what the outline (n, 2) encloses, from every source there is."""
    return decide_calibration(
        clip.header,
        (clip.rows, clip.columns),
        outline,
        ruler=ruler,
        allow_ruler=settings.allow_ruler,
        user=settings.user,
    )


def measure_frame(
    frame: Frame,
    clip: Clip,
    views: list[View],
    bundle: Bundle,
    runtime: Runtime,
    settings: Settings,
    ruler: Ruler | None = None,
) -> tuple[Measurement, Finding | None]:
    """Measure one frame: the view with the best finding counts.

    Returns the frame's row and what was outlined, if anything was.
    """
    shown = np.logical_or.reduce([view.sector for view in views])
    marks = find_marks(frame.luma, shown)
    graphics = frame.graphics | marks_mask(frame.luma, marks)
    flow = flow_mask(frame.graphics)
    results = []
    for view in views:
        result = find(*segment(frame.luma, graphics, view, bundle, runtime), view, bundle)
        results.append((view, unless_hidden(result, flow, view.sector)))
    found = [(view, result) for view, result in results if isinstance(result, Finding)]
    if not found:
        scale = scale_of(clip, settings, ruler)
        refusal = next(result for _, result in results if isinstance(result, Refusal))
        # A clip that could never have been measured says so, whatever else is wrong with it.
        if isinstance(scale, Refusal) and all(view.spacing_mm is None for view in views):
            refusal = scale
        return _scaled(_refused(frame.number, refusal), scale, marks), None

    view, finding = max(found, key=lambda pair: pair[1].quality.value)
    # The contour of a band that reaches the edge of its box runs up to a grid step beyond it.
    low, high = (view.box.row_0, view.box.column_0), (view.box.row_1, view.box.column_1)
    outline = np.clip(np.concatenate([*finding.outline, finding.calipers]), low, high)
    scale = scale_of(clip, settings, ruler, outline)
    row = replace(
        _scaled(Measurement(frame.number, Status.NOT_MEASURABLE), scale, marks),
        fluid=finding.fluid,
        quality=finding.quality.value,
        caliper_row_1=float(finding.calipers[0, 0]),
        caliper_column_1=float(finding.calipers[0, 1]),
        caliper_row_2=float(finding.calipers[1, 0]),
        caliper_column_2=float(finding.calipers[1, 1]),
        thickness_px=finding.thickness_px,
    )
    if isinstance(scale, Refusal):
        return replace(row, reason=scale.reason, message=scale.message), finding
    refusal_or_none = too_poor(finding.quality, bundle.min_quality)
    if refusal_or_none or finding.thickness_mm is None:
        refusal = refusal_or_none or Refusal(Reason.NO_CALIBRATION, "The view has no scale.")
        return replace(row, reason=refusal.reason, message=refusal.message), finding
    decision = decide(
        finding.thickness_mm,
        finding.spread_mm,
        bundle.intervals,
        settings.threshold_mm,
        scale.uncertainty,
        wider=WIDER if finding.unlike else 1.0,
    )
    return replace(
        row,
        status=Status.MEASURED,
        message=" ".join(sign.words for sign in finding.signs) or None,
        thickness_mm=finding.thickness_mm,
        lower_mm=decision.lower_mm,
        upper_mm=decision.upper_mm,
        call=decision.call,
        threshold_mm=settings.threshold_mm,
    ), finding


def _scaled(row: Measurement, scale: Calibration | Refusal, marks: list[Mark]) -> Measurement:
    """Add the scale, and what is measured with burned-in marks, also to a row that is refused for
    another reason."""
    if isinstance(scale, Refusal):
        return row
    return replace(
        row,
        row_mm=scale.row_mm,
        column_mm=scale.column_mm,
        calibration=str(scale.source),
        sonographer_mm=pair_mm(marks, scale.spacing_mm),
    )


def _refused(number: int | None, refusal: Refusal) -> Measurement:
    return Measurement(
        number, Status.NOT_MEASURABLE, reason=refusal.reason, message=refusal.message
    )
