"""Give a trained U-Net more channels without changing what it computes.

Net2Net's widening (Chen, Goodfellow and Shlens, ICLR 2016, arXiv 1511.05641): new channels are
copies of old ones, and what reads a channel reads its copies in shares that add up to one. Shares
differ from reader to reader, so that copies learn to be different.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from models.network import Architecture

Weights = dict[str, torch.Tensor]
Indices = NDArray[np.intp]

# A copy is read with no less than this of what its channel was read with: two readers with the
# same shares would keep copies alike.
LEAST_SHARE = 0.2


def can_widen(narrow: Sequence[int], wide: Sequence[int]) -> bool:
    """Tell whether each level of `wide` has as many channels as that of `narrow`, or up to twice.

    Two equal last levels must stay equal: what the bottom reads is then added to what it returns.
    """
    return (
        len(narrow) == len(wide)
        and all(old <= new <= 2 * old for old, new in zip(narrow, wide, strict=True))
        and len(set(narrow[-2:])) == len(set(wide[-2:]))
    )


def widened(weights: Weights, narrow: Architecture, wide: Architecture, seed: int) -> Weights:
    """Return the weights of a network of `wide`'s channels that computes what `weights` do.

    `weights` float32, those of `models.network.build_network(narrow, labels)`, one member. The same
    seed gives the same weights. Raises ValueError where `can_widen` is false.
    """
    if not can_widen(narrow.channels, wide.channels):
        raise ValueError(f"channels {narrow.channels} cannot be widened to {wide.channels}")
    rng = np.random.default_rng(seed)
    levels = [
        np.concatenate([np.arange(old), rng.choice(old, new - old, replace=False)])
        for old, new in zip(narrow.channels, wide.channels, strict=True)
    ]
    if narrow.channels[-1] == narrow.channels[-2]:
        levels[-1] = levels[-2]
    return {name: _tensor(name, value, levels, rng) for name, value in weights.items()}


def _tensor(
    name: str, value: torch.Tensor, levels: Sequence[Indices], rng: np.random.Generator
) -> torch.Tensor:
    """Widen one tensor by its name in MONAI's U-Net, whose levels lie within each other."""
    if ".adn." in name:  # the slope of a PReLU is one for all channels
        return value
    level = name.count("submodule.")
    part = name.removeprefix("model.").removeprefix("1.submodule." * level)
    if level == len(levels) - 1:  # the bottom is no pair of halves
        part = "0." + part
    here = levels[level]
    above = levels[level - 1] if level else None
    rising = part.startswith("2.")
    out = above if rising else here
    if name.endswith("bias"):
        return value if out is None else value[torch.from_numpy(out)]
    read: Indices | None
    if part.startswith("2.0."):
        # Up from what came down at this level beside what came up to it.
        below = levels[-1] if level == len(levels) - 2 else here
        read = np.concatenate([here, below + here.max() + 1])
    else:
        # A first convolution reads the level above, any other its own.
        read = above if rising or ".unit0." in part or ".residual." in part else here
    transposed = part.startswith("2.0.")
    kernel = value.transpose(0, 1) if transposed else value  # (out, in, ...)
    if out is not None:
        kernel = kernel[torch.from_numpy(out)]
    if read is not None:
        kernel = kernel[:, torch.from_numpy(read)] * _shares(read, len(kernel), rng)
    return (kernel.transpose(0, 1) if transposed else kernel).contiguous()


def _shares(read: Indices, readers: int, rng: np.random.Generator) -> torch.Tensor:
    """Return what part of a channel each reader takes of each copy: (readers, in, 1, 1)."""
    shares = np.ones((readers, len(read)))
    for channel in np.flatnonzero(np.bincount(read) == 2):
        first, second = np.flatnonzero(read == channel)
        part = rng.uniform(LEAST_SHARE, 1 - LEAST_SHARE, readers)
        shares[:, first], shares[:, second] = part, 1 - part
    return torch.from_numpy(shares.astype(np.float32))[:, :, None, None]
