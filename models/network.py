"""The U-Net, as MONAI builds it. Needs torch: the trainer, the reference and the GPU runtime."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from monai.networks.nets import UNet

# A probability below this counts as this: its logarithm must be a number.
LEAST = 1e-30


@dataclass(frozen=True)
class Architecture:
    """What builds the same network again: `monai.networks.nets.UNet` in two dimensions.

    `members` networks of the same shape make an ensemble, which has the mean of their
    probabilities.
    """

    channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    strides: tuple[int, ...] = (2, 2, 2, 2)
    num_res_units: int = 2
    members: int = 1

    @classmethod
    def halving(cls, channels: tuple[int, ...]) -> "Architecture":
        """Return the architecture whose every level halves the resolution."""
        return cls(channels, (2,) * (len(channels) - 1))

    @classmethod
    def from_card(cls, fields: dict[str, Any]) -> "Architecture":
        """Read the architecture of a bundle's card."""
        return cls(
            tuple(fields["channels"]),
            tuple(fields["strides"]),
            int(fields["num_res_units"]),
            int(fields.get("members", 1)),  # cards of before ensembles came
        )


class Ensemble(torch.nn.Module):
    """Several networks; the softmax of what it returns is the mean of the softmax of theirs."""

    def __init__(self, members: list[torch.nn.Module]) -> None:
        """Take the networks, whose weights are then named members.0.…, members.1.…"""
        super().__init__()
        self.members = torch.nn.ModuleList(members)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return logs of probabilities (batch, labels, ...)."""
        shares = torch.stack([member(pixels).softmax(1) for member in self.members])
        return shares.mean(0).clamp_min(LEAST).log()


def ensemble_weights(members: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Return the weights of an ensemble from those of its members; of one they are its own."""
    if len(members) == 1:
        return dict(members[0])
    return {
        f"members.{number}.{name}": value
        for number, weights in enumerate(members)
        for name, value in weights.items()
    }


def build_network(architecture: Architecture, labels: int) -> torch.nn.Module:
    """Return the U-Net: float (batch, 1, rows, columns) in, logits (batch, labels, ...) out."""
    if architecture.members > 1:
        one = replace(architecture, members=1)
        return Ensemble([build_network(one, labels) for _ in range(architecture.members)])
    network: torch.nn.Module = UNet(
        spatial_dims=2,
        in_channels=1,
        out_channels=labels,
        channels=architecture.channels,
        strides=architecture.strides,
        num_res_units=architecture.num_res_units,
        norm="INSTANCE",
    )
    return network
