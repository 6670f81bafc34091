"""An evaluation in words and columns, for the terminal and for the page."""

from typing import TYPE_CHECKING

from training.estimates import Estimate
from training.summary import THRESHOLD_MM, Summary
from training.trust import NEAR_MM, Trust

if TYPE_CHECKING:
    from training.report import Evaluation

NOTHING = "–"
# Name, field and unit of every row of the summary.
ROWS: tuple[tuple[str, str, str], ...] = (
    ("Cases", "n", ""),
    ("Could not be read or compared", "failed", ""),
    ("With a visible endometrium", "visible", ""),
    ("Measured", "measured_share", "%"),
    ("Refused", "refused_share", "%"),
    ("Outlined in the right place, measured or refused", "located_share", "%"),
    ("Measured in the right place", "on_target_share", "%"),
    ("Measured in a wrong place", "misplaced_share", "%"),
    ("Dice, median of all (nothing outlined counts 0)", "dice_median", "1"),
    ("Dice, mean of all", "dice_mean", "1"),
    ("Dice of the endometrium alone, median of all that have it", "dice_endometrium_median", "1"),
    ("Dice of the fluid, median of all that have it", "dice_fluid_median", "1"),
    ("Dice, median of the outlined", "dice_outlined_median", "1"),
    ("Dice, median of the measured", "dice_measured_median", "1"),
    ("NSD at 0.5 mm, mean of the outlined", "nsd_mean", "1"),
    ("Centre line to true centre line, median of the outlined", "centre_line_median_mm", "mm"),
    ("The same between the ends of the true line", "beside_median_mm", "mm"),
    ("That within 1 mm, of all", "beside_within_1_mm", "%"),
    ("Thickness: bias", "bias_mm", "mm"),
    ("Thickness: standard deviation", "sd_mm", "mm"),
    ("Thickness: mean absolute error", "mae_mm", "mm"),
    ("Lower 95 % limit of agreement", "limit_low_mm", "mm"),
    ("Upper 95 % limit of agreement", "limit_high_mm", "mm"),
    ("95 % of errors are below", "p95_mm", "mm"),
    ("Error within 1 mm", "within_1_mm", "%"),
    ("Error within 2 mm", "within_2_mm", "%"),
    ("The interval holds the truth", "coverage", "%"),
    ("Indeterminate at 6 mm, of the measured", "indeterminate_share", "%"),
    ("Sensitivity for thin (below 6 mm), by the number", "sensitivity", "%"),
    ("Specificity, by the number", "specificity", "%"),
    ("Sensitivity, without the indeterminate", "sensitivity_called", "%"),
    ("Specificity, without the indeterminate", "specificity_called", "%"),
    ("Without a visible endometrium", "absent", ""),
    ("Nothing measured in those", "quiet_share", "%"),
    ("One frame through the network, median", "network_ms", "ms"),
    ("One clip from file to record, median", "clip_seconds", "s"),
)
# Heading, field and unit of the columns by family.
COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("cases", "n", ""),
    ("measured %", "measured_share", "%"),
    ("located %", "located_share", "%"),
    ("right place %", "on_target_share", "%"),
    ("wrong place %", "misplaced_share", "%"),
    ("Dice", "dice_median", "1"),
    ("NSD", "nsd_mean", "1"),
    ("line in 1 mm %", "beside_within_1_mm", "%"),
    ("bias mm", "bias_mm", "mm"),
    ("MAE mm", "mae_mm", "mm"),
    ("in 1 mm %", "within_1_mm", "%"),
    ("quiet %", "quiet_share", "%"),
)


def number(value: float | None, unit: str) -> str:
    """Write a number as its unit wants it, without the unit: shares in percent."""
    if value is None:
        return NOTHING
    text = {"": "{:.0f}", "%": "{:.0f}", "1": "{:.2f}", "mm": "{:.2f}", "ms": "{:.1f}"}
    shown = text.get(unit, "{:.2f}").format(100 * value if unit == "%" else value)
    return shown.replace("-", "−")


def cell(summary: Summary, field: str, unit: str) -> tuple[str, str]:
    """Return the value with its unit, and its 95 % interval ("" if none), of a row."""
    value = getattr(summary, field)
    after = "" if unit in ("", "1") else f" {unit}"
    if not isinstance(value, Estimate):
        return number(value, unit) + (after if value is not None else ""), ""
    return number(value.value, unit) + after, _ends(value, unit)


def summary_rows(evaluation: "Evaluation") -> list[tuple[str, list[tuple[str, str]]]]:
    """Return every row in which there is something to say: its name, and (value, interval) of all
    cases, and of the clear ones if that is not the same.
    """
    summaries = [s for s in (evaluation.all, evaluation.clear) if s is not None]
    rows = [(name, [cell(s, field, unit) for s in summaries]) for name, field, unit in ROWS]
    return [(name, cells) for name, cells in rows if any(v != NOTHING for v, _ in cells)]


def trust_rows(trust: Trust) -> list[tuple[str, str, str]]:
    """Return name, value and 95 % interval of what is said about trust as a whole."""
    away = f"farther than {NEAR_MM:g} mm from {THRESHOLD_MM:g} mm"
    shares = (
        (f"Called thin or not thin, of those truly {away}", trust.decided),
        ("Called so against the truth, of the same", trust.wrong_side),
    )
    rows = [
        (name, f"{number(each.value, '%')} %", _ends(each, "%"))
        for name, each in shares
        if each is not None
    ]
    if trust.area_mm is not None:
        all_mm = trust.curve[-1].mae_mm
        shown = f"{number(trust.area_mm, 'mm')} mm ({number(all_mm, 'mm')} if it said nothing)"
        rows.append(("Mean error with the quality trusted", shown, ""))
    return rows


def trust_groups(trust: Trust) -> list[tuple[str, str, str, str, str]]:
    """Return group, number, coverage, its 95 % interval and the half width of intervals."""
    rows = []
    for group in trust.groups:
        covered = group.coverage
        share = NOTHING if covered is None else f"{number(covered.value, '%')} %"
        width = NOTHING if group.half_width_mm is None else f"{group.half_width_mm:.2f} mm"
        ends = _ends(covered, "%") if covered else ""
        rows.append((group.name, str(group.n), share, ends, width))
    return rows


def _ends(value: Estimate, unit: str) -> str:
    if value.low is None or value.high is None:
        return ""
    return f"{number(value.low, unit)} to {number(value.high, unit)}"


def short(summary: Summary, field: str, unit: str) -> str:
    """Return the bare value, for a column."""
    value = getattr(summary, field)
    return number(value.value if isinstance(value, Estimate) else value, unit)
