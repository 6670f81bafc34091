"""What the sonographer measured: endometrial thickness in the structured reports of scanners.

Scanners write an OB-GYN Ultrasound Procedure Report (PS3.16 TID 5000, whose section on pelvis and
uterus is TID 5015); workstations write a Measurement Report (TID 1500). Both hold the thickness as
a numeric item (TID 300), and the tree is searched for it wherever it hangs.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO

from pydicom import Dataset, dcmread

from imaging.dicom_file import inflated, parsing
from imaging.errors import ClipError, cause
from imaging.identity import text

# Real reports have some 100 kB. Every 8 bytes can become an item of a kilobyte in memory.
MAX_BYTES = 4 * 2**20
MAX_DEPTH, MAX_ITEMS = 40, 20_000
# What no endometrium has, and no slip of the unit gives (mm).
PLAUSIBLE_MM = (0.1, 100.0)

_MM = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001}  # UCUM

_CodeKey = tuple[str, str]
# (code value, coding scheme). SRT was SNOMED's designator in DICOM before SCT, with other values.
_ENDOMETRIUM_THICKNESS = {("12145-9", "LN")}  # CID 12011
_THICKNESS = {("118565006", "SCT"), ("G-D705", "SRT")}
_ENDOMETRIUM = {("2739003", "SCT"), ("T-83400", "SRT")}
_ABOUT = {("121071", "DCM"), ("363698007", "SCT"), ("G-C0E3", "SRT")}  # finding, finding site
_ALGORITHM_NAME = {("111001", "DCM")}
_SELECTION = {("121404", "DCM")}  # TID 310, CID 224
_DERIVATION = {("121401", "DCM")}
_OLD_SRT = {"SNM3", "99SDM"}  # mean SRT (PS3.16 section 8.1)
_OWN = "endometer"


class Standing(IntEnum):
    """What a report says of a value, the weightiest last."""

    PLAIN = 0
    MEDIAN = 1
    MAXIMUM = 2
    MEAN = 3
    BEST = 4
    MOST_RECENT = 5
    MEAN_CHOSEN = 6
    CHOSEN = 7


_STANDINGS = {
    ("373099004", "SCT"): Standing.MEDIAN,
    ("R-00319", "SRT"): Standing.MEDIAN,
    ("56851009", "SCT"): Standing.MAXIMUM,
    ("G-A437", "SRT"): Standing.MAXIMUM,
    ("373098007", "SCT"): Standing.MEAN,
    ("R-00317", "SRT"): Standing.MEAN,
    ("371912002", "SCT"): Standing.BEST,
    ("R-002E1", "SRT"): Standing.BEST,
    ("121411", "DCM"): Standing.MOST_RECENT,
    ("121412", "DCM"): Standing.MEAN_CHOSEN,
    ("121410", "DCM"): Standing.CHOSEN,
}


@dataclass(frozen=True)
class ScannerValue:
    """A thickness in mm that a report states.

    `image_uid` is the SOP instance that it was measured in and `frame` its frame, from 1, where
    the report says so.
    """

    thickness_mm: float
    standing: Standing = Standing.PLAIN
    image_uid: str | None = None
    frame: int | None = None


@dataclass(frozen=True)
class ScannerReport:
    """Every endometrial thickness that a person measured, in the order of the report."""

    study_instance_uid: str | None
    sop_instance_uid: str | None
    values: tuple[ScannerValue, ...]


def read_scanner_report(source: Path | BinaryIO) -> ScannerReport:
    """Read a report. No values: it states no thickness, or only such that a program measured.

    Raises ClipError for a file that cannot be read, is no structured report, or is larger or
    deeper than any real one.
    """
    if isinstance(source, Path):
        try:
            with source.open("rb") as opened:
                return read_scanner_report(opened)
        except (OSError, ValueError) as error:
            raise ClipError(f"The report cannot be opened: {cause(error)}.") from None
    with parsing():
        if source.seek(0, 2) > MAX_BYTES:
            raise ClipError(
                f"The report has more than {MAX_BYTES:,} bytes: no structured report of a scanner."
            )
        source.seek(0)
        unpacked = inflated(source, MAX_BYTES)
        file = unpacked[0] if unpacked else source
        file.seek(0)
        return scanner_report(dcmread(file, force=True))


def scanner_report(data: Dataset) -> ScannerReport:
    """Return what a report that has been read states; see `read_scanner_report`."""
    if text(data, "Modality") != "SR" and "ContentSequence" not in data:
        raise ClipError("The object is no structured report (modality SR).")
    own = (text(data, "Manufacturer") or "").lower() == _OWN
    return ScannerReport(
        study_instance_uid=text(data, "StudyInstanceUID"),
        sop_instance_uid=text(data, "SOPInstanceUID"),
        values=() if own else tuple(_values(data)),
    )


def sonographer_mm(values: Iterable[ScannerValue], image_uid: str | None = None) -> float | None:
    """Return the one value (mm) that stands for an image, of all values of its study.

    Those measured in that image come first; if there are none, those of the whole study. Among
    them counts what the report itself puts forward: its selection (TID 310: chosen by the user,
    mean chosen, most recent chosen), then its derivation (best value, mean, maximum, median). Of
    several with the same standing it is the largest, as the thickness is that of the thickest
    place. None if there are no values.
    """
    every = list(values)
    here = [value for value in every if image_uid and value.image_uid == image_uid]
    best = max(here or every, key=lambda v: (v.standing, v.thickness_mm), default=None)
    return best.thickness_mm if best else None


def _values(root: Dataset) -> Iterator[ScannerValue]:
    """Search the tree without recursion; context is inherited from the containers above."""
    open_items = [(root, 0, False, False)]
    seen = 0
    while open_items:
        item, depth, endometrium, algorithm = open_items.pop()
        seen += 1
        if depth > MAX_DEPTH or seen > MAX_ITEMS:
            raise ClipError(
                f"The report has more than {MAX_ITEMS:,} items or {MAX_DEPTH} levels; no scanner "
                "writes such a one."
            )
        children = _children(item)
        names = [_code(child, "ConceptNameCodeSequence") for child in children]
        algorithm |= any(name in _ALGORITHM_NAME for name in names)
        endometrium |= any(
            name in _ABOUT and _code(child, "ConceptCodeSequence") in _ENDOMETRIUM
            for name, child in zip(names, children, strict=True)
        )
        if text(item, "ValueType") == "NUM" and not algorithm:
            name = _code(item, "ConceptNameCodeSequence")
            if name in _ENDOMETRIUM_THICKNESS or (endometrium and name in _THICKNESS):
                found = _value(item, children, root)
                if found:
                    yield found
        below = [(child, depth + 1, endometrium, algorithm) for child in children]
        open_items.extend(reversed(below))


def _value(item: Dataset, children: list[Dataset], root: Dataset) -> ScannerValue | None:
    thickness = _millimetres(item)
    if thickness is None:
        return None
    standing = Standing.PLAIN
    image: tuple[str | None, int | None] = (None, None)
    for child in children:
        name = _code(child, "ConceptNameCodeSequence")
        if name in _SELECTION | _DERIVATION:
            said = _STANDINGS.get(_code(child, "ConceptCodeSequence"), Standing.PLAIN)
            standing = max(standing, said)
        if image[0] is None:
            image = _image(child, root)
    return ScannerValue(thickness, standing, *image)


def _millimetres(item: Dataset) -> float | None:
    """Return the value in mm; None where it is absent, manifold, impossible or in other units."""
    try:
        (measured,) = item.MeasuredValueSequence
        factor = _MM.get(str(measured.MeasurementUnitsCodeSequence[0].CodeValue).strip())
        value = measured.get("FloatingPointValue")
        value = float(measured.NumericValue if value is None else value)
    except Exception:  # noqa: BLE001 - pydicom converts on access, and garbage raises anything
        return None
    if factor is None or not math.isfinite(value):
        return None
    low, high = PLAUSIBLE_MM
    return value * factor if low <= value * factor <= high else None


def _image(item: Dataset, root: Dataset) -> tuple[str | None, int | None]:
    """Return the image (UID, frame) that an item below a value points at: IMAGE, or SCOORD with an
    IMAGE below it, there or, by reference, elsewhere in the tree."""
    for candidate in (item, *_children(item)):
        target = _referred(candidate, root)
        try:
            if str(target.ValueType) != "IMAGE":
                continue
            sop = target.ReferencedSOPSequence[0]
            uid = text(sop, "ReferencedSOPInstanceUID")
            frames = sop.get("ReferencedFrameNumber")
            frame = int(frames) if isinstance(frames, int) else None
        except Exception:  # noqa: BLE001, S112 - a broken reference is no reference
            continue
        if uid:
            return uid, frame
    return None, None


def _referred(item: Dataset, root: Dataset) -> Dataset:
    """Follow a by-reference relationship (PS3.3 C.17.3.2.5): the path of positions from the root,
    each counted from 1, the first of which is the root itself."""
    try:
        path = item.get("ReferencedContentItemIdentifier")
        if path is None:
            return item
        positions = [int(path)] if isinstance(path, int) else [int(step) for step in path]
        target = root
        for position in positions[1 : MAX_DEPTH + 1]:
            if position < 1:
                return item
            target = target.ContentSequence[position - 1]
    except Exception:  # noqa: BLE001 - a broken reference is no reference
        return item
    return target


def _children(item: Dataset) -> list[Dataset]:
    try:
        return list(item.get("ContentSequence") or ())
    except RecursionError:
        raise
    except Exception:  # noqa: BLE001 - what cannot be parsed holds nothing
        return []


def _code(item: Dataset, keyword: str) -> _CodeKey:
    """Return code value and scheme of the first code in a sequence, empty where there is none."""
    try:
        code = item[keyword].value[0]
        value = str(code.get("CodeValue") or code.get("LongCodeValue") or "").strip()
        scheme = str(code.get("CodingSchemeDesignator") or "").strip().upper()
    except Exception:  # noqa: BLE001 - absent or garbage
        return "", ""
    return value, "SRT" if scheme in _OLD_SRT else scheme
