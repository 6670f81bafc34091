"""Who made a result, and what all new objects have in common: UIDs, series, times."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from importlib import metadata, util
from typing import TYPE_CHECKING, Any

from inference.dicom.origin import Origin
from models.bundle import Bundle

if TYPE_CHECKING:
    from pydicom import Dataset

NAME = "endometer"
_TEXT = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})


class Kind(StrEnum):
    """The objects that can go back; the values are those of `--dicom`."""

    SR = "sr"
    SEG = "seg"
    SC = "sc"


# Series of our own, numbered far from a scanner's.
SERIES = {
    Kind.SR: (9801, "Endometrial thickness, report"),
    Kind.SEG: (9802, "Endometrial thickness, outline"),
    Kind.SC: (9803, "Endometrial thickness, picture"),
}


class MissingExtraError(Exception):
    """The optional packages for DICOM results are not installed; the message says what to do."""


def require_highdicom() -> None:
    """Raise MissingExtraError if DICOM results cannot be made here. Imports nothing."""
    if util.find_spec("highdicom") is None:
        raise MissingExtraError(
            "DICOM results need the package highdicom, which is not installed. "
            "Install it with: pip install 'endometer[dicom]'"
        )


@dataclass(frozen=True)
class Maker:
    """The program and model that made a result.

    `coverage` is the nominal share of cases that the interval holds. `run_at` dates the results of
    clips that state no date; a run that is resumed must give the time that it first began.
    """

    version: str
    bundle: str
    bundle_sha256: str
    coverage: float
    run_at: datetime

    @classmethod
    def of(cls, bundle: Bundle, run_at: datetime) -> "Maker":
        """Return the maker for a bundle and the installed version of this program."""
        return cls(
            metadata.version(NAME), bundle.name, bundle.sha256, bundle.intervals.nominal, run_at
        )

    def uid(self, *parts: object) -> str:
        """Return the UID that follows from this maker and `parts`, whose repr is their content."""
        from pydicom.uid import generate_uid

        content = [NAME, self.version, self.bundle_sha256, *(repr(part) for part in parts)]
        digest = hashlib.sha256("\n".join(content).encode("utf-8", "replace")).hexdigest()
        return str(generate_uid(entropy_srcs=[digest]))

    def common(self, kind: Kind, origin: Origin, instance_uid: str) -> dict[str, Any]:
        """Return the arguments that highdicom's objects share.

        The results of one kind from one model share a series within their study.
        """
        number, description = SERIES[kind]
        return {
            "series_instance_uid": self.uid("series", kind, str(origin.header.StudyInstanceUID)),
            "series_number": number,
            "series_description": description,
            "sop_instance_uid": instance_uid,
            "instance_number": origin.number,
            "manufacturer": NAME,
            "manufacturer_model_name": self.bundle[:64],
            "software_versions": self.version,
            "device_serial_number": self.bundle_sha256[:16],
            "content_date": origin.at.date(),
            "content_time": origin.at.time(),
        }


def finish(made: "Dataset", origin: Origin) -> "Dataset":
    """Give an object its patient and study, and make it the same whenever it is made.

    References get the source's own SOP class. The moment of writing is left out: it is optional
    everywhere, and with it the same result made twice would be two objects under one UID. A
    character set is named where one is needed.
    """
    made.update(origin.identity)
    for keyword in ("InstanceCreationDate", "InstanceCreationTime"):
        if keyword in made:
            delattr(made, keyword)
    for item in made.get("ContributingEquipmentSequence", ()):
        if "ContributionDateTime" in item:
            del item.ContributionDateTime
    stand_in = str(origin.header.SOPClassUID)
    if stand_in != origin.sop_class:
        for element in made.iterall():
            if element.keyword == "ReferencedSOPClassUID" and element.value == stand_in:
                element.value = origin.sop_class
    texts = (str(e.value) for e in made.iterall() if e.VR in _TEXT)
    if all(text.isascii() for text in texts):
        del made.SpecificCharacterSet
    return made
