"""A blind reading: every reader has an order of their own, and every case a name of its own.

The order follows from the seed, the reader and the content of the clips alone, so that it is the
same wherever and whenever the study goes on. A clip that is read several times comes again after
at least half of all clips.
"""

from dataclasses import dataclass
from hashlib import sha256

from app.review.clips import Clips, Entry, keyed


@dataclass(frozen=True)
class Case:
    """A clip as one reader sees it, once: `id` tells neither clip, reader nor replicate."""

    id: str
    entry: Entry
    replicate: int
    number: int
    """Its place in the reader's order, from 1."""

    @property
    def name(self) -> str:
        """What the reader calls it."""
        return f"Case {self.number}"


class ReaderOrder:
    """The cases of one reader, in the order in which they are read."""

    def __init__(self, clips: Clips, secret: bytes, reader: str, seed: int, repeats: int) -> None:
        """Shuffle."""
        readable = [e for e in clips.order if e.row["sha256"] and e.row["status"] != "failed"]

        def chance(entry: Entry, replicate: int) -> str:
            who = f"{seed}|{reader}|{replicate}|{entry.row['sha256']}"
            return sha256(who.encode("utf-8", "backslashreplace")).hexdigest()

        # The id is the store's own; equal contents are told apart by it alone.
        first = sorted(readable, key=lambda e: (chance(e, 1), e.id))
        half = len(first) // 2
        rounds = [(e, 1) for e in first]
        for replicate in range(2, repeats + 1):
            for part in (first[:half], first[half:]):
                again = sorted(part, key=lambda e: (chance(e, replicate), e.id))
                rounds += [(e, replicate) for e in again]
        self.cases = [
            Case(keyed(secret, f"case {e.id} {reader} {replicate}"), e, replicate, number)
            for number, (e, replicate) in enumerate(rounds, 1)
        ]
        self.by_id = {case.id: case for case in self.cases}


def slot_of(case: Case, reader: str) -> str:
    """Return the slot of the store that holds a reader's readings of a case."""
    return f"{case.entry.id} {case.replicate} {reader}"


def neutral_case(secret: bytes, entry: Entry) -> str:
    """Return what tables of readings call a clip: the same for all readers, and nobody's name."""
    return keyed(secret, f"reading {entry.id}", 12)
