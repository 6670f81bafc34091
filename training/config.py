"""The training configuration: one TOML file, checked field by field.

`python -m training.config` prints the table of fields in docs/training.md.
"""

import sys
import tomllib
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from training.config_tables import Data, Loss, Network, Optimiser, Run, Table
from training.config_words import explain, reference

__all__ = ["FREE", "Config", "ConfigError", "Loss", "flat", "read_config"]


class ConfigError(ValueError):
    """A configuration cannot be used; the message names file, field and remedy, a line for each."""


# What may differ between two parts of one run: it changes no number.
FREE = frozenset(
    {
        "data.datasets",
        "run.workers",
        "run.checkpoint_every",
        "run.picture_every",
        "run.tracker",
    }
)


class Config(Table):
    """Everything that decides what a training run produces."""

    seed: int = Field(
        default=1,
        ge=0,
        lt=2**32,
        description="Of the first weights, the pictures, their augmentation and the split.",
    )
    steps: int = Field(ge=1, le=100_000_000, description="Batches in the whole run.")
    batch: int = Field(default=8, ge=1, le=4096, description="Pictures in a batch.")
    data: Data = Data()
    network: Network = Network()
    optimiser: Optimiser = Optimiser()
    loss: Loss = Loss()
    run: Run = Run()

    @model_validator(mode="after")
    def _selects(self) -> "Config":
        named = isinstance(self.data.validation, str)
        aside = bool(self.data.datasets) and bool(self.data.folds or self.data.validation != 0)
        if self.run.selection != "last" and not (named or aside):
            raise ValueError(
                f'run.selection = "{self.run.selection}" needs validation images; set '
                "data.validation to a share of the patients of data.datasets, or to a folder, or "
                'run.selection to "last"'
            )
        return self

    @model_validator(mode="after")
    def _shows(self) -> "Config":
        if self.batch % self.data.showings:
            raise ValueError(
                f"batch = {self.batch} is no multiple of data.showings = {self.data.showings}, of "
                "which each takes the same part of a batch"
            )
        return self

    @property
    def fresh(self) -> int:
        """How many pictures of a batch have not been shown before."""
        return self.batch // self.data.showings

    @property
    def draws(self) -> int:
        """The seed of all draws but the split: `seed`, and another one for every fold."""
        return self.seed + 2**32 * self.data.fold

    def of_fold(self, fold: int, folds: int) -> "Config":
        """Return the configuration of one fold, from 1 to `folds`. Raises ConfigError."""
        values = self.model_dump()
        values["data"] |= {"fold": fold, "folds": folds}
        try:
            return Config.model_validate(values)
        except ValidationError as error:
            faults = [explain(Config, fault["loc"], dict(fault)) for fault in error.errors()]
            raise ConfigError("\n".join(faults)) from None


def flat(config: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a dumped configuration by their full names, such as data.folds."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        inner = value.items() if isinstance(value, dict) else [("", value)]
        found |= {f"{name}.{field}" if field else name: each for field, each in inner}
    return found


def read_config(path: Path) -> Config:
    """Read a TOML configuration; folders in it become relative to its own.

    Raises ConfigError with a line for every wrong field.
    """
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from None
    except ValueError as error:  # wrong syntax, or no UTF-8
        raise ConfigError(f"{path} is no TOML file: {error}.") from None
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        lines = dict.fromkeys(
            explain(Config, fault["loc"], dict(fault)) for fault in error.errors()
        )
        raise ConfigError("\n".join(f"{path}: {line}" for line in lines)) from None
    data, here = config.data, path.parent
    folders: dict[str, Any] = {"datasets": tuple(str(here / name) for name in data.datasets)}
    if isinstance(data.validation, str):
        folders["validation"] = str(here / data.validation)
    return config.model_copy(update={"data": data.model_copy(update=folders)})


if __name__ == "__main__":
    sys.stdout.write(reference(Config))
