"""Scanner reports made here as TID 5000 and TID 1500 nest them, whole, odd and hostile."""

import struct
import zlib
from io import BytesIO
from itertools import permutations

import pytest
from dicom_factory import SECRET_ID, SECRET_NAME
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from imaging.errors import ClipError
from imaging.scanner_report import (
    MAX_BYTES,
    MAX_DEPTH,
    ScannerValue,
    Standing,
    read_scanner_report,
    scanner_report,
    sonographer_mm,
)

IMAGE_UID = "1.2.826.0.1.3680043.8.498.77"
THICKNESS = ("12145-9", "LN", "Endometrium Thickness")
SELECTION, CHOSEN = ("121404", "DCM", "Selection Status"), ("121410", "DCM", "User chosen value")
MEAN_CHOSEN = ("121412", "DCM", "Mean value chosen")
DERIVATION = ("121401", "DCM", "Derivation")


def code(value, scheme, meaning):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def item(kind, name, *children, **elements):
    made = Dataset()
    made.RelationshipType, made.ValueType = "CONTAINS", kind
    if name:
        made.ConceptNameCodeSequence = [code(*name)]
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    if children:
        made.ContentSequence = list(children)
    return made


def container(name, *children):
    return item("CONTAINER", name, *children)


def coded(name, value):
    return item("CODE", name, ConceptCodeSequence=[code(*value)])


def number(value, unit="mm", name=THICKNESS, *children):
    measured = Dataset()
    measured.NumericValue = value
    measured.MeasurementUnitsCodeSequence = [code(unit, "UCUM", unit)]
    return item("NUM", name, *children, MeasuredValueSequence=[measured])


def image(uid=IMAGE_UID, frame=None):
    sop = Dataset()
    sop.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.6.1"
    sop.ReferencedSOPInstanceUID = uid
    if frame is not None:
        sop.ReferencedFrameNumber = frame
    return item("IMAGE", None, ReferencedSOPSequence=[sop])


def report(*content, **elements):
    """The root of a report in a study."""
    data = Dataset()
    data.Modality, data.Manufacturer = "SR", "Acme"
    data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.33"
    data.SOPInstanceUID, data.StudyInstanceUID = "1.2.3.1", "1.2.3"
    data.PatientName, data.PatientID = SECRET_NAME, SECRET_ID
    data.ValueType = "CONTAINER"
    data.ConceptNameCodeSequence = [code("125000", "DCM", "OB-GYN Ultrasound Procedure Report")]
    data.ContentSequence = list(content)
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    return data


def ob_gyn(*numbers):
    """TID 5000 with its section on pelvis and uterus (TID 5015)."""
    section = container(
        ("125011", "DCM", "Pelvis and Uterus"),
        container(("35039007", "SCT", "Uterus"), number(52.0, "mm", ("11842-2", "LN", "Length"))),
        *numbers,
    )
    return report(container(("121111", "DCM", "Summary")), section)


def file_of(data, syntax=ExplicitVRLittleEndian):
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = UID(syntax)
    buffer = BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer


def values(data):
    return [value.thickness_mm for value in read_scanner_report(file_of(data)).values]


def test_an_ob_gyn_report_gives_its_thickness_and_its_study():
    found = read_scanner_report(file_of(ob_gyn(number(7.4))))
    assert found.study_instance_uid == "1.2.3" and found.sop_instance_uid == "1.2.3.1"
    assert found.values == (ScannerValue(7.4),)


@pytest.mark.parametrize(
    ("value", "unit", "mm"),
    [(7.4, "mm", 7.4), (0.74, "cm", 7.4), (0.0074, "m", 7.4), (7400, "um", 7.4)],
)
def test_units_become_millimetres(value, unit, mm):
    assert values(ob_gyn(number(value, unit))) == [pytest.approx(mm)]


@pytest.mark.parametrize("unit", ["[in_i]", "cm2", "", "MM"])
def test_other_units_are_no_millimetres(unit):
    assert values(ob_gyn(number(7.4, unit))) == []


@pytest.mark.parametrize("value", ["0", "-7", "7400", "1e300"])
def test_impossible_values_are_left_out(value):
    assert values(ob_gyn(number(value), number(5.5))) == [5.5]


def test_a_value_of_full_precision_counts_before_its_rounded_form():
    precise = number("7.4")
    precise.MeasuredValueSequence[0].FloatingPointValue = 7.4321
    assert values(ob_gyn(precise)) == [7.4321]


def test_missing_and_garbled_values_are_left_out():
    empty = number(1.0)
    empty.MeasuredValueSequence = []
    unitless = number(1.0)
    del unitless.MeasuredValueSequence[0].MeasurementUnitsCodeSequence
    several = number(1.0)
    several.MeasuredValueSequence[0].NumericValue = ["1.0", "2.0"]
    garbled = number(1.0)
    garbled.MeasuredValueSequence[0].add_new("NumericValue", "LO", "seven")
    nameless = number(1.0)
    del nameless.ConceptNameCodeSequence
    assert values(ob_gyn(empty, unitless, several, garbled, nameless, number(6.1))) == [6.1]


@pytest.mark.parametrize("scheme", ["SRT", "SNM3", "99SDM"])
def test_a_measurement_report_with_thickness_of_the_endometrium(scheme):
    """TID 1500: what was measured stands beside the number, in SNOMED's old or new codes."""
    old = container(
        ("125007", "DCM", "Measurement Group"),
        coded(("121071", "DCM", "Finding"), ("T-83400", scheme, "Endometrium")),
        number(0.58, "cm", ("G-D705", scheme, "Thickness")),
    )
    new = container(
        ("125007", "DCM", "Measurement Group"),
        number(
            6.5,
            "mm",
            ("118565006", "SCT", "Thickness"),
            coded(("363698007", "SCT", "Finding Site"), ("2739003", "SCT", "Endometrium")),
        ),
    )
    other = container(
        ("125007", "DCM", "Measurement Group"),
        coded(("121071", "DCM", "Finding"), ("35039007", "SCT", "Uterus")),
        number(9.9, "mm", ("118565006", "SCT", "Thickness")),
    )
    group = container(("126010", "DCM", "Imaging Measurements"), old, new, other)
    assert values(report(group)) == [pytest.approx(5.8), 6.5]


def test_what_a_program_measured_is_not_the_sonographers():
    name = item("TEXT", ("111001", "DCM", "Algorithm Name"), TextValue="a program")
    assert values(ob_gyn(number(7.4, "mm", THICKNESS, name), number(5.0))) == [5.0]
    assert values(report(container(("125007", "DCM", "Group"), name, number(7.4)))) == []
    own = ob_gyn(number(7.4))
    own.Manufacturer = "endometer"
    assert values(own) == []


@pytest.mark.parametrize("frame", [None, 12])
def test_the_image_of_a_value_is_found(frame):
    direct = number(7.0, "mm", THICKNESS, image(frame=frame))
    drawn = number(7.0, "mm", THICKNESS, item("SCOORD", None, image(frame=frame)))
    found = read_scanner_report(file_of(ob_gyn(direct, drawn))).values
    assert found == (ScannerValue(7.0, Standing.PLAIN, IMAGE_UID, frame),) * 2


def test_an_image_is_found_by_reference():
    """The library is the root's second item, the image its first: 1\\2\\1."""
    pointer = item(None, None, ReferencedContentItemIdentifier=[1, 2, 1])
    data = report(number(7.0, "mm", THICKNESS, pointer), container(None, image()))
    assert read_scanner_report(file_of(data)).values[0].image_uid == IMAGE_UID


@pytest.mark.parametrize("path", [[1, 9, 9], [1, 0], 1, [1, 1], [1] * 200])
def test_references_into_nothing_or_in_a_circle_do_no_harm(path):
    pointer = item(None, None, ReferencedContentItemIdentifier=path)
    found = read_scanner_report(file_of(report(number(7.0, "mm", THICKNESS, pointer)))).values
    assert found == (ScannerValue(7.0),)


def test_several_values_are_all_listed_and_the_chosen_one_stands():
    data = ob_gyn(
        number(7.9),
        number(7.2, "mm", THICKNESS, coded(SELECTION, CHOSEN)),
        number(7.5, "mm", THICKNESS, coded(SELECTION, MEAN_CHOSEN)),
        number(7.6, "mm", THICKNESS, coded(DERIVATION, ("R-00317", "SRT", "Mean"))),
    )
    found = read_scanner_report(file_of(data)).values
    assert [value.thickness_mm for value in found] == [7.9, 7.2, 7.5, 7.6]
    for order in permutations(found):
        assert sonographer_mm(order) == 7.2
        assert sonographer_mm(v for v in order if v.standing is not Standing.CHOSEN) == 7.5
    assert sonographer_mm([found[0], found[3]]) == 7.6, "a mean counts before its parts"


def test_without_a_choice_the_thickest_place_counts():
    assert sonographer_mm([ScannerValue(5.0), ScannerValue(6.0), ScannerValue(5.5)]) == 6.0
    assert sonographer_mm([]) is None


def test_a_value_measured_in_the_image_counts_before_the_studys():
    here = ScannerValue(5.0, image_uid=IMAGE_UID)
    chosen = ScannerValue(6.0, Standing.CHOSEN, image_uid="1.2.9")
    assert sonographer_mm([chosen, here], IMAGE_UID) == 5.0
    assert sonographer_mm([chosen, here], "1.2.8") == 6.0
    assert sonographer_mm([chosen, here]) == 6.0
    assert sonographer_mm([ScannerValue(4.0)], None) == 4.0


def test_a_deep_report_is_refused_and_a_deep_enough_one_is_read():
    def nested(depth):
        inner = number(7.0)
        for _ in range(depth - 1):
            inner = container(None, inner)
        return report(inner)

    assert [v.thickness_mm for v in scanner_report(nested(MAX_DEPTH)).values] == [7.0]
    with pytest.raises(ClipError, match="levels"):
        scanner_report(nested(MAX_DEPTH + 1))


@pytest.mark.parametrize("defined", [True, False])
def test_a_file_nested_a_hundred_thousand_deep_is_refused(defined):
    """Sequences of stated and of open length take different roads through the parser."""
    levels = 20_000 if defined else 100_000
    start = struct.pack("<HH2sH", 0x0008, 0x0060, b"CS", 2) + b"SR"
    if defined:
        body = b""
        sizes = [20 * level for level in range(levels)]
        for size in reversed(sizes):
            sequence = struct.pack("<HH2sHL", 0x0040, 0xA730, b"SQ", 0, size + 8)
            body += sequence + struct.pack("<HHL", 0xFFFE, 0xE000, size)
    else:
        sequence = struct.pack("<HH2sHL", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF)
        body = (sequence + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)) * levels
    meta = file_of(report()).getvalue()
    head = meta[: meta.index(struct.pack("<HH", 0x0008, 0x0016))]
    with pytest.raises(ClipError):
        read_scanner_report(BytesIO(head + start + body))


def test_more_items_than_any_report_has_are_refused(monkeypatch):
    monkeypatch.setattr("imaging.scanner_report.MAX_ITEMS", 100)
    few = [container(None) for _ in range(99)]  # and the root
    assert scanner_report(report(*few)).values == ()
    with pytest.raises(ClipError, match="items"):
        scanner_report(report(*few, container(None)))


def test_large_files_are_refused_unread(tmp_path):
    path = tmp_path / "large.dcm"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ClipError, match="bytes"):
        read_scanner_report(path)


def test_a_deflated_report_is_read_and_a_bomb_is_not():
    assert values(ob_gyn(number(7.4))) == [7.4]
    deflated = file_of(ob_gyn(number(7.4)), DeflatedExplicitVRLittleEndian)
    assert [v.thickness_mm for v in read_scanner_report(deflated).values] == [7.4]
    head = deflated.getvalue()
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    start = 144 + struct.unpack("<L", head[140:144])[0]
    bomb = head[:start] + packer.compress(bytes(2 * MAX_BYTES)) + packer.flush()
    with pytest.raises(ClipError, match="inflates"):
        read_scanner_report(BytesIO(bomb))


@pytest.mark.parametrize("content", [b"", b"nothing", bytes(500)])
def test_what_is_no_report_is_refused_without_naming_anybody(content):
    with pytest.raises(ClipError):
        read_scanner_report(BytesIO(content))


def test_errors_name_nobody(tmp_path):
    picture = report()
    picture.Modality = "US"
    del picture.ContentSequence
    with pytest.raises(ClipError) as caught:
        read_scanner_report(file_of(picture))
    assert "SECRET" not in str(caught.value)
    whole = file_of(ob_gyn(number(7.4))).getvalue()
    for end in range(200, len(whole), 37):  # cut off anywhere
        try:
            read_scanner_report(BytesIO(whole[:end]))
        except ClipError as error:
            assert "SECRET" not in str(error)
    with pytest.raises(ClipError, match="opened"):
        read_scanner_report(tmp_path / "absent.dcm")
