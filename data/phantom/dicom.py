"""Phantoms as DICOM files: test objects with a known thickness, furniture and a calibration."""

import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from data.phantom.anatomy import Scene, Sector
from data.phantom.freehand import Pose, wander
from data.phantom.physical import render_physical
from data.phantom.render import Picture, Raster, render
from data.phantom.testscenes import legible, legible_scene, moved, physical_scene

IMAGE = "1.2.840.10008.5.1.4.1.1.6.1"
MULTIFRAME = "1.2.840.10008.5.1.4.1.1.3.1"
FRAME_SHAPE = (600, 800)
# The fan's picture within the frame; outside lie header, grey bar and ruler.
BOX_TOP, BOX_HEIGHT, BOX_LEFT, BOX_WIDTH = 60, 510, 70, 640
# How far the uterus of a cine moves to either side.
SWEEP_MM = 3.0


class Renderer(StrEnum):
    """How a phantom's picture is made."""

    RANDOM = "random"  # renderer 1, which the network learns from
    PHYSICAL = "physical"  # renderer 2, simulated sound
    SIMUS = "simus"  # the slow road of renderer 2, by the package pymust


@dataclass(frozen=True)
class Panel:
    """A part of the screen: box (row_0, column_0, row_1, column_1), inclusive, its
    RegionSpatialFormat and RegionDataType (PS3.3 C.8.5.5.1), and whether it is measured in cm.
    """

    box: tuple[int, int, int, int]
    spatial_format: int = 1
    data_type: int = 1
    in_cm: bool = True


@dataclass(frozen=True)
class Phantom:
    """A clip of one scene: frames uint8 (n, rows, columns) and mm per pixel of both axes.

    Colour frames are RGB, (n, rows, columns, 3). `label` uint8 (rows, columns) is the truth of the
    first frame: 0 background, 1 endometrium, 2 fluid. `situation` says what else than its scene a
    clip shows, if it does. `regions` are those of its header: None the fan's, none a PixelSpacing.
    """

    scene: Scene
    frames: NDArray[np.uint8]
    mm_per_px: float
    label: NDArray[np.uint8] | None = None
    renderer: Renderer = Renderer.RANDOM
    situation: str | None = None
    regions: "tuple[Panel, ...] | None" = None


def make_phantom(
    key: Sequence[int],
    thickness_mm: float | None = None,
    frames: int = 1,
    renderer: str = Renderer.RANDOM,
    visible: bool = True,
    freehand: bool = False,
) -> Phantom:
    """Draw a phantom: the same arguments give the same pixels.

    `key` are whole numbers that name it, such as (seed, number); `thickness_mm` None draws the
    thickness. In a cine the uterus moves by some millimetres; the thickness stays. Randomised
    pictures are drawn again until they are legible, physical ones are taken as they come.
    Without `visible` the clip shows no endometrium. `freehand`, of physical pictures, also lets
    obliquity and contact change from frame to frame (data.phantom.freehand). Raises ValueError for
    an unknown renderer, or one that cannot do what is asked, and ImportError for the slow one
    without its package.
    """
    how = Renderer(renderer)
    if freehand and how is not Renderer.PHYSICAL:
        raise ValueError(f"only physical phantoms are held by a free hand, not {how} ones")
    rng = np.random.default_rng([*key])
    sweep_mm = SWEEP_MM if frames > 1 else 0.0
    while True:
        if how is Renderer.RANDOM and visible:
            scene = legible_scene(rng, thickness_mm, sweep_mm)
        else:
            scene = physical_scene(rng, thickness_mm, sweep_mm, visible)
        raster = raster_of(scene.sector)
        look = int(rng.integers(2**31))
        poses = wander(rng, frames) if freehand else _sweep(frames, sweep_mm)
        picture = picture_of(scene, raster, look, how, pose=poses[0])
        if how is not Renderer.RANDOM or not visible or legible(scene, picture):
            break
    label = _label(picture)
    pictures = np.empty((frames, *FRAME_SHAPE), np.uint8)
    for i in range(frames):
        if i > 0:
            there = moved(scene, poses[i].shift_mm, poses[i].turn)
            picture = picture_of(there, raster, look, how, i, poses[i])
        pictures[i] = furnish(picture.luma, scene.sector, raster)
    return Phantom(scene, pictures, raster.spacing_mm[0], label, how)


def _sweep(frames: int, sweep_mm: float) -> list[Pose]:
    """Return poses of an even sweep to either side, and nothing else that changes."""
    ways = [sweep_mm * math.sin(2 * math.pi * i / 24) for i in range(frames)]
    return [Pose((0.0, way)) for way in ways]


def picture_of(
    scene: Scene,
    raster: Raster,
    look: int,
    renderer: Renderer,
    frame: int = 0,
    pose: Pose | None = None,
) -> Picture:
    """Render a scene; `look` is the seed of everything that is drawn on the way.

    `pose` is how the probe is held in this frame; only physical pictures show it.
    """
    rng = np.random.default_rng(look)
    if renderer is Renderer.RANDOM:
        return render(scene, raster, rng, marked=0.0, ragged_mm=0.0, wild=0.0)
    if renderer is Renderer.PHYSICAL:
        return render_physical(scene, raster, rng, frame=frame, pose=pose)
    from data.phantom.simus import render_simus

    return render_simus(scene, raster, rng, frame=frame)


def _label(picture: Picture) -> NDArray[np.uint8]:
    """Return the truth in frame pixels: a pixel belongs to what fills half of it or more."""
    band, fluid = picture.labels[1], picture.labels[2]
    label = np.zeros(FRAME_SHAPE, np.uint8)
    box = label[BOX_TOP : BOX_TOP + BOX_HEIGHT, BOX_LEFT : BOX_LEFT + BOX_WIDTH]
    box[band + fluid >= 0.5] = 1
    box[(fluid >= band) & (band + fluid >= 0.5)] = 2
    return label


def raster_of(sector: Sector, shape: tuple[int, int] = (BOX_HEIGHT, BOX_WIDTH)) -> Raster:
    """Fit the fan into a box of `shape` (rows, columns), one scale for both axes."""
    height, width = shape
    top = sector.radius_mm * (math.cos(sector.half_angle) - 1)
    reach = (sector.radius_mm + sector.depth_mm) * math.sin(min(sector.half_angle, math.pi / 2))
    step = max((sector.depth_mm - top) / (height - 4), 2 * reach / (width - 4))
    return Raster(shape, (step, step), (top - 2 * step, -step * (width - 1) / 2))


def furnish(luma: NDArray[np.uint8], sector: Sector, raster: Raster) -> NDArray[np.uint8]:
    """Put the fan on a screen with header, grey bar and depth ruler (5 mm ticks)."""
    screen = Image.new("L", (FRAME_SHAPE[1], FRAME_SHAPE[0]))
    screen.paste(Image.fromarray(luma), (BOX_LEFT, BOX_TOP))
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


def write_dicom(phantom: Phantom, path: Path, header: Mapping[str, str] | None = None) -> None:
    """Write a phantom: stills uncompressed, cines as JPEG baseline; UIDs follow from the pixels.

    `header` is what the file says otherwise, by keyword, such as {"PatientID": "W07"}.
    """
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
    for keyword, value in (header or {}).items():
        setattr(ds, keyword, value)
    ds.Rows, ds.Columns = FRAME_SHAPE
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    fan = Panel((BOX_TOP, BOX_LEFT, BOX_TOP + BOX_HEIGHT - 1, BOX_LEFT + BOX_WIDTH - 1))
    panels = (fan,) if phantom.regions is None else phantom.regions
    if panels:
        ds.SequenceOfUltrasoundRegions = [_region(panel, phantom.mm_per_px) for panel in panels]
    else:
        ds.PixelSpacing = [f"{phantom.mm_per_px:.6f}"] * 2
    ds.file_meta = FileMetaDataset()
    if many:
        ds.NumberOfFrames, ds.FrameTime = len(phantom.frames), 40
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 3, "YBR_FULL_422"
        ds.PlanarConfiguration = 0
        ds.LossyImageCompression = "01"
        ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        ds.PixelData = encapsulate([_jpeg(frame) for frame in phantom.frames])
    else:
        colour = phantom.frames.ndim == 4
        ds.SamplesPerPixel = 3 if colour else 1
        ds.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
        if colour:
            ds.PlanarConfiguration = 0
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.PixelData = phantom.frames[0].tobytes()
    ds["PixelData"].VR = "OB"
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.save_as(path, enforce_file_format=True)


def write_label(phantom: Phantom, path: Path) -> None:
    """Write the truth of the first frame as an image with its mm per pixel (NRRD, NIfTI, MHA)."""
    import SimpleITK as sitk  # noqa: N813 - what its own documentation calls it

    if phantom.label is None:
        raise ValueError("this phantom has no label")
    image = sitk.GetImageFromArray(phantom.label)
    image.SetSpacing((phantom.mm_per_px, phantom.mm_per_px))
    sitk.WriteImage(image, str(path), useCompression=True)


def _region(panel: Panel, mm_per_px: float) -> "object":
    from pydicom.dataset import Dataset

    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType = panel.spatial_format, panel.data_type
    item.RegionFlags = 2
    item.RegionLocationMinY0, item.RegionLocationMinX0 = panel.box[:2]
    item.RegionLocationMaxY1, item.RegionLocationMaxX1 = panel.box[2:]
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3 if panel.in_cm else 0
    item.PhysicalDeltaX = item.PhysicalDeltaY = mm_per_px / 10 if panel.in_cm else 1.0
    return item


def _jpeg(frame: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).convert("RGB").save(buffer, "JPEG", quality=92, subsampling="4:2:2")
    return buffer.getvalue()
