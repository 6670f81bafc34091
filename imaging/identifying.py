"""Which parts of a file may say who the patient is: their names, never their values.

DICOM elements after the Basic Application Level Confidentiality Profile (PS3.15 table E.1-1): those
that name a person or lead to one. Dates of the examination and UIDs are not among them, because a
data set needs them; a full de-identification removes or replaces those, too.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from imaging.errors import ClipError
from imaging.source import Source

if TYPE_CHECKING:
    from pydicom import Dataset

# Beside every element that holds a person's name (VR PN) and every private element with text.
IDENTIFYING = frozenset(
    {
        "AccessionNumber",
        "AdditionalPatientHistory",
        "AdmissionID",
        "CountryOfResidence",
        "ImageComments",
        "IssuerOfPatientID",
        "MedicalAlerts",
        "MedicalRecordLocator",
        "Occupation",
        "OtherPatientIDs",
        "PatientAddress",
        "PatientBirthDate",
        "PatientBirthTime",
        "PatientComments",
        "PatientID",
        "PatientInsurancePlanCodeSequence",
        "PatientReligiousPreference",
        "PatientTelecomInformation",
        "PatientTelephoneNumbers",
        "RegionOfResidence",
        "ReferringPhysicianAddress",
        "ReferringPhysicianTelephoneNumbers",
        "ServiceEpisodeID",
    }
)
# What may stay where PatientIdentityRemoved (0012,0062) says YES: it is a pseudonym then.
_PSEUDONYMS = frozenset({"PatientName", "PatientID"})
_TEXTS = frozenset({"LO", "LT", "SH", "ST", "UC", "UT", "UN", "AE", "DA", "AS"})
# What a still may say of itself that is no text of a person's.
_HARMLESS_CHUNKS = frozenset({"Software", "software", "date:create", "date:modify"})
_BLOCKS = {"XML:com.adobe.xmp": "XMP", "xmp": "XMP", "photoshop": "Photoshop block"}
_EXIF_HARMLESS = frozenset(
    {"Orientation", "XResolution", "YResolution", "ResolutionUnit", "Software", "ExifOffset"}
)


def identifying_elements(header: "Dataset") -> list[str]:
    """Return the keywords (or tags, of private ones) of elements that may identify, sorted.

    Empty elements are none; elements of sequences are among them. Garbage that cannot be decoded
    is named, too: nobody knows what it holds.
    """
    removed = str(header.get("PatientIdentityRemoved") or "").strip().upper() == "YES"
    return sorted(set(_elements(header, _PSEUDONYMS if removed else frozenset())))


def _elements(dataset: "Dataset", allowed: frozenset[str]) -> Iterator[str]:
    for tag in list(dataset.keys()):
        try:
            element = dataset[tag]
            name = element.keyword or f"({tag.group:04X},{tag.element:04X})"
            if element.VR == "SQ":
                for item in element.value or []:
                    yield from _elements(item, allowed)
                if name not in IDENTIFYING or not element.value:
                    continue
            empty = element.value is None or not str(element.value).strip("\0 ")
        except Exception:  # noqa: BLE001 - pydicom converts on access, and garbage raises anything
            yield f"({tag.group:04X},{tag.element:04X})"
            continue
        if empty or name in allowed:
            continue
        if (
            element.VR == "PN"
            or name in IDENTIFYING
            or (tag.is_private and not tag.is_private_creator and element.VR in _TEXTS)
        ):
            yield name


def identifying_text(source: Source) -> list[str]:
    """Return what a PNG, JPEG or TIFF carries beside its pixels that may identify: the names of
    text chunks, EXIF fields and comments. Raises ClipError if it cannot be read."""
    from PIL import ExifTags, Image  # noqa: PLC0415

    try:
        with source.open() as file, Image.open(file, formats=("PNG", "JPEG", "TIFF")) as image:
            found = [f"text {key!r}" for key in getattr(image, "text", {}) or {}]
            if image.info.get("comment"):
                found.append("comment")
            found += [words for key, words in _BLOCKS.items() if image.info.get(key)]
            exif = image.getexif()
            tags = dict(exif) if image.format != "TIFF" else {}
            tags |= exif.get_ifd(ExifTags.IFD.Exif) | exif.get_ifd(ExifTags.IFD.GPSInfo)
            if image.format == "TIFF":
                # those of its layout are numbers
                tags |= {n: v for n, v in exif.items() if isinstance(v, str) and v.strip()}
    except ClipError:
        raise
    except Exception as error:  # noqa: BLE001 - damaged images raise nearly anything
        raise ClipError(f"The image cannot be opened: {type(error).__name__}.") from None
    for tag in tags:
        name = ExifTags.TAGS.get(tag) or ExifTags.GPSTAGS.get(tag) or f"{tag:#06x}"
        if name not in _EXIF_HARMLESS:
            found.append(f"EXIF {name}")
    return sorted(set(found) - {f"text {key!r}" for key in _HARMLESS_CHUNKS})
