"""Several processes that train one network together, as `torchrun` starts them.

Each makes and looks at its share of every batch; the loss is that of the whole batch, and the sum
of all gradients moves the same weights everywhere. A process alone is a team of one and pays
nothing for it.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from training.checkpoint import RunError

Value = TypeVar("Value")


@dataclass(frozen=True)
class Team:
    """Process `rank`, from 0, of `size`."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """This process writes files and tells people."""
        return self.rank == 0

    def share(self, batch: int) -> range:
        """Return which pictures of a batch are this process's. Raises RunError.

        All shares are of one size, so that the mean over a batch is the mean over processes.
        """
        if batch % self.size:
            raise RunError(
                f"batch = {batch} cannot be shared evenly among {self.size} processes: choose a "
                "number of processes that divides it, or another batch."
            )
        own = batch // self.size
        return range(self.rank * own, (self.rank + 1) * own)

    def device(self) -> torch.device:
        """Return where this process computes. Raises RunError for more processes than GPUs."""
        if not torch.cuda.is_available():
            return torch.device("cpu")
        if self.size == 1:
            return torch.device("cuda")
        local, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= there:
            raise RunError(
                f"there are more processes than the {there} CUDA devices: set --nproc-per-node "
                f"to {there}."
            )
        return torch.device("cuda", local)

    def shared(self, network: torch.nn.Module) -> torch.nn.Module:
        """Return the network with all processes' gradients summed up and divided by their number.

        The parameters stay those of `network`.
        """
        return network if self.size == 1 else DistributedDataParallel(network)

    def whole(self, own: torch.Tensor) -> torch.Tensor:
        """Put the shares of a batch together along the first axis; own gradients are kept."""
        if self.size == 1:
            return own
        # Not every backend moves bool.
        sent = own.detach().contiguous()
        sent = sent.to(torch.uint8) if own.dtype == torch.bool else sent
        parts = [torch.empty_like(sent) for _ in range(self.size)]
        distributed.all_gather(parts, sent)
        parts = [part.to(own.dtype) for part in parts]
        parts[self.rank] = own
        return torch.cat(parts)

    def mine(self, values: Sequence[Value]) -> Sequence[Value]:
        """Return this process's share of a list."""
        return values[self.rank :: self.size]

    def everyones(self, values: list[Value]) -> list[Value]:
        """Return what all processes have, one process after another; plain values only."""
        if self.size == 1:
            return values
        found: list[Any] = [None] * self.size
        distributed.all_gather_object(found, values)
        return [value for part in found for value in part]

    def meet(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            distributed.barrier()


ALONE = Team()


@contextmanager
def joined() -> Iterator[Team]:
    """Join the processes that `torchrun` started beside this one; without it a team of one."""
    if not distributed.is_torchelastic_launched() or os.environ.get("WORLD_SIZE") == "1":
        yield ALONE
        return
    team = Team(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    device = team.device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield team
    finally:
        distributed.destroy_process_group()
