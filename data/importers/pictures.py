"""The pictures that annotations belong to: found by name, opened once, copied or made into PNG."""

import hashlib
import io
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from data.found import is_hidden
from imaging.calibration import calibrate
from imaging.clip import Clip, ClipError
from imaging.reasons import Reason, Refusal
from imaging.source import Source

# Kept as they are, and made into PNG. All else is no picture.
STILLS = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff"})
CONVERTED = frozenset({".bmp", ".gif", ".webp"})
VOLUMES = (".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd")
DICOM = frozenset({".dcm", ".dicom", ".ima"})
_ORIENTATION = 0x0112
_MAGIC = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg"}


class PictureError(Exception):
    """A picture cannot be found or used; the message says why and what to do."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture to import: the file itself, or its content as it will be written.

    `name` is what the user knows it by, `suffix` that of the file that is written. `calibrated`:
    the file carries a scale of its own, or one that was refused as wrong; `spacing_mm` (row,
    column) is one that the file as written no longer carries. `patient` is PatientID.
    """

    name: str
    rows: int
    columns: int
    frames: int
    suffix: str
    source: Source | None = None
    content: bytes | None = field(default=None, repr=False)
    calibrated: bool = False
    spacing_mm: tuple[float, float] | None = None
    patient: str | None = field(default=None, repr=False)

    def digest(self) -> str:
        """Return 16 hexadecimal digits that name the content and say nothing about it.

        Raises PictureError.
        """
        if self.content is not None:
            return hashlib.sha256(self.content).hexdigest()[:16]
        try:
            return self._file().sha256()[:16]
        except ClipError as error:
            raise PictureError(f"{self.name}: {error}") from None

    def write(self, path: Path) -> None:
        """Write the content to a new file, piece by piece. Raises PictureError and OSError."""
        if self.content is not None:
            path.write_bytes(self.content)
            return
        try:
            with self._file().open() as file, path.open("wb") as copy:
                shutil.copyfileobj(file, copy, 2**20)
        except ClipError as error:
            raise PictureError(f"{self.name}: {error}") from None

    def _file(self) -> Source:
        if self.source is None:
            raise PictureError(f"{self.name} has no content.")
        return self.source


class Library:
    """The pictures of a folder, by name.

    `files` are all its files in order, relative to nothing; hidden ones are left out. Opened
    pictures are kept, so that every frame of a cine shares one.
    """

    def __init__(self, root: Path, *, files: Iterable[Path] | None = None) -> None:
        """List a folder, or take `files` of it."""
        self.root = root
        self.files = tuple(walk(root) if files is None else files)
        self._by_folder: dict[Path, list[Path]] = {}
        self._by_name: dict[str, list[Path]] = {}
        self._by_stem: dict[str, list[Path]] = {}
        for path in self.files:
            if is_picture(path):
                self._by_folder.setdefault(path.parent, []).append(path)
                self._by_name.setdefault(path.name.casefold(), []).append(path)
                self._by_stem.setdefault(stem_of(path).casefold(), []).append(path)
        self._opened: dict[Source, Picture | PictureError] = {}
        self.used: set[Path] = set()

    def find(self, name: str) -> Path:
        """Return the file that an annotation calls `name`, whatever folder it stood in there.

        Of several with that name the one whose folders agree, too. One with another suffix is
        taken if there is no other, so that what was drawn on a PNG of a DICOM file finds it.
        Raises PictureError.
        """
        wanted = PurePosixPath(name.replace("\\", "/"))
        found = self._by_name.get(wanted.name.casefold(), [])
        if not found:
            found = self._by_stem.get(stem_of(wanted).casefold(), [])
        if len(found) > 1:
            agreement = [_agree(path, wanted) for path in found]
            found = [p for p, n in zip(found, agreement, strict=True) if n == max(agreement)]
        if not found:
            raise PictureError(
                f"there is no picture {wanted.name!r} below {self.root}. Name the folder of the "
                "pictures: --images FOLDER."
            )
        if len(found) > 1:
            raise PictureError(
                f"{len(found)} pictures could be {name!r}: "
                f"{', '.join(str(path.relative_to(self.root)) for path in found[:3])}. Name the "
                "folder that holds the right one: --images FOLDER."
            )
        return found[0]

    def in_folder(self, folder: Path) -> list[Path]:
        """Return the pictures, volumes included, that lie in one folder."""
        return self._by_folder.get(folder, [])

    def open(self, path: Path | Source) -> Picture:
        """Open a picture, once. Raises PictureError."""
        source = path if isinstance(path, Source) else Source(path)
        if source not in self._opened:
            try:
                self._opened[source] = open_picture(source, self.name(source))
            except PictureError as error:
                self._opened[source] = error
        self.used.add(source.path)
        found = self._opened[source]
        if isinstance(found, PictureError):
            raise found
        return found

    def name(self, source: Source | Path) -> str:
        """Return the name of a file as messages have it: relative to the folder, if it is there."""
        path = source.path if isinstance(source, Source) else source
        member = source.member if isinstance(source, Source) else None
        shown = path.relative_to(self.root) if path.is_relative_to(self.root) else path
        return shown.as_posix() if member is None else f"{shown.as_posix()}/{member}"

    def unused(self, leave_out: Iterable[Path]) -> list[Path]:
        """Return the pictures that nothing has asked for, without volumes."""
        gone = self.used | set(leave_out)
        return [p for p in self.files if is_picture(p) and not is_volume(p) and p not in gone]


def walk(root: Path) -> list[Path]:
    """Return all files below a folder that are not hidden, sorted; a file is its own list."""
    if not root.is_dir():
        return [root]
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        found += [Path(folder) / name for name in sorted(files) if not is_hidden(name)]
    return found


def is_volume(path: Path) -> bool:
    """Tell from its name whether a file is NRRD, NIfTI or MetaImage."""
    return path.name.lower().endswith(VOLUMES)


def is_picture(path: Path) -> bool:
    """Tell from its name, or without a suffix from its first bytes, whether a file is a picture."""
    suffix = path.suffix.lower()
    if suffix in STILLS | CONVERTED | DICOM or is_volume(path):
        return True
    if suffix and not suffix[1:].isdigit():  # 1.2.840.113 has a suffix, of a kind
        return False
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def stem_of(path: Path | PurePosixPath) -> str:
    """Return the name without its suffix; `.nii.gz` and `.seg.nrrd` are one."""
    lower = path.name.lower()
    for suffix in (".nii.gz", ".seg.nrrd", ".label.nrrd"):
        if lower.endswith(suffix):
            return path.name[: -len(suffix)]
    known = STILLS | CONVERTED | DICOM | frozenset(VOLUMES) | {".json", ".xml"}
    return path.stem if path.suffix.lower() in known else path.name


def open_picture(source: Source, name: str) -> Picture:
    """Open a DICOM file or a still, or convert one of another kind. Raises PictureError."""
    if source.path.suffix.lower() in CONVERTED and source.member is None:
        return _converted(source.path, name)
    try:
        with Clip.open(source) as clip:
            shape, frames, header = (clip.rows, clip.columns), clip.frames, clip.header
            patient = clip.identity.patient_id
    except ClipError as error:
        raise PictureError(f"{name}: {error}") from None
    if header is None:
        if frames == 1:
            _refuse_turned(source, name)
        suffix = PurePosixPath(source.name).suffix.lower()
        return Picture(name, *shape, frames, suffix if suffix in STILLS else ".png", source)
    scale = calibrate(header, shape)
    none = isinstance(scale, Refusal) and scale.reason is Reason.NO_CALIBRATION
    return Picture(
        name, *shape, frames, ".dcm", source, calibrated=not none, patient=patient or None
    )


def embedded(content: bytes, name: str) -> Picture:
    """Return a PNG or JPEG that an annotation file carries. Raises PictureError."""
    suffix = next((s for magic, s in _MAGIC.items() if content.startswith(magic)), None)
    if suffix is None:
        raise PictureError(f"{name}: the picture inside is neither PNG nor JPEG.")
    try:
        clip = Clip(io.BytesIO(content))
    except ClipError as error:
        raise PictureError(f"{name}: the picture inside: {error}") from None
    return Picture(name, clip.rows, clip.columns, 1, suffix, content=content)


def as_png(pixels: NDArray[np.uint8], name: str, spacing_mm: tuple[float, float] | None) -> Picture:
    """Return grey (rows, columns) or colour (rows, columns, 3) pixels, uint8, as a picture."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    rows, columns = pixels.shape[:2]
    return Picture(name, rows, columns, 1, ".png", content=buffer.getvalue(), spacing_mm=spacing_mm)


def _converted(path: Path, name: str) -> Picture:
    from PIL import Image

    try:
        with Image.open(path, formats=("BMP", "GIF", "WEBP")) as image:
            if getattr(image, "n_frames", 1) > 1:
                raise PictureError(f"{name} has several frames; save the one that was drawn on.")
            grey = image.mode in ("1", "L")
            pixels = np.asarray(image.convert("L" if grey else "RGB"))
    except PictureError:
        raise
    except Exception as error:  # noqa: BLE001 - damaged images raise nearly anything
        raise PictureError(f"{name} cannot be read: {type(error).__name__}.") from None
    return as_png(pixels, name, None)


def _refuse_turned(source: Source, name: str) -> None:
    """A viewer turns a picture by its EXIF orientation, this program never does."""
    from PIL import Image

    try:
        with source.open() as file, Image.open(file) as image:
            turned = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - the picture itself was readable; without EXIF it is not turned
        return
    if turned not in (0, 1):
        raise PictureError(
            f"{name} is marked to be turned when it is shown (EXIF orientation {turned}), so "
            "nobody knows how it stood when it was drawn on. Save it turned, and draw again."
        )


def _agree(path: Path, wanted: PurePosixPath) -> int:
    """Count the folders, from the last, that both names have in common."""
    count = 0
    folders = reversed(path.parent.parts), reversed(wanted.parent.parts)
    for one, other in zip(*folders, strict=False):
        if one.casefold() != other.casefold():
            break
        count += 1
    return count
