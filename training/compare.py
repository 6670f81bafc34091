"""Two models on the same cases: which one is better, with evidence. Pure functions of results.

The differences are paired, case by case, and their intervals are by bootstrap over patients. One
endpoint is primary and decides; the others describe, and no correction is made for their number.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from inference.records import Status
from training.estimates import Array, Estimate, bootstrap
from training.gallery import REFUSED_MM, badness
from training.summary import Result, groups_of

# More samples than for a single number: an end of an interval decides.
SAMPLES = 2000
BETTER, WORSE, NOT_SHOWN, TOO_FEW = "better", "worse", "not shown", "too few patients"


@dataclass(frozen=True)
class Side:
    """A model: what it is called, and the sha256 of its weights."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Endpoint:
    """A number of both models on the same `n` cases of `patients`.

    `a` and `b` are means over the cases, or shares. `difference` is a - b; of the bias it is that
    of its size, |a| - |b|. `verdict` says of A against B: better or worse if the 95 % interval of
    the difference excludes 0, else not shown; too few patients where there is none. `unit`: mm,
    "1" (Dice) or "%" (a share from 0 to 1).
    """

    key: str
    name: str
    unit: str
    n: int
    patients: int
    a: float
    b: float
    difference: Estimate
    verdict: str


@dataclass(frozen=True)
class Group:
    """The primary endpoint in one group of a family; it explores, and decides nothing."""

    family: str
    group: str
    endpoint: Endpoint


@dataclass(frozen=True)
class Comparison:
    """A against B. `primary` is the key of the endpoint that decides.

    `cases` could be compared; `failed_both` could not be read or compared for either and are left
    out, those that failed for one alone count as refused by it. `millimetres`: some case has a
    thickness in mm, else only Dice and places are compared.
    """

    a: Side
    b: Side
    cases: int
    patients: int
    failed_both: int
    failed_a: int
    failed_b: int
    millimetres: bool
    seed: int
    primary: str
    endpoints: tuple[Endpoint, ...]
    groups: tuple[Group, ...]

    @property
    def decides(self) -> Endpoint | None:
        """The primary endpoint; None if there is no case for it."""
        return next((each for each in self.endpoints if each.key == self.primary), None)

    def as_json(self) -> dict[str, Any]:
        """Return the content of `compare.json`: numbers only, no names of files."""
        return asdict(self) | {"verdict": self.decides.verdict if self.decides else NOT_SHOWN}


Pair = tuple[Result, Result]
Value = Callable[[Result], float | None]


@dataclass(frozen=True)
class _Question:
    """An endpoint to be: the value of a result, whether less is better, of which pairs."""

    key: str
    name: str
    unit: str
    less_is_better: bool
    value: Value
    of: Callable[[Pair], bool] = lambda pair: True


def score_mm(result: Result) -> float | None:
    """Return what a case costs in mm, None where that cannot be told.

    The absolute error; REFUSED_MM for what was refused, or measured where there is no endometrium;
    0 for what was rightly refused (as `training.validation` scores a network in training).
    """
    if not result.visible:
        return REFUSED_MM if result.measured else 0.0
    if result.true_mm is None:
        return None
    return REFUSED_MM if result.error_mm is None else abs(result.error_mm)


def _measured_by_both(pair: Pair) -> bool:
    return all(result.visible and result.error_mm is not None for result in pair)


_MILLIMETRES = (
    _Question("score_mm", "Score: error, or 1.5 mm if refused or invented", "mm", True, score_mm),
    _Question(
        "mae_mm",
        "Mean absolute error, measured by both",
        "mm",
        True,
        lambda r: None if r.error_mm is None else abs(r.error_mm),
        _measured_by_both,
    ),
)
_BIAS = _Question(
    "bias_mm",
    "Bias, measured by both (difference of its size)",
    "mm",
    True,
    lambda r: r.error_mm,
    _measured_by_both,
)
_OUTLINES = (
    _Question(
        "dice",
        "Dice of the whole band, mean",
        "1",
        False,
        lambda r: r.dice if r.drawn else None,
    ),
    _Question(
        "dice_endometrium",
        "Dice of the endometrium alone, mean",
        "1",
        False,
        lambda r: r.dice_of("endometrium"),
    ),
    _Question("dice_fluid", "Dice of the fluid, mean", "1", False, lambda r: r.dice_of("fluid")),
)
_WHERE = _Question(
    "located",
    "Outlined in the right place",
    "%",
    False,
    lambda r: float(r.located) if r.drawn else None,
)
_SHARES = (
    _Question(
        "on_target",
        "Measured in the right place",
        "%",
        False,
        lambda r: float(r.measured and r.located) if r.drawn else None,
    ),
    _Question(
        "refused",
        "Refused, of those with a visible endometrium",
        "%",
        True,
        lambda r: float(not r.measured) if r.visible else None,
    ),
    _Question(
        "invented",
        "Invented: measured where none is visible",
        "%",
        True,
        lambda r: None if r.visible else float(r.measured),
    ),
)
# Where nobody knows millimetres nothing is measured, and outlines are all there is.
_DRAWN = _Question(
    "outlined_nothing",
    "Outlined where none is visible",
    "%",
    True,
    lambda r: None if r.visible else float(r.outlined),
)


def compare(a: Side, b: Side, pairs: Sequence[Pair], seed: int = 1) -> Comparison:
    """Compare two models by their results on the same cases, A's and B's of each case in a pair."""
    sound = [_as_refused(pair) for pair in pairs if not all(map(_failed, pair))]
    one = [pair for pair in pairs if _failed(pair[0]) != _failed(pair[1])]
    millimetres = any(r.true_mm is not None and r.measured for pair in sound for r in pair)
    questions: tuple[_Question, ...] = (*_OUTLINES, _WHERE, _DRAWN)
    if millimetres:
        questions = (*_MILLIMETRES, _BIAS, *_OUTLINES, *_SHARES)
    found = [_endpoint(question, sound, seed) for question in questions]
    primary = questions[0]
    return Comparison(
        a=a,
        b=b,
        cases=len(sound),
        patients=len({pair[0].patient for pair in sound}),
        failed_both=len(pairs) - len(sound),
        failed_a=sum(_failed(pair[0]) for pair in one),
        failed_b=sum(_failed(pair[1]) for pair in one),
        millimetres=millimetres,
        seed=seed,
        primary=primary.key,
        endpoints=tuple(each for each in found if each is not None),
        groups=tuple(_by_group(primary, sound, seed)),
    )


def change(pair: Pair) -> float:
    """Return how much worse A is than B on a case, to order what changed most: what counts in the
    gallery of an evaluation (mm), and where that is equal the Dice."""
    one, other = pair
    return badness(one) - badness(other) + (other.dice - one.dice)


def changed_most(pairs: Sequence[Pair], most: int) -> tuple[list[int], list[int]]:
    """Return the places of the cases on which A is better, and of those on which B is, at most
    `most` each, those that differ most first."""
    changes = [change(_as_refused(pair)) for pair in pairs]
    order = sorted(range(len(pairs)), key=lambda i: changes[i])
    return (
        [i for i in order if changes[i] < 0][:most],
        [i for i in reversed(order) if changes[i] > 0][:most],
    )


def _failed(result: Result) -> bool:
    return result.status is Status.FAILED


def _as_refused(pair: Pair) -> Pair:
    """Let a case that failed for one model alone count as refused by it."""
    one, other = pair
    if _failed(one) and not _failed(other):
        return _refusal(one, other), other
    if _failed(other) and not _failed(one):
        return one, _refusal(other, one)
    return pair


def _refusal(failed: Result, sound: Result) -> Result:
    return Result(
        name=sound.name,
        patient=sound.patient,
        families=sound.families,
        visible=sound.visible,
        true_mm=sound.true_mm,
        status=Status.NOT_MEASURABLE,
        message=failed.message,
        drawn=sound.drawn,
        drawn_endometrium=sound.drawn_endometrium,
        drawn_fluid=sound.drawn_fluid,
    )


def _endpoint(question: _Question, pairs: Iterable[Pair], seed: int) -> Endpoint | None:
    """Return an endpoint; None if there is no case for it."""
    rows, patients = list[tuple[float, float]](), list[str]()
    for pair in filter(question.of, pairs):
        a, b = (question.value(result) for result in pair)
        if a is not None and b is not None:
            rows.append((a, b))
            patients.append(pair[0].patient)
    if not rows:
        return None
    values = np.array(rows)
    size = question is _BIAS
    found = bootstrap(values, patients, _size if size else _mean, seed=seed, samples=SAMPLES)
    if found is None:
        return None
    mean_a, mean_b = values.mean(0)
    return Endpoint(
        key=question.key,
        name=question.name,
        unit=question.unit,
        n=len(rows),
        patients=len(set(patients)),
        a=float(mean_a),
        b=float(mean_b),
        difference=found,
        verdict=verdict(found, less_is_better=question.less_is_better),
    )


def _mean(values: Array) -> float:
    return float((values[:, 0] - values[:, 1]).mean())


def _size(values: Array) -> float:
    a, b = np.abs(values.mean(0))
    return float(a - b)


def verdict(difference: Estimate, *, less_is_better: bool) -> str:
    """Return whether A is better or worse than B by the interval of a - b."""
    low, high = difference.low, difference.high
    if low is None or high is None:
        return TOO_FEW
    if low <= 0 <= high:
        return NOT_SHOWN
    return BETTER if (high < 0) is less_is_better else WORSE


def _by_group(question: _Question, pairs: Sequence[Pair], seed: int) -> Iterable[Group]:
    known = {id(pair[0]): pair for pair in pairs}
    results = [pair[0] for pair in pairs]
    for family in dict.fromkeys(name for r in results for name in r.families):
        found = groups_of(results, family)
        if len(found) < 2:
            continue
        for name, members in found.items():
            endpoint = _endpoint(question, [known[id(r)] for r in members], seed)
            if endpoint:
                yield Group(family, name, endpoint)
