"""Pictures that are one: byte for byte the same, or the same to the eye."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from training.datasets.look import Look

# Bits of 256 in which two pictures may differ and still be one. Between 100 transvaginal images of
# 100 patients the closest pair differs in 68; one that was saved again as JPEG (quality 70), made
# smaller by a third, brightened or marked with calipers in up to 28. Neighbouring frames of a sweep
# lie at 6 to 40.
NEAR_BITS = 40


def twins(looks: Sequence[Look]) -> Iterator[tuple[int, int, int]]:
    """Yield pairs (i < j) of items that show the same picture, and the bits in which they differ;
    -1 for the very same pixels. Frames of one file are no twins of each other."""
    known = [n for n, look in enumerate(looks) if look.perceptual is not None]
    if not known:
        return
    bits = np.array([looks[n].perceptual for n in known], dtype=np.float32)
    for row, i in enumerate(known):
        rest = bits[row + 1 :]
        # bits that differ: those of one, those of the other, less twice those of both
        differ = bits[row].sum() + rest.sum(1) - 2 * rest @ bits[row]
        for offset in np.flatnonzero(differ <= NEAR_BITS):
            j = known[row + 1 + int(offset)]
            if looks[i].pixels == looks[j].pixels:
                yield i, j, -1
            elif looks[i].case.path != looks[j].case.path:
                yield i, j, int(differ[offset])


def strangers(one: Look, other: Look) -> bool:
    """Tell whether the data set says that two items are of different patients."""
    return one.named and other.named and one.case.patient != other.case.patient


def together(looks: Sequence[Look]) -> list[int]:
    """Return a group number for each item, because no split may part a group.

    Items of one patient, of one file and of the very same picture are together, and those that
    show nearly the same one unless they are said to be of different patients.
    """
    first: dict[tuple[str, str], int] = {}
    pairs = []
    for n, look in enumerate(looks):
        keys = [("file", f"{look.folder}/{look.case.name}")]
        if look.named:
            keys.append(("patient", look.case.patient))
        pairs += [(first.setdefault(key, n), n) for key in keys]
    pairs += [
        (i, j) for i, j, bits in twins(looks) if bits < 0 or not strangers(looks[i], looks[j])
    ]
    ends = np.array(pairs, dtype=int).reshape(-1, 2).T
    graph = csr_matrix((np.ones(ends.shape[1]), (ends[0], ends[1])), (len(looks), len(looks)))
    _, groups = connected_components(graph, directed=False)
    return [int(group) for group in groups]


def pairs_between(looks: Sequence[Look]) -> Iterator[tuple[Look, Look]]:
    """Yield every pair of looks of different folders that name the same patient, once a patient."""
    seen: dict[str, dict[str, Look]] = {}
    for look in looks:
        if look.named:
            seen.setdefault(look.case.patient, {}).setdefault(str(look.folder), look)
    for folders in seen.values():
        yield from combinations(folders.values(), 2)
