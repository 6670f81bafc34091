"""What the rows of a run add up to: counts, a histogram, agreement with calipers in the picture."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from inference.records import Status, Value
from inference.report.least import Least

# Width of a bar, and how many below and above the threshold are told apart.
BIN_MM, MOST_BINS = 0.5, 40
# Points of the plot of agreement: the least hashes, so a random sample of all, always the same.
SAMPLE = 800
# Normal limits of agreement hold 95 % of differences (Bland and Altman, Lancet 1986, 307).
LIMITS_SD = 1.96


@dataclass
class Agreement:
    """Sums over the clips in which calipers were left, in mm: measured minus by hand."""

    n: int = 0
    mean_mm: float = 0.0
    _squares: float = 0.0
    sample: Least[tuple[float, float]] = field(default_factory=lambda: Least(SAMPLE))
    """(by hand, measured)."""

    def add(self, by_hand_mm: float, measured_mm: float, key: str) -> None:
        """Count one pair; `key` decides by chance whether it is drawn (Welford's sums)."""
        self.n += 1
        gap = measured_mm - by_hand_mm
        step = gap - self.mean_mm
        self.mean_mm += step / self.n
        self._squares += step * (gap - self.mean_mm)
        self.sample.add((key,), (by_hand_mm, measured_mm))

    @property
    def limits_mm(self) -> tuple[float, float] | None:
        """Return the 95 % limits of agreement, None of a single pair."""
        if self.n < 2:
            return None
        reach = LIMITS_SD * math.sqrt(self._squares / (self.n - 1))
        return self.mean_mm - reach, self.mean_mm + reach


@dataclass
class Tally:
    """Counts of rows. `bins` counts thicknesses by (bin, call); bin 0 begins at the threshold."""

    threshold_mm: float
    n: int = 0
    status: Counter[str] = field(default_factory=Counter)
    reason: Counter[str] = field(default_factory=Counter)
    call: Counter[str] = field(default_factory=Counter)
    scale: Counter[str] = field(default_factory=Counter)
    """Where the scale of what was measured came from."""
    bins: Counter[tuple[int, str]] = field(default_factory=Counter)
    agreement: Agreement = field(default_factory=Agreement)

    def add(self, row: Mapping[str, Value]) -> None:
        """Count one row of CLIP_COLUMNS."""
        self.n += 1
        self.status[str(row["status"])] += 1
        if row["status"] == Status.NOT_MEASURABLE:
            self.reason[str(row["reason"] or "")] += 1
        if row["status"] != Status.MEASURED or row["thickness_mm"] is None:
            return
        mm, call = float(row["thickness_mm"]), str(row["call"])
        self.call[call] += 1
        self.scale[str(row["calibration"])] += 1
        place = math.floor((mm - self.threshold_mm) / BIN_MM)
        self.bins[max(-MOST_BINS, min(MOST_BINS, place)), call] += 1
        if row["sonographer_mm"] is not None:
            key = f"{row['sha256']} {row['file']}"
            self.agreement.add(float(row["sonographer_mm"]), mm, key)
