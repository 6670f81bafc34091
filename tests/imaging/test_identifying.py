"""What may say who a patient is: named, and never quoted."""

import pytest
from dicom_factory import header
from PIL import Image, PngImagePlugin
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from imaging.errors import ClipError
from imaging.identifying import identifying_elements, identifying_text
from imaging.source import Source

SECRET = "SECRET"


def plain(**elements):
    return header(4, 4, **{"PatientName": None, "PatientID": None, **elements})


def test_a_header_without_persons_has_nothing_to_tell():
    assert identifying_elements(plain()) == []
    assert identifying_elements(plain(PatientName="", PatientID="", PatientBirthDate="")) == []


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientName", "SECRET^NAME"),
        ("PatientID", SECRET),
        ("PatientBirthDate", "19800101"),
        ("OperatorsName", "SECRET^SONO"),
        ("ReferringPhysicianName", "SECRET^DR"),
        ("AccessionNumber", SECRET),
        ("PatientComments", SECRET),
    ],
)
def test_elements_that_name_a_person_or_lead_to_one_are_told(keyword, value):
    assert identifying_elements(plain(**{keyword: value})) == [keyword]


def test_elements_of_sequences_and_private_ones_are_found():
    inner = Dataset()
    inner.PatientBirthName = "SECRET^NAME"
    data = plain(ReferencedPatientSequence=Sequence([inner]))
    block = data.private_block(0x0011, "ACME", create=True)
    block.add_new(0x01, "LO", SECRET)
    block.add_new(0x02, "US", 7)
    assert identifying_elements(data) == ["(0011,1001)", "PatientBirthName"]


def test_a_pseudonym_is_no_name_where_the_header_says_so():
    data = plain(PatientName="P1", PatientID="P1", PatientIdentityRemoved="YES")
    assert identifying_elements(data) == []
    data.PatientBirthDate = "19800101"
    assert identifying_elements(data) == ["PatientBirthDate"]


def test_what_cannot_be_decoded_is_told_as_well():
    data = plain()
    tag = BaseTag(0x00189073)
    data[tag] = RawDataElement(tag, "FD", 6, b"SECRET", 0, False, True)
    assert identifying_elements(data) == ["(0018,9073)"]


def test_texts_in_stills_are_told_by_their_names(tmp_path):
    picture = Image.new("L", (8, 8))
    info = PngImagePlugin.PngInfo()
    info.add_text("Description", SECRET)
    info.add_text("Software", "draw")
    picture.save(tmp_path / "a.png", pnginfo=info)
    exif = Image.Exif()
    exif[0x010E], exif[0x013B], exif[0x0112] = SECRET, SECRET, 1
    picture.save(tmp_path / "b.jpg", exif=exif, comment=SECRET)
    picture.save(tmp_path / "c.tif", tiffinfo={270: SECRET})
    picture.save(tmp_path / "d.png")
    picture.save(tmp_path / "e.tif")
    found = {p.name: identifying_text(Source(p)) for p in sorted(tmp_path.iterdir())}
    assert found == {
        "a.png": ["text 'Description'"],
        "b.jpg": ["EXIF Artist", "EXIF ImageDescription", "comment"],
        "c.tif": ["EXIF ImageDescription"],
        "d.png": [],
        "e.tif": [],
    }


def test_what_is_no_picture_is_told(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no")
    with pytest.raises(ClipError, match="cannot be opened"):
        identifying_text(Source(tmp_path / "a.png"))
