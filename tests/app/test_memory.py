"""Memory of whole processes: a long cine costs no more than a short one."""

import sys
from pathlib import Path

from benchmarks.cost import cost
from data.phantom.dicom import Phantom, make_phantom, write_dicom

ENDOMETER = str(Path(sys.executable).with_name("endometer"))


def test_memory_does_not_grow_with_the_frames(tmp_path):
    short = make_phantom((8,), 8.0, 12)
    frames = short.frames.repeat(15, axis=0)
    peaks = []
    for name, pictures in {"short": short.frames, "long": frames}.items():
        path = tmp_path / f"{name}.dcm"
        write_dicom(Phantom(short.scene, pictures, short.mm_per_px), path)
        _, peak = cost([ENDOMETER, "measure", str(path), "--out", str(tmp_path / name)])
        peaks.append(peak)
    assert max(peaks) < 600
    assert peaks[1] < peaks[0] + 30
