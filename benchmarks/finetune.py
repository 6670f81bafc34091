"""Whether a few annotated images of one's own help: `python -m benchmarks.finetune OUT`.

Phantoms of renderer 2, which the shipped bundle never learned from, stand for a hospital's images.
The shipped bundle is fine-tuned with 25, 50 and 100 of them by `training/finetune.toml` and judged,
before and after, on the same others; differences are paired, with 95 % confidence intervals by
bootstrap over patients. Both the weights that validation chose and the last ones are judged: with
few images kept aside the choice is itself uncertain. What the shipped bundle has off its
endometrium's logit is taken off again (`--shift` for another number), because training brings it
back. OUT keeps everything: a killed command goes on where it was.
"""

import argparse
import csv
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from data.cases import TRUTH, read_cases
from data.phantom.collection import write_phantoms
from data.phantom.dicom import Renderer
from data.phantom.render import LABELS
from models.bundle import Bundle, load_bundle
from models.check import card_of
from models.runtime import OpenVinoRuntime
from training.checkpoint import CHECKPOINT, DEFAULT, averaged_weights, steps_done
from training.config import Config, read_config
from training.estimates import Estimate, bootstrap
from training.evaluate import evaluate
from training.export import export
from training.summary import Result
from training.train import Moment, train

RECIPE = Path(__file__).parents[1] / "training/finetune.toml"
# Chosen by nobody: no training, selection or calibration has these seeds.
OWN_SEED, TEST_SEED, EMPTY = 20270101, 20270102, 0.2
# What a refusal of a visible endometrium, or a number where there is none, counts as.
REFUSED_MM = 1.5
BEFORE, JUDGED, SECONDS = "before", "judged.json", "seconds.json"
WEIGHTS = ("chosen", "last")
Row = dict[str, Any]


def hospital(out: Path, n: int, sizes: Sequence[int]) -> tuple[dict[int, Path], Path]:
    """Return the folders of the training sets, each the beginning of the next, and of the `n`
    phantoms that judge; made if they are not there."""
    largest, test = out / "images" / str(max(sizes)), out / "images" / "test"
    for folder, count, seed in ((largest, max(sizes), OWN_SEED), (test, n, TEST_SEED)):
        if not (folder / TRUTH).exists():
            write_phantoms(folder, n=count, seed=seed, renderer=Renderer.PHYSICAL, empty=EMPTY)
    folders = {max(sizes): largest}
    for size in sizes:
        folder = folders.setdefault(size, out / "images" / str(size))
        if not (folder / TRUTH).exists():
            _beginning(largest, folder, size)
    return folders, test


def _beginning(whole: Path, folder: Path, size: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (whole / TRUTH).open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file)
        names, rows = list(table.fieldnames or ()), list(table)[:size]
    for row in rows:
        for name in filter(None, (row["file"], row["label"])):
            shutil.copyfile(whole / name, folder / name)
    with (folder / TRUTH).open("w", encoding="utf-8", newline="") as file:  # last: all is there
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def recipe_for(recipe: Path, folder: Path) -> Config:
    """Return the recipe with a folder of images of one's own."""
    config = read_config(recipe)
    data = config.data.model_copy(update={"datasets": (str(folder),)})
    return config.model_copy(update={"data": data})


def fine_tune(config: Config, run: Path) -> None:
    """Train, or go on, and keep the seconds that it took."""
    begun, before = time.monotonic(), _kept(run / SECONDS) or 0.0

    def watch(moment: Moment) -> None:
        if moment.validation is not None or moment.last:
            (run / SECONDS).write_text(json.dumps(before + time.monotonic() - begun), "utf-8")

    train(config, run, DEFAULT, watch)


def bundle_of(config: Config, run: Path, folder: Path, shift: float, *, last: bool) -> Bundle:
    """Return the bundle of a run, with the shipped one's limit of quality.

    `shift` is taken off the endometrium's logit.
    """
    texts = dict.fromkeys(("name", "training_data", "known_failures", "licence"), run.name)
    weights = averaged_weights(run / CHECKPOINT, last=last)
    export(weights, config, LABELS, texts, folder, shift)
    return replace(load_bundle(folder), min_quality=load_bundle().min_quality)


def judge(bundle: Bundle, images: Path) -> list[Row]:
    """Return what a bundle does with every phantom that judges."""
    results = evaluate(read_cases(images), bundle, OpenVinoRuntime(bundle))
    return [_row(result) for result in results]


def _row(result: Result) -> Row:
    error = result.error_mm
    return {
        "patient": result.patient,
        "visible": result.visible,
        "measured": result.measured,
        "error_mm": None if error is None else abs(error),
        "dice": result.dice if result.visible else None,
    }


def cost_mm(row: Row) -> float:
    """Return the error in mm that a case counts for, whether it was measured or refused."""
    if not row["visible"]:
        return REFUSED_MM if row["measured"] else 0.0
    return REFUSED_MM if row["error_mm"] is None else float(row["error_mm"])


def _kept(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None


def _keep(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value), "utf-8")
    part.replace(path)


def paired(
    before: list[Row], after: list[Row], number: Callable[[Row], float | None]
) -> tuple[float | None, float | None, Estimate | None]:
    """Return the means before and after of cases that have a number both times, and the mean of
    after minus before with its confidence interval."""
    pairs = [
        (old, new, row["patient"])
        for row, old, new in zip(before, map(number, before), map(number, after), strict=True)
        if old is not None and new is not None
    ]
    if not pairs:
        return None, None, None
    olds, news, patients = zip(*pairs, strict=True)
    differences = [new - old for old, new, _ in pairs]
    estimate = bootstrap(differences, patients, lambda values: float(values.mean()))
    return float(np.mean(olds)), float(np.mean(news)), estimate


NUMBERS: dict[str, Callable[[Row], float | None]] = {
    "MAE of those measured both times, mm": lambda row: row["error_mm"],
    "refusals count 1.5 mm, mm": cost_mm,
    "Dice": lambda row: row["dice"],
    "refused": lambda row: float(not row["measured"]) if row["visible"] else None,
    "invented": lambda row: None if row["visible"] else float(row["measured"]),
}


def table(before: list[Row], after: dict[tuple[str, str], list[Row]]) -> str:
    """Return all numbers as a Markdown table; `after` by training and choice of weights."""
    lines = ["| own images | weights | number | before | after | difference (95 % CI) | n |"]
    lines.append("|---" * 7 + "|")
    for titles, rows in after.items():
        for name, number in NUMBERS.items():
            old, new, difference = paired(before, rows, number)
            if difference is None:
                continue
            gap = f"{difference.value:+.3f}"
            if difference.low is not None and difference.high is not None:
                gap += f" ({difference.low:+.3f} to {difference.high:+.3f})"
            cells = [*titles, name, f"{old:.3f}", f"{new:.3f}", gap]
            lines.append("| " + " | ".join([*cells, str(difference.n)]) + " |")
    return "\n".join(lines)


def main() -> None:
    """Train and judge what is not done yet, and print the table of all that is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder of images, runs and results")
    parser.add_argument("--sizes", type=int, nargs="+", default=[25, 50, 100], help="own images")
    parser.add_argument("--n", type=int, default=150, help="phantoms to judge on")
    parser.add_argument("--recipe", type=Path, default=RECIPE, help="TOML file of the training")
    usual = -card_of(load_bundle().path)["endometrium_logit_shift"]
    parser.add_argument("--shift", type=float, default=usual, help="off the endometrium's logit")
    given = parser.parse_args()
    folders, test = hospital(given.out, given.n, sorted(set(given.sizes)))
    runs, before = given.out / given.recipe.stem, given.out / BEFORE / JUDGED
    if _kept(before) is None:
        _keep(before, judge(load_bundle(), test))
    after: dict[tuple[str, str], list[Row]] = {}
    for size in sorted(set(given.sizes)):
        run, config = runs / str(size), recipe_for(given.recipe, folders[size])
        fine_tune(config, run)
        steps, _ = steps_done(run / CHECKPOINT, config)
        title = f"{size} ({steps} steps, {_kept(run / SECONDS) / 60:.1f} min)"
        for weights in WEIGHTS:
            judged = run / f"judged-{weights}-{given.shift:g}.json"
            if _kept(judged) is None:
                with tempfile.TemporaryDirectory() as folder:
                    last = weights == "last"
                    bundle = bundle_of(config, run, Path(folder), given.shift, last=last)
                    _keep(judged, judge(bundle, test))
            after[title, weights] = _kept(judged)
        print(table(_kept(before), after), flush=True)


if __name__ == "__main__":
    main()
