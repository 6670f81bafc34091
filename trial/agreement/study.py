"""Readings joined case by case. What does not join is counted, and never left out in silence."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from trial.agreement.estimate import Array, Groups
from trial.agreement.tables import KEYS, SHORTEST_HASH, Kind, ReadingsError, Row, Source


class State(StrEnum):
    """What a reader made of a case."""

    MEASURED = "measured"
    REFUSED = "refused"
    FAILED = "failed"
    ABSENT = "absent"
    """Not in the reader's table."""


@dataclass(frozen=True)
class Reader:
    """A person, a model or a reference. `readings` and `states` are in the order of the study's
    cases; `readings` holds float64 arrays (m,) in mm, empty where none was given. `copies` counts
    rows that say again what another says of the same case, `withheld` replicates without a number
    of cases with one.
    """

    name: str
    kind: Kind
    readings: tuple[Array, ...]
    states: tuple[State, ...]
    copies: int = 0
    withheld: int = 0

    @property
    def firsts(self) -> Array:
        """The first reading of every case in mm (n,), not a number where there is none."""
        return np.array([each[0] if len(each) else np.nan for each in self.readings])


@dataclass(frozen=True)
class Study:
    """Cases and what every reader says of them.

    `groups` (n,) tells the patient of each case by a number; a case of an unknown patient is
    taken for a patient of its own, of which `unknown` counts how many. `key` is what cases were
    joined by.
    """

    cases: tuple[str, ...]
    groups: Groups
    unknown: int
    key: str
    readers: tuple[Reader, ...]

    @property
    def patients(self) -> int:
        """How many patients there are, cases without one included."""
        return len(np.unique(self.groups))


def join(
    sources: Sequence[Source], key: str | None = None, kinds: Mapping[str, Kind] | None = None
) -> Study:
    """Join the rows of sources by case.

    `key` is one of KEYS; without it that under which most cases are found in several sources, the
    first of equals. `kinds` says of readers by name what they are, where their tables do not.
    Raises ReadingsError for names that clash, readings that contradict, and cases without the key.
    """
    chosen = key or _choose(sources)
    full = _full_hashes(sources) if chosen == "sha256" else {}
    named: dict[str, dict[str, list[Row]]] = {}
    known: dict[str, Kind] = {}
    for source in sources:
        for name in dict.fromkeys(row.reader for row in source.rows):
            if name in named:
                raise ReadingsError(f"{name!r} is the name of two readers; give each its own.")
            named[name], known[name] = {}, source.kind
        for row in source.rows:
            named[row.reader].setdefault(_case(row, chosen, full), []).append(row)
    if wrong := [name for name in kinds or () if name not in named]:
        raise ReadingsError(
            f"there is no reader {', '.join(wrong)}; there are {', '.join(named) or 'none'}."
        )
    known |= kinds or {}
    cases = tuple(sorted({case for rows in named.values() for case in rows}))
    readers = tuple(_reader(name, known[name], rows, cases) for name, rows in named.items())
    groups, unknown = _patients(sources, cases, chosen, full)
    return Study(cases, groups, unknown, chosen, readers)


def _choose(sources: Sequence[Source]) -> str:
    """Return the key to join by.

    A key that some row lacks is none, unless the row has a `case`, which may be meant by any, or
    its file could not be read. `name` is none where two files of a source share one.
    """
    rows = [row for source in sources for row in source.rows]
    if not any(set(KEYS) & set(row.keys) for row in rows):
        return "case"
    full = _full_hashes(sources)
    found = {}
    for key in KEYS:
        sets = [_cases_by(source, key, full) for source in sources]
        every = set[str]().union(*(each for each in sets if each is not None))
        if None not in sets:
            found[key] = sum(map(len, filter(None, sets))) - len(every)
    return max(found, key=lambda k: found[k], default="file")


def _cases_by(source: Source, key: str, full: Mapping[str, str]) -> set[str] | None:
    """Return what a source's cases are called by a key, None if that is no key for it."""
    files: dict[str, str] = {}
    for row in source.rows:
        name = row.keys.get(key) or row.keys.get("case")
        if name is None:
            if row.failed:
                continue
            return None
        file = row.keys.get("file", name)
        if key == "name" and files.get(name, file) != file:
            return None
        files[name] = file
    return {full.get(name, name) if key == "sha256" else name for name in files}


def _full_hashes(sources: Sequence[Source]) -> dict[str, str]:
    """Return the hash that a case means which is named by the beginning of it."""
    rows = [row for source in sources for row in source.rows]
    known = {row.keys["sha256"] for row in rows if "sha256" in row.keys}
    wanted = {row.keys["case"] for row in rows if "case" in row.keys}
    found = {}
    for case in wanted - known:
        if len(case) >= SHORTEST_HASH:
            fits = [sha for sha in known if sha.startswith(case)]
            if len(fits) == 1:
                found[case] = fits[0]
    return found


def _case(row: Row, key: str, full: dict[str, str]) -> str:
    """Return what a row's case is called; a file that could not be read may have no hash."""
    name = row.keys.get(key) or row.keys.get("case")
    if name is None and row.failed:
        name = row.keys.get("file")
    if name is None:
        there = ", ".join(row.keys) or "none"
        raise ReadingsError(
            f"{row.where} has no {key} to join its case by; it has {there}. Choose another with "
            f"--key {'|'.join(KEYS)}."
        )
    return full.get(name, name)


def _reader(name: str, kind: Kind, rows: dict[str, list[Row]], cases: Sequence[str]) -> Reader:
    readings, states, copies, withheld = list[Array](), list[State](), 0, 0
    for case in cases:
        own = rows.get(case, [])
        known, again = _distinct(own)
        copies += again
        readings.append(np.array([row.mm for row in known if row.mm is not None], float))
        if not own:
            states.append(State.ABSENT)
        elif len(readings[-1]):
            states.append(State.MEASURED)
            withheld += len(known) - len(readings[-1])
        else:
            states.append(State.FAILED if all(r.failed for r in own) else State.REFUSED)
    return Reader(name, kind, tuple(readings), tuple(states), copies, withheld)


def _distinct(rows: list[Row]) -> tuple[list[Row], int]:
    """Return the replicates of a case in order, and how many rows were copies.

    Rows with a replicate of their own are replicates. Without any, equal rows are copies, such as
    one clip in two folders; others contradict each other.
    """
    by_replicate: dict[str, Row] = {}
    copies = 0
    for row in rows:
        former = by_replicate.setdefault(row.replicate, row)
        if former is row:
            continue
        if former.mm != row.mm:
            raise ReadingsError(
                f"{row.where} reads a case otherwise than {former.where}, as the same reader and "
                f"replicate. Number repeated readings in a column replicate, or join by another "
                f"--key ({'|'.join(KEYS)})."
            )
        copies += 1
    return [by_replicate[name] for name in sorted(by_replicate, key=_by_number)], copies


def _by_number(replicate: str) -> tuple[int, str]:
    """Return what puts replicates 2 before 10, and names in their order after numbers."""
    return (int(replicate), "") if replicate.isdecimal() else (sys.maxsize, replicate)


def _patients(
    sources: Sequence[Source], cases: Sequence[str], key: str, full: dict[str, str]
) -> tuple[Groups, int]:
    """Return the patient of each case as a number, and how many cases have none.

    One table says it for all cases that it knows, because another may call the same patients by
    other names (a keyed hash, say): that which knows most cases' patients, the first of equals.
    """
    maps = []
    for source in sources:
        found: dict[str, str] = {}
        for row in source.rows:
            case = _case(row, key, full)
            if row.patient and found.setdefault(case, row.patient) != row.patient:
                raise ReadingsError(
                    f"{row.where} gives a case another patient than a line before it."
                )
        maps.append(found)
    best = max(maps, key=len, default={})
    names = [best.get(case) for case in cases]
    places: dict[tuple[bool, str], int] = {}
    groups = [
        places.setdefault((name is not None, name or case), len(places))
        for case, name in zip(cases, names, strict=True)
    ]
    return np.array(groups, np.intp), sum(name is None for name in names)


def joined(study: Study) -> Counter[str]:
    """Return how many cases no two readers have in their tables, by the reader that has them."""
    alone: Counter[str] = Counter()
    for states in zip(*(reader.states for reader in study.readers), strict=True):
        has = [i for i, state in enumerate(states) if state is not State.ABSENT]
        if len(has) == 1:
            alone[study.readers[has[0]].name] += 1
    return alone
