"""Write a bundle's card. Needs no torch."""

import json
from pathlib import Path
from typing import Any

from models.bundle import CARD, EXPORT, WEIGHTS, IntervalTable, file_sha256


def write_card(
    out: Path, fields: dict[str, Any], intervals: IntervalTable, metrics: dict[str, Any]
) -> None:
    """Write card.json with the hashes of the files beside it."""
    hashes = {name: file_sha256(out / name) for name in (WEIGHTS, *EXPORT)}
    bins = [
        {
            "below_mm": None if upper == float("inf") else upper,
            "lower_factor": round(below, 3),
            "upper_factor": round(above, 3),
        }
        for upper, below, above in zip(
            intervals.upper_mm, intervals.lower_factor, intervals.upper_factor, strict=True
        )
    ]
    card = fields | {
        "metrics": metrics,
        "intervals": {"nominal": intervals.nominal, "base_mm": intervals.base_mm, "bins": bins},
        "exported_from_sha256": hashes[WEIGHTS],
        "sha256": hashes,
    }
    (out / CARD).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", "utf-8")
