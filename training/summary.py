"""What came of each case, and what it all amounts to. Pure functions, no files, no images."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from inference.records import Call, Status
from training.estimates import (
    Array,
    Estimate,
    bootstrap,
    lower_limit,
    share,
    standard_deviation,
    upper_limit,
)
from training.metrics import BESIDE_MM, Fit

THRESHOLD_MM = 6.0
# A centre line counts as found if so much of it is.
FOLLOWED = 0.6
# Upper ends (mm) of the groups by true thickness.
BINS = ((4.0, "0 to 4 mm"), (6.0, "4 to 6 mm"), (8.0, "6 to 8 mm"), (math.inf, "8 mm or more"))
# What a bundle's card says of each set that it was judged on.
CARD = (
    "n",
    "failed",
    "visible",
    "measured",
    "refused_share",
    "absent",
    "quiet_share",
    "located_share",
    "on_target_share",
    "misplaced_share",
    "dice_median",
    "dice_mean",
    "dice_outlined_median",
    "bias_mm",
    "sd_mm",
    "mae_mm",
    "p95_mm",
    "within_1_mm",
    "within_2_mm",
    "coverage",
)
ERRORS: dict[str, Callable[[Array], float]] = {
    "bias_mm": lambda errors: float(errors.mean()),
    "sd_mm": standard_deviation,
    "mae_mm": lambda errors: float(np.abs(errors).mean()),
    "limit_low_mm": lower_limit,
    "limit_high_mm": upper_limit,
}


@dataclass(frozen=True)
class Result:
    """One case. Lengths in mm.

    `spread_mm`: how softly the interfaces were drawn. `outlined`: something was, measured or
    refused. `drawn`: the truth has an outline to compare with; then `fit` is the comparison, None
    where nothing was outlined. `drawn_endometrium`, `drawn_fluid`: it has that label, told apart
    from the other. `network_ms`: of one frame through the network; `seconds`: of the whole clip,
    from file to record.
    """

    name: str
    patient: str
    families: dict[str, str]
    visible: bool
    true_mm: float | None
    status: Status
    reason: str | None = None
    message: str | None = None
    measured_mm: float | None = None
    lower_mm: float | None = None
    upper_mm: float | None = None
    call: Call | None = None
    quality: float | None = None
    spread_mm: float | None = None
    outlined: bool = False
    drawn: bool = False
    drawn_endometrium: bool = False
    drawn_fluid: bool = False
    fit: Fit | None = None
    seconds: float | None = None
    network_ms: float | None = None

    @property
    def measured(self) -> bool:
        """A thickness was given."""
        return self.status is Status.MEASURED

    @property
    def located(self) -> bool:
        """Something was outlined in the right place."""
        return self.fit is not None and self.fit.located

    @property
    def dice(self) -> float:
        """Dice of what was outlined, 0 if nothing was."""
        return self.fit.dice if self.fit else 0.0

    def dice_of(self, label: str) -> float | None:
        """Dice of `endometrium` or `fluid`: 0 if nothing was outlined, None without a truth."""
        if not getattr(self, f"drawn_{label}"):
            return None
        return (getattr(self.fit, f"dice_{label}") or 0.0) if self.fit else 0.0

    @property
    def error_mm(self) -> float | None:
        """Measured minus true thickness, None unless both are known."""
        if self.measured_mm is None or self.true_mm is None:
            return None
        return self.measured_mm - self.true_mm

    @property
    def covered(self) -> bool:
        """The interval holds the true thickness."""
        if self.true_mm is None or self.lower_mm is None or self.upper_mm is None:
            return False
        return self.lower_mm <= self.true_mm <= self.upper_mm


@dataclass(frozen=True)
class Summary:
    """What a group of cases amounts to; None where there is nothing to count.

    Lengths in mm; what is said to be "of all" counts every visible case whose truth is known as it
    is needed there. 95 % confidence intervals: of shares Wilson's, of the others by bootstrap over
    patients.
    """

    n: int
    failed: int
    """Could not be read or compared; left out of everything below."""
    visible: int
    measured: int
    measured_share: Estimate | None
    refused_share: Estimate | None
    located_share: Estimate | None
    """Outlined in the right place, measured or refused; of all."""
    on_target_share: Estimate | None
    """Measured, and in the right place; of all."""
    misplaced_share: Estimate | None
    """Measured, but in a wrong place; of all."""
    dice_median: Estimate | None
    """Of all; where nothing was outlined it counts as 0."""
    dice_mean: Estimate | None
    dice_endometrium_median: Estimate | None
    """Of all whose truth has that label, told apart; the same of the next."""
    dice_fluid_median: Estimate | None
    dice_outlined_median: Estimate | None
    """Where something was outlined, measured or refused; so the next three."""
    nsd_mean: Estimate | None
    centre_line_median_mm: Estimate | None
    beside_median_mm: Estimate | None
    dice_measured_median: Estimate | None
    """Where a thickness was given."""
    beside_within_1_mm: Estimate | None
    """The midline lies within 1 mm of the truth's on average and follows most of it; of all."""
    bias_mm: Estimate | None
    sd_mm: Estimate | None
    mae_mm: Estimate | None
    limit_low_mm: Estimate | None
    limit_high_mm: Estimate | None
    p95_mm: float | None
    within_1_mm: Estimate | None
    within_2_mm: Estimate | None
    coverage: Estimate | None
    """The interval holds the truth; of the measured, as the next."""
    indeterminate_share: Estimate | None
    sensitivity: Estimate | None
    """Measured thin; of the truly thin that were measured, whatever the interval says."""
    specificity: Estimate | None
    sensitivity_called: Estimate | None
    """Called thin; of the truly thin that were called thin or not thin."""
    specificity_called: Estimate | None
    absent: int
    """Cases without a visible endometrium."""
    quiet_share: Estimate | None
    """Nothing was measured; of those."""
    network_ms: float | None
    """Median of one frame through the network."""
    clip_seconds: float | None
    """Median of a whole clip, from file to record."""


def thickness_bin(true_mm: float) -> str:
    """Return the group of a true thickness in mm."""
    return next(name for upper, name in BINS if true_mm < upper)


def summarise(results: Iterable[Result], threshold_mm: float = THRESHOLD_MM) -> Summary:
    """Return what a group of cases amounts to."""
    everything = list(results)
    sound = [r for r in everything if r.status is not Status.FAILED]
    visible = [r for r in sound if r.visible]
    absent = [r for r in sound if not r.visible]
    drawn = [r for r in visible if r.drawn]
    fits = [(r, r.fit) for r in drawn if r.fit]
    measured = [r for r in visible if r.measured]
    judged = [(r, r.error_mm) for r in measured if r.error_mm is not None]
    sizes = np.abs([error for _, error in judged])
    called = [r for r, _ in judged if r.call is not Call.INDETERMINATE]

    def right(group: list[Result], *, thin: bool) -> Estimate | None:
        of_kind = [r for r in group if ((r.true_mm or 0.0) < threshold_mm) is thin]
        return share([((r.measured_mm or 0.0) < threshold_mm) is thin for r in of_kind])

    return Summary(
        n=len(everything),
        failed=len(everything) - len(sound),
        visible=len(visible),
        measured=len(measured),
        measured_share=share([r.measured for r in visible]),
        refused_share=share([not r.measured for r in visible]),
        located_share=share([r.located for r in drawn]),
        on_target_share=share([r.measured and r.located for r in drawn]),
        misplaced_share=share([r.measured and not r.located for r in drawn]),
        dice_median=_median((r, r.dice) for r in drawn),
        dice_mean=_mean((r, r.dice) for r in drawn),
        dice_endometrium_median=_median((r, r.dice_of("endometrium")) for r in drawn),
        dice_fluid_median=_median((r, r.dice_of("fluid")) for r in drawn),
        dice_outlined_median=_median((r, fit.dice) for r, fit in fits),
        nsd_mean=_mean((r, fit.nsd) for r, fit in fits),
        centre_line_median_mm=_median((r, fit.centre_line_mm) for r, fit in fits),
        beside_median_mm=_median((r, fit.beside_mm) for r, fit in fits),
        dice_measured_median=_median((r, fit.dice) for r, fit in fits if r.measured),
        beside_within_1_mm=share([_beside(r) for r in drawn]),
        p95_mm=float(np.percentile(sizes, 95)) if judged else None,
        within_1_mm=share([bool(size <= 1) for size in sizes]),
        within_2_mm=share([bool(size <= 2) for size in sizes]),
        coverage=share([r.covered for r, _ in judged]),
        indeterminate_share=share([r.call is Call.INDETERMINATE for r in measured]),
        sensitivity=right([r for r, _ in judged], thin=True),
        specificity=right([r for r, _ in judged], thin=False),
        sensitivity_called=right(called, thin=True),
        specificity_called=right(called, thin=False),
        absent=len(absent),
        quiet_share=share([not r.measured for r in absent]),
        network_ms=_middle(r.network_ms for r in sound),
        clip_seconds=_middle(r.seconds for r in sound),
        **{name: _over_patients(judged, statistic) for name, statistic in ERRORS.items()},
    )


def by_family(results: list[Result]) -> dict[str, dict[str, Summary]]:
    """Return a summary for every group of every family that has more than one."""
    names = dict.fromkeys(name for r in results for name in r.families)
    return {
        name: {group: summarise(members) for group, members in found.items()}
        for name in names
        if len(found := groups_of(results, name)) > 1
    }


def groups_of(results: list[Result], family: str) -> dict[str, list[Result]]:
    """Return the members of every group of a family, in order of the groups' names."""
    names = sorted({r.families[family] for r in results if family in r.families})
    return {name: [r for r in results if r.families.get(family) == name] for name in names}


def card_numbers(results: list[Result]) -> dict[str, Any]:
    """Return the numbers of a bundle's card: rounded, of the whole and by pattern."""
    found = _plain(summarise(results))
    patterns = by_family(results).get("pattern", {})
    return found | {"by_pattern": {name: _plain(group) for name, group in patterns.items()}}


def _plain(summary: Summary) -> dict[str, Any]:
    """Return the counts, the values of what is known, and their 95 % intervals beside them."""
    found: dict[str, Any] = {}
    ends: dict[str, list[float]] = {}
    for name in CARD:
        value = getattr(summary, name)
        if isinstance(value, Estimate):
            if value.low is not None and value.high is not None:
                ends[name] = [round(value.low, 3), round(value.high, 3)]
            value = value.value
        if value is not None:
            found[name] = round(value, 3)
    return found | {"intervals_95": ends}


def _beside(result: Result) -> bool:
    fit = result.fit
    if fit is None or fit.beside_mm is None or fit.followed is None:
        return False
    return fit.beside_mm <= BESIDE_MM and fit.followed >= FOLLOWED


def _median(pairs: Iterable[tuple[Result, float | None]]) -> Estimate | None:
    return _over_patients(pairs, lambda values: float(np.median(values)))


def _mean(pairs: Iterable[tuple[Result, float | None]]) -> Estimate | None:
    return _over_patients(pairs, lambda values: float(np.mean(values)))


def _over_patients(
    pairs: Iterable[tuple[Result, float | None]], statistic: Callable[[Array], float]
) -> Estimate | None:
    known = [(r.patient, value) for r, value in pairs if value is not None]
    return bootstrap([value for _, value in known], [name for name, _ in known], statistic)


def _middle(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
