"""What docs/trial.md shows is what happens."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import app
from trial.protocol import FOLDER, ProtocolError, load_protocol
from trial.visits import OPTIONAL, REQUIRED

PAGE = (Path(__file__).parents[2] / "docs/trial.md").read_text(encoding="utf-8")


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_example_prints_what_the_page_shows(tmp_path, monkeypatch):
    (visits, measurements), (shown,) = blocks("csv"), blocks("console")
    (tmp_path / "results").mkdir()
    (tmp_path / "visits.csv").write_text(visits, encoding="utf-8")
    (tmp_path / "results/measurements.csv").write_text(measurements, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    command, wanted = shown.split("\n", 1)
    done = CliRunner().invoke(app, shlex.split(command.removeprefix("$ endometer ")))
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines() == wanted.splitlines()


def test_the_page_names_every_column_and_section():
    for name in (*REQUIRED, *OPTIONAL):
        assert f"`{name}`" in PAGE
    shipped = (FOLDER / "NCT07176143.toml").read_text(encoding="utf-8")
    for section in set(re.findall(r"^\[+\w+\]+", shipped, flags=re.MULTILINE)):
        assert f"`{section}`" in PAGE


def test_the_error_that_the_page_shows(tmp_path, monkeypatch):
    shown = blocks("text")[-1]
    text = (FOLDER / "NCT07176143.toml").read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(text.replace("mm = 6.0\n", "mm = 60\n"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProtocolError) as error:
        load_protocol("mine.toml")
    assert str(error.value) == shown.strip()
