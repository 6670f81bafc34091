"""The study in sentences, for the page and the terminal."""

from collections.abc import Iterator

from trial.agreement.estimate import Estimate
from trial.agreement.words import NOTHING, ends, number, value_of, with_ends
from trial.analysis.change import Thickness
from trial.analysis.numbers import Count, Sample
from trial.analysis.pregnancy import Outcomes
from trial.analysis.whole import Analysis

NOT_RANDOMISED = (
    "Women were not assigned to the arms by chance. A difference between the arms may come from "
    "who was treated, when, and what else was done: this report calls no difference an effect of "
    "the treatment."
)
RANDOMISED = (
    "The protocol says that women were randomised. This report is descriptive; the confirmatory "
    "analysis is that of the trial's statistical plan."
)
BLINDED = (
    "Blinded to arms: all women are pooled, nothing on this page or in its tables is by arm, and "
    "no table has a line for a woman."
)
MANY = (
    "Many differences are compared, and no correction is made for their number: one in twenty "
    "leaves out zero by chance."
)
# Below it a p value is called small.
SURE = 0.05


def percent(estimate: Estimate | None) -> str:
    """Write a share in per cent with its interval."""
    return with_ends(_hundredfold(estimate), 0)


def points(estimate: Estimate | None) -> str:
    """Write a difference of shares in percentage points with its interval."""
    return with_ends(_hundredfold(estimate), 0, sign=True)


def _hundredfold(estimate: Estimate | None) -> Estimate | None:
    if estimate is None:
        return None
    low, high = (None if end is None else 100 * end for end in (estimate.low, estimate.high))
    return Estimate(100 * estimate.value, low, high)


def count(counted: Count) -> str:
    """Write a count as `7 of 12, 58 % (32 to 81)`."""
    if counted.share is None:
        return NOTHING
    whole = _hundredfold(counted.share)
    return f"{counted.count} of {counted.n}, {value_of(whole, 0)} % ({ends(whole, 0)})"


def mean(sample: Sample, sign: bool = False) -> str:
    """Write a mean with its interval, a dash of nobody."""
    return with_ends(sample.mean, 2, sign)


def p_value(p: float | None) -> str:
    """Write a p value: two digits that count, never zero."""
    if p is None:
        return NOTHING
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def main_points(found: Analysis) -> list[str]:
    """Return what the study comes to so far, a sentence each."""
    return [
        *_thickness(found.thickness, found),
        *_outcomes(found.outcomes, found),
        *_error(found),
        *([] if found.blinded else [MANY]),
    ]


def _thickness(thickness: Thickness, found: Analysis) -> Iterator[str]:
    for arm in found.arms:
        start = thickness.baseline[arm]
        if start.mean is not None:
            yield f"{arm}: {mean(start)} mm at baseline ({start.n} women)."
    for each in thickness.differences:
        if each.change is not None:
            yield (
                f"Change from baseline in cycle {each.cycle}, {_other(found)}: "
                f"{with_ends(each.change, 2, sign=True)} mm; {_told(each.change)}"
            )
    if not thickness.differences:
        for mean_ in thickness.means:
            if mean_.cycle >= 1 and mean_.change.mean is not None:
                yield (
                    f"Change from baseline in cycle {mean_.cycle}: {mean(mean_.change, True)} mm "
                    f"({mean_.change.n} women)."
                )


def _outcomes(outcomes: Outcomes, found: Analysis) -> Iterator[str]:
    for each in outcomes.implantation:
        if each.rate is not None:
            yield (
                f"{each.arm}: {each.sacs} sacs with a heartbeat of {each.embryos} "
                f"embryos, {percent(each.rate.rate)} %."
            )
    if (gap := outcomes.implantation_difference) is not None:
        yield (f"Implantation rate, {_other(found)}: {points(gap)} percentage points; {_told(gap)}")
    for arm in outcomes.any_transfer.arms:
        if arm.pregnant.n:
            yield f"{arm.arm}: clinical pregnancy in {count(arm.pregnant)} of women."
    if (gap := outcomes.any_transfer.difference) is not None:
        yield (
            f"Clinical pregnancy, {_other(found)}: {points(gap)} percentage points, "
            f"Fisher's p {p_value(outcomes.any_transfer.p)}; "
            f"{_told(gap, outcomes.any_transfer.p)}"
        )


def _error(found: Analysis) -> Iterator[str]:
    error = found.error.intervals or found.error.repeats
    if error is not None:
        yield (
            f"A single woman's change counts as more than measurement error from "
            f"{number(error.detectable_mm)} mm on."
        )


def _other(found: Analysis) -> str:
    """Name the two arms of a difference."""
    reference, other = found.arms
    return f"{other} minus {reference}"


def _told(gap: Estimate, p: float | None = None) -> str:
    """Say what the interval of a difference, and a p value if there is one, tells, and no more."""
    if gap.low is None or gap.high is None:
        return "no interval can be given."
    if gap.low <= 0 <= gap.high:
        return "a difference is not shown."
    if p is not None and p >= SURE:
        return "the interval leaves out zero, the exact test does not: a difference is not shown."
    return "the interval leaves out zero."
