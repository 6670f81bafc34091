"""What the terminal shows of a bundle."""

from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from app.report import Screen, line
from models.bundle import CARD, Bundle, BundleError, file_sha256
from models.check import MODEL_CARD, Check, card_of
from models.sign_offs import doubts, read_sign_offs
from training.model_card import interval_rows, metric_rows

MARKS = {True: ("holds", "green"), False: ("FAILS", "red"), None: ("–", "dim")}


def facts_of(bundle: Bundle) -> dict[str, Any]:
    """Return the card, the sizes of the files and the sign-offs, as plain data."""
    card = card_of(bundle.path)
    known = [CARD, *card["sha256"]]
    try:
        entries = read_sign_offs(bundle.path)
        problem = None
    except BundleError as error:
        entries, problem = [], str(error)
    card_sha256 = file_sha256(bundle.path / CARD)
    signed = [asdict(e) | {"doubts": doubts(e, bundle.sha256, card_sha256)} for e in entries]
    return {
        "folder": str(bundle.path),
        "card": card,
        "card_sha256": card_sha256,
        "bytes": {
            name: (bundle.path / name).stat().st_size
            for name in known
            if (bundle.path / name).is_file()
        },
        "sign_offs": signed,
        "sign_offs_problem": problem,
    }


def print_bundle(facts: dict[str, Any]) -> None:
    """Print what `facts_of` found, for people."""
    screen, card = Screen(), facts["card"]
    head = Table(box=None, show_header=False, pad_edge=False)
    grid = card["grid"]
    for name, text in (
        ("name", card["name"]),
        ("folder", facts["folder"]),
        ("licence", card["licence"]),
        ("weights", f"sha256 {card['sha256']['weights.safetensors']}"),
        ("network", _network(card)),
        ("labels", ", ".join(card["labels"])),
        ("input", f"{grid['size']} x {grid['size']} pixels of {grid['mm_per_px']:g} mm"),
        ("learned from", card["training_data"]),
        ("known to fail", card.get("known_failures") or "nobody has written it down"),
        ("least quality", f"{card['min_quality']:g}; below it nothing is measured"),
    ):
        head.add_row(name, line(str(text)))
    fitted = card.get("fitted")
    if isinstance(fitted, dict):
        head.add_row("intervals", line(str(fitted.get("intervals"))))
        if fitted.get("millimetres_trusted") is False:
            why = line(str(fitted.get("why")))
            head.add_row("millimetres", Text(f"none can be trusted. {why}", "red"))
    screen.print(head)

    screen.print()
    table = Table("measured", "reach of the interval", box=None, pad_edge=False)
    for row in interval_rows(card):
        table.add_row(*row)
    screen.print(table)
    for name, group in card["metrics"].items():
        screen.print()
        table = Table(line(str(name)), "", "95 % interval", box=None, pad_edge=False)
        for cells in metric_rows(group):
            table.add_row(*map(line, cells))
        screen.print(table)
    if not card["metrics"]:
        screen.print("Judged on nothing.")

    screen.print()
    table = Table("file", "MB", box=None, pad_edge=False)
    table.add_column("sha256", overflow="fold")
    for name, size in facts["bytes"].items():
        sha = facts["card_sha256"] if name == CARD else card["sha256"][name]
        table.add_row(line(name), f"{size / 1e6:.2f}", line(str(sha)))
    screen.print(table)
    if MODEL_CARD in facts["bytes"]:
        screen.print(f"{MODEL_CARD} in that folder has the whole card.")
    _print_sign_offs(screen, facts)


def _print_sign_offs(screen: Screen, facts: dict[str, Any]) -> None:
    screen.print()
    if facts["sign_offs_problem"]:
        screen.print(Text(line(facts["sign_offs_problem"]), "red"), soft_wrap=True)
    for entry in facts["sign_offs"]:
        state = f"no longer holds: {' and '.join(entry['doubts'])}" if entry["doubts"] else "holds"
        said = f"{entry['at']} {entry['by']} ({entry['role']}): {entry['note']}"
        screen.print(f"Sign-off {entry['number']} {state}. {line(said)}", soft_wrap=True)
    if not facts["sign_offs"] and not facts["sign_offs_problem"]:
        screen.print("Nobody has signed it off.")


def print_checks(checks: list[Check]) -> None:
    """Print every check, and how many failed."""
    screen = Screen()
    for check in checks:
        word, style = MARKS[check.held]
        text = Text.assemble((f"{word:6}", style), f" {line(check.name)}: {line(check.words)}")
        screen.print(text, soft_wrap=True)
    failed = sum(check.held is False for check in checks)
    screen.print(f"{failed} of {len(checks)} checks failed." if failed else "Everything holds.")


def _network(card: dict[str, Any]) -> str:
    found = card["architecture"]
    members = found.get("members", 1)
    many = f"{members} of " if members != 1 else ""
    return f"{many}{found.get('family', 'U-Net')}, channels {found['channels']}"
