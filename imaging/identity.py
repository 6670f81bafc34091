"""Whose clip it is and when it was taken: the few header fields that travel with a measurement."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset

# PS3.5 table 6.2-1: DA is YYYYMMDD (YYYY.MM.DD in ACR-NEMA), TM is HH[MM[SS[.F]]], and DT is both
# with an optional offset from UTC.
_DATE = re.compile(r"(\d{4})(?:(\d{2})(\d{2})|\.(\d{2})\.(\d{2}))")
_TIME = re.compile(r"(\d{2}):?(?:(\d{2}):?(?:(\d{2})(?:\.(\d{1,6}))?)?)?")
_DATETIME = re.compile(r"(\d{8})([\d.]*)([+-]\d{4})?")
# PS3.5 6.2: what a code string may hold.
_CODE = re.compile(r"[A-Z0-9_ ]{1,16}")

# From the moment of scanning outwards; the first pair whose date is valid wins.
_DATE_AND_TIME = (
    ("AcquisitionDate", "AcquisitionTime"),
    ("ContentDate", "ContentTime"),
    ("SeriesDate", "SeriesTime"),
    ("StudyDate", "StudyTime"),
)


@dataclass(frozen=True)
class ClipIdentity:
    """What the file says about itself; each field is None when absent, empty or unreadable."""

    sop_instance_uid: str | None = None
    study_instance_uid: str | None = None
    patient_id: str | None = None
    acquired_at: str | None = None
    """ISO 8601, as precise as the file: `2024-05-03`, `2024-05-03T14:07:00`, `...+02:00`."""
    manufacturer: str | None = None
    manufacturer_model: str | None = None


def clip_identity(header: "Dataset | None") -> ClipIdentity:
    """Read the identity from a header; garbage becomes None, nothing is raised."""
    if header is None:
        return ClipIdentity()
    return ClipIdentity(
        sop_instance_uid=text(header, "SOPInstanceUID"),
        study_instance_uid=text(header, "StudyInstanceUID"),
        patient_id=text(header, "PatientID"),
        acquired_at=acquired_at(header),
        manufacturer=text(header, "Manufacturer"),
        manufacturer_model=text(header, "ManufacturerModelName"),
    )


def shown_code(word: str) -> str:
    """Return a code string (PS3.5 6.2) for a message; garbage, which may be anybody's name, is only
    told of."""
    return (word if _CODE.fullmatch(word) else "no code string") if word else "missing"


def text(header: "Dataset", keyword: str) -> str | None:
    """Return an element as stripped text, or None if it is absent, empty or cannot be decoded."""
    try:
        value = header.get(keyword)
    except Exception:  # noqa: BLE001 - pydicom converts on access, and garbage raises anything
        return None
    return None if value is None else str(value).replace("\0", "").strip() or None


def acquired_at(header: "Dataset") -> str | None:
    """Return when the clip was taken, ISO 8601, or None.

    The first that is valid of AcquisitionDateTime, then date and time of acquisition, content,
    series and study. A valid date with an invalid time gives the date alone.
    """
    stamp = _DATETIME.fullmatch(text(header, "AcquisitionDateTime") or "")
    if stamp and (found := _iso(stamp[1], stamp[2], stamp[3])):
        return found
    for date, time in _DATE_AND_TIME:
        if found := _iso(text(header, date), text(header, time)):
            return found
    return None


def _iso(date: str | None, time: str | None, offset: str | None = None) -> str | None:
    found = _DATE.fullmatch(date or "")
    if found is None:
        return None
    year, month, day = (int(part) for part in found.groups() if part is not None)
    try:
        moment = datetime(year, month, day)
    except ValueError:
        return None
    clock = _TIME.fullmatch(time or "")
    if clock is None:
        return moment.date().isoformat()
    hour, minute, second = (int(part or 0) for part in clock.groups()[:3])
    try:
        moment = moment.replace(
            hour=hour,
            minute=minute,
            second=min(second, 59),  # TM allows the leap second 60, datetime does not
            microsecond=int((clock[4] or "0").ljust(6, "0")),
        )
        if offset:
            minutes = int(offset[1:3]) * 60 + int(offset[3:])
            away = timedelta(minutes=-minutes if offset[0] == "-" else minutes)
            moment = moment.replace(tzinfo=timezone(away))
    except ValueError:
        return moment.date().isoformat()
    return moment.isoformat()
