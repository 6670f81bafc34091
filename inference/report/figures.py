"""The drawings of a run's page, laid out as numbers in the units of their SVG."""

import math
from dataclasses import dataclass
from datetime import timedelta

from inference.records import Call
from inference.report.plot import Plot, bland_altman, round_step
from inference.report.tally import BIN_MM, MOST_BINS, Agreement, Tally
from inference.report.trends import Patient

WIDTH, HEIGHT = 640.0, 240.0
TREND_WIDTH, TREND_HEIGHT = 200.0, 90.0
# In every drawing of millimetres as far above the threshold as below it, at least.
AT_LEAST = 2.0
# Studies that are drawn of one patient; the latest.
MOST_DRAWN = 24


@dataclass(frozen=True)
class Bar:
    """A part of a bar: where it stands, the call that it counts, what it says."""

    x: float
    y: float
    width: float
    height: float
    call: str
    words: str


@dataclass(frozen=True)
class Histogram:
    """Thicknesses by call; `threshold` is the place of the threshold on the x axis.

    `rows` holds the same as text: range of thickness, then a count per call.
    """

    plot: Plot
    bars: tuple[Bar, ...]
    threshold: float
    rows: tuple[tuple[str, tuple[int, ...]], ...]


def histogram(tally: Tally) -> Histogram | None:
    """Lay out the thicknesses of a run, None if there is none. The threshold is an edge of bars."""
    if not tally.bins:
        return None
    limit = tally.threshold_mm
    first = -math.ceil(limit / BIN_MM)
    last = max(math.ceil(limit / BIN_MM), 1 + max(place for place, _ in tally.bins))
    places = range(first, last)
    counts = {p: tuple(tally.bins[p, str(call)] for call in Call) for p in places}
    highest = max(sum(each) for each in counts.values())
    wide, low_mm = WIDTH / len(places), limit + first * BIN_MM

    def x(mm: float) -> float:
        return round((mm - low_mm) / BIN_MM * wide, 1)

    bars = []
    for place, each in counts.items():
        below = 0
        for call, n in zip(Call, each, strict=True):
            if n:
                tall = HEIGHT * n / highest
                top = HEIGHT * (1 - (below + n) / highest)
                words = f"{_range(place, limit)}: {n:,} {str(call).replace('_', ' ')}"
                left = round((place - first) * wide + 0.5, 1)
                box = (left, round(top, 1), round(wide - 1, 1), round(tall, 1))
                bars.append(Bar(*box, str(call), words))
            below += n
    most_mm = limit + last * BIN_MM
    step, up = round_step(most_mm), max(1.0, round_step(highest))
    plot = Plot(
        WIDTH,
        HEIGHT,
        (),
        (),
        tuple((x(i * step), f"{i * step:g}") for i in range(math.floor(most_mm / step) + 1)),
        tuple(
            (round(HEIGHT * (1 - i * up / highest), 1), f"{i * up:,.0f}")
            for i in range(math.floor(highest / up) + 1)
        ),
    )
    rows = tuple((_range(p, limit), each) for p, each in counts.items() if sum(each))
    return Histogram(plot, tuple(bars), x(limit), rows)


def _range(place: int, limit: float) -> str:
    low = limit + place * BIN_MM
    if place >= MOST_BINS:
        return f"{low:g} mm and more"
    return f"{max(0.0, low):g} to {low + BIN_MM:g} mm"


def agreement_plot(agreement: Agreement) -> Plot | None:
    """Lay out Bland and Altman's plot against the calipers in the pictures."""
    lines: list[tuple[str, float, float | None, float | None]] = [
        (f"mean {signed(agreement.mean_mm)} mm", agreement.mean_mm, None, None)
    ]
    for words, mm in zip(("lower", "upper"), agreement.limits_mm or (), strict=False):
        lines.append((f"{words} limit {signed(mm)} mm", mm, None, None))
    pairs = [(0, by_hand, measured) for by_hand, measured in agreement.sample.values()]
    return bland_altman(pairs, lines)


def signed(mm: float) -> str:
    """Return a difference with its sign, two decimals."""
    return f"{mm:+.2f}".replace("-", "−")


@dataclass(frozen=True)
class Point:
    """A study in a trend: its place, and the ends of its interval."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class Trend:
    """The thickness of one patient over time. `words` tells all of it, a study each."""

    points: tuple[Point, ...]
    threshold: float
    top_mm: str
    span: str
    summary: str
    words: tuple[str, ...]
    left_out: int


def trend(patient: Patient, threshold_mm: float, *, dates: bool) -> Trend:
    """Lay out the studies of a patient; without `dates` times count from the first of them."""
    studies = patient.studies[-MOST_DRAWN:]
    begin, end = studies[0].at, studies[-1].at
    most = max(AT_LEAST * threshold_mm, *(each.upper_mm for each in studies))

    def y(mm: float) -> float:
        return round(TREND_HEIGHT * (1 - mm / most), 1)

    def x(i: int) -> float:
        share = (studies[i].at - begin) / (end - begin) if end > begin else i / (len(studies) - 1)
        return round(TREND_WIDTH * share, 1)

    words = tuple(
        f"{_when(each.at - begin) if not dates else each.at.date().isoformat()}: "
        f"{each.mm:.1f} mm ({each.lower_mm:.1f}–{each.upper_mm:.1f})"
        for each in studies
    )
    first, last = studies[0], studies[-1]
    apart = last.lower_mm > first.upper_mm or last.upper_mm < first.lower_mm
    certain = "" if apart else "; the intervals overlap"
    return Trend(
        tuple(
            Point(x(i), y(each.mm), y(each.lower_mm), y(each.upper_mm))
            for i, each in enumerate(studies)
        ),
        y(threshold_mm),
        f"{most:.0f}",
        _when(end - begin),
        f"{first.mm:.1f} to {last.mm:.1f} mm{certain}",
        words,
        len(patient.by_study) - len(studies),
    )


def _when(after: timedelta) -> str:
    return f"day {after.days}"


@dataclass(frozen=True)
class Range:
    """An interval on a line from 0 to twice the threshold, in percent of that line."""

    low: float
    high: float
    at: float


def interval_range(lower_mm: float, upper_mm: float, mm: float, threshold_mm: float) -> Range:
    """Lay out an interval; what lies beyond the line stops at its end."""
    most = AT_LEAST * threshold_mm
    low, high, at = (round(100 * min(1.0, max(0.0, v / most)), 1) for v in (lower_mm, upper_mm, mm))
    return Range(low, high, at)
