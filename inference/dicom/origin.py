"""Whose results they are: patient, study and image of a source file, as new objects state them."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from imaging.identity import acquired_at, text

if TYPE_CHECKING:
    from pydicom import Dataset

# What a new object takes from the source: the Patient, Clinical Trial and Study modules without
# their rarer parts (PS3.3 C.7.1 to C.7.2). The first three name the woman and her study.
_ESSENTIAL = ("PatientName", "PatientID", "AccessionNumber")
_KEPT = (
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
    "ClinicalTrialTimePointID",
    "ClinicalTrialTimePointDescription",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "ReferringPhysicianName",
)
_SCANNER = ("Manufacturer", "ManufacturerModelName")
# Every SR, SEG and SC has these, if only empty (type 2).
_TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
_SHAPES = {
    "PatientBirthDate": re.compile(r"\d{8}"),
    "StudyDate": re.compile(r"\d{8}"),
    "StudyTime": re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?"),
    "PatientSex": re.compile(r"[MFO]"),
    "PatientIdentityRemoved": re.compile(r"YES|NO"),
}
# PS3.5 section 9.1: no leading zeros, or dcmtk and others refuse to read what refers to it.
_UID = re.compile(r"(?=.{1,64}$)(0|[1-9]\d*)(\.(0|[1-9]\d*))+")

STILL = "1.2.840.10008.5.1.4.1.1.6.1"
CINE = "1.2.840.10008.5.1.4.1.1.3.1"
# The current classes, and the retired ones that old archives hold (PS3.6 table A-1).
_STILLS = frozenset({STILL, "1.2.840.10008.5.1.4.1.1.6"})
_CINES = frozenset({CINE, "1.2.840.10008.5.1.4.1.1.3"})


class NoResultError(Exception):
    """There can be no DICOM result for this clip; the message says why, and holds no identity."""


@dataclass(frozen=True)
class Origin:
    """What new objects state about the image they come from.

    `header` is what highdicom sees: UIDs, size and scanner. It knows few classes, so its own class
    is that of a current ultrasound still or cine; `sop_class` is the image's. `identity` is patient
    and study, which it does not see: it quotes names in its warnings. `at` is the time of the scan,
    or of the run where the file has none. `number` is the image's own within its series, from 1.
    """

    header: "Dataset"
    identity: "Dataset"
    sop_class: str
    at: datetime
    number: int
    no_burned_in_identity: bool
    """The file says that its picture names nobody."""

    @property
    def is_multiframe(self) -> bool:
        """Return whether references to the image have to name a frame."""
        return "NumberOfFrames" in self.header

    @property
    def key(self) -> tuple[object, ...]:
        """Return what tells this source from every other: the image, whose it is, and when."""
        whose = tuple((element.keyword, str(element.value)) for element in self.identity)
        return (str(self.header.SOPInstanceUID), self.sop_class, self.number, self.at, whose)


def read_origin(header: "Dataset | None", frames: int, run_at: datetime) -> Origin:
    """Read what results need from the header of a clip.

    `run_at` is used where the file states no date. Text is stored as UTF-8 whatever the source
    used. What the standard does not allow (a birth date of letters) is left empty, but an identity
    is never cut or lost: NoResultError is raised then, as for images without a header or without
    the UIDs that would tie a result to them.
    """
    from pydicom import Dataset

    if header is None:
        raise NoResultError(
            "A PNG, JPEG or TIFF image says nothing about patient and study, so there is nothing "
            "that a DICOM result could belong to. Export the clip as DICOM."
        )
    found, identity = Dataset(), Dataset()
    found.SpecificCharacterSet = "ISO_IR 192"
    for keyword in ("SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID"):
        uid = text(header, keyword) or ""
        if not _UID.fullmatch(uid):
            raise NoResultError(
                f"The file has no valid {keyword}, so a DICOM result could not refer to it. "
                "Export the clip again from the scanner or the archive."
            )
        setattr(found, keyword, uid)
    for keyword in _TYPE_2:
        setattr(found, keyword, "")
        setattr(identity, keyword, "")
    for keyword in (*_ESSENTIAL, *_KEPT):
        _copy(header, identity, keyword)
    for keyword in _SCANNER:
        _copy(header, found, keyword)
    sop_class = str(found.SOPClassUID)
    multiframe = frames > 1 or sop_class in _CINES
    if sop_class not in _STILLS | _CINES:
        multiframe |= "NumberOfFrames" in header
    found.SOPClassUID = CINE if multiframe else STILL
    if multiframe:
        found.NumberOfFrames = frames
    found.Modality, found.Rows, found.Columns = "US", int(header.Rows), int(header.Columns)
    number = text(header, "InstanceNumber") or ""
    return Origin(
        header=found,
        identity=identity,
        sop_class=sop_class,
        at=_moment(header, run_at),
        number=max(1, int(number)) if re.fullmatch(r"\d{1,9}", number) else 1,
        no_burned_in_identity=text(header, "BurnedInAnnotation") == "NO",
    )


def _copy(header: "Dataset", found: "Dataset", keyword: str) -> None:
    from pydicom import DataElement
    from pydicom.config import RAISE
    from pydicom.datadict import dictionary_VR, tag_for_keyword
    from pydicom.multival import MultiValue

    try:
        stated = header.get(keyword)
        if stated is None:
            return
        value = text(header, keyword) or ""
        if isinstance(stated, MultiValue) or (str(stated).strip("\0 ") and not value):
            raise ValueError("several values, or none that can be decoded")
        shape = _SHAPES.get(keyword)
        if value and shape and not shape.fullmatch(value):
            raise ValueError("not what the standard allows")
        tag = tag_for_keyword(keyword) or 0
        found.add(DataElement(tag, dictionary_VR(tag), value, validation_mode=RAISE))
    except Exception:  # noqa: BLE001 - pydicom converts on access, and garbage raises anything
        if keyword in _ESSENTIAL:
            raise NoResultError(
                f"The file's {keyword} breaks the rules of DICOM, so a result with it would be "
                "filed under another one. Correct it in the archive and export the clip again."
            ) from None


def _moment(header: "Dataset", run_at: datetime) -> datetime:
    stated = acquired_at(header)
    moment = datetime.fromisoformat(stated) if stated else run_at
    return moment.replace(tzinfo=None)  # TM has no time zone; the clock of the scanner stands
