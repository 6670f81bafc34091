"""Scans and drawings for tests of data sets: a band on speckle, as tools would keep it."""

import json

import numpy as np
from dicom_factory import header, region, speckle, write
from PIL import Image

from data.cases import read_cases
from data.importing import Wishes, import_dataset

SHAPE = (96, 128)
# Corners (row, column), whole numbers at pixel centres, that pass between pixels: no pixel is
# covered by half, so that every right way of drawing them gives the same mask.
BAND = [(29.5, 19.5), (29.5, 99.5), (49.5, 99.5), (49.5, 19.5)]
FLUID = [(37.5, 49.5), (37.5, 69.5), (41.5, 69.5), (41.5, 49.5)]
MAPPING = {"Endo": "endometrium", "Fluid": "fluid"}


def truth(*, fluid=True):
    mask = np.zeros(SHAPE, np.uint8)
    mask[30:50, 20:100] = 1
    if fluid:
        mask[38:42, 50:70] = 2
    return mask


def xy(corners):
    """The same corners as tools keep them: [x, y] from the corner of the picture."""
    return [[column + 0.5, row + 0.5] for row, column in corners]


def scan(path, seed=0, shape=SHAPE):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(speckle(*shape, seed=seed)).save(path)
    return path


def dicom(path, seed=0, frames=1, **elements):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.stack([speckle(*SHAPE, seed=seed + n) for n in range(frames)])
    many = {"NumberOfFrames": frames} if frames > 1 else {}
    values = {
        "SOPInstanceUID": f"1.2.826.0.1.3680043.8.498.{seed + 10}",
        "PatientID": f"SECRET-{seed}",
        "SequenceOfUltrasoundRegions": [region((0, 0, 95, 127), (0.012, 0.012))],
        **many,
        **elements,
    }
    return write(path, header(*SHAPE, **values), pixels.tobytes())


def taken(source, out, mapping=MAPPING, **wishes):
    """Import, and return what came of it with the cases of the new folder."""
    done = import_dataset(source, out, Wishes(mapping=mapping, **wishes))
    return done, read_cases(out)


def items(folder):
    return json.loads((folder / "dataset.json").read_text())["items"]
