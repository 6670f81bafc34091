"""Many clips into one folder: find, measure, keep, write. One file's fault stays its own.

What is measured is kept in a ledger at once, so that a run that ends early goes on where it was.
"""

import hmac
import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

from data.discover import OVERLAYS, Found, Searched, Skipped, discover
from imaging.clip import ClipError
from imaging.fingerprint import fingerprint
from imaging.identity import ClipIdentity
from inference.clip import Settings
from inference.dicom.maker import Kind, Maker
from inference.jobs import DicomTask, Engine, Job, Task
from inference.ledger import LEDGER, Entry, Ledger
from inference.records import CLIP_COLUMNS, FRAME_COLUMNS, ClipRecord, Status
from inference.tables import (
    OutputError,
    UnusableOutputError,
    make_folder,
    printable,
    write_csv,
    write_json,
    write_parquet,
    writing,
)
from models.bundle import Bundle

__all__ = [
    "Output",
    "OutputError",
    "Run",
    "UnusableOutputError",
    "Watcher",
    "measure",
    "printable",
    "write_tables",
]

Search = Callable[[Iterable[Path], Path | None], Iterator[Found | Skipped | Searched]]
VERSIONED = ("endometer", "pydicom", "SimpleITK", "scikit-image", "numpy", "scipy", "openvino")
# Records that a run gives back; the tables have all.
SHOWN = 50
DICOM = "dicom"
# What runs write into their folders, and what is left of it where one is killed.
_OWN_NAMES = {
    OVERLAYS: re.compile(r"[0-9a-f]{16}-frame\d{4,}\.png(\.[0-9a-f]{8}\.part)?"),
    DICOM: re.compile(r"[0-9a-f]{16}-(sr|seg|sc)\.dcm(\.[0-9a-f]{8}\.part)?"),
}


@dataclass
class Run:
    """What came of a run.

    `records` are the first SHOWN rows of the table, sorted by file; the counts are of all rows.
    `resumed` of them were measured by an earlier run. `skipped` counts files that are no images;
    `archives` are those of them that might hold some. `empty_sources` are named folders without
    anything to measure, `overlays_missing` pictures that could not be drawn, `dicom_notes` say of
    how many images why there are no DICOM results. `complete` tells that the run came to its end.
    """

    records: list[ClipRecord] = field(default_factory=list)
    files: int = 0
    status: Counter[str] = field(default_factory=Counter)
    reason: Counter[str] = field(default_factory=Counter)
    call: Counter[str] = field(default_factory=Counter)
    resumed: int = 0
    duplicates: int = 0
    skipped: int = 0
    archives: int = 0
    empty_sources: list[str] = field(default_factory=list)
    overlays_missing: int = 0
    dicom_notes: dict[str, int] = field(default_factory=dict)
    complete: bool = False
    seconds: float = 0.0

    @property
    def failed(self) -> int:
        """Return how many files could not be read."""
        return self.status["failed"]

    def add(self, ledger: Ledger) -> None:
        """Count all rows of a ledger, and what no row tells."""
        for row in ledger.rows():
            self.files += 1
            self.status[str(row["status"])] += 1
            self.duplicates += row["duplicate_of"] is not None
            for counter, name in ((self.reason, row["reason"]), (self.call, row["call"])):
                if name is not None:
                    counter[str(name)] += 1
            if len(self.records) < SHOWN:
                self.records.append(ClipRecord.from_row(row))
        # Reports lie beside the clips of every study.
        self.skipped += sum(ledger.without_image().values())
        self.overlays_missing = ledger.overlays_missing()
        self.resumed = ledger.resumed()
        self.dicom_notes = ledger.notes()

    def summary(self) -> dict[str, Any]:
        """Return the part of `run.json` that tells what came of the run."""
        counts = {
            "files": self.files,
            "resumed": self.resumed,
            "duplicates": self.duplicates,
            "skipped": self.skipped,
            "archives": self.archives,
            "empty_sources": self.empty_sources,
            "overlays_missing": self.overlays_missing,
            "dicom_notes": self.dicom_notes,
            "status": dict(sorted(self.status.items())),
            "reason": dict(sorted(self.reason.items())),
            "call": dict(sorted(self.call.items())),
        }
        return {"counts": counts, "complete": self.complete, "seconds": round(self.seconds, 3)}


@dataclass(frozen=True)
class Output:
    """Where results go, and what there is beside the tables."""

    folder: Path
    dicom: frozenset[Kind] = frozenset()
    """DICOM results of every clip."""
    names: bool = False
    """Whether `report.html` shows names of files and patients."""


class Watcher(Protocol):
    """Hears how far a run is."""

    def clip(self, record: ClipRecord) -> None:
        """Hear of a clip, in no particular order."""

    def total(self, clips: int) -> None:
        """Hear how many clips there are, once everything has been searched."""


def measure(  # noqa: PLR0913 - what a run is made of
    sources: Iterable[Path],
    bundle: Bundle,
    engine: Engine,
    settings: Settings | None = None,
    *,
    output: Output | None = None,
    shard: tuple[int, int] = (1, 1),
    fresh: bool = False,
    watcher: Watcher | None = None,
    search: Search = discover,
) -> Run:
    """Measure files and folders.

    With `output`, a ledger, tables, `run.json`, `report.html`, overlays and DICOM results are
    written there. What the ledger holds already, measured from the same content with the same model
    and settings, is not measured again, unless `fresh`. `shard` (i, n) measures the i-th of n parts
    of the files. `search` finds what is to be measured; it is given the sources and the output
    folder. When the run ends early, for instance because the user interrupts it, what was measured
    is written all the same, and `run.json` says that it is not complete. Raises
    UnusableOutputError, before anything is measured, or OutputError if the folder cannot be
    written, EngineError, and whatever `watcher` and `search` raise.
    """
    settings = settings or Settings()
    kinds = output.dicom if output else frozenset()
    context = _context(bundle, engine, settings, kinds)
    out = output.folder if output else None
    started = time.monotonic()
    if out is not None:
        for name in ("", OVERLAYS, DICOM) if kinds else ("", OVERLAYS):
            make_folder(out / name)
    with Ledger(out / LEDGER if out else None) as ledger:
        now = datetime.now().replace(microsecond=0)
        began = None if fresh else ledger.began(context)
        task = Task(settings, out / OVERLAYS if out else None)
        if out is not None and kinds:
            maker = Maker.of(bundle, datetime.fromisoformat(began) if began else now)
            task = replace(task, dicom=DicomTask(kinds, maker, out / DICOM))
        session = _Session(ledger, bundle, engine, task, shard, watcher, (context, now, fresh))
        run = session.run
        try:
            session.measure(session.jobs(search(sources, out)))
            session.settle_copies()
            if ledger.begun:
                ledger.finish(f"{session.seen:064x}")
            run.complete = True
        finally:
            session.sum_up()
            run.seconds = time.monotonic() - started
            if output is not None and ledger.begun:
                write_tables(ledger, output, _about(bundle, engine, settings) | run.summary())
    return run


def _context(bundle: Bundle, engine: Engine, settings: Settings, kinds: frozenset[Kind]) -> str:
    """Return a digest of all that decides a result beside the file."""
    decides = asdict(replace(settings, pseudonym_key=None))
    # The hash is of the weights; the same may come with other intervals or another limit.
    model = [bundle.name, bundle.sha256, bundle.min_quality, bundle.intervals]
    parts = [dict(_versions()), model, engine.device, decides, sorted(kinds)]
    return sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _who(task: Task) -> str:
    """Return a digest of what decides how files are told apart and their identities kept."""
    key = task.settings.pseudonym_key
    who = "" if key is None else hmac.new(key, b"endometer ledger", "sha256").hexdigest()
    return f"{who} {'bytes' if task.dicom else 'image'}"


@dataclass
class _Session:
    """A run under way: lists every file in the ledger, measures those that are new."""

    ledger: Ledger
    bundle: Bundle
    engine: Engine
    task: Task
    shard: tuple[int, int]
    watcher: Watcher | None
    start: tuple[str, datetime, bool]
    """Context, time, and whether to begin anew; see Ledger.begin."""
    run: Run = field(default_factory=Run)
    listed: int = 0
    seen: int = 0
    """A digest of the names of all files, whatever their order."""
    searched: list[Searched] = field(default_factory=list)
    copies: list[tuple[Found, Job]] = field(default_factory=list)
    """Files whose image is being measured for another file, or could not be read from it."""

    def measure(self, jobs: Iterator[Job]) -> None:
        """Measure, and keep what comes of it at once."""
        for outcome in self.engine.run(jobs, self.task):
            self.ledger.store(outcome)
            outcome.job.source.discard()
            self._tell(outcome.job.file)

    def settle_copies(self) -> None:
        """Measure copies of files that could not be read; tell of all others."""
        for found, job in self.copies:
            done = self.ledger.record(job.file)
            if done is not None and done.best.status is Status.FAILED and self._brought(found):
                self.measure(iter([job]))
            else:
                self._tell(job.file)
        self.copies.clear()

    def jobs(self, items: Iterator[Found | Skipped | Searched]) -> Iterator[Job]:
        """List what is found; yield what has to be measured."""
        if self.shard != (1, 1):
            self._begin()  # an empty shard has its tables, too
        for item in items:
            if isinstance(item, Searched):
                self.searched.append(item)
            elif isinstance(item, Skipped):
                self.run.skipped += 1
                self.run.archives += item.archive
            else:
                number = _number(item.source.name)
                self.seen ^= number
                if number % self.shard[1] == self.shard[0] - 1:
                    self._begin()
                    self.listed += 1
                    yield from self._job(item)
        if self.watcher:
            self.watcher.total(self.listed)

    def _begin(self) -> None:
        if not self.ledger.begun:
            context, now, fresh = self.start
            self.ledger.begin(context, _who(self.task), at=now.isoformat(), fresh=fresh)

    def _job(self, found: Found) -> Iterator[Job]:
        file, place = printable(found.source.name), len(self.searched)
        try:
            if found.problem is not None:
                raise ClipError(found.problem)
            stamp = str(found.source.stamp())
            known = self.ledger.known(file, stamp)
            entry = known or self._entry(found)
            new = self._add(file, stamp, entry, place, found)
            if new and known and found.fetch:
                entry = self._entry(found)  # what comes now may be another than came then
                new = self._add(file, stamp, entry, place, found)
        except ClipError as error:
            found.source.discard()
            why, name = printable(str(error)), self.bundle.name
            self.ledger.add_unreadable(
                ClipRecord.failed(file, why, name, self.engine.device), place
            )
            self._tell(file)
            return
        name = sha256(f"{self.start[0]} {entry.image}".encode()).hexdigest()[:16]
        job = Job(
            found.source, file, entry.sha256, entry.image, entry.identity, name=name, stamp=stamp
        )
        if new:
            yield job
            return
        found.source.discard()
        done = self.ledger.record(file)
        if done is None or done.best.status is Status.FAILED:
            self.copies.append((found, job))
        else:
            self._tell(file)

    def _add(self, file: str, stamp: str, entry: Entry, place: int, found: Found) -> bool:
        """List a file; tell whether it has to be measured."""
        new = self.ledger.add(file, stamp, entry, place, named=found.named)
        if not new and not self._are_there(self.ledger.files_of(entry.image)):
            self.ledger.forget(entry.image)
            new = True
        return new

    @staticmethod
    def _brought(found: Found) -> bool:
        """Tell whether what was given back is there again."""
        try:
            if found.fetch:
                found.fetch()
        except ClipError:
            return False
        return True

    def _are_there(self, names: list[str]) -> bool:
        """Tell whether pictures and DICOM results are where they were written."""
        for name in names:
            folder = self.task.overlays if name.endswith(".png") else None
            if folder is None and self.task.dicom is not None:
                folder = self.task.dicom.folder
            try:
                if folder is not None and not (folder / name).stat().st_size:
                    return False
            except OSError:
                return False
        return True

    def _entry(self, item: Found) -> Entry:
        if item.fetch:
            item.fetch()
        found = fingerprint(item.source)
        who = {
            name: None if text is None else printable(text)
            for name, text in asdict(found.identity or ClipIdentity()).items()
        }
        key = self.task.settings.pseudonym_key
        if key is not None and who["patient_id"] is not None:
            who["patient_id"] = hmac.new(key, who["patient_id"].encode(), "sha256").hexdigest()[:16]
        # DICOM results bear the patient's name, so that only equal bytes share them.
        image = found.sha256 if self.task.dicom else found.key
        return Entry(found.sha256, image, ClipIdentity(**who))

    def _tell(self, file: str) -> None:
        if self.watcher and (record := self.ledger.record(file)) is not None:
            self.watcher.clip(record)

    def sum_up(self) -> None:
        """Count all rows, and what no row tells."""
        without = self.ledger.without_image()
        self.run.add(self.ledger)
        self.run.empty_sources = [
            printable(str(source.path))
            for place, source in enumerate(self.searched)
            if source.files == without.get(place, 0) and not source.elsewhere
        ]


def _number(name: str) -> int:
    """Return a number that a file's name decides, whatever else there is."""
    return int.from_bytes(sha256(name.encode("utf-8", "surrogateescape")).digest())


def write_tables(ledger: Ledger, output: Output, summary: dict[str, Any]) -> None:
    """Write the tables, `run.json` and `report.html`, and take away files that no run knows of.

    One that cannot be written does not keep the others from it; raises the first OutputError.
    """
    out = output.folder

    def report(path: Path) -> None:
        from inference.report.write import write_report

        write_report(path, ledger.rows(), summary, out / OVERLAYS, names=output.names)

    files: dict[str, Callable[[Path], None]] = {
        "measurements.csv": lambda path: write_csv(path, CLIP_COLUMNS, ledger.rows()),
        "measurements.parquet": lambda path: write_parquet(path, CLIP_COLUMNS, ledger.rows()),
        "frames.parquet": lambda path: write_parquet(path, FRAME_COLUMNS, ledger.frame_rows()),
        "run.json": lambda path: write_json(path, summary),
        OVERLAYS: lambda path: _clear(path, ledger),
        DICOM: lambda path: _clear(path, ledger),
        "report.html": report,
    }
    failures = []
    for name, write in files.items():
        try:
            with writing(out / name):
                write(out / name)
        except OutputError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def _clear(folder: Path, ledger: Ledger) -> None:
    """Take away overlays that no run left, and what a killed run left of some.

    Of DICOM results only those of the tables stay: whoever sends them sends the folder.
    """
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            own = _OWN_NAMES[folder.name].fullmatch(entry.name)
            if own and (
                entry.name.endswith(".part")
                or not ledger.has_file(entry.name, now=folder.name == DICOM)
            ):
                Path(entry.path).unlink()


def _about(bundle: Bundle, engine: Engine, settings: Settings) -> dict[str, Any]:
    """Return the part of `run.json` that tells how it was measured."""
    return {
        "versions": dict(_versions()),
        "bundle": {"name": bundle.name, "sha256": bundle.sha256},
        "settings": {
            "threshold_mm": settings.threshold_mm,
            "spacing_mm": settings.user.spacing_mm if settings.user else None,
            "allow_ruler": settings.allow_ruler,
            "device": engine.device,
            "frames": "all" if settings.all_frames else "best",
            "pseudonymised": settings.pseudonym_key is not None,
        },
    }


def _versions() -> Iterator[tuple[str, str]]:
    for name in VERSIONED:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
