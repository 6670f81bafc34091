"""Who accepted a bundle, and for which weights and card: an append-only, chained list beside it.

`sign-offs.jsonl` holds a line per sign-off. Each line carries the sha256 of the weights and of the
card at that time, of the line before it, and of itself, so that a later change of weights, card or
of any line but the last ones taken away is found. It is a record, not a signature: whoever may
write the folder may write the whole file anew. Who keeps the sha256 of a line elsewhere (on paper,
in a trial's master file) can prove that the line was there.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from models.bundle import CARD, WEIGHTS, BundleError, file_sha256

SIGN_OFFS = "sign-offs.jsonl"
# What the first line has in place of a line before it.
FIRST = "0" * 64
LONGEST = 2000


@dataclass(frozen=True)
class SignOff:
    """One line. `at` is UTC in ISO 8601; `version` is endometer's; hashes are hexadecimal."""

    number: int
    by: str
    role: str
    note: str
    at: str
    bundle: str
    weights_sha256: str
    card_sha256: str
    version: str
    previous: str
    sha256: str = ""

    def digest(self) -> str:
        """Return the sha256 that the line must carry: of all its other fields as sorted JSON."""
        values = {name: value for name, value in asdict(self).items() if name != "sha256"}
        text = json.dumps(values, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def read_sign_offs(folder: Path) -> list[SignOff]:
    """Return the sign-offs of a bundle, oldest first; none where there is no file.

    Checks the chain. Raises BundleError for a line that is damaged, changed, missing or moved.
    """
    path = folder / SIGN_OFFS
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} cannot be read: {error}") from error
    found: list[SignOff] = []
    for number, line in enumerate(text.rstrip("\n").split("\n"), 1):
        where = f"{path}, line {number}"
        entry = _entry(line, where)
        before = found[-1].sha256 if found else FIRST
        if entry.sha256 != entry.digest():
            raise BundleError(
                f"{where} was changed after it was written: its sha256 does not fit its content."
            )
        if entry.previous != before or entry.number != number:
            raise BundleError(f"{where} does not follow the line before it: a line was taken out.")
        found.append(entry)
    return found


def _entry(line: str, where: str) -> SignOff:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"{where} is no JSON ({error}): the file is damaged. Restore it from a copy."
        ) from None
    names = {field.name for field in fields(SignOff)}
    if not isinstance(values, dict) or values.keys() != names:
        raise BundleError(f"{where} is no sign-off: its fields must be {', '.join(sorted(names))}.")
    for name, value in values.items():
        if type(value) is not (int if name == "number" else str):
            raise BundleError(f"{where}, {name} is {value!r}.")
    return SignOff(**values)


def sign_off(folder: Path, bundle: str, by: str, role: str, note: str) -> SignOff:
    """Add a line for the weights and the card as they are now, and return it.

    `bundle` is the name in the card. Raises BundleError for texts that are empty or not one line
    of up to LONGEST characters and for a chain that is broken already, OSError.
    """
    for name, value in (("--by", by), ("--role", role), ("--note", note)):
        if not value.strip() or not value.isprintable() or len(value) > LONGEST:
            raise BundleError(
                f"{name} is {value[:60]!r}; it must be one line of text, 1 to {LONGEST} characters."
            )
    before = read_sign_offs(folder)
    from importlib import metadata

    entry = SignOff(
        number=len(before) + 1,
        by=by.strip(),
        role=role.strip(),
        note=note.strip(),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        bundle=bundle,
        weights_sha256=file_sha256(folder / WEIGHTS),
        card_sha256=file_sha256(folder / CARD),
        version=metadata.version("endometer"),
        previous=before[-1].sha256 if before else FIRST,
    )
    entry = SignOff(**asdict(entry) | {"sha256": entry.digest()})
    # Only ever appended to, and on the disk before anybody is told.
    with (folder / SIGN_OFFS).open("a", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return entry


def doubts(entry: SignOff, weights_sha256: str, card_sha256: str) -> list[str]:
    """Return why a sign-off does not hold for a bundle with these hashes; nothing if it does."""
    found = []
    if entry.weights_sha256 != weights_sha256:
        found.append("the weights were changed since")
    if entry.card_sha256 != card_sha256:
        found.append("the card was changed since")
    return found
