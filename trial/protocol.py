"""A trial's protocol: a TOML file that gives every value with its origin.

`load_protocol("NCT07176143")` is the one that ships; docs/trial.md describes the fields.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from trial.observations import CycleType
from trial.protocol_fields import Fields, ProtocolError, read_toml

__all__ = [
    "Arm",
    "Endpoint",
    "EndpointKind",
    "Persistent",
    "Phase",
    "Protocol",
    "ProtocolError",
    "ScheduledVisit",
    "Source",
    "load_protocol",
    "shipped",
]

FOLDER = Path(__file__).with_name("protocols")
THINNEST_MM, THICKEST_MM = 1.0, 20.0
# Cycles with hormone replacement are prolonged at need, natural ones of adhesions are irregular.
LAST_DAY = 100
MOST_CYCLES = 50
T = TypeVar("T")


class EndpointKind(StrEnum):
    """What is compared between arms."""

    THICKNESS = "thickness"
    IMPLANTATION = "implantation"
    CLINICAL_PREGNANCY = "clinical_pregnancy"


@dataclass(frozen=True)
class Source:
    """Where the values of a section come from; `assumption`: not from the registration alone."""

    origin: str
    assumption: bool


@dataclass(frozen=True)
class Arm:
    """One treatment."""

    key: str
    title: str


@dataclass(frozen=True)
class Phase:
    """A part of the cycle; `days` are its first and last cycle day for each type of cycle."""

    key: str
    title: str
    days: Mapping[CycleType, tuple[int, int]]


@dataclass(frozen=True)
class Persistent:
    """When an endometrium is persistently thin: so many cycles cancelled for it, each seen thin in
    `phase`. `reasons` are the words of a cancellation that mean thin, `other_reasons` those that
    do not.
    """

    cancelled_cycles: int
    phase: str
    cycle_types: tuple[CycleType, ...]
    reasons: tuple[str, ...]
    other_reasons: tuple[str, ...]

    def is_thin(self, because: str | None) -> bool | None:
        """Tell whether a reason of cancellation means thin; None if no list has it."""
        said = plain(because or "")
        if said in map(plain, self.reasons):
            return True
        return False if said in map(plain, self.other_reasons) else None


@dataclass(frozen=True)
class ScheduledVisit:
    """A visit that every woman should have."""

    key: str
    title: str
    cycle: int
    phase: str


@dataclass(frozen=True)
class Endpoint:
    """What is reported by arm, and when it is looked at, in words."""

    key: str
    title: str
    kind: EndpointKind
    primary: bool
    when: str


@dataclass(frozen=True)
class Protocol:
    """A trial. Lengths in mm. `sources` has the origin of every section by its name, such as
    `threshold` or `arms.control`; that of the fields above all sections is `trial`.
    """

    file: Path
    title: str
    registration: str
    randomised: bool
    women: int
    reference_arm: str
    arms: tuple[Arm, ...]
    threshold_mm: float
    levels_mm: tuple[float, ...]
    reader_half_width_mm: float
    phases: tuple[Phase, ...]
    persistent: Persistent
    visits: tuple[ScheduledVisit, ...]
    endpoints: tuple[Endpoint, ...]
    sources: Mapping[str, Source]

    def arm(self, text: str) -> str | None:
        """Return the key of the arm that a cell names by key or title, None if there is none."""
        return _named(text, self.arms)

    def phase(self, text: str) -> str | None:
        """Return the key of the phase that a cell names by its key or title."""
        return _named(text, self.phases)

    def phase_of(self, cycle_type: CycleType | None, cycle_day: int | None) -> str | None:
        """Return the phase of a cycle day.

        None without either, or outside all phases.
        """
        if cycle_type is None or cycle_day is None:
            return None
        for phase in self.phases:
            first, last = phase.days.get(cycle_type, (0, -1))
            if first <= cycle_day <= last:
                return phase.key
        return None

    def title_of(self, phase: str) -> str:
        """Return what people call a phase."""
        return next(each.title for each in self.phases if each.key == phase)


def plain(text: str) -> str:
    """Return words without the differences that people make: case, spaces, hyphens, underscores."""
    return " ".join(text.casefold().replace("_", " ").replace("-", " ").split())


def _named(text: str, among: tuple[Arm, ...] | tuple[Phase, ...]) -> str | None:
    for each in among:
        if plain(text) in (plain(each.key), plain(each.title)):
            return each.key
    return None


def shipped() -> list[str]:
    """Return the names of the protocols that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_protocol(name_or_path: str | Path) -> Protocol:
    """Read a protocol: one that ships, by its name, or a TOML file.

    Raises ProtocolError, with file, line and field, for everything that is wrong in it.
    """
    path = Path(name_or_path)
    if str(name_or_path) in shipped():
        path = FOLDER / f"{name_or_path}.toml"
    elif not path.exists():
        raise ProtocolError(
            f"{name_or_path} is neither a file nor a protocol that ships: {', '.join(shipped())}."
        )
    return _Reading(path).protocol()


class _Reading:
    """Takes a protocol out of its file and gathers the origins."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._top = read_toml(path)
        self._sources: dict[str, Source] = {}

    def protocol(self) -> Protocol:
        top = self._top
        title, registration = top.text("title"), top.text("registration")
        randomised, women = top.flag("randomised"), top.whole("women", 1, 1_000_000)
        arms = tuple(
            self._section(each, f"arms.{key}", Arm(key, each.text("title")))
            for key, each in self._keyed("arms")
        )
        phases = tuple(self._phases())
        keys = [phase.key for phase in phases]
        threshold, levels, reader = (top.table(name) for name in ("threshold", "levels", "reader"))
        found = Protocol(
            file=self._path,
            title=title,
            registration=registration,
            randomised=randomised,
            women=women,
            reference_arm=top.choice("reference_arm", [arm.key for arm in arms]),
            arms=arms,
            threshold_mm=self._section(
                threshold, "threshold", threshold.millimetres("mm", THINNEST_MM, THICKEST_MM)
            ),
            levels_mm=self._section(
                levels, "levels", levels.several_millimetres("mm", THINNEST_MM, THICKEST_MM)
            ),
            reader_half_width_mm=self._section(
                reader, "reader", reader.millimetres("half_width_mm", 0.01, 5)
            ),
            phases=phases,
            persistent=self._persistent(keys),
            visits=tuple(
                self._section(
                    each,
                    f"visits.{key}",
                    ScheduledVisit(
                        key,
                        each.text("title"),
                        each.whole("cycle", -MOST_CYCLES, MOST_CYCLES),
                        each.choice("phase", keys),
                    ),
                )
                for key, each in self._keyed("visits")
            ),
            endpoints=tuple(
                self._section(
                    each,
                    f"endpoints.{key}",
                    Endpoint(
                        key,
                        each.text("title"),
                        EndpointKind(each.choice("kind", list(EndpointKind))),
                        each.flag("primary"),
                        each.text("when"),
                    ),
                )
                for key, each in self._keyed("endpoints")
            ),
            sources=self._sources,
        )
        return self._section(top, "trial", found)

    def _section(self, fields: Fields, name: str, value: T) -> T:
        """Note where a section's values come from, and that it holds nothing else."""
        self._sources[name] = Source(
            fields.text("origin"), fields.flag("assumption", default=False)
        )
        fields.done()
        return value

    def _phases(self) -> Iterator[Phase]:
        taken: dict[CycleType, dict[int, str]] = {kind: {} for kind in CycleType}
        for key, each in self._keyed("phases"):
            title = each.text("title")
            days = {kind: each.days(kind, LAST_DAY) for kind in CycleType if each.has(kind)}
            if not days:
                raise each.wrong("key", f"is {key!r} without days: give {' or '.join(CycleType)}.")
            for kind, (first, last) in days.items():
                for day in range(first, last + 1):
                    if (other := taken[kind].setdefault(day, key)) != key:
                        raise each.wrong(
                            kind, f"has day {day}, which is in {other}; a day has one phase."
                        )
            yield self._section(each, f"phases.{key}", Phase(key, title, days))

    def _persistent(self, phases: list[str]) -> Persistent:
        given = self._top.table("persistent")
        found = Persistent(
            cancelled_cycles=given.whole("cancelled_cycles", 1, MOST_CYCLES),
            phase=given.choice("phase", phases),
            cycle_types=tuple(map(CycleType, given.choices("cycle_types", list(CycleType)))),
            reasons=given.texts("reasons"),
            other_reasons=given.texts("other_reasons"),
        )
        if both := sorted(set(map(plain, found.reasons)) & set(map(plain, found.other_reasons))):
            raise given.wrong("other_reasons", f"holds {both[0]!r}, which is in reasons, too.")
        return self._section(given, "persistent", found)

    def _keyed(self, name: str) -> list[tuple[str, Fields]]:
        found: dict[str, Fields] = {}
        for each in self._top.tables(name):
            key = each.text("key")
            # Cells are read without regard to capitals, spaces and hyphens.
            if plain(key) in map(plain, found):
                raise each.wrong("key", f"is {key!r} a second time; every one has its own.")
            found[key] = each
        return list(found.items())
