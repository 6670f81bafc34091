"""What a run keeps on disk, so that it can go on after a kill, and what others take from it.

`run.json` says what the run is; `checkpoint.pt` is one file, replaced as a whole, with the network,
its running average, the optimizer, the step and the best averaged weights so far. It holds tensors
and plain values only and is read without pickle.
"""

import errno
import hashlib
import json
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.optim.swa_utils import AveragedModel

from data.phantom.render import LABELS
from models.bundle import CARD, WEIGHTS, BundleError, load_bundle
from models.network import Architecture
from training.config import FREE, Config, flat
from training.items import fingerprint
from training.losses import PARTS
from training.split import Items
from training.widen import can_widen, widened

CHECKPOINT, ABOUT = "checkpoint.pt", "run.json"
DEFAULT = "default"
_PREFIX = "module."  # of the averaged model's names

Weights = dict[str, torch.Tensor]


class RunError(Exception):
    """A run cannot begin or go on; the message says why and what to do."""


@dataclass
class Progress:
    """A run's state between two steps; the only thing in training that changes.

    `recent` float32 (parts,) sums the losses since the last line of the log. `best` are the
    averaged weights with the smallest `best_cost` so far (Validation.cost), None while none was
    validated; `stale` counts the validations since then.
    """

    network: torch.nn.Module
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    recent: torch.Tensor
    step: int = 0
    best: Weights | None = None
    best_cost: float = float("inf")
    stale: int = 0

    def save(self, path: Path) -> None:
        """Replace the checkpoint, as a whole or not at all. Raises OSError."""
        temporary = path.with_suffix(".part")
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "recent": self.recent,
            "best": self.best,
            "best_cost": self.best_cost,
            "stale": self.stale,
        }
        try:
            torch.save(state, temporary)
        except RuntimeError as error:  # what torch makes of a full disk
            raise OSError(errno.EIO, str(error), str(temporary)) from error
        temporary.replace(path)

    def load(self, path: Path, device: torch.device) -> None:
        """Take over a checkpoint."""
        state = _read(path, device)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = int(state["step"])
        # Runs of before the band's loss came have one sum less.
        self.recent = no_losses(device)
        self.recent[: len(state["recent"])] = state["recent"]
        # Runs before patience came have "best_mm", and count from where they go on.
        cost = state["best_cost"] if "best_cost" in state else state["best_mm"]
        self.best, self.best_cost = state["best"], float(cost)
        self.stale = int(state.get("stale", 0))

    def keep_if_best(self, cost: float) -> None:
        """Remember the averaged weights if they are the best yet; of equals the first stay."""
        self.stale += 1
        if cost < self.best_cost:
            self.best_cost, self.stale = cost, 0
            self.best = {
                name: value.clone() for name, value in _averaged(self.average.state_dict()).items()
            }

    def at_end(self, config: Config) -> bool:
        """Tell whether the run has made its steps, or waited long enough for a better validation.

        A run ends early where this is True after a validation.
        """
        return _at_end(config, self.step, self.stale)


def no_losses(device: torch.device) -> torch.Tensor:
    """Return empty sums for Progress.recent."""
    return torch.zeros(len(PARTS), device=device)


def _at_end(config: Config, step: int, stale: int) -> bool:
    patience = config.run.patience
    return step >= config.steps or 0 < patience <= stale


def steps_done(checkpoint: Path, config: Config) -> tuple[int, bool]:
    """Return how many steps a checkpoint has seen, and whether its run is at its end.

    Raises RunError.
    """
    state = _read(checkpoint, torch.device("cpu"))
    step = int(state["step"])
    return step, _at_end(config, step, int(state.get("stale", 0)))


def averaged_weights(checkpoint: Path, *, last: bool = False) -> Weights:
    """Return the weights that a run is for, under the network's names.

    The best averaged weights if the run selects, else, or with `last`, the last ones. Raises
    RunError.
    """
    state = _read(checkpoint, torch.device("cpu"))
    # Runs before selection came have no "best".
    best: Weights | None = None if last else state.get("best")
    return best or _averaged(state["average"])


def _averaged(state: Weights) -> Weights:
    return {
        name.removeprefix(_PREFIX): value
        for name, value in state.items()
        if name.startswith(_PREFIX)
    }


def _read(path: Path, device: torch.device) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        if not {"network", "average", "optimizer", "step"} <= state.keys():
            raise KeyError("it has other contents")
    except FileNotFoundError:
        raise RunError(f"{path} is not there; name the folder of a training run.") from None
    except Exception as error:  # noqa: BLE001 - torch raises nearly anything for a damaged file
        first = (str(error).splitlines() or [""])[0]
        raise RunError(f"{path} is no checkpoint of a training run: {first}.") from None
    found: dict[str, Any] = state
    return found


def starting_weights(
    start: str | Path, network: torch.nn.Module, config: Config, *, widen: bool = True
) -> Weights:
    """Return the weights of a run or a bundle, checked to fit `network`.

    Those of a narrower network are widened if they may be (training.widen).
    `start` is a folder, or "default" for the shipped bundle. Raises RunError.
    """
    folder = None if str(start) == DEFAULT else Path(start)
    if folder is not None and (folder / CHECKPOINT).is_file():
        weights, theirs = averaged_weights(folder / CHECKPOINT), _channels_of(folder)
    elif folder is not None and not (folder / CARD).is_file():
        raise RunError(
            f"--start {start}: there is neither the {CHECKPOINT} of a run nor the {CARD} of a "
            f"bundle; name a folder with one of them, or {DEFAULT}."
        )
    else:
        try:
            bundle = load_bundle(folder)
        except BundleError as error:
            raise RunError(f"--start {start}: {error}") from None
        if bundle.labels != LABELS:
            raise RunError(
                f"--start {start}: its labels are {', '.join(bundle.labels)}, but training has "
                f"{', '.join(LABELS)}, in this order."
            )
        if int(bundle.architecture.get("members", 1)) > 1:
            raise RunError(
                f"--start {start}: it is an ensemble of {bundle.architecture['members']} networks, "
                "and training goes on with one: name the folder of one of its runs."
            )
        # Bundles are stored in half precision.
        weights = {name: value.float() for name, value in load_file(bundle.path / WEIGHTS).items()}
        theirs = list(bundle.architecture["channels"])
    channels = config.network.channels
    if widen and theirs and tuple(theirs) != channels and can_widen(theirs, channels):
        narrow, wide = (Architecture.halving(tuple(each)) for each in (theirs, channels))
        weights = widened(weights, narrow, wide, config.draws)
    wanted = {name: value.shape for name, value in network.state_dict().items()}
    if wanted != {name: value.shape for name, value in weights.items()}:
        remedy = (
            f"set network.channels = {theirs}"
            if theirs
            else "set network.channels to that of the run"
        )
        raise RunError(
            f"--start {start}: its weights are those of another network than network.channels = "
            f"{list(config.network.channels)} builds; {remedy}, or train without --start."
        )
    return weights


def _channels_of(run: Path) -> list[int] | None:
    try:
        channels: list[int] = json.loads((run / ABOUT).read_text("utf-8"))["config"]["network"][
            "channels"
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # a run of a version that kept no such file
    return channels


def describe(config: Config, items: Items, start: Weights | None) -> dict[str, Any]:
    """Return the content of run.json: the resolved configuration, start, data and versions."""
    packages = ("endometer", "torch", "monai", "numpy", "scipy", "simpleitk")
    return {
        "config": config.model_dump(mode="json"),
        "start": None if start is None else _digest(start),
        "data": {
            name: {
                "images": len(part),
                "patients": sorted({item.patient for item in part}),
                "sha256": fingerprint(part),
            }
            for name, part in (("training", items.training), ("validation", items.validation))
        },
        "versions": {name: metadata.version(name) for name in packages},
    }


def _digest(weights: Weights) -> str:
    found = hashlib.sha256()
    for name in sorted(weights):
        found.update(name.encode() + weights[name].float().contiguous().numpy().tobytes())
    return found.hexdigest()


def run_in(out: Path, about: dict[str, Any]) -> dict[str, Any] | None:
    """Return what run.json says in OUT, or None if no run began there; the folder is made.

    Raises RunError for a folder with another run than `about` describes.
    """
    out.mkdir(parents=True, exist_ok=True)
    if not (out / CHECKPOINT).exists():
        return None
    try:
        before: dict[str, Any] = json.loads((out / ABOUT).read_text("utf-8"))
        changes, others = _changes(before, about), _other_images(before, about)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise RunError(
            f"{out} has a {CHECKPOINT} but no {ABOUT} that says of which run. Choose another "
            f"folder; to go on from its weights, add --start {out}."
        ) from None
    if changes or others:
        what = f"another configuration: {'; '.join(changes)}" if changes else others
        raise RunError(
            f"{out} holds a run with {what}. Undo that to go on with it, or choose another folder; "
            f"to begin there from its weights, add --start {out}."
        )
    if about["start"] not in (None, before.get("start")):
        raise RunError(
            f"{out} holds a run that began with other weights than those of --start. Leave --start "
            "out to go on with it, or choose another folder."
        )
    return before


def _changes(before: dict[str, Any], about: dict[str, Any]) -> list[str]:
    """Return what in the configuration would change the run's numbers, in words."""
    # What fields that came since an earlier version do by default is what it did.
    default = _deciding(Config(steps=1).model_dump(mode="json"))
    old, new = default | _deciding(before["config"]), _deciding(about["config"])
    return [
        f"{name} was {old.get(name)!r} and is now {new.get(name)!r}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def _deciding(config: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that decide the run's numbers by their full names."""
    values = flat(config)
    # Folders may move: what counts is their content.
    if isinstance(values.get("data.validation"), str):
        values["data.validation"] = "a folder"
    return {name: value for name, value in values.items() if name not in FREE}


def _other_images(before: dict[str, Any], about: dict[str, Any]) -> str:
    """Say which images are others than before, or nothing."""
    parts = [
        f"{found['images']} {name} images instead of these {about['data'][name]['images']}"
        for name, found in before["data"].items()
        if found["sha256"] != about["data"][name]["sha256"]
    ]
    return f"other data ({' and '.join(parts)}; files or labels differ)" if parts else ""


def other_versions(before: dict[str, Any], about: dict[str, Any]) -> list[str]:
    """Return which packages that decide numbers have another version than when the run began."""
    old, new = before.get("versions", {}), about["versions"]
    return [
        f"{name} was {old[name]} when the run began and is now {new[name]}"
        for name in sorted(old.keys() & new.keys())
        if old[name] != new[name]
    ]


def write_about(out: Path, about: dict[str, Any]) -> None:
    """Write run.json."""
    text = json.dumps(about, indent=1, ensure_ascii=False)
    (out / ABOUT).write_text(text + "\n", "utf-8")
