"""Who is in the analysis, who is not and why, and what is missing (STARD's flow of participants).

Bossuyt et al., BMJ 351, 2015, h5527, item 19.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from trial.analysis.pregnancy import outcome
from trial.analysis.values import in_order
from trial.observations import Observation, Transfer

UNSAID = "no reason given"


@dataclass(frozen=True)
class Step:
    """Women left at a step, `lost` those of the step before that are not, by reason.

    `by_arm` is empty where arms are blinded, and before they are known.
    """

    name: str
    women: int
    by_arm: dict[str, int]
    lost: dict[str, int]


@dataclass(frozen=True)
class Missing:
    """A cycle of an arm: of its `women`, who was measured, who not and why.

    `absent` have no visit in that cycle at all. `reasons` count women, by their last visit of it.
    """

    arm: str
    cycle: int
    women: int
    measured: int
    absent: int
    reasons: dict[str, int]


@dataclass(frozen=True)
class Flow:
    """The steps of the study and what is missing by arm and cycle.

    Steps up to "measured in a treatment cycle" lead to thickness. Outcomes do not need it, so
    that "with a transfer" goes back to the women of the arms, and `outcomes` has those steps.
    """

    thickness: tuple[Step, ...]
    outcomes: tuple[Step, ...]
    missing: tuple[Missing, ...]


@dataclass(frozen=True)
class Woman:
    """All there is of a woman, in time."""

    arm: str | None
    visits: Sequence[Observation]
    transfers: Sequence[Transfer]


Rule = Callable[[Woman], str | None]
"""Why a woman is lost at a step, None if she is not."""


def flow(
    observations: Sequence[Observation],
    transfers: Sequence[Transfer],
    arms: Mapping[str, str | None],
    compared: Sequence[str],
    scheduled: Sequence[int] = (),
) -> Flow:
    """Return the flow of all women; `arms` is patient -> arm, `compared` the arms of the analysis.

    `scheduled` are cycles that count as missing where nobody has a visit in them. One compared arm
    is the pool of a blinded analysis: the steps of arms are left out, and so are
    counts by arm.
    """
    visits: dict[str, list[Observation]] = {patient: [] for patient in arms}
    moved: dict[str, list[Transfer]] = {patient: [] for patient in arms}
    for visit in observations:
        visits[visit.patient].append(visit)
    for transfer in transfers:
        moved[transfer.patient].append(transfer)
    women = [Woman(arms[each], in_order(visits[each]), moved[each]) for each in arms]
    blinded = len(compared) == 1
    names = () if blinded else tuple(compared)
    start = [Step("in the visits table", len(women), {}, {})]
    left = women
    if not blinded:
        step, left = _step("in a compared arm", left, names, lambda each: _no_arm(each, names))
        start.append(step)
    return Flow(
        thickness=(*start, *_steps(left, names, THICKNESS)),
        outcomes=(*start, *_steps(left, names, OUTCOMES)),
        missing=_missing(left, compared, scheduled),
    )


def _no_arm(woman: Woman, arms: Sequence[str]) -> str | None:
    if woman.arm is None:
        return "no arm"
    return None if woman.arm in arms else "in an arm that is not compared"


def _no_baseline(woman: Woman) -> str | None:
    return None if any(each.cycle <= 0 for each in woman.visits) else "no visit before treatment"


def _unmeasured(woman: Woman) -> str | None:
    return _why([each for each in woman.visits if each.cycle <= 0])


def _untreated(woman: Woman) -> str | None:
    treated = [each for each in woman.visits if each.cycle >= 1]
    return _why(treated) if treated else "no visit in a treatment cycle"


def _no_transfer(woman: Woman) -> str | None:
    return None if woman.transfers else "no transfer"


def _unknown(woman: Woman) -> str | None:
    return "outcome not known" if outcome(woman.transfers) is None else None


THICKNESS: tuple[tuple[str, Rule], ...] = (
    ("with a visit before treatment", _no_baseline),
    ("measured before treatment", _unmeasured),
    ("measured in a treatment cycle", _untreated),
)
OUTCOMES: tuple[tuple[str, Rule], ...] = (
    ("with a transfer", _no_transfer),
    ("with a known outcome", _unknown),
)


def _why(visits: Sequence[Observation]) -> str | None:
    """Return why none of `visits` is measured, by the last that says so; None if one is."""
    if any(each.thickness_mm is not None for each in visits):
        return None
    said = [each.missing for each in visits if each.missing]
    return said[-1] if said else UNSAID


def _steps(
    women: Sequence[Woman], arms: Sequence[str], rules: Sequence[tuple[str, Rule]]
) -> list[Step]:
    found = []
    for name, rule in rules:
        step, women = _step(name, women, arms, rule)
        found.append(step)
    return found


def _step(
    name: str, women: Sequence[Woman], arms: Sequence[str], rule: Rule
) -> tuple[Step, list[Woman]]:
    reasons = [rule(each) for each in women]
    left = [each for each, why in zip(women, reasons, strict=True) if why is None]
    count = Counter(each.arm for each in left)
    lost = _counted([why for why in reasons if why is not None])
    return Step(name, len(left), {arm: count[arm] for arm in arms}, lost), left


def _counted(reasons: Sequence[str]) -> dict[str, int]:
    """Return reasons with their number, the most frequent first."""
    return dict(sorted(Counter(reasons).items(), key=lambda each: (-each[1], each[0])))


def _missing(
    women: Sequence[Woman], compared: Sequence[str], scheduled: Sequence[int]
) -> tuple[Missing, ...]:
    cycles = sorted({*scheduled, *(each.cycle for woman in women for each in woman.visits)})
    found = []
    for arm in compared:
        members = [each for each in women if len(compared) == 1 or each.arm == arm]
        for cycle in cycles:
            there = [[each for each in w.visits if each.cycle == cycle] for w in members]
            reasons = [_why(visits) for visits in there if visits]
            why = [reason for reason in reasons if reason is not None]
            found.append(
                Missing(
                    arm=arm,
                    cycle=cycle,
                    women=len(members),
                    measured=len(reasons) - len(why),
                    absent=len(members) - len(reasons),
                    reasons=_counted(why),
                )
            )
    return tuple(found)
