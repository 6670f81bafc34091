"""Who hears the numbers of a run beside its tables: TensorBoard, or MLflow if it is asked for."""

import importlib
import json
import logging
import os
import re
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from training.checkpoint import RunError
from training.config import Config, flat

log = logging.getLogger(__name__)

EXPERIMENT = "endometer"
# Which run of which store is this one's, so that a run that goes on is one run there, too.
MLFLOW_RUN = "mlflow.json"
# Fields whose values may hold names of people or places.
PRIVATE = frozenset({"data.datasets", "data.validation"})


class Board(Protocol):
    """Hears the numbers and pictures of a run."""

    def numbers(self, step: int, values: dict[str, float]) -> None:
        """Hear numbers by name, after a step."""
        ...

    def picture(self, step: int, picture: NDArray[np.uint8]) -> None:
        """See a picture uint8 (rows, columns, 3)."""
        ...

    def close(self, *, whole: bool) -> None:
        """Hear no more; `whole`: the run came to its end."""
        ...


class TensorBoard:
    """Event files in OUT/tensorboard."""

    def __init__(self, out: Path, first: int) -> None:
        """Go on after step `first`: what was told of later ones is taken back."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(out / "tensorboard", purge_step=first + 1)

    def numbers(self, step: int, values: dict[str, float]) -> None:
        """See Board."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, step: int, picture: NDArray[np.uint8]) -> None:
        """See Board."""
        self._writer.add_image("picture", picture, step, dataformats="HWC")

    def close(self, *, whole: bool) -> None:
        """See Board."""
        self._writer.close()


class MLflow:
    """A run of the experiment `endometer`, at MLFLOW_TRACKING_URI or else in OUT/mlflow.db.

    Gets the configuration without the names of folders, and numbers; no pictures and no patients,
    because its store may be somebody else's machine. Where the store fails training goes on: the
    tables in OUT have all numbers. A run that goes on after a kill tells some numbers again, the
    same ones, because nothing can be taken back.
    """

    def __init__(self, out: Path, config: Config) -> None:
        """Find or make this folder's run. Raises RunError where MLflow or its store is not."""
        mlflow = _import_mlflow()
        out.mkdir(parents=True, exist_ok=True)
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(out / 'mlflow.db').resolve()}"
        self._mlflow, self._failed = mlflow, False
        try:
            self._client: Any = mlflow.MlflowClient(uri)
            self._run = self._known(out, uri) or self._new(out, uri, config)
            self._client.update_run(self._run, status="RUNNING")
        except Exception as error:  # noqa: BLE001 - every store has errors of its own
            raise RunError(
                f'run.tracker = "mlflow": {_without_password(uri)} cannot be used: '
                f"{_first(error)}. Check MLFLOW_TRACKING_URI, or set run.tracker to "
                '"tensorboard".'
            ) from None

    def _known(self, out: Path, uri: str) -> str | None:
        """Return the run of this folder if the store still has it."""
        try:
            kept = json.loads((out / MLFLOW_RUN).read_text("utf-8"))
            run = str(kept["run"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if kept.get("store") != _without_password(uri):
            return None
        try:
            self._client.get_run(run)
        except self._mlflow.exceptions.MlflowException:
            return None
        return run

    def _new(self, out: Path, uri: str, config: Config) -> str:
        found = self._client.get_experiment_by_name(EXPERIMENT)
        experiment = found.experiment_id if found else self._client.create_experiment(EXPERIMENT)
        name = f"{out.resolve().parent.name}/{out.resolve().name}"
        run = str(self._client.create_run(experiment, run_name=name).info.run_id)
        for name, value in flat(config.model_dump(mode="json")).items():
            if name not in PRIVATE:
                self._client.log_param(run, name, value)
        kept = {"run": run, "store": _without_password(uri)}
        (out / MLFLOW_RUN).write_text(json.dumps(kept) + "\n", "utf-8")
        return run

    def numbers(self, step: int, values: dict[str, float]) -> None:
        """See Board."""
        now = int(1000 * time.time())
        metric = self._mlflow.entities.Metric
        told = [metric(name, value, now, step) for name, value in values.items()]
        self._try(lambda: self._client.log_batch(self._run, metrics=told))

    def picture(self, step: int, picture: NDArray[np.uint8]) -> None:
        """See Board."""

    def close(self, *, whole: bool) -> None:
        """See Board."""
        status = "FINISHED" if whole else "KILLED"
        self._try(lambda: self._client.set_terminated(self._run, status))

    def _try(self, act: Any) -> None:
        if self._failed:
            return
        try:
            act()
        except Exception as error:  # noqa: BLE001 - no tracker ends hours of training
            self._failed = True
            log.warning(
                "MLflow fails and is told no more, log.csv has all numbers: %s", _first(error)
            )


def open_board(config: Config, out: Path, first: int) -> Board:
    """Return the board that a configuration asks for, to go on after step `first`.

    Raises RunError.
    """
    if config.run.tracker == "mlflow":
        return MLflow(out, config)
    return TensorBoard(out, first)


def _import_mlflow() -> Any:
    """Import MLflow without its telemetry: nothing that runs beside patient data calls outside."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    try:
        mlflow = importlib.import_module("mlflow")
        importlib.import_module("sqlalchemy")
    except ImportError as error:
        raise RunError(
            f'run.tracker = "mlflow" needs packages that are missing ({error}): pip install '
            "'endometer[mlflow]', or set run.tracker to \"tensorboard\"."
        ) from None
    # It tells every table that it makes.
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    return mlflow


def _without_password(uri: str) -> str:
    return re.sub(r"(?<=://)[^/]*@", "", uri)


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
