"""Train the U-Net: `endometer train CONFIG OUT`, or `python -m training.train CONFIG OUT`.

Checkpoints in OUT let an interrupted run continue where it was; pictures are numbered, so a
continued run sees the ones that an unbroken run would have seen, and on a CPU ends with the same
weights bit for bit. `torchrun --nproc-per-node N -m training.train CONFIG OUT` does the same work
with N processes.
"""

import argparse
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from data.cases import CasesError
from data.phantom.render import LABELS
from imaging.grid import GridSpec
from models.network import Architecture, build_network
from training.batches import Batch, batches
from training.boards import open_board
from training.checkpoint import (
    CHECKPOINT,
    DEFAULT,
    Progress,
    RunError,
    averaged_weights,
    describe,
    no_losses,
    other_versions,
    run_in,
    starting_weights,
    write_about,
)
from training.config import Config, ConfigError, read_config
from training.losses import PARTS, SegmentationLoss
from training.split import Images, Items, read_images, split
from training.team import ALONE, Team, joined
from training.tracking import LOG_EVERY, Tracker
from training.validation import Validation, validate

__all__ = ["Moment", "averaged_weights", "train"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Moment:
    """What a watcher hears after a step; `loss` and `validation` only where they were computed.

    `last`: the run is at its end, which `run.patience` may bring before step `steps`. `fold` of
    `folds`, from 1, if the run is one of several.
    """

    step: int
    steps: int
    loss: float | None = None
    validation: Validation | None = None
    last: bool = False
    fold: int = 0
    folds: int = 0


def learning_rate(config: Config, step: int) -> float:
    """Linear warm-up, a plateau, and a half cosine to zero over the last share `decay`."""
    highest = config.optimiser.learning_rate
    warm = max(1, config.steps // 50)
    if step < warm:
        return highest * (step + 1) / warm
    falling = round(config.steps * config.optimiser.decay)
    part = max(0.0, (step - (config.steps - falling)) / falling) if falling else 0.0
    return highest * 0.5 * (1 + math.cos(math.pi * part))


def train(
    config: Config,
    out: Path,
    start: str | Path | None = None,
    watch: Callable[[Moment], None] = lambda _: None,
    *,
    images: Images | None = None,
    team: Team = ALONE,
) -> Path:
    """Train to the last step, continuing from OUT's checkpoint if there is one.

    `start` is the folder of a run or a bundle, or "default", whose weights are the first of this
    run; a run that goes on needs it no more. `watch` hears of every step. `images` are those of the
    configuration if they have been read. Of a `team` every process calls this, and the first one
    alone writes and tells `watch`. Returns the checkpoint. Raises CasesError for data, RunError for
    a start, a folder or a tracker that cannot be used and for a loss that is no number, OSError
    for a full disk.
    """
    team.share(config.fresh)  # before any file is read
    items = split(config, images or read_images(config))
    device = team.device()
    progress = _begin(config, device)
    first = None if start is None else starting_weights(start, progress.network, config)
    about = describe(config, items, first)
    checkpoint = out / CHECKPOINT
    before = run_in(out, about)
    team.meet()  # nobody writes before all have looked
    if before is not None:
        progress.load(checkpoint, device)
        log.info("continuing at step %d of %d", progress.step, config.steps)
        for change in other_versions(before, about):
            log.warning("%s: the run will not end as an unbroken one would have.", change)
        if progress.at_end(config):
            return checkpoint
    elif first is not None:
        progress.network.load_state_dict(first)
        progress.average.module.load_state_dict(first)
    with _watchers(config, out, progress.step if before else -1, watch, team) as watchers:
        job = _Job(config, items, progress, checkpoint, watchers, team)
        if before is None:
            if team.leads:
                write_about(out, about)  # first: a checkpoint without it would belong to no run
            if first is not None and config.run.selection != "last":
                # What it starts from may be the best there is for these images.
                watchers.validation(0, job.validate())
            job.save()  # with its start in it: from here on the run stands alone
        _steps(job)
    return checkpoint


class _Watchers:
    """Who hears of a run: its tables and board, and the caller. Of a team the leader's alone."""

    def __init__(self, tracker: Tracker | None, watch: Callable[[Moment], None]) -> None:
        self.tracker, self.watch = tracker, watch

    def losses(self, step: int, means: dict[str, float], rate: float, seconds: float) -> None:
        if self.tracker:
            self.tracker.losses(step, means, rate, seconds)

    def validation(self, step: int, found: Validation) -> None:
        if self.tracker:
            self.tracker.validation(step, found)

    def picture(self, step: int, *tensors: torch.Tensor) -> None:
        if self.tracker:
            self.tracker.picture(step, *tensors)


@contextmanager
def _watchers(
    config: Config, out: Path, first: int, watch: Callable[[Moment], None], team: Team
) -> Iterator[_Watchers]:
    if not team.leads:
        yield _Watchers(None, lambda _: None)
        return
    with Tracker(out, first, open_board(config, out, first)) as tracker:
        yield _Watchers(tracker, watch)


@dataclass(frozen=True)
class _Job:
    """All that a run works with."""

    config: Config
    items: Items
    progress: Progress
    checkpoint: Path
    watchers: _Watchers
    team: Team

    def validate(self) -> Validation:
        """Judge the averaged weights and keep them if the run is for the best ones."""
        config, network = self.config, self.progress.average.module
        spec = GridSpec(config.network.grid_size, config.network.mm_per_px)
        found = validate(
            network,
            self.items.validation,
            spec,
            config.run.refused_mm,
            len(self.team.share(config.batch)),
            self.team,
        )
        cost = found.cost(config.run.selection)
        if cost is not None:
            self.progress.keep_if_best(cost)
        return found

    def save(self) -> None:
        """Replace the checkpoint."""
        if self.team.leads:
            self.progress.save(self.checkpoint)


def _begin(config: Config, device: torch.device) -> Progress:
    torch.manual_seed(config.draws)
    architecture = Architecture.halving(config.network.channels)
    network = build_network(architecture, len(LABELS)).to(device)
    average_of = get_ema_multi_avg_fn(config.optimiser.average_decay)  # type: ignore[no-untyped-call]
    return Progress(
        network,
        AveragedModel(network, multi_avg_fn=average_of),
        torch.optim.AdamW(
            network.parameters(), lr=config.optimiser.learning_rate, weight_decay=1e-4
        ),
        no_losses(device),
    )


def _steps(job: _Job) -> None:
    """Go through the steps that are left.

    A plain loop, not MONAI's engine: Ignite adds a dependency, and its handlers for resuming,
    averaging and logging would be longer than these lines, without exact resume.
    """
    config, progress, team, watchers = job.config, job.progress, job.team, job.watchers
    network, run = progress.network, config.run
    device = progress.recent.device
    half = run.precision == "bfloat16" or (run.precision == "auto" and device.type == "cuda")
    loss_of = SegmentationLoss(config.loss, len(LABELS), device)
    # The compiled and the shared network have the weights of `network`, which is what is saved.
    forward: Callable[[torch.Tensor], torch.Tensor] = team.shared(network)
    if run.compile:
        forward = torch.compile(forward)
    started, since = time.monotonic(), progress.step % LOG_EVERY
    shown: Batch
    for shown in batches(config, job.items.training, progress.step, device, team):
        rate = learning_rate(config, progress.step)
        for group in progress.optimizer.param_groups:
            group["lr"] = rate
        progress.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            logits = forward(shown.pixels)
        # The loss is that of the whole batch, and so the same in every process.
        truths = (team.whole(part) for part in (shown.labels, shown.known, shown.distance))
        losses = loss_of(team.whole(logits.float()), *truths)
        if not torch.isfinite(losses[0]):
            raise RunError(
                f"the loss is no number any more after {progress.step} steps; {job.checkpoint} is "
                "from before. Lower optimiser.learning_rate and begin again, or from there with "
                "--start."
            )
        # Each process has the gradient of its own pictures; they are averaged, but to be summed.
        (losses[0] * team.size).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        progress.optimizer.step()
        progress.average.update_parameters(network)
        progress.recent += losses.detach()
        progress.step += 1
        since += 1
        step, found = progress.step, None
        if job.items.validation and (step % run.validate_every == 0 or step == config.steps):
            found = job.validate()
            watchers.validation(step, found)
        last, loss = progress.at_end(config), None
        if step % LOG_EVERY == 0 or last:
            means = dict(zip(PARTS, (progress.recent / since).tolist(), strict=True))
            loss = means["loss"]
            watchers.losses(step, means, rate, time.monotonic() - started)
            progress.recent, since = no_losses(device), 0
        if step % run.picture_every == 0 or last:
            seen = logits[0].float().softmax(0)
            watchers.picture(step, shown.pixels[0], shown.labels[0], seen)
        if step % run.checkpoint_every == 0 or last:
            job.save()
        fold = config.data.fold, config.data.folds
        watchers.watch(Moment(step, config.steps, loss, found, last, *fold))
        if last:
            return


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="TOML file, for instance training/first.toml")
    parser.add_argument("out", type=Path, help="folder for checkpoints and the log")
    parser.add_argument(
        "--start",
        "--from",  # torchrun takes --start for one of its own options
        help=f"folder of a run or a bundle to start from; {DEFAULT} is the shipped one",
    )
    parser.add_argument(
        "--folds",
        type=int,
        default=0,
        help="train a network for each of so many folds",
    )
    arguments = parser.parse_args()

    def watch(moment: Moment) -> None:
        if moment.loss is not None:
            log.info("step %d of %d, loss %.4f", moment.step, moment.steps, moment.loss)
        if moment.validation is not None:
            log.info("step %d, %s", moment.step, moment.validation)

    from training.ensemble import train_all

    try:
        with joined() as team:
            level = logging.INFO if team.leads else logging.ERROR
            logging.basicConfig(level=level, format="%(asctime)s %(message)s")
            config, out = read_config(arguments.config), arguments.out
            train_all(config, out, arguments.start, watch, folds=arguments.folds, team=team)
    except (ConfigError, CasesError, RunError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
