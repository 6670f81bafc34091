"""The training configuration: one TOML file, one frozen dataclass."""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Config:
    """Everything that decides what a training run produces."""

    seed: int
    """Of the pictures and of the network's first weights."""
    steps: int
    """Batches in the whole run."""
    batch: int
    """Pictures in a batch, each seen once."""
    learning_rate: float
    """Highest learning rate (AdamW), reached after the first 2 % of the steps."""
    decay: float
    """Share of the steps, at the end, over which the learning rate falls to zero; 0 keeps it."""
    grid_size: int
    """Side of the network grid in pixels; a multiple of 16."""
    mm_per_px: float
    """Millimetres per pixel of the network grid."""
    channels: tuple[int, ...]
    """Feature channels of the U-Net's levels."""
    endometrium_weight: float
    """Weight of the endometrium in the loss. Above 1 the network finds it sooner and draws it too
    thick, so the last stage of a recipe has 1."""
    average_decay: float
    """Decay of the running average of the weights, which is what is shipped."""
    workers: int
    """Processes that draw pictures."""
    compile: bool
    """Compile the network: a fifth faster on CPUs, needs a C++ compiler; same results but for
    rounding."""
    checkpoint_every: int
    """Steps between checkpoints."""


def read_config(path: Path) -> Config:
    """Read a TOML configuration. Raises ValueError naming unknown, missing or mistyped keys."""
    with path.open("rb") as file:
        values = tomllib.load(file)
    known = {field.name: field.type for field in fields(Config)}
    unknown, missing = values.keys() - known.keys(), known.keys() - values.keys()
    if unknown or missing:
        raise ValueError(
            f"{path}: unknown keys {sorted(unknown)}, missing keys {sorted(missing)}; "
            f"a configuration has exactly {sorted(known)}"
        )
    for name, value in values.items():
        wanted = {int: "int", float: "int float", bool: "bool"}.get(known[name], "list")  # type: ignore[arg-type]
        if type(value).__name__ not in wanted.split():
            raise ValueError(f"{path}: {name} = {value!r} is not of type {known[name]}")
    values["channels"] = tuple(values["channels"])
    return Config(**values)
