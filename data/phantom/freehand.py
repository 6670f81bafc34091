"""How a hand holds the probe while a cine is taken: shift, turn, obliquity and contact by frame.

A sweep by hand wanders. The uterus drifts in the picture, the slice leaves the midsagittal plane
and comes back, and now and then the probe loses the skin. The thickness of the scene stays; how
well it shows does not.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from data.phantom.acoustics import SAMPLE_MM, BeamGrid, Medium, smooth_noise
from data.phantom.anatomy import Rng

# A hand's wandering has a memory of about so many frames: half a second at 25 frames a second.
MEMORY = 12.0
# Furthest drift of the uterus (depth, lateral) in mm and its furthest turn in rad; phantoms are
# drawn so that this keeps the endometrium in the fan.
DRIFT_MM, TURN_RAD = (1.0, 3.0), 0.06
# An oblique slice smears what it cuts by up to about so much, mm (standard deviation).
SMEAR_MM = 0.9
# Smear at which an interface answers with 1/e of its amplitude: it is no longer met as a whole.
BLUNT_MM = 0.7
# Loss at lost contact, dB, and from which standard deviation of the wandering on it is lost.
LOST_DB, LOST_FROM = 14.0, 1.0


@dataclass(frozen=True)
class Pose:
    """Where the probe is in one frame, against the first: the uterus moves by `shift_mm` (depth,
    lateral) and turns by `turn` rad; `smear_mm` comes of the slice's obliquity and `lost_db` of
    bad contact, both of the frame itself."""

    shift_mm: tuple[float, float] = (0.0, 0.0)
    turn: float = 0.0
    smear_mm: float = 0.0
    lost_db: float = 0.0


def wander(rng: Rng, frames: int) -> list[Pose]:
    """Draw the poses of a cine; the first is unmoved, so that the scene as drawn is its truth."""
    # Drawn longer than needed: the ends of smoothed noise are not as free as its middle.
    margin = round(4 * MEMORY)
    noise = rng.standard_normal((5, frames + 2 * margin))
    ways = ndimage.gaussian_filter1d(noise, MEMORY)[:, margin:-margin]
    ways = ways * np.sqrt(2 * np.sqrt(np.pi) * MEMORY)  # back to unit variance
    depth, lateral, turn = np.clip(0.5 * (ways[:3] - ways[:3, :1]), -1, 1)
    smear = SMEAR_MM * np.minimum(np.abs(ways[3]), 2.0)
    lost = LOST_DB * np.clip(ways[4] - LOST_FROM, 0, 1)
    return [
        Pose(
            (float(DRIFT_MM[0] * depth[i]), float(DRIFT_MM[1] * lateral[i])),
            float(TURN_RAD * turn[i]),
            float(smear[i]),
            float(lost[i]),
        )
        for i in range(frames)
    ]


def seen_from(medium: Medium, grid: BeamGrid, pose: Pose, seed: int) -> Medium:
    """Return what sound meets of a scene when the probe is held like that.

    `seed` tells which beams lose contact: the same ones throughout a cine.
    """
    if pose.smear_mm > 0:
        across = float(np.median(grid.arc_mm))
        width = (pose.smear_mm / SAMPLE_MM, pose.smear_mm / across)
        blunt = np.float32(np.exp(-((pose.smear_mm / BLUNT_MM) ** 2)))
        medium = replace(
            medium,
            backscatter_db=ndimage.gaussian_filter(medium.backscatter_db, width, truncate=3.0),
            interfaces=tuple(
                replace(each, amplitude=each.amplitude * blunt) for each in medium.interfaces
            ),
        )
    if pose.lost_db > 0:
        uneven = smooth_noise(np.random.default_rng(seed), (4, grid.shape[1]), (4, 40))[:1]
        beams = pose.lost_db * np.clip(0.75 + 0.5 * uneven, 0, 1)
        skin = (grid.distance > 0) & (grid.distance < 1)
        medium = replace(medium, loss_db_mm=medium.loss_db_mm + skin[:, None] * beams)
    return medium
