"""An evaluation that was written, read back: `cases.csv` and `summary.json` of `evaluate --out`."""

import csv
import json
import math
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from data.fields import short
from imaging.reasons import Reason
from inference.records import Call, Status
from training.compare import Side
from training.metrics import Fit
from training.report import CASES_CSV, SUMMARY_JSON
from training.summary import Result


class FinishedError(Exception):
    """A finished evaluation cannot be used; the message says which file and line, and why."""


def is_finished(folder: Path) -> bool:
    """Tell whether a folder holds what an evaluation leaves, so that it is no bundle."""
    return (folder / CASES_CSV).is_file() and (folder / SUMMARY_JSON).is_file()


def read_finished(folder: Path) -> tuple[Side, list[Result]]:
    """Return the model and the results of a finished evaluation, in order. Raises FinishedError."""
    path = folder / SUMMARY_JSON
    try:
        bundle = json.loads(path.read_text(encoding="utf-8"))["bundle"]
        side = Side(str(bundle["name"]), str(bundle["sha256"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FinishedError(f"{path} does not say which model was judged: {error!r}.") from None
    path = folder / CASES_CSV
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FinishedError(f"{path} cannot be read: {error}.") from None
    if not rows:
        raise FinishedError(f"{path} lists no case.")
    return side, [_result(row, f"{path}, line {n}") for n, row in enumerate(rows, 2)]


def _text(value: str) -> str:
    return value


def _number(value: str) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def _flag(value: str) -> bool:
    return {"True": True, "False": False}[value]


def _reason(value: str) -> str:
    return str(Reason(value))


# How the columns that are neither numbers nor groups of a family are read.
_OTHERS: dict[str, Callable[[str], Any]] = {
    "name": _text,
    "patient": _text,
    "message": _text,
    "reason": _reason,
    "status": Status,
    "call": Call,
} | dict.fromkeys(
    ("visible", "outlined", "drawn", "drawn_endometrium", "drawn_fluid", "located"), _flag
)
_OWN = tuple(field.name for field in fields(Result) if field.name not in ("families", "fit"))
_FIT = tuple(field.name for field in fields(Fit))
_NEEDED = ("name", "patient", "visible", "true_mm", "status", "measured_mm", "drawn", "dice")


def _result(row: dict[str, str | None], where: str) -> Result:
    if missing := [name for name in _NEEDED if row.get(name) is None]:
        raise FinishedError(
            f"{where} has no {', '.join(missing)}; it is no table of `endometer evaluate --out`."
        )

    def read(names: tuple[str, ...]) -> dict[str, Any]:
        found = {}
        for name in names:
            text = row.get(name)
            if not text:
                continue
            try:
                found[name] = _OTHERS.get(name, _number)(text)
            except (ValueError, KeyError):
                raise FinishedError(f"{where}, {name} is {short(text)}.") from None
        return found

    # Groups of families are all other columns; a table of before lacks some of the others.
    known = {"case", "error_mm", *_OWN, *_FIT}
    families = {
        name: text for name, text in row.items() if isinstance(name, str) and name not in known
    }
    own, fit = read(_OWN), {"located": False} | read(_FIT)
    full: dict[str, Any] = dict.fromkeys(_FIT) | fit
    try:
        return Result(
            **({"true_mm": None} | own),
            families={name: text for name, text in families.items() if text},
            fit=Fit(**full) if "dice" in fit else None,
        )
    except TypeError as error:
        raise FinishedError(f"{where} is incomplete: {error}.") from None
