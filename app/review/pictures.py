"""What a person sees of a clip: the inside of the B-mode image, lossless, from memory if it can be.

Names are often burned in around the picture, so it is cut to the box of the sector and black
outside of it, unless identities may be shown. Where the file states no regions the sector is found
in the pixels (imaging.sector), which leaves writing beside it out.
"""

import io
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.review.clips import Entry
from app.review.files import OpenClips
from app.review.settings import RefusedError
from imaging.calibration import Calibration, decide_calibration
from imaging.clip import Clip, ClipError, Frame
from imaging.identity import text
from imaging.reasons import Refusal
from imaging.ruler import Ruler
from inference.clip import Settings as MeasureSettings
from inference.clip import views_and_ruler
from inference.frame import View
from inference.overlay import CAPTION_PX
from inference.records import Status
from inference.report.thumbnails import SIZE, shrink

if TYPE_CHECKING:
    from pydicom import Dataset

MOST_LOOKS = 48
NOTHING_SAFE = (
    "No B-mode image can be told from the writing around it, and names may be burned in. Start the "
    "page with --show-identity to see the whole picture."
)
# Fast to make and lossless; a smaller file would take longer than it takes to send.
PNG_LEVEL = 1
THUMBNAIL_QUALITY = 70
FRAME_MS = (5.0, 2000.0)
Box4 = tuple[int, int, int, int]


@dataclass(frozen=True)
class Look:
    """What is known of an opened clip. `box` (row_0, column_0, row_1, column_1) is what is shown,
    all four included; `mask` bool (rows, columns) of the box, None where all of it is shown."""

    header: "Dataset | None" = field(repr=False)
    shape: tuple[int, int]
    frames: int
    views: tuple[View, ...] = field(repr=False)
    ruler: Ruler | None
    box: Box4
    mask: NDArray[np.bool_] | None = field(repr=False)

    @property
    def frame_ms(self) -> float | None:
        """How long a frame of a cine was shown, milliseconds, if the file says so and it can be."""
        stated = text(self.header, "FrameTime") if self.header is not None else None
        try:
            found = float(stated or "nan")
        except ValueError:
            return None
        return found if FRAME_MS[0] <= found <= FRAME_MS[1] else None

    def scale(
        self, settings: MeasureSettings, points: NDArray[np.float64] | None = None
    ) -> Calibration | Refusal:
        """Return the scale of what the points (n, 2) (row, column) enclose, by the safety rule."""
        return decide_calibration(
            self.header,
            self.shape,
            points,
            ruler=self.ruler,
            allow_ruler=settings.allow_ruler,
            user=settings.user,
        )


class Pictures:
    """Looks at clips and serves their frames; both are remembered, within bounds."""

    def __init__(
        self, clips: OpenClips, settings: MeasureSettings, *, identity: bool, most_bytes: int
    ) -> None:
        """Serve from open clips; keep at most so many bytes of pictures."""
        self._clips = clips
        self._settings = settings
        self._identity = identity
        self._lock = threading.Lock()
        self._looks: OrderedDict[str, Look] = OrderedDict()
        self._frames: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._bytes, self._most_bytes = 0, most_bytes

    def look(self, entry: Entry) -> Look:
        """Return what is known of a clip. Raises RefusedError (404)."""
        _check_readable(entry)
        try:
            with self._clips.use(entry) as clip:
                return self._look(entry, clip)
        except ClipError as error:
            raise RefusedError(404, f"The clip cannot be shown: {error}") from None

    def _look(self, entry: Entry, clip: Clip) -> Look:
        with self._lock:
            if (known := self._looks.get(entry.id)) is not None:
                self._looks.move_to_end(entry.id)
                return known
        look = _look_at(clip, self._settings, identity=self._identity)
        with self._lock:
            self._looks[entry.id] = look
            while len(self._looks) > MOST_LOOKS:
                self._looks.popitem(last=False)
        return look

    def tag(self, key: str, number: int) -> str:
        """Return the ETag of a frame, without reading it: `key` stands for one content."""
        kind = "whole" if self._identity else "sector"
        return f'"{sha256(f"{key} {number} {kind}".encode()).hexdigest()[:32]}"'

    def frame(self, entry: Entry, number: int) -> bytes:
        """Return a frame as PNG. Raises RefusedError (404)."""
        key = (entry.id, number)
        with self._lock:
            if (known := self._frames.get(key)) is not None:
                self._frames.move_to_end(key)
                return known
        picture = self._picture(entry, number)
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", compress_level=PNG_LEVEL)
        made = buffer.getvalue()
        with self._lock:
            if key not in self._frames and len(made) <= self._most_bytes:
                self._frames[key] = made
                self._bytes += len(made)
                while self._bytes > self._most_bytes:
                    self._bytes -= len(self._frames.popitem(last=False)[1])
        return made

    def _picture(self, entry: Entry, number: int) -> Image.Image:
        _check_readable(entry)
        try:
            with self._clips.use(entry) as clip:
                look = self._look(entry, clip)
                if not 1 <= number <= look.frames:
                    raise RefusedError(404, f"The clip has frames 1 to {look.frames}.")
                frame = clip.frame(number)
        except ClipError as error:
            raise RefusedError(404, f"The frame cannot be shown: {error}") from None
        return _drawn(frame, look)

    def thumbnail(self, entry: Entry, number: int) -> bytes:
        """Return a small picture of a frame as JPEG. Raises RefusedError (404)."""
        picture = self._picture(entry, number).convert("RGB")
        picture.thumbnail(SIZE, Image.Resampling.LANCZOS)
        return _jpeg(picture)


def _check_readable(entry: Entry) -> None:
    if entry.row["status"] == Status.FAILED:
        raise RefusedError(404, "The file of this clip could not be read when it was measured.")


def overlay_thumbnail(overlay: Path) -> bytes | None:
    """Return the outlined middle of a run's overlay as JPEG, None if it cannot be read."""
    try:
        with Image.open(overlay) as picture:
            if picture.height <= CAPTION_PX:
                return None
            return _jpeg(shrink(picture.convert("RGB")))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None  # Pillow raises a SyntaxError for a broken PNG


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=THUMBNAIL_QUALITY)
    return buffer.getvalue()


def _look_at(clip: Clip, settings: MeasureSettings, *, identity: bool) -> Look:
    views, ruler = views_and_ruler(clip, settings)
    shape = (clip.rows, clip.columns)
    mask: NDArray[np.bool_] | None = None
    box: Box4 = (0, 0, shape[0] - 1, shape[1] - 1)
    if not identity:
        if not views:
            raise RefusedError(404, NOTHING_SAFE)
        sector = np.logical_or.reduce([view.sector for view in views])
        rows, columns = np.flatnonzero(sector.any(1)), np.flatnonzero(sector.any(0))
        box = (int(rows[0]), int(columns[0]), int(rows[-1]), int(columns[-1]))
        mask = sector[_window(box)].copy()
    return Look(clip.header, shape, clip.frames, tuple(views), ruler, box, mask)


def _window(box: Box4) -> tuple[slice, slice]:
    return slice(box[0], box[2] + 1), slice(box[1], box[3] + 1)


def _drawn(frame: Frame, look: Look) -> Image.Image:
    """Return the box of a frame: grey, or in colour where the clip has some."""
    window = _window(look.box)
    luma = frame.luma[window]
    if look.mask is not None:
        luma = np.where(look.mask, luma, 0).astype(np.uint8)
    if frame.chroma is None or not frame.colour[window].any():
        return Image.fromarray(np.ascontiguousarray(luma))
    chroma = frame.chroma[window].astype(np.int16) + 128
    if look.mask is not None:
        chroma[~look.mask] = 128
    ybr = np.dstack([luma, np.clip(chroma, 0, 255).astype(np.uint8)])
    return Image.fromarray(ybr, mode="YCbCr").convert("RGB")


class Shelf:
    """Thumbnails on disk: neutral names in a hidden folder that only its owner reads."""

    def __init__(self, folder: Path) -> None:
        """Use a folder, made when the first thumbnail is kept."""
        self._folder = folder

    def get(self, name: str) -> bytes | None:
        """Return a thumbnail that was kept."""
        try:
            return (self._folder / f"{name}.jpg").read_bytes()
        except OSError:
            return None

    def put(self, name: str, content: bytes) -> None:
        """Keep a thumbnail; a full or read-only disk costs nothing but time."""
        from inference.tables import replacing

        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with replacing(self._folder / f"{name}.jpg") as temporary:
                descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
        except OSError:
            return
