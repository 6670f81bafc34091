"""Agreement in words and cells, for the terminal and for the page."""

import math

from trial.agreement.analysis import Agreement, Pair, verdict
from trial.agreement.estimate import FEWEST, Estimate
from trial.agreement.limits import Method

NOTHING = "–"
METHODS = {
    Method.EXACT: "one reading each of independent cases: exact intervals",
    Method.REPLICATES: "repeated readings of a case, of one true value: intervals by MOVER",
    Method.PATIENTS: "several cases of a patient: variance between and within patients, "
    "intervals by MOVER",
    Method.BOTH: "repeated readings, and several cases of a patient: intervals by MOVER",
}


def number(value: float | None, digits: int = 2, sign: bool = False) -> str:
    """Write a number; a dash for none."""
    if value is None or not math.isfinite(value):
        return NOTHING
    shown = f"{value:{'+' if sign else ''}.{digits}f}"
    return shown.replace("-", "−") if float(shown) else shown.lstrip("+-")


def ends(estimate: Estimate | None, digits: int = 2, sign: bool = False) -> str:
    """Write an interval, empty for none."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    return f"{number(estimate.low, digits, sign)} to {number(estimate.high, digits, sign)}"


def value_of(estimate: Estimate | None, digits: int = 2, sign: bool = False) -> str:
    """Write the value of an estimate; a dash for none."""
    return NOTHING if estimate is None else number(estimate.value, digits, sign)


def with_ends(estimate: Estimate | None, digits: int = 2, sign: bool = False) -> str:
    """Write an estimate with its interval in brackets."""
    interval = ends(estimate, digits, sign)
    return value_of(estimate, digits, sign) + (f" ({interval})" if interval else "")


def intervals(found: Agreement) -> str:
    """Return how intervals were made, and what they do not count."""
    if found.patients_unknown == found.cases:
        return (
            "No patients are given: every case counts as independent, and intervals are too "
            "narrow if it is not. Give a column patient."
        )
    some = ""
    if found.patients_unknown:
        some = f" Of {found.patients_unknown} cases no patient is known; each counts as one."
    if not found.clustered:
        return f"Every patient has one case, so cases count as independent.{some}"
    return (
        "Some patients have several cases: intervals go by patient (limits by variance components, "
        "shares, kappa and interchangeability by bootstrap over patients with a fixed seed, the "
        f"others by leaving out one patient at a time; none of fewer than {FEWEST} patients)."
        f"{some}"
    )


def pair_words(pair: Pair, threshold_mm: float) -> list[str]:
    """Return what a pair of readers comes to, a sentence each."""
    said = []
    if limits := pair.limits:
        below, above = limits.low.value, limits.high.value
        said.append(
            f"95 of 100 readings of {pair.first} lie between {_way(below)} and {_way(above)} a "
            f"reading of {pair.second}."
        )
        said.append(_bias_words(pair, limits.bias))
    else:
        said.append(f"{pair.n} cases were measured by both: too few for limits of agreement.")
    if pair.trend:
        said.append(_trend_words(pair))
    if pair.confusion and pair.confusion.kappa is None:
        said.append(
            f"Kappa is not defined: of these cases a reader has all on one side of "
            f"{threshold_mm:g} mm."
        )
    missing = [
        f"{n} measured by {words}"
        for n, words in (
            (pair.first_only, f"{pair.first} alone"),
            (pair.second_only, f"{pair.second} alone"),
            (pair.neither, "neither"),
        )
        if n
    ]
    if missing:
        said.append(f"Left out though in both tables: {', '.join(missing)}.")
    if pair.unjoined:
        hint = "" if pair.n else " Another --key may join them."
        said.append(f"{pair.unjoined} cases are in one of the two tables only.{hint}")
    return said


def interchange_rows(found: Agreement) -> list[tuple[str, ...]]:
    """Return a row for every model: name, cases, readers, both disagreements, excess, verdict."""
    rows = []
    for name, each in found.interchange.items():
        if each is None:
            rows.append((name, *([NOTHING] * 6), "no case was read by it and two readers"))
            continue
        rows.append(
            (
                name,
                str(each.n),
                number(each.readers_mm),
                number(each.model_mm),
                with_ends(each.excess_mm, sign=True),
                with_ends(each.index, sign=True),
                f"{100 * each.readers_thin:.0f} %, {100 * each.model_thin:.0f} %",
                verdict(each, found.margin_mm),
            )
        )
    return rows


def _way(mm: float) -> str:
    return f"{number(abs(mm))} mm {'below' if mm < 0 else 'above'}"


def _bias_words(pair: Pair, bias: Estimate) -> str:
    if bias.low is None or bias.high is None:
        return "Whether one reads more than the other cannot be told."
    if bias.low <= 0 <= bias.high:
        return "That one reads more than the other on average is not shown."
    more, less = (pair.first, pair.second) if bias.value > 0 else (pair.second, pair.first)
    return f"{more} reads more than {less} on average ({number(abs(bias.value))} mm)."


def _trend_words(pair: Pair) -> str:
    trend = pair.trend
    told = []
    if trend and _excludes_zero(trend.bias):
        way = "grows" if trend.bias.value > 0 else "falls"
        told.append(f"the difference {way} with thickness ({with_ends(trend.bias, 3)} mm per mm)")
    if trend and _excludes_zero(trend.spread):
        way = "grows" if trend.spread.value > 0 else "falls"
        told.append(f"its spread {way} with thickness ({with_ends(trend.spread, 3)} mm per mm)")
    if not told:
        return "That difference or spread change with thickness is not shown."
    return f"Mind that {' and '.join(told)}: one pair of limits does not fit all thicknesses."


def _excludes_zero(estimate: Estimate) -> bool:
    return None not in (estimate.low, estimate.high) and not (
        (estimate.low or 0.0) <= 0 <= (estimate.high or 0.0)
    )
