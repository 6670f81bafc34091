"""What people saved about clips: appended, never changed; the newest counts."""

import json
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Engine, func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from app.review.database import ABOUT, REVIEWS, STUDY, writing
from app.review.settings import ReviewError

Points = list[list[float]]
State = Literal["open", "accepted", "corrected", "rejected"]
Action = Literal["accept", "correct", "reject", "withdraw"]
REVIEW, READING = "review", "reading"


@dataclass(frozen=True)
class Review:
    """One line of the audit table. Points are (row, column) in frame pixels; lengths in mm.

    `before_mm` and `before_call` are what stood before this review (the machine's, or the newest
    review's), `after_mm` and `after_call` what stands since. `over`: its author saw that somebody
    else had saved meanwhile, and decided to save all the same.
    """

    slot: str
    number: int
    kind: str
    clip: str
    sha256: str | None
    sop_uid_hash: str | None
    reviewer: str
    at: str
    action: Action
    threshold_mm: float
    software: str
    bundle: str
    bundle_sha256: str
    replicate: int | None = None
    frame: int | None = None
    calipers: Points | None = None
    layers: list[Points] | None = None
    contours: list[Points] | None = None
    fluid: list[Points] | None = None
    row_mm: float | None = None
    column_mm: float | None = None
    before_mm: float | None = None
    after_mm: float | None = None
    before_call: str | None = None
    after_call: str | None = None
    reason: str | None = None
    note: str | None = None
    over: bool = False

    @property
    def state(self) -> State:
        """What the clip is since."""
        return STATES[self.action]


STATES: dict[Action, State] = {
    "accept": "accepted",
    "correct": "corrected",
    "reject": "rejected",
    "withdraw": "open",
}
_JSON = ("calipers", "layers", "contours", "fluid")
_NAMES = tuple(field.name for field in fields(Review))


class StaleError(Exception):
    """Somebody saved meanwhile; `newest` is what."""

    def __init__(self, newest: Review | None) -> None:
        """Keep the newest review."""
        super().__init__("somebody saved meanwhile")
        self.newest = newest


@dataclass(frozen=True)
class Study:
    """A blind study: its seed, how often each clip is read, and when it was opened."""

    seed: int
    repeats: int
    began_at: str
    opened_at: str | None


class Store:
    """The reviews of a run. Keeps the newest of every slot in memory, up to date with others."""

    def __init__(self, engine: Engine) -> None:
        """Read what there is."""
        self.engine = engine
        self.secret = bytes.fromhex(self._about("secret", secrets.token_hex(32)))
        self._lock = threading.Lock()
        self._seen = 0
        self._by_slot: dict[str, list[Review]] = {}
        self._of_clip: dict[str, list[Review]] = {}
        self._sync()

    def _about(self, name: str, default: str) -> str:
        with writing(self.engine) as base:
            if base.dialect.name == "postgresql":
                base.execute(text("LOCK TABLE about IN SHARE ROW EXCLUSIVE MODE"))
            found = base.execute(select(ABOUT.c.value).where(ABOUT.c.name == name)).scalar()
            if found is None:
                base.execute(ABOUT.insert().values(name=name, value=default))
                return default
            return str(found)

    def _sync(self) -> None:
        """Take in what was saved since, here or by another server on the same database."""
        with self._lock:
            with self.engine.connect() as base:
                rows = base.execute(
                    REVIEWS.select().where(REVIEWS.c.id > self._seen).order_by(REVIEWS.c.id)
                ).all()
            for row in rows:
                review = _review(row)
                self._seen = row.id
                self._by_slot.setdefault(review.slot, []).append(review)
                self._of_clip.setdefault(review.clip, []).append(review)

    def newest(self) -> dict[str, Review]:
        """Return the newest review of every slot that has one."""
        self._sync()
        with self._lock:
            return {slot: reviews[-1] for slot, reviews in self._by_slot.items()}

    def history(self, slot: str) -> list[Review]:
        """Return the reviews of a slot, oldest first."""
        self._sync()
        with self._lock:
            return list(self._by_slot.get(slot, ()))

    def of_clip(self, clip: str) -> list[Review]:
        """Return all that was saved about a clip, readings of a study too, oldest first."""
        self._sync()
        with self._lock:
            return list(self._of_clip.get(clip, ()))

    def all(self) -> Iterator[Review]:
        """Yield the whole audit table in the order of saving."""
        with self.engine.connect() as base:
            for row in base.execute(REVIEWS.select().order_by(REVIEWS.c.id)):
                yield _review(row)

    def append(self, review: Review) -> None:
        """Save; when this returns it is on the disk. Raises StaleError.

        `review.number` must be one more than the slot has, so that of two people who saw the same
        newest review one alone saves.
        """
        values = {name: getattr(review, name) for name in _NAMES}
        for name in _JSON:
            values[name] = None if values[name] is None else json.dumps(values[name])
        try:
            with writing(self.engine) as base:
                self._lock_table(base)
                there = base.execute(
                    select(func.count()).where(REVIEWS.c.slot == review.slot)
                ).scalar_one()
                if there == review.number - 1:
                    base.execute(REVIEWS.insert().values(values))
                    saved = True
                else:
                    saved = False
        except (IntegrityError, DBAPIError) as error:
            if not isinstance(error, IntegrityError) and "UNIQUE" not in str(error.orig):
                raise
            saved = False
        if not saved:
            history = self.history(review.slot)
            raise StaleError(history[-1] if history else None)
        self._sync()

    @staticmethod
    def _lock_table(base: Connection) -> None:
        # Identifiers are then visible in their order, and `_sync` misses none.
        if base.dialect.name == "postgresql":
            base.execute(text("LOCK TABLE reviews IN SHARE ROW EXCLUSIVE MODE"))

    def study(self) -> Study | None:
        """Return the blind study of this database, None if there never was one."""
        with self.engine.connect() as base:
            events = {row.event: row for row in base.execute(STUDY.select())}
        if "begun" not in events:
            return None
        begun, opened = events["begun"], events.get("opened")
        return Study(begun.seed, begun.repeats, begun.at, opened.at if opened else None)

    def begin_study(self, seed: int, repeats: int, who: str) -> Study:
        """Begin a blind study, or go on with it. Raises ReviewError if that cannot be blind."""
        study = self.study()
        if study is None:
            if self.newest():
                raise ReviewError(
                    "--blind: clips of this run were reviewed openly already. Measure into a new "
                    "folder, or name another --database, and begin the study there."
                )
            with writing(self.engine) as base:
                base.execute(
                    STUDY.insert().values(
                        event="begun", at=now(), who=who, seed=seed, repeats=repeats
                    )
                )
            study = self.study()
        if study is None or study.opened_at is not None:
            raise ReviewError(
                "--blind: this study was opened; nobody can read it blind any more. Measure into "
                "a new folder to begin another."
            )
        if (study.seed, study.repeats) != (seed, repeats):
            raise ReviewError(
                f"--blind: this study was begun with --seed {study.seed} --repeats "
                f"{study.repeats}; go on with the same."
            )
        return study

    def open_study(self, who: str) -> None:
        """Open a blind study: from now on everybody sees everything. Raises ReviewError."""
        study = self.study()
        if study is None:
            raise ReviewError("there is no blind study in this folder that could be opened.")
        if study.opened_at is None:
            with writing(self.engine) as base:
                base.execute(STUDY.insert().values(event="opened", at=now(), who=who))


def now() -> str:
    """Return the present time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _review(row: Any) -> Review:
    values = {name: getattr(row, name) for name in _NAMES}
    for name in _JSON:
        values[name] = None if values[name] is None else json.loads(values[name])
    return Review(**values)
