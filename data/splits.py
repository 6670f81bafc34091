"""Splits by patient: deterministic, stratified, whatever the order of the items."""

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# Strata of thickness: groups are cut into so many of equal size.
STRATA = 4


class SplitError(Exception):
    """Items cannot be split so; the message says why."""


@dataclass(frozen=True)
class Group:
    """What must stay together: `name` tells it from others, `items` counts its items, `mm` is its
    median thickness (None: none was measured), `empty`: no item shows an endometrium."""

    name: str
    items: int
    mm: float | None
    empty: bool


def assign(groups: Sequence[Group], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Return the part of every group, by its name.

    `shares` of the items, by part, sum to 1. Groups go one by one, stratum by stratum, to the part
    that lacks most of its share so far, so that every stratum is spread like the whole; in what
    order within a stratum, the seed says. A part gets its share but for the items of the largest
    group, one for each part, and at least one group. Raises SplitError for fewer groups than parts.
    """
    parts = [part for part, share in shares.items() if share > 0]
    if len(groups) < len(parts):
        raise SplitError(
            f"there are {len(groups)} patients (or groups of images that belong together) for "
            f"{len(parts)} parts ({', '.join(parts)}); each needs one."
        )
    found: dict[str, str] = {}
    got = dict.fromkeys(parts, 0)
    total = 0
    for group in _in_order(groups, seed):
        total += group.items
        part = max(parts, key=lambda name: shares[name] * total - got[name])
        found[group.name] = part
        got[part] += group.items
    _fill(found, {group.name: group.items for group in groups}, parts, seed)
    return found


def _in_order(groups: Sequence[Group], seed: int) -> list[Group]:
    """Return groups by stratum (thinnest first, then unmeasured, then empty), drawn by the seed."""
    measured = [group.mm for group in groups if group.mm is not None]
    edges = np.quantile(measured, np.arange(1, STRATA) / STRATA) if measured else np.empty(0)

    def place(group: Group) -> tuple[int, bytes]:
        if group.mm is not None:
            stratum = int(np.searchsorted(edges, group.mm, side="right"))
        else:
            stratum = STRATA + int(group.empty)
        return stratum, drawn(group.name, seed)

    return sorted(groups, key=place)


def drawn(name: Hashable, seed: int) -> bytes:
    """Return what orders names at random, the same for the same seed whatever the others are."""
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


def _fill(found: dict[str, str], items: Mapping[str, int], parts: list[str], seed: int) -> None:
    """Give a part that got nothing the smallest group of the part that can best spare one."""
    for part in parts:
        if part in found.values():
            continue
        spare = [n for n in found if sum(other == found[n] for other in found.values()) > 1]
        smallest = min(spare, key=lambda name: (items[name], drawn(name, seed)))
        found[smallest] = part
