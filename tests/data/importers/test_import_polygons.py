"""COCO, LabelMe, CVAT and the project's own reviews: the same drawing in every language."""

import base64
import hashlib
import io
import json
import zipfile

import numpy as np
import pytest
from drawings import BAND, FLUID, SHAPE, dicom, items, scan, taken, truth, xy
from PIL import Image
from pycocotools import mask as pycoco

from data.importing import ImportFailedError


def flat(corners):
    return [value for pair in xy(corners) for value in pair]


def coco(folder, band, fluid=None, **image):
    scan(folder / "images/a.png")
    entry = {"id": 7, "file_name": "images/a.png", "height": SHAPE[0], "width": SHAPE[1], **image}
    drawn = [{"id": 1, "image_id": 7, "category_id": 3, "segmentation": band}]
    if fluid is not None:
        drawn.append({"id": 2, "image_id": 7, "category_id": 4, "segmentation": fluid})
    content = {
        "images": [entry],
        "categories": [{"id": 3, "name": "Endo"}, {"id": 4, "name": "Fluid"}],
        "annotations": drawn,
    }
    (folder / "instances.json").write_text(json.dumps(content))
    return folder


def compressed(mask):
    found = pycoco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(SHAPE), "counts": found["counts"].decode()}


def runs(mask):
    flat_ = mask.astype(np.uint8).T.ravel()
    edges = np.flatnonzero(np.diff(flat_, prepend=0))
    counts = np.diff([0, *edges, flat_.size]).tolist()
    return {"size": list(SHAPE), "counts": counts}


def labelme(folder, *shapes, inside=False, **content):
    picture = scan(folder / ("elsewhere/x.png" if inside else "a.png"))
    data = base64.b64encode(picture.read_bytes()).decode() if inside else None
    if inside:
        picture.unlink()
    shapes = shapes or (
        {"label": "Endo", "shape_type": "polygon", "points": xy(BAND)},
        {"label": "Fluid", "shape_type": "polygon", "points": xy(FLUID)},
    )
    said = {
        "version": "5.5.0",
        "shapes": list(shapes),
        "imagePath": "..\\pictures\\a.png",
        "imageData": data,
        "imageHeight": SHAPE[0],
        "imageWidth": SHAPE[1],
        **content,
    }
    (folder / "a.json").write_text(json.dumps(said))
    return folder


def cvat(folder, *shapes, size=SHAPE):
    scan(folder / "a.png")

    def points(corners):
        return ";".join(f"{x},{y}" for x, y in xy(corners))

    inner = "".join(shapes) or (
        f'<polygon label="Fluid" points="{points(FLUID)}" z_order="1"></polygon>'
        f'<polygon label="Endo" points="{points(BAND)}" z_order="0"></polygon>'
    )
    (folder / "annotations.xml").write_text(
        '<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>'
        f'<image id="0" name="a.png" width="{size[1]}" height="{size[0]}">{inner}</image>'
        "</annotations>"
    )
    return folder


def cvat_mask(label="Endo"):
    """Rows 30 to 49, columns 20 to 99, in a box one larger on each side."""
    part = np.pad(np.ones((20, 80), int), 1).ravel()
    counts = np.diff([0, *np.flatnonzero(np.diff(part, prepend=0)), part.size])
    rle = ", ".join(map(str, counts))
    return f'<mask label="{label}" rle="{rle}" left="19" top="29" width="82" height="22"></mask>'


def review(folder, picture, **changes):
    entry = {
        "file": picture.relative_to(folder).as_posix(),
        "sha256": None,
        "frame": 1,
        "contours": [[list(c) for c in BAND]],
        "fluid": [[list(c) for c in FLUID]],
        "reviewer": "r1",
        "at": "2026-05-03T12:00:00",
        "patient": "SECRET-9",
        "spacing": [0.12, 0.13],
        **changes,
    }
    (folder / "corrections.json").write_text(json.dumps({"items": [entry]}))
    return folder


@pytest.mark.parametrize(
    ("made", "named"),
    [
        (lambda d: coco(d, [flat(BAND)], [flat(FLUID)]), "coco"),
        (lambda d: coco(d, compressed(truth() > 0), compressed(truth() == 2)), "coco"),
        (lambda d: coco(d, runs(truth() > 0), runs(truth() == 2)), "coco"),
        (labelme, "labelme"),
        (lambda d: labelme(d, inside=True), "labelme"),
        (cvat, "cvat"),
    ],
    ids=["polygons", "compressed", "runs", "labelme", "embedded", "cvat"],
)
def test_the_same_drawing_comes_out_of_every_format(tmp_path, made, named):
    done, (case,) = taken(made(tmp_path / "in"), tmp_path / "out")
    assert done.format == named
    assert np.array_equal(case.mask(), truth())
    assert case.known == ("endometrium", "fluid")
    assert case.families["source"] == named
    assert done.names == {"Endo": 1, "Fluid": 1}


def test_a_mask_of_cvat_and_one_of_labelme_are_pasted_where_they_belong(tmp_path):
    _, (case,) = taken(cvat(tmp_path / "c", cvat_mask()), tmp_path / "out")
    assert np.array_equal(case.mask(), truth(fluid=False))
    buffer = io.BytesIO()
    Image.fromarray(truth()[30:50, 20:100] == 1).save(buffer, "PNG")
    shape = {
        "label": "Endo",
        "shape_type": "mask",
        "points": [[20, 30], [99, 49]],
        "mask": base64.b64encode(buffer.getvalue()).decode(),
    }
    _, (case,) = taken(labelme(tmp_path / "l", shape), tmp_path / "out2")
    assert np.array_equal(case.mask(), truth() == 1)


def test_what_was_drawn_on_a_copy_finds_the_dicom_file_of_that_name(tmp_path):
    folder = labelme(tmp_path / "in", inside=True)
    dicom(tmp_path / "scans/a.dcm")
    done, (case,) = taken(folder, tmp_path / "out", images=tmp_path / "scans")
    assert case.path.suffix == ".dcm"
    assert (done.unscaled, case.spacing_mm) == (0, None)
    assert np.array_equal(case.mask(), truth())


def test_a_review_needs_no_map_and_says_frame_reader_patient_and_scale(tmp_path):
    clip = dicom(tmp_path / "in/cine.dcm", frames=4, SequenceOfUltrasoundRegions=None)
    digest = hashlib.sha256(clip.read_bytes()).hexdigest()
    folder = review(tmp_path / "in", clip, frame=3, sha256=digest)
    _, (case,) = taken(folder, tmp_path / "out", {})
    assert np.array_equal(case.mask(), truth())
    assert (case.frame, case.annotator, case.spacing_mm) == (3, "r1", (0.12, 0.13))
    assert case.patient.startswith("p-")


def test_a_review_of_a_member_of_a_zip_is_found_in_it(tmp_path):
    clip = dicom(tmp_path / "x/cine.dcm")
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in/archive.zip", "w") as archive:
        archive.write(clip, "deep/cine.dcm")
    folder = review(tmp_path / "in", tmp_path / "in/archive.zip/deep/cine.dcm")
    _, (case,) = taken(folder, tmp_path / "out", {})
    assert case.path.read_bytes() == clip.read_bytes()
    assert np.array_equal(case.mask(), truth())


BOX = '<box label="Endo" xtl="1" ytl="1" xbr="9" ybr="9"></box>'
LINE = '<polyline label="Endo" points="1,1;5,5;9,1"></polyline>'
BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa">]>'


def replaced(folder, old, new):
    path = folder / "instances.json"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    return folder


def written(folder, name, text):
    (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda d: coco(d, []), "'Endo': it is only a box"),
        (lambda d: coco(d, [[1, 2, 3, 4]]), "three corners or more"),
        (lambda d: coco(d, [[0, 0, 900, 0, 900, 90]]), "lies outside the picture of 96 x 128"),
        (lambda d: coco(d, [[5.0, 5, 5.1, 5, 5.1, 5.1]]), "covers no pixel"),
        (lambda d: coco(d, {"size": [9, 9], "counts": "ab"}), r"run lengths are of \[9, 9\]"),
        (lambda d: coco(d, {"size": list(SHAPE), "counts": [5, 4]}), "do not add up"),
        (lambda d: coco(d, {"size": list(SHAPE), "counts": "ab~"}), "run lengths"),
        (lambda d: coco(d, {"size": list(SHAPE), "counts": "PPYo1"}), "do not add up"),
        (lambda d: coco(d, [flat(BAND)], width=500), "says 96 x 500 pixels"),
        (lambda d: coco(d, [flat(BAND)], file_name="b.png"), "no picture 'b.png'.*--images"),
        (lambda d: coco(d, [flat(BAND)], id=8), "image 7, which is not listed"),
        (lambda d: replaced(coco(d, [flat(BAND)]), '"category_id": 3', '"category_id": []'),
         r"'category \[\]': 1 times, not mapped"),
        (lambda d: replaced(coco(d, [flat(BAND)]), '"annotations": [', '"annotations": [5, '),
         "no COCO JSON, or a damaged one"),
        (lambda d: labelme(d, {"label": "Endo", "shape_type": "circle", "points": [[1, 1]]}),
         "it is a circle, which is no outline"),
        (lambda d: labelme(d, {"label": "Endo", "points": [[1, 1], [4, 4]]}), "2 corners"),
        (lambda d: labelme(d, {"label": "Endo", "points": [[1, 1], [4, 4], [1, float("nan")]]}),
         "no number"),
        (lambda d: labelme(d, {"label": "Endo", "points": [[1, 1], [4, 4], [-40, 8]]}),
         "40 pixels outside the picture of 96 x 128"),
        (lambda d: labelme(d, {"label": "Endo", "points": [[1, 1], [1.1, 1], [1, 1.1]]}),
         "covers no pixel"),
        (lambda d: labelme(d, imageWidth=64), "the file says 96 x 64"),
        (lambda d: labelme(d, inside=True, imageData="%%%"), "the picture inside is damaged"),
        (lambda d: labelme(d, inside=True, imageData="YWJj"), "neither PNG nor JPEG"),
        (lambda d: cvat(d, BOX), "it is a box, which is no outline"),
        (lambda d: cvat(d, LINE), "it is a polyline, which is no outline"),
        (lambda d: cvat(d, cvat_mask().replace('left="19"', 'left="90"')), "outside the picture"),
        (lambda d: cvat(d, cvat_mask().replace('width="82"', 'width="81"')), "do not fill its box"),
        (lambda d: cvat(d, size=(95, 128)), "its entry says 95 x 128"),
        (lambda d: written(cvat(d), "annotations.xml", f"{BOMB}<annotations/>"), "entities"),
        (lambda d: written(cvat(d), "annotations.xml", "<annotations>"), "no XML, or a damaged"),
        (lambda d: review(d, dicom(d / "a.dcm"), frame=2), "frame 2 is none of the 1 frames"),
        (lambda d: review(d, dicom(d / "a.dcm"), sha256="00"), "has changed since"),
        (lambda d: review(d, d / "gone.dcm"), "gone.dcm: The file cannot be opened"),
        (lambda d: review(d, dicom(d / "a.dcm"), contours=[[1, 2]]), "no list of outlines"),
        (lambda d: review(d, dicom(d / "a.dcm"), fluid=7), "fluid is no list of outlines"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(tmp_path, made, says):
    (tmp_path / "in").mkdir()
    with pytest.raises(ImportFailedError, match=says):
        taken(made(tmp_path / "in"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_ignored_may_be_a_box(tmp_path):
    folder = cvat(tmp_path / "in", BOX.replace("Endo", "Roi"), cvat_mask())
    taken(folder, tmp_path / "out", {"Endo": "endometrium", "Roi": "ignore"})
    assert len(items(tmp_path / "out")) == 1


def test_a_corner_that_slipped_over_the_edge_is_cut_off_there(tmp_path):
    points = [[-1.5, 10], [60, 10], [60, 30], [-1.5, 30]]
    folder = labelme(tmp_path / "in", {"label": "Endo", "points": points})
    _, (case,) = taken(folder, tmp_path / "out")
    expected = np.zeros(SHAPE, np.uint8)
    expected[10:30, :60] = 1
    assert np.array_equal(case.mask(), expected)
