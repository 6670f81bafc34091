"""What training makes small: soft Dice, cross-entropies and a boundary term, on soft labels.

A pixel that the outline crosses counts by its share of area, because thickness is sub-pixel.
"""

import numpy as np
import torch
from monai.losses import DiceLoss
from numpy.typing import NDArray
from scipy import ndimage

from data.phantom.render import LABELS
from training.config import Loss

# Farther from the true outline than this, an error costs no more: what lies at the other end of
# the picture is wrong, not wrong by its distance.
FAR_MM = 5.0
# Stands for minus infinity, with which soft labels of 0 would give NaN.
_NEVER = -1e4
PARTS = ("loss", "dice", "cross_entropy", "boundary", "band")
# Context, of which no thickness is measured; the last of the labels.
_UTERUS = LABELS.index("uterus")


def merge_unknown(logits: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Return logits whose softmax has the labels that nobody annotated within the background.

    `logits` float (batch, labels, rows, columns), background first; `known` bool (batch, labels),
    the background's True. The background's probability becomes the sum of its own and those of the
    unknown labels, so that a loss on the result is the marginal loss (Shi et al., Medical Image
    Analysis 70, 2021, 101979): what was not annotated may be anything but the known labels.
    """
    if bool(known.all()):
        return logits
    shown = known[:, :, None, None]
    merged = logits.masked_fill(~shown, _NEVER)
    within = torch.cat([logits[:, :1], logits[:, 1:].masked_fill(shown[:, 1:], _NEVER)], 1)
    return torch.cat([within.logsumexp(1, keepdim=True), merged[:, 1:]], 1)


def without_uterus(labels: torch.Tensor) -> torch.Tensor:
    """Return shares (batch, labels, ...) in which what is uterus is background."""
    return torch.cat([labels[:, :1] + labels[:, _UTERUS:], labels[:, 1:_UTERUS]], 1)


def outline_distance(share: NDArray[np.float32], mm_per_px: float) -> NDArray[np.float32]:
    """Return how far (mm, at most FAR_MM) every pixel centre is from the outline of an area.

    `share` float32 (rows, columns) in [0, 1], inside from 0.5 on; float32 of the same shape.
    Without any outline every pixel is far.
    """
    inside = share >= 0.5
    if inside.all() or not inside.any():
        return np.full(share.shape, FAR_MM, np.float32)
    away = [ndimage.distance_transform_edt(area) for area in (inside, ~inside)]
    # Half a pixel: distances run to the next pixel's centre, the outline lies between the two.
    px = np.where(inside, *away) - 0.5
    distance: NDArray[np.float32] = np.minimum(px * mm_per_px, FAR_MM).astype(np.float32)
    return distance


def boundary_loss(
    probability: torch.Tensor, truth: torch.Tensor, distance: torch.Tensor
) -> torch.Tensor:
    """Return the mean of distance to the true outline times error of the probability, in mm.

    All float (batch, rows, columns), `distance` from `outline_distance`. For hard labels this is
    the boundary loss of Kervadec et al. (MIDL 2019; Medical Image Analysis 67, 2021, 101851), mean
    of signed distance times probability, but for a constant that makes it 0 for the truth.
    """
    return (distance * (probability - truth).abs()).mean()


class SegmentationLoss:
    """The weighted sum and its parts, for labels in the order background, endometrium, fluid, …"""

    def __init__(self, config: Loss, labels: int, device: torch.device) -> None:
        """Prepare the loss for so many labels on a device."""
        self.config = config
        weights = (1.0, config.endometrium_weight, config.fluid_weight, config.uterus_weight)
        self.weight = torch.tensor(weights[:labels], device=device)
        # Without soft_label the loss is smallest at 0 or 1 for a pixel that is partly covered.
        self.dice = DiceLoss(
            softmax=True,
            include_background=False,
            batch=True,
            weight=self.weight[1:],
            soft_label=config.soft_dice,
        )

    def __call__(
        self,
        logits: torch.Tensor,
        truth: torch.Tensor,
        known: torch.Tensor,
        distance: torch.Tensor,
    ) -> torch.Tensor:
        """Return the loss and its unweighted parts: float32 (5,), in the order of PARTS.

        `logits` and `truth` (batch, labels, rows, columns), `known` bool (batch, labels),
        `distance` (batch, rows, columns) in mm from the outline of endometrium with fluid.
        """
        logits = merge_unknown(logits.float(), known)
        # A part of no weight is told, and costs no gradient.
        dice = self.dice(logits if self.config.dice_weight else logits.detach(), truth)
        entropy = torch.nn.functional.cross_entropy(logits, truth, self.weight)
        total = self.config.dice_weight * dice + self.config.cross_entropy_weight * entropy
        boundary = torch.zeros_like(entropy)
        if self.config.boundary_weight:
            # Thickness is that of the whole band: fluid in the cavity has no outline of its own.
            shown = logits.softmax(1)[:, 1:3].sum(1)
            boundary = boundary_loss(shown, truth[:, 1:3].sum(1), distance)
            total = total + self.config.boundary_weight * boundary
        band = torch.zeros_like(entropy)
        if self.config.band_weight:
            # Where the uterus ends is three quarters of the cross-entropy and decides no thickness.
            uterus_unknown = torch.ones_like(known)
            uterus_unknown[:, _UTERUS] = False
            merged = merge_unknown(logits, uterus_unknown)[:, :_UTERUS]
            band = torch.nn.functional.cross_entropy(
                merged, without_uterus(truth), self.weight[:_UTERUS]
            )
            total = total + self.config.band_weight * band
        return torch.stack([total, dice, entropy, boundary, band])
