"""MODEL_CARD.md: what a card says, for people. Pure functions of the card."""

import math
from collections.abc import Iterator
from typing import Any

from training.claim import NOT_STATED, statements
from training.words import ROWS, number

Card = dict[str, Any]
# Names of files and texts from outside must not become markup, nor break a table.
_ESCAPED = str.maketrans({c: f"\\{c}" for c in "\\`*_[]<>|#"})


def escaped(text: str) -> str:
    """Return text from outside as Markdown shows it literally, on one line."""
    return " ".join(str(text).split()).translate(_ESCAPED)


def model_card(card: Card) -> str:
    """Return the whole page; `card` is the content of card.json, checked by load_bundle."""
    parts = [
        _head(card),
        _performance(card),
        _trust(card),
        _checklist(card),
        _gallery(card),
        _files(card),
    ]
    return "\n".join(part.rstrip() + "\n" for part in parts if part)


def interval_rows(card: Card) -> Iterator[tuple[str, str]]:
    """Yield, for every bin of thickness, its name and what the interval is, in words."""
    low = 0.0
    base = card["intervals"]["base_mm"]
    for each in card["intervals"]["bins"]:
        high = each["below_mm"]
        name = f"{low:g} mm and more" if high is None else f"{low:g} to {high:g} mm"
        below, above = (each.get(side, each.get("factor")) for side in SIDES)
        yield name, f"{below:g} below to {above:g} above, times ({base:g} mm + spread)"
        low = math.inf if high is None else high


SIDES = ("lower_factor", "upper_factor")


def metric_rows(group: Card) -> Iterator[tuple[str, str, str]]:
    """Yield name, value with unit and 95 % interval of every number of one judged set."""
    ends = group.get("intervals_95") or {}
    for name, field, unit in ROWS:
        if not isinstance(value := group.get(field), int | float):
            continue
        after = "" if unit in ("", "1") else f" {unit}"
        low, high = ends.get(field) or (None, None)
        interval = "" if low is None else f"{number(low, unit)} to {number(high, unit)}"
        yield name, f"{number(value, unit)}{after}", interval
    for label, found in (group.get("label_dice") or {}).items():
        low, high = found.get("low"), found.get("high")
        interval = "" if low is None else f"{low:.2f} to {high:.2f}"
        name = f"Dice of {label}, mean of the {found['n']} cases that have it, pixel by pixel"
        yield name, f"{found['value']:.2f}", interval


def _head(card: Card) -> str:
    made = card.get("endometer")
    by = f" Written by endometer {made}." if made else ""
    size, mm = card["grid"]["size"], card["grid"]["mm_per_px"]
    return f"""# Model card: {escaped(card["name"])}

Outlines the endometrium on transvaginal ultrasound, and the software measures its thickness on the
outline. **Research software, not a medical device, for no clinical decision.**{by}

| | |
|---|---|
| Weights, sha256 | `{card["sha256"]["weights.safetensors"]}` |
| Licence | {escaped(card["licence"])} |
| Labels | {escaped(", ".join(card["labels"]))} |
| Input | {size} x {size} pixels of {mm:g} mm |
| Learned from | {escaped(card["training_data"])} |
| Known to fail | {escaped(card.get("known_failures") or NOT_STATED)} |
"""


def _performance(card: Card) -> str:
    text = "## Performance\n"
    if not card["metrics"]:
        return text + "\nIt was judged on nothing. Nobody knows how well it does.\n"
    for name, group in card["metrics"].items():
        text += f"\n### On {escaped(name)}\n\n| | | 95 % interval |\n|---|---|---|\n"
        for row in metric_rows(group):
            text += f"| {' | '.join(map(escaped, row))} |\n"
        for family, groups in group.items():
            if family.startswith("by_") and groups:
                text += _family(family.removeprefix("by_"), groups)
    return text


def _family(name: str, groups: Card) -> str:
    columns = {
        field: heading for heading, field, _ in SHORT if any(field in g for g in groups.values())
    }
    text = f"\n| by {name} | {' | '.join(columns.values())} |\n|---|{'---|' * len(columns)}\n"
    units = {field: unit for _, field, unit in SHORT}
    for group, found in groups.items():
        cells = (number(found.get(field), units[field]) for field in columns)
        text += f"| {escaped(group)} | {' | '.join(cells)} |\n"
    return text


SHORT = (
    ("cases", "n", ""),
    ("right place %", "on_target_share", "%"),
    ("refused %", "refused_share", "%"),
    ("Dice", "dice_median", "1"),
    ("bias mm", "bias_mm", "mm"),
    ("MAE mm", "mae_mm", "mm"),
    ("interval holds %", "coverage", "%"),
    ("quiet %", "quiet_share", "%"),
)


def _trust(card: Card) -> str:
    found = card.get("fitted") or {}
    trusted = found.get("millimetres_trusted", True)
    warning = "" if trusted else f"\n**No number in millimetres can be trusted.** {found['why']}\n"
    rows = "".join(f"| {name} | {words} |\n" for name, words in interval_rows(card))
    lines = "".join(
        f"- {what}: {escaped(found[key])}\n"
        for what, key in (
            ("Shift of the endometrium's logit", "shift"),
            ("Least quality", "min_quality"),
            ("Intervals", "intervals"),
        )
        if key in found
    )
    again = card.get("calibration")
    if isinstance(again, dict):
        lines += (
            f"- Intervals fitted again, on {again.get('cases')} cases of {again.get('patients')} "
            f"patients; the model is {escaped(str(again.get('of')))}.\n"
        )
    return f"""## Intervals and limits
{warning}
Below a quality of {card["min_quality"]:g} nothing is measured. An interval shall hold the truth in
{card["intervals"]["nominal"]:.0%} of patients:

| measured | reach of the interval |
|---|---|
{rows}
{lines}"""


def _checklist(card: Card) -> str:
    text = (
        "## Checklist (CLAIM, 2024 update)\n\n"
        "Item 2 (abstract) is the head of this page. What is not stated nobody has told the "
        "program; it belongs into the file that `endometer ship --about` reads.\n"
    )
    section = ""
    for item, said in statements(card):
        if item.section != section:
            section = item.section
            text += f"\n### {section}\n\n"
        text += f"- **{item.number} {item.name}.** {escaped(said) if said else f'*{NOT_STATED}*'}\n"
    return text


def _gallery(card: Card) -> str:
    shown = card.get("gallery") or []
    if not shown:
        return ""
    text = (
        "## Failures\n\nThe held-out cases that went worst: bare at the left, with the true "
        "outline (green) and the found one (orange) at the right.\n"
    )
    for exhibit in shown:
        text += f"\n**Case {exhibit['case']}.** {escaped(exhibit['words'])}"
        text += f" ({escaped(exhibit['groups'])})\n" if exhibit.get("groups") else "\n"
        if exhibit.get("file"):
            text += f"\n![Case {exhibit['case']}]({exhibit['file']})\n"
    return text


def _files(card: Card) -> str:
    rows = "".join(f"| {escaped(name)} | `{sha}` |\n" for name, sha in card["sha256"].items())
    return f"""## Files

| | sha256 |
|---|---|
{rows}
`endometer bundle verify` compares them. Sign-offs, if there are any, are in `sign-offs.jsonl`.
"""
