"""What became of each cycle, from the visits of a woman: its transfer, or that it was cancelled."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from trial.observations import Cancellation, CycleType, Transfer
from trial.protocol import Protocol, plain
from trial.visits import Problem, Visit

T = TypeVar("T")


@dataclass(frozen=True)
class Outcomes:
    """A woman has one transfer or one cancellation in a cycle, however many rows repeat it.

    `undecided` are cycles before treatment of which no row says whether they were cancelled, in
    the form of a cancellation; they are none.
    """

    transfers: tuple[Transfer, ...]
    cancellations: tuple[Cancellation, ...]
    undecided: tuple[Cancellation, ...]
    problems: tuple[Problem, ...]


def outcomes(visits: Iterable[Visit], protocol: Protocol) -> Outcomes:
    """Return what became of the cycles.

    A yes on any row of a cycle counts for the cycle. Values that rows of a cycle deny each other
    count as unknown and are listed.
    """
    cycles: dict[tuple[str, int], list[Visit]] = {}
    for visit in visits:
        cycles.setdefault((visit.patient, visit.cycle), []).append(visit)
    transfers, cancelled, undecided = list[Transfer](), list[Cancellation](), list[Cancellation]()
    problems: list[Problem] = []
    for rows in cycles.values():
        kind = _one(rows, "cycle_type", problems)
        transfer = _any(row.transfer for row in rows)
        stopped = _any(row.cancelled for row in rows)
        if transfer and stopped:
            at = next(row.row for row in rows if row.cancelled)
            words = "is yes in a cycle with a transfer; both count as unknown."
            problems.append(Problem(at, "cancelled", words))
            transfer = stopped = None
        if transfer:
            transfers.append(_transfer(rows, kind, problems))
        else:
            problems += _unexplained(rows)
        if transfer:
            continue
        if stopped:
            cancelled.append(_cancellation(rows, kind, protocol, problems))
        elif stopped is None and rows[0].cycle <= 0:
            first = rows[0]
            undecided.append(Cancellation(first.row, first.patient, first.cycle, kind, None))
    return Outcomes(tuple(transfers), tuple(cancelled), tuple(undecided), tuple(problems))


def _any(said: Iterable[bool | None]) -> bool | None:
    """Return yes if anyone says so, no if someone says no and nobody yes, else None."""
    values = {each for each in said if each is not None}
    return True in values if values else None


def _one(rows: list[Visit], name: str, problems: list[Problem]) -> T | None:
    """Return the one value that the rows of a cycle have, None without any or with several."""
    found: dict[T, int] = {}
    for row in rows:
        if (value := getattr(row, name)) is not None:
            found.setdefault(value, row.row)
    if len(found) > 1:
        (value, first), (other, row_number), *_ = found.items()
        words = (
            f"is {_said(other)}, and {_said(value)} in row {first} of the same cycle; it counts as "
            "unknown."
        )
        problems.append(Problem(row_number, name, words))
    return next(iter(found)) if len(found) == 1 else None


def _said(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _transfer(rows: list[Visit], kind: CycleType | None, problems: list[Problem]) -> Transfer:
    # What came of it often stands on a later row of the cycle, where nothing was transferred.
    first = next(row for row in rows if row.transfer)
    embryos: int | None = _one(rows, "embryos", problems)
    sacs: int | None = _one(rows, "sacs", problems)
    pregnancy: bool | None = _one(rows, "clinical_pregnancy", problems)
    if sacs is not None and embryos is not None and sacs > embryos:
        words = f"is more than the {embryos} embryos of the cycle; it counts as unknown."
        problems.append(Problem(first.row, "sacs", words))
        sacs = None
    if sacs and pregnancy is False:
        words = "is no in a cycle with sacs with a heartbeat; both count as unknown."
        problems.append(Problem(first.row, "clinical_pregnancy", words))
        sacs = pregnancy = None
    return Transfer(
        first.row, first.patient, first.arm, first.cycle, kind, embryos, sacs, pregnancy
    )


def _unexplained(rows: list[Visit]) -> Iterable[Problem]:
    """Yield the rows with an outcome in a cycle of which none says that it had a transfer."""
    for row in rows:
        told = (row.embryos, row.sacs, row.clinical_pregnancy)
        # Zeros beside a no are what one expects.
        if any(told) or (row.transfer is None and told != (None, None, None)):
            words = (
                "is yes in no row of a cycle with embryos, sacs or a pregnancy; what came of it is "
                "not counted."
            )
            yield Problem(row.row, "transfer", words)


def _cancellation(
    rows: list[Visit], kind: CycleType | None, protocol: Protocol, problems: list[Problem]
) -> Cancellation:
    stopped = [row for row in rows if row.cancelled]
    reasons = {
        plain(row.cancelled_because): row for row in stopped if row.cancelled_because is not None
    }
    for row in reasons.values():
        if protocol.persistent.is_thin(row.cancelled_because) is None:
            words = (
                "is neither among the protocol's persistent.reasons nor among its "
                "persistent.other_reasons; whether it means thin counts as unknown."
            )
            found = (row.cancelled_because or "")[:40]
            problems.append(Problem(row.row, "cancelled_because", words, found))
    meant = {protocol.persistent.is_thin(row.cancelled_because) for row in reasons.values()}
    because = next(iter(reasons.values())).cancelled_because if len(meant) == 1 else None
    if len(meant) > 1:
        rows_named = " and ".join(str(row.row) for row in reasons.values())
        words = f"differs between rows {rows_named} of the same cycle; it counts as unknown."
        problems.append(
            Problem(max(row.row for row in reasons.values()), "cancelled_because", words)
        )
    return Cancellation(stopped[0].row, stopped[0].patient, stopped[0].cycle, kind, because)
