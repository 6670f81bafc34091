"""Train the U-Net: `endometer train CONFIG OUT`, or `python -m training.train CONFIG OUT`.

Checkpoints in OUT let an interrupted run continue where it was; pictures are numbered, so a
continued run sees the ones that an unbroken run would have seen, and on a CPU ends with the same
weights bit for bit.
"""

import argparse
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from data.cases import CasesError
from data.phantom.render import LABELS
from imaging.grid import GridSpec
from models.network import Architecture, build_network
from training.batches import Batch, batches
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
from training.items import Items, read_folder, split_items
from training.losses import PARTS, SegmentationLoss
from training.tracking import LOG_EVERY, Tracker
from training.validation import Validation, validate

__all__ = ["Moment", "averaged_weights", "train"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Moment:
    """What a watcher hears after a step; `loss` and `validation` only where they were computed."""

    step: int
    steps: int
    loss: float | None = None
    validation: Validation | None = None


def learning_rate(config: Config, step: int) -> float:
    """Linear warm-up, a plateau, and a half cosine to zero over the last share `decay`."""
    highest = config.optimiser.learning_rate
    warm = max(1, config.steps // 50)
    if step < warm:
        return highest * (step + 1) / warm
    falling = round(config.steps * config.optimiser.decay)
    part = max(0.0, (step - (config.steps - falling)) / falling) if falling else 0.0
    return highest * 0.5 * (1 + math.cos(math.pi * part))


def read_items(config: Config) -> Items:
    """Read all annotated images of a configuration and split them. Raises CasesError."""
    spec = GridSpec(config.network.grid_size, config.network.mm_per_px)
    folders = [read_folder(Path(name), spec, log.warning) for name in config.data.datasets]
    aside = config.data.validation
    own = read_folder(Path(aside), spec, log.warning) if isinstance(aside, str) else aside
    items = split_items(folders, own, config.seed)
    scaled = any(item.calibrated and item.true_mm is not None for item in items.validation)
    if config.run.selection == "thickness" and not scaled:
        raise CasesError(
            "no validation image has a scale and a measurable endometrium, so that run.selection = "
            '"thickness" has nothing to go by. Give spacing in dataset.json, or select "last".'
        )
    return items


def train(
    config: Config,
    out: Path,
    start: str | Path | None = None,
    watch: Callable[[Moment], None] = lambda _: None,
) -> Path:
    """Train to the last step, continuing from OUT's checkpoint if there is one.

    `start` is the folder of a run or a bundle, or "default", whose weights are the first of this
    run; a run that goes on needs it no more. `watch` hears of every step. Returns the checkpoint.
    Raises CasesError for data, RunError for a start or a folder that cannot be used and for a loss
    that is no number, OSError for a full disk.
    """
    items = read_items(config)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    progress = _begin(config, device)
    first = None if start is None else starting_weights(start, progress.network, config)
    about = describe(config, items, first)
    checkpoint = out / CHECKPOINT
    before = run_in(out, about)
    if before is not None:
        progress.load(checkpoint, device)
        log.info("continuing at step %d of %d", progress.step, config.steps)
        for change in other_versions(before, about):
            log.warning("%s: the run will not end as an unbroken one would have.", change)
    else:
        if first is not None:
            progress.network.load_state_dict(first)
            progress.average.module.load_state_dict(first)
        write_about(out, about)  # first: a checkpoint without it would belong to no run
        progress.save(checkpoint)  # with its start in it: from here on the run stands alone
    if progress.step < config.steps:
        with Tracker(out, progress.step) as tracker:
            _steps(config, items, progress, checkpoint, _Watchers(tracker, watch))
    return checkpoint


@dataclass(frozen=True)
class _Watchers:
    tracker: Tracker
    watch: Callable[[Moment], None]


def _begin(config: Config, device: torch.device) -> Progress:
    torch.manual_seed(config.seed)
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


def _steps(
    config: Config, items: Items, progress: Progress, checkpoint: Path, watchers: _Watchers
) -> None:
    """Go through the steps that are left.

    A plain loop, not MONAI's engine: Ignite adds a dependency, and its handlers for resuming,
    averaging and logging would be longer than these lines, without exact resume.
    """
    network, run = progress.network, config.run
    device = progress.recent.device
    half = run.precision == "bfloat16" or (run.precision == "auto" and device.type == "cuda")
    loss_of = SegmentationLoss(config.loss, len(LABELS), device)
    # The compiled network shares its weights with `network`, which is what is saved.
    forward = torch.compile(network) if run.compile else network
    started, since = time.monotonic(), progress.step % LOG_EVERY
    for batch in batches(config, items.training, progress.step):
        shown: Batch = batch.to(device)
        rate = learning_rate(config, progress.step)
        for group in progress.optimizer.param_groups:
            group["lr"] = rate
        progress.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            logits = forward(shown.pixels)
        losses = loss_of(logits, shown.labels, shown.known, shown.distance)
        if not torch.isfinite(losses[0]):
            raise RunError(
                f"the loss is no number any more after {progress.step} steps; {checkpoint} is from "
                "before. Lower optimiser.learning_rate and begin again, or from there with --start."
            )
        losses[0].backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        progress.optimizer.step()
        progress.average.update_parameters(network)
        progress.recent += losses.detach()
        progress.step += 1
        since += 1
        step, last = progress.step, progress.step == config.steps
        loss, found = None, None
        if step % LOG_EVERY == 0 or last:
            means = dict(zip(PARTS, (progress.recent / since).tolist(), strict=True))
            loss = means["loss"]
            watchers.tracker.losses(step, means, rate, time.monotonic() - started)
            progress.recent, since = no_losses(device), 0
        if items.validation and (step % run.validate_every == 0 or last):
            found = _validate(config, items, progress)
            watchers.tracker.validation(step, found)
        if step % run.picture_every == 0 or last:
            seen = logits[0].float().softmax(0)
            watchers.tracker.picture(step, shown.pixels[0], shown.labels[0], seen)
        if step % run.checkpoint_every == 0 or last:
            progress.save(checkpoint)
        watchers.watch(Moment(step, config.steps, loss, found))


def _validate(config: Config, items: Items, progress: Progress) -> Validation:
    spec = GridSpec(config.network.grid_size, config.network.mm_per_px)
    refused, size = config.run.refused_mm, config.batch
    found = validate(progress.average.module, items.validation, spec, refused, size)
    if config.run.selection == "thickness":
        progress.keep_if_best(found.score_mm)
    return found


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="TOML file, for instance training/first.toml")
    parser.add_argument("out", type=Path, help="folder for checkpoints and the log")
    parser.add_argument(
        "--start", help=f"folder of a run or a bundle to start from; {DEFAULT} is the shipped one"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    def watch(moment: Moment) -> None:
        if moment.loss is not None:
            log.info("step %d of %d, loss %.4f", moment.step, moment.steps, moment.loss)
        if moment.validation is not None:
            log.info("step %d, %s", moment.step, moment.validation)

    try:
        train(read_config(arguments.config), arguments.out, arguments.start, watch)
    except (ConfigError, CasesError, RunError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
