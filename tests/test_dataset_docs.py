"""docs/datasets.md lists what there is."""

import re
from pathlib import Path

from data.importers.formats import FORMATS
from data.importers.labels import MEANINGS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/datasets.md").read_text(encoding="utf-8")


def test_every_format_is_in_the_table_as_the_registry_has_it():
    for one in FORMATS:
        assert f"| `{one.name}` | {one.what} | {one.names} |\n" in PAGE


def test_every_meaning_is_explained():
    for meaning in MEANINGS:
        assert f"| `{meaning}` |" in PAGE


def test_every_kind_of_finding_is_explained():
    source = "".join(
        (ROOT / f"training/datasets/{name}.py").read_text() for name in ("look", "check")
    )
    kinds = re.findall(r'notes\.(?:error|warning)\(\s*"([a-z ]+)"', source)
    kinds += re.findall(r'Finding\(\s*[\w.]+,\s*"([a-z ]+)"', source)
    assert {"size", "alike", "patient", "entry"} <= set(kinds)
    assert [kind for kind in set(kinds) if f"`{kind}`" not in PAGE] == []
