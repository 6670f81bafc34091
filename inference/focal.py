"""Signs of something focal in the cavity, for which a person should look: a polyp, a device.

Each sign is a named policy. None of them refuses a measurement: it is said, and the interval is
wider.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from inference.thickness import Thickness

# The measured thickness over the median of the profile where it is half as thick or more, from
# which a thickening is focal. Of 87 simulated endometria 8 had more, of which 7 were measured more
# than 1 mm wrong; of the others a quarter.
FOCAL_RATIO = 1.35
THICK_SHARE = 0.5
# Standard deviations of the picture: the core of the band is bright above the first at its 90th
# percentile, and what lies beyond it darker than what lies before it by the second. With both, 17
# of 25 simulated devices and 5 of 84 endometria without one were found.
BRIGHT, BRIGHT_PERCENTILE, SHADOW = 1.4, 90, -0.4
# The core is what lies nearer to the midline than this share of the half thickness; before and
# beyond the band is looked at over so many mm, some way from its interface.
CORE_SHARE, NEAR_MM, FAR_MM = 0.5, 2.0, 10.0
FEWEST_PX, SMOOTH_PX = 8, 0.7
# So much farther reaches the interval of a measurement with a sign, or with fluid in the cavity: of
# 32 simulated ones with fluid 22 lay within theirs, and 27 within one so wide.
WIDER = 1.5


@dataclass(frozen=True)
class Shown:
    """What signs look for: the picture `pixels` float32 and its `sector` bool (n, n) on the network
    grid of `grid_mm` mm per pixel, in standard deviations; and what was `measured` there."""

    pixels: NDArray[np.float32]
    sector: NDArray[np.bool_]
    measured: Thickness
    grid_mm: float


@dataclass(frozen=True)
class Sign:
    """One thing that looks focal: `meaning` says what it looks at, `words` what to do about it."""

    name: str
    meaning: str
    words: str
    shows: Callable[[Shown], bool]


def usual_mm(measured: Thickness) -> float:
    """Return the thickness (mm) without its thickest place: the median where it is thick."""
    profile = measured.profile_mm
    return float(np.median(profile[profile >= THICK_SHARE * profile.max()]))


def focal_thickening(shown: Shown) -> bool:
    """Tell whether the thickest place is far thicker than the rest."""
    return shown.measured.thickness_mm > FOCAL_RATIO * usual_mm(shown.measured)


def device(shown: Shown) -> bool:
    """Tell whether the cavity is bright and throws a shadow, as an intrauterine device does.

    The beams of an endocavity probe are taken for vertical.
    """
    measured = shown.measured
    points = np.argwhere(measured.component)
    away, station = cKDTree(measured.midline).query(points)
    half = np.maximum(measured.profile_mm[station] / 2 / shown.grid_mm, 1.0)
    smooth = ndimage.gaussian_filter(shown.pixels, SMOOTH_PX)  # a speckle is no device
    core = smooth[tuple(points[away < CORE_SHARE * half].T)]
    if core.size < FEWEST_PX or np.percentile(core, BRIGHT_PERCENTILE) <= BRIGHT:
        return False
    near, far = (round(mm / shown.grid_mm) for mm in (NEAR_MM, FAR_MM))
    steps = []
    for column in np.unique(points[:, 1]):
        rows = points[points[:, 1] == column, 0]
        before = np.s_[max(rows.min() - far, 0) : max(rows.min() - near, 0), column]
        beyond = np.s_[rows.max() + near : rows.max() + far, column]
        sides = [shown.pixels[part][shown.sector[part]] for part in (before, beyond)]
        if min(side.size for side in sides) >= FEWEST_PX:
            steps.append(sides[1].mean() - sides[0].mean())
    return bool(steps) and float(np.mean(steps)) < SHADOW


SIGNS = (
    Sign(
        "focal_thickening",
        f"thickest place against the usual thickness: a sign above {FOCAL_RATIO:g} times",
        "A focal thickening, such as a polyp, or an outline that is too thick in one place: a "
        "person should look.",
        focal_thickening,
    ),
    Sign(
        "device",
        "a bright cavity with a shadow beyond it",
        "A bright line with a shadow in the cavity, such as an intrauterine device: a person "
        "should look.",
        device,
    ),
)


def signs_of(shown: Shown) -> tuple[Sign, ...]:
    """Return the signs of something focal in one measured frame."""
    return tuple(sign for sign in SIGNS if sign.shows(shown))
