"""DICOM results read back by other eyes: pydicom's plain data sets, highdicom's reader, dcmtk."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from io import BytesIO

import numpy as np
import pytest
from dicom_factory import SECRET_NAME
from pydicom import Dataset, dcmread
from pydicom.uid import UID
from skimage.measure import points_in_poly

from data.phantom.dicom import make_phantom, write_dicom
from imaging.clip import Clip
from imaging.reasons import Reason
from imaging.scanner_report import read_scanner_report, scanner_report
from inference.clip import measure_clip
from inference.dicom import codes
from inference.dicom.maker import SERIES, Kind, Maker, require_highdicom
from inference.dicom.results import dicom_results, result_name
from inference.dicom.sr import to_scoord
from inference.overlay import draw_overlay
from inference.records import Call, Measurement, Status
from models.bundle import load_bundle
from models.runtime import OpenVinoRuntime

pytest.importorskip("highdicom", reason="DICOM results are the extra `dicom`")

MAKER = Maker("0.1.0", "test-bundle", "ab" * 32, 0.9, datetime(2026, 2, 3, 4, 5, 6))
EVERY = tuple(Kind)
PATH = "1.2.840.10008.5.1.4.1.1."


class Case:
    """A phantom clip, measured, with its header and its picture."""

    def __init__(self, path, frames, bundle, runtime):
        phantom = make_phantom((2,), 7.0, frames=frames)
        write_dicom(phantom, path)
        self.label = phantom.label
        clip = measure_clip(path, bundle, runtime)
        best = clip.record.best
        self.finding = clip.findings[best.frame]
        self.best = replace(best, frame=frames)  # a cine's first frame would hide a constant
        record = replace(clip.record, best=self.best)
        self.clip = replace(clip, record=record, findings={frames: self.finding})
        with Clip.open(path) as clip:
            self.header = clip.header
            luma = clip.frame(self.best.frame).luma
        self.picture = draw_overlay(luma, self.clip.sector, self.best, self.finding)

    @cached_property
    def plain(self):
        """The results as they come."""
        return self.results()

    def results(self, kinds=EVERY, maker=MAKER, **elements):
        """The results if the header had other `elements` (None: not there)."""
        header = Dataset()
        header.update(self.header)
        for keyword, value in elements.items():
            if keyword in header:
                del header[keyword]
            if value is not None:
                setattr(header, keyword, value)
        return dicom_results(kinds, header, self.clip, self.picture, maker)

    def but(self, **row):
        """The results if the best row were different."""
        record = replace(self.clip.record, best=replace(self.best, **row))
        clip = replace(self.clip, record=record)
        return dicom_results(EVERY, self.header, clip, self.picture, MAKER)


@pytest.fixture(scope="module")
def model():
    bundle = load_bundle()
    return bundle, OpenVinoRuntime(bundle)


@pytest.fixture(scope="module")
def still(model, tmp_path_factory):
    return Case(tmp_path_factory.mktemp("still") / "still.dcm", 1, *model)


@pytest.fixture(scope="module")
def cine(model, tmp_path_factory):
    return Case(tmp_path_factory.mktemp("cine") / "cine.dcm", 2, *model)


def written(made):
    """The file as bytes."""
    buffer = BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def reread(made):
    """The object as a plain pydicom data set, through a file."""
    return dcmread(BytesIO(written(made)))


def items(data, depth=0):
    """Every content item below one, with its depth."""
    for item in data.get("ContentSequence", ()):
        yield depth, item
        yield from items(item, depth + 1)


def named(data, value):
    """The content items whose concept has a code value."""
    return [item for _, item in items(data) if item.ConceptNameCodeSequence[0].CodeValue == value]


def answer(data, value):
    """The code value of the one CODE item with a concept."""
    (item,) = named(data, value)
    return item.ConceptCodeSequence[0].CodeValue


def report_of(results):
    return reread(results.objects[Kind.SR])


@pytest.mark.parametrize("which", ["still", "cine"])
def test_the_report_states_the_thickness_once_with_its_interval(which, request):
    case = request.getfixturevalue(which)
    report = report_of(case.plain)
    assert report.SOPClassUID == f"{PATH}88.34" and report.Modality == "SR"
    (thickness,) = named(report, "12145-9")
    (value,) = thickness.MeasuredValueSequence
    assert value.MeasurementUnitsCodeSequence[0].CodeValue == "mm"
    assert value.FloatingPointValue == case.best.thickness_mm
    assert re.fullmatch(r"\d+\.\d\d", str(value.NumericValue.original_string))
    assert float(value.NumericValue) == pytest.approx(case.best.thickness_mm, abs=0.005)
    for code, bound in (("371886008", case.best.upper_mm), ("371885007", case.best.lower_mm)):
        (spread,) = named(thickness, code)
        said = spread.MeasuredValueSequence[0]
        assert said.FloatingPointValue == pytest.approx(abs(bound - case.best.thickness_mm))
        assert said.MeasurementUnitsCodeSequence[0].CodeValue == "mm"
    assert answer(report, "CALL") == case.best.call.upper()
    assert answer(report, "SCALE") == "REGION"
    assert answer(report, "FLUID") == ("373066001" if case.best.fluid else "373067005")
    assert named(report, "121106")[0].TextValue.startswith(f"{case.best.thickness_mm:.1f} mm")


@pytest.mark.parametrize("which", ["still", "cine"])
def test_the_report_names_what_was_found_where_and_by_whom(which, request):
    report = report_of(request.getfixturevalue(which).plain)
    templates = [
        item.ContentTemplateSequence[0].TemplateIdentifier
        for _, item in items(report)
        if "ContentTemplateSequence" in item
    ]
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert templates == ["1501", "1410"]
    for group in named(report, "125007"):
        assert answer(group, "121071") == "2739003"
        assert answer(group, "363698007") == "35039007"
        assert named(group, "111001")[0].TextValue == "endometer test-bundle"
        assert named(group, "111003")[0].TextValue == "0.1.0"
    assert answer(report, "121005") == "121007", "the observer is a device"
    assert report.VerificationFlag == "UNVERIFIED" and report.PreliminaryFlag == "PRELIMINARY"


@pytest.mark.parametrize("which", ["still", "cine"])
def test_calipers_lie_where_they_were_measured(which, request):
    case = request.getfixturevalue(which)
    (thickness,) = named(report_of(case.plain), "12145-9")
    (scoord,) = [item for _, item in items(thickness) if item.ValueType == "SCOORD"]
    assert scoord.GraphicType == "POLYLINE"
    column_1, row_1, column_2, row_2 = scoord.GraphicData
    best = case.best
    assert (row_1, column_1) == pytest.approx(
        (best.caliper_row_1 + 0.5, best.caliper_column_1 + 0.5)
    )
    assert (row_2, column_2) == pytest.approx(
        (best.caliper_row_2 + 0.5, best.caliper_column_2 + 0.5)
    )
    length = np.hypot((row_2 - row_1) * best.row_mm, (column_2 - column_1) * best.column_mm)
    assert length == pytest.approx(best.thickness_mm, abs=1e-3)
    (image,) = scoord.ContentSequence
    (target,) = image.ReferencedSOPSequence
    assert target.ReferencedSOPInstanceUID == case.header.SOPInstanceUID
    assert target.ReferencedSOPClassUID == case.header.SOPClassUID
    assert target.get("ReferencedFrameNumber") == (None if which == "still" else best.frame)


def test_the_first_pixels_centre_is_one_half():
    """PS3.3 C.18.6.1.2: (column, row), 0\\0 at the corner of the first pixel."""
    points = np.array([[0.0, 0.0], [2.0, 5.0], [-3.0, 9.9]])
    assert to_scoord(points, 8, 10).tolist() == [[0.5, 0.5], [5.5, 2.5], [10.0, 0.0]]


def test_outline_and_segmentation_agree_with_each_other_and_with_the_truth(still):
    results = still.plain
    (region,) = named(report_of(results), "111030")
    points = np.reshape(region.GraphicData, (-1, 2))
    assert points[0].tolist() == points[-1].tolist()
    mask = reread(results.objects[Kind.SEG]).pixel_array.astype(bool)
    assert mask.shape == still.label.shape
    centres = np.argwhere(np.ones(mask.shape))[:, ::-1] + 0.5
    inside = points_in_poly(centres, points).reshape(mask.shape)
    assert (inside ^ mask).sum() < 0.02 * mask.sum(), "they may differ along the edge only"
    truth = still.label > 0
    assert (mask & truth).sum() / (mask | truth).sum() > 0.7


def test_the_segmentation_says_what_it_is(still):
    import highdicom

    made = still.plain.objects[Kind.SEG]
    read = highdicom.seg.segread(BytesIO(written(made)))
    (segment,) = read.SegmentSequence
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "2739003"
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    assert read.SegmentationType == "BINARY"
    (series,) = read.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == still.header.SeriesInstanceUID
    (image,) = series.ReferencedInstanceSequence
    assert image.ReferencedSOPInstanceUID == still.header.SOPInstanceUID


def test_a_cine_has_no_segmentation_and_says_why(cine):
    results = cine.plain
    assert set(results.objects) == {Kind.SR, Kind.SC}
    assert len(results.notes) == 1 and "cine" in results.notes[0]


@pytest.mark.parametrize("which", ["still", "cine"])
def test_the_capture_is_the_picture(which, request):
    case = request.getfixturevalue(which)
    capture = reread(case.plain.objects[Kind.SC])
    assert np.array_equal(capture.pixel_array, np.asarray(case.picture))
    assert capture.SOPClassUID == f"{PATH}7" and capture.Modality == "OT"
    assert capture.ImageType[0] == "DERIVED" and capture.ConversionType == "WSD"
    assert "PixelSpacing" not in capture, "nobody shall measure in a drawing"
    (image,) = capture.SourceImageSequence
    assert image.ReferencedSOPInstanceUID == case.header.SOPInstanceUID
    assert image.get("ReferencedFrameNumber") == (None if which == "still" else case.best.frame)


@pytest.mark.parametrize(("stated", "said"), [(None, "YES"), ("YES", "YES"), ("NO", "NO")])
def test_a_capture_vouches_for_no_more_than_its_source(still, stated, said):
    results = still.results([Kind.SC], BurnedInAnnotation=stated)
    assert results.objects[Kind.SC].BurnedInAnnotation == said


def test_results_belong_to_the_womans_study_and_to_series_of_their_own(still):
    name = "Müller^Zoë=山田^花子"
    results = still.results(
        SpecificCharacterSet="ISO_IR 192",
        PatientName=name,
        PatientID="4711",
        PatientBirthDate="19900101",
        PatientSex="F",
        StudyID="9",
        AccessionNumber="A1",
        ClinicalTrialSubjectID="S-3",
        ClinicalTrialProtocolID="P",
    )
    seen = {still.header.SeriesInstanceUID, still.header.SOPInstanceUID}
    for kind, made in results.objects.items():
        read = reread(made)
        assert str(read.PatientName) == name and read.PatientID == "4711"
        assert (read.PatientBirthDate, read.PatientSex) == ("19900101", "F")
        assert (read.StudyID, read.AccessionNumber) == ("9", "A1")
        assert read.ClinicalTrialSubjectID == "S-3"
        assert read.StudyInstanceUID == still.header.StudyInstanceUID
        assert (read.StudyDate, read.StudyTime) == (still.header.StudyDate, still.header.StudyTime)
        assert (read.SeriesNumber, read.SeriesDescription) == SERIES[kind]
        for uid in (read.SeriesInstanceUID, read.SOPInstanceUID):
            assert UID(uid).is_valid and uid not in seen
            seen.add(uid)


def test_clips_of_one_study_share_the_series_of_a_kind(still, cine):
    study = {"StudyInstanceUID": "1.2.3", "StudyDate": "20260101"}
    one = still.results(**study, InstanceNumber="4").objects
    other = cine.results(**study, InstanceNumber="5").objects
    elsewhere = cine.results(StudyInstanceUID="1.2.4").objects
    for kind in (Kind.SR, Kind.SC):
        assert one[kind].SeriesInstanceUID == other[kind].SeriesInstanceUID
        assert one[kind].SeriesInstanceUID != elsewhere[kind].SeriesInstanceUID
        assert one[kind].SOPInstanceUID != other[kind].SOPInstanceUID
        assert (one[kind].InstanceNumber, other[kind].InstanceNumber) == (4, 5)


def test_the_same_clip_gives_the_same_bytes(still):
    later = replace(MAKER, run_at=datetime(2031, 1, 1))
    for kind, made in still.plain.objects.items():
        assert written(made) == written(still.results([kind], later).objects[kind]), kind


def test_another_result_is_another_object(still):
    uids = {kind: {made.SOPInstanceUID} for kind, made in still.plain.objects.items()}
    others = [still.results(maker=replace(MAKER, bundle_sha256="cd" * 32))]
    others.append(still.results(SOPInstanceUID="1.2.3"))
    others.append(still.results(PatientID="corrected"))
    others.append(still.results(maker=replace(MAKER, version="0.2.0")))
    for count, results in enumerate(others, start=2):
        for kind, made in results.objects.items():
            uids[kind].add(made.SOPInstanceUID)
            assert len(uids[kind]) == count, kind
    thicker = still.but(thickness_mm=still.best.thickness_mm + 1e-9).objects[Kind.SR]
    assert thicker.SOPInstanceUID not in uids[Kind.SR]
    beside = still.but(sonographer_mm=7.5).objects[Kind.SR]
    assert written(beside) == written(still.plain.objects[Kind.SR]), "not in the report"


def test_results_are_dated_like_the_scan_and_else_like_the_run(still):
    nothing = dict.fromkeys(("StudyDate", "StudyTime", "ContentDate", "ContentTime"))
    for made in still.results(AcquisitionDateTime="20240503140700.5+0200").objects.values():
        assert (made.ContentDate.isoformat(), str(made.ContentTime)) == (
            "2024-05-03",
            "140700.500000",
        )
        assert "InstanceCreationDate" not in made
    for made in still.results(**nothing).objects.values():
        assert (made.ContentDate.isoformat(), str(made.ContentTime)) == ("2026-02-03", "040506")


def test_a_refused_clip_gives_a_report_without_a_number(still):
    results = still.but(
        status=Status.NOT_MEASURABLE,
        reason=Reason.LOW_QUALITY,
        message="Quality 0.31 is below 0.50.",
        thickness_mm=None,
        lower_mm=None,
        upper_mm=None,
        call=None,
        threshold_mm=None,
    )
    assert set(results.objects) == {Kind.SR} and results.notes == ()
    report = report_of(results)
    assert answer(report, "12145-9") == "114006"
    assert answer(report, "REASON") == "LOW_QUALITY"
    assert not [item for _, item in items(report) if item.ValueType == "SCOORD"]
    in_mm = [
        item
        for _, item in items(report)
        if item.ValueType == "NUM"
        and item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue == "mm"
    ]
    assert not in_mm
    assert named(report, "121106")[0].TextValue.endswith("Quality 0.31 is below 0.50.")
    (image,) = named(report, "121112")
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == still.header.SOPInstanceUID


@pytest.mark.parametrize(
    "row",
    [
        Measurement(None, Status.FAILED, message="damaged"),
        Measurement(None, Status.NOT_MEASURABLE, Reason.NOT_BMODE, "a spectrum"),
    ],
)
def test_what_is_no_picture_of_tissue_gives_nothing(still, row):
    clip = replace(still.clip, record=replace(still.clip.record, best=row))
    results = dicom_results(EVERY, still.header, clip, None, MAKER)
    assert results.objects == {} and results.notes == ()


def test_our_report_is_never_taken_for_the_sonographers(cine):
    """Unless all marks of its maker are taken away: then it reads like any other."""
    made = cine.plain.objects[Kind.SR]
    assert read_scanner_report(BytesIO(written(made))).values == ()
    anonymous = reread(made)
    anonymous.Manufacturer = "Acme"
    assert scanner_report(anonymous).values == ()
    for group in named(anonymous, "125007"):
        group.ContentSequence = [
            item
            for item in group.ContentSequence
            if item.ConceptNameCodeSequence[0].CodeValue != "111001"
        ]
    (value,) = scanner_report(anonymous).values
    assert value.thickness_mm == cine.best.thickness_mm
    assert (value.image_uid, value.frame) == (cine.header.SOPInstanceUID, cine.best.frame)


def test_every_reason_call_and_scale_has_a_code():
    from imaging.calibration import CalibrationSource

    assert set(codes.REASONS) == set(Reason) and set(codes.CALLS) == set(Call)
    assert set(codes.SCALES) == {str(source) for source in CalibrationSource}
    for code in (*codes.REASONS.values(), *codes.CALLS.values(), *codes.SCALES.values()):
        assert len(code.value) <= 16 and len(code.meaning) <= 64


def test_an_image_without_a_header_has_no_results(still):
    results = dicom_results(EVERY, None, still.clip, still.picture, MAKER)
    assert (results.objects == {} and "no" in results.notes[0]) or "nothing" in results.notes[0]


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("SeriesInstanceUID", None),
        ("StudyInstanceUID", ""),
        ("SOPInstanceUID", "not a uid"),
        ("SOPInstanceUID", "1.2.03"),
        ("SOPInstanceUID", "1." + 63 * "9"),
        ("PatientID", ["one", "two"]),
        ("PatientID", "9" * 65),
        ("AccessionNumber", "9" * 17),
    ],
)
def test_a_result_that_would_be_filed_wrongly_is_not_made(still, keyword, value):
    results = still.results(**{keyword: value})
    assert results.objects == {}
    assert keyword in results.notes[0] and "99" not in results.notes[0]


def test_what_the_standard_forbids_is_left_empty(still):
    results = still.results(
        PatientBirthDate="19xx", PatientSex="female", StudyTime="noon", InstanceNumber="-3"
    )
    for made in results.objects.values():
        read = reread(made)
        assert not read.PatientBirthDate and not read.PatientSex and not read.StudyTime
        assert read.InstanceNumber == 1


@pytest.mark.parametrize("retired", [f"{PATH}6", "1.2.826.0.1.3680043.8.498.99"])
def test_other_image_classes_are_named_as_they_are(still, retired):
    """A retired class, and one that nobody knows."""
    results = still.results(SOPClassUID=retired)
    assert results.notes == ()
    assert set(results.objects) == set(EVERY)
    for made in results.objects.values():
        classes = {
            element.value
            for element in reread(made).iterall()
            if element.keyword == "ReferencedSOPClassUID"
        }
        assert classes == {retired}


def test_nobody_is_named_on_the_way(still, recwarn, caplog, capfd):
    """highdicom warns of unusual names, and quotes them."""
    with caplog.at_level("DEBUG"):
        still.results(PatientName=SECRET_NAME.replace("^", ""), PatientID="SECRET")
    out, err = capfd.readouterr()
    warned = " ".join(str(warning.message) for warning in recwarn)
    assert "SECRET" not in out + err + caplog.text + warned


def test_heavy_packages_wait_until_a_result_is_made():
    code = "import sys, inference.dicom.results; print('highdicom' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    require_highdicom()


def test_file_names_hold_no_identity():
    assert result_name("0123456789abcdef", Kind.SEG) == "0123456789abcdef-seg.dcm"


@pytest.mark.skipif(shutil.which("dsrdump") is None, reason="needs dcmtk: apt-get install dcmtk")
@pytest.mark.parametrize("which", ["still", "cine", "refused"])
def test_dcmtk_reads_the_report_without_complaint(which, request, tmp_path):
    if which == "refused":
        results = request.getfixturevalue("still").but(
            status=Status.NOT_MEASURABLE, reason=Reason.CUT_OFF, thickness_mm=None, call=None
        )
    else:
        results = request.getfixturevalue(which).plain
    path = tmp_path / "report.dcm"
    path.write_bytes(written(results.objects[Kind.SR]))
    done = subprocess.run(
        ["dsrdump", "--print-all-codes", str(path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    number = 'NUM:(12145-9,LN,"Endometrium Thickness")' in done.stdout
    assert number == (which != "refused")
    assert ("Measurement failure" in done.stdout) == (which == "refused")
