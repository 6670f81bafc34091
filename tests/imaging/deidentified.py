"""A small scan with writing all around its fan, for tests of de-identification."""

from functools import lru_cache

import numpy as np
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset

from benchmarks.planted import draw_texts
from data.phantom.dicom import make_phantom

ROWS, COLUMNS = 300, 400
BOX = (30, 35, 284, 354)  # row_0, column_0, row_1, column_1
AROUND = ["MUSTERMANN ERIKA", "4711-0815", "12.03.1963"]


@lru_cache
def fan():
    """A grey picture without writing, uint8 (300, 400)."""
    frame = make_phantom((3, 3), 8.0).frames[0].copy()
    frame[:60] = 0
    frame[:, :70] = frame[:, 710:] = 0
    return np.asarray(Image.fromarray(frame).resize((COLUMNS, ROWS), Image.Resampling.BILINEAR))


def scan(frames=3, texts=True):
    """Frames uint8 (n, 300, 400); writing stands elsewhere on each: header, corners, the side of
    the box, and the corner of the box outside the fan."""
    made = np.stack([fan()] * frames)
    for i in range(frames if texts else 0):
        step = 3 * i
        where = [
            (AROUND[0], 12, (2 + step, 8 + step)),
            (AROUND[1], 12, (286, 250 + step)),
            (AROUND[2], 11, (36 + step, 38)),  # in the box, beside the fan
            (AROUND[1], 11, (270 - step, 290)),
        ]
        made[i] = draw_texts(made[i], where)
    return made


def header(**elements):
    """A header with a region that holds the fan."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.3.1"
    data.SOPInstanceUID, data.SeriesInstanceUID, data.StudyInstanceUID = "1.2.3", "1.2.4", "1.2.5"
    data.Modality, data.PatientName, data.PatientID = "US", "Mustermann^Erika", "4711-0815"
    data.StudyDate, data.StudyTime = "20240503", "140700"
    data.Manufacturer, data.ManufacturerModelName = "Acme", "Wave 3"
    item = Dataset()
    item.RegionSpatialFormat = item.RegionDataType = 1
    item.RegionFlags = 2
    item.RegionLocationMinY0, item.RegionLocationMinX0 = BOX[:2]
    item.RegionLocationMaxY1, item.RegionLocationMaxX1 = BOX[2:]
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX = item.PhysicalDeltaY = 0.025
    data.SequenceOfUltrasoundRegions = [item]
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    return data
