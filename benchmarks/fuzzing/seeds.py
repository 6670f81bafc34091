"""Files to mutate: one folder, made once, whose names begin with the kind of input."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.fileset import FileSet
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from data.phantom.dicom import Renderer, make_phantom, write_dicom, write_label
from data.phantom.unmeasurable import Situation, make_unmeasurable
from models.bundle import load_bundle

# The small pictures; mutations of a large one mostly cost time.
ROWS, COLUMNS = 64, 80
MAX_SEED = 100_000
SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    JPEG2000Lossless,
    JPEGLSLossless,
    JPEGBaseline8Bit,
)
# pydicom writes neither.
_BY_PILLOW = {
    JPEG2000Lossless: ("JPEG2000", {"no_jp2": True}),
    JPEGBaseline8Bit: ("JPEG", {"quality": 90}),
}


def picture(seed: int, rows: int = ROWS, columns: int = COLUMNS) -> np.ndarray:
    """A fan of speckle on black, uint8 (rows, columns)."""
    random = np.random.default_rng(seed)
    row, column = np.mgrid[:rows, :columns]
    away = np.hypot(row + 12, column - columns / 2)
    fan = (np.abs(column - columns / 2) < 0.8 * (row + 12)) & (away > 16) & (away < rows)
    grey = np.clip(random.normal(110, 40, (rows, columns)), 30, 255)
    return np.where(fan, grey, 0).astype(np.uint8)


def small_dicom(seed: int, *, frames: int = 1, colour: bool = False, regions: int = 1) -> Dataset:
    """An ultrasound object with a scale, in explicit little endian."""
    luma = np.stack([picture(seed + number) for number in range(frames)])
    pixels = np.repeat(luma[..., None], 3, axis=-1) if colour else luma
    found = Dataset()
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.SOPClassUID = UID(
        "1.2.840.10008.5.1.4.1.1.3.1" if frames > 1 else "1.2.840.10008.5.1.4.1.1.6.1"
    )
    found.SOPInstanceUID, found.StudyInstanceUID, found.SeriesInstanceUID = (
        generate_uid(entropy_srcs=[name, str(seed)]) for name in ("instance", "study", "series")
    )
    found.PatientName, found.PatientID = "SECRET^NAME", "SECRET-ID"
    found.StudyID, found.SeriesNumber, found.InstanceNumber = "1", 1, seed
    found.Modality, found.StudyDate, found.StudyTime = "US", "20260102", "101500"
    found.Rows, found.Columns, found.SamplesPerPixel = ROWS, COLUMNS, 3 if colour else 1
    found.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        found.PlanarConfiguration = 0
    if frames > 1:
        found.NumberOfFrames = frames
    found.BitsAllocated, found.BitsStored, found.HighBit = 8, 8, 7
    found.PixelRepresentation = 0
    if regions:
        found.SequenceOfUltrasoundRegions = [_region(number) for number in range(regions)]
    else:
        found.PixelSpacing = [0.5, 0.5]
    found.add_new("PixelData", "OB", pixels.tobytes())
    return found


def _region(number: int) -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = 1, 1, 0
    item.RegionLocationMinX0, item.RegionLocationMaxX1 = 0, COLUMNS - 1
    item.RegionLocationMinY0 = number * ROWS // 2
    item.RegionLocationMaxY1 = ROWS - 1
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX, item.PhysicalDeltaY = 0.05, 0.05
    return item


def make_seeds(folder: Path) -> None:
    """Write the seed files, each named KIND-NAME."""
    folder.mkdir(parents=True, exist_ok=True)
    _dicom(folder)
    _phantoms(folder)
    _stills(folder)
    _archives(folder)
    _annotations(folder)
    card = json.loads((load_bundle().path / "card.json").read_text("utf-8"))
    (folder / "card-default").write_text(json.dumps(card), encoding="utf-8")


def _dicom(folder: Path) -> None:
    number = 0
    for colour in (False, True):
        for frames, regions in ((1, 1), (3, 1), (1, 2), (1, 0)):
            for syntax in SYNTAXES:
                number += 1
                data = small_dicom(number, frames=frames, colour=colour, regions=regions)
                path = folder / f"dicom-{number:02d}-{UID(syntax).name.replace(' ', '-')[:20]}"
                _in_syntax(data, syntax)
                data.save_as(path, enforce_file_format=True)
    own = Path(pydicom.__file__).parent / "data" / "test_files"
    for path in sorted(own.glob("*.dcm")):
        if path.stat().st_size <= MAX_SEED:
            (folder / f"dicom-pydicom-{path.stem}").write_bytes(path.read_bytes())


def _in_syntax(data: Dataset, syntax: UID) -> None:
    """Bring an uncompressed data set into a transfer syntax."""
    if syntax in _BY_PILLOW:
        kind, options = _BY_PILLOW[syntax]
        pictures = data.pixel_array if data.get("NumberOfFrames") else data.pixel_array[None]
        frames = []
        for one in pictures:
            buffer = io.BytesIO()
            Image.fromarray(one).save(buffer, kind, **options)
            frames.append(buffer.getvalue())
        data.PixelData = encapsulate(frames)
        data["PixelData"].is_undefined_length = True
    elif syntax in (RLELossless, JPEGLSLossless):
        data.compress(syntax, generate_instance_uid=False)
    elif syntax in (ExplicitVRBigEndian, ImplicitVRLittleEndian):
        data["PixelData"].VR = "OW"
    data.file_meta.TransferSyntaxUID = syntax


def _phantoms(folder: Path) -> None:
    renderers = (Renderer.RANDOM, Renderer.PHYSICAL)
    for number, renderer in enumerate(renderers):
        write_dicom(make_phantom((7, number), renderer=renderer), folder / f"phantom-{renderer}")
    write_dicom(make_phantom((7, 9), frames=3), folder / "phantom-cine")
    for number, situation in enumerate(Situation):
        path = folder / f"phantom-{situation}"
        write_dicom(make_unmeasurable((7, number), situation, Renderer.RANDOM), path)


def _stills(folder: Path) -> None:
    grey = Image.fromarray(picture(1))
    for kind in ("PNG", "JPEG", "TIFF"):
        grey.save(folder / f"still-{kind}-grey", kind)
        grey.convert("RGB").save(folder / f"still-{kind}-colour", kind)
    grey.convert("P").save(folder / "still-PNG-palette", "PNG")
    pages = [Image.fromarray(picture(seed)) for seed in (2, 3)]
    pages[0].save(folder / "still-TIFF-pages", "TIFF", save_all=True, append_images=pages[1:])
    grey.save(folder / "still-TIFF-lzw", "TIFF", compression="tiff_lzw")
    label = Image.fromarray((picture(1) > 200).astype(np.uint8))
    label.save(folder / "mask-grey", "PNG")
    label.save(folder / "mask-tiff", "TIFF")


def _archives(folder: Path) -> None:
    buffer = io.BytesIO()
    small_dicom(1).save_as(buffer, enforce_file_format=True)
    members: dict[str, Callable[[], bytes]] = {
        "a/clip.dcm": buffer.getvalue,
        "b.png": (folder / "still-PNG-grey").read_bytes,
        "../../c.dcm": buffer.getvalue,
        "line\nbreak\u202e.dcm": buffer.getvalue,
    }
    for name, method in (("deflated", zipfile.ZIP_DEFLATED), ("stored", zipfile.ZIP_STORED)):
        with zipfile.ZipFile(folder / f"zip-{name}", "w", method) as archive:
            for member, content in members.items():
                archive.writestr(member, content())
    medium = FileSet()
    for number in (1, 2):
        medium.add(small_dicom(number))
    medium.write(folder / "medium")
    (folder / "dicomdir-two").write_bytes((folder / "medium" / "DICOMDIR").read_bytes())


def _annotations(folder: Path) -> None:
    corners = [[20.0, 30.0], [70.0, 30.0], [70.0, 45.0], [20.0, 45.0]]
    flat = [value for corner in corners for value in corner]
    coco = {
        "images": [{"id": 1, "file_name": "a.png", "height": ROWS, "width": COLUMNS}],
        "categories": [{"id": 3, "name": "endometrium"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 3, "segmentation": [flat]},
            {
                "id": 2,
                "image_id": 1,
                "category_id": 3,
                "segmentation": {
                    "size": [ROWS, COLUMNS],
                    "counts": [500, 40, ROWS * COLUMNS - 540],
                },
            },
        ],
    }
    labelme = {
        "version": "5.5.0",
        "imagePath": "a.png",
        "imageData": None,
        "imageHeight": ROWS,
        "imageWidth": COLUMNS,
        "shapes": [{"label": "endometrium", "shape_type": "polygon", "points": corners}],
    }
    dataset = {
        "training": [
            {
                "image": "a.png",
                "patient": "p",
                "spacing": [0.5, 0.5],
                "outline": corners,
                "frame": 1,
            }
        ]
    }
    points = ";".join(f"{x},{y}" for x, y in corners)
    cvat = (
        '<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>'
        f'<image id="0" name="a.png" width="{COLUMNS}" height="{ROWS}">'
        f'<polygon label="endometrium" occluded="0" points="{points}"/>'
        '<mask label="endometrium" rle="0, 3, 1" left="2" top="2" width="4" height="1"/>'
        "</image></annotations>"
    )
    for name, content in (("coco", coco), ("labelme", labelme), ("dataset", dataset)):
        (folder / f"{name}-one").write_text(json.dumps(content), encoding="utf-8")
    (folder / "cvat-one").write_text(cvat, encoding="utf-8")
    write_label(make_phantom((7, 1)), folder / "x.nrrd")
    (folder / "x.nrrd").rename(folder / "nrrd-one")
