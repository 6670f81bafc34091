"""A cine: which of its frames are measured, and which of those speaks for it.

A long cine is looked at coarsely first (inference.glance); only where it looks best are frames
measured. The one that speaks has the best quality, less what its neighbours hold against it:
within a tenth of a second an endometrium does not change, so a thickness that jumps is an outline
that went astray. Nothing here knows of files, pictures or networks.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from imaging.reasons import Reason
from inference.records import ClipRecord, Measurement, Status


@dataclass(frozen=True)
class Steadiness:
    """How far a frame may differ from its neighbours before it is suspicious.

    `reach` frames to either side are its neighbours: at 25 frames a second less than a tenth of
    one, in which breath and pulse move a uterus by a millimetre or two but do not thicken it, and
    still four witnesses, whose median one stray outline cannot bend. What is left is how well a
    thickness repeats on almost the same picture: in simulated cines three of four frames lie
    within 0.3 mm of that median. Beyond `allowed_mm` or `allowed_share` of the median, whichever
    is more, lies one frame in twenty, mostly an outline that went astray. An outline that no
    neighbour has speaks for nothing: published cines without an endometrium give such. Where a
    cine is cut, only the frames beside the cut lose.
    """

    reach: int = 2
    allowed_mm: float = 0.5
    allowed_share: float = 0.1

    def window(self, number: int, frames: int) -> range:
        """Return the numbers (from 1) of a frame and its neighbours in a clip of `frames`."""
        return range(max(1, number - self.reach), min(frames, number + self.reach) + 1)

    def neighbours(self, row: Measurement, rows: Mapping[int, Measurement]) -> list[Measurement]:
        """Return the measured neighbours that could be read, by what `rows` hold by number."""
        number = row.frame or 1
        around = self.window(number, max(rows, default=1))
        seen = [rows[each] for each in around if each != number and each in rows]
        return [each for each in seen if each.status is not Status.FAILED]

    def score(self, row: Measurement, neighbours: Iterable[Measurement]) -> float:
        """Score a measured frame: 1 if it agrees with its neighbours, 0.5 at twice what is allowed.

        Frames without a thickness say nothing about another's, but where there are only such, and
        at least `reach` of them, the score is 0. A lone neighbour is no witness for that: two
        stills may share a file.
        """
        witnesses = list(neighbours)
        expected = median_mm(witnesses)
        if row.thickness_mm is None or not witnesses:
            return 1.0
        if expected is None:
            return 0.0 if len(witnesses) >= self.reach else 1.0
        allowed = max(self.allowed_mm, self.allowed_share * expected)
        return min(1.0, allowed / max(abs(row.thickness_mm - expected), 1e-9))


@dataclass(frozen=True)
class Thrift:
    """How much of a cine is measured.

    Up to `short` frames all of them: there is little to save. Of longer ones every `stride`-th is
    looked at, and a share of `measured` measured, those that look best, besides the neighbours
    of the one that is chosen. A look costs a quarter to a third of a measurement, so that all
    together stays below a third of measuring every frame (`python -m benchmarks.cines`). A look
    tells also of the frames up to `view` away, the less the farther.
    """

    short: int = 32
    stride: int = 3
    measured: float = 0.15
    view: int = 4


STEADINESS = Steadiness()
THRIFT = Thrift()

Measure = Callable[[int], Measurement]
Look = Callable[[int], float | None]


def measure_all(frames: int, measure: Measure) -> list[Measurement]:
    """Measure every frame of a clip, in order."""
    return [measure(number) for number in range(1, frames + 1)]


def measure_best(
    frames: int,
    look: Look,
    measure: Measure,
    thrift: Thrift = THRIFT,
    steadiness: Steadiness = STEADINESS,
) -> list[Measurement]:
    """Measure the frames of a clip that may speak for it; return their rows in order.

    `look` estimates the quality of a frame (by number, from 1), None where it cannot be read;
    `measure` measures one, and gives a row with status failed for one that cannot be read. Both
    are called for one frame at a time. Frames that could not be read have a row, too; all others
    that were passed over have none. Where nothing seems to be seen, frames spread over the clip
    are measured, so that no clip is refused on the word of a look alone.
    """
    if frames <= thrift.short:
        return measure_all(frames, measure)
    seen = {number: look(number) for number in range(1, frames + 1, thrift.stride)}
    rows = {number: measure(number) for number, score in seen.items() if score is None}
    estimates = {number: score for number, score in seen.items() if score is not None}
    budget = max(2 * steadiness.reach + 1, round(thrift.measured * frames)) + len(rows)

    def add(numbers: Iterable[int]) -> None:
        for number in numbers:
            if number not in rows:
                rows[number] = measure(number)

    for number in _promising(frames, estimates, thrift):
        if len(rows) >= budget:
            break
        add([number])
    if all(row.thickness_mm is None for row in rows.values()):
        room = max(budget - len(rows), 2 * steadiness.reach + 1)
        add(np.linspace(1, frames, min(room, frames)).round().astype(int).tolist())
    # Whoever is to speak has all its neighbours measured: they may know better, or be better.
    while (chosen := choose(rows.values(), steadiness)) and chosen.frame is not None:
        missing = [each for each in steadiness.window(chosen.frame, frames) if each not in rows]
        if not missing:
            break
        add(missing)
    return [rows[number] for number in sorted(rows)]


def _promising(frames: int, estimates: Mapping[int, float], thrift: Thrift) -> list[int]:
    """Return frame numbers, the best estimate first; none without hope.

    A frame's estimate is the mean of those around it, weighted by nearness: what a single look
    sees is partly chance, and frames between two looks have none of their own.
    """
    around = {}
    for number in range(1, frames + 1):
        near = [i for i in range(number - thrift.view, number + thrift.view + 1) if i in estimates]
        weights = [math.exp(-0.5 * (i - number) ** 2) for i in near]
        total = sum(w * estimates[i] for w, i in zip(weights, near, strict=True))
        if total > 0:
            around[number] = total / sum(weights)
    return sorted(around, key=lambda number: -around[number])


def choose(rows: Iterable[Measurement], steadiness: Steadiness = STEADINESS) -> Measurement | None:
    """Return the row that speaks for a clip; None if nothing was outlined in any frame.

    Measured frames come before others, then the better quality, times the agreement with the
    neighbours. Of equals the first.
    """
    by_number = {row.frame: row for row in rows if row.frame is not None}
    outlined = [row for row in by_number.values() if row.quality is not None]

    def rank(row: Measurement) -> tuple[bool, float]:
        steady = steadiness.score(row, steadiness.neighbours(row, by_number))
        return row.status is Status.MEASURED, (row.quality or 0.0) * steady

    return max(outlined, key=rank, default=None)


def median_mm(rows: Iterable[Measurement]) -> float | None:
    """Return the median thickness of those rows that have one."""
    values = [row.thickness_mm for row in rows if row.thickness_mm is not None]
    return float(np.median(values)) if values else None


def summarise(
    blank: ClipRecord, rows: list[Measurement], steadiness: Steadiness = STEADINESS
) -> ClipRecord:
    """Let the chosen frame speak for the clip, and say how the others agree.

    A clip is refused where the frames beside the chosen one show nothing to measure. `rows` are of
    the frames that were measured or could not be read, in order. What is told of the agreement
    (`frames_measured`, `frames_median_mm`, `frames_iqr_mm`) is of those with a thickness.
    """
    best = choose(rows, steadiness)
    refused = [row for row in rows if row.reason]
    if best is None and refused:
        # Nothing was outlined anywhere: the commonest reason is the clip's.
        reason = Counter(row.reason for row in refused).most_common(1)[0][0]
        best = replace(next(row for row in refused if row.reason is reason), frame=None)
    if best is None:
        return replace(blank, best=replace(rows[0], frame=None))  # no frame could be read
    near = steadiness.neighbours(best, {row.frame: row for row in rows if row.frame is not None})
    if steadiness.score(best, near) == 0:
        best = replace(
            best,
            status=Status.NOT_MEASURABLE,
            reason=Reason.LOW_QUALITY,
            message="No endometrium was measured in the frames just before and after the best one, "
            "so what was outlined there is none. Record a cine that holds it for a moment.",
            thickness_mm=None,
            lower_mm=None,
            upper_mm=None,
            call=None,
            threshold_mm=None,
        )
    for note in _notes(best, near, rows, blank.frames or len(rows), steadiness):
        best = replace(best, message=f"{best.message} {note}" if best.message else note)
    values = [row.thickness_mm for row in rows if row.thickness_mm is not None]
    quartiles = np.percentile(values, [25, 50, 75]).tolist() if values else None
    return replace(
        blank,
        best=best,
        frames_measured=len(values),
        frames_median_mm=quartiles[1] if quartiles else None,
        frames_iqr_mm=quartiles[2] - quartiles[0] if quartiles else None,
    )


def _notes(
    best: Measurement,
    near: list[Measurement],
    rows: list[Measurement],
    frames: int,
    steadiness: Steadiness,
) -> list[str]:
    """Say what a person should know about the chosen frame and the others."""
    notes = []
    if best.thickness_mm is not None and steadiness.score(best, near) < 1:
        notes.append(
            f"The frames just before and after this one measure {median_mm(near):.1f} mm: an "
            "endometrium does not change so fast, so check the outline."
        )
    failed = sum(row.status is Status.FAILED for row in rows)
    if failed:
        least = "" if len(rows) == frames else "At least "  # the others were passed over
        notes.append(f"{least}{failed} of {frames} frames could not be read.")
    return notes
