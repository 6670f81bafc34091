"""DICOM segmentations, written by highdicom and by this program."""

from datetime import datetime
from types import SimpleNamespace

import numpy as np
import pytest
from drawings import BAND, dicom, taken, truth
from pydicom import dcmread
from pydicom.sr.codedict import codes

from data.importing import ImportFailedError
from inference.dicom.maker import Maker
from inference.dicom.origin import read_origin
from inference.dicom.seg import segmentation as own_segmentation

highdicom = pytest.importorskip("highdicom")
NAMES = {"Endometrium": "endometrium", "Fluid": "fluid"}
UID = "1.2.826.0.1.3680043.8.498.77"


def described(number, name):
    from highdicom import seg

    return seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=codes.SCT.Uterus,
        algorithm_type=seg.SegmentAlgorithmTypeValues.MANUAL,
    )


def segmentation(path, source, *, kind="BINARY", names=tuple(NAMES), pixels=None):
    """Two segments on a still; where fluid was drawn, both."""
    from highdicom import seg

    if pixels is None:
        pixels = np.stack([truth() > 0, truth() == 2], -1)[np.newaxis]
        if kind == "LABELMAP":
            pixels = truth()[np.newaxis]
        elif kind == "FRACTIONAL":
            pixels = pixels.astype(np.float32) * 0.5 + 0.3  # less than half is not in it
    found = seg.Segmentation(
        source_images=[dcmread(source)],
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=[described(n, name) for n, name in enumerate(names, 1)],
        series_instance_uid=f"{UID}.1",
        series_number=2,
        sop_instance_uid=f"{UID}.2",
        instance_number=1,
        manufacturer="Acme",
        manufacturer_model_name="Draw",
        software_versions="1",
        device_serial_number="1",
    )
    found.save_as(path)
    return path


def still(path, seed=0, **elements):
    values = {
        "SeriesInstanceUID": f"{UID}.9",
        "FrameOfReferenceUID": None,
        "PatientBirthDate": None,
        "PatientSex": None,
        "AccessionNumber": None,
        "StudyID": "1",
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "StudyTime": "140700",
        "ReferringPhysicianName": None,
        **elements,
    }
    made = dicom(path, seed, **values)
    dataset = dcmread(made)
    for name in ("PatientBirthDate", "PatientSex", "AccessionNumber", "ReferringPhysicianName"):
        setattr(dataset, name, "")
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(made)
    return made


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_a_segmentation_finds_its_image_by_its_uid(tmp_path, kind):
    source = still(tmp_path / "in/deep/scan.dcm")
    still(tmp_path / "in/other.dcm", seed=5)
    segmentation(tmp_path / "in/seg.dcm", source, kind=kind)
    done, (case,) = taken(tmp_path / "in", tmp_path / "out", NAMES)
    assert done.format == "dicomseg"
    assert np.array_equal(case.mask(), truth())
    assert case.path.read_bytes() == source.read_bytes()
    assert case.patient.startswith("p-")
    assert done.without == 1  # the other image


def test_frames_of_a_cine_that_are_referenced_keep_their_numbers(tmp_path):
    source = dicom(tmp_path / "in/cine.dcm", frames=4)
    made = segmentation(tmp_path / "in/seg.dcm", still(tmp_path / "tmp/s.dcm"))
    dataset = dcmread(made)
    for group in dataset.PerFrameFunctionalGroupsSequence:
        image = group.DerivationImageSequence[0].SourceImageSequence[0]
        image.ReferencedSOPInstanceUID = dcmread(source).SOPInstanceUID
        image.ReferencedFrameNumber = 3
    dataset.save_as(made)
    _, (case,) = taken(tmp_path / "in", tmp_path / "out", NAMES)
    assert (case.frame, case.path.suffix) == (3, ".dcm")
    assert np.array_equal(case.mask(), truth())


def test_what_this_program_wrote_comes_back(tmp_path):
    """The outline that `measure --dicom seg` stores, with the fluid inside it."""
    source = still(tmp_path / "in/scan.dcm")
    origin = read_origin(dcmread(source), 1, datetime(2026, 2, 3))
    maker = Maker("0.1.0", "test", "ab" * 32, 0.9, datetime(2026, 2, 3))
    outlined = SimpleNamespace(outline=[np.array(BAND)])
    own = own_segmentation(origin, outlined, maker)
    own.save_as(tmp_path / "in/seg.dcm", enforce_file_format=True)
    _, (case,) = taken(tmp_path / "in", tmp_path / "out", NAMES)
    assert np.array_equal(case.mask(), truth(fluid=False))


def test_a_segmentation_of_one_image_needs_no_references_of_its_frames(tmp_path):
    segmentation(tmp_path / "in.seg", still(tmp_path / "in/scan.dcm"))
    (tmp_path / "in.seg").rename(tmp_path / "in/seg.dcm")
    spoilt(tmp_path / "in/seg.dcm", drop_sources)
    _, (case,) = taken(tmp_path / "in", tmp_path / "out", NAMES)
    assert np.array_equal(case.mask(), truth())


def spoilt(path, change):
    dataset = dcmread(path)
    change(dataset)
    dataset.save_as(path)


def drop_sources(dataset):
    for group in dataset.PerFrameFunctionalGroupsSequence:
        del group.DerivationImageSequence


def drop_everything(dataset):
    drop_sources(dataset)
    del dataset.ReferencedSeriesSequence


def turned(dataset):
    dataset.Rows, dataset.Columns = dataset.Columns, dataset.Rows


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda d: (d / "scan.dcm").unlink(), "the image with SOP instance UID 1.2.826"),
        (lambda d: spoilt(d / "scan.dcm", turned), "96 x 128 pixels.*has 128 x 96"),
        (lambda d: spoilt(d / "seg.dcm", drop_everything), "names no image that it lies on"),
        (lambda d: spoilt(d / "seg.dcm", lambda s: s.pop("SegmentSequence")),
         "cannot be parsed"),
        (lambda d: spoilt(d / "seg.dcm", lambda s: s.PerFrameFunctionalGroupsSequence.pop()),
         "lists 1 frames and has 2"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(tmp_path, spoil, says):
    segmentation(tmp_path / "seg.dcm", still(tmp_path / "in/scan.dcm"))
    (tmp_path / "seg.dcm").rename(tmp_path / "in/seg.dcm")
    spoil(tmp_path / "in")
    with pytest.raises(ImportFailedError, match=says) as error:
        taken(tmp_path / "in", tmp_path / "out", NAMES)
    assert "SECRET" not in str(error.value)
