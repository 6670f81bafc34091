"""`report.html`: one page of a run, for whoever checks its measurements.

The rows go through once and are never held; the page lists the most urgent clips only, so a million
rows cost no more memory and no longer page than some thousands. Identities stay off it unless they
are asked for: clips go by the hash in the names of their overlays, patients and studies by numbers.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from inference.records import Call, Measurement, Status, Value, measurement_of
from inference.report.figures import (
    Range,
    Trend,
    agreement_plot,
    histogram,
    interval_range,
    signed,
    trend,
)
from inference.report.page import render
from inference.report.tally import Tally
from inference.report.thumbnails import Thumbnails
from inference.report.trends import ID_LENGTH, Trends
from inference.report.urgency import Urgent
from inference.tables import replacing
from inference.words import CALLS, REASONS, in_words

REPORT_HTML = "report.html"
TEMPLATE = Path(__file__).with_name("run.html")
# Patients whose trends are drawn.
MOST_TRENDS = 48
# Longer texts from files are cut: a header can be of any length.
MOST_TEXT = 300
SCALES = {
    "ultrasound_region": "ultrasound region of the file",
    "pixel_spacing": "pixel spacing of the file, unverified",
    "ruler": "depth ruler in the picture",
    "user": "given by the user",
}
SETTINGS = {
    "threshold_mm": "Threshold, mm",
    "spacing_mm": "Scale given by the user, mm per pixel (row, column)",
    "allow_ruler": "Scale from the depth ruler allowed",
    "device": "Computed on",
    "frames": "Frames drawn",
    "pseudonymised": "Patient identifiers replaced in the tables",
}
Row = Mapping[str, Value]


@dataclass(frozen=True)
class Card:
    """A clip on the page. `href` leads to its overlay, if there is one; `picture` is a data URI."""

    name: str
    who: str
    words: str
    call: str
    details: str
    message: str
    href: str | None
    picture: str | None
    interval: Range | None


@dataclass(frozen=True)
class Listing:
    """A group of clips: those with a picture, those without, and how many it has in all."""

    name: str
    heading: str
    meaning: str
    size: int
    drawn: list[Card]
    plain: list[Card]


def write_report(
    path: Path,
    rows: Iterable[Row],
    summary: Mapping[str, Any],
    overlays: Path,
    *,
    names: bool = False,
) -> None:
    """Write the page of a run. Raises OSError.

    `rows` are dictionaries of CLIP_COLUMNS in any order, `summary` is the content of `run.json`,
    `overlays` the folder of the pictures, which the page links to relative to its own. `names`
    shows names of files, identifiers of patients and dates. Duplicates are told, and not counted.
    """
    tally = Tally(float(summary["settings"]["threshold_mm"]))
    urgent, trends, duplicates = Urgent(), Trends(), 0
    for row in rows:
        if row["duplicate_of"]:
            duplicates += 1
            continue
        tally.add(row)
        urgent.add(row)
        trends.add(row)
    people = _People(names)
    pictures = Thumbnails()
    shelf = _Shelf(overlays, _relative(overlays, path.parent), pictures)
    listings = [
        Listing(
            group.name,
            group.heading,
            group.meaning,
            size,
            [card for card in cards if card.href],
            [card for card in cards if not card.href],
        )
        for group, size, held in urgent.listed()
        for cards in [[_card(row, people, shelf) for row in held]]
    ]
    text = render(
        TEMPLATE,
        summary=summary,
        names=names,
        tally=tally,
        duplicates=duplicates,
        threshold=f"{tally.threshold_mm:g}",
        counts=_counts(tally),
        calls=[str(call) for call in Call],
        scales=[(SCALES.get(name, name), n) for name, n in tally.scale.most_common()],
        histogram=histogram(tally),
        agreement=_agreement(tally),
        listings=listings,
        trends=_trends(trends, tally.threshold_mm, people),
        settings=[(words, _setting(summary, name)) for name, words in SETTINGS.items()],
    )
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))


def _relative(folder: Path, start: Path) -> str:
    """Return how to reach a folder from a page in `start`, as the path of an address."""
    return quote(Path(os.path.relpath(folder, start)).as_posix())


@dataclass(frozen=True)
class _Shelf:
    """Where pictures lie, how a page reaches them, and what makes them small."""

    folder: Path
    address: str
    thumbnails: Thumbnails

    def of(self, row: Row) -> tuple[str | None, str | None]:
        """Return address and thumbnail of a row's overlay, None where there is none."""
        name = row["overlay"]
        if not name or not (self.folder / str(name)).is_file():
            return None, None
        return f"{self.address}/{name}", self.thumbnails.of(self.folder / str(name))


class _People:
    """What clips, patients and studies are called: by numbers in the order they are named in."""

    def __init__(self, names: bool) -> None:
        self.names = names
        self._patients: dict[str, int] = {}
        self._studies: dict[str, int] = {}

    def patient(self, patient_id: str) -> str:
        """Return what a patient is called."""
        known = patient_id[:ID_LENGTH]
        number = self._patients.setdefault(known, len(self._patients) + 1)
        return f"patient {known if self.names else number}"

    def clip(self, row: Row) -> str:
        """Return what a clip is called."""
        if self.names:
            return _cut(str(row["file"]))
        return str(row["sha256"])[:12] if row["sha256"] else "unread file"

    def of(self, row: Row) -> str:
        """Return patient and study of a clip."""
        parts = [self.patient(str(row["patient_id"]))] if row["patient_id"] else []
        if row["study_instance_uid"]:
            uid = str(row["study_instance_uid"])
            parts.append(f"study {self._studies.setdefault(uid, len(self._studies) + 1)}")
        if self.names and row["acquired_at"]:
            parts.append(str(row["acquired_at"])[:10])
        return ", ".join(parts)

    def message(self, row: Row) -> str:
        """Return the message of a row; the name of its file only if names are shown."""
        text, file = str(row["message"] or ""), str(row["file"])
        if not self.names:
            for name in (file, PurePosixPath(file).name):
                if len(name) > 3:  # shorter ones name nobody, and might be part of any word
                    text = text.replace(name, "the file")
        return _cut(text)


def _cut(text: str) -> str:
    return text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + "…"


def _card(row: Row, people: _People, shelf: _Shelf) -> Card:
    best = measurement_of(row)
    href, picture = shelf.of(row)
    interval = None
    if best.thickness_mm is not None and best.threshold_mm:
        ends = best.lower_mm or 0.0, best.upper_mm or 0.0
        interval = interval_range(*ends, best.thickness_mm, best.threshold_mm)
    return Card(
        people.clip(row),
        people.of(row),
        in_words(best),
        str(best.call or ""),
        _details(row, best),
        people.message(row),
        href,
        picture,
        interval,
    )


def _details(row: Row, best: Measurement) -> str:
    parts = []
    if best.quality is not None:
        parts.append(f"quality {best.quality:.2f}")
    if best.frame is not None and row["frames"] != 1:
        parts.append(f"frame {best.frame} of {row['frames']}")
    if best.sonographer_mm is not None:
        parts.append(f"calipers in the picture {best.sonographer_mm:.1f} mm")
    return ", ".join(parts)


def _counts(tally: Tally) -> list[tuple[int, str, int, str]]:
    """Return the lines of the overview: level, words, count, and the group that it links to."""
    listed = {Status.MEASURED: "", Status.NOT_MEASURABLE: "refused", Status.FAILED: "failed"}
    words = {
        Status.MEASURED: "Measured",
        Status.NOT_MEASURABLE: "Refused",
        Status.FAILED: "Failed: could not be read",
    }
    lines = []
    for status in Status:
        lines.append((0, words[status], tally.status[status], listed[status]))
        if status is Status.MEASURED:
            for call in Call:
                group = "indeterminate" if call is Call.INDETERMINATE else ""
                said = CALLS[call].format(tally.threshold_mm)
                lines.append((1, said, tally.call[call], group))
        if status is Status.NOT_MEASURABLE:
            known = {str(reason): text for reason, text in REASONS.items()}
            lines += [(1, known.get(r, r), n, "") for r, n in tally.reason.most_common()]
    return lines


def _agreement(tally: Tally) -> dict[str, Any] | None:
    found = tally.agreement
    plot = agreement_plot(found)
    if plot is None:
        return None
    return {
        "plot": plot,
        "n": found.n,
        "drawn": len(plot.dots),
        "mean": signed(found.mean_mm),
        "limits": [signed(mm) for mm in found.limits_mm or ()],
    }


def _trends(trends: Trends, threshold_mm: float, people: _People) -> dict[str, Any] | None:
    found = trends.several()
    if not found:
        return None
    shown: list[tuple[str, int, Trend]] = [
        (
            people.patient(each.patient_id),
            len(each.by_study),
            trend(each, threshold_mm, dates=people.names),
        )
        for each in found[:MOST_TRENDS]
    ]
    return {
        "shown": shown,
        "patients": len(found),
        "sampled": f"{trends.most:,}" if trends.sampled else None,
    }


def _setting(summary: Mapping[str, Any], name: str) -> str:
    value = summary["settings"].get(name)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return "–" if value is None else str(value)
