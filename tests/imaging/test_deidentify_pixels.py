"""Pixels of de-identified clips: black outside the ultrasound image on every frame, the same in it,
whatever the photometric interpretation and the transfer syntax."""

import tracemalloc

import numpy as np
import pytest
from deidentified import BOX, fan, header, scan
from PIL import Image
from pydicom import dcmread
from pydicom.uid import JPEGBaseline8Bit
from scipy import ndimage

from benchmarks.planted import KINDS, draw_texts, encode
from data.phantom.dicom import make_phantom
from imaging.clip import Clip
from imaging.deidentify.inscription import find_inscriptions
from imaging.deidentify.plan import Action, Deidentifier
from imaging.deidentify.pseudonyms import Pseudonyms
from imaging.deidentify.window import EDGES, find_window
from imaging.sector import find_sector
from imaging.source import Source

KEY = Pseudonyms(b"a key for tests!")
OUTSIDE = np.ones(fan().shape, bool)
OUTSIDE[BOX[0] : BOX[2] + 1, BOX[1] : BOX[3] + 1] = False
# In the box, but beside the fan, where dates and ids stand.
OUTSIDE[36:60, 38:95] = OUTSIDE[268:284, 292:352] = True


def deidentified(path, out, **options):
    return Deidentifier(KEY, out, **options).process(Source(path))


@pytest.mark.parametrize(("kind", "syntax"), KINDS, ids=lambda one: getattr(one, "name", one))
def test_every_frame_is_black_outside_the_image_and_unchanged_in_it(kind, syntax, tmp_path):
    frames = scan(3)
    assert all((frame[OUTSIDE] > 100).sum() > 300 for frame in frames)  # the writing is there
    encode(header(), frames, kind, syntax, tmp_path / "in.dcm")
    done = deidentified(tmp_path / "in.dcm", tmp_path / "out")
    assert (done.action, done.frames) == (Action.WRITTEN, 3), done.why
    new = tmp_path / "out" / done.name
    # An independent reading: pydicom's own road from file to pixels.
    stored = dcmread(new).pixel_array
    black = np.asarray(stored[0, 0, 0])
    with Clip.open(tmp_path / "in.dcm") as before, Clip.open(new) as after:
        for number in (1, 2, 3):
            assert (stored[number - 1][OUTSIDE] == black).all()
            old, luma = before.frame(number).luma, after.frame(number).luma
            assert luma[OUTSIDE].max() == 0
            kept = luma > 0
            assert kept.sum() > 20_000
            assert (luma[kept] == old[kept]).all()


def test_lossy_pictures_are_not_compressed_again(tmp_path):
    encode(header(), scan(2), "YBR_FULL_422", JPEGBaseline8Bit, tmp_path / "in.dcm")
    done = deidentified(tmp_path / "in.dcm", tmp_path / "out")
    data = dcmread(tmp_path / "out" / done.name)
    assert data.file_meta.TransferSyntaxUID.name == "RLE Lossless"
    assert (data.LossyImageCompression, data.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    assert data.PhotometricInterpretation == "YBR_FULL"


def test_a_frame_is_not_wider_than_the_window_of_its_neighbours(tmp_path):
    """Frames that are not looked at when the window is sought are blanked outside it, too."""
    frames = scan(9, texts=False)
    for i in (1, 2, 5, 6):
        frames[i] = draw_texts(frames[i], [("SECRET", 20, (5, 5)), ("SECRET", 9, (288, 300))])
    kind, syntax = KINDS[1]
    encode(header(), frames, kind, syntax, tmp_path / "in.dcm")
    done = deidentified(tmp_path / "in.dcm", tmp_path / "out")
    stored = dcmread(tmp_path / "out" / done.name).pixel_array
    assert stored[:, OUTSIDE].max() == 0


@pytest.mark.parametrize("frame", [0, 3, 6])
def test_writing_in_the_image_holds_the_clip_back_on_whatever_frame(frame, tmp_path):
    frames = scan(7)
    frames[frame] = draw_texts(frames[frame], [("MUSTERMANN", 14, (150, 140))])
    encode(header(), frames, *KINDS[1], tmp_path / "in.dcm")
    done = deidentified(tmp_path / "in.dcm", tmp_path / "out")
    assert done.action is Action.HELD
    assert "on 1 of 7 frames" in done.why
    assert not (tmp_path / "out").exists()


def test_writing_in_the_image_is_blanked_on_all_frames_where_that_is_asked_for(tmp_path):
    frames = scan(4)
    frames[2] = draw_texts(frames[2], [("MUSTERMANN", 14, (150, 140))])
    drawn = draw_texts(np.zeros_like(frames[0]), [("MUSTERMANN", 14, (150, 140))]) > 0
    encode(header(), frames, *KINDS[1], tmp_path / "in.dcm")
    done = deidentified(tmp_path / "in.dcm", tmp_path / "out", blank_inside=True)
    assert (done.action, done.inside) == (Action.WRITTEN, 1)
    stored = dcmread(tmp_path / "out" / done.name).pixel_array
    assert stored[:, drawn].max() == 0
    assert find_inscriptions(stored[2]) == []


def test_a_picture_without_writing_has_none():
    assert find_inscriptions(scan(1, texts=False)[0]) == []


@pytest.mark.parametrize("size", [12, 16, 24])
@pytest.mark.parametrize("text", ["MUSTERMANN", "Doe, Jane", "12.03.1963", "4711-0815"])
def test_writing_is_found_where_it_is(text, size):
    place = (140, 120)
    found = find_inscriptions(draw_texts(fan(), [(text, size, place)]))
    assert found
    assert all(
        box.row_0 >= place[0] and box.row_1 <= place[0] + 1.3 * size
        and box.column_0 >= place[1] - 20
        for box in found
    )  # fmt: skip


def test_pages_of_writing_are_held_back(tmp_path):
    page = np.full((1, 300, 400), 20, np.uint8)
    lines = [(f"RESULT {n}: 12.3 mm  MUSTERMANN", 14, (20 * n + 10, 30)) for n in range(13)]
    page[0] = draw_texts(page[0], lines)
    data = header()
    del data.SequenceOfUltrasoundRegions
    encode(data, page, *KINDS[1], tmp_path / "in.dcm")
    assert deidentified(tmp_path / "in.dcm", tmp_path / "out").action is Action.HELD


def test_a_damaged_frame_leaves_no_file_behind(tmp_path):
    encode(header(), scan(3), "YBR_FULL_422", JPEGBaseline8Bit, tmp_path / "in.dcm")
    content = bytearray((tmp_path / "in.dcm").read_bytes())
    second = content.index(b"\xff\xd8\xff", content.index(b"\xff\xd8\xff") + 10)
    content[second + 3 : second + 30] = b"\x00" * 27
    (tmp_path / "in.dcm").write_bytes(bytes(content))
    done = deidentified(tmp_path / "in.dcm", tmp_path / "out")
    assert done.action is Action.FAILED
    assert not list((tmp_path / "out").glob("**/*")) or not (tmp_path / "out").exists()


def test_bits_above_bits_stored_are_cleared(tmp_path):
    """Old overlays hide in them: PS3.5 8.1.2."""
    frames = scan(1)
    data = header()
    encode(data, frames, "12 bits", KINDS[1][1], tmp_path / "in.dcm")
    raw = dcmread(tmp_path / "in.dcm")
    raw.PixelData = (np.frombuffer(raw.PixelData, "<u2") | 0x8000).tobytes()
    raw.save_as(tmp_path / "in.dcm")
    done = deidentified(tmp_path / "in.dcm", tmp_path / "out")
    words = np.frombuffer(dcmread(tmp_path / "out" / done.name).PixelData, "<u2")
    assert words.max() < 4096


def test_the_image_is_found_again_where_it_was(tmp_path):
    encode(header(), scan(3), *KINDS[1], tmp_path / "in.dcm")
    done = deidentified(tmp_path / "in.dcm", tmp_path / "out")
    with Clip.open(tmp_path / "in.dcm") as before, Clip.open(tmp_path / "out" / done.name) as after:
        window = find_window(before)
        assert (window.image == find_window(after).image).all()
        assert done.kept == window.edged.mean()


@pytest.mark.parametrize("degrees", [0, 4, 7])
def test_an_image_whose_edge_has_a_say_is_found_again_where_it_was(degrees, tmp_path):
    """As that of real scanners has: alone it would be found with other bounds."""
    frame = make_phantom((77,), 6.0).frames[0].copy()
    frame[:60] = frame[:, :60] = frame[:, 740:] = 0
    picture = Image.fromarray(frame).rotate(degrees, Image.Resampling.BILINEAR)
    luma = np.asarray(picture.resize((400, 300), Image.Resampling.BILINEAR))
    data = header()
    del data.SequenceOfUltrasoundRegions
    encode(data, luma[None], *KINDS[0], tmp_path / "in.dcm")
    done = deidentified(tmp_path / "in.dcm", tmp_path / "out", blank_inside=True)
    with Clip.open(tmp_path / "in.dcm") as before, Clip.open(tmp_path / "out" / done.name) as after:
        window = find_window(before)
        found = find_window(after)
        alone = find_sector(np.where(window.image, before.frame(1).luma, 0).astype(np.uint8))
    assert (alone != window.image).any()
    assert (window.image == found.image).all()
    beside = window.edged & ~window.image
    assert ndimage.distance_transform_edt(~window.image)[beside].max() <= max(EDGES)


def test_memory_does_not_grow_with_the_clip(tmp_path):
    peaks = []
    for frames in (2, 10):
        path = tmp_path / f"{frames}.dcm"
        uid = f"1.2.3.{frames}"
        encode(header(SOPInstanceUID=uid), scan(frames, texts=False), *KINDS[1], path)
        tracemalloc.start()
        assert deidentified(path, tmp_path / "out").frames == frames
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 2 * fan().size  # of eight frames more
