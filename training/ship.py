"""From a checkpoint to a bundle: `endometer ship`, or `python -m training.ship RUN... OUT ...`.

Exports the network, fits how freely it draws, what it refuses and how wide its intervals are,
judges it, and writes it all into the card (training.shipping).
"""

import argparse
import csv
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from data.cases import CasesError
from data.phantom.render import LABELS
from models.network import Architecture, build_network
from training.checkpoint import (
    CHECKPOINT,
    RunError,
    Weights,
    averaged_weights,
    starting_weights,
    steps_done,
)
from training.claim import KNOWN_FAILURES
from training.config import Config, read_config
from training.ensemble import runs_in
from training.export import blended
from training.facts import facts_of, patients_of, read_run
from training.shipping import Evidence, Origin, ship


@dataclass(frozen=True)
class Chosen:
    """What somebody chose on images of their own kind; None is fitted on phantoms."""

    shift: float | None = None
    """Taken off the endometrium's logit."""
    min_quality: float | None = None
    """See Bundle.min_quality."""
    blend: tuple[str, float] | None = None
    """A run or bundle of the same network whose weights are averaged in, and its share of them."""


@dataclass(frozen=True)
class Said:
    """What people say of a model: its name, about.toml (training.claim) and the licence."""

    name: str
    about: dict[str, str] = field(default_factory=dict)
    licence: str = "Apache-2.0"


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
    last, pictures = recipe[-1], sum(stage.steps * stage.fresh for stage in recipe[:-1])
    losses = []
    for run in runs:
        steps, ended = steps_done(run / CHECKPOINT, last)
        if not ended or steps > last.steps:
            raise ValueError(f"{run} is at step {steps} of {last.steps}: finish training first")
        pictures += steps * last.fresh
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
    simulated = any(stage.data.phantoms for stage in recipe)
    most = max(stage.data.showings for stage in recipe)
    seen = "once each" if most == 1 else f"once to {most} times each"
    what = f"the simulated ones (data/phantom, renderer 1) seen {seen}" if simulated else "all real"
    return {
        "name": name,
        "licence": "Apache-2.0",
        "training_data": (
            f"{pictures} pictures, {what}; "
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
    # Copies of channels lie in an order of their own: what is widened here fits no run's.
    return blended(weights, starting_weights(other, network, config, widen=False), part)


def origin_of(recipe: list[Config], runs: list[Path], said: Said, chosen: Chosen) -> Origin:
    """Return where the weights of runs, several of an ensemble, come from.

    Raises ValueError, RunError.
    """
    failures = said.about.get(KNOWN_FAILURES, "")
    about_run = {name: text for name, text in said.about.items() if name != KNOWN_FAILURES}
    texts = about(recipe, runs, said.name, failures, chosen)
    return Origin(
        texts | {"licence": said.licence},
        tuple(facts_of(run) for run in runs),
        frozenset().union(*(patients_of(run) for run in runs)),
        about_run,
    )


def config_of(run: Path) -> Config:
    """Return the configuration that a run says it has. Raises ValueError."""
    values = read_run(run)["config"]
    try:
        return Config.model_validate_json(json.dumps(values))
    except ValueError as error:
        raise ValueError(f"{run}: its configuration is none of this version ({error}).") from None


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
    for name in ("judge", "calibrate"):
        parser.add_argument(f"--{name}", type=Path, help="as of endometer ship")
    given = parser.parse_args(argv)
    try:
        recipe = [read_config(path) for path in given.recipe]
        known = " ".join(given.known_failures.read_text("utf-8").split())
        blend = blend_of(*given.blend) if given.blend else None
        by_hand = Chosen(given.shift, given.min_quality, blend)
        runs = [run for folder in given.run for run in runs_in(folder)]
        said = Said(given.name, {KNOWN_FAILURES: known})
        origin = origin_of(recipe, runs, said, by_hand)
        weights = [weights_of(run, recipe[-1], by_hand) for run in runs]
        evidence = Evidence(given.judge, given.calibrate, given.n)
        fixed = (given.shift, given.min_quality)
        ship(weights, recipe[-1], origin, given.out, evidence, fixed)
    except (OSError, ValueError, CasesError, RunError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
