"""Write a bundle's card, for programs and for people. Needs no torch."""

import json
from importlib import metadata
from pathlib import Path
from typing import Any

from models.bundle import CARD, EXPORT, WEIGHTS, Bundle, IntervalTable, file_sha256
from models.check import GALLERY, MODEL_CARD, card_of, means_of
from models.runtime import OpenVinoRuntime
from training.claim import KNOWN_FAILURES, claim
from training.model_card import model_card


def write_card(
    out: Path, fields: dict[str, Any], intervals: IntervalTable, metrics: dict[str, Any]
) -> None:
    """Write card.json and, from it, MODEL_CARD.md, with the hashes of the files beside them."""
    names = (WEIGHTS, *EXPORT, *(f"{GALLERY}/{path.name}" for path in gallery_files(out)))
    hashes = {name: file_sha256(out / name) for name in names}
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
        "endometer": metadata.version("endometer"),
    }
    finish_card(out, card)


def finish_card(out: Path, card: dict[str, Any]) -> None:
    """Write MODEL_CARD.md from a card whose other hashes are right, then the card with its hash."""
    hashes = {name: sha for name, sha in card["sha256"].items() if name != MODEL_CARD}
    card = card | {"sha256": hashes}
    card["claim"] = claim(card)
    (out / MODEL_CARD).write_text(model_card(card), "utf-8")
    hashes[MODEL_CARD] = file_sha256(out / MODEL_CARD)
    (out / CARD).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", "utf-8")


def describe(bundle: Bundle, about: dict[str, str]) -> Path:
    """Write the card of a bundle again with what people say of it (training.claim), and its page.

    Nothing else changes but the numbers of the self test, if there were none. Returns the page.
    Raises BundleError for a network that does not run, OSError.
    """
    card = card_of(bundle.path)
    said = {name: text for name, text in about.items() if name != KNOWN_FAILURES}
    card |= {"about": said, "endometer": metadata.version("endometer")}
    if KNOWN_FAILURES in about:
        card[KNOWN_FAILURES] = about[KNOWN_FAILURES]
    if "self_test" not in card:
        card["self_test"] = means_of(OpenVinoRuntime(bundle), bundle.grid.size)
    finish_card(bundle.path, card)
    return bundle.path / MODEL_CARD


def gallery_files(folder: Path) -> list[Path]:
    """Return the pictures of a bundle's gallery, in order."""
    return sorted((folder / GALLERY).glob("*.png"))
