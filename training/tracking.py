"""What a run tells while it goes: log.csv, validation.csv and a board, in its folder."""

import csv
from dataclasses import asdict, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from training.boards import Board
from training.losses import PARTS
from training.validation import Validation

# Steps between lines of log.csv; a line is the mean over them.
LOG_EVERY = 50
LOG, VALIDATION = "log.csv", "validation.csv"


class Tracker:
    """Writes the tables and tells a board; what a killed run wrote too much is taken out.

    `log.csv` has no heading: step, loss, seconds, then the parts of the loss (PARTS without the
    first) and the learning rate. `validation.csv` has one.
    """

    def __init__(self, out: Path, first: int, board: Board) -> None:
        """Go on after step `first`, -1 at the very beginning; `board` is closed at the end."""
        for name in (LOG, VALIDATION):
            _keep_until(out / name, first)
        self._log = (out / LOG).open("a", newline="", encoding="utf-8")
        self._validation = (out / VALIDATION).open("a", newline="", encoding="utf-8")
        if not self._validation.tell():
            names = [field.name for field in fields(Validation)]
            csv.writer(self._validation, lineterminator="\n").writerow(["step", *names])
        self._board = board

    def __enter__(self) -> Self:
        """Return the tracker itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the files, also of a run that ends early."""
        self._log.close()
        self._validation.close()
        self._board.close(whole=kind is None)

    def losses(self, step: int, means: dict[str, float], rate: float, seconds: float) -> None:
        """Write the mean losses of the steps up to `step`."""
        values = [means["loss"], seconds, *(means[name] for name in PARTS[1:]), rate]
        row = [f"{values[0]:.4f}", f"{values[1]:.0f}", *(f"{v:.6g}" for v in values[2:])]
        csv.writer(self._log, lineterminator="\n").writerow([step, *row])
        self._log.flush()
        told = {f"training/{name}": value for name, value in means.items()}
        self._board.numbers(step, told | {"training/learning_rate": rate})

    def validation(self, step: int, found: Validation) -> None:
        """Write what validation found after `step`."""
        values = asdict(found)
        row = ["" if value is None else f"{value:.4f}" for value in values.values()]
        csv.writer(self._validation, lineterminator="\n").writerow([step, *row])
        self._validation.flush()
        known = {name: value for name, value in values.items() if value is not None}
        self._board.numbers(step, {f"validation/{name}": value for name, value in known.items()})

    def picture(
        self, step: int, pixels: torch.Tensor, truth: torch.Tensor, found: torch.Tensor
    ) -> None:
        """Show one picture: as it is, with its truth, and with what the network sees.

        `pixels` (1, n, n); `truth` and `found` (labels, n, n) in [0, 1].
        """
        arrays = [tensor.detach().float().cpu().numpy() for tensor in (pixels, truth, found)]
        self._board.picture(step, panels(*arrays))


def panels(
    pixels: NDArray[np.floating], truth: NDArray[np.floating], found: NDArray[np.floating]
) -> NDArray[np.uint8]:
    """Return three panels side by side: uint8 (n, 3 n, 3), endometrium red and fluid blue.

    `pixels` float (1, n, n), normalised; labels float (labels, n, n) in [0, 1].
    """
    grey = np.clip((pixels[0] + 2) / 6, 0, 1)  # from -2 to 4 standard deviations
    plain = np.repeat(grey[..., None], 3, 2)

    def tinted(labels: NDArray[np.floating]) -> NDArray[Any]:
        shown = np.stack([labels[1], np.zeros_like(grey), labels[2]], -1)
        panel: NDArray[Any] = plain + 0.5 * shown * (1 - plain)
        return panel

    whole = np.concatenate([plain, tinted(truth), tinted(found)], 1)
    picture: NDArray[np.uint8] = np.clip(np.rint(255 * whole), 0, 255).astype(np.uint8)
    return picture


def _keep_until(path: Path, step: int) -> None:
    """Take lines after `step` out of a table, and a last one that a kill cut short."""
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = []
    for line in lines:
        first = line.split(",")[0]
        if line.endswith("\n") and (not first.isdigit() or int(first) <= step):
            kept.append(line)
    path.write_text("".join(kept), encoding="utf-8", newline="")
