"""Everything that is said about a study: every reader, every pair, models beside readers."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from trial.agreement.deming import Deming, deming
from trial.agreement.estimate import are_clustered
from trial.agreement.icc import Icc, icc
from trial.agreement.interchange import Interchange, interchangeability
from trial.agreement.limits import Limits, limits_of_agreement
from trial.agreement.repeatability import Repeatability, repeatability
from trial.agreement.study import Reader, State, Study, joined
from trial.agreement.tables import Kind
from trial.agreement.thin import Confusion, confusion
from trial.agreement.trend import Trend, trend_of

THRESHOLD_MM, MARGIN_MM = 6.0, 0.5


@dataclass(frozen=True)
class ReaderSummary:
    """A reader: cases by what became of them, and how well it repeats itself.

    `alone`: cases that no other reader has; `copies` and `withheld` as in Reader.
    """

    name: str
    kind: Kind
    measured: int
    refused: int
    failed: int
    absent: int
    alone: int
    copies: int
    withheld: int
    repeatability: Repeatability | None


@dataclass(frozen=True)
class Pair:
    """Two readers. `n` cases were measured by both; the others by what is missing."""

    first: str
    second: str
    n: int
    first_only: int
    """Measured by the first; the second has the case and gave no number."""
    second_only: int
    neither: int
    """In both tables, measured by neither."""
    unjoined: int
    """In the table of one of them only."""
    limits: Limits | None
    trend: Trend | None
    icc: Icc | None
    deming: Deming | None
    confusion: Confusion | None


@dataclass(frozen=True)
class GroupIcc:
    """Intraclass correlation of several readers, on the cases that all of them measured."""

    name: str
    readers: tuple[str, ...]
    icc: Icc | None


@dataclass(frozen=True)
class Agreement:
    """What is said about a study. Lengths in mm.

    `clustered`: some patients have several cases, so that intervals go by patient. `interchange`
    compares every model with all readers.
    """

    cases: int
    patients: int
    patients_unknown: int
    clustered: bool
    key: str
    threshold_mm: float
    margin_mm: float
    readers: tuple[ReaderSummary, ...]
    pairs: tuple[Pair, ...]
    iccs: tuple[GroupIcc, ...]
    interchange: dict[str, Interchange | None]

    def as_json(self) -> dict[str, Any]:
        """Return the content of `agree.json`: numbers and names of readers only."""
        found = asdict(self)
        found["interchange"] = {
            name: each and asdict(each) | {"verdict": verdict(each, self.margin_mm)}
            for name, each in self.interchange.items()
        }
        return found


def analyse(
    study: Study, threshold_mm: float = THRESHOLD_MM, margin_mm: float = MARGIN_MM
) -> Agreement:
    """Say everything that there is to say about a study.

    Limits, trend and Deming's line use every reading; correlations and what is thin the first
    reading of each reader, because one reading is what practice has.
    """
    alone = joined(study)
    models = [reader for reader in study.readers if reader.kind is Kind.MODEL]
    people = [reader for reader in study.readers if reader.kind is Kind.READER]
    return Agreement(
        cases=len(study.cases),
        patients=study.patients,
        patients_unknown=study.unknown,
        clustered=are_clustered(study.groups),
        key=study.key,
        threshold_mm=threshold_mm,
        margin_mm=margin_mm,
        readers=tuple(_summary(reader, study, alone[reader.name]) for reader in study.readers),
        pairs=tuple(
            _pair(one, other, study, threshold_mm) for one, other in combinations(study.readers, 2)
        ),
        iccs=tuple(
            GroupIcc(name, tuple(r.name for r in readers), _icc(readers, study))
            for name, readers in _several(people, models, study.readers)
        ),
        interchange={
            model.name: interchangeability(
                [reader.readings for reader in people],
                model.readings,
                threshold_mm,
                study.groups,
            )
            for model in models
        },
    )


def verdict(found: Interchange, margin_mm: float) -> str:
    """Return whether a model disagrees with readers by at most `margin_mm` more than they do.

    By the 95 % interval of the excess: "interchangeable" if it lies below the margin, "not
    interchangeable" if it lies above, else "not shown".
    """
    low, high = found.excess_mm.low, found.excess_mm.high
    if low is None or high is None:
        return "not shown"
    if high < margin_mm:
        return "interchangeable"
    return "not interchangeable" if low > margin_mm else "not shown"


def _several(
    people: Sequence[Reader], models: Sequence[Reader], everybody: Sequence[Reader]
) -> Iterator[tuple[str, Sequence[Reader]]]:
    """Yield groups of three or more readers, each but once; pairs have their own correlation."""
    seen = {2}
    for name, readers in (
        ("the readers", people),
        ("readers and models", [*people, *models]),
        ("all", everybody),
    ):
        if len(readers) > 2 and len(readers) not in seen:
            seen.add(len(readers))
            yield name, readers


def _summary(reader: Reader, study: Study, alone: int) -> ReaderSummary:
    count = Counter(reader.states)
    at = [i for i, each in enumerate(reader.readings) if len(each)]
    return ReaderSummary(
        name=reader.name,
        kind=reader.kind,
        measured=count[State.MEASURED],
        refused=count[State.REFUSED],
        failed=count[State.FAILED],
        absent=count[State.ABSENT],
        alone=alone,
        copies=reader.copies,
        withheld=reader.withheld,
        repeatability=repeatability([reader.readings[i] for i in at], study.groups[at]),
    )


def _pair(one: Reader, other: Reader, study: Study, threshold_mm: float) -> Pair:
    states = Counter(
        tuple(
            "absent" if state is State.ABSENT else "yes" if state is State.MEASURED else "no"
            for state in both
        )
        for both in zip(one.states, other.states, strict=True)
    )
    at = np.array(
        [i for i in range(len(study.cases)) if len(one.readings[i]) and len(other.readings[i])],
        np.intp,
    )
    first, second = ([reader.readings[i] for i in at] for reader in (one, other))
    x, y = (np.array([each.mean() for each in side], float) for side in (first, second))
    groups = study.groups[at]
    return Pair(
        first=one.name,
        second=other.name,
        n=len(at),
        first_only=states["yes", "no"],
        second_only=states["no", "yes"],
        neither=states["no", "no"],
        unjoined=sum(n for both, n in states.items() if both.count("absent") == 1),
        limits=limits_of_agreement(first, second, groups),
        trend=trend_of(x, y, groups),
        icc=_icc((one, other), study),
        deming=deming(first, second, groups),
        confusion=confusion(one.firsts[at], other.firsts[at], threshold_mm, groups),
    )


def _icc(readers: Sequence[Reader], study: Study) -> Icc | None:
    ratings = np.stack([reader.firsts for reader in readers], 1)
    complete = np.isfinite(ratings).all(1)
    return icc(ratings[complete], study.groups[complete])
