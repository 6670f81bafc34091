"""Small tables of a study, for tests."""

import csv

from trial.scans import COLUMNS, REVIEW_COLUMNS

VISIT = {
    "patient": "W01",
    "arm": "control",
    "cycle": "0",
    "cycle_type": "hrt",
    "cycle_day": "13",
    "date": "2025-02-10",
    "cancelled": "",
    "cancelled_because": "",
    "study": "1.2.1",
    "clip": "",
}
SCAN = {
    "file": "a.dcm",
    "sha256": "a" * 64,
    "study_instance_uid": "1.2.1",
    "patient_id": "W01",
    "acquired_at": "2025-02-10T09:30:00",
    "status": "measured",
    "thickness_mm": "5.0",
    "lower_mm": "4.5",
    "upper_mm": "5.5",
    "quality": "0.9",
    "duplicate_of": "",
}


def write(path, rows, columns=()):
    """Write rows as CSV, in the columns of all and those given."""
    names = list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, names, restval="")
        table.writeheader()
        table.writerows(rows)
    return path


def visits(path, *changes):
    """Write a visits table: a row for each change of VISIT."""
    return write(path, [VISIT | change for change in changes])


def run(folder, *changes):
    """Write a run's folder: a scan for each change of SCAN."""
    folder.mkdir(exist_ok=True)
    write(folder / "measurements.csv", [SCAN | change for change in changes], COLUMNS)
    return folder


def reviews(path, *changes):
    """Write a table of reviews: a row for each change of SCAN."""
    return write(path, [SCAN | change for change in changes], REVIEW_COLUMNS)
