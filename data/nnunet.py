"""A data set as nnU-Net v2 wants it, so that both can be compared on the same split.

The layout is that of nnU-Net's documentation/dataset_format.md: `DatasetXXX_Name` with imagesTr,
labelsTr, imagesTs, labelsTs and dataset.json; `splits_final.json` (how_to_use_nnunet.md, custom
splits) belongs into nnU-Net's folder of preprocessed data. Pictures are numbered: no name of a file
or a patient leaves `cases.csv`, which ties the numbers to the data set they came from.
"""

import csv
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.cases import ANNOTATED, DATALIST, OUTLINES, TRUTH, Case, CasesError, read_cases
from imaging.calibration import Box, calibrate, tissue_boxes
from imaging.clip import Clip, ClipError

TRAIN, VALIDATION, TEST = "train", "validation", "test"
CASES_CSV, SPLITS = "cases.csv", "splits_final.json"
FOLDS = 5
# Faults that a message lists before it only counts them.
LISTED = 10
# nnU-Net reads PNG without a spacing, NIfTI with one.
ENDINGS = (".png", ".nii.gz")
# nnU-Net's numbers of data sets have three digits and are not 000.
HIGHEST = 999


@dataclass(frozen=True)
class Placed:
    """A row of cases.csv: which frame of which image became which nnU-Net case.

    The picture is the frame's luma from (row_0, column_0), `rows` x `columns` pixels; the
    annotated frame counts from 1. `row_mm` and `column_mm` are None where no scale is known.
    """

    case: str
    split: str
    image: str
    sha256: str
    frame: int
    row_0: int
    column_0: int
    rows: int
    columns: int
    row_mm: float | None
    column_mm: float | None


@dataclass(frozen=True)
class Exported:
    """What was written: the folder, its cases, the label names in order of their ids, and the
    names of images that were left out because nobody drew what they show."""

    folder: Path
    cases: tuple[Placed, ...]
    labels: tuple[str, ...]
    left_out: tuple[str, ...]


def read_splits(dataset: Path) -> dict[str, list[Case]]:
    """Return the cases of every split: of the folders train, validation and test in `dataset`.

    A folder that is a data set itself is all train. Raises CasesError; a patient that is named in
    two splits is an error, too.
    """
    if any((dataset / name).is_file() for name in (TRUTH, OUTLINES, DATALIST)):
        return {TRAIN: read_cases(dataset), VALIDATION: [], TEST: []}
    if not (dataset / TRAIN).is_dir():
        raise CasesError(
            f"{dataset} is no data set ({DATALIST}, {OUTLINES} or {TRUTH}) and has no folder "
            f"{TRAIN} with one; name the folder that holds {TRAIN}, {VALIDATION} and {TEST}."
        )
    splits = {
        name: read_cases(dataset / name) if (dataset / name).is_dir() else []
        for name in (TRAIN, VALIDATION, TEST)
    }
    # Without a patient's name the file's stands for it, and splits may use names again.
    named = {
        name: {c.patient for c in cases if c.patient != c.name} for name, cases in splits.items()
    }
    for one, other in ((TRAIN, VALIDATION), (TRAIN, TEST), (VALIDATION, TEST)):
        if both := named[one] & named[other]:
            raise CasesError(
                f"{dataset}: {len(both)} patients are in {one} and in {other}; "
                "take them out of one."
            )
    return splits


def write_nnunet(
    dataset: Path, out: Path, *, number: int = 501, name: str = "Contest", ending: str = ENDINGS[0]
) -> Exported:
    """Write a data set, or its splits, as OUT/DatasetXXX_NAME.

    What nnU-Net gets is what our pipeline starts from: the luma of the annotated frame, cut to the
    DICOM region of the B-mode image where the file has one; nothing is resampled, filled or masked.
    Labels are 0 background, 1 endometrium, 2 fluid; one that not every case tells apart is part of
    the background in all. With `ending` .png the spacing is lost, as nnU-Net reads none from PNG.

    Raises CasesError for what cannot be read and for a folder that is there already, ValueError for
    a number, name or ending that nnU-Net does not take, OSError.
    """
    if not 1 <= number <= HIGHEST:
        raise ValueError(f"the number of the data set is {number}; it must be 1 to {HIGHEST}.")
    if not re.fullmatch(r"[A-Za-z0-9]+", name):
        raise ValueError(f"the name of the data set is {name!r}; only letters and digits will do.")
    if ending not in ENDINGS:
        raise ValueError(f"files cannot end with {ending!r}; choose {' or '.join(ENDINGS)}.")
    splits = read_splits(dataset)
    folder = out / f"Dataset{number:03d}_{name}"
    if folder.exists():
        raise CasesError(f"{folder} is there already; choose another folder, number or name.")
    everything = [case for cases in splits.values() for case in cases]
    labels = tuple(label for label in ANNOTATED if all(label in c.known for c in everything))
    if not labels:
        raise CasesError(f"{dataset}: no label is told apart in every case.")

    # Written beside its place and moved there as a whole: nnU-Net must not find half a data set.
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    placed: list[Placed] = []
    left_out: list[str] = []
    faults: list[str] = []
    patients: dict[str, str] = {}
    for split, cases in splits.items():
        side = "Ts" if split == TEST else "Tr"
        for case in cases:
            if case.visible and case.label is None and case.polygon is None:
                left_out.append(case.name)
                continue
            try:
                picture, truth, row = _cut(case, f"case_{len(placed) + 1:04d}", split, labels)
            except CasesError as error:
                faults.append(str(error))
                continue
            for kind, channel, pixels in (("images", "_0000", picture), ("labels", "", truth)):
                (part / f"{kind}{side}").mkdir(parents=True, exist_ok=True)
                _write(part / f"{kind}{side}" / f"{row.case}{channel}{ending}", pixels, row)
            placed.append(row)
            patients[row.case] = case.patient
    if faults:
        shutil.rmtree(part, ignore_errors=True)
        more = f"\nand {len(faults) - LISTED} more." if len(faults) > LISTED else ""
        raise CasesError("\n".join(faults[:LISTED]) + more)
    if not any(row.split == TRAIN for row in placed):
        raise CasesError(f"{dataset}: nobody drew anything in it.")
    _write_json(part / "dataset.json", _about(placed, labels, ending))
    _write_json(part / SPLITS, list(_folds(placed, patients)))
    with (part / CASES_CSV).open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, [f.name for f in fields(Placed)], lineterminator="\n")
        table.writeheader()
        table.writerows(asdict(row) for row in placed)
    part.rename(folder)
    return Exported(folder, tuple(placed), labels, tuple(left_out))


def read_placed(folder: Path) -> list[Placed]:
    """Read cases.csv of an exported data set. Raises CasesError."""
    path = folder / CASES_CSV
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [_placed(row) for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise CasesError(f"{path} cannot be read: {error!r}. Export the data set again.") from None


def _placed(row: dict[str, str]) -> Placed:
    frame, row_0, column_0, rows, columns = (
        int(row[name]) for name in ("frame", "row_0", "column_0", "rows", "columns")
    )
    row_mm, column_mm = (float(row[n]) if row[n] else None for n in ("row_mm", "column_mm"))
    return Placed(
        row["case"],
        row["split"],
        row["image"],
        row["sha256"],
        frame,
        row_0,
        column_0,
        rows,
        columns,
        row_mm,
        column_mm,
    )


def truth_of(case: Case, labels: tuple[str, ...], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the truth in frame pixels, uint8 (rows, columns), with the labels of the export.

    `shape` is the frame's. Raises CasesError.
    """
    drawn = case.mask()
    if drawn is None:
        return np.zeros(shape, np.uint8)
    if drawn.shape != shape:
        raise CasesError(
            f"{case.path}: its label has {drawn.shape[0]} x {drawn.shape[1]} pixels and the image "
            f"{shape[0]} x {shape[1]}. A label is drawn on this very image."
        )
    ids = [ANNOTATED.index(label) + 1 for label in labels]
    return np.where(np.isin(drawn, ids), drawn, np.uint8(0))


def _cut(
    case: Case, number: str, split: str, labels: tuple[str, ...]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Placed]:
    """Return picture and truth, uint8 (rows, columns), and where they come from."""
    try:
        with Clip.open(case.path) as clip:
            luma, header = clip.frame(case.frame).luma, clip.header
    except ClipError as error:
        raise CasesError(f"{case.path}: {error}") from None
    shape = (luma.shape[0], luma.shape[1])
    truth = truth_of(case, labels, shape)
    boxes = tissue_boxes(header, shape) or (Box(0, 0, shape[0] - 1, shape[1] - 1),)

    def window(box: Box) -> tuple[slice, slice]:
        return slice(box.row_0, box.row_1 + 1), slice(box.column_0, box.column_1 + 1)

    box = max(boxes, key=lambda box: int(np.count_nonzero(truth[window(box)])))
    if np.count_nonzero(truth[window(box)]) < np.count_nonzero(truth):
        box = Box(0, 0, shape[0] - 1, shape[1] - 1)  # drawn across the region's edge
    spacing = case.spacing_mm or getattr(calibrate(header, shape), "spacing_mm", None)
    rows, columns = box.row_1 - box.row_0 + 1, box.column_1 - box.column_0 + 1
    row = Placed(
        number,
        split,
        case.name,
        hashlib.sha256(case.path.read_bytes()).hexdigest(),
        case.frame,
        box.row_0,
        box.column_0,
        rows,
        columns,
        *(spacing or (None, None)),
    )
    return luma[window(box)], truth[window(box)], row


def _write(path: Path, pixels: NDArray[np.uint8], row: Placed) -> None:
    if path.suffix == ".png":
        from PIL import Image

        Image.fromarray(np.ascontiguousarray(pixels)).save(path)
        return
    import SimpleITK as sitk  # noqa: N813 - what its own documentation calls it

    image = sitk.GetImageFromArray(np.ascontiguousarray(pixels))
    image.SetSpacing((row.column_mm or 1.0, row.row_mm or 1.0))
    sitk.WriteImage(image, str(path))


def _about(placed: list[Placed], labels: tuple[str, ...], ending: str) -> dict[str, object]:
    ids = {label: ANNOTATED.index(label) + 1 for label in labels}
    if sorted(ids.values()) != list(range(1, len(ids) + 1)):
        raise CasesError(f"the labels {', '.join(labels)} are not numbered from 1 without a gap.")
    return {
        "channel_names": {"0": "ultrasound"},  # any name but CT: normalised by z-score
        "labels": {"background": 0} | ids,
        "numTraining": sum(row.split != TEST for row in placed),
        "file_ending": ending,
        "overwrite_image_reader_writer": "NaturalImage2DIO" if ending == ".png" else "SimpleITKIO",
    }


def _folds(placed: list[Placed], patients: dict[str, str]) -> Iterator[dict[str, list[str]]]:
    """Yield the one fold of a validation folder, or FOLDS folds that part no patient."""
    training = [row for row in placed if row.split != TEST]
    if any(row.split == VALIDATION for row in training):
        kept = {row.case for row in training if row.split == VALIDATION}
        yield _fold(training, kept)
        return
    names = sorted(
        {patients[r.case] for r in training}, key=lambda n: hashlib.sha256(n.encode()).digest()
    )
    for fold in range(min(FOLDS, len(names))):
        aside = set(names[fold::FOLDS])
        yield _fold(training, {row.case for row in training if patients[row.case] in aside})


def _fold(training: list[Placed], kept: set[str]) -> dict[str, list[str]]:
    return {
        "train": [row.case for row in training if row.case not in kept],
        "val": [row.case for row in training if row.case in kept],
    }


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
