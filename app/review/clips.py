"""The clips of a run as a worklist: an index in memory, built once, most urgent first."""

import hmac
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import PurePosixPath

from app.review.rows import Row, RunTables
from inference.records import Measurement, measurement_of
from inference.report.urgency import GROUPS, Group
from inference.words import in_words

# Clips that could not be read come last: there is nothing to look at.
ORDER = (*(g for g in GROUPS if g.name != "failed"), *(g for g in GROUPS if g.name == "failed"))
MOST_TEXT = 300


def keyed(secret: bytes, text: str, digits: int = 16) -> str:
    """Return a hash that nobody without the store's secret can make or undo."""
    return hmac.new(secret, text.encode("utf-8", "backslashreplace"), sha256).hexdigest()[:digits]


@dataclass(frozen=True)
class Entry:
    """A clip on the worklist. `number` is its place in the order of need, from 1."""

    id: str
    row: Row = field(repr=False)
    group: Group
    number: int
    patient: int | None
    """A number that means nothing outside the page."""

    @property
    def best(self) -> Measurement:
        """The measurement that speaks for the clip."""
        return measurement_of(self.row)

    @property
    def file(self) -> str:
        """The clip's name in the tables; never leaves the server unless identities are shown."""
        return str(self.row["file"])

    @property
    def words(self) -> str:
        """The result in one line."""
        return in_words(self.best)

    def name(self, *, identity: bool) -> str:
        """Return what people call the clip."""
        return PurePosixPath(self.file).name if identity else f"Clip {self.number}"

    def patient_name(self, *, identity: bool) -> str | None:
        """Return what people call the patient."""
        if self.patient is None:
            return None
        return str(self.row["patient_id"])[:64] if identity else f"Patient {self.patient}"

    def message(self, *, identity: bool) -> str | None:
        """Return the message of the row, without the name of its file unless that is shown."""
        text = self.row["message"]
        if text is None:
            return None
        said = str(text)
        if not identity:
            for name in (self.file, PurePosixPath(self.file).name):
                if len(name) > 3:  # shorter ones name nobody, and might be part of any word
                    said = said.replace(name, "the file")
        return said[:MOST_TEXT]


class Clips:
    """All clips that a person may look at, each once: copies of an image are left out."""

    def __init__(self, tables: RunTables, secret: bytes) -> None:
        """Build the index: a second for a hundred thousand rows."""
        ranked = sorted(_ranked(row) for row in tables.rows if row["duplicate_of"] is None)
        patients: dict[str, int] = {}
        self.order: list[Entry] = []
        self.by_id: dict[str, Entry] = {}
        self.by_file: dict[str, Entry] = {}
        by_file = {str(row["file"]): row for row in tables.rows}
        for number, (place, _, _, file) in enumerate(ranked, 1):
            row = by_file[file]
            who = row["patient_id"]
            patient = None if not who else patients.setdefault(str(who), len(patients) + 1)
            entry = Entry(self._new_id(secret, row), row, ORDER[place], number, patient)
            self.order.append(entry)
            self.by_id[entry.id] = self.by_file[file] = entry
        self._of_patient: dict[int, list[Entry]] = defaultdict(list)
        for entry in self.order:
            if entry.patient is not None:
                self._of_patient[entry.patient].append(entry)
        self.calls = _there(e.row["call"] for e in self.order)
        self.statuses = _there(e.row["status"] for e in self.order)

    def _new_id(self, secret: bytes, row: Row) -> str:
        """A review belongs to an image, whatever its file is called; a file of two rows has two."""
        file, digest = str(row["file"]), row["sha256"]
        found = keyed(secret, f"sha256 {digest}" if digest else f"file {file}")
        return found if found not in self.by_id else keyed(secret, f"file {file} {digest}")

    def studies_of(self, entry: Entry) -> list[Entry]:
        """Return the clips of the same patient that state a time, in its order."""
        if entry.patient is None:
            return []
        dated = [e for e in self._of_patient[entry.patient] if e.row["acquired_at"]]
        return sorted(dated, key=lambda e: (str(e.row["acquired_at"])[:19], e.number))


def _ranked(row: Row) -> tuple[int, float, str, str]:
    # The first group that fits; the last fits every row.
    fits = ((ORDER.index(g), u) for g in GROUPS if (u := g.urgency(row)) is not None)
    place, urgency = next(fits)
    return place, urgency, str(row["sha256"] or ""), str(row["file"])


def _there(values: Iterable[object]) -> list[str]:
    return sorted({str(value) for value in values if value is not None})
