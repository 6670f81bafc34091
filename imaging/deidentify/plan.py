"""De-identifying one file: what happens to it, and doing it, whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pydicom import Dataset

from imaging.clip import Clip, ClipError
from imaging.decoding import DicomPixels
from imaging.deidentify.blanking import Black, blanked
from imaging.deidentify.headers import Subject, clean_header, subject_of
from imaging.deidentify.pseudonyms import Pseudonyms
from imaging.deidentify.window import NoWindow, find_window, writing_in
from imaging.deidentify.writing import target_syntax, write_clip
from imaging.dicom_file import syntax_name
from imaging.errors import NotAnImageError, cause
from imaging.identity import text
from imaging.pixels import Mask, Samples
from imaging.source import Source


class Action(StrEnum):
    """What became of a file: `held` for a person to look at."""

    WRITTEN = "written"
    SAME = "same"
    HELD = "held"
    FAILED = "failed"


@dataclass(frozen=True)
class Done:
    """What became of a file, or would.

    `name` is its path below the output folder, `why` a sentence where there is no file. `kept` is
    the share of the frame that is not blanked, `inside` on how many frames writing within that was
    blanked, too. `old` are the replaced values, by keyword, and `new` what stands for them.
    """

    action: Action
    why: str | None = None
    name: str | None = None
    frames: int = 0
    syntax: str | None = None
    kept: float = 0.0
    inside: int = 0
    old: dict[str, str] = field(default_factory=dict, repr=False)
    new: dict[str, str] = field(default_factory=dict)
    days: int = field(default=0, repr=False)


class Deidentifier:
    """De-identifies file after file into one folder; `out` None only tells what would happen.

    `blank_inside` blanks writing in the ultrasound image, which is otherwise a reason to hold the
    clip back. `looked_at` are the SHA-256 of files in whose images a person found no writing: what
    the search finds there is none.
    """

    def __init__(
        self,
        pseudonyms: Pseudonyms,
        out: Path | None,
        *,
        blank_inside: bool = False,
        looked_at: frozenset[str] = frozenset(),
    ) -> None:
        """Remember nothing yet."""
        self._pseudonyms = pseudonyms
        self._out = out
        self._blank_inside = blank_inside
        self._looked_at = looked_at
        self._digests: dict[str, str] = {}  # of the sources, by the names that were written

    def process(self, source: Source) -> Done:
        """De-identify a file; never raises for what is in it, or for where it is to be written."""
        try:
            digest = source.sha256()
            with Clip.open(source) as clip:
                return self._process(clip, digest)
        except NotAnImageError:
            return Done(Action.HELD, "The object has no pixels; only images are de-identified.")
        except ClipError as error:
            return Done(Action.FAILED, str(error))
        except OSError as error:
            return Done(Action.FAILED, f"The new file cannot be written: {cause(error)}.")
        except Exception as error:  # noqa: BLE001 - a hostile header raises anything, and quotes names
            return Done(Action.FAILED, f"The file cannot be rewritten ({type(error).__name__}).")

    def _process(self, clip: Clip, digest: str) -> Done:
        if clip.header is None or clip.dicom is None:
            return Done(Action.HELD, "This is no DICOM file; only DICOM files are de-identified.")
        subject = subject_of(clip.header, self._pseudonyms, digest)
        name = f"{subject.patient}/{subject.uids['SOPInstanceUID']}.dcm"
        if before := self._digests.get(name):
            if before == digest:
                return Done(Action.SAME, "The same file was there before.", name)
            return Done(Action.HELD, "Another file with the same SOP instance UID is different.")
        window = find_window(clip)
        if isinstance(window, NoWindow):
            return Done(Action.HELD, window.why)
        kept, frames = window.image, 0  # of which a person has said that it holds no writing
        if digest not in self._looked_at:
            kept = window.edged
            _, frames = writing_in(clip, window.edged)
            if frames:  # perhaps beside the image only: then that stays alone
                writing, frames = writing_in(clip, window.image)
                kept = window.image & ~writing
        if frames and not self._blank_inside:
            return Done(
                Action.HELD,
                f"There is writing in the ultrasound image, on {frames} of {clip.frames} frames. "
                "If a person finds that there is none, --looked-at lets it pass.",
            )
        if self._out is not None:
            _write_whole(clip.dicom, clean_header(clip.header, subject), kept, self._out / name)
        self._digests[name] = digest
        return Done(
            Action.WRITTEN,
            None,
            name,
            clip.frames,
            syntax_name(target_syntax(clip.dicom.syntax, clip.dicom.layout)),
            float(kept.mean()),
            frames,
            *_replaced(clip.header, subject),
        )


def _replaced(header: Dataset, subject: Subject) -> tuple[dict[str, str], dict[str, str], int]:
    new = {"PatientID": subject.patient, **subject.uids}
    return {key: text(header, key) or "" for key in new}, new, subject.days


def _frames(pixels: DicomPixels, kept: Mask) -> Iterator[tuple[Samples, str]]:
    """Yield every frame with black outside `kept`, and its PhotometricInterpretation."""
    darkest = None
    if pixels.palette is not None:
        darkest = pixels.palette.first + int(pixels.palette.table.astype(int).sum(1).argmin())
    black = Black(pixels.layout.bits_stored, pixels.layout.signed, darkest)
    for number in range(1, pixels.layout.frames + 1):
        samples, photometric = pixels.samples(number)
        yield blanked(samples, photometric, kept, black), photometric


def _write_whole(pixels: DicomPixels, header: Dataset, kept: Mask, path: Path) -> None:
    """Write the clip beside its place and move it there when all of it is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "w+b") as file:
            frames = _frames(pixels, kept)
            write_clip(file, header, pixels.layout, pixels.syntax, frames, pixels.palette)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
