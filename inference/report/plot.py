"""Plots laid out as numbers, ready to be drawn as SVG by `charts.html`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Dot:
    """A point in the plot, in plot units, and the case that it stands for if it stands for one."""

    case: int | None
    x: float
    y: float


@dataclass(frozen=True)
class Line:
    """A horizontal line in the plot, with the band of its confidence interval if there is one."""

    y: float
    words: str
    band: tuple[float, float] | None


@dataclass(frozen=True)
class Segment:
    """A straight line from one place in the plot to another, and whether it is dashed."""

    x1: float
    y1: float
    x2: float
    y2: float
    words: str
    dashed: bool


@dataclass(frozen=True)
class Plot:
    """A plot ready to be drawn as SVG."""

    width: float
    height: float
    dots: tuple[Dot, ...]
    lines: tuple[Line, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    segments: tuple[Segment, ...] = ()


def bland_altman(
    pairs: Sequence[tuple[int, float, float]],
    lines: Sequence[tuple[str, float, float | None, float | None]],
) -> Plot | None:
    """Lay out the difference over the mean of (case, true mm, measured mm); None of no pairs.

    Bland and Altman, Lancet 1986, 307; over the mean, not over the truth (Lancet 1995, 1085).

    `lines` are (words, mm, lower and upper end of its interval).
    """
    if not pairs:
        return None
    width, height = 640.0, 340.0
    means = [(true + found) / 2 for _, true, found in pairs]
    gaps = [found - true for _, true, found in pairs]
    x_step, most = round_step(max(means)), max(means) * 1.05
    drawn = [mm for _, *places in lines for mm in places if mm is not None]
    highest = max(*map(abs, (*gaps, *drawn)), 1.0) * 1.1
    y_step = round_step(highest)

    def x(mm: float) -> float:
        return round(width * mm / most, 1)

    def y(mm: float) -> float:
        return round(height / 2 * (1 - min(1.0, max(-1.0, mm / highest))), 1)

    steps = math.floor(highest / y_step)
    return Plot(
        width,
        height,
        tuple(
            Dot(case, x(mean), y(gap))
            for (case, _, _), mean, gap in zip(pairs, means, gaps, strict=True)
        ),
        tuple(
            Line(y(mm), words, None if low is None or high is None else (y(high), y(low)))
            for words, mm, low, high in lines
        ),
        tuple((x(i * x_step), f"{i * x_step:g}") for i in range(int(most / x_step) + 1)),
        tuple(
            (y(i * y_step), f"{i * y_step:+g}".replace("-", "−") if i else "0")
            for i in range(-steps, steps + 1)
        ),
    )


def one_against_other(
    pairs: Sequence[tuple[int, float, float]], fit: tuple[str, float, float] | None
) -> Plot | None:
    """Lay out (case, mm across, mm upwards) with the line of equality; None of no pairs.

    `fit` is another line: its words, slope and intercept in mm.
    """
    if not pairs:
        return None
    size = 400.0
    most = 1.05 * max(max(x, y) for _, x, y in pairs)
    step = round_step(most)

    def at(mm: float) -> float:
        return round(size * mm / most, 1)

    def line(words: str, slope: float, intercept: float, dashed: bool) -> Segment | None:
        ends = [(x, intercept + slope * x) for x in _within(slope, intercept, most)]
        if len(ends) != 2:
            return None
        (x1, y1), (x2, y2) = ends
        return Segment(at(x1), size - at(y1), at(x2), size - at(y2), words, dashed)

    lines = (line("equal", 1.0, 0.0, True), line(*fit, False) if fit else None)
    ticks = [i * step for i in range(int(most / step) + 1)]
    return Plot(
        size,
        size,
        tuple(Dot(case, at(x), size - at(y)) for case, x, y in pairs),
        (),
        tuple((at(mm), f"{mm:g}") for mm in ticks),
        tuple((size - at(mm), f"{mm:g}") for mm in ticks),
        tuple(each for each in lines if each),
    )


def _within(slope: float, intercept: float, most: float) -> list[float]:
    """Return where a line enters and leaves the square from 0 to `most`; none if it misses it."""
    if slope == 0:
        return [0.0, most] if 0 <= intercept <= most else []
    crossings = sorted((-intercept / slope, (most - intercept) / slope))
    low, high = max(0.0, crossings[0]), min(most, crossings[1])
    return [low, high] if low < high else []


def round_step(most: float) -> float:
    """Return a round distance of ticks: 1, 2 or 5 times a power of ten, four to ten of them."""
    power = 10.0 ** math.floor(math.log10(max(most, 1e-6) / 4))
    return next(power * factor for factor in (1, 2, 5, 10) if most / (power * factor) <= 8)
