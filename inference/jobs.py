"""One file of a run: what is asked, what is answered. Both travel between processes."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from PIL import Image

from imaging.clip import Clip, ClipError
from imaging.identity import ClipIdentity
from imaging.scanner_report import ScannerReport, read_scanner_report
from imaging.source import Source
from inference.clip import MeasuredClip, Settings, measure_clip
from inference.dicom.maker import Kind, Maker
from inference.overlay import draw_overlay, neighbourhood, overlay_name, save_overlay
from inference.records import ClipRecord, Measurement
from inference.tables import OutputError, printable, replacing, writing
from models.bundle import Bundle
from models.runtime import Runtime


@dataclass(frozen=True)
class Job:
    """A file to measure.

    `file` is its name in the tables, `identity` what the tables may say of it, `image` the key
    that files with the same image share, `name` what its pictures and results are called, `stamp`
    what tells whether the file changed since. A log may hold its repr: that says who it is not.
    """

    source: Source = field(repr=False)
    file: str = field(repr=False)
    sha256: str
    image: str
    identity: ClipIdentity = field(repr=False)
    name: str
    stamp: str


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    `no_image` tells that the file is sound but holds no image, and `report` what the sonographer
    measured, if it is a scanner's report. `overlays` are the names of the pictures that were drawn,
    `overlays_missing` counts those that could not be; `dicom` are the names of DICOM results, and
    `notes` say why there are none.
    """

    job: Job
    record: ClipRecord
    frames: tuple[Measurement, ...] = ()
    overlays: tuple[str, ...] = ()
    overlays_missing: int = 0
    no_image: bool = False
    report: ScannerReport | None = None
    dicom: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DicomTask:
    """Which DICOM results are made of every clip, who says that they made them, and where to."""

    kinds: frozenset[Kind]
    maker: Maker
    folder: Path


@dataclass(frozen=True)
class Task:
    """What is done with every file of a run.

    How it is measured, where pictures go, if any, and which DICOM results are made, if any.
    """

    settings: Settings
    overlays: Path | None = None
    dicom: DicomTask | None = None


class Engine(Protocol):
    """Measures many files, in any order, holding only a bounded number of them at a time."""

    @property
    def device(self) -> str:
        """Where the network runs: cpu or cuda."""
        ...

    def run(self, jobs: Iterator[Job], task: Task) -> Iterator[Outcome]:
        """Take jobs as there is room for them and yield an outcome for each.

        Raises OutputError where overlays cannot be written, EngineError where nothing is left to
        compute with.
        """
        ...


class EngineError(Exception):
    """An engine cannot start or go on; the message says what to do."""


def perform(job: Job, task: Task, bundle: Bundle, runtime: Runtime) -> Outcome:
    """Measure a file, draw what was outlined, make DICOM results. Raises OutputError alone."""
    clip = measure_clip(job.source, bundle, runtime, task.settings, digest=job.sha256)
    drawn = _draw(job, clip, task.overlays) if task.overlays else {}
    made, notes = _make_dicom(job, clip, task.dicom) if task.dicom else ((), ())
    report = _scanner_report(job.source) if clip.no_image else None
    if _changed(job):
        # What was read is not what the ledger takes it for: other files may have that content.
        return lost(job, CHANGED, bundle, runtime.device)
    best = clip.record.best
    return Outcome(
        job,
        replace(
            clip.record,
            file=job.file,
            sha256=job.sha256,
            identity=job.identity,
            best=_printable(best),
            overlay=drawn.get(best.frame),
        ),
        tuple(map(_printable, clip.frames)),
        overlays=tuple(drawn.values()),
        overlays_missing=len(clip.findings) - len(drawn) if task.overlays else 0,
        no_image=clip.no_image,
        report=report,
        dicom=made,
        notes=notes,
    )


CHANGED = "The file changed while it was measured. Run again when nobody writes to it."


def _changed(job: Job) -> bool:
    try:
        return str(job.source.stamp()) != job.stamp
    except ClipError:
        return False  # it is gone: what was read is what was there


def _printable(row: Measurement) -> Measurement:
    return row if row.message is None else replace(row, message=printable(row.message))


def lost(job: Job, message: str, bundle: Bundle, device: str) -> Outcome:
    """Return the outcome of a job that failed, with the reason as its message."""
    record = ClipRecord.failed(job.file, message, bundle.name, device)
    return Outcome(job, replace(record, sha256=job.sha256, identity=job.identity))


def _draw(job: Job, clip: MeasuredClip, folder: Path) -> dict[int | None, str]:
    """Draw what was outlined; return the names of the pictures by frame. Raises OutputError.

    Names come from the content: file names may name patients.
    """
    drawn: dict[int | None, str] = {}
    for number in clip.findings:
        name = overlay_name(job.name, number)
        try:
            picture = _picture(job.source, clip, number)
            with writing(folder / name), replacing(folder / name) as temporary:
                save_overlay(picture, temporary)
        except OutputError:
            raise
        except Exception:  # noqa: BLE001, S112 - a picture costs neither the row nor the batch
            continue
        drawn[number] = name
    return drawn


def _picture(source: Source, clip: MeasuredClip, number: int) -> Image.Image:
    if clip.sector is None:
        raise ValueError("nothing was decoded")
    row = next(row for row in clip.frames if row.frame == number)
    with Clip.open(source) as opened:
        luma = opened.frame(number).luma
    finding = clip.findings[number]
    shown = clip.sector if clip.in_region else neighbourhood(clip.sector, finding)
    return draw_overlay(luma, shown, row, finding)


def _make_dicom(
    job: Job, clip: MeasuredClip, task: DicomTask
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Write the DICOM results of a clip; return their names, and why others are not there.

    Raises OutputError.
    """
    from inference.dicom.results import dicom_results, result_name

    names = []
    try:
        picture, header = None, None
        if Kind.SC in task.kinds and clip.record.best.frame in clip.findings:
            picture = _picture(job.source, clip, clip.record.best.frame)
        with Clip.open(job.source) as opened:
            header = opened.header
        found = dicom_results(task.kinds, header, clip, picture, task.maker)
        for kind, made in found.objects.items():
            target = task.folder / result_name(job.name, kind)
            with writing(target), replacing(target, durable=True) as temporary:
                made.save_as(temporary, enforce_file_format=True)
            names.append(target.name)
    except OutputError:
        raise
    except ClipError:
        return (), ()  # its row says what is wrong with it
    except Exception as error:  # noqa: BLE001 - a result costs neither the row nor the batch
        return tuple(names), (f"A DICOM result could not be made ({type(error).__name__}).",)
    return tuple(names), found.notes


def _scanner_report(source: Source) -> ScannerReport | None:
    """Read what a sonographer measured, if a file without an image says so."""
    try:
        with source.open() as file:
            found = read_scanner_report(file)
    except ClipError:
        return None
    return found if found.values else None
