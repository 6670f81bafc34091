"""What docs/agreement.md shows is what happens."""

import re
import shlex
from pathlib import Path

from typer.testing import CliRunner

from app.cli import app

PAGE = (Path(__file__).parents[2] / "docs/agreement.md").read_text(encoding="utf-8")


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_example_prints_what_the_page_shows(tmp_path, monkeypatch):
    (table,), (shown,) = blocks("csv"), blocks("console")
    (tmp_path / "readings.csv").write_text(table, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    command, wanted = shown.split("\n", 1)
    done = CliRunner().invoke(app, shlex.split(command.removeprefix("$ endometer ")))
    assert done.exit_code == 0, done.stderr
    assert [line.rstrip() for line in done.stdout.splitlines()] == wanted.splitlines()


def test_the_commands_and_options_that_the_page_names_exist():
    for command in ("agree", "compare"):
        text = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).stdout
        for option in re.findall(rf"endometer {command} .*?(--[a-z]+)", PAGE):
            assert option in text
    for option in ("--model", "--reader", "--key", "--margin", "--threshold"):
        assert option in CliRunner().invoke(app, ["agree", "--help"], env={"COLUMNS": "200"}).stdout
