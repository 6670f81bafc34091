"""Patients with several studies: one measurement per study, over time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from operator import attrgetter

from inference.records import Status, Value
from inference.report.urgency import number

# Patients that are followed at once, and studies of one. Of more patients those with the least
# hashes are followed: a random sample, the same in whatever order the rows come.
MOST_PATIENTS, MOST_STUDIES = 10_000, 60
# The longest identifier of DICOM (value representation LO).
ID_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Study:
    """The measurement that speaks for a study: that of its clip with the best quality.

    `at` is when the clip was taken, without a time zone; lengths in mm.
    """

    study: bytes
    at: datetime
    quality: float
    sha256: str
    mm: float
    lower_mm: float
    upper_mm: float


@dataclass(slots=True)
class Patient:
    """A patient and what was measured, by study. `key` is a hash of the identifier."""

    key: bytes
    patient_id: str
    by_study: dict[bytes, Study] = field(default_factory=dict)

    @property
    def studies(self) -> list[Study]:
        """Return the studies in the order of time."""
        return sorted(self.by_study.values(), key=attrgetter("at", "study"))

    def add(self, new: Study) -> None:
        """Take a measurement in; of a study too many the oldest goes."""
        old = self.by_study.get(new.study)
        if old is None or (new.quality, new.sha256) > (old.quality, old.sha256):
            self.by_study[new.study] = new
        if len(self.by_study) > MOST_STUDIES:
            del self.by_study[self.studies[0].study]


class Trends:
    """Follows patients in bounded memory. `sampled` tells that there were too many for all."""

    def __init__(self, most: int = MOST_PATIENTS) -> None:
        """Follow at most so many patients, and never more than twice as many meanwhile."""
        self.most = most
        self._patients: dict[bytes, Patient] = {}
        self._limit: bytes | None = None

    @property
    def sampled(self) -> bool:
        """Tell whether patients were left out."""
        return self._limit is not None or len(self._patients) > self.most

    def add(self, row: Mapping[str, Value]) -> None:
        """Look at one row. Without a thickness, a patient, a study and a time it says nothing."""
        patient, study, when = row["patient_id"], row["study_instance_uid"], row["acquired_at"]
        if row["status"] != Status.MEASURED or not (patient and study and when):
            return
        key = hashed(patient)
        if self._limit is not None and key >= self._limit:
            return
        try:
            at = datetime.fromisoformat(str(when)).replace(tzinfo=None)
        except ValueError:
            return
        if key not in self._patients:
            self._patients[key] = Patient(key, str(patient)[:ID_LENGTH])
        self._patients[key].add(
            Study(
                hashed(study),
                at,
                number(row, "quality"),
                str(row["sha256"] or "")[:12],
                *(number(row, name) for name in ("thickness_mm", "lower_mm", "upper_mm")),
            )
        )
        if len(self._patients) >= 2 * self.most:
            self._cut()

    def _cut(self) -> None:
        """Keep the least hashes."""
        if len(self._patients) > self.most:
            kept = sorted(self._patients)[: self.most + 1]
            self._limit = kept.pop()
            self._patients = {key: self._patients[key] for key in kept}

    def several(self) -> list[Patient]:
        """Return the patients with at least two studies, those with the most first."""
        self._cut()
        found = [each for each in self._patients.values() if len(each.by_study) > 1]
        return sorted(found, key=lambda each: (-len(each.by_study), each.key))


def hashed(text: Value) -> bytes:
    """Return a short hash of an identifier."""
    return blake2b(str(text).encode("utf-8", "backslashreplace"), digest_size=16).digest()
