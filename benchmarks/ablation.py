"""What helps: short trainings that differ in one thing, `python -m benchmarks.ablation OUT`.

Losses go on from the shipped weights; networks of several sizes begin anew. All see the same
pictures of renderer 1 and are judged on the same phantoms of renderer 2 (`--real FOLDER`: and on
outlined images), without a limit of quality, so that what is compared is the network alone. OUT
keeps the runs: a killed command goes on where it was, and arms may be trained by several commands
at once. The milliseconds are those of one picture; a frame and its mirror image take two.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from data.cases import TRUTH, read_cases
from data.phantom.collection import write_phantoms
from data.phantom.dicom import Renderer
from data.phantom.render import LABELS
from models.bundle import load_bundle
from models.runtime import OpenVinoRuntime
from training.checkpoint import DEFAULT, averaged_weights
from training.config import Config
from training.estimates import Estimate
from training.evaluate import evaluate
from training.export import export
from training.summary import Result, Summary, by_family, summarise
from training.train import train

LOSSES: dict[str, dict[str, Any]] = {
    "cross-entropy": {"dice_weight": 0.0, "cross_entropy_weight": 1.0},
    "and soft Dice": {"dice_weight": 1.0, "cross_entropy_weight": 2.0},
    "and hard Dice": {"dice_weight": 1.0, "cross_entropy_weight": 2.0, "soft_dice": False},
    "and band": {"dice_weight": 0.0, "cross_entropy_weight": 0.5, "band_weight": 4.0},
    "and boundary": {"dice_weight": 0.0, "cross_entropy_weight": 1.0, "boundary_weight": 10.0},
    "endometrium x 3": {
        "dice_weight": 0.0,
        "cross_entropy_weight": 1.0,
        "endometrium_weight": 3.0,
    },
}
# Widths at the six levels of the grid; each costs about twice the time of the one before.
SIZES: dict[str, tuple[int, ...]] = {
    "half as wide": (8, 16, 32, 64, 96, 96),
    "as phantom-5": (16, 32, 64, 128, 192, 192),
    "as phantom-6": (32, 64, 96, 160, 192, 192),
    "1.5 times as wide": (48, 96, 144, 240, 288, 288),
}
# Chosen by nobody: no training, selection or calibration has this seed.
SEED, EMPTY = 4711, 0.3
COLUMNS = (
    "right place",
    "wrong place",
    "quiet",
    "Dice",
    "MAE to 7 mm",
    "MAE above",
    "bias",
    "bias of thin lines",
    "within 1 mm",
)


def arms(
    steps: int, precision: str = "float32", batch: int = 8, showings: int = 1, workers: int = 0
) -> dict[str, tuple[Config, str | None]]:
    """Return the configuration of every arm, and what it starts from."""
    shipped = tuple(load_bundle().architecture["channels"])

    def config(loss: dict[str, Any], channels: tuple[int, ...], rate: float) -> Config:
        return Config.model_validate(
            {
                "seed": SEED,
                "steps": steps,
                "batch": batch,
                "data": {"showings": showings},
                "network": {"channels": channels},
                # So few steps: the average must forget the start.
                "optimiser": {"learning_rate": rate, "average_decay": 0.99},
                "loss": loss,
                "run": {
                    "compile": True,
                    "workers": workers,
                    "checkpoint_every": 50,
                    "precision": precision,
                },
            }
        )

    # From nothing, cross-entropy without Dice drew nothing after 8,000 pictures.
    quick = LOSSES["and soft Dice"]
    found: dict[str, tuple[Config, str | None]] = {}
    found |= {name: (config(loss, shipped, 7e-4), DEFAULT) for name, loss in LOSSES.items()}
    found |= {name: (config(quick, size, 2e-3), None) for name, size in SIZES.items()}
    return found


def judge(name: str, config: Config, folder: Path, sets: dict[str, Path]) -> dict[str, Any]:
    """Return what the network of a finished run does on each set, and what it costs."""
    weights = averaged_weights(folder / "checkpoint.pt")
    texts = dict.fromkeys(("name", "training_data", "known_failures", "licence"), name)
    export(weights, config, LABELS, texts, folder / "bundle")
    bundle = replace(load_bundle(folder / "bundle"), min_quality=0.0)
    runtime = OpenVinoRuntime(bundle)
    found: dict[str, Any] = {"parameters": sum(values.numel() for values in weights.values())}
    for title, images in sets.items():
        results = evaluate(read_cases(images), bundle, runtime)
        whole = summarise(results)
        found[title] = numbers(results, whole)
        found["ms"] = whole.network_ms
    return found


def numbers(results: list[Result], whole: Summary) -> dict[str, float | None]:
    """Return the numbers of COLUMNS; `whole` is the summary of the results."""
    families = by_family(results)
    sizes, patterns = families.get("size", {}), families.get("pattern", {})

    def of(group: Any, field: str) -> float | None:
        estimate: Estimate | None = getattr(group, field) if group else None
        return None if estimate is None else estimate.value

    values = (
        of(whole, "on_target_share"),
        of(whole, "misplaced_share"),
        of(whole, "quiet_share"),
        of(whole, "dice_median"),
        of(sizes.get("up to 7 mm"), "mae_mm"),
        of(sizes.get("above 7 mm"), "mae_mm"),
        of(whole, "bias_mm"),
        of(patterns.get("thin_line"), "bias_mm"),
        of(whole, "within_1_mm"),
    )
    return dict(zip(COLUMNS, values, strict=True))


def table(title: str, found: dict[str, dict[str, Any]]) -> str:
    """Return one set's numbers as a Markdown table."""
    lines = [f"| {title} | parameters | ms | " + " | ".join(COLUMNS) + " |"]
    lines.append("|---" * (3 + len(COLUMNS)) + "|")
    for name, each in found.items():
        values = [each[title][column] for column in COLUMNS]
        cells = ["–" if value is None else f"{value:.2f}" for value in values]
        size = f"{each['parameters'] / 1e6:.2f} M"
        lines.append(f"| {name} | {size} | {each['ms']:.0f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Train and judge what was asked for, and print the tables of all that is done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder of the runs")
    parser.add_argument("--steps", type=int, default=300, help="batches for each arm")
    parser.add_argument("--batch", type=int, default=8, help="pictures in a batch")
    parser.add_argument("--showings", type=int, default=1, help="of each picture")
    parser.add_argument("--workers", type=int, default=0, help="that make pictures")
    parser.add_argument("--n", type=int, default=200, help="phantoms of renderer 2 to judge on")
    parser.add_argument("--real", type=Path, help="folder of outlined images to judge on, too")
    parser.add_argument("--arms", nargs="*", help="names of arms; all if left out")
    parser.add_argument(
        "--precision", default="float32", help="bfloat16 where the processor has it (AMX)"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)  # commands beside each other do not get in each other's way
    every = arms(given.steps, given.precision, given.batch, given.showings, given.workers)
    if unknown := set(given.arms or ()) - every.keys():
        parser.error(f"no arm {', '.join(sorted(unknown))}; there are {', '.join(every)}")
    phantoms = given.out / "phantoms"
    if not (phantoms / TRUTH).exists():
        write_phantoms(phantoms, n=given.n, seed=SEED, renderer=Renderer.PHYSICAL, empty=EMPTY)
    sets = {"phantoms": phantoms} | ({"real": given.real} if given.real else {})
    for name in given.arms or every:
        config, start = every[name]
        folder = given.out / name.replace(" ", "-")
        train(config, folder, start)
        judged = judge(name, config, folder, sets)
        (folder / "judged.json").write_text(json.dumps(judged, indent=1), "utf-8")
    done = {
        name: json.loads(path.read_text("utf-8"))
        for name in every
        if (path := given.out / name.replace(" ", "-") / "judged.json").exists()
    }
    for title in sets:
        print(table(title, {name: each for name, each in done.items() if title in each}) + "\n")


if __name__ == "__main__":
    main()
