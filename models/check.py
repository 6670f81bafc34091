"""Is a bundle what it was when it was made? Every check, none left out because another failed."""

import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle import CARD, EXPORT, WEIGHTS, Bundle, BundleError, file_sha256, load_bundle
from models.runtime import OpenVinoRuntime, Runtime, TorchRuntime
from models.sign_offs import SIGN_OFFS, doubts, read_sign_offs

MODEL_CARD, GALLERY = "MODEL_CARD.md", "gallery"
# How far probabilities of two computations of one network may lie apart: between torch and OpenVINO
# 0.0003 was seen, between batches of different size the same; other weights differ by tenths.
APART = 0.01
# Parts along each axis of the test picture whose mean probabilities a card may state.
PARTS = 2


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: `held` None says that there was nothing to look at."""

    name: str
    held: bool | None
    words: str


def check_bundle(folder: Path, *, deep: bool = False, must_have: str | None = None) -> list[Check]:
    """Look at everything in a bundle's folder; never raises for what is in it.

    `deep` compares the torch network with the exported one, which needs torch. `must_have` is the
    sha256 of a sign-off that has to be there. Raises BundleError for a folder without a card, and
    for a deep check without torch.
    """
    if not (folder / CARD).is_file():
        raise BundleError(f"{folder} is not a bundle: there is no {CARD} in it.")
    if deep and any(importlib.util.find_spec(name) is None for name in ("torch", "monai")):
        raise BundleError(
            "--deep computes with torch, which is not installed: pip install 'endometer[train]'"
        )
    checks = [*_files(folder)]
    bundle: Bundle | None = None
    try:
        bundle = load_bundle(folder)
        checks.append(Check("card", True, "every field is there, weights and export are tied"))
    except BundleError as error:
        checks.append(Check("card", False, str(error)))
    if bundle is not None:
        checks += _network(bundle, deep=deep)
    return [*checks, *_sign_offs(folder, must_have)]


def test_picture(size: int) -> NDArray[np.float32]:
    """Return a picture as the network sees one: float32 (size, size), normalised, 0 outside.

    A bright, bent band in a dark uterus in a fan of noise, which the shipped network outlines; the
    same on every machine.
    """
    rows, columns = np.mgrid[0:size, 0:size] / size - 0.5
    fan = (np.abs(columns) < 0.25 + 0.4 * (rows + 0.5)) & (np.hypot(rows + 0.5, columns) < 0.95)
    # Not numpy's generator: its stream may change between versions.
    noise = sum(
        np.sin(400 * (np.cos(turn) * rows + np.sin(turn) * columns) * pitch + 7 * turn)
        for turn, pitch in ((0.3, 1), (1.1, 1.37), (2.2, 0.81), (2.9, 1.21), (1.7, 0.67))
    )
    below = rows + 0.1
    uterus = np.exp(-(((below / 0.22) ** 2 + (columns / 0.38) ** 2) ** 3))
    band = np.exp(-(((below + 0.3 * columns**2) / 0.05) ** 4) - (columns / 0.26) ** 8)
    picture = np.where(fan, 0.3 * noise + 0.6 - 1.6 * uterus + 1.5 * band, 0)
    return np.clip(picture, -4, 4).astype(np.float32)


test_picture.__test__ = False  # type: ignore[attr-defined]  # pytest takes it for a test


def means_of(runtime: Runtime, size: int) -> list[list[float]]:
    """Return the mean probability of every label in every part of the test picture.

    (labels, PARTS * PARTS), parts row by row, to six decimals: what a card states as `self_test`.
    """
    seen = runtime(test_picture(size)[None, None])[0].astype(float)
    side = size // PARTS
    parts = seen.reshape(len(seen), PARTS, side, PARTS, side).mean((2, 4))
    return [[round(float(mean), 6) for mean in label.ravel()] for label in parts]


def card_of(folder: Path) -> dict[str, Any]:
    """Return a bundle's card as it is, unchecked. Raises BundleError where it is no JSON object."""
    try:
        card = json.loads((folder / CARD).read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{folder / CARD} cannot be read: {error}") from error
    if not isinstance(card, dict):
        raise BundleError(f"{folder / CARD} is no JSON object.")
    return card


def _files(folder: Path) -> Iterator[Check]:
    try:
        hashes = card_of(folder).get("sha256")
    except BundleError:
        return  # the check of the card says so
    if not isinstance(hashes, dict):
        return
    for name, wanted in hashes.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            yield Check(name, False, "the card names a file outside the bundle")
        elif not path.is_file():
            yield Check(name, False, "missing; restore the bundle as it was published")
        elif file_sha256(path) != wanted:
            yield Check(name, False, "changed or damaged: its sha256 is not the one in the card")
        else:
            yield Check(name, True, f"sha256 {str(wanted)[:16]}… as in the card")
    known = {*hashes, CARD, SIGN_OFFS, WEIGHTS, *EXPORT}
    others = sorted(
        str(path.relative_to(folder).as_posix()) for path in folder.rglob("*") if path.is_file()
    )
    if strange := [name for name in others if name not in known]:
        more = f" and {len(strange) - 5} more" if len(strange) > 5 else ""
        words = f"{', '.join(strange[:5])}{more}: not in the card, so nothing says if changed"
        yield Check("other files", None, words)


def _network(bundle: Bundle, *, deep: bool) -> Iterator[Check]:
    size = bundle.grid.size
    try:
        exported = OpenVinoRuntime(bundle)
        seen = exported(test_picture(size)[None, None])
    except (BundleError, RuntimeError) as error:
        yield Check("self test", False, f"the exported network does not run: {error}")
        return
    off = float(np.abs(seen.sum(1) - 1).max()) if np.isfinite(seen).all() else np.inf
    if not off <= 1e-3 or seen.min() < -1e-6:
        yield Check("self test", False, f"what it gives are no probabilities (sums off by {off:g})")
        return
    yield Check("self test", True, "the exported network runs, probabilities sum to 1")
    yield _as_stated(card_of(bundle.path).get("self_test"), means_of(exported, size))
    if deep:
        reference = TorchRuntime(bundle, "cpu")(test_picture(size)[None, None])
        apart = float(np.abs(reference - seen).max())
        words = f"torch and the export differ by {apart:.4f} at most (allowed {APART})"
        yield Check("deep", apart <= APART, words)


def _as_stated(stated: object, found: list[list[float]]) -> Check:
    name = "self test as at shipping"
    if stated is None:
        return Check(name, None, "the card of this bundle states no numbers to compare with")
    try:
        apart = float(np.abs(np.array(stated, float) - np.array(found)).max())
    except (TypeError, ValueError):
        return Check(name, False, "self_test in the card is no table of probabilities")
    words = f"mean probabilities differ by {apart:.4f} at most (allowed {APART})"
    return Check(name, apart <= APART, words)


def _sign_offs(folder: Path, must_have: str | None) -> Iterator[Check]:
    try:
        entries = read_sign_offs(folder)
    except BundleError as error:
        yield Check(SIGN_OFFS, False, str(error))
        return
    if must_have is not None:
        there = any(entry.sha256 == must_have.strip().lower() for entry in entries)
        words = "the sign-off with this sha256 is " + ("there" if there else "not there")
        yield Check("sign-off asked for", there, words)
    if not entries:
        yield Check(SIGN_OFFS, None, "nobody has signed this bundle off")
    # Damage to these is told above; what counts here is what they are now.
    weights, card = (
        file_sha256(folder / name) if (folder / name).is_file() else "" for name in (WEIGHTS, CARD)
    )
    for entry in entries:
        who = f"{entry.at} {entry.by} ({entry.role}): {entry.note}"
        found = doubts(entry, weights, card)
        what = f"no longer holds, {' and '.join(found)}" if found else "holds"
        yield Check(f"sign-off {entry.number}", not found, f"{what}. {who}")
