"""The rows that a run leaves: one per clip, one per frame. The column names are a contract."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from imaging.identity import ClipIdentity
from imaging.reasons import Reason

Value = str | int | float | bool | None


class Status(StrEnum):
    """What became of a clip or a frame."""

    MEASURED = "measured"
    NOT_MEASURABLE = "not_measurable"
    FAILED = "failed"


class Call(StrEnum):
    """The interval against the threshold."""

    THIN = "thin"
    NOT_THIN = "not_thin"
    INDETERMINATE = "indeterminate"


@dataclass(frozen=True)
class Measurement:
    """The measurement columns of a frame, and of a clip through its best frame.

    Lengths in mm, `*_px` in frame pixels, caliper positions (row, column) in frame pixels counted
    from 0 at the centre of the first pixel. `frame` counts from 1.
    """

    frame: int | None
    status: Status
    reason: Reason | None = None
    message: str | None = None
    thickness_mm: float | None = None
    lower_mm: float | None = None
    upper_mm: float | None = None
    call: Call | None = None
    threshold_mm: float | None = None
    fluid: bool | None = None
    quality: float | None = None
    row_mm: float | None = None
    column_mm: float | None = None
    calibration: str | None = None
    caliper_row_1: float | None = None
    caliper_column_1: float | None = None
    caliper_row_2: float | None = None
    caliper_column_2: float | None = None
    thickness_px: float | None = None
    sonographer_mm: float | None = None
    """What two caliper marks burned into the frame measure; shown beside, never used."""


@dataclass(frozen=True)
class ClipRecord:
    """One row of `measurements`.

    `frames` counts all frames of the clip. Of a long cine only those that may speak for it are
    measured, unless all were asked for (inference.cine): `frames_measured` counts the frames with
    a thickness among those that were measured, and `frames_median_mm` and `frames_iqr_mm` are the
    median and the interquartile range of these. In a long cine they tell how its best frames
    agree, not how all do.
    """

    file: str
    sha256: str | None
    identity: ClipIdentity | None
    frames: int | None
    best: Measurement
    frames_measured: int | None
    frames_median_mm: float | None
    frames_iqr_mm: float | None
    bundle: str
    device: str
    duplicate_of: str | None = None
    """The file, first by name, that holds the same image and shares its measurement."""
    overlay: str | None = None
    """The picture of the best frame, a name in the folder of overlays."""

    @classmethod
    def failed(cls, file: str, message: str | None, bundle: str, device: str) -> "ClipRecord":
        """Return the record of a file of which nothing is known but why it could not be read."""
        return cls(
            file=file,
            sha256=None,
            identity=None,
            frames=None,
            best=Measurement(None, Status.FAILED, message=message),
            frames_measured=None,
            frames_median_mm=None,
            frames_iqr_mm=None,
            bundle=bundle,
            device=device,
        )

    @classmethod
    def from_row(cls, row: Mapping[str, Value]) -> "ClipRecord":
        """Return the record of a row of `measurements`; the inverse of `row`."""
        values: dict[str, Any] = dict(row)
        return cls(
            identity=ClipIdentity(
                **{field.name: values[field.name] for field in fields(ClipIdentity)}
            ),
            best=measurement_of(row),
            **{name: values[name] for name in _OWN},
        )

    def row(self) -> dict[str, Value]:
        """Return the columns of CLIP_COLUMNS, in that order."""
        who = self.identity
        values: dict[str, Value] = {
            field.name: getattr(self.best, field.name) for field in fields(Measurement)
        }
        values |= {
            "file": self.file,
            "sha256": self.sha256,
            "sop_instance_uid": who.sop_instance_uid if who else None,
            "study_instance_uid": who.study_instance_uid if who else None,
            "patient_id": who.patient_id if who else None,
            "acquired_at": who.acquired_at if who else None,
            "manufacturer": who.manufacturer if who else None,
            "manufacturer_model": who.manufacturer_model if who else None,
            "frames": self.frames,
            "frames_measured": self.frames_measured,
            "frames_median_mm": self.frames_median_mm,
            "frames_iqr_mm": self.frames_iqr_mm,
            "bundle": self.bundle,
            "device": self.device,
            "duplicate_of": self.duplicate_of,
            "overlay": self.overlay,
        }
        return {name: values[name] for name in CLIP_COLUMNS}


# The contract of design section 7: name and type of every column, in order.
CLIP_COLUMNS: dict[str, type] = {
    "file": str,
    "sha256": str,
    "sop_instance_uid": str,
    "study_instance_uid": str,
    "patient_id": str,
    "acquired_at": str,
    "frames": int,
    "frame": int,
    "status": str,
    "reason": str,
    "message": str,
    "thickness_mm": float,
    "lower_mm": float,
    "upper_mm": float,
    "call": str,
    "threshold_mm": float,
    "fluid": bool,
    "quality": float,
    "frames_measured": int,
    "frames_median_mm": float,
    "frames_iqr_mm": float,
    "row_mm": float,
    "column_mm": float,
    "calibration": str,
    "caliper_row_1": float,
    "caliper_column_1": float,
    "caliper_row_2": float,
    "caliper_column_2": float,
    "thickness_px": float,
    "manufacturer": str,
    "manufacturer_model": str,
    "bundle": str,
    "device": str,
    "sonographer_mm": float,
    "duplicate_of": str,
    "overlay": str,
}
_OWN = tuple(field.name for field in fields(ClipRecord) if field.name not in ("identity", "best"))
FRAME_COLUMNS: dict[str, type] = {"file": str, "sha256": str} | {
    name: CLIP_COLUMNS[name]
    for name in CLIP_COLUMNS
    if name in {field.name for field in fields(Measurement)}
}


def frame_row(clip: ClipRecord, measurement: Measurement) -> dict[str, Value]:
    """Return the columns of FRAME_COLUMNS for one frame of a clip."""
    values = {field.name: getattr(measurement, field.name) for field in fields(Measurement)}
    values |= {"file": clip.file, "sha256": clip.sha256}
    return {name: values[name] for name in FRAME_COLUMNS}


def measurement_of(row: Mapping[str, Value]) -> Measurement:
    """Return the measurement that a row of either table holds."""
    values: dict[str, Any] = {field.name: row[field.name] for field in fields(Measurement)}
    for name, kind in (("status", Status), ("reason", Reason), ("call", Call)):
        values[name] = None if values[name] is None else kind(values[name])
    return Measurement(**values)
