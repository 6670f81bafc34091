"""What names of labels mean: said by the user for every one of them, never guessed."""

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from data.cases import ANNOTATED
from data.importers.annotation import Layer

ENDOMETRIUM, FLUID = ANNOTATED
BACKGROUND, IGNORE = "background", "ignore"
MEANINGS = (ENDOMETRIUM, FLUID, BACKGROUND, IGNORE)
# Names that an error lists before it counts the rest: a mask with soft edges has hundreds.
LISTED = 20


class MappingError(Exception):
    """A mapping cannot be used, or names are missing from it; the message has the words to add."""


def read_mapping(words: Iterable[str]) -> dict[str, str]:
    """Return {name: meaning} of words NAME=MEANING; the name may hold `=`. Raises MappingError."""
    mapping: dict[str, str] = {}
    for word in words:
        name, equals, meaning = word.rpartition("=")
        name = name.strip()
        if not equals or not name or meaning not in MEANINGS:
            raise MappingError(
                f"--map {word!r} is not NAME=MEANING, with {', '.join(MEANINGS)} as MEANING."
            )
        if mapping.setdefault(name, meaning) != meaning:
            raise MappingError(f"--map gives {name!r} two meanings: {mapping[name]}, {meaning}.")
    return mapping


def known_labels(mapping: Mapping[str, str], stated: Sequence[str] | None) -> tuple[str, ...]:
    """Return what the annotation tells apart: the meanings that names are mapped to, or what the
    user states, which must hold these.

    Somebody who drew no fluid anywhere has not said that there is none: without a name for it, and
    without `stated`, fluid is unknown. Raises MappingError.
    """
    drawn = [label for label in ANNOTATED if label in mapping.values()]
    if stated is None:
        return tuple(drawn or ANNOTATED[:1])
    wrong = [label for label in stated if label not in ANNOTATED]
    if wrong or not stated:
        raise MappingError(f"--labels lists {', '.join(ANNOTATED)}, or one of them.")
    if missing := [label for label in drawn if label not in stated]:
        raise MappingError(
            f"--labels leaves out {', '.join(missing)}, which --map says was drawn. Add it, or map "
            "its names to ignore."
        )
    return tuple(label for label in ANNOTATED if label in stated)


def unknown_names(counts: Mapping[str, int], mapping: Mapping[str, str]) -> str | None:
    """Return the error of names that are not mapped: every name that was found, with its count and
    the words to add. None if all are mapped."""
    unknown = [name for name in counts if name not in mapping]
    if not unknown:
        return None
    lines = [f"{len(unknown)} of {len(counts)} names of labels are not mapped. Found were:"]
    most = sorted(counts.items(), key=lambda item: (item[0] in mapping, -item[1], item[0]))
    for name, count in most[:LISTED]:
        lines.append(f"  {name!r}: {count} times, {mapping.get(name, 'not mapped')}")
    if len(most) > LISTED:
        lines.append(f"  and {len(most) - LISTED} more.")
    some = sorted(unknown, key=lambda name: (-counts[name], name))[:LISTED]
    words = " ".join(f"--map {shlex.quote(f'{name}=MEANING')}" for name in some)
    lines.append(f"Add {words} with {', '.join(MEANINGS[:-1])} or {IGNORE} as MEANING.")
    return "\n".join(lines)


def counted(layers: Iterable[Layer]) -> Counter[str]:
    """Return how often each name is there."""
    return Counter(layer.name for layer in layers)


def label_image(
    layers: Sequence[Layer], mapping: Mapping[str, str], shape: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return the label image of layers: uint8 (rows, columns), 0, 1 endometrium, 2 fluid.

    Layers of one meaning are united. Fluid lies inside the endometrium, so it wins where both are;
    what is mapped to background is cut out of both; what is ignored counts as not drawn. Names
    that are not mapped are left out.
    """
    label = np.zeros(shape, np.uint8)
    for meaning, value in ((ENDOMETRIUM, 1), (FLUID, 2), (BACKGROUND, 0)):
        for layer in layers:
            if layer.mask is not None and mapping.get(layer.name) == meaning:
                label[layer.mask] = value
    return label


def problems(layers: Iterable[Layer], mapping: Mapping[str, str]) -> list[str]:
    """Return what is wrong with the layers that would be used."""
    return [
        f"{layer.name!r}: {layer.problem}"
        for layer in layers
        if layer.problem and mapping.get(layer.name) not in (None, IGNORE)
    ]
