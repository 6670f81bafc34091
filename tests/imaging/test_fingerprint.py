"""What makes two files one: never a UID alone, always the same bytes."""

import hashlib
import io
import zipfile

import dicom_factory as make
import pydicom
import pytest
from dicom_factory import header, region, speckle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from imaging import fingerprint as module
from imaging.calibration import decide_calibration
from imaging.clip import Clip, ClipError
from imaging.fingerprint import fingerprint
from imaging.modality import bmode_refusal
from imaging.source import Source

GREY = speckle()
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
REGIONS = {"SequenceOfUltrasoundRegions": [region()]}


def written(path, pixels=GREY, syntax=ExplicitVRLittleEndian, **elements):
    data = header(48, 64, **{**REGIONS, **elements})
    return fingerprint(Source(make.write(path, data, pixels.tobytes(), syntax)))


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian]
)
def test_a_copy_under_another_name_is_a_duplicate(tmp_path, syntax):
    one = written(tmp_path / "a.dcm", syntax=syntax)
    other = written(tmp_path / "b.dcm", syntax=syntax, PatientName="NEW^NAME", PatientID="2")
    assert one.is_duplicate_of(other) and one.sha256 != other.sha256
    assert one.sha256 == hashlib.sha256((tmp_path / "a.dcm").read_bytes()).hexdigest()
    assert (one.identity.patient_id, other.identity.patient_id) == (make.SECRET_ID, "2")
    with Clip.open(tmp_path / "b.dcm") as clip:
        assert clip.identity == other.identity


@pytest.mark.parametrize(
    "change",
    [
        {"pixels": speckle(seed=1)},
        {"SOPInstanceUID": "1.2.3"},
        {"SOPClassUID": make.ULTRASOUND_MULTIFRAME},
        {"Modality": "OT"},
        {"Rows": 64, "Columns": 48},
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"BitsStored": 7, "HighBit": 6},
        {"PixelRepresentation": 1},
        {"NumberOfFrames": 1},
        {"PixelSpacing": [0.1, 0.1]},
        {"SequenceOfUltrasoundRegions": None},
        {"SequenceOfUltrasoundRegions": [region(), region()]},
        {"SequenceOfUltrasoundRegions": [region(delta=(0.01, 0.021))]},
        {"SequenceOfUltrasoundRegions": [region(RegionFlags=1)]},
        {"SequenceOfUltrasoundRegions": [region(box=(0, 0, 47, 62))]},
        {"syntax": ImplicitVRLittleEndian},
        {"syntax": ExplicitVRBigEndian},
    ],
)
def test_the_same_uid_with_another_image_is_another(tmp_path, change):
    one, other = written(tmp_path / "a.dcm"), written(tmp_path / "b.dcm", **change)
    assert not one.is_duplicate_of(other) and not other.is_duplicate_of(one)


def test_both_ways_to_encode_regions_are_one(tmp_path):
    one = written(tmp_path / "a.dcm")
    data = dcmread(tmp_path / "a.dcm")
    data["SequenceOfUltrasoundRegions"].is_undefined_length = True
    data.SequenceOfUltrasoundRegions[0].is_undefined_length_sequence_item = True
    other = fingerprint(Source(make.write(tmp_path / "b.dcm", data, GREY.tobytes())))
    assert one.sha256 != other.sha256 and one.is_duplicate_of(other)


@pytest.mark.parametrize("uid", [None, ""])
def test_without_a_uid_only_the_bytes_count(tmp_path, uid):
    def bare(name, **elements):
        data = header(48, 64, SOPInstanceUID=uid, **elements)
        return fingerprint(Source(make.write_bare(tmp_path / name, data, GREY.tobytes())))

    one = bare("a.dcm")
    assert one.key == one.sha256 and one.identity.patient_id == make.SECRET_ID
    assert one == bare("b.dcm")
    assert not one.is_duplicate_of(bare("c.dcm", PatientName="NEW^NAME"))


def test_what_is_no_clip_is_known_by_its_bytes(tmp_path):
    file = io.BytesIO()
    Image.fromarray(GREY).save(file, "PNG")
    damaged = make.write(tmp_path / "x.dcm", header(48, 64), None).read_bytes()
    for data in (b"", b"text" * 99, file.getvalue(), damaged, bytes(128) + b"DICM" + b"\xff" * 99):
        (tmp_path / "a").write_bytes(data)
        found = fingerprint(Source(tmp_path / "a"))
        assert found.sha256 == found.key == hashlib.sha256(data).hexdigest()
    with pytest.raises(ClipError, match="No such file"):
        fingerprint(Source(tmp_path / "absent"))


def test_a_long_cine_is_read_in_pieces(tmp_path, monkeypatch):
    path = make.jpeg_cine(tmp_path / "a.dcm", 5)
    whole = fingerprint(Source(path))
    monkeypatch.setattr(module, "_PIECE", 7)
    assert fingerprint(Source(path)) == whole
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.write(path, "x")
    assert fingerprint(Source(tmp_path / "b.zip", "x")) == whole


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damage_is_never_a_duplicate_with_another_image(tmp_path, data):
    """One changed byte: the bytes differ, and with equal keys every frame is the same."""
    path = make.write(tmp_path / "a.dcm", header(48, 64, **REGIONS), GREY.tobytes())
    raw = bytearray(path.read_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    (tmp_path / "b.dcm").write_bytes(raw)
    one, other = fingerprint(Source(path)), fingerprint(Source(tmp_path / "b.dcm"))
    assert one.sha256 != other.sha256
    if one.is_duplicate_of(other):
        with Clip.open(path) as first, Clip.open(tmp_path / "b.dcm") as second:
            assert (first.frame(1).luma == second.frame(1).luma).all()
            assert decide_calibration(first.header, (48, 64)) == decide_calibration(
                second.header, (48, 64)
            )


def test_everything_that_reading_asks_for_is_in_the_key(tmp_path, monkeypatch):
    """Whoever reads a further element must add it to the key, or exclude it here with a reason."""
    palette = {
        f"{colour}PaletteColorLookupTable{part}": value
        for colour in ("Red", "Green", "Blue")
        for part, value in (("Descriptor", [256, 0, 16]), ("Data", bytes(512)))
    }
    files = [
        make.write(tmp_path / "a.dcm", header(48, 64, **REGIONS), GREY.tobytes()),
        make.write(tmp_path / "b.dcm", header(48, 64, PixelSpacing=[0.1, 0.1]), GREY.tobytes()),
        make.write(
            tmp_path / "c.dcm",
            header(48, 64, PhotometricInterpretation="PALETTE COLOR", **palette),
            GREY.tobytes(),
        ),
        make.jpeg_cine(tmp_path / "d.dcm", 2),
    ]
    asked = set()
    real_get, real_item, real_in = Dataset.get, Dataset.__getitem__, Dataset.__contains__

    def note(key):
        if isinstance(key, str):
            key = pydicom.datadict.tag_for_keyword(key)
        if isinstance(key, int | tuple):
            asked.add(int(pydicom.tag.Tag(key)))

    monkeypatch.setattr(Dataset, "get", lambda s, k, *d: (note(k), real_get(s, k, *d))[1])
    monkeypatch.setattr(Dataset, "__getitem__", lambda s, k: (note(k), real_item(s, k))[1])
    monkeypatch.setattr(Dataset, "__contains__", lambda s, k: (note(k), real_in(s, k))[1])
    for path in files:
        with Clip.open(path) as clip:
            clip.frame(1)
            bmode_refusal(clip.header)
            decide_calibration(clip.header, (clip.rows, clip.columns))
    with_regions = {tag for tag in asked if tag >> 16 == 0x0018}
    assert module._REGIONS in with_regions and 0x00280010 in asked  # the spy sees
    identity = {
        *("SOPInstanceUID", "StudyInstanceUID", "PatientID", "Manufacturer"),
        *("ManufacturerModelName", "AcquisitionDateTime", "AcquisitionDate", "AcquisitionTime"),
        *("ContentDate", "ContentTime", "SeriesDate", "SeriesTime", "StudyDate", "StudyTime"),
    }
    for keyword in identity:
        asked.discard(int(pydicom.tag.Tag(keyword)))
    of_items = {tag for tag in with_regions if 0x6000 <= (tag & 0xFFFF) < 0x6100}
    others = {tag for tag in asked if tag >> 16 != 0x0028 and tag >> 16 != 0x0002}
    assert others - of_items - module._MEASURED - {module._REGIONS} <= {
        0x00080005
    }  # the character set
