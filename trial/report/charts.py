"""The report's charts, laid out as numbers; `report.html` draws them as SVG."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inference.report.plot import Plot, round_step
from trial.agreement.estimate import Estimate

WIDTH, HEIGHT = 620.0, 320.0
# How far the means of two arms stand apart, as a share of the distance of two cycles.
DODGE = 0.12
# A row of a forest plot, and the room for a tick's words, in units of the plot.
ROW = 26.0


@dataclass(frozen=True)
class Curve:
    """A woman's thickness from cycle to cycle: `path` is SVG path data. `arm` counts from 0."""

    arm: int
    words: str
    path: str


@dataclass(frozen=True)
class Whisker:
    """A mean (x, y) with the ends of its interval, None where there is none; `words` say it."""

    arm: int
    x: float
    y: float
    low: float | None
    high: float | None
    words: str


@dataclass(frozen=True)
class Level:
    """A thickness that is drawn across the plot."""

    y: float
    words: str


@dataclass(frozen=True)
class Course:
    """Thickness over cycles: every woman a curve, and the means of every arm joined."""

    plot: Plot
    curves: tuple[Curve, ...]
    means: tuple[Whisker, ...]
    joined: tuple[Curve, ...]
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class Forest:
    """Estimates in rows: `whiskers` lie at the height of theirs; `zero` is where no effect is."""

    plot: Plot
    whiskers: tuple[Whisker, ...]
    zero: float | None


def course(
    women: Sequence[tuple[int, str, Mapping[int, float]]],
    means: Sequence[tuple[int, int, Estimate, str]],
    levels_mm: Sequence[float],
) -> Course | None:
    """Lay out women's courses and the means of arms; None where nothing was measured.

    `women` are (arm, words, cycle -> mm), `means` (arm, cycle, mm, words).
    """
    every = [mm for _, _, cycles in women for mm in cycles.values()]
    if not every:
        return None
    cycles = sorted({c for _, _, each in women for c in each} | {c for _, c, _, _ in means})
    arms = 1 + max(arm for arm, _, _ in women)
    # Not by the intervals: that of two women may be ten times as wide as all there is to see.
    most = 1.15 * max(*every, *levels_mm, 1.0)
    gap = WIDTH / len(cycles)
    places = {cycle: (i + 0.5) * gap for i, cycle in enumerate(cycles)}

    def y(mm: float) -> float:
        """An interval that is longer than the plot is cut off at its ends."""
        return round(HEIGHT * (1 - min(max(mm, 0.0), most) / most), 1)

    def x(cycle: int, arm: int) -> float:
        return round(places[cycle] + (arm - (arms - 1) / 2) * DODGE * gap, 1)

    curves = tuple(
        Curve(arm, words, _path([(x(c, arm), y(each[c])) for c in cycles if c in each]))
        for arm, words, each in women
        if each
    )
    whiskers = tuple(
        Whisker(
            arm,
            x(cycle, arm),
            y(mean.value),
            None if mean.low is None else y(mean.low),
            None if mean.high is None else y(mean.high),
            words,
        )
        for arm, cycle, mean, words in means
    )
    joined = tuple(
        Curve(arm, "", _path([(each.x, each.y) for each in whiskers if each.arm == arm]))
        for arm in range(arms)
        if any(each.arm == arm for each in whiskers)
    )
    step = round_step(most)
    plot = Plot(
        WIDTH,
        HEIGHT,
        (),
        (),
        tuple((round(places[c], 1), f"{c}".replace("-", "−")) for c in cycles),
        tuple((y(i * step), f"{i * step:g}") for i in range(int(most / step) + 1)),
    )
    levels = tuple(Level(y(mm), f"{mm:g} mm") for mm in levels_mm)
    return Course(plot, curves, whiskers, joined, levels)


def forest(rows: Sequence[tuple[int, str, Estimate]], zero: float | None = 0.0) -> Forest | None:
    """Lay out estimates (arm for its colour, words, estimate), one below the other.

    `zero` is where no effect is, and always seen; None: shares, from 0 to 1. None of no rows.
    """
    if not rows:
        return None
    values = [v for _, _, e in rows for v in (e.value, e.low, e.high) if v is not None]
    if zero is None:
        least, most = 0.0, max(*values, 0.05)
    else:
        least, most = min(*values, zero), max(*values, zero)
    room = 0.06 * (most - least) or 1.0
    step = round_step(most - least + 2 * room)
    least = least if zero is None else step * math.floor((least - room) / step)
    most = step * math.ceil((most + room) / step)
    if zero is None:
        most = min(most, 1.0)

    def x(value: float) -> float:
        return round(WIDTH * (value - least) / (most - least), 1)

    height = ROW * len(rows)
    whiskers = tuple(
        Whisker(
            arm,
            x(e.value),
            round((i + 0.5) * ROW, 1),
            None if e.low is None else x(e.low),
            None if e.high is None else x(e.high),
            words,
        )
        for i, (arm, words, e) in enumerate(rows)
    )
    ticks = range(math.ceil(least / step - 1e-9), math.floor(most / step + 1e-9) + 1)
    signed = zero is not None

    def label(value: float) -> str:
        if not signed:
            return f"{100 * value:g} %"
        return f"{value:+g}".replace("-", "−") if value else "0"

    plot = Plot(
        WIDTH, height, (), (), tuple((x(i * step), label(round(i * step, 9))) for i in ticks), ()
    )
    return Forest(plot, whiskers, None if zero is None else x(zero))


def _path(points: Sequence[tuple[float, float]]) -> str:
    """Return SVG path data through points; one point is a short stroke, so that it is seen."""
    if len(points) == 1:
        ((x, y),) = points
        return f"M{x - 2:g} {y:g}H{x + 2:g}"
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
