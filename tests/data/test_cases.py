"""Truths of every kind, and everything that can be wrong with them."""

import json
import math

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data.cases import CasesError, read_cases
from data.raster import FINE, coverage

SQUARE = [[10, 20], [29, 20], [29, 39], [10, 39]]  # x, y: columns 10 to 29, rows 20 to 39


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).save(path)


def outlines(folder, *labels, **changes):
    """A folder with labels.json; one sound label, changed, if none is given."""
    sound = {
        "file": "a.png",
        "view": "sagittal",
        "visible": True,
        "polygon": SQUARE,
        "thickness_mm_est": 3.5,
        "confidence": "high",
        "pattern": "bright_band",
        "calibration": {"mm_per_px_y": 0.2, "mm_per_px_x_est": 0.3},
    }
    content = {"header": {}, "labels": list(labels) or [sound | changes]}
    (folder / "labels.json").write_text(json.dumps(content))
    return folder


def datalist(folder, **changes):
    item = {"image": "images/a.png", "label": "labels/a.png", "spacing": [0.2, 0.3], "patient": "p"}
    (folder / "dataset.json").write_text(json.dumps({"items": [item | changes]}))
    return folder


def truth(folder, text):
    (folder / "truth.csv").write_text(text)
    return folder


def test_an_outline_is_a_case_in_rows_and_columns(tmp_path):
    save(tmp_path / "a.png", np.zeros((50, 60)))
    (case,) = read_cases(outlines(tmp_path))
    assert (case.name, case.true_mm, case.visible, case.patient) == ("a.png", 3.5, True, "a.png")
    assert case.spacing_mm == (0.2, 0.3)
    assert case.families == {"pattern": "bright_band", "view": "sagittal", "confidence": "high"}
    mask = case.mask()
    assert mask.dtype == np.uint8
    assert mask.shape == (50, 60)
    # The corners are pixel centres: half of each pixel on an edge is inside, a quarter at corners.
    drawn = np.zeros((50, 60))
    drawn[20:40, 10:30] = 1
    drawn[[20, 20, 39, 39], [10, 29, 10, 29]] = 0
    assert np.array_equal(mask, drawn)


def test_a_frame_without_endometrium_has_no_mask_and_needs_no_outline(tmp_path):
    (case,) = read_cases(
        outlines(tmp_path, visible=False, polygon=None, thickness_mm_est=None, pattern=None)
    )
    assert not case.visible
    assert case.true_mm is None
    assert case.mask() is None


def test_a_missing_image_is_a_matter_of_its_case(tmp_path):
    (case,) = read_cases(outlines(tmp_path))
    with pytest.raises(CasesError, match="cannot be opened"):
        case.mask()


def test_an_outline_beside_the_image_is_refused(tmp_path):
    save(tmp_path / "a.png", np.zeros((15, 15)))
    (case,) = read_cases(outlines(tmp_path))
    with pytest.raises(CasesError, match="covers no pixel"):
        case.mask()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"file": "../a.png"}, "file is '../a.png'.*below"),
        ({"file": "/etc/passwd"}, "below"),
        ({"file": "C:\\a.png"}, "below"),
        ({"file": "..\\a.png"}, "below"),
        ({"file": "a\0.png"}, "below"),
        ({"file": ""}, "file"),
        ({"file": 3}, "file is 3"),
        ({"visible": "yes"}, "visible is 'yes'"),
        ({"polygon": []}, "polygon.*three or more"),
        ({"polygon": None}, "polygon.*visible to false"),
        ({"polygon": [[1, 2], [3, math.nan], [5, 6]]}, "corner"),
        ({"polygon": [[1, 2], [3, math.inf], [5, 6]]}, "corner"),
        ({"polygon": [[1, 2], [3, 1e300], [5, 6]]}, "corner"),
        ({"polygon": [[1, 2], [3, True], [5, 6]]}, "corner"),
        ({"polygon": [[1, 2], [3], [5, 6]]}, "corner"),
        ({"thickness_mm_est": math.nan}, "thickness_mm_est is nan"),
        ({"thickness_mm_est": -1}, "thickness_mm_est is -1"),
        ({"thickness_mm_est": True}, "thickness_mm_est is True"),
        ({"thickness_mm_est": 10**400}, "thickness_mm_est"),
        ({"calibration": {"mm_per_px_y": 0.2}}, "mm_per_px_x_est is None"),
        ({"calibration": [0.2, 0.2]}, "calibration"),
        ({"calibration": {"mm_per_px_y": 0, "mm_per_px_x_est": 0.2}}, "mm_per_px_y is 0"),
        ({"pattern": ["a"]}, "pattern"),
    ],
)
def test_what_is_wrong_with_an_outline_is_said_with_its_place(tmp_path, changes, says):
    with pytest.raises(CasesError, match=f"(?s)labels entry 1.*{says}"):
        read_cases(outlines(tmp_path, **changes))


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("labels.json", "{", "cannot be read as JSON"),
        ("labels.json", "[" * 100_000, "cannot be read as JSON"),
        ("labels.json", "[]", "no list 'labels'"),
        ("labels.json", '{"labels": {}}', "no list 'labels'"),
        ("labels.json", '{"labels": [1]}', "no object"),
        ("labels.json", '{"labels": []}', "lists no case"),
        ("dataset.json", '{"items": 3}', "no list 'items'"),
        ("truth.csv", "", "no column"),
        ("truth.csv", "file,pattern\na.dcm,none\n", "no column thickness_mm"),
        ("truth.csv", "file,thickness_mm\na.dcm,thick\n", "line 2, thickness_mm is 'thick'"),
        ("truth.csv", "file,thickness_mm\na.dcm,nan\n", "thickness_mm is 'nan'"),
        ("truth.csv", "file,thickness_mm\na.dcm,inf\n", "thickness_mm is 'inf'"),
        ("truth.csv", "file,thickness_mm\n../a.dcm,4\n", "line 2, file"),
        ("truth.csv", "file,thickness_mm\na.dcm\n../b.dcm,4\n", "line 3, file"),
        ("truth.csv", "file,thickness_mm,label\na.dcm,4,/b.nrrd\n", "line 2, label"),
    ],
)
def test_a_broken_table_is_named(tmp_path, name, text, says):
    (tmp_path / name).write_text(text)
    with pytest.raises(CasesError, match=says):
        read_cases(tmp_path)


def test_one_table_and_no_more(tmp_path):
    with pytest.raises(CasesError, match="none of them"):
        read_cases(tmp_path)
    with pytest.raises(CasesError, match="none of them"):
        read_cases(tmp_path / "nowhere")
    datalist(truth(tmp_path, "file,thickness_mm\na.dcm,4\n"))
    with pytest.raises(CasesError, match=r"more than one of them \(truth.csv, dataset.json\)"):
        read_cases(tmp_path)


def test_an_older_truth_is_read_and_an_empty_thickness_is_no_endometrium(tmp_path):
    text = (
        "file,frames,thickness_mm,pattern,fluid,mm_per_px\n"
        "a.dcm,1,4.5,thin_line,false,0.1\nb.dcm,1,,none,false,0.1\n"
    )
    one, other = read_cases(truth(tmp_path, text))
    assert (one.visible, one.true_mm, one.mask()) == (True, 4.5, None)
    assert one.families == {"pattern": "thin_line", "fluid": "without"}
    assert (other.visible, other.true_mm) == (False, None)


def test_a_label_of_a_phantom_is_read_plane_by_plane(tmp_path):
    planes = np.zeros((2, 20, 30), np.uint8)
    planes[0, 5:8, 5:20], planes[1, 9:12, 5:20] = 1, 2
    sitk.WriteImage(sitk.GetImageFromArray(planes), str(tmp_path / "many.nrrd"))
    sitk.WriteImage(sitk.GetImageFromArray(planes[0]), str(tmp_path / "one.nrrd"))
    text = (
        "file,frames,thickness_mm,pattern,subject,orientation,fluid,mm_per_px,renderer,label\n"
        "a.dcm,2,4.5,thin_line,sagittal,steep,true,0.1,physical,many.nrrd\n"
        "b.dcm,1,4.5,thin_line,sagittal,level,true,0.1,physical,one.nrrd\n"
    )
    many, one = read_cases(truth(tmp_path, text))
    assert many.families == {
        "pattern": "thin_line",
        "view": "sagittal",
        "orientation": "steep",
        "fluid": "with",
        "renderer": "physical",
    }
    assert np.array_equal(many.mask(2), planes[1])
    assert many.mask(3) is None
    assert np.array_equal(one.mask(), planes[0])
    assert one.mask(2) is None  # drawn on the first frame


@pytest.mark.parametrize("values", [None, np.full((9, 9), 7, np.uint8), np.zeros((2, 2, 2, 2))])
def test_a_label_that_is_none_is_refused(tmp_path, values):
    path = tmp_path / "a.nrrd"
    path.write_bytes(b"NRRD0004\nnonsense\n\n")
    if values is not None:
        sitk.WriteImage(sitk.GetImageFromArray(values), str(path))
    (case,) = read_cases(truth(tmp_path, "file,thickness_mm,label\na.dcm,4,a.nrrd\n"))
    with pytest.raises(CasesError, match=r"a\.nrrd"):
        case.mask()


def test_a_data_list_takes_its_truth_from_label_images(tmp_path):
    label = np.zeros((20, 30))
    label[5:9, 4:20], label[6, 8:12] = 1, 2
    save(tmp_path / "labels/a.png", label)
    (case,) = read_cases(datalist(tmp_path, pattern="thin_line", view="sagittal", annotator="me"))
    assert (case.name, case.patient, case.spacing_mm) == ("images/a.png", "p", (0.2, 0.3))
    assert case.families == {"pattern": "thin_line", "view": "sagittal", "annotator": "me"}
    assert case.visible
    assert np.array_equal(case.mask(), label)
    assert (case.frame, case.known, case.annotator) == (1, ("endometrium", "fluid"), "me")
    save(tmp_path / "labels/a.png", 0 * label)
    (empty,) = read_cases(tmp_path)
    assert not empty.visible


def test_a_data_list_says_which_frame_was_drawn_and_what_the_drawing_tells(tmp_path):
    save(tmp_path / "labels/a.png", np.eye(20))
    (case,) = read_cases(datalist(tmp_path, frame=7, labels=["endometrium"]))
    assert (case.frame, case.known) == (7, ("endometrium",))
    assert np.array_equal(case.mask(), np.eye(20))
    assert np.array_equal(case.mask(7), np.eye(20))
    assert case.mask(1) is None


def test_a_broken_label_shows_when_its_case_is_looked_at(tmp_path):
    (case,) = read_cases(datalist(tmp_path))
    with pytest.raises(CasesError, match="no such file"):
        case.mask()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"image": "../a.png"}, "image"),
        ({"label": "/a.png"}, "label"),
        ({"label": None}, "label is None"),
        ({"spacing": [0.2]}, "spacing"),
        ({"spacing": [0.2, math.nan]}, "spacing is nan"),
        ({"spacing": [0.2, -0.2]}, "spacing is -0.2"),
        ({"spacing": "0.2,0.2"}, "spacing"),
        ({"patient": 5}, "patient is 5"),
        ({"frame": 0}, "frame is 0"),
        ({"frame": True}, "frame is True"),
        ({"labels": ["uterus"]}, "labels is .'uterus'."),
        ({"labels": []}, "labels is"),
    ],
)
def test_what_is_wrong_with_a_data_list_is_said_with_its_place(tmp_path, changes, says):
    with pytest.raises(CasesError, match=f"items entry 1.*{says}"):
        read_cases(datalist(tmp_path, **changes))


def rectangle(top, left, height, width):
    return np.array(
        [[top, left], [top, left + width], [top + height, left + width], [top + height, left]]
    )


@given(
    top=st.floats(-20, 40),
    left=st.floats(-20, 40),
    height=st.floats(0.5, 30),
    width=st.floats(0.5, 30),
)
def test_coverage_is_the_area_inside_the_frame(top, left, height, width):
    share = coverage([rectangle(top, left, height, width)], (30, 40))
    assert share.shape == (30, 40)
    assert 0 <= share.min() <= share.max() <= 1
    # A frame reaches half a pixel beyond its outermost pixel centres.
    tall = max(0.0, min(top + height, 29.5) - max(top, -0.5))
    wide = max(0.0, min(left + width, 39.5) - max(left, -0.5))
    assert share.sum() == pytest.approx(tall * wide, abs=0.25 * (tall + wide + 1))


def test_a_contour_inside_another_is_a_hole():
    share = coverage([rectangle(2, 2, 20, 20), rectangle(8, 8, 4, 4)], (30, 30))
    assert share.sum() == pytest.approx(400 - 16, abs=0.01)
    assert share[10, 10] == 0
    assert coverage([], (5, 6)).sum() == 0


def test_a_line_thinner_than_a_pixel_is_not_lost():
    share = coverage([rectangle(4.7, 2, 0.4, 20)], (10, 30))
    assert share.sum() == pytest.approx(8, abs=1)


@given(
    st.lists(
        st.lists(st.tuples(st.floats(-5, 25), st.floats(-5, 30)), min_size=3, max_size=8),
        min_size=1,
        max_size=3,
    )
)
def test_the_share_of_a_pixel_is_what_a_point_in_polygon_test_says(contours):
    """Another implementation, point by point; corners off the samples, where both agree."""
    from skimage.measure import points_in_poly

    outlines = [np.round(c, 2) + np.array((0.00317, 0.00571)) for c in contours]
    along = (np.arange(20 * FINE) + 0.5) / FINE - 0.5
    across = (np.arange(25 * FINE) + 0.5) / FINE - 0.5
    points = np.stack(np.meshgrid(along, across, indexing="ij"), -1).reshape(-1, 2)
    inside = np.zeros(len(points), bool)
    for outline in outlines:
        inside ^= points_in_poly(points, outline)
    wanted = inside.reshape(20, FINE, 25, FINE).mean((1, 3))
    assert np.abs(coverage(outlines, (20, 25)) - wanted).max() <= 1 / FINE**2
