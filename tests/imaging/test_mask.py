import numpy as np
import pytest
from PIL import Image

from imaging.mask import MaskError, read_mask


def save(path, values, mode=None):
    Image.fromarray(np.asarray(values), mode).save(path)
    return path


def test_labels_become_endometrium_and_fluid(tmp_path):
    mask = np.zeros((6, 8), np.uint8)
    mask[1:5, 1:7], mask[2:4, 3:5], mask[1, 1] = 1, 2, 255
    endometrium, fluid = read_mask(save(tmp_path / "m.png", mask))
    assert np.array_equal(endometrium, (mask == 1) | (mask == 255))
    assert fluid is not None and np.array_equal(fluid, mask == 2)


def test_no_fluid_is_none(tmp_path):
    endometrium, fluid = read_mask(save(tmp_path / "m.png", np.eye(5, dtype=np.uint8) * 255))
    assert fluid is None and endometrium.sum() == 5


def test_grey_saved_as_colour_is_read(tmp_path):
    grey = np.eye(5, dtype=np.uint8) * 255
    endometrium, _ = read_mask(save(tmp_path / "m.png", np.stack([grey] * 3, -1)))
    assert endometrium.sum() == 5


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.full((4, 4), 7, np.uint8), "values 7"),
        (np.arange(64, dtype=np.uint8).reshape(8, 8), "values 3, 4, 5, 6, 7, ..."),
        (np.dstack([np.eye(4, dtype=np.uint8) * 255] + [np.zeros((4, 4), np.uint8)] * 2), "colour"),
        (np.zeros((4, 4), np.float32), "mode F"),
        (np.ones((1, 9), np.uint8), "nothing can be measured"),
    ],
)
def test_anything_else_is_an_error_that_says_what_a_mask_is(tmp_path, values, says):
    with pytest.raises(MaskError, match=says) as caught:
        read_mask(save(tmp_path / "m.tif", values))
    assert "endometrium" in str(caught.value)


def test_a_file_that_is_no_image(tmp_path):
    path = tmp_path / "m.png"
    path.write_text("no image")
    with pytest.raises(MaskError, match="no PNG or TIFF"):
        read_mask(path)
    path.write_bytes(b"")
    with pytest.raises(MaskError, match="no PNG or TIFF"):
        read_mask(path)
    with pytest.raises(MaskError, match="no such file"):
        read_mask(tmp_path / "absent.png")


def test_an_indexed_image_is_read_by_what_is_seen(tmp_path):
    """A drawing program may number white 0 and black 1; a labelling tool colours its labels."""
    index = np.zeros((6, 6), np.uint8)
    index[2:4] = 1
    swapped = Image.fromarray(index).convert("P")
    swapped.putpalette([255, 255, 255, 0, 0, 0])
    swapped.save(tmp_path / "swapped.png")
    assert np.array_equal(read_mask(tmp_path / "swapped.png")[0], index == 0)
    coloured = Image.fromarray(index).convert("P")
    coloured.putpalette([0, 0, 0, 200, 30, 90])
    coloured.save(tmp_path / "coloured.png")
    assert np.array_equal(read_mask(tmp_path / "coloured.png")[0], index == 1)


def test_a_stack_is_no_mask(tmp_path):
    pages = [Image.fromarray(np.eye(5, dtype=np.uint8)) for _ in range(2)]
    pages[0].save(tmp_path / "m.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(MaskError, match="2 pages"):
        read_mask(tmp_path / "m.tif")
