"""From a checkpoint to a bundle that can be shipped: `python -m training.ship CONFIG RUN OUT`.

Exports the network, fits the intervals on phantoms it never saw, judges them on others, and
writes it all into the card.
"""

import argparse
import csv
from pathlib import Path

import torch

from data.phantom.render import LABELS
from models.bundle import load_bundle
from models.runtime import OpenVinoRuntime
from training.config import Config, read_config
from training.evaluate import (
    CALIBRATION_SEED,
    TEST_SEED,
    fit_intervals,
    measure_phantoms,
    summarise,
)
from training.export import export, write_card


def about(config: Config, run: Path) -> dict[str, str]:
    """Return the texts of the card."""
    steps = int(torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)["step"])
    with (run / "log.csv").open() as file:
        loss = {int(row[0]): row[1] for row in csv.reader(file)}.get(steps, "not logged")
    return {
        "name": "phantom-1",
        "licence": "Apache-2.0",
        "training_data": (
            f"{steps * config.batch} simulated pictures (data/phantom, renderer 1, seed "
            f"{config.seed}), each seen once. No real image, no patient. "
            f"Last training loss: {loss}."
        ),
        "known_failures": (
            "First weights, trained on simulated pictures only. Not validated on patients. Thin "
            "lines, isoechoic endometria and fundi in shadow are missed or placed wrongly; bright "
            "interfaces behind the uterus can be taken for endometrium. Intervals hold for stills "
            "of phantoms like those of training, not for patients."
        ),
    }


def ship(config: Config, run: Path, out: Path, n: int) -> None:
    """Write the bundle OUT from the checkpoint in RUN, judged on `n` phantoms."""
    fields = export(run / "checkpoint.pt", config, LABELS, about(config, run), out)
    bundle = load_bundle(out)
    runtime = OpenVinoRuntime(bundle)
    intervals = fit_intervals(measure_phantoms(bundle, runtime, CALIBRATION_SEED, n))
    judged = summarise(measure_phantoms(bundle, runtime, TEST_SEED, n), intervals)
    write_card(out, fields, intervals, {"phantoms, renderer 1, unseen": judged})


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="the TOML file of the training run")
    parser.add_argument("run", type=Path, help="the folder of the training run")
    parser.add_argument("out", type=Path, help="folder of the bundle, for instance models/default")
    parser.add_argument("--n", type=int, default=200, help="phantoms to calibrate and to judge on")
    arguments = parser.parse_args()
    ship(read_config(arguments.config), arguments.run, arguments.out, arguments.n)


if __name__ == "__main__":
    main()
