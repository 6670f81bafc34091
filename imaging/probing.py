"""A look at some frames of a clip, to find where its picture lies."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from imaging.clip import ClipError, Frame
from imaging.pixels import Uint8
from imaging.sector import LIT

# Frames on which the sector is sought; more only while those were damaged or black.
PROBES = 3


@dataclass(frozen=True)
class Brightest:
    """The brightest of some frames in every pixel, uint8 (rows, columns): `drawn` without coloured
    graphics, `shown` with them."""

    drawn: Uint8
    shown: Uint8


def brightest(read: Callable[[int], Frame], frames: int, shape: tuple[int, int]) -> Brightest:
    """Return the brightest of the first, middle and last frame, and of more if those are black.

    The picture does not move within a clip, and a shadow rarely stays. `read` decodes a frame by
    its number, from 1. Raises ClipError if no frame is readable.
    """
    drawn, shown = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    failure: ClipError | None = None
    readable = 0
    for number in probes(frames):
        if readable >= PROBES and drawn.max() > LIT:
            break
        try:
            frame = read(number)
        except ClipError as error:
            failure = failure or error
            continue
        readable += 1
        np.maximum(drawn, np.where(frame.graphics, 0, frame.luma), out=drawn)
        np.maximum(shown, frame.luma, out=shown)
    if not readable and failure:
        raise failure
    return Brightest(drawn, shown)


def probes(frames: int) -> list[int]:
    """Return frame numbers to look for the sector in: first, middle, last, then those between."""
    spread = np.linspace(1, frames, min(frames, 8 * PROBES)).round().astype(int).tolist()
    return list(dict.fromkeys([1, (frames + 1) // 2, frames, *spread]))
