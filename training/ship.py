"""From a checkpoint to a bundle: `python -m training.ship RUN OUT --recipe CONFIG...`.

Exports the network, fits how freely it draws and how wide its intervals are on phantoms that it
never saw, judges both on others, and writes it all into the card.
"""

import argparse
import csv
from pathlib import Path

import torch

from data.phantom.render import LABELS
from models.bundle import load_bundle
from models.runtime import OpenVinoRuntime
from training.calibrate import (
    CALIBRATION_SEED,
    SHIFT_SEED,
    TEST_SEED,
    fit_intervals,
    fit_shift,
    phantom_cases,
)
from training.config import Config, read_config
from training.evaluate import evaluate
from training.export import export, write_card
from training.summary import card_numbers


def about(recipe: list[Config], run: Path) -> dict[str, str]:
    """Return the texts of the card. Raises ValueError for a run that is not at its end."""
    steps = int(torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)["step"])
    if steps != recipe[-1].steps:
        raise ValueError(f"{run} is at step {steps} of {recipe[-1].steps}: finish training first")
    pictures = sum(stage.steps * stage.batch for stage in recipe)
    with (run / "log.csv").open() as file:
        loss = {int(row[0]): row[1] for row in csv.reader(file)}.get(steps, "not logged")
    return {
        "name": "phantom-1",
        "licence": "Apache-2.0",
        "training_data": (
            f"{pictures} simulated pictures (data/phantom, renderer 1, seeds "
            f"{', '.join(str(stage.seed) for stage in recipe)}), each seen once. No real image, no "
            "patient. "
            f"Last training loss: {loss}."
        ),
        "known_failures": (
            "First weights, trained on simulated pictures only. Not validated on patients: most "
            "real scans are refused, and a number given for one may lie beside the endometrium. "
            "Thin lines, isoechoic endometria and fundi in shadow are missed or placed wrongly; "
            "bright interfaces behind the uterus can be taken for endometrium. Intervals hold for "
            "stills of phantoms like those of training, not for patients."
        ),
    }


def ship(recipe: list[Config], run: Path, out: Path, n: int) -> None:
    """Write the bundle OUT from the checkpoint in RUN, judged on `n` phantoms.

    `recipe` are the configurations of all stages in order; the last is RUN's.
    """
    texts, checkpoint = about(recipe, run), run / "checkpoint.pt"
    export(checkpoint, recipe[-1], LABELS, texts, out)
    with phantom_cases(SHIFT_SEED, n // 2) as cases:
        bundle = load_bundle(out)
        shift = fit_shift(cases, bundle, OpenVinoRuntime(bundle))
    fields = export(checkpoint, recipe[-1], LABELS, texts, out, shift)
    bundle = load_bundle(out)
    runtime = OpenVinoRuntime(bundle)
    with phantom_cases(CALIBRATION_SEED, n) as cases:
        intervals = fit_intervals(evaluate(cases, bundle, runtime, outlines=False))
    write_card(out, fields, intervals, {})
    bundle = load_bundle(out)
    with phantom_cases(TEST_SEED, n) as cases:
        judged = card_numbers(evaluate(cases, bundle, runtime))
    write_card(out, fields, intervals, {"phantom stills, renderer 1, unseen": judged})


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="the folder of the last training run")
    parser.add_argument("out", type=Path, help="folder of the bundle, for instance models/default")
    parser.add_argument(
        "--recipe", type=Path, nargs="+", required=True, help="the TOML files of all stages"
    )
    parser.add_argument("--n", type=int, default=200, help="phantoms to calibrate and to judge on")
    arguments = parser.parse_args()
    recipe = [read_config(path) for path in arguments.recipe]
    ship(recipe, arguments.run, arguments.out, arguments.n)


if __name__ == "__main__":
    main()
