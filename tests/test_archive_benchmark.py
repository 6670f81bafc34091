"""The plain loop that `measure` is compared with has something to measure."""

import numpy as np
import pytest

pytest.importorskip("distributed")

from benchmarks.archive import grey_frames, make_archive
from data.phantom.dicom import make_phantom, write_dicom


def test_frames_of_a_coloured_cine_are_grey_and_have_a_scale(tmp_path):
    make_archive(tmp_path / "archive", 1, 3)
    (clip,) = (tmp_path / "archive").iterdir()
    frames, spacing_mm = grey_frames(clip)
    assert frames.shape == (3, 600, 800)
    assert frames.dtype == np.uint8
    assert frames.std() > 10
    assert 0.02 < spacing_mm[0] < 0.3


def test_a_still_is_one_frame(tmp_path):
    write_dicom(make_phantom((9, 1), 5.0, 1), tmp_path / "still.dcm")
    assert len(grey_frames(tmp_path / "still.dcm")[0]) == 1
