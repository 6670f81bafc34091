import builtins
import json
import logging
import sys

import pytest

pytest.importorskip("torch")

from runs import KilledError, config_of, killed_after, real_config, rows, same, state_of

from training import boards
from training.boards import _without_password, open_board
from training.checkpoint import RunError
from training.config import read_config
from training.train import train

TRACKED = 'tracker = "mlflow"\nvalidate_every = 2\ncheckpoint_every = 3\nselection = "thickness"\n'


def test_tensorboard_is_told_if_nothing_else_is_said(tmp_path):
    config = config_of(tmp_path, 1)
    train(config, tmp_path / "run")
    assert list((tmp_path / "run/tensorboard").iterdir())
    assert not (tmp_path / "run" / boards.MLFLOW_RUN).exists()


def test_a_missing_mlflow_is_told_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(RunError, match=r"pip install 'endometer\[mlflow\]'"):
        train(config_of(tmp_path, 1, run='tracker = "mlflow"'), tmp_path / "run")
    assert not (tmp_path / "run/checkpoint.pt").exists()


def test_plain_training_never_imports_mlflow(tmp_path, monkeypatch):
    def watched(name, *others, **more):
        assert name.split(".")[0] != "mlflow"
        return real(name, *others, **more)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", watched)
    open_board(config_of(tmp_path, 1), tmp_path / "run", -1).close(whole=True)


def test_passwords_are_not_kept():
    assert _without_password("https://me:secret@host:5000/x") == "https://host:5000/x"
    assert _without_password("sqlite:////a/b.db") == "sqlite:////a/b.db"


@pytest.fixture
def mlflow(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    pytest.importorskip("sqlalchemy")
    return pytest.importorskip("mlflow")


def run_of(mlflow, folder):
    kept = json.loads((folder / boards.MLFLOW_RUN).read_text())
    client = mlflow.MlflowClient(kept["store"])
    return client, client.get_run(kept["run"])


def test_mlflow_hears_the_numbers_and_no_names(tmp_path, mlflow):
    folder = tmp_path / "run"
    train(real_config(tmp_path, 4, run=TRACKED), folder)
    client, run = run_of(mlflow, folder)
    assert run.info.status == "FINISHED"
    assert not (folder / "tensorboard").exists()
    params = run.data.params
    assert params["run.selection"] == "thickness" and params["steps"] == "4"
    assert not {"data.datasets", "data.validation"} & params.keys()
    assert str(tmp_path) not in json.dumps(params)
    history = client.get_metric_history(run.info.run_id, "validation/score_mm")
    table = rows(folder, "validation.csv")[1:]
    assert [(each.step, f"{each.value:.4f}") for each in history] == [
        (int(row[0]), row[-2]) for row in table
    ]
    assert run.data.metrics["training/loss"] > 0


def test_a_run_that_goes_on_is_one_run_in_mlflow_and_as_exact(tmp_path, mlflow):
    config = real_config(tmp_path, 6, run=TRACKED)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(config, whole)
    with pytest.raises(KilledError):
        train(config, broken, watch=killed_after(4))
    client, killed = run_of(mlflow, broken)
    assert killed.info.status == "KILLED"
    train(config, broken)
    client, run = run_of(mlflow, broken)
    assert run.info.run_id == killed.info.run_id and run.info.status == "FINISHED"
    assert same(state_of(whole), state_of(broken))
    steps = [each.step for each in client.get_metric_history(run.info.run_id, "validation/dice")]
    assert set(steps) == {2, 4, 6}
    # Who hears changes no number: the run may go on with the other tracker.
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(recipe.read_text().replace('tracker = "mlflow"', 'tracker = "tensorboard"'))
    train(read_config(recipe), broken)


def test_a_store_that_fails_does_not_end_the_run(tmp_path, mlflow, monkeypatch, caplog):
    def failing(*arguments, **more):
        raise mlflow.exceptions.MlflowException("the server is gone\nat length")

    monkeypatch.setattr(mlflow.MlflowClient, "log_batch", failing)
    with caplog.at_level(logging.WARNING):
        train(real_config(tmp_path, 4, run=TRACKED), tmp_path / "run")
    assert state_of(tmp_path / "run")["step"] == 4
    assert caplog.text.count("is told no more") == 1
    assert "the server is gone" in caplog.text


def test_a_store_that_cannot_be_used_is_told_before_the_first_step(tmp_path, mlflow, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/no/such/folder/mlflow.db")
    (tmp_path / "no").write_text("a file")
    with pytest.raises(RunError, match=r"mlflow\.db cannot be used: .*Check MLFLOW_TRACKING_URI"):
        train(config_of(tmp_path, 1, run='tracker = "mlflow"'), tmp_path / "run")
