"""Tiny training runs, and how they are compared."""

import csv

import torch
from annotated import annotated

from training.config import read_config


def config_of(tmp_path, steps=4, *, top="", data="", run="", rate=0.002, **network):
    network = {"grid_size": 32, "mm_per_px": 2.4, "channels": [4, 8]} | network
    path = tmp_path / "recipe.toml"
    path.write_text(
        f"steps = {steps}\nbatch = 2\n{top}\n[data]\n{data}\n[network]\n"
        + "".join(f"{name} = {value}\n" for name, value in network.items())
        + f"[optimiser]\nlearning_rate = {rate}\naverage_decay = 0.5\n"
        + f"[loss]\nboundary_weight = 1.0\n[run]\nworkers = 0\n{run}\n"
    )
    return read_config(path)


def real_config(tmp_path, steps=4, **changes):
    annotated(tmp_path / "images")
    data = 'datasets = ["images"]\nphantoms = 0.5\nvalidation = 0.34'
    run = 'selection = "thickness"\nvalidate_every = 2\ncheckpoint_every = 3\n'
    return config_of(tmp_path, steps, data=data, **{"run": run, "rate": 0.01} | changes)


class KilledError(Exception):
    pass


def killed_after(step):
    def watch(moment):
        if moment.step == step:
            raise KilledError

    return watch


def same(one, other):
    """Whether two checkpoints hold the same values, to the last bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def state_of(run):
    return torch.load(run / "checkpoint.pt", weights_only=True)


def rows(run, name):
    return list(csv.reader((run / name).read_text().splitlines()))
