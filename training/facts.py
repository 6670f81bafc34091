"""What a run learned from, as its card tells it: counts and hashes, no name of a patient or file.

`run.json` says what was used; where the folders of the run are still there, their tables add what
it does not keep: sources, annotators, scales, labels.
"""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

from data.cases import Case, CasesError, read_cases
from imaging.calibration import Calibration, calibrate
from imaging.clip import Clip, ClipError

ABOUT = "run.json"
UNNAMED = "not named"


class FactsError(ValueError):
    """A run says nothing about itself that can be used; the message says what and where."""


def read_run(run: Path) -> dict[str, Any]:
    """Return run.json. Raises FactsError."""
    try:
        found: dict[str, Any] = json.loads((run / ABOUT).read_text("utf-8"))
        config, data = found["config"], found["data"]
        if not isinstance(config, dict) or not isinstance(data, dict) or "data" not in config:
            raise TypeError("config or data is no table")
    except FileNotFoundError:
        raise FactsError(
            f"{run / ABOUT} is not there; name the folder of a training run."
        ) from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FactsError(f"{run / ABOUT} cannot be used ({error!r}).") from None
    return found


def facts_of(run: Path) -> dict[str, Any]:
    """Return what a card says of a run and its data. Raises FactsError.

    `scaled`: whether anything it learned from had millimetres; None where nobody can tell any more.
    """
    about = read_run(run)
    config = about["config"]
    sides = {name: about["data"].get(name, {}) for name in ("training", "validation")}
    people = {name: set(side.get("patients", ())) for name, side in sides.items()}
    tables = config["data"]
    folders = [Path(name) for name in tables.get("datasets", ())]
    if isinstance(tables.get("validation"), str):
        folders.append(Path(tables["validation"]))
    phantoms = float(tables.get("phantoms", 1.0))
    parts, why = _cases_by_side(folders, people)
    return {
        "config": _without_folders(config),
        "start_sha256": about.get("start"),
        "phantoms": phantoms,
        "folders": len(folders),
        "data": {
            name: {
                "images": side.get("images", 0),
                "patients": len(people[name]),
                "sha256": side.get("sha256"),
                **_described(parts[name]),
            }
            for name, side in sides.items()
        },
        "patients_on_both_sides": len(people["training"] & people["validation"]),
        "data_not_described": why,
        "scaled": True if phantoms > 0 else _scaled(parts),
        "versions": about.get("versions", {}),
        "validation": last_validations(run),
    }


def patients_of(run: Path) -> set[str]:
    """Return the names of all patients that a run learned from or chose its weights by."""
    data = read_run(run)["data"]
    return {name for side in data.values() for name in side.get("patients", ())}


def last_validations(run: Path, most: int = 3) -> list[dict[str, float]]:
    """Return the last lines of validation.csv by its headings; none where there is no such file."""
    try:
        with (run / "validation.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))[-most:]
    except (OSError, ValueError, csv.Error):
        return []
    found = []
    for row in rows:
        numbers = {}
        for name, text in row.items():
            try:
                numbers[name] = float(text)
            except (TypeError, ValueError):
                continue  # empty where there was nothing to count
        found.append(numbers)
    return found


def _cases_by_side(
    folders: list[Path], people: dict[str, set[str]]
) -> tuple[dict[str, list[Case]], str | None]:
    """Return the cases of each side, and why there are none that can be described."""
    nothing: dict[str, list[Case]] = {name: [] for name in people}
    if not folders:
        return nothing, None
    try:
        cases = [case for folder in folders for case in read_cases(folder)]
    except CasesError:
        return nothing, "the folders of the run are no longer where they were"
    if not set().union(*people.values()) <= {case.patient for case in cases}:
        return nothing, "the folders of the run hold other patients by now"
    return {
        name: [case for case in cases if case.patient in names] for name, names in people.items()
    }, None


def _described(cases: list[Case]) -> dict[str, Any]:
    if not cases:
        return {}
    return {
        "visible": sum(case.visible for case in cases),
        "with_scale": sum(_has_scale(case) for case in cases),
        "labels": dict(Counter("+".join(case.known) for case in cases)),
        "sources": dict(Counter(case.families.get("source", UNNAMED) for case in cases)),
        # How many readers drew how many, not who they are.
        "annotators": sorted(
            Counter(case.annotator for case in cases if case.annotator).values(), reverse=True
        ),
        "without_annotator": sum(case.annotator is None for case in cases),
        "patients_named": all(case.patient != case.name for case in cases),
    }


def _has_scale(case: Case) -> bool:
    if case.spacing_mm is not None:
        return True
    try:
        with Clip.open(case.path) as clip:
            return isinstance(calibrate(clip.header, (clip.rows, clip.columns)), Calibration)
    except ClipError:
        return False


def _scaled(parts: dict[str, list[Case]]) -> bool | None:
    cases = parts["training"]
    return any(_has_scale(case) for case in cases) if cases else None


def _without_folders(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration without the places of the data: a card is passed on."""
    data = dict(config["data"])
    data["datasets"] = len(data.get("datasets", ()))
    if isinstance(data.get("validation"), str):
        data["validation"] = "a data set of its own"
    return config | {"data": data}
