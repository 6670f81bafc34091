"""A data set in parts that share no patient, each a data set itself."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.cases import DATALIST, CasesError
from data.fields import items
from data.splits import Group, SplitError, assign
from training.datasets.check import Thicknesses, look_at_all, thicknesses
from training.datasets.look import Look
from training.datasets.twins import together

TRAIN, VALIDATION, TEST = "train", "validation", "test"


@dataclass(frozen=True)
class Split:
    """What came of a split: the thicknesses by part, and how many groups there were.

    `joined`: groups of several patients or unnamed images that only their pictures hold together.
    """

    parts: dict[str, Thicknesses]
    groups: int
    joined: int


def split_dataset(
    folder: Path,
    out: Path,
    *,
    test: float,
    validation: float,
    folds: int | None,
    seed: int,
    note: Callable[[], None] = lambda: None,
) -> Split:
    """Write the parts of `folder` (with dataset.json) below `out`, a new folder.

    `test` and `validation` are shares of all items; with `folds` the rest is cut into that many
    parts, of which each is the validation part once. Files are hard links, or copies where there
    are none. Raises CasesError for an item that cannot be used, SplitError, OSError.
    """
    if not (folder / DATALIST).is_file():
        raise CasesError(f"{folder} has no {DATALIST}; only such a data set is split.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SplitError(f"{out} is there and not empty. Choose a new folder.")
    listed = [item for _, item in items(folder / DATALIST, "items")]
    looks, wrong = look_at_all([folder], note)
    broken = wrong + [
        finding
        for look in looks
        for finding in look.findings
        if look.pixels is None or finding.kind == "label"
    ]
    if broken:
        raise CasesError(
            f"{len(broken)} items cannot be used, for instance {broken[0].file}: "
            f"{broken[0].message} `endometer dataset check {folder}` names all."
        )
    numbers = together(looks)
    groups, names = groups_of(looks, numbers)
    places = _places(groups, test, validation, folds, seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as work:
        new = Path(work) / "new"
        parts: dict[str, Thicknesses] = {}
        for part, there in places.items():
            chosen = [n for n in range(len(looks)) if names[numbers[n]] in there]
            _write(folder, new / part, [listed[n] for n in chosen])
            parts[part] = thicknesses([looks[n] for n in chosen])
        if out.exists():
            out.rmdir()
        new.rename(out)
    return Split(parts, len(groups), _joined(looks, numbers))


def groups_of(looks: Sequence[Look], numbers: Sequence[int]) -> tuple[list[Group], dict[int, str]]:
    """Return the groups of items that stay together, and the name of each number.

    A group is called by the first of its patients, or of its images: not by any order of items.
    """
    found, names = [], {}
    for number in sorted(set(numbers)):
        inside = [look for look, n in zip(looks, numbers, strict=True) if n == number]
        names[number] = min(
            look.case.patient if look.named else f"image {look.pixels}" for look in inside
        )
        mm = [look.thickness_mm for look in inside if look.thickness_mm is not None]
        found.append(
            Group(
                names[number],
                len(inside),
                float(np.median(mm)) if mm else None,
                all(look.empty for look in inside),
            )
        )
    return found, names


def _places(
    groups: Sequence[Group], test: float, validation: float, folds: int | None, seed: int
) -> dict[str, set[str]]:
    """Return the names of the groups in every part, by its folder."""
    if folds is None:
        shares = {TRAIN: 1 - test - validation, VALIDATION: validation, TEST: test}
        return _by_part(assign(groups, shares, seed))
    kept = assign(groups, {TRAIN: 1 - test, TEST: test}, seed)
    rest = [group for group in groups if kept[group.name] == TRAIN]
    fold = assign(rest, {f"fold-{k}": 1 / folds for k in range(1, folds + 1)}, seed)
    places: dict[str, set[str]] = {}
    for k in range(1, folds + 1):
        aside = {name for name, part in fold.items() if part == f"fold-{k}"}
        places[f"fold-{k}/{TRAIN}"] = set(fold) - aside
        places[f"fold-{k}/{VALIDATION}"] = aside
    return places | {part: there for part, there in _by_part(kept).items() if part == TEST}


def _by_part(found: Mapping[str, str]) -> dict[str, set[str]]:
    return {
        part: {name for name, where in found.items() if where == part}
        for part in (TRAIN, VALIDATION, TEST)
        if part in found.values()
    }


def _write(folder: Path, part: Path, chosen: Sequence[dict[str, Any]]) -> None:
    """Write a part: its files first, its list last."""
    for item in chosen:
        for key in ("image", "label"):
            target = part / item[key]
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(folder / item[key], target)
    text = json.dumps({"items": list(chosen)}, indent=1, ensure_ascii=False) + "\n"
    (part / DATALIST).write_text(text, encoding="utf-8")


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def _joined(looks: Sequence[Look], numbers: Sequence[int]) -> int:
    """Count groups of more than one patient or unnamed file."""
    members: dict[int, set[str]] = {}
    for look, number in zip(looks, numbers, strict=True):
        members.setdefault(number, set()).add(look.case.patient)
    return sum(len(names) > 1 for names in members.values())
