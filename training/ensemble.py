"""A network for each fold of the patients, in OUT/fold-1, OUT/fold-2, … : an ensemble."""

import json
from collections.abc import Callable
from pathlib import Path

from training.checkpoint import ABOUT, CHECKPOINT, RunError
from training.config import Config, ConfigError
from training.split import read_images, split
from training.team import ALONE, Team
from training.train import Moment, train


def fold_folder(out: Path, fold: int) -> Path:
    """Return the folder of the run of one fold, from 1."""
    return out / f"fold-{fold}"


def folds_of(config: Config, asked: int = 0) -> int:
    """Return how many folds are to be trained, 0 for a single run.

    `asked` is what the command line says, 0 for nothing. Raises ConfigError where that and the
    configuration contradict each other.
    """
    data = config.data
    if asked and data.fold:
        raise ConfigError(f"--folds trains every fold, but data.fold = {data.fold}: leave one out.")
    if asked and data.folds not in (0, asked):
        raise ConfigError(f"--folds {asked}, but data.folds = {data.folds}: leave one out.")
    return 0 if data.fold else asked or data.folds


def train_all(
    config: Config,
    out: Path,
    start: str | Path | None = None,
    watch: Callable[[Moment], None] = lambda _: None,
    *,
    folds: int = 0,
    team: Team = ALONE,
) -> list[Path]:
    """Train a run, or one for every fold, one after another; those at their end are left as is.

    `folds` as in `folds_of`, the others and what is raised as in `train`. Returns the checkpoints.
    """
    count = folds_of(config, folds)
    if not count:
        return [train(config, out, start, watch, team=team)]
    every = {fold: config.of_fold(fold, count) for fold in range(1, count + 1)}
    if (out / CHECKPOINT).exists():
        raise RunError(f"{out} holds a run without folds; choose another folder.")
    images = read_images(config)
    for one in every.values():
        split(one, images)  # what the last fold lacks is told before the first is trained
    return [
        train(one, fold_folder(out, fold), start, watch, images=images, team=team)
        for fold, one in every.items()
    ]


def runs_in(folder: Path) -> list[Path]:
    """Return the folders of the runs in a folder: itself, or those of all its folds.

    Raises RunError where a fold is missing.
    """
    first = fold_folder(folder, 1)
    if (folder / CHECKPOINT).exists() or not first.is_dir():
        return [folder]
    try:
        count = int(json.loads((first / ABOUT).read_text("utf-8"))["config"]["data"]["folds"])
    except (OSError, ValueError, KeyError, TypeError):
        raise RunError(f"{first} has no {ABOUT} that says of how many folds it is.") from None
    runs = [fold_folder(folder, fold) for fold in range(1, count + 1)]
    if missing := [run.name for run in runs if not (run / CHECKPOINT).exists()]:
        raise RunError(
            f"{folder} lacks {', '.join(missing)} of {count} folds: finish training first."
        )
    return runs
