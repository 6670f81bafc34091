"""The clips of `endometer demo`: phantoms of known thickness and published real scans."""

import importlib.util
import shutil
from pathlib import Path

from data.phantom.collection import truth_row, write_truth
from data.phantom.dicom import Renderer, make_phantom, write_dicom

# (file name, seed, true thickness in mm, frames): either side of 6 mm, and a cine.
PHANTOMS = (
    ("phantom-5.4mm.dcm", 2, 5.4, 1),
    ("phantom-6.3mm.dcm", 4, 6.3, 1),
    ("phantom-cine-8.0mm.dcm", 14, 8.0, 24),
)
# Published for testing in the package pydicom-data (MIT): (file there, name here).
REAL = (
    ("US1_UNCR.dcm", "real-uncalibrated.dcm"),
    ("gdcm-US-ALOKA-16.dcm", "real-calibrated-pelvis.dcm"),
)


def prepare(folder: Path) -> Path:
    """Write the demo's clips into `folder` and return it. Real ones need pydicom-data."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, seed, thickness_mm, frames in PHANTOMS:
        phantom = make_phantom((seed,), thickness_mm, frames, Renderer.PHYSICAL)
        write_dicom(phantom, folder / name)
        rows.append(truth_row(name, phantom))
    write_truth(folder, rows)
    store = importlib.util.find_spec("data_store")  # what the package pydicom-data installs
    if store and store.origin:
        for there, here in REAL:
            shutil.copyfile(Path(store.origin).parent / "data" / there, folder / here)
    return folder
