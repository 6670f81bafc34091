"""From a checkpoint to a bundle: `python -m training.ship RUN... OUT --recipe CONFIG...`.

Exports the network, fits how freely it draws and what it refuses on phantoms of renderer 1 that it
never saw and how wide its intervals are on those of both renderers, judges it on others, and writes
it all into the card.
"""

import argparse
import csv
import math
from dataclasses import dataclass, replace
from pathlib import Path

from data.phantom.dicom import Renderer
from data.phantom.render import LABELS
from models.bundle import load_bundle
from models.network import Architecture, build_network
from models.runtime import OpenVinoRuntime
from training.calibrate import (
    INTERVAL_SEED,
    QUALITY_SEED,
    SHIFT_SEED,
    TEST_SEED,
    fit_intervals,
    fit_min_quality,
    fit_shift,
    phantom_cases,
    widest,
)
from training.card import write_card
from training.checkpoint import (
    CHECKPOINT,
    RunError,
    Weights,
    averaged_weights,
    starting_weights,
    steps_done,
)
from training.config import Config, read_config
from training.ensemble import runs_in
from training.evaluate import evaluate
from training.export import blended, export
from training.summary import card_numbers

# Share of frames without an endometrium among those that calibrate and judge.
EMPTY = 0.3


@dataclass(frozen=True)
class Chosen:
    """What somebody chose on images of their own kind; None is fitted on phantoms."""

    shift: float | None = None
    """Taken off the endometrium's logit."""
    min_quality: float | None = None
    """See Bundle.min_quality."""
    blend: tuple[str, float] | None = None
    """A run or bundle of the same network whose weights are averaged in, and its share of them."""


def blend_of(start: str, share: str) -> tuple[str, float]:
    """Read the two words of --blend. Raises ValueError."""
    try:
        part = float(share)
    except ValueError:
        part = math.nan
    if not 0 <= part <= 1:
        raise ValueError(f"--blend {start} {share}: the share is a number from 0 to 1.")
    return start, part


def about(
    recipe: list[Config], runs: list[Path], name: str, known_failures: str, chosen: Chosen
) -> dict[str, str]:
    """Return the texts of the card; several runs are those of an ensemble.

    Raises ValueError for a run that is not at its end.
    """
    last, pictures = recipe[-1], sum(stage.steps * stage.batch for stage in recipe[:-1])
    losses = []
    for run in runs:
        steps, ended = steps_done(run / CHECKPOINT, last)
        if not ended or steps > last.steps:
            raise ValueError(f"{run} is at step {steps} of {last.steps}: finish training first")
        pictures += steps * last.batch
        with (run / "log.csv").open() as file:
            logged = {int(row[0]): row[1] for row in csv.reader(file)}
        losses.append(logged.get(steps, "not logged"))
    folders = {folder for stage in recipe for folder in stage.data.datasets}
    real = f"{len(folders)} folders of annotated images" if folders else "No real image, no patient"
    ensemble = f" An ensemble of {len(runs)} networks." if len(runs) > 1 else ""
    blend = ""
    if chosen.blend is not None:
        start, part = chosen.blend
        blend = f" Weights averaged: {1 - part:g} of this run, {part:g} of {Path(start).name}."
    return {
        "name": name,
        "licence": "Apache-2.0",
        "training_data": (
            f"{pictures} pictures, the simulated ones (data/phantom, renderer 1) seen once each; "
            f"seeds {', '.join(str(stage.seed) for stage in recipe)}. {real}. "
            f"Last training loss: {', '.join(losses)}.{ensemble}{blend}"
        ),
        "known_failures": known_failures,
    }


def weights_of(run: Path, config: Config, chosen: Chosen) -> Weights:
    """Return the weights that a run is for, with those averaged in that were chosen.

    Raises RunError.
    """
    weights = averaged_weights(run / CHECKPOINT)
    if chosen.blend is None:
        return weights
    other, part = chosen.blend
    network = build_network(Architecture.halving(config.network.channels), len(LABELS))
    return blended(weights, starting_weights(other, network, config), part)


def ship(
    config: Config, runs: list[Path], out: Path, texts: dict[str, str], n: int, chosen: Chosen
) -> None:
    """Write the bundle OUT from the checkpoints in RUNS, judged on `n` phantoms of each renderer.

    Several make an ensemble. `config` is their configuration; `texts` go into the card.
    """
    shift, limit = chosen.shift, chosen.min_quality
    weights = [weights_of(run, config, chosen) for run in runs]
    fields = export(weights, config, LABELS, texts, out, shift or 0.0)
    bundle = load_bundle(out)
    if shift is None:
        with phantom_cases(SHIFT_SEED, n // 2) as cases:
            shift = fit_shift(cases, bundle, OpenVinoRuntime(bundle))
        fields = export(weights, config, LABELS, texts, out, shift)
    bundle = load_bundle(out)
    runtime = OpenVinoRuntime(bundle)
    if limit is None:
        with phantom_cases(QUALITY_SEED, n, empty=EMPTY) as cases:
            unlimited = replace(bundle, min_quality=0.0)
            limit = fit_min_quality(evaluate(cases, unlimited, runtime, outlines=False))
    fields["min_quality"] = limit
    tables, limited = [], replace(bundle, min_quality=limit)
    for renderer in (Renderer.RANDOM, Renderer.PHYSICAL):
        with phantom_cases(INTERVAL_SEED, n, renderer=renderer) as cases:
            tables.append(fit_intervals(evaluate(cases, limited, runtime, outlines=False)))
    intervals = widest(tables)
    write_card(out, fields, intervals, {})
    bundle = load_bundle(out)
    judged = {}
    for renderer, words in (
        (Renderer.RANDOM, "stills of renderer 1, unseen"),
        (Renderer.PHYSICAL, "stills of renderer 2, which only the intervals were fitted on"),
    ):
        with phantom_cases(TEST_SEED, n, renderer=renderer, empty=EMPTY) as cases:
            judged[words] = card_numbers(evaluate(cases, bundle, runtime))
    write_card(out, fields, intervals, judged)


def main(argv: list[str] | None = None) -> None:
    """Run from the command line; `argv` as in sys.argv without the program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "run",
        type=Path,
        nargs="+",
        help="the folder of the last training run; several, or one with folds, make an ensemble",
    )
    parser.add_argument("out", type=Path, help="folder of the bundle, for instance models/default")
    parser.add_argument(
        "--recipe", type=Path, nargs="+", required=True, help="the TOML files of all stages"
    )
    parser.add_argument("--name", required=True, help="the bundle's name in every result")
    parser.add_argument(
        "--known-failures", type=Path, required=True, help="text file: what it does badly"
    )
    chosen = "chosen on images of your own kind; fitted on phantoms if left out"
    parser.add_argument("--shift", type=float, help=f"off the endometrium's logit, {chosen}")
    parser.add_argument("--min-quality", type=float, help=f"least quality, {chosen}")
    parser.add_argument(
        "--blend",
        nargs=2,
        metavar=("START", "SHARE"),
        help="average the weights of another run or bundle in, this share (0 to 1) of them",
    )
    parser.add_argument("--n", type=int, default=200, help="phantoms to calibrate and to judge on")
    given = parser.parse_args(argv)
    try:
        recipe = [read_config(path) for path in given.recipe]
        known = " ".join(given.known_failures.read_text("utf-8").split())
        blend = blend_of(*given.blend) if given.blend else None
        by_hand = Chosen(given.shift, given.min_quality, blend)
        runs = [run for folder in given.run for run in runs_in(folder)]
        texts = about(recipe, runs, given.name, known, by_hand)
        ship(recipe[-1], runs, given.out, texts, given.n, by_hand)
    except (OSError, ValueError, RunError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
