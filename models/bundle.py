"""A bundle: one model on disk, checked when it is loaded. Needs neither torch nor OpenVINO.

A folder with `weights.safetensors`, `card.json` and, for the CPU runtime, the exported network
(`network.xml`, `network.bin`), tied to the weights by hash. The card says what the model is, what
it was trained on and how well it does; every file's sha256 is in it. Nothing is ever unpickled.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imaging.grid import GridSpec

DEFAULT_BUNDLE = Path(__file__).parent / "default"
WEIGHTS = "weights.safetensors"
EXPORT = ("network.xml", "network.bin")
CARD = "card.json"
# The vocabulary of label channels; inference looks them up by name.
KNOWN_LABELS = frozenset({"background", "endometrium", "fluid", "uterus"})
REQUIRED_LABELS = frozenset({"background", "endometrium", "fluid"})
# The only normalisation there is; see imaging.grid.normalise.
NORMALISATION = "sector_zscore"


class BundleError(Exception):
    """A bundle cannot be used; the message says which file or field is wrong and what to do."""


@dataclass(frozen=True)
class IntervalTable:
    """The interval that holds the truth in a share `nominal` of cases, from held-out ones.

    It reaches `lower_factor[i]` times the difficulty of the case below the measured thickness and
    `upper_factor[i]` times above it: what a network draws too thick is mostly truly thinner. The
    difficulty is `base_mm` plus how softly the network draws the interfaces (inference.spread).
    Bin i holds measured thicknesses below `upper_mm[i]`, the last of which is infinite.
    """

    nominal: float
    base_mm: float
    upper_mm: tuple[float, ...]
    lower_factor: tuple[float, ...]
    upper_factor: tuple[float, ...]

    def reach(self, thickness_mm: float, spread_mm: float) -> tuple[float, float]:
        """Return how far (mm) the interval reaches below and above a measured thickness in mm."""
        i = next((i for i, upper in enumerate(self.upper_mm) if thickness_mm < upper), -1)
        difficulty = self.base_mm + spread_mm
        return self.lower_factor[i] * difficulty, self.upper_factor[i] * difficulty


@dataclass(frozen=True)
class Bundle:
    """A checked model. `sha256` is that of the weights and identifies the bundle in results."""

    path: Path
    name: str
    architecture: dict[str, Any]
    labels: tuple[str, ...]
    grid: GridSpec
    licence: str
    sha256: str
    intervals: IntervalTable
    min_quality: float
    """Quality in [0, 1] below which no number is given; fitted with the intervals."""

    def channel(self, label: str) -> int:
        """Return the output channel of a label."""
        return self.labels.index(label)


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _field(card: dict[str, Any], path: Path, *keys: str) -> Any:
    value: Any = card
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            raise BundleError(
                f"{path}: the card has no field {'.'.join(keys)!r}. A card is written by "
                "`python -m training.ship`; restore the file or export the model again."
            )
        value = value[key]
    return value


def _positive(value: Any, path: Path, what: str) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not (math.isfinite(value) and value > 0)
    ):
        raise BundleError(f"{path}: {what} is {value!r}, not a positive number.")
    return float(value)


def _share(value: Any, path: Path, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise BundleError(f"{path}: {what} is {value!r}, not a number from 0 to 1.")
    return float(value)


def _factor(item: Any, path: Path, side: str) -> float:
    """Return a factor of one side; the cards of before had one for both."""
    if isinstance(item, dict) and "factor" in item:
        return _positive(item["factor"], path, "factor")
    value = _field(item, path, side)
    return 0.0 if value == 0 and not isinstance(value, bool) else _positive(value, path, side)


def _intervals(card: dict[str, Any], path: Path) -> IntervalTable:
    bins = _field(card, path, "intervals", "bins")
    if not isinstance(bins, list) or not bins:
        raise BundleError(f"{path}: intervals.bins is empty; calibrate the bundle again.")
    upper = tuple(
        math.inf
        if _field(b, path, "below_mm") is None
        else _positive(b["below_mm"], path, "below_mm")
        for b in bins
    )
    lower = tuple(_factor(b, path, "lower_factor") for b in bins)
    higher = tuple(_factor(b, path, "upper_factor") for b in bins)
    if any(below + above <= 0 for below, above in zip(lower, higher, strict=True)):
        raise BundleError(f"{path}: intervals.bins has an interval without width.")
    base = _positive(_field(card, path, "intervals", "base_mm"), path, "intervals.base_mm")
    if upper[-1] != math.inf or list(upper) != sorted(set(upper)):
        raise BundleError(
            f"{path}: intervals.bins must rise and end with below_mm null, not {list(upper)}."
        )
    nominal = _positive(_field(card, path, "intervals", "nominal"), path, "intervals.nominal")
    return IntervalTable(nominal, base, upper, lower, higher)


def _architecture(card: dict[str, Any], path: Path) -> dict[str, Any]:
    found = _field(card, path, "architecture")
    for name in ("channels", "strides", "num_res_units"):
        value = _field(card, path, "architecture", name)
        numbers = value if isinstance(value, list) else [value]
        if not numbers or any(type(n) is not int or n <= 0 for n in numbers):
            raise BundleError(f"{path}: architecture.{name} is {value!r}, not whole numbers.")
    members = found.get("members", 1)  # of an ensemble; a card without is of one network
    if type(members) is not int or members <= 0:
        raise BundleError(f"{path}: architecture.members is {members!r}, not a whole number.")
    return dict(found)


def _check_file(folder: Path, name: str, wanted: str) -> None:
    path = folder / name
    if not path.is_file():
        raise BundleError(f"{path} is missing; restore the bundle as it was published.")
    found = file_sha256(path)
    if found != wanted:
        raise BundleError(
            f"{path} has sha256 {found}, the card says {wanted}: the file was changed or is "
            "damaged. Restore the bundle as it was published, or export it again."
        )


def load_bundle(path: Path | None = None) -> Bundle:
    """Load and check a bundle; None is the one that ships with endometer.

    Raises BundleError for a missing folder, file or field, an unknown label, or a wrong hash.
    """
    folder = path or DEFAULT_BUNDLE
    card_path = folder / CARD
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BundleError(f"{folder} is not a bundle: there is no {CARD} in it.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{card_path} cannot be read: {error}") from error

    labels = _field(card, card_path, "labels")
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise BundleError(f"{card_path}: labels is not a list of names.")
    unknown, missing = set(labels) - KNOWN_LABELS, REQUIRED_LABELS - set(labels)
    if unknown or missing or len(set(labels)) != len(labels):
        raise BundleError(
            f"{card_path}: labels {labels}; unknown: {sorted(unknown)}, missing: "
            f"{sorted(missing)}. Known are {sorted(KNOWN_LABELS)}, each at most once."
        )
    normalisation = _field(card, card_path, "normalisation")
    if normalisation != NORMALISATION:
        raise BundleError(
            f"{card_path}: normalisation {normalisation!r}; this version knows {NORMALISATION!r}."
        )
    size = _field(card, card_path, "grid", "size")
    architecture = _architecture(card, card_path)
    coarsest = math.prod(architecture["strides"])
    if not isinstance(size, int) or size <= 0 or size % coarsest:
        raise BundleError(
            f"{card_path}: grid.size is {size!r}, not a positive multiple of {coarsest}, by which "
            "the network divides it."
        )
    for name in ("training_data", "metrics"):
        _field(card, card_path, name)
    hashes = _field(card, card_path, "sha256")
    for name in (WEIGHTS, *EXPORT):
        _check_file(folder, name, str(_field(hashes, card_path, name)))
    tied = _field(card, card_path, "exported_from_sha256")
    if tied != hashes[WEIGHTS]:
        raise BundleError(
            f"{card_path}: the network was exported from weights {tied}, but the bundle's are "
            f"{hashes[WEIGHTS]}. Export it again."
        )
    return Bundle(
        path=folder,
        name=str(_field(card, card_path, "name")),
        architecture=architecture,
        labels=tuple(labels),
        grid=GridSpec(
            size, _positive(_field(card, card_path, "grid", "mm_per_px"), card_path, "mm_per_px")
        ),
        licence=str(_field(card, card_path, "licence")),
        sha256=str(hashes[WEIGHTS]),
        intervals=_intervals(card, card_path),
        min_quality=_share(_field(card, card_path, "min_quality"), card_path, "min_quality"),
    )
