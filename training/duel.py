"""Both sides of a comparison: a bundle that is run on the cases, or a finished evaluation."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from data.cases import Case
from models.bundle import Bundle, load_bundle
from models.runtime import Runtime, choose_runtime
from training.compare import Pair, Side
from training.evaluate import evaluate
from training.finished import FinishedError, is_finished, read_finished
from training.summary import Result

# Two evaluations of one case have the same truth, up to how it was written.
SAME_MM = 0.01
Key = tuple[str, int]
Named = TypeVar("Named", Case, Result)


@dataclass(frozen=True)
class Model:
    """A bundle ready to be run."""

    bundle: Bundle
    runtime: Runtime


@dataclass(frozen=True)
class Corner:
    """One side: what it is called, and either a model to be run or results that are there."""

    side: Side
    model: Model | None
    results: tuple[Result, ...] = ()


def corner_of(text: str, device: str) -> Corner:
    """Return the side that an argument names: `default`, a bundle, or a finished evaluation.

    Raises BundleError, DeviceError, FinishedError.
    """
    folder = Path(text)
    if text != "default" and is_finished(folder):
        side, results = read_finished(folder)
        return Corner(side, None, tuple(results))
    bundle = load_bundle(None if text == "default" else folder)
    return Corner(Side(bundle.name, bundle.sha256), Model(bundle, choose_runtime(bundle, device)))


def results_of(
    corner: Corner, cases: Sequence[Case], on_case: Callable[[Result], None]
) -> list[Result]:
    """Return the results of a side: measured now, or those that are there."""
    if corner.model is None:
        return list(corner.results)
    return evaluate(cases, corner.model.bundle, corner.model.runtime, on_case=on_case)


@dataclass(frozen=True)
class Paired:
    """The results of both sides on the same cases, in A's order; `keys` tell the cases. `only_a`
    and `only_b` count cases that the other side lacks."""

    keys: tuple[Key, ...]
    pairs: tuple[Pair, ...]
    only_a: int
    only_b: int


def paired(a: Sequence[Result], b: Sequence[Result]) -> Paired:
    """Pair the results of both sides by case. Raises FinishedError if they have none in common, or
    were judged by different truths.
    """
    other = dict(numbered(b))
    both = [(key, result, other.pop(key)) for key, result in numbered(a) if key in other]
    pairs = tuple((one, two) for _, one, two in both)
    if not pairs:
        raise FinishedError(
            f"the two sides have no case in common: A has {a[0].name!r} and {len(a) - 1} more, B "
            f"{b[0].name!r} and {len(b) - 1} more. Judge both on the same data set."
        )
    _check_truths(pairs)
    return Paired(tuple(key for key, _, _ in both), pairs, len(a) - len(pairs), len(other))


def _check_truths(pairs: Sequence[Pair]) -> None:
    """Raise FinishedError where the two sides were judged by different truths.

    A few may differ: in a cine the truth is that of the frame that each model chose.
    """
    known = [
        abs(one.true_mm - two.true_mm) <= SAME_MM
        for one, two in pairs
        if one.true_mm is not None and two.true_mm is not None
    ]
    if any(one.visible != two.visible for one, two in pairs) or 2 * sum(known) < len(known):
        raise FinishedError(
            "the two sides were judged by different truths of the same cases. Judge both on the "
            "same data set."
        )


def numbered(items: Sequence[Named]) -> list[tuple[Key, Named]]:
    """Return cases or results with what tells them apart: the name, and where it comes again
    (frames of one clip) which of them it is."""
    seen: Counter[str] = Counter()
    found = []
    for item in items:
        found.append(((item.name, seen[item.name]), item))
        seen[item.name] += 1
    return found
