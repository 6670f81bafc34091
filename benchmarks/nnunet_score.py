"""Dice of nnU-Net's predictions and of a bundle's, label by label, on exactly the same pixels.

    python -m benchmarks.nnunet_score PREDICTIONS EXPORTED DATASET [--bundle BUNDLE] [--out FILE]

PREDICTIONS is the folder that nnUNetv2_predict wrote, EXPORTED the folder DatasetXXX_Name that
`data.nnunet` wrote of DATASET. The truth is the data set's own, cut as the pictures were; Dice is
`training.metrics.dice`, with which `endometer evaluate` judges. Intervals are over patients.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - what its own documentation calls it
from numpy.typing import NDArray
from PIL import Image

from data.cases import ANNOTATED, Case, CasesError
from data.nnunet import TEST, Placed, read_placed, read_splits, truth_of
from imaging.clip import Clip
from models.bundle import BundleError, load_bundle
from models.runtime import OpenVinoRuntime
from training.estimates import Estimate, bootstrap
from training.labelmap import label_map
from training.metrics import dice

Labels = NDArray[np.uint8]


def read_prediction(path: Path, row: Placed) -> Labels:
    """Return a predicted label image, uint8 (rows, columns). Raises CasesError."""
    if not path.is_file():
        raise CasesError(f"{path} is missing: nnU-Net predicted nothing for this case.")
    if path.suffix == ".png":
        with Image.open(path) as image:
            values = np.asarray(image)
    else:
        values = np.squeeze(sitk.GetArrayFromImage(sitk.ReadImage(str(path))))
    if values.shape != (row.rows, row.columns):
        raise CasesError(f"{path} has shape {values.shape}, not {(row.rows, row.columns)}.")
    return values.astype(np.uint8)


def judged(
    predictions: Path, exported: Path, dataset: Path, bundle: Path | None, split: str = TEST
) -> list[dict[str, Any]]:
    """Return a row per case: patient and, by label, whether it is drawn and Dice of each model."""
    about = json.loads((exported / "dataset.json").read_text("utf-8"))
    labels = tuple(name for name in about["labels"] if name != "background")
    cases: dict[str, Case] = {case.name: case for case in read_splits(dataset)[split]}
    rows = [row for row in read_placed(exported) if row.split == split]
    if not rows:
        raise CasesError(f"{exported} has no case of the split {split}.")
    model = None if bundle is None else load_bundle(bundle)
    runtime = None if model is None else OpenVinoRuntime(model)
    found = []
    for row in rows:
        case = cases.get(row.image)
        if case is None:
            raise CasesError(f"{dataset}: {row.image} is not in its split {split} any more.")
        window = np.s_[row.row_0 : row.row_0 + row.rows, row.column_0 : row.column_0 + row.columns]
        drawn = {"nnunet": read_prediction(predictions / f"{row.case}{about['file_ending']}", row)}
        if model is not None and runtime is not None:
            drawn["ours"] = label_map(case, model, runtime)[window]
        shape = _shape(case)
        truth = truth_of(case, labels, shape)[window]
        scores: dict[str, Any] = {"case": row.case, "patient": case.patient}
        for label in labels:
            number = ANNOTATED.index(label) + 1
            scores[f"{label}_there"] = bool((truth == number).any())
            for name, image in drawn.items():
                scores[f"{label}_{name}"] = dice(image == number, truth == number)
        found.append(scores)
    return found


def summed(rows: list[dict[str, Any]]) -> dict[str, dict[str, Estimate | None]]:
    """Return, by label and for their mean, Dice of each model and what ours has more.

    A label counts in the cases whose truth has it (as in nnU-Net's own summary); the mean of the
    labels is that of the labels' means.
    """
    labels = [name.removesuffix("_there") for name in rows[0] if name.endswith("_there")]
    models = [name for name in ("nnunet", "ours") if f"{labels[0]}_{name}" in rows[0]]
    table: dict[str, dict[str, Estimate | None]] = {}
    for label in labels:
        there = [row for row in rows if row[f"{label}_there"]]
        patients = [row["patient"] for row in there]
        columns = {name: [row[f"{label}_{name}"] for row in there] for name in models}
        if len(models) == 2:
            pairs = zip(columns["ours"], columns["nnunet"], strict=True)
            columns["ours - nnunet"] = [ours - theirs for ours, theirs in pairs]
        table[label] = {
            name: bootstrap(values, patients, lambda v: float(v.mean()))
            for name, values in columns.items()
        }
    known = [label for label in labels if all(table[label].values())]
    if known:
        table["mean of labels"] = {
            name: Estimate(
                float(np.mean([e.value for label in known if (e := table[label][name])]))
            )
            for name in table[known[0]]
        }
    return table


def in_words(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("predictions", type=Path)
    parser.add_argument("exported", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--bundle", type=Path, help="a model of ours to judge on the same pixels")
    parser.add_argument("--split", default=TEST)
    parser.add_argument("--out", type=Path, help="JSON file with a row per case")
    given = parser.parse_args(argv)
    try:
        rows = judged(given.predictions, given.exported, given.dataset, given.bundle, given.split)
    except (BundleError, CasesError, OSError) as error:
        parser.error(str(error))
    if given.out:
        given.out.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    print(
        f"{len(rows)} cases, {len({row['patient'] for row in rows})} patients; Dice, 95 % interval"
    )
    for label, models in summed(rows).items():
        cells = (f"{name} {in_words(found)}" for name, found in models.items())
        print(f"{label:16}", *cells, sep="  ")


def _shape(case: Case) -> tuple[int, int]:
    with Clip.open(case.path) as clip:
        return clip.rows, clip.columns


if __name__ == "__main__":
    main()
