"""How far a measurement can be trusted: one number in [0, 1], the product of named policies.

Each policy looks at one thing that can be measured, scores it from 0 to 1, and can say what it is.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.outline import LEVEL
from inference.thickness import Thickness

# Above this a thickness is only a few pixels (design section 4).
COARSE_MM_PER_PX = 0.35
# Outlines drawn by hand on 1,647 transvaginal images: an endometrium is at least a third as long
# as its uterus (2.5th percentile 0.34), and few uteri are shorter than 40 mm. What is half as long
# as that is a piece of one, or none, and the thickest place may lie elsewhere.
FULL_LENGTH_MM, NO_LENGTH_MM = 12.0, 6.0
# Pieces belong to one band where the probability between them stays above this: real lines are
# interrupted (10 % of the columns of a thin line, at the 90th percentile 26 %), and a network draws
# the rest of a faint one in pieces.
JOINED = 0.2
# The ring around the band that should be myometrium, in mm.
RING_MM = 3.0
# What chord and inscribed circle may differ by: mm, or a share of the chord (design section 5).
ALLOWED_MM, ALLOWED_SHARE = 0.3, 0.05
# Contrast of the fainter basal interface that is full, and that from which a piece of it shows:
# real endometria outlined by hand have 0.4 to 2.4 between band and surroundings.
FULL_CONTRAST, CLEAN_CONTRAST = 0.8, 0.3
# What is left without contrast. Layers and texture show endometria whose mean grey is that of the
# myometrium, so that alone refuses none.
FAINTEST = 0.5
# How far apart (mm) the network may draw either side of both interfaces; see inference.spread. Of
# everything that was tried this parts errors above 1 mm best.
SHARP_MM = 0.8


@dataclass(frozen=True)
class Seen:
    """What the policies look at.

    `band` (endometrium + fluid) and `uterus` are probabilities float32 (n, n) on the network grid,
    `uterus` None for a network without that label; `measured` is what was measured in them.
    `grid_mm` and `frame_mm` are mm per grid pixel and per frame pixel. `spread_mm` is how softly
    the interfaces were drawn (inference.spread). `contrasts` float64 (pieces, 2) are those of both
    basal interfaces in the picture (inference.interface). `looks` float32 (looks, n, n) are the
    bands that the network saw in the picture and in its mirror image; `band` is their mean.
    """

    band: NDArray[np.float32]
    uterus: NDArray[np.float32] | None
    measured: Thickness
    grid_mm: float
    frame_mm: float
    spread_mm: float
    contrasts: NDArray[np.float64]
    looks: NDArray[np.float32]


@dataclass(frozen=True)
class Policy:
    """One thing that makes a measurement doubtful. `score` returns 1 for no doubt, 0 for none left
    to trust; `meaning` says what it looks at, `weakness` what is wrong where it is low."""

    name: str
    meaning: str
    weakness: str
    score: Callable[[Seen], float]


@dataclass(frozen=True)
class Part:
    """A policy and its score in [0, 1]."""

    policy: Policy
    score: float


@dataclass(frozen=True)
class Quality:
    """What every policy said of a frame."""

    parts: tuple[Part, ...]

    @property
    def value(self) -> float:
        """The product of the scores, in [0, 1]."""
        return math.prod(part.score for part in self.parts)

    @property
    def weakest(self) -> Part:
        """The part with the lowest score; of equals the first."""
        return min(self.parts, key=lambda part: part.score)


def confidence(seen: Seen) -> float:
    """Score the mean probability along the midline, 0.5 counted as 0.

    Not over the area: of a thin line most pixels lie at the edge, where one half is right.
    """
    ridge = ndimage.map_coordinates(seen.band, seen.measured.midline.T, order=1, mode="nearest")
    return float(np.clip(2 * ridge.mean() - 1, 0, 1))


def context(seen: Seen) -> float:
    """Score the share of uterus in a ring around the outline; half is full."""
    if seen.uterus is None:
        return 1.0
    mask = seen.measured.component
    width = max(1, round(RING_MM / seen.grid_mm))
    ring = ndimage.binary_dilation(mask, iterations=width) & ~mask
    return float(np.clip(2 * seen.uterus[ring].mean(), 0, 1)) if ring.any() else 0.0


def agreement(seen: Seen) -> float:
    """Score chord against inscribed circle: 1 up to what is allowed, 0.5 at twice that."""
    chord_mm = seen.measured.outer_mm
    allowed = max(ALLOWED_MM, ALLOWED_SHARE * chord_mm)
    return float(min(1.0, allowed / max(abs(chord_mm - seen.measured.inscribed_circle_mm), 1e-9)))


def extent(seen: Seen) -> float:
    """Score the length of the midline, or what the piece spans with others of the same band."""
    span_mm = span(seen.band, seen.measured.component) * seen.grid_mm
    return length_score(max(seen.measured.length_mm, span_mm))


def length_score(length_mm: float) -> float:
    """Score how long a band is drawn."""
    return float(np.clip((length_mm - NO_LENGTH_MM) / (FULL_LENGTH_MM - NO_LENGTH_MM), 0, 1))


def span(band: NDArray[np.float32], piece: NDArray[np.bool_]) -> float:
    """Return how far, in pixels along their main axis, the drawn pieces of a band reach.

    `band` float32 (n, n) are probabilities, `piece` bool (n, n) one area where they are above one
    half, not empty. Others belong to it that JOINED connects with it, diagonals counted.
    """
    joined, _ = ndimage.label(band > JOINED, np.ones((3, 3)))
    same = np.unique(joined[piece & (joined > 0)])
    points = np.argwhere((band > LEVEL) & np.isin(joined, same)).astype(np.float64)
    if not len(points):
        return 0.0
    points -= points.mean(axis=0)
    _, axes = np.linalg.eigh(points.T @ points)
    return float(np.ptp(points @ axes[:, -1]))


def sharpness(seen: Seen) -> float:
    """Score how sharply the network drew both interfaces at the calipers."""
    return min(1.0, SHARP_MM / max(seen.spread_mm, 1e-9))


def contrast(seen: Seen) -> float:
    """Score the median contrast of the fainter basal interface: FAINTEST without any."""
    if not len(seen.contrasts):
        return FAINTEST
    share = min(1.0, float(np.median(seen.contrasts, axis=0).min()) / FULL_CONTRAST)
    return FAINTEST + (1 - FAINTEST) * share


def boundary(seen: Seen) -> float:
    """Score the share of the band, along its midline, whose two interfaces both show: FAINTEST
    where they never do."""
    if not len(seen.contrasts):
        return FAINTEST
    share = float((seen.contrasts.min(axis=1) >= CLEAN_CONTRAST).mean())
    return FAINTEST + (1 - FAINTEST) * share


def stability(seen: Seen) -> float:
    """Score the overlap of the bands of both looks (Dice of probabilities), near the outline."""
    width = max(1, round(RING_MM / seen.grid_mm))
    near = ndimage.binary_dilation(seen.measured.component, iterations=width)
    here = seen.looks[:, near]
    total = float(here.sum())
    return float(len(here) * here.min(0).sum() / total) if total > 0 else 0.0


def resolution(seen: Seen) -> float:
    """Score the size of the frame's pixels: 1 up to the limit, then falling in proportion."""
    return min(1.0, COARSE_MM_PER_PX / seen.frame_mm)


POLICIES = (
    Policy(
        "confidence",
        "how sure the network is along the midline",
        "the network is unsure what is endometrium",
        confidence,
    ),
    Policy(
        "context",
        f"how much of the {RING_MM:g} mm around the outline it takes for uterus",
        "what was outlined is not surrounded by uterus",
        context,
    ),
    Policy(
        "agreement",
        "whether calipers and inscribed circle agree",
        "calipers and inscribed circle disagree",
        agreement,
    ),
    Policy(
        "extent",
        "length of the outline, with what is drawn of the same band: "
        f"none up to {NO_LENGTH_MM:g} mm, full from {FULL_LENGTH_MM:g} mm",
        "what was outlined is too short to be a whole endometrium",
        extent,
    ),
    Policy(
        "sharpness",
        f"how sharply both interfaces are drawn at the calipers: full up to {SHARP_MM:g} mm",
        "the network is unsure where the interfaces lie",
        sharpness,
    ),
    Policy(
        "stability",
        "whether the picture and its mirror image give the same outline",
        "the mirror image of the picture gives another outline",
        stability,
    ),
    Policy(
        "contrast",
        f"contrast across the fainter basal interface: full from {FULL_CONTRAST:g}",
        "one of the basal interfaces hardly shows in the picture",
        contrast,
    ),
    Policy(
        "boundary",
        "share of the length along which both basal interfaces show in the picture",
        "the basal interfaces show along a part of the length only",
        boundary,
    ),
    Policy(
        "resolution",
        f"size of the pixels: full up to {COARSE_MM_PER_PX:g} mm",
        "the pixels are coarse",
        resolution,
    ),
)


def assess(seen: Seen) -> Quality:
    """Ask every policy about one measured frame."""
    return Quality(tuple(Part(policy, policy.score(seen)) for policy in POLICIES))
