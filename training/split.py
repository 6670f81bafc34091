"""Which images are learned from and which are kept aside: by patient, and the same every time."""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.cases import CasesError
from imaging.grid import GridSpec
from training.config import Config
from training.items import LISTED, Item, read_folder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Items:
    """The items to learn from and those kept aside, which share no patient."""

    training: tuple[Item, ...]
    validation: tuple[Item, ...]


@dataclass(frozen=True)
class Images:
    """All annotated images of a configuration: of `data.datasets`, folder by folder, and of the
    folder of `data.validation`, None where there is none."""

    folders: tuple[tuple[Item, ...], ...]
    validation: tuple[Item, ...] | None


def read_images(config: Config) -> Images:
    """Read all annotated images of a configuration, before any compute. Raises CasesError."""
    spec = GridSpec(config.network.grid_size, config.network.mm_per_px)
    folders = tuple(read_folder(Path(name), spec, log.warning) for name in config.data.datasets)
    aside = config.data.validation
    own = read_folder(Path(aside), spec, log.warning) if isinstance(aside, str) else None
    if config.data.balance:
        kinds = {item.empty for folder in folders for item in folder}
        if len(kinds) == 1:
            log.warning(
                "data.balance changes nothing: %s image of data.datasets shows an endometrium.",
                "no" if True in kinds else "every",
            )
    return Images(folders, own)


def split(config: Config, images: Images) -> Items:
    """Split images as a configuration says.

    Raises CasesError where they cannot be, or where none that is kept aside can tell what
    `run.selection` goes by.
    """
    data, seed = config.data, config.seed
    if data.folds and not data.fold:
        raise CasesError(
            f"data.folds = {data.folds}, but data.fold does not say which of them is kept aside; "
            "`endometer train` takes each in turn."
        )
    if data.folds:
        items = split_fold(images.folders, data.fold, data.folds, seed)
    elif images.validation is not None:
        items = split_items(images.folders, images.validation, seed)
    else:
        items = split_items(images.folders, float(data.validation), seed)
    aside = f" kept aside in fold {data.fold}" if data.folds else ""
    judged = [item for item in items.validation if item.annotated]
    scaled = any(item.calibrated and item.true_mm is not None for item in judged)
    if config.run.selection == "thickness" and not scaled:
        raise CasesError(
            f"no validation image{aside} has a scale and a measurable endometrium, so that "
            'run.selection = "thickness" has nothing to go by. Give spacing in dataset.json, or '
            'select "dice" or "last".'
        )
    if config.run.selection == "dice" and not any(item.visible for item in judged):
        raise CasesError(
            f"no validation image{aside} has a drawn endometrium, so that run.selection = "
            '"dice" has nothing to go by. Draw some, or select "last".'
        )
    return items


def read_items(config: Config) -> Items:
    """Read all annotated images of a configuration and split them. Raises CasesError."""
    return split(config, read_images(config))


def _order(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


def patient_folds(items: Iterable[Item], folds: int, seed: int) -> dict[str, int]:
    """Return the fold of every patient, from 1 to `folds`.

    Patients are put in order (without any endometrium first, then without any thickness, then by
    mean thickness) and dealt out, every `folds` of them in a random order: so the folds are of
    equal size, give or take a patient, and alike in thickness. They depend on seed, names and
    truths alone, not on the order of the items. Raises CasesError for fewer patients than folds.
    """
    of = defaultdict[str, list[Item]](list)
    for item in items:
        of[item.patient].append(item)
    if len(of) < folds:
        raise CasesError(
            f"{len(of)} patients cannot be divided into {folds} folds: every fold needs one. "
            "Choose fewer folds, or name the patient of each image in dataset.json."
        )

    def kind(name: str) -> tuple[bool, float, bytes]:
        known = sorted(item.true_mm for item in of[name] if item.true_mm is not None)
        thickness = sum(known) / len(known) if known else 0.0
        return not all(item.empty for item in of[name]), thickness, _order(seed, name)

    names, dealt = sorted(of, key=kind), dict[str, int]()
    for first in range(0, len(names), folds):
        block = names[first : first + folds]
        # The last, incomplete block goes to folds that the seed chooses, too.
        places = sorted(range(1, folds + 1), key=lambda fold: _order(seed, f"{first}:{fold}"))
        dealt |= zip(block, places, strict=False)
    return dealt


def split_fold(folders: Sequence[tuple[Item, ...]], fold: int, folds: int, seed: int) -> Items:
    """Keep the patients of one fold, from 1 to `folds`, aside. Raises CasesError."""
    items = tuple(item for folder in folders for item in folder)
    of = patient_folds(items, folds, seed)
    return Items(
        tuple(item for item in items if of[item.patient] != fold),
        tuple(item for item in items if of[item.patient] == fold),
    )


def split_patients(patients: Iterable[str], share: float, seed: int) -> frozenset[str]:
    """Return the patients kept aside: `share` of all, at least one unless the share is 0.

    They depend on seed and names alone, not on the order. Raises CasesError for a single patient.
    """
    names = sorted(set(patients))
    if share == 0:
        return frozenset()
    if len(names) < 2:
        raise CasesError(
            f"all images are of one patient ({names[0] if names else 'none'}): none can be kept "
            "aside. Name the patient of each image in dataset.json, or set data.validation to 0."
        )
    names.sort(key=lambda name: _order(seed, name))
    return frozenset(names[: min(len(names) - 1, max(1, round(share * len(names))))])


def split_items(
    folders: Sequence[tuple[Item, ...]], validation: float | tuple[Item, ...], seed: int
) -> Items:
    """Keep a share of the patients aside, or take a data set of its own for validation.

    Raises CasesError where a data set of its own has images or patients of the others.
    """
    items = tuple(item for folder in folders for item in folder)
    if isinstance(validation, tuple):
        _refuse_shared(items, validation)
        return Items(items, validation)
    if not items:
        return Items((), ())
    aside = split_patients((item.patient for item in items), validation, seed)
    return Items(
        tuple(item for item in items if item.patient not in aside),
        tuple(item for item in items if item.patient in aside),
    )


def _refuse_shared(training: tuple[Item, ...], validation: tuple[Item, ...]) -> None:
    # Without a patient's name the file's stands for it, and many folders have an image1.png.
    patients = [{i.patient for i in part if i.named_patient} for part in (training, validation)]
    pictures = [
        {hashlib.sha256(i.pixels.tobytes()).digest(): i.name for i in part}
        for part in (training, validation)
    ]
    if both := patients[0] & patients[1]:
        raise CasesError(
            f"patients {', '.join(sorted(both)[:LISTED])} are in data.datasets and in the folder "
            "of data.validation: take them out of one."
        )
    if same := pictures[0].keys() & pictures[1].keys():
        names = sorted(pictures[1][picture] for picture in same)
        raise CasesError(
            f"the images {', '.join(names[:LISTED])} of the folder of data.validation are in "
            "data.datasets, too: take them out of one."
        )
