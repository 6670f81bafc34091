"""What a file is, by its content."""

import json
from collections.abc import Sequence
from pathlib import Path

# A LabelMe file holds a picture in base64; a JSON beyond this is no annotation.
MAX_JSON = 2**30


def json_with(files: Sequence[Path], *keys: str) -> list[Path]:
    """Return the JSON files that hold an object with a list under every key."""
    return [path for path in files if path.suffix.lower() == ".json" and _has(path, keys)]


def _has(path: Path, keys: tuple[str, ...]) -> bool:
    try:
        if path.stat().st_size > MAX_JSON:
            return False
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and all(isinstance(content.get(key), list) for key in keys)
