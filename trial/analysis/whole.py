"""Everything that is said about a trial, from its observations and transfers."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from trial.analysis.balance import Balance, Baseline, balance
from trial.analysis.change import Thickness, thickness_by_arm
from trial.analysis.error import MeasurementError, measurement_error
from trial.analysis.flow import Flow, flow
from trial.analysis.mixed import Mixed, mixed
from trial.analysis.numbers import NoResult
from trial.analysis.pregnancy import Outcomes, outcomes
from trial.analysis.repeat import Repeats, repeats
from trial.analysis.values import (
    LATE_PROLIFERATIVE,
    arms_of,
    baseline_of,
    by_cycle,
    in_phase,
    thickness,
)
from trial.observations import Observation, Transfer

POOL = "all women"
"""What the one arm of a blinded analysis is called."""
BASELINE_THICKNESS = "thickness at baseline, mm"


@dataclass(frozen=True)
class Endpoints:
    """What a trial looks at.

    `arms`: the reference and the other; every difference is the other minus the reference.
    `phase`: of the visits that count in a cycle. `scheduled`: cycles that every woman should have a
    visit in. Lengths in mm.
    """

    arms: tuple[str, str]
    levels_mm: tuple[float, ...] = (6.0, 7.0, 8.0)
    threshold_mm: float = 6.0
    phase: str = LATE_PROLIFERATIVE
    scheduled: tuple[int, ...] = ()


@dataclass(frozen=True)
class Analysis:
    """What is said about a trial. No identity of a woman is in it.

    Where it is `blinded`, `arms` is (POOL,), nothing is by arm, and `balance` is empty.
    `women` counts those of the arms.
    """

    arms: tuple[str, ...]
    blinded: bool
    phase: str
    levels_mm: tuple[float, ...]
    threshold_mm: float
    women: dict[str, int]
    thickness: Thickness
    mixed: Mixed | NoResult
    outcomes: Outcomes
    balance: tuple[Balance, ...]
    error: MeasurementError
    repeats: Repeats
    flow: Flow
    earlier_transfers: int
    """Transfers before treatment: a woman's history, and no outcome."""
    other_phase: int
    """Visits measured in another phase than that of the endpoint, which do not count."""

    def as_json(self) -> dict[str, Any]:
        """Return the analysis as what JSON can hold: no woman's name, no number that is not one."""
        return asdict(self)


def analyse(
    observations: Sequence[Observation],
    transfers: Sequence[Transfer],
    endpoints: Endpoints,
    baselines: Mapping[str, Baseline] | None = None,
    blinded: bool = False,
) -> Analysis:
    """Say everything that there is to say about a trial.

    `baselines` is name -> (patient -> value), compared beside the thickness at baseline. A blinded
    analysis pools all women, those without an arm included, and knows no arm at any point. Raises
    ValueError where a woman has two arms or the two arms are the same, ImportError without
    statsmodels.
    """
    if endpoints.arms[0] == endpoints.arms[1]:
        raise ValueError("the two arms of a comparison have the same name")
    # In the order of the table, whatever order they came in: sums then agree to the last digit.
    observations = sorted(observations, key=lambda each: each.row)
    transfers = sorted(transfers, key=lambda each: each.row)
    if blinded:
        observations = [replace(each, arm=POOL) for each in observations]
        transfers = [replace(each, arm=POOL) for each in transfers]
    arms: tuple[str, ...] = (POOL,) if blinded else endpoints.arms
    arm_of = arms_of(observations, transfers)
    found = repeats([each for each in observations if arm_of[each.patient] in arms])
    observations, other_phase = in_phase(observations, endpoints.phase)
    treated = [each for each in transfers if each.cycle >= 1]
    members = {arm: [each for each in arm_of if arm_of[each] == arm] for arm in arms}
    cycles = by_cycle(observations, endpoints.phase)
    women = {arm: {p: cycles[p] for p in members[arm] if p in cycles} for arm in arms}
    return Analysis(
        arms=arms,
        blinded=blinded,
        phase=endpoints.phase,
        levels_mm=endpoints.levels_mm,
        threshold_mm=endpoints.threshold_mm,
        women={arm: len(members[arm]) for arm in arms},
        thickness=thickness_by_arm(women, endpoints.levels_mm, endpoints.threshold_mm),
        mixed=mixed(women),
        outcomes=outcomes(
            {arm: [each for each in treated if arm_of[each.patient] == arm] for arm in arms}
        ),
        balance=() if blinded else _balance(members, cycles, baselines or {}),
        error=measurement_error(women, found),
        repeats=found,
        flow=flow(observations, treated, arm_of, arms, endpoints.scheduled),
        earlier_transfers=len(transfers) - len(treated),
        other_phase=other_phase,
    )


def _balance(
    members: Mapping[str, Sequence[str]],
    cycles: Mapping[str, Mapping[int, Observation]],
    baselines: Mapping[str, Baseline],
) -> tuple[Balance, ...]:
    starts = {patient: baseline_of(each) for patient, each in cycles.items()}
    measured = {patient: thickness(each) for patient, each in starts.items() if each is not None}
    return balance(members, {BASELINE_THICKNESS: measured, **baselines})
