"""The header of a de-identified clip: PS3.15 annex E, as a list of what survives.

Table E.1-1 says what has to go, and misses what nobody thought of: private elements, new ones,
elements of a wrong kind. So a header is made anew, and an element gets into it only if it is named
in `imaging.deidentify.surviving` and its value is of the kind that its name promises.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.sequence import Sequence
from pydicom.uid import UID

from imaging.deidentify.pseudonyms import Pseudonyms
from imaging.deidentify.surviving import (
    DATES,
    DATETIMES,
    EMPTY,
    NUMBERS,
    REGION_NUMBERS,
    TERMS,
    TEXTS,
    TIMES,
    UIDS,
)
from imaging.identity import text

METHOD = (
    "PS3.15 basic profile by a list of what survives",
    "Clean Pixel Data; dates moved by whole days per patient",
)
# PS3.16 CID 7050
PROFILE = {
    "113100": "Basic Application Confidentiality Profile",
    "113101": "Clean Pixel Data Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
}
# Elements whose text leads to a person; a maker's name must not repeat any of it.
_NAMES = (
    "PatientName",
    "PatientID",
    "OtherPatientIDs",
    "AccessionNumber",
    "StudyID",
    "InstitutionName",
    "InstitutionAddress",
    "InstitutionalDepartmentName",
    "StationName",
    "DeviceSerialNumber",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "OperatorsName",
    "PhysiciansOfRecord",
    "NameOfPhysiciansReadingStudy",
    "RequestingPhysician",
    "ResponsiblePerson",
    "PatientMotherBirthName",
    "OtherPatientNames",
    "PatientBirthName",
)
_SHORTEST_NAME = 3
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")  # PS3.5 table 6.2-1, DS
_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")
_DATETIME = re.compile(r"(\d{8})((?:\d{2}){0,3}(?:\.\d{1,6})?(?:[+-]\d{4})?)")
_TIME = re.compile(r"\d{2}(?:\d{2}(?:\d{2}(?:\.\d{1,6})?)?)?")
_ULTRASOUND = UID("1.2.840.10008.5.1.4.1.1.3.1")
"""Ultrasound Multi-frame, of what states no class that is known."""
_LONGEST_DECIMAL = 16
_LARGEST_FLOAT = 3e38  # of FL, single precision
_WHOLE = {
    "US": (0, 2**16 - 1),
    "UL": (0, 2**32 - 1),
    "SS": (-(2**15), 2**15 - 1),
    "SL": (-(2**31), 2**31 - 1),
    "IS": (-(2**31), 2**31 - 1),
}
_LARGEST_COUNT = 99_999
"""Larger series and instance numbers are somebody's numbers, not counts."""
_COUNTS = frozenset({"SeriesNumber", "InstanceNumber", "AcquisitionNumber"})


@dataclass(frozen=True)
class Subject:
    """Whose clip it is: `patient`, the new id, `days`, by how much all dates move, and `uids`, the
    new one of each of UIDS by its keyword."""

    patient: str
    days: int
    uids: Mapping[str, str]


def subject_of(header: Dataset, pseudonyms: Pseudonyms, digest: str) -> Subject:
    """Return the pseudonyms of a header.

    A patient is who has the same PatientID; without one, the same name and date of birth; without
    a name, the same study; else every file is its own. `digest` tells files apart that have no
    UIDs, for instance the sha256.
    """
    study, series, instance = (text(header, keyword) for keyword in UIDS[:3])
    instance = instance or f"file\0{digest}"
    if patient := text(header, "PatientID"):
        who = f"id\0{patient}"
    elif name := text(header, "PatientName"):
        who = f"name\0{name}\0{text(header, 'PatientBirthDate') or ''}"
    else:
        who = f"study\0{study or instance}"
    old = {
        "StudyInstanceUID": study or f"study of\0{instance}",
        "SeriesInstanceUID": series or f"series of\0{study or instance}",
        "SOPInstanceUID": instance,
        "FrameOfReferenceUID": text(header, "FrameOfReferenceUID"),
    }
    uids = {keyword: pseudonyms.uid(uid) for keyword, uid in old.items() if uid}
    return Subject(pseudonyms.patient(who), pseudonyms.days(who), uids)


def clean_header(header: Dataset, subject: Subject) -> Dataset:
    """Return a new header: what survives of the old one, the pseudonyms, and what was done.

    The Image Pixel Module is left to whoever writes the pixels (imaging.deidentify.writing).
    BurnedInAnnotation is NO, as the option Clean Pixel Data wants it; so this header fits only
    pixels that were cleaned.
    """
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    sop_class = text(header, "SOPClassUID") or text(header.file_meta, "MediaStorageSOPClassUID")
    known = UID(sop_class or "").type == "SOP Class"  # as PS3.6 table A-1 has it
    made.SOPClassUID = UID(sop_class) if known and sop_class else _ULTRASOUND
    for keyword in EMPTY:
        setattr(made, keyword, "")
    for keyword, value in _survivors(header, subject.days):
        setattr(made, keyword, value)
    for keyword, uid in subject.uids.items():
        setattr(made, keyword, uid)
    made.PatientName = made.PatientID = subject.patient
    made.PatientIdentityRemoved = "YES"
    made.DeidentificationMethod = list(METHOD)
    made.DeidentificationMethodCodeSequence = [_code(*pair) for pair in PROFILE.items()]
    made.LongitudinalTemporalInformationModified = "MODIFIED"
    made.BurnedInAnnotation = "NO"
    found = _value(header, "SequenceOfUltrasoundRegions")
    if isinstance(found, Sequence):
        made.SequenceOfUltrasoundRegions = [_region(item) for item in found]
    return made


def _survivors(header: Dataset, days: int) -> Iterator[tuple[str, object]]:
    for keyword in NUMBERS:
        value = _numbers(keyword, header)
        if value is not None and not (keyword in _COUNTS and _too_large(value)):
            yield keyword, value
    for keyword, allowed in TERMS.items():
        values = (text(header, keyword) or "").upper()
        known = [value for value in _parts(values) if value in allowed]
        if known:
            yield keyword, known if len(known) > 1 else known[0]
    names = _names(header)
    for keyword in TEXTS:
        value = text(header, keyword)
        if value and value.isprintable() and not _repeats(value, names):
            yield keyword, value[:64]
    for keyword in DATES:
        if moved := moved_date(text(header, keyword), days):
            yield keyword, moved
    for keyword in DATETIMES:
        stamp = _DATETIME.fullmatch(text(header, keyword) or "")
        if stamp and (moved := moved_date(stamp[1], days)):
            yield keyword, moved + stamp[2]
    for keyword in TIMES:
        value = (text(header, keyword) or "").replace(":", "")
        if _TIME.fullmatch(value):
            yield keyword, value


def moved_date(value: str | None, days: int) -> str | None:
    """Return a DA value moved by `days`; None for what is no date."""
    found = _DATE.fullmatch(value or "")
    if found is None:
        return None
    try:
        year, month, day = (int(part) for part in found.groups())
        moved = date(year, month, day) + timedelta(days=days)
    except (ValueError, OverflowError):
        return None
    return f"{moved:%Y%m%d}".rjust(8, "0")


def _region(item: Dataset) -> Dataset:
    made = Dataset()
    for keyword in REGION_NUMBERS:
        value = _numbers(keyword, item)
        if value is not None:
            setattr(made, keyword, value)
    return made


def _numbers(keyword: str, item: Dataset) -> object:
    """Return the value of an element that is a number, or a list of them, and fits its VR."""
    value = _value(item, keyword)
    if value is None or isinstance(value, bytes):
        return None
    many = not isinstance(value, str) and hasattr(value, "__iter__")
    values = list(value) if many else [value]  # type: ignore[call-overload]
    vr = dictionary_VR(keyword)
    found = [_number(one, vr) for one in values]
    if not found or None in found:
        return None
    return found if many else found[0]


def _number(value: object, vr: str) -> int | float | str | None:
    written = str(value).strip()
    if not _DECIMAL.fullmatch(written):
        return None
    if vr == "DS":
        return written if len(written) <= _LONGEST_DECIMAL else None
    number = float(written)
    if vr in ("FD", "FL"):
        return number if abs(number) < _LARGEST_FLOAT else None
    low, high = _WHOLE[vr]
    return int(number) if number == int(number) and low <= number <= high else None


def _too_large(value: object) -> bool:
    try:
        return not 0 <= int(str(value)) <= _LARGEST_COUNT
    except ValueError:
        return True


def _names(header: Dataset) -> set[str]:
    """Return the words, in lower case, of everything that names a person or a place."""
    words = set()
    for keyword in _NAMES:
        found = text(header, keyword) or ""
        words |= {word.lower() for word in re.findall(r"\w+", found) if len(word) >= _SHORTEST_NAME}
    return words


def _repeats(value: str, names: set[str]) -> bool:
    return any(name in value.lower() for name in names)


def _parts(value: str) -> list[str]:
    return [part.strip(" '\"") for part in value.strip("[]").replace("\\", ",").split(",")]


def _value(item: Dataset, keyword: str) -> object:
    try:
        return item.get(keyword)
    except Exception:  # noqa: BLE001 - pydicom converts on access, and garbage raises anything
        return None


def _code(value: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
    return code
