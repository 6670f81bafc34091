"""A check of data sets before any compute: all that is wrong, with file and remedy."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.cases import DATALIST, Case, CasesError, read_cases, read_item
from data.fields import items
from training.datasets.look import HASH_SIDE, Finding, Level, Look, look_at
from training.datasets.twins import pairs_between, strangers, twins

# Bins of thickness in mm, from each to below the next.
BINS_MM = (0.0, 4.0, 6.0, 8.0, 12.0)
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Thicknesses:
    """How thick what was drawn is, over the items of one folder, or of all: counts and mm.

    `bins` counts those of BINS_MM; numbers in mm are None without a measured item.
    """

    items: int
    patients: int
    unnamed: int
    empty: int
    unmeasured: int
    smallest_mm: float | None
    median_mm: float | None
    largest_mm: float | None
    bins: tuple[int, ...]


@dataclass(frozen=True)
class Checked:
    """What a check found. `folders` gives the thicknesses by folder, `all` over all."""

    looks: tuple[Look, ...]
    findings: tuple[Finding, ...]
    folders: dict[str, Thicknesses]
    all: Thicknesses

    @property
    def errors(self) -> int:
        """How many findings must be mended."""
        return sum(finding.level is Level.ERROR for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return all but the pictures, for `--json`."""
        return {
            "items": len(self.looks),
            "errors": self.errors,
            "warnings": len(self.findings) - self.errors,
            "findings": [vars(finding) for finding in self.findings],
            "thickness": {name: vars(found) for name, found in self.folders.items()},
            "all": vars(self.all),
            "bins_mm": BINS_MM,
        }


def parts_of(folder: Path) -> list[Path]:
    """Return the parts of a split, if the folder is one, else the folder itself.

    Of folds the first is taken with the test part: together they are all items.
    """
    home = folder / "fold-1" if (folder / "fold-1").is_dir() else folder
    found = [home / name for name in PARTS[:2]] + [folder / PARTS[2]]
    there = [part for part in found if (part / DATALIST).is_file()]
    return [folder] if (folder / DATALIST).is_file() or not there else there


def read_all(folder: Path) -> tuple[list[tuple[Case, bool]], list[Finding]]:
    """Return the items of a folder, each with whether its patient is named, and what is wrong with
    entries of its table. Raises CasesError where there is no table that can be read."""
    if not (folder / DATALIST).is_file():
        cases = read_cases(folder)
        return [(case, case.patient != case.name) for case in cases], []
    found, wrong = [], []
    for where, item in items(folder / DATALIST, "items"):
        try:
            found.append((read_item(folder, where, item), item.get("patient") is not None))
        except CasesError as error:
            name = item.get("image")
            file = str(folder / name) if isinstance(name, str) else str(folder / DATALIST)
            wrong.append(Finding(Level.ERROR, "entry", file, str(error)))
    return found, wrong


def look_at_all(
    folders: Sequence[Path], note: Callable[[], None] = lambda: None
) -> tuple[list[Look], list[Finding]]:
    """Look at every item of some folders. Raises CasesError, MissingPackageError."""
    looks: list[Look] = []
    wrong: list[Finding] = []
    for folder in folders:
        cases, faults = read_all(folder)
        wrong += faults
        for case, named in cases:
            looks.append(look_at(folder, case, named=named))
            note()
    return looks, wrong


def check(folders: Sequence[Path], note: Callable[[], None] = lambda: None) -> Checked:
    """Check some folders, each a part of one split.

    Raises CasesError for a folder without a readable table, MissingPackageError without ImageHash.
    """
    looks, findings = look_at_all(folders, note)
    for look in looks:
        findings += look.findings
    findings += _alike(looks)
    findings += _patients(looks, len(folders))
    findings.sort(key=lambda one: (one.level is not Level.ERROR, one.kind, one.file))
    by_folder = {
        str(folder): thicknesses([look for look in looks if look.folder == folder])
        for folder in folders
    }
    return Checked(tuple(looks), tuple(findings), by_folder, thicknesses(looks))


def thicknesses(looks: Sequence[Look]) -> Thicknesses:
    """Return the statistics of some items."""
    mm = np.array([look.thickness_mm for look in looks if look.thickness_mm is not None])
    empty = sum(look.empty for look in looks)
    counts = np.histogram(mm, bins=(*BINS_MM, np.inf))[0]
    return Thicknesses(
        items=len(looks),
        patients=len({look.case.patient for look in looks if look.named}),
        unnamed=sum(not look.named for look in looks),
        empty=empty,
        unmeasured=len(looks) - empty - len(mm),
        smallest_mm=float(mm.min()) if len(mm) else None,
        median_mm=float(np.median(mm)) if len(mm) else None,
        largest_mm=float(mm.max()) if len(mm) else None,
        bins=tuple(int(count) for count in counts),
    )


def _alike(looks: Sequence[Look]) -> list[Finding]:
    """Return what is wrong with pictures that are there twice.

    Between folders they make the judgement worthless. Within one, two readers may have drawn on
    the same picture, and the frames of one patient's sweep are alike.
    """
    found = []
    for i, j, bits in twins(looks):
        one, other = looks[i], looks[j]
        is_stranger = strangers(one, other)
        if bits >= 0:
            near = f"it is nearly the same picture ({bits} of {HASH_SIDE**2} bits differ) as"
        else:
            near = "it is the very same picture as"
        if one.folder != other.folder and (bits < 0 or not is_stranger):
            words = f"{near} {other.file}, in another part. Keep both in one."
            found.append(Finding(Level.ERROR, "same image", one.file, words))
        elif one.case.path == other.case.path and one.case.frame != other.case.frame:
            continue  # frames between which nothing moved
        elif bits < 0 and one.case.annotator != other.case.annotator:
            words = f"{near} {other.file}, drawn by another annotator."
            found.append(Finding(Level.WARNING, "same image", one.file, words))
        elif bits < 0:
            words = f"{near} {other.file}, so it counts twice. Take one out."
            found.append(Finding(Level.ERROR, "same image", one.file, words))
        elif is_stranger:
            words = f"{near} {other.file}, which is said to be of another patient. Look at both."
            found.append(Finding(Level.WARNING, "alike", one.file, words))
        elif not (one.named and other.named):
            words = f"{near} {other.file}; nobody says whose they are. A split keeps them together."
            found.append(Finding(Level.WARNING, "alike", one.file, words))
    return found


def _patients(looks: Sequence[Look], folders: int) -> list[Finding]:
    found = [
        Finding(
            Level.ERROR,
            "patient",
            one.file,
            f"patient {one.case.patient} is in {one.folder} and in {other.folder}. Keep all images "
            "of a patient in one: `endometer dataset split` does.",
        )
        for one, other in pairs_between(looks)
    ]
    for folder, count in sorted(Counter(str(k.folder) for k in looks if not k.named).items()):
        apart = (
            "that no patient is in two parts cannot be checked"
            if folders > 1
            else ("a split cannot keep patients apart")
        )
        message = (
            f"of {count} items nobody knows the patient, so {apart}. Name them in {DATALIST}: "
            '"patient", or import with --patient.'
        )
        found.append(Finding(Level.WARNING, "no patient", folder, message))
    return found
