"""An archive to review: phantoms of several patients, a cine, oblong pixels, what goes wrong."""

from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.uid import generate_uid

from data.phantom.dicom import Phantom, Renderer, make_phantom, write_dicom

# A patient's name and number may hold anything.
SCRIPT = "<script>document.title='owned'</script>"
# Rows this much coarser than columns in the clip with oblong pixels.
OBLONG = 1.6

# (patient, name, date, seed, true thickness in mm)
STILLS = (
    ("W1", "WEBER^ANNA", "20260105", 4, 5.2),
    ("W1", "WEBER^ANNA", "20260202", 7, 5.7),
    ("W1", "WEBER^ANNA", "20260302", 5, 6.4),
    ("W1", "WEBER^ANNA", "20260330", 11, 7.6),
    (SCRIPT, SCRIPT, "20260112", 12, 6.2),
    (SCRIPT, SCRIPT, "20260209", 13, 8.4),
    ("W3", "LI^MEI", "20260119", 14, 10.5),
    ("W3", "LI^MEI", "20260216", 15, 4.1),
    ("W4", "OKAFOR^ADA", "20260126", 16, 9.1),
    ("W4", "OKAFOR^ADA", "20260223", 17, 5.9),
    ("W5", "SILVA^RITA", "20260203", 18, 12.3),
    ("W5", "SILVA^RITA", "20260303", 19, 7.1),
)


def write_archive(folder: Path, renderer: Renderer = Renderer.RANDOM, cine_frames: int = 6) -> Path:
    """Write sixteen clips and a broken file into `folder` and return it.

    Randomised pictures are made ten times as fast as the physical ones of the documentation.
    """

    def phantom_of(seed: int, mm: float | None, frames: int = 1, visible: bool = True) -> Phantom:
        return make_phantom((seed,), mm, frames, renderer, visible=visible)

    folder.mkdir(parents=True, exist_ok=True)
    for i, (patient, name, date, seed, mm) in enumerate(STILLS):
        _write(phantom_of(seed, mm), folder / f"still-{i + 1:02d}.dcm", patient, name, date)
    cine = phantom_of(2, 8.0, cine_frames)
    _write(cine, folder / "cine.dcm", SCRIPT, SCRIPT, "20260309")
    oblong = folder / "oblong.dcm"
    _write(phantom_of(4, 5.4), oblong, "W6", "ROSSI^EVA", "20260310")
    _stretch(oblong)
    unscaled = folder / "unscaled.dcm"
    _write(phantom_of(7, 6.6), unscaled, "W6", "ROSSI^EVA", "20260217")
    ds = dcmread(unscaled)
    del ds.SequenceOfUltrasoundRegions
    ds.save_as(unscaled)
    nothing = phantom_of(23, None, visible=False)
    _write(nothing, folder / "nothing.dcm", "W3", "LI^MEI", "20260316")
    (folder / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 64)
    return folder


def _write(phantom: Phantom, path: Path, patient: str, name: str, date: str) -> None:
    write_dicom(phantom, path)
    ds = dcmread(path)
    ds.PatientID, ds.PatientName = patient, name
    ds.StudyDate = ds.ContentDate = date
    ds.StudyInstanceUID = generate_uid(entropy_srcs=[patient, date])
    ds.save_as(path)


def _stretch(path: Path) -> None:
    """Make the rows of a clip coarser, in pixels and header: the same anatomy in oblong pixels."""
    ds = dcmread(path)
    tall = Image.fromarray(ds.pixel_array)
    flat = tall.resize((ds.Columns, round(ds.Rows / OBLONG)), Image.Resampling.BOX)
    ds.PixelData, ds.Rows = np.asarray(flat).tobytes(), flat.height
    region = ds.SequenceOfUltrasoundRegions[0]
    region.PhysicalDeltaY = float(region.PhysicalDeltaY) * OBLONG
    region.RegionLocationMinY0 = round(region.RegionLocationMinY0 / OBLONG)
    region.RegionLocationMaxY1 = int(region.RegionLocationMaxY1 / OBLONG) - 1
    ds.save_as(path)
