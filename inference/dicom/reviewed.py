"""What a person made of a measurement, as a structured report of that person.

The same template as the program's own report (inference.dicom.sr), but the observer is a person
(TID 1003), no algorithm is named, and the method says whether the person measured or confirmed.
It stands in a series of its own beside the program's report, which it does not replace.
"""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inference.dicom import codes
from inference.dicom.maker import Kind, Maker, finish
from inference.dicom.origin import Origin
from inference.dicom.sr import measurement_group, outline_item, thickness_item
from inference.records import Measurement, Status
from inference.words import CALLS

if TYPE_CHECKING:
    from pydicom import Dataset

SERIES = (9804, "Endometrial thickness, reviewed")
# PS3.5 6.2: what a person's name may not hold, and how long a component may be.
_NOT_IN_NAMES = re.compile(r"[\\^=\x00-\x1f\x7f]+")
LONGEST_NAME = 64


@dataclass(frozen=True)
class Verdict:
    """A review of a clip.

    `row` is what counts since: measured with a thickness, or not measurable. `lines` (2, 2) are the
    ends of the calipers, or of two single layers, `outline` closed contours (n, 2), all (row,
    column) in pixels of `row.frame`. `confirmed`: the person took over what the program measured.
    `rejected` is one of codes.REJECTED, `comment` what else was said.
    """

    row: Measurement
    lines: tuple[NDArray[np.float64], ...]
    outline: tuple[NDArray[np.float64], ...]
    reviewer: str
    at: datetime
    confirmed: bool
    rejected: str | None = None
    comment: str | None = None


def reviewed_report(origin: Origin, verdict: Verdict, maker: Maker) -> "Dataset":
    """Return the report of a person on a clip, dated by the review."""
    from highdicom import sr
    from highdicom.coding_schemes import CodingSchemeIdentificationItem

    row = replace(verdict.row, sonographer_mm=None, thickness_px=None)
    identity = (
        "reviewed",
        origin.key,
        row,
        [line.tolist() for line in verdict.lines],
        [contour.tolist() for contour in verdict.outline],
        verdict.reviewer,
        verdict.at.isoformat(),
        verdict.rejected,
        verdict.comment,
    )
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_person_context=_person(verdict)),
        procedure_reported=codes.ULTRASONOGRAPHY,
        imaging_measurements=[
            _group(origin, replace(verdict, row=row), maker, identity),
            *(
                outline_item(origin, row, contour, maker, None, (identity, number))
                for number, contour in enumerate(verdict.outline)
            ),
        ],
        referenced_images=[origin.header],
    )
    common = maker.common(Kind.SR, origin, maker.uid(Kind.SR, *identity))
    local = verdict.at.astimezone().replace(tzinfo=None)
    made = sr.Comprehensive3DSR(
        evidence=[origin.header],
        content=content,
        is_complete=True,
        coding_schemes=[CodingSchemeIdentificationItem(codes.SCHEME, name=codes.SCHEME_NAME)],
        **common
        | {
            "series_instance_uid": maker.uid(
                "series", "reviewed", str(origin.header.StudyInstanceUID)
            ),
            "series_number": SERIES[0],
            "series_description": SERIES[1],
            "content_date": local.date(),
            "content_time": local.time().replace(microsecond=0),
        },
    )
    return finish(made, origin)


def _person(verdict: Verdict) -> Any:
    from highdicom import sr

    name = _NOT_IN_NAMES.sub(" ", verdict.reviewer).strip()[:LONGEST_NAME] or "Reviewer"
    return sr.ObserverContext(
        observer_type=sr.CodedConcept.from_code(codes.PERSON),
        # The caret makes a name of one word a family name, as the standard wants it.
        observer_identifying_attributes=sr.PersonObserverIdentifyingAttributes(name=f"{name}^"),
    )


def _group(origin: Origin, verdict: Verdict, maker: Maker, identity: object) -> Any:
    row = verdict.row
    measured = row.status is Status.MEASURED and row.thickness_mm is not None
    evaluations, measurements = [], []
    if measured:
        measurements.append(thickness_item(origin, row, verdict.lines))
        if row.call in codes.BY_NUMBER:
            evaluations.append((codes.CALL, codes.BY_NUMBER[row.call]))
        if row.fluid is not None:
            evaluations.append((codes.FLUID, codes.YES if row.fluid else codes.NO))
        if row.calibration in codes.SCALES:
            evaluations.append((codes.SCALE, codes.SCALES[row.calibration]))
    else:
        evaluations.append((codes.THICKNESS, codes.MEASUREMENT_FAILURE))
        if verdict.rejected is not None:
            evaluations.append((codes.REASON, codes.REJECTED[verdict.rejected]))
        elif row.reason is not None:
            evaluations.append((codes.REASON, codes.REASONS[row.reason]))
    uid = maker.uid("thickness", identity)
    method = codes.METHOD_CONFIRMED if verdict.confirmed else codes.METHOD_BY_HAND
    return measurement_group(
        origin, row, uid, measurements, evaluations, _said(verdict), method=method
    )


def _said(verdict: Verdict) -> str:
    row, did = verdict.row, "confirmed" if verdict.confirmed else "measured by hand"
    if row.thickness_mm is None or row.call is None or row.threshold_mm is None:
        did = "confirmed as not measurable" if verdict.confirmed else "rejected"
        said = f"Reviewed: {did}"
    else:
        call = CALLS[row.call].format(row.threshold_mm)
        said = f"Reviewed: {row.thickness_mm:.1f} mm, {call}, {did}"
    return f"{said}. {verdict.comment}" if verdict.comment else f"{said}."
