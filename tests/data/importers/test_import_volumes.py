"""Segmentations of 3D Slicer and ITK-SNAP: whatever their grid, each label at its place in space.

Written with pynrrd (as Slicer writes them) and SimpleITK.
"""

import nrrd
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from drawings import SHAPE, dicom, scan, speckle, taken, truth
from hypothesis import given
from hypothesis import strategies as st

from data.importers.geometry import Grid
from data.importing import ImportFailedError

SPACING = (0.12, 0.15)
NAMES = {"Endometrium": "endometrium", "Cavity fluid": "fluid"}
VALUES = {"1": "endometrium", "2": "fluid"}


def volume(array, *, spacing=SPACING, origin=(7.0, -3.0, 0.0), direction=None):
    """An image of (slices, rows, columns); spacing (row, column), origin x, y, z."""
    image = sitk.GetImageFromArray(np.atleast_3d(array) if array.ndim == 3 else array[np.newaxis])
    image.SetSpacing((spacing[1], spacing[0], 1.0))
    image.SetOrigin(origin)
    if direction is not None:
        image.SetDirection(np.asarray(direction, float).ravel().tolist())
    return image


def save(image, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return path


def slicer(path, labels, *, origin=(7.0, -3.0, 0.0), spacing=SPACING, layered=False):
    """A `.seg.nrrd` of labels (slices, rows, columns), cropped to what was drawn."""
    at = np.argwhere(labels)
    low, high = at.min(0), at.max(0) + 1
    part = labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].transpose(2, 1, 0)
    steps = np.diag([spacing[1], spacing[0], 1.0])
    start = np.array(origin) + low[::-1] * np.diag(steps)
    header = {
        "space": "left-posterior-superior",
        "space origin": start,
        "encoding": "gzip",
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": " ".join(map(str, low[::-1])),
    }
    for number, name in enumerate(NAMES):
        header[f"Segment{number}_Name"] = name
        header[f"Segment{number}_LabelValue"] = "1" if layered else str(number + 1)
        header[f"Segment{number}_Layer"] = str(number) if layered else "0"
    if layered:
        part = np.stack([part > 0, part == 2]).astype(np.uint8)
        header |= {
            "space directions": [[np.nan] * 3, *steps.tolist()],
            "kinds": ["list", "domain", "domain", "domain"],
        }
    else:
        header |= {"space directions": steps, "kinds": ["domain"] * 3}
    path.parent.mkdir(parents=True, exist_ok=True)
    nrrd.write(str(path), part, header)
    return path


@pytest.mark.parametrize("layered", [False, True])
@pytest.mark.parametrize("name", ["scan.seg.nrrd", "scan-segmentation.seg.nrrd", "Seg.seg.nrrd"])
def test_a_cropped_segmentation_of_slicer_lies_where_it_was_drawn(tmp_path, name, layered):
    grey = speckle(*SHAPE)
    save(volume(grey), tmp_path / "in/scan.nrrd")
    slicer(tmp_path / "in" / name, truth()[np.newaxis], layered=layered)
    done, (case,) = taken(tmp_path / "in", tmp_path / "out", NAMES)
    assert done.format == "slicer"
    assert np.array_equal(case.mask(), truth())
    assert case.spacing_mm == pytest.approx(SPACING)
    assert case.path.suffix == ".png"


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_a_label_volume_of_itk_snap_is_named_by_its_values(tmp_path, suffix):
    save(volume(speckle(*SHAPE)), tmp_path / f"in/images/p1{suffix}")
    save(volume(truth()), tmp_path / f"in/labels/p1{suffix}")
    _, (case,) = taken(tmp_path / "in", tmp_path / "out", VALUES)
    assert np.array_equal(case.mask(), truth())
    assert case.spacing_mm == pytest.approx(SPACING, rel=1e-5)


def test_directions_and_origins_are_followed(tmp_path):
    """The image runs from right to left and from bottom to top, the label the other way."""
    flip = np.diag([-1.0, -1.0, 1.0])
    grey = speckle(*SHAPE)
    save(volume(grey[::-1, ::-1], origin=(20.0, 30.0, 5.0), direction=flip), tmp_path / "in/a.nrrd")
    # pixel (row, column) of the turned image lies at 20 - 0.15 * column, 30 - 0.12 * row
    corner = (20.0 - SPACING[1] * (SHAPE[1] - 1), 30.0 - SPACING[0] * (SHAPE[0] - 1), 5.0)
    save(volume(truth(), origin=corner), tmp_path / "in/a-label.nrrd")
    _, (case,) = taken(tmp_path / "in", tmp_path / "out", VALUES)
    assert np.array_equal(case.mask(), truth()[::-1, ::-1])


def test_a_finer_segmentation_is_brought_to_the_picture_by_nearest_place(tmp_path):
    save(volume(speckle(*SHAPE)), tmp_path / "in/a.nrrd")
    fine = np.kron(truth(), np.ones((3, 3), np.uint8))
    spacing = (SPACING[0] / 3, SPACING[1] / 3)
    origin = (7.0 - SPACING[1] / 3, -3.0 - SPACING[0] / 3, 0.0)
    save(volume(fine, spacing=spacing, origin=origin), tmp_path / "in/a_seg.nrrd")
    _, (case,) = taken(tmp_path / "in", tmp_path / "out", VALUES)
    assert np.array_equal(case.mask(), truth())


def test_the_frames_of_a_cine_that_were_drawn_keep_their_numbers(tmp_path):
    """ITK reads a DICOM cine as a stack of frames 1.0 mm apart, and so does Slicer."""
    dicom(tmp_path / "in/cine.dcm", frames=5)
    stack = np.zeros((5, *SHAPE), np.uint8)
    stack[1], stack[3] = truth(), truth(fluid=False)
    slicer(tmp_path / "in/cine.seg.nrrd", stack, origin=(0, 0, 0), spacing=(1.0, 1.0))
    done, cases = taken(tmp_path / "in", tmp_path / "out", NAMES)
    assert [case.frame for case in cases] == [2, 4]
    assert np.array_equal(cases[0].mask(), truth())
    assert np.array_equal(cases[1].mask(), truth(fluid=False))
    assert {case.spacing_mm for case in cases} == {None}  # the file has its own scale
    assert done.unscaled == 0
    assert len(list((tmp_path / "out/images").iterdir())) == 1


def test_the_slices_of_a_stack_that_were_drawn_become_pictures(tmp_path):
    stack = np.stack([speckle(*SHAPE, seed=n) for n in range(3)])
    labels = np.zeros((3, *SHAPE), np.uint8)
    labels[0], labels[2] = truth(), truth()
    save(volume(stack), tmp_path / "in/a.nii.gz")
    save(volume(labels), tmp_path / "in/a_label.nii.gz")
    _, cases = taken(tmp_path / "in", tmp_path / "out", VALUES)
    assert len(cases) == len({case.path for case in cases}) == 2
    assert all(np.array_equal(case.mask(), truth()) for case in cases)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (25.4 / 96, 25.4 / 96), (25.4 / 300, 25.4 / 300)])
def test_the_spacing_of_no_tissue_is_no_scale(tmp_path, spacing):
    """1.0 of a picture without a scale, and the dots per inch of a screen or of paper."""
    save(volume(speckle(*SHAPE), spacing=spacing), tmp_path / "in/a.nrrd")
    save(volume(truth(), spacing=spacing), tmp_path / "in/a_label.nrrd")
    done, (case,) = taken(tmp_path / "in", tmp_path / "out", VALUES)
    assert (case.spacing_mm, done.unscaled) == (None, 1)
    _, (case,) = taken(tmp_path / "in", tmp_path / "again", VALUES, spacing_mm=(0.1, 0.2))
    assert case.spacing_mm == (0.1, 0.2)


def test_a_label_of_the_same_size_lies_on_a_picture_that_knows_no_place(tmp_path):
    scan(tmp_path / "in/a.png")
    save(volume(truth()), tmp_path / "in/a_label.nrrd")
    _, (case,) = taken(tmp_path / "in", tmp_path / "out", VALUES)
    assert np.array_equal(case.mask(), truth())


def test_a_label_volume_with_the_name_of_a_picture_is_its_label(tmp_path):
    scan(tmp_path / "in/a.png")
    save(volume(truth(), spacing=(1.0, 1.0), origin=(0.0, 0.0, 0.0)), tmp_path / "in/a.nii.gz")
    _, (case,) = taken(tmp_path / "in", tmp_path / "out", VALUES)
    assert np.array_equal(case.mask(), truth())


@pytest.mark.parametrize(
    ("image", "label", "says"),
    [
        (volume(speckle(*SHAPE)), volume(truth(), origin=(50.0, 0.0, 0.0)), "lie outside a.nrrd"),
        (volume(speckle(*SHAPE)), volume(truth() * 0.5), "no whole numbers"),
        (volume(speckle(*SHAPE) * 20.0), volume(truth()), "levels from 0 to"),
        (volume(speckle(*SHAPE), spacing=(3.0, 3.0)), volume(truth(), spacing=(3.0, 3.0)),
         "0.01 to 1.0 mm per pixel"),
    ],
    ids=["elsewhere", "probabilities", "16 bits", "centimetres"],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(tmp_path, image, label, says):
    save(image, tmp_path / "in/a.nrrd")
    save(label, tmp_path / "in/a_label.nrrd")
    with pytest.raises(ImportFailedError, match=says):
        taken(tmp_path / "in", tmp_path / "out", VALUES)


def test_a_cropped_segmentation_at_another_spacing_is_no_guess_on_a_picture(tmp_path):
    dicom(tmp_path / "in/a.dcm")
    slicer(tmp_path / "in/a.seg.nrrd", truth()[np.newaxis], origin=(0, 0, 0))
    with pytest.raises(ImportFailedError, match=r"drawn at 0.12 x 0.15 mm.*read as 1 x 1"):
        taken(tmp_path / "in", tmp_path / "out", NAMES)


def test_a_header_that_is_no_text_is_a_fault(tmp_path):
    save(volume(speckle(*SHAPE)), tmp_path / "in/a.nrrd")
    path = slicer(tmp_path / "in/a.seg.nrrd", truth()[np.newaxis])
    path.write_bytes(path.read_bytes().replace(b"Segment0_Name", b"Segment0_\xff\xfe\xfa\xfb"))
    with pytest.raises(ImportFailedError, match="bytes that are no text"):
        taken(tmp_path / "in", tmp_path / "out", NAMES)


@pytest.mark.parametrize("content", [b"", b"NRRD0005\n", b"NRRD0005\ntype: uint8\nsizes: 9e9\n\n"])
def test_a_broken_volume_is_a_fault(tmp_path, content):
    save(volume(speckle(*SHAPE)), tmp_path / "in/a.nrrd")
    (tmp_path / "in/a_label.nrrd").write_bytes(content)
    with pytest.raises(ImportFailedError, match=r"a_label.nrrd: it cannot be read"):
        taken(tmp_path / "in", tmp_path / "out", VALUES)


axes = st.permutations(range(3)).flatmap(
    lambda order: st.tuples(st.just(order), st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3))
)


@given(axes, st.tuples(*[st.floats(0.05, 3.0)] * 3), st.tuples(*[st.floats(-50, 50)] * 3))
def test_resampling_onto_itself_in_any_frame_changes_nothing(turned, spacing, origin):
    order, signs = turned
    steps = np.zeros((3, 3))
    for axis, (at, sign, width) in enumerate(zip(order, signs, spacing, strict=True)):
        steps[axis, at] = sign * width
    labels = np.random.default_rng(1).integers(0, 3, (3, 5, 7))
    grid = Grid(labels.shape, np.array(origin), steps)
    assert np.array_equal(grid.resample(labels, grid), labels)
    # from a grid that lists the axes in another order
    around = Grid((5, 7, 3), np.array(origin), steps[[1, 2, 0]])
    assert np.array_equal(around.resample(labels, grid), labels.transpose(1, 2, 0))
    # and from one that runs the other way along every axis
    far = grid.points(np.array([[2, 4, 6]]))[0]
    back = Grid(labels.shape, far, -steps)
    assert np.array_equal(back.resample(labels, grid), labels[::-1, ::-1, ::-1])
