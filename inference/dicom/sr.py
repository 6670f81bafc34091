"""The measurement as a structured report: Comprehensive 3D SR, TID 1500 of PS3.16.

One measurement group (TID 1501) with the thickness, its uncertainty and its calipers, and one
planar group (TID 1410) with the outline. A clip that was looked at and not measured gets a report,
too, so that nobody takes a missing report for a clip that nobody looked at: "Measurement failure"
(CID 42) and the reason, both as codes. A numeric item without a value would say the same, but
common readers stumble over it or show a zero.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inference.dicom import codes
from inference.dicom.maker import NAME, Kind, Maker, finish
from inference.dicom.origin import Origin
from inference.frame import Finding
from inference.records import Measurement, Status
from inference.words import in_words

if TYPE_CHECKING:
    from pydicom import Dataset

# Numbers for people have this many decimals (mm); the full precision stands beside them.
DECIMALS = 2


def to_scoord(points: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.float32]:
    """Return points (n, 2), (row, column) from 0 at pixel centres, as SCOORD graphic data.

    PS3.3 C.18.6.1.2: (column, row) pairs, 0\\0 at the outer corner of the first pixel, whose centre
    is 0.5\\0.5. Float32 (n, 2). What an outline bulges over the edge of the image is cut off.
    """
    moved = np.clip(np.asarray(points, float) + 0.5, 0, (rows, columns))
    return moved[:, ::-1].astype(np.float32)


def report(origin: Origin, row: Measurement, finding: Finding | None, maker: Maker) -> "Dataset":
    """Return the report on a clip by the row that speaks for it, and what was outlined there.

    Calipers and outline are those of `row.frame`; only a measured row has them in the report.
    """
    from highdicom import sr
    from highdicom.coding_schemes import CodingSchemeIdentificationItem

    measured = finding if row.status is Status.MEASURED else None
    outline = [contour.tolist() for contour in measured.outline] if measured else None
    # what else the run knows of the frame is not in the report
    stated = replace(row, sonographer_mm=None, thickness_px=None)
    identity = (origin.key, stated, outline)
    algorithm = _algorithm(row, maker)
    groups = [_group(origin, row, measured, maker, algorithm, identity)]
    if measured is not None:
        groups += [
            outline_item(origin, row, contour, maker, algorithm, (identity, number))
            for number, contour in enumerate(measured.outline)
        ]
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=_observer(maker)),
        procedure_reported=codes.ULTRASONOGRAPHY,
        imaging_measurements=groups,
        referenced_images=[origin.header],
    )
    made = sr.Comprehensive3DSR(
        evidence=[origin.header],
        content=content,
        is_complete=True,
        coding_schemes=[CodingSchemeIdentificationItem(codes.SCHEME, name=codes.SCHEME_NAME)],
        **maker.common(Kind.SR, origin, maker.uid(Kind.SR, *identity)),
    )
    return finish(made, origin)


def _observer(maker: Maker) -> Any:
    from highdicom import sr

    return sr.ObserverContext(
        observer_type=sr.CodedConcept.from_code(codes.DEVICE),
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=maker.uid("device"),
            name=NAME,
            manufacturer_name=NAME,
            model_name=f"{maker.bundle}, version {maker.version}",
        ),
    )


def _algorithm(row: Measurement, maker: Maker) -> Any:
    from highdicom import sr

    parameters = [f"weights sha256 {maker.bundle_sha256}"]
    if row.threshold_mm is not None:
        parameters.append(f"threshold {row.threshold_mm:g} mm")
        parameters.append(f"uncertainty with {maker.coverage:.0%} nominal coverage")
    if row.row_mm is not None and row.column_mm is not None:
        parameters.append(f"scale {row.row_mm:.6g} x {row.column_mm:.6g} mm (row x column)")
    return sr.AlgorithmIdentification(
        name=f"{NAME} {maker.bundle}", version=maker.version, parameters=parameters
    )


def _group(
    origin: Origin,
    row: Measurement,
    finding: Finding | None,
    maker: Maker,
    algorithm: Any,
    identity: object,
) -> Any:
    from highdicom import sr

    measurements, evaluations = [], []
    if finding is None:
        evaluations.append((codes.THICKNESS, codes.MEASUREMENT_FAILURE))
    else:
        measurements.append(thickness_item(origin, row, [finding.calipers]))
    if row.call is not None and finding is not None:
        evaluations.append((codes.CALL, codes.CALLS[row.call]))
    if row.reason is not None:
        evaluations.append((codes.REASON, codes.REASONS[row.reason]))
    if row.fluid is not None and finding is not None:
        evaluations.append((codes.FLUID, codes.YES if row.fluid else codes.NO))
    if row.calibration in codes.SCALES:
        evaluations.append((codes.SCALE, codes.SCALES[row.calibration]))
    if row.quality is not None:
        measurements.append(
            _shortened(sr.Measurement(codes.QUALITY, float(row.quality), codes.NO_UNITS))
        )
    uid = maker.uid("thickness", identity)
    return measurement_group(
        origin, row, uid, measurements, evaluations, _said(row), algorithm_id=algorithm
    )


def measurement_group(
    origin: Origin,
    row: Measurement,
    uid: str,
    measurements: list[Any],
    evaluations: list[tuple[Any, Any]],
    comment: str,
    **how: Any,
) -> Any:
    """Return the group of what is said of the frame of a row, tracked by `uid`.

    `evaluations` are names and values; `how` names the algorithm or the method, as highdicom's
    class does.
    """
    from highdicom import sr

    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid, "Thickness"),
        finding_type=codes.ENDOMETRIUM,
        finding_sites=[sr.FindingSite(codes.UTERUS)],
        measurements=measurements,
        qualitative_evaluations=[
            sr.QualitativeEvaluation(name, value) for name, value in evaluations
        ],
        source_images=[
            sr.SourceImageForMeasurementGroup(
                str(origin.header.SOPClassUID),
                str(origin.header.SOPInstanceUID),
                frames_of(origin, row),
            )
        ],
        **how,
    )
    group[0].ContentSequence.append(
        sr.TextContentItem(codes.COMMENT, plain(comment), sr.RelationshipTypeValues.CONTAINS)
    )
    return group


def thickness_item(origin: Origin, row: Measurement, lines: Sequence[NDArray[np.float64]]) -> Any:
    """Return the thickness of a row with its uncertainty; `lines` are (2, 2) ends of calipers."""
    from highdicom import sr

    if row.thickness_mm is None:
        raise ValueError("a measured row has a thickness")
    calipers = [
        sr.CoordinatesForMeasurement(
            graphic_type=sr.GraphicTypeValues.POLYLINE,
            graphic_data=to_scoord(line, origin.header.Rows, origin.header.Columns),
            source_image=_region_image(origin, row),
        )
        for line in lines
    ]
    value = float(row.thickness_mm)
    properties = sr.MeasurementProperties()
    bounds = ((codes.UPPER_UNCERTAINTY, row.upper_mm), (codes.LOWER_UNCERTAINTY, row.lower_mm))
    for code, bound in bounds:
        if bound is not None:
            properties.extend(_shortened([_property(code, abs(float(bound) - value))]))
    return _shortened(
        sr.Measurement(
            codes.THICKNESS,
            value,
            codes.MILLIMETRE,
            properties=properties,
            referenced_coordinates=calipers or None,
        )
    )


def _property(code: Any, value_mm: float) -> Any:
    from highdicom import sr

    return sr.NumContentItem(
        code, value_mm, codes.MILLIMETRE, relationship_type=sr.RelationshipTypeValues.HAS_PROPERTIES
    )


def outline_item(
    origin: Origin,
    row: Measurement,
    contour: NDArray[np.float64],
    maker: Maker,
    algorithm: Any,
    identity: object,
) -> Any:
    """Return a closed contour (n, 2) on the row's frame; without `algorithm` a person drew it."""
    from highdicom import sr

    points = to_scoord(contour, origin.header.Rows, origin.header.Columns)
    if not np.array_equal(points[0], points[-1]):  # a region is closed (PS3.16 TID 1410)
        points = np.concatenate([points, points[:1]])
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(maker.uid("outline", identity), "Outline"),
        referenced_region=sr.ImageRegion(
            graphic_type=sr.GraphicTypeValues.POLYLINE,
            graphic_data=points,
            source_image=_region_image(origin, row),
        ),
        finding_type=codes.ENDOMETRIUM,
        finding_sites=[sr.FindingSite(codes.UTERUS)],
        algorithm_id=algorithm,
    )


def _region_image(origin: Origin, row: Measurement) -> Any:
    from highdicom import sr

    return sr.SourceImageForRegion(
        str(origin.header.SOPClassUID), str(origin.header.SOPInstanceUID), frames_of(origin, row)
    )


def frames_of(origin: Origin, row: Measurement) -> list[int] | None:
    """Return how a reference names the frame of a row; None for a still."""
    return [row.frame] if origin.is_multiframe and row.frame is not None else None


def _shortened(items: Any) -> Any:
    """Give people few decimals: FloatingPointValue keeps the rest (PS3.3 C.18.1)."""
    for item in items:
        value = item.MeasuredValueSequence[0]
        value.NumericValue = f"{float(value.FloatingPointValue):.{DECIMALS}f}"
    return items


def _said(row: Measurement) -> str:
    said = in_words(row)
    if row.status is not Status.MEASURED and row.message:
        said = f"{said}. {row.message}"
    return said


def plain(said: str) -> str:
    """Return text in the characters that every viewer has."""
    return said.replace("–", "-").encode("ascii", "replace").decode()
