"""Where pixels lie in space: grids of volumes and of pictures, read as Slicer and ITK-SNAP do."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from data.importers.pictures import Picture
from imaging.calibration import Calibration, user_calibration
from imaging.image_format import MAX_FRAME_PIXELS

Float = NDArray[np.float64]

# Spacings that agree to this share are one.
_SAME = 1e-3
# Dots per inch that drawing programs write: ITK makes them spacings, of a screen or of paper.
PRINTED_DPI = (72, 96, 100, 120, 150, 200, 300, 600)
_PRINTED_MM = 25.4 / np.array(PRINTED_DPI)
_MAX_VOXELS = 40 * MAX_FRAME_PIXELS


class VolumeError(Exception):
    """A volume cannot be used; the message says what was found and what to do."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Voxels in space: `shape` is (slices, rows, columns); the centre of index (0, 0, 0) lies at
    `origin` in mm (LPS), and `steps` float64 (3, 3) holds the way in mm to the next slice, row and
    column, in its rows."""

    shape: tuple[int, int, int]
    origin: Float
    steps: Float

    @property
    def spacing_mm(self) -> tuple[float, float]:
        """(row, column)."""
        row, column = np.linalg.norm(self.steps[1:], axis=1)
        return float(row), float(column)

    def points(self, index: NDArray[np.integer] | Float) -> Float:
        """Return the places of indices, (n, 3) in mm."""
        return self.origin + np.asarray(index, float) @ self.steps

    def index_of(self, points: Float) -> Float:
        """Return the indices of places, (n, 3), fractions between the centres."""
        found: Float = (points - self.origin) @ np.linalg.inv(self.steps)
        return found

    def resample(self, labels: NDArray[np.integer], theirs: "Grid") -> NDArray[np.integer]:
        """Return for each voxel of this grid the label of the nearest of theirs, 0 beside it.

        `labels` has the shape of `theirs`.
        """
        # index in theirs = offset + matrix @ index in ours; both grids are affine in space
        matrix = (self.steps @ np.linalg.inv(theirs.steps)).T
        offset = theirs.index_of(self.origin[np.newaxis])[0]
        found: NDArray[np.integer] = ndimage.affine_transform(
            labels, matrix, offset, self.shape, order=0, mode="grid-constant", cval=0
        )
        return found


@dataclass(frozen=True, eq=False)
class Volume:
    """A volume as it was read: values (slices, rows, columns), with a last axis of components if
    `components`; `said` are the fields of its header."""

    values: NDArray[np.generic]
    grid: Grid
    components: bool
    said: dict[str, str] = field(default_factory=dict)


def read_volume(path: Path) -> Volume:
    """Read NRRD, NIfTI or MetaImage of two or three dimensions. Raises VolumeError."""
    import SimpleITK as sitk  # noqa: N813 - what its own documentation calls it

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        size = reader.GetSize()
        if not 2 <= len(size) <= 3 or np.prod(size, dtype=float) > _MAX_VOXELS:
            raise VolumeError(f"it has the size {size}; pictures or stacks of pictures are read.")
        image = reader.Execute()
        values: NDArray[np.generic] = sitk.GetArrayFromImage(image)
        said = {key: str(image.GetMetaData(key)) for key in image.GetMetaDataKeys()}
    except (TypeError, UnicodeError):
        raise VolumeError("its header holds bytes that are no text: it is damaged.") from None
    except RuntimeError as error:
        raise VolumeError(f"it cannot be read: {str(error).strip().splitlines()[-1]}") from None
    grid = _grid(size, image.GetOrigin(), image.GetSpacing(), image.GetDirection())
    components = image.GetNumberOfComponentsPerPixel() > 1
    return Volume(values if len(size) == 3 else values[np.newaxis], grid, components, said)


def grid_of_volume(path: Path) -> tuple[Grid, NDArray[np.uint8]]:
    """Return grid and pixels of a picture kept as a volume: uint8 (slices, rows, columns), or with
    a last axis of three colours. Raises VolumeError for levels beyond 0 to 255: nobody says which
    of them are black and white.
    """
    volume = read_volume(path)
    values = volume.values
    if volume.components and values.shape[-1] not in (3, 4):
        raise VolumeError(f"the picture {path.name} has {values.shape[-1]} components.")
    if volume.components:
        values = values[..., :3]
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 255 and np.array_equal(np.rint(values), values)):
        raise VolumeError(
            f"the picture {path.name} has levels from {low:g} to {high:g}. Save it with whole "
            "levels from 0 to 255."
        )
    return volume.grid, values.astype(np.uint8)


def scale_of(grid: Grid) -> tuple[float, float] | None:
    """Return mm per pixel (row, column) that a grid states of tissue.

    None for 1.0, which ITK gives to pictures without a scale (DICOM ultrasound among them), and
    for the dots per inch of a picture that was once JPEG, PNG or TIFF. Raises VolumeError for what
    no ultrasound has.
    """
    spacing = grid.spacing_mm
    if np.allclose(spacing, 1.0, rtol=_SAME) or printed(spacing):
        return None
    scale = user_calibration(*spacing)
    if not isinstance(scale, Calibration):
        raise VolumeError(f"its picture cannot be scaled so: {scale.message}")
    return spacing


def printed(spacing: tuple[float, float]) -> bool:
    """Tell whether a spacing is that of a screen or of paper."""
    near = np.isclose(np.array(spacing)[:, np.newaxis], _PRINTED_MM, rtol=_SAME / 10)
    return bool(near.any(1).all())


def grid_of_picture(path: Path, picture: Picture, drawn: Grid) -> Grid:
    """Return where a DICOM file, PNG, JPEG or TIFF lies, as ITK, Slicer and ITK-SNAP read it.

    These seldom know their place: where the drawing has another spacing, but the picture's own
    size and axes, it lies on the picture pixel by pixel. Raises VolumeError where neither holds.
    """
    shape = (picture.frames, picture.rows, picture.columns)
    grid = _as_itk_reads(path, shape)
    if np.allclose(grid.spacing_mm, drawn.spacing_mm, rtol=_SAME):
        return grid
    along = drawn.steps[:, ::-1]  # columns along x, rows along y, slices along z
    upright = np.allclose(along, np.diag(np.diag(along))) and (np.diag(along)[1:] > 0).all()
    if drawn.shape == shape and upright:
        return Grid(shape, drawn.origin, drawn.steps)
    raise VolumeError(
        f"it was drawn at {_mm(drawn)} mm per pixel, {picture.name} is read as {_mm(grid)}, and "
        f"sizes differ ({drawn.shape[1]} x {drawn.shape[2]} and {shape[1]} x {shape[2]}), so "
        "nobody knows where it belongs. Save the picture from the program that drew, as NRRD, and "
        "put it in the place of this one."
    )


def _as_itk_reads(path: Path, shape: tuple[int, int, int]) -> Grid:
    import SimpleITK as sitk  # noqa: N813

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    plain = Grid(shape, np.zeros(3), np.eye(3)[::-1])
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return plain  # what ITK cannot read, nobody drew on with its geometry
    size = reader.GetSize()
    if not 2 <= len(size) <= 3 or size[1::-1] != shape[1:]:
        return plain
    grid = _grid(size, reader.GetOrigin(), reader.GetSpacing(), reader.GetDirection())
    return Grid(shape, grid.origin, grid.steps)


def _grid(
    size: tuple[int, ...],
    origin: tuple[float, ...],
    spacing: tuple[float, ...],
    direction: tuple[float, ...],
) -> Grid:
    """Return a grid from ITK's words, which are in the order column, row, slice."""
    n = len(size)
    turned = np.eye(3)
    turned[:n, :n] = np.array(direction).reshape(n, n)
    widths = np.ones(3)
    widths[:n] = spacing
    steps = (turned * widths).T[::-1]  # a row for each axis, slices first
    place = np.zeros(3)
    place[:n] = origin
    if not np.isfinite(steps).all() or abs(np.linalg.det(steps)) < 1e-12:
        raise VolumeError("its axes do not span space: the header is damaged.")
    shape = (*(size[::-1] if n == 3 else (1, *size[::-1])),)
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), place, steps)


def _mm(grid: Grid) -> str:
    return " x ".join(f"{mm:.4g}" for mm in grid.spacing_mm)
