"""The scans of a run and what people said of them, read back from their tables."""

import math
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath

from inference.records import Status
from trial.tables import Line, TableError, read_table, require

COLUMNS = (
    "file",
    "sha256",
    "study_instance_uid",
    "patient_id",
    "acquired_at",
    "status",
    "reason",
    "thickness_mm",
    "lower_mm",
    "upper_mm",
    "quality",
)
REVIEW_COLUMNS = (
    "file",
    "sha256",
    "status",
    "thickness_mm",
    "lower_mm",
    "upper_mm",
    "machine_thickness_mm",
    "review",
    "review_reason",
)
# Beyond it a length in a table is no length of an endometrium, nor the end of an interval of one.
LONGEST_MM = 1000.0
# What a review leaves; `open` is a review that was taken back.
ACCEPTED, CORRECTED, REJECTED = "accepted", "corrected", "rejected"
MEASUREMENTS = ("measurements.parquet", "measurements.csv")


@dataclass(frozen=True)
class Scan:
    """A row of `measurements`. Lengths in mm; `refused` says in words why there is no number.

    `image` is the file whose image this is: its own, unless it is a copy. `review` is the state
    of the newest review, and `mm`, `lower_mm`, `upper_mm` are what counts after it; an upper and
    a lower are missing where a person gave the number. `automatic_mm` is what the run says.
    """

    file: str
    image: str
    sha256: str
    study: str
    patient_id: str
    date: date | None
    quality: float
    mm: float | None
    lower_mm: float | None
    upper_mm: float | None
    automatic_mm: float | None
    review: str | None
    refused: str | None

    @property
    def name(self) -> str:
        """The last part of `file`."""
        return PurePosixPath(self.file.replace("\\", "/")).name


def read_scans(folder: Path, reviews: Path | None = None) -> tuple[tuple[Scan, ...], list[str]]:
    """Return the scans of a run, and the files of reviews that are none of its scans.

    `folder` is what `measure --out` wrote, `reviews` the table `measurements-reviewed` that
    `review-export` wrote. Raises TableError.
    """
    path = next((each for name in MEASUREMENTS if (each := folder / name).is_file()), None)
    if path is None:
        raise TableError(
            f"{folder} has neither {' nor '.join(MEASUREMENTS)}: name the folder that `endometer "
            "measure --out` wrote."
        )
    columns, lines = read_table(path)
    require(path, columns, COLUMNS)
    reviewed: dict[tuple[str, str], Line] = {}
    if reviews is not None:
        columns, rows = read_table(reviews)
        require(reviews, columns, REVIEW_COLUMNS)
        reviewed = {_key(row): row for row in rows if row.text("review") in _DECIDED}
    scans = tuple(_scan(line, reviewed.pop(_key(line), None)) for line in lines)
    return scans, [row.text("file") for row in reviewed.values()]


_DECIDED = frozenset({ACCEPTED, CORRECTED, REJECTED})


def _key(line: Line) -> tuple[str, str]:
    return line.text("file"), line.text("sha256")


def _scan(line: Line, review: Line | None) -> Scan:
    # What was accepted is the number that was on the page, even if the run was made anew since.
    counts = review or line
    state = review.text("review") if review else None
    mm = _mm(counts, "thickness_mm")
    refused = None
    if mm is None:
        refused = _refused(counts, state)
    return Scan(
        file=line.text("file"),
        image=line.text("duplicate_of") or line.text("file"),
        sha256=line.text("sha256").casefold(),
        study=line.text("study_instance_uid"),
        patient_id=line.text("patient_id"),
        date=_date(line.text("acquired_at")),
        quality=_mm(line, "quality") or 0.0,
        mm=mm,
        lower_mm=None if state == CORRECTED else _mm(counts, "lower_mm"),
        upper_mm=None if state == CORRECTED else _mm(counts, "upper_mm"),
        automatic_mm=_mm(line, "thickness_mm"),
        review=state,
        refused=refused,
    )


def _refused(line: Line, review: str | None) -> str:
    if review == REJECTED:
        why = line.text("review_reason").replace("_", " ")
        return f"rejected by a reviewer{f': {why}' if why else ''}"
    if line.text("status") == Status.FAILED:
        return "the file could not be read"
    why = line.text("reason").replace("_", " ")
    return f"not measurable{f': {why}' if why else ''}"


def _mm(line: Line, name: str) -> float | None:
    text = line.text(name)
    try:
        value = float(text) if text else None
    except ValueError:
        value = math.nan
    if value is None or 0 <= value <= LONGEST_MM:
        return value
    raise TableError(
        f"{line.where}: {name} is {text[:40]!r}, which is no number from 0 to {LONGEST_MM:g}. Run "
        "the command that wrote the table again."
    )


def _date(text: str) -> date | None:
    """Return the day of an ISO moment, None where the file says none."""
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None
