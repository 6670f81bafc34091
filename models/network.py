"""The U-Net, as MONAI builds it. Needs torch: the trainer, the reference and the GPU runtime."""

from dataclasses import dataclass
from typing import Any

import torch
from monai.networks.nets import UNet


@dataclass(frozen=True)
class Architecture:
    """What builds the same network again: `monai.networks.nets.UNet` in two dimensions."""

    channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    strides: tuple[int, ...] = (2, 2, 2, 2)
    num_res_units: int = 2

    @classmethod
    def halving(cls, channels: tuple[int, ...]) -> "Architecture":
        """Return the architecture whose every level halves the resolution."""
        return cls(channels, (2,) * (len(channels) - 1))

    @classmethod
    def from_card(cls, fields: dict[str, Any]) -> "Architecture":
        """Read the architecture of a bundle's card."""
        return cls(
            tuple(fields["channels"]), tuple(fields["strides"]), int(fields["num_res_units"])
        )


def build_network(architecture: Architecture, labels: int) -> torch.nn.Module:
    """Return the U-Net: float (batch, 1, rows, columns) in, logits (batch, labels, ...) out."""
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
