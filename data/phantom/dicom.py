"""Phantoms as DICOM files: test objects with a known thickness, furniture and a calibration."""

import hashlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from data.phantom.anatomy import Pattern, Rng, Scene, Sector
from data.phantom.render import Picture, Raster, render
from data.phantom.sampling import sample_scene

IMAGE = "1.2.840.10008.5.1.4.1.1.6.1"
MULTIFRAME = "1.2.840.10008.5.1.4.1.1.3.1"
FRAME_SHAPE = (600, 800)
# The fan's picture within the frame; outside lie header, grey bar and ruler.
BOX_TOP, BOX_HEIGHT, BOX_LEFT, BOX_WIDTH = 60, 510, 70, 640
# A test object must show what it is about: difference of the mean grey levels of band and
# surroundings over the spread of the surroundings. Real ones have 0.4 to 2.4, half of them 1.5;
# where layers and lines carry the pattern the means may be closer.
MIN_CONTRAST = 1.2
MIN_CONTRAST_LAYERED = 0.6
# How far the uterus of a cine moves to either side.
SWEEP_MM = 3.0


@dataclass(frozen=True)
class Phantom:
    """A clip of one scene: frames uint8 (n, rows, columns) and mm per pixel of both axes."""

    scene: Scene
    frames: NDArray[np.uint8]
    mm_per_px: float


def make_phantom(key: Sequence[int], thickness_mm: float | None = None, frames: int = 1) -> Phantom:
    """Draw a legible phantom: the same arguments give the same pixels.

    `key` are whole numbers that name it, such as (seed, number); `thickness_mm` None draws the
    thickness. In a cine the uterus moves by some millimetres; the thickness stays.
    """
    rng = np.random.default_rng([*key])
    sweep_mm = SWEEP_MM if frames > 1 else 0.0
    while True:
        scene = _test_scene(rng, thickness_mm, sweep_mm)
        raster = raster_of(scene.sector)
        look = int(rng.integers(2**31))
        picture = _render(scene, raster, look)
        if _legible(scene, picture):
            break
    pictures = np.empty((frames, *FRAME_SHAPE), np.uint8)
    for i in range(frames):
        if i > 0:
            shift = sweep_mm * math.sin(2 * math.pi * i / 24)
            picture = _render(_moved(scene, shift), raster, look)
        pictures[i] = _furnish(picture, scene.sector, raster)
    return Phantom(scene, pictures, raster.spacing_mm[0])


def _render(scene: Scene, raster: Raster, look: int) -> Picture:
    rng = np.random.default_rng(look)
    return render(scene, raster, rng, marked=0.0, ragged_mm=0.0, wild=0.0)


def _test_scene(rng: Rng, thickness_mm: float | None, sweep_mm: float) -> Scene:
    """Draw a scene as an endocavity preset shows it: the whole endometrium lies within the fan,
    also when it moves sideways by `sweep_mm`.
    """
    while True:
        scene = sample_scene(rng, visible=1.0, thickness_mm=thickness_mm)
        radius, half_angle = rng.uniform(10, 13), math.radians(rng.uniform(55, 72))
        scene = replace(scene, sector=Sector(radius, half_angle, rng.uniform(50, 75)))
        band = scene.endometrium
        if band is None or scene.pattern is Pattern.ISOECHOIC:
            continue
        margin = 0.5 * band.thickness_mm + band.fluid_mm / 2 + 2
        ends = [
            band.frame.point(s, d)
            for s in (-band.length_mm / 2, 0.0, band.length_mm / 2)
            for d in (-margin, margin)
        ]
        depth, lateral = (np.tile(axis, 2) for axis in zip(*ends, strict=True))
        lateral = lateral + np.repeat([-sweep_mm, sweep_mm], len(ends))
        distance, angle = scene.sector.polar(depth, lateral)
        if (
            distance.min() > 4
            and distance.max() < scene.sector.depth_mm - 3
            and np.abs(angle).max() < scene.sector.half_angle - 0.08
        ):
            return scene


def _legible(scene: Scene, picture: Picture) -> bool:
    """Tell whether band and surroundings differ enough, and are neither black nor white."""
    from scipy import ndimage

    band = picture.labels[1] > 0.5
    ring = ndimage.binary_dilation(band, iterations=20) & (picture.labels[3] > 0.5)
    if not band.any() or not ring.any():
        return False
    inside, around = float(picture.luma[band].mean()), float(picture.luma[ring].mean())
    contrast = abs(inside - around) / max(float(picture.luma[ring].std()), 1.0)
    layered = scene.pattern in (Pattern.THREE_LAYER, Pattern.LINE_IN_BAND)
    wanted = MIN_CONTRAST_LAYERED if layered else MIN_CONTRAST
    return contrast >= wanted and 25 < around < 150 and 25 < inside < 235


def _moved(scene: Scene, shift_mm: float) -> Scene:
    """Shift uterus and endometrium sideways, as a small sweep of the probe does."""
    if scene.uterus is None or scene.endometrium is None:
        return scene

    def at(centre: tuple[float, float]) -> tuple[float, float]:
        return centre[0], centre[1] + shift_mm

    uterus = replace(
        scene.uterus, frame=replace(scene.uterus.frame, centre=at(scene.uterus.frame.centre))
    )
    band = scene.endometrium
    band = replace(band, frame=replace(band.frame, centre=at(band.frame.centre)))
    return replace(scene, uterus=uterus, endometrium=band)


def raster_of(sector: Sector) -> Raster:
    """Fit the fan into the box, one scale for both axes."""
    top = sector.radius_mm * (math.cos(sector.half_angle) - 1)
    reach = (sector.radius_mm + sector.depth_mm) * math.sin(min(sector.half_angle, math.pi / 2))
    step = max((sector.depth_mm - top) / (BOX_HEIGHT - 4), 2 * reach / (BOX_WIDTH - 4))
    return Raster(
        (BOX_HEIGHT, BOX_WIDTH), (step, step), (top - 2 * step, -step * (BOX_WIDTH - 1) / 2)
    )


def _furnish(picture: Picture, sector: Sector, raster: Raster) -> NDArray[np.uint8]:
    """Put the fan on a screen with header, grey bar and depth ruler (5 mm ticks)."""
    screen = Image.new("L", (FRAME_SHAPE[1], FRAME_SHAPE[0]))
    screen.paste(Image.fromarray(picture.luma), (BOX_LEFT, BOX_TOP))
    draw = ImageDraw.Draw(screen)
    font = ImageFont.load_default(size=15)
    draw.text((16, 10), "ENDOMETER PHANTOM", fill=210, font=font)
    draw.text((16, 32), f"Depth {sector.depth_mm / 10:.1f} cm   simulated", fill=160, font=font)
    for i in range(128):
        draw.line([(20, 340 - i), (34, 340 - i)], fill=2 * i)
    step = raster.spacing_mm[0]
    zero = BOX_TOP - raster.origin_mm[0] / step
    for tick in range(int(sector.depth_mm // 5) + 1):
        row = zero + 5 * tick / step
        length = 12 if tick % 2 == 0 else 6
        draw.line([(772 - length, row), (772, row)], fill=200)
        if tick % 2 == 0:
            draw.text((776, row - 8), str(tick // 2), fill=200, font=font)
    return np.asarray(screen)


def write_dicom(phantom: Phantom, path: Path) -> None:
    """Write a phantom: stills uncompressed, cines as JPEG baseline; UIDs follow from the pixels."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid

    digest = hashlib.sha256(phantom.frames.tobytes()).hexdigest()

    def uid(what: str) -> str:
        return generate_uid(entropy_srcs=["endometer phantom", digest, what])

    many = len(phantom.frames) > 1
    ds = Dataset()
    ds.SOPClassUID = MULTIFRAME if many else IMAGE
    ds.SOPInstanceUID, ds.SeriesInstanceUID, ds.StudyInstanceUID = map(
        uid, ("instance", "series", "study")
    )
    ds.PatientName, ds.PatientID = "PHANTOM^ENDOMETER", f"PHANTOM-{digest[:8]}"
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "US", "endometer", "phantom"
    ds.StudyDate = ds.ContentDate = "20260101"
    ds.StudyTime = ds.ContentTime = "120000"
    ds.ImageType = ["DERIVED", "PRIMARY"]  # PS3.3 C.8.5.6.1.1: nothing was acquired
    ds.Rows, ds.Columns = FRAME_SHAPE
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    ds.SequenceOfUltrasoundRegions = [_region(phantom.mm_per_px)]
    ds.file_meta = FileMetaDataset()
    if many:
        ds.NumberOfFrames, ds.FrameTime = len(phantom.frames), 40
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 3, "YBR_FULL_422"
        ds.PlanarConfiguration = 0
        ds.LossyImageCompression = "01"
        ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        ds.PixelData = encapsulate([_jpeg(frame) for frame in phantom.frames])
    else:
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.PixelData = phantom.frames[0].tobytes()
    ds["PixelData"].VR = "OB"
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.save_as(path, enforce_file_format=True)


def _region(mm_per_px: float) -> "object":
    from pydicom.dataset import Dataset

    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = 1, 1, 2
    item.RegionLocationMinX0, item.RegionLocationMinY0 = BOX_LEFT, BOX_TOP
    item.RegionLocationMaxX1 = BOX_LEFT + BOX_WIDTH - 1
    item.RegionLocationMaxY1 = BOX_TOP + BOX_HEIGHT - 1
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX = item.PhysicalDeltaY = mm_per_px / 10
    return item


def _jpeg(frame: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).convert("RGB").save(buffer, "JPEG", quality=92, subsampling="4:2:2")
    return buffer.getvalue()
