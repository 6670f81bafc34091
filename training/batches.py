"""The pictures of a run, numbered: picture i is the same whoever asks for it, and when.

Every random draw is keyed by the seed and the picture's number, so that a run that goes on after a
kill sees what an unbroken one would have seen, with any number of workers.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.transforms import (
    Compose,
    RandAdjustContrastd,
    RandAffined,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
)
from threadpoolctl import threadpool_limits
from torch.utils.data import DataLoader, Dataset

from data.phantom.render import LABELS
from data.phantom.stream import sample
from imaging.grid import GridSpec, normalise
from training.config import Config
from training.items import Item
from training.losses import outline_distance
from training.team import ALONE, Team

# Keys of the draws, so that no two of them are the same numbers.
_ORDER, _CHANGE = 1, 2
# Steps between two showings of a picture. The network must have moved on, and all pictures made
# meanwhile stay on its device: 2.4 GB for every further showing, at sixteen new ones to a step.
AGAIN_AFTER = 100


class Batch(NamedTuple):
    """Pictures for the network, or one of them without the first axis.

    `pixels` float32 (batch, 1, n, n); `labels` float32 (batch, labels, n, n), area shares; `known`
    bool (batch, labels); `distance` float32 (batch, n, n), mm from the outline of endometrium with
    fluid, zeros where no loss asks for it.
    """

    pixels: torch.Tensor
    labels: torch.Tensor
    known: torch.Tensor
    distance: torch.Tensor

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device."""
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))

    def mirrored(self) -> "Batch":
        """Return the batch with left and right exchanged."""
        pixels, labels, known, distance = self
        return Batch(pixels.flip(-1), labels.flip(-1), known, distance.flip(-1))


def real_before(number: int, phantoms: float) -> int:
    """Return how many pictures before picture `number` are real, evenly spread."""
    return math.floor(number * (1 - phantoms) + 1e-9)


def item_number(seed: int, real: int, items: int) -> int:
    """Return which of the items real picture number `real` shows: each once per epoch, shuffled."""
    epoch, place = divmod(real, items)
    return int(np.random.default_rng([seed, _ORDER, epoch]).permutation(items)[place])


def item_shown(seed: int, real: int, groups: Sequence[Sequence[Item]]) -> Item:
    """Return the item of real picture number `real`: of every group in turn, and in each as often
    as any other of its items."""
    turn, group = divmod(real, len(groups))
    return groups[group][item_number(seed, turn, len(groups[group]))]


def item_groups(items: Sequence[Item], balance: bool) -> tuple[tuple[Item, ...], ...]:
    """Return the groups that are shown equally often: all as one, or with `balance` those with and
    those without an endometrium."""
    if not balance:
        return (tuple(items),)
    groups = (
        tuple(item for item in items if not item.empty),
        tuple(item for item in items if item.empty),
    )
    return tuple(group for group in groups if group)


def augmentation() -> Compose:
    """Return what changes real images: MONAI's transforms, none of which moves an outline alone.

    Left and right may change places, near and far may not: the probe is always at the top. Zoom
    stays small, because the network reads millimetres from the size of pixels.
    """
    keys = ("pixels", "labels", "sector")
    return Compose(
        [
            RandFlipd(keys, prob=0.5, spatial_axis=1),
            RandAffined(
                keys,
                prob=0.9,
                rotate_range=math.radians(12),
                scale_range=(0.1, 0.1),
                translate_range=(10, 10),
                mode=("bilinear", "bilinear", "nearest"),
                padding_mode="zeros",
            ),
            RandAdjustContrastd("pixels", prob=0.5, gamma=(0.6, 1.6)),
            RandGaussianSmoothd("pixels", prob=0.3, sigma_x=(0.3, 1.0), sigma_y=(0.3, 1.0)),
            RandGaussianNoised("pixels", prob=0.3, std=0.15),
        ]
    )


def augmented(
    item: Item, transform: Compose, key: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return pixels (1, n, n) and labels (labels, n, n) of an item as changed by draw `key`."""
    (state,) = np.random.SeedSequence(key).generate_state(1)
    transform.set_random_state(seed=int(state))
    changed: dict[str, Any] = transform(
        {
            "pixels": torch.from_numpy(item.pixels)[None],
            "labels": torch.from_numpy(item.labels[1:]),
            "sector": torch.from_numpy(item.sector.astype(np.float32))[None],
        }
    )
    pixels, labels, sector = (np.asarray(changed[key]) for key in ("pixels", "labels", "sector"))
    inside = sector[0] > 0.5
    # What was turned in from beyond the picture is background, and so is what left the sector.
    shown = np.clip(labels, 0, 1) * inside
    labels = np.concatenate([1 - shown.sum(0, keepdims=True), shown]).astype(np.float32)
    return torch.from_numpy(normalise(pixels[0], inside)[None]), torch.from_numpy(labels)


class Pictures(Dataset[Batch]):
    """Pictures of a run by their numbers, phantoms and augmented real items mixed."""

    def __init__(self, config: Config, items: Sequence[Item], numbers: Sequence[int]) -> None:
        """Remember the numbers; pictures are made when asked for."""
        self.config, self.numbers = config, numbers
        self.groups = item_groups(items, config.data.balance)
        self.spec = GridSpec(config.network.grid_size, config.network.mm_per_px)
        self.transform = augmentation()

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.numbers)

    def __getitem__(self, index: int) -> Batch:
        """Make one picture."""
        seed, number = self.config.draws, self.numbers[index]
        real = real_before(number, self.config.data.phantoms)
        if real_before(number + 1, self.config.data.phantoms) > real:
            item = item_shown(seed, real, self.groups)
            pixels, labels = augmented(item, self.transform, (seed, _CHANGE, number))
            known = torch.from_numpy(item.known)
        else:
            drawn = sample(seed, number, self.spec)
            pixels, labels = torch.from_numpy(drawn.pixels), torch.from_numpy(drawn.labels)
            known = torch.ones(len(LABELS), dtype=torch.bool)
        if self.config.loss.boundary_weight:
            share = labels[1:3].sum(0).numpy()
            distance = torch.from_numpy(outline_distance(share, self.spec.mm_per_px))
        else:
            distance = torch.zeros(labels.shape[1:])
        return Batch(pixels, labels, known, distance)


class Numbers(Sequence[int]):
    """The numbers of a team's share of the new pictures of all steps from one to the last."""

    def __init__(self, config: Config, first_step: int, share: range) -> None:
        """Take `share` of the places among the new pictures of every batch.

        What a first batch shows again was made in steps before it, of which none was trained on.
        """
        self.fresh, self.share, self.first = config.fresh, share, first_step
        self.steps = config.steps - first_step + steps_before(config.data.showings)

    def __len__(self) -> int:
        """Return how many there are."""
        return self.steps * len(self.share)

    def __getitem__(self, index: Any) -> Any:
        """Return one of them."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        step, place = divmod(index, len(self.share))
        return (self.first + step) * self.fresh + self.share[place]


def steps_before(showings: int) -> int:
    """Return how many steps before its first a run begins to make pictures."""
    return (showings - 1) * AGAIN_AFTER


def shown_again(fresh: Iterable[Batch], showings: int) -> Iterator[Batch]:
    """Yield batches of new pictures with those of 1, 2, ... times AGAIN_AFTER steps before them.

    Every second showing is the mirror image. Begins where so many steps have been made.
    """
    enough = steps_before(showings) + 1
    kept: deque[Batch] = deque(maxlen=enough)
    for new in fresh:
        kept.append(new)
        if len(kept) < enough:
            continue
        parts = [kept[-1 - showing * AGAIN_AFTER] for showing in range(showings)]
        parts[1::2] = [part.mirrored() for part in parts[1::2]]
        yield Batch(*map(torch.cat, zip(*parts, strict=True)))


def _one_thread(_: int) -> None:
    """Have a worker compute with one thread: with as many each as there are cores, sixteen workers
    on sixteen cores made pictures at a sixth of the speed."""
    threadpool_limits(1)


def batches(
    config: Config,
    items: Sequence[Item],
    first_step: int,
    device: torch.device,
    team: Team = ALONE,
) -> Iterator[Batch]:
    """Yield this process's shares of the batches from `first_step` to the end, on a device."""
    share = team.share(config.fresh)
    pictures = Pictures(config, items, Numbers(config, first_step, share))
    workers = config.run.workers
    made = DataLoader(
        pictures,
        batch_size=len(share),
        num_workers=workers,
        worker_init_fn=_one_thread,
        prefetch_factor=4 if workers else None,
        pin_memory=device.type == "cuda",
    )
    yield from shown_again((new.to(device) for new in made), config.data.showings)
