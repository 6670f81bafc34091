"""Everything behind the page, put together once; and what a person has before them."""

import getpass
import threading
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from app.review.accounts import Accounts, Brake, Role
from app.review.blind import Case, ReaderOrder, slot_of
from app.review.clips import Clips, Entry
from app.review.database import open_database
from app.review.files import Files, OpenClips
from app.review.here import Measurer, run_settings
from app.review.pictures import Pictures, Shelf
from app.review.prefetch import Prefetcher
from app.review.rows import read_run, stamp_of
from app.review.sessions import Session, Sessions
from app.review.settings import RefusedError, ReviewError, Settings
from app.review.store import Review, Store

SHELF = Path(".review") / "thumbnails"
# What run.json says of how a run was made.
MADE_BY = ("bundle", "settings")


@dataclass(frozen=True)
class Item:
    """A clip before a person: openly, or as a case of a blind study."""

    id: str
    entry: Entry
    slot: str
    number: int
    case: Case | None = None


class Desk:
    """A run under review."""

    def __init__(self, settings: Settings) -> None:
        """Read the run and open its database. Raises ReviewError."""
        if not 1 <= settings.repeats <= 9:
            raise ReviewError("--repeats is a number from 1 to 9.")
        if settings.repeats > 1 and not settings.blind:
            raise ReviewError("--repeats needs --blind: only in a study is a clip read again.")
        self.settings = settings
        self.version = metadata.version("endometer")
        self._stamp = stamp_of(settings.folder)
        self.tables = read_run(settings.folder)
        self.engine = open_database(settings.folder, settings.database)
        try:
            self.store = Store(self.engine)
            self.accounts = Accounts(self.engine)
            self._check_study()
            if settings.accounts and not any(a.role is Role.ADMIN for a in self.accounts.all()):
                raise ReviewError(
                    f"--host {settings.host} lets others in, and there is no admin account. Add "
                    "one first: endometer review-user add DIR NAME --role admin"
                )
        except BaseException:
            self.engine.dispose()
            raise
        self.clips = Clips(self.tables, self.store.secret)
        self.measure_settings = run_settings(self.tables)
        self.open_clips = OpenClips(Files(settings.folder, settings.archive))
        self.pictures = Pictures(
            self.open_clips,
            self.measure_settings,
            identity=settings.show_identity,
            most_bytes=settings.frame_cache_bytes,
        )
        self.measurer = Measurer(
            self.open_clips, self.tables, self.measure_settings, settings.bundle
        )
        self.shelf = Shelf(settings.folder / SHELF)
        self.sessions = Sessions(settings.idle_seconds)
        self.brake = Brake()
        self.prefetcher = Prefetcher(self)
        self._orders: dict[str, ReaderOrder] = {}
        self._lock, self._refreshing = threading.Lock(), threading.Lock()

    def _check_study(self) -> None:
        settings, study = self.settings, self.store.study()
        if settings.blind:
            self.store.begin_study(settings.seed, settings.repeats, self.own_name)
        elif study is not None and study.opened_at is None:
            raise ReviewError(
                "a blind study is under way in this folder: reviewing it openly would end it. Go "
                f"on with --blind --seed {study.seed} --repeats {study.repeats}, or end it for "
                "good with: endometer review-open DIR"
            )

    def refresh(self) -> None:
        """Take up clips that the run has measured since, as a DICOM node goes on doing.

        A clip keeps its id and its reviews; its number is its place among those that are there.
        Nothing changes in a blind study, whose cases are fixed, where the tables cannot be read,
        or where another model or threshold made them: for that the page is started again.
        """
        if self.settings.blind or not self._refreshing.acquire(blocking=False):
            return
        try:
            stamp = stamp_of(self.settings.folder)
            if stamp == self._stamp:
                return
            tables = read_run(self.settings.folder)
            same = all(
                tables.summary.get(name) == self.tables.summary.get(name) for name in MADE_BY
            )
            if same:
                self.tables, self.clips = tables, Clips(tables, self.store.secret)
            self._stamp = stamp
        except ReviewError:  # being written, or damaged: what was read holds
            return
        finally:
            self._refreshing.release()

    @property
    def own_name(self) -> str:
        """Who reviews where nobody logs in."""
        return (self.settings.reviewer or _login_name())[:80]

    def close(self) -> None:
        """End what runs in the background, and close files and database."""
        self.prefetcher.close()
        self.open_clips.close()
        self.engine.dispose()

    def items(self, me: Session) -> list[Item]:
        """Return what a person works through, in its order."""
        if not self.settings.blind:
            return [Item(e.id, e, e.id, e.number) for e in self.clips.order]
        return [self._blind_item(case, me) for case in self._order(me).cases]

    def item(self, me: Session, key: str) -> Item:
        """Return one of them. Raises RefusedError (404)."""
        if not self.settings.blind:
            entry = self.clips.by_id.get(key)
            if entry is not None:
                return Item(entry.id, entry, entry.id, entry.number)
        elif (case := self._order(me).by_id.get(key)) is not None:
            return self._blind_item(case, me)
        raise RefusedError(404, "There is no such clip in this run.")

    def at(self, me: Session, place: int) -> Item | None:
        """Return the item at a place of the order, from 1; None beyond its ends."""
        if self.settings.blind:
            cases = self._order(me).cases
            return self._blind_item(cases[place - 1], me) if 1 <= place <= len(cases) else None
        order = self.clips.order
        if not 1 <= place <= len(order):
            return None
        entry = order[place - 1]
        return Item(entry.id, entry, entry.id, entry.number)

    def count(self, me: Session) -> int:
        """Return how many there are."""
        return len(self._order(me).cases if self.settings.blind else self.clips.order)

    def next_open(self, me: Session, place: int, newest: dict[str, Review]) -> Item | None:
        """Return the first open item after a place, from the start again if there is none."""
        total = self.count(me)
        for step in range(1, total + 1):
            item = self.at(me, (place - 1 + step) % total + 1)
            if item is not None and item.number != place and is_open(newest.get(item.slot)):
                return item
        return None

    def upcoming(self, me: Session, place: int, count: int) -> list[Item]:
        """Return the next items that will be looked at: open ones after a place."""
        newest, found = self.store.newest(), []
        for number in range(place + 1, self.count(me) + 1):
            item = self.at(me, number)
            if item is not None and is_open(newest.get(item.slot)):
                found.append(item)
            if len(found) >= count:
                break
        return found

    def first_frame(self, item: Item) -> int:
        """Return the frame that is shown first: the measured one, the middle one to the blind."""
        frames, best = int(item.entry.row["frames"] or 1), item.entry.row["frame"]
        if self.settings.blind or best is None:
            return (frames + 1) // 2
        return int(best)

    def can_save(self, me: Session) -> bool:
        """Tell whether a person may save: readers do in a blind study only."""
        return self.settings.blind or me.role is not Role.READER

    def _order(self, me: Session) -> ReaderOrder:
        with self._lock:
            order = self._orders.get(me.name)
            if order is None:
                order = self._orders[me.name] = ReaderOrder(
                    self.clips,
                    self.store.secret,
                    me.name,
                    self.settings.seed,
                    self.settings.repeats,
                )
            return order

    @staticmethod
    def _blind_item(case: Case, me: Session) -> Item:
        return Item(case.id, case.entry, slot_of(case, me.name), case.number, case)


def is_open(review: Review | None) -> bool:
    """Tell whether a clip still has to be looked at."""
    return review is None or review.state == "open"


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "reviewer"
