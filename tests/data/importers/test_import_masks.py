"""Label images beside scans: every way of naming them, values, palettes and colours."""

import numpy as np
import pytest
from drawings import SHAPE, scan, taken, truth
from PIL import Image

from data.importing import ImportFailedError

VALUES = {"1": "endometrium", "2": "fluid"}


def save(path, values, palette=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    if palette:
        image = image.convert("P") if image.mode != "L" else image
        image.putpalette(palette)
    image.save(path)
    return path


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/a.png", "masks/a.png"),
        ("deep/images/set/a.jpg", "deep/labels/set/a.tif"),
        ("a.png", "a_mask.png"),
        ("a.png", "a-label.png"),
        ("benign (1).png", "benign (1)_mask.png"),
        ("imagesTr/a_0000.png", "labelsTr/a.png"),
        ("p01/scan.png", "p01/mask.png"),
        ("images/a.png", "masks/a_mask.png"),
    ],
)
def test_a_mask_finds_its_picture_by_the_names_that_people_use(tmp_path, image, mask):
    scan(tmp_path / "in" / image)
    save(tmp_path / "in" / mask, truth())
    done, (case,) = taken(tmp_path / "in", tmp_path / "out", VALUES)
    assert done.format == "masks"
    assert np.array_equal(case.mask(), truth())
    assert case.path.read_bytes() == (tmp_path / "in" / image).read_bytes()


def test_masks_alone_find_their_pictures_in_the_folder_that_is_named(tmp_path):
    scan(tmp_path / "scans/somewhere/a.png")
    save(tmp_path / "drawn/masks/a.png", truth())
    with pytest.raises(ImportFailedError, match=r"no picture a\.\* was found.*--images"):
        taken(tmp_path / "drawn", tmp_path / "out", VALUES)
    _, (case,) = taken(tmp_path / "drawn", tmp_path / "out", VALUES, images=tmp_path / "scans")
    assert np.array_equal(case.mask(), truth())


def test_several_masks_of_one_picture_are_one_drawing(tmp_path):
    scan(tmp_path / "in/a.png")
    save(tmp_path / "in/a_mask.png", (truth() > 0).astype(np.uint8))
    save(tmp_path / "in/a_mask_1.png", (truth() == 2).astype(np.uint8) * 2)
    _, (case,) = taken(tmp_path / "in", tmp_path / "out", VALUES)
    assert np.array_equal(case.mask(), truth())


@pytest.mark.parametrize(
    ("values", "palette", "mapping"),
    [
        (truth() * 100, None, {"100": "endometrium", "200": "fluid"}),
        (truth().astype(np.uint16) * 1000, None, {"1000": "endometrium", "2000": "fluid"}),
        (truth(), [0, 0, 0, 128, 0, 0, 0, 128, 0], VALUES),
        (np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8)[truth()], None,
         {"#ff0000": "endometrium", "#0000ff": "fluid"}),
        (np.repeat(truth()[..., None], 3, 2), None, VALUES),
    ],
    ids=["levels", "16 bits", "palette", "colours", "grey as colour"],
)  # fmt: skip
def test_names_are_values_or_colours(tmp_path, values, palette, mapping):
    scan(tmp_path / "in/a.png")
    save(tmp_path / "in/a_mask.png", values, palette)
    _, (case,) = taken(tmp_path / "in", tmp_path / "out", mapping)
    assert np.array_equal(case.mask(), truth())


def test_a_mask_of_two_levels_is_named_by_its_value(tmp_path):
    scan(tmp_path / "in/a.png")
    Image.fromarray(truth() > 0).save(tmp_path / "in/a_mask.png")
    _, (case,) = taken(tmp_path / "in", tmp_path / "out", {"1": "endometrium"})
    assert np.array_equal(case.mask(), truth() > 0)
    assert case.known == ("endometrium",)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda d: (d / "images/a.png").unlink(), r"masks/a.png: no picture a\.\*"),
        (lambda d: save(d / "masks/a.png", truth()[1:]), "95 x 128 pixels.*96 x 128"),
        (lambda d: (d / "masks/a.png").write_bytes(b"no"), "masks/a.png: .*no PNG"),
        (lambda d: (d / "images/a.png").write_bytes(b"\x89PNG"), "masks/a.png: images/a.png: "),
        (lambda d: scan(d / "images/a.tif"), "several pictures could belong to it"),
        (lambda d: Image.fromarray(truth().astype(np.float32)).save(d / "masks/a.tif"), "mode F"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_written(tmp_path, spoil, says):
    scan(tmp_path / "in/images/a.png")
    save(tmp_path / "in/masks/a.png", truth())
    spoil(tmp_path / "in")
    with pytest.raises(ImportFailedError, match=says):
        taken(tmp_path / "in", tmp_path / "out", VALUES)
    assert not (tmp_path / "out").exists()


def test_a_picture_that_viewers_turn_is_refused(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3
    (tmp_path / "in").mkdir()
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(tmp_path / "in/a.jpg", exif=exif)
    save(tmp_path / "in/a_mask.png", truth())
    with pytest.raises(ImportFailedError, match="EXIF orientation 3"):
        taken(tmp_path / "in", tmp_path / "out", VALUES)


def test_other_kinds_of_pictures_become_png_pixel_by_pixel(tmp_path):
    grey = np.asarray(Image.open(scan(tmp_path / "x.png")))
    (tmp_path / "in").mkdir()
    Image.fromarray(grey).save(tmp_path / "in/a.bmp")
    save(tmp_path / "in/a_mask.png", truth())
    _, (case,) = taken(tmp_path / "in", tmp_path / "out", VALUES)
    assert case.path.suffix == ".png"
    assert np.array_equal(np.asarray(Image.open(case.path)), grey)
