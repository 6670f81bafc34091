"""The watch over planted names (conftest.py) sees what it is there for."""

import shutil
import subprocess
import sys
from pathlib import Path

SAYS = """
import logging
import subprocess
import sys
import warnings

def test_prints():
    print("patient SECRET^NAME")

def test_prints_from_another_process():
    subprocess.run([sys.executable, "-c", "print('SECRET-ID')"], check=True)

def test_logs():
    logging.getLogger("endometer.node").error("patient %s", "SECRET^NAME")

def test_logs_an_exception():
    try:
        raise ValueError("SECRET^NAME")
    except ValueError:
        logging.getLogger("pydicom").exception("it failed")

def test_warns():
    warnings.warn("Invalid value 'SECRET^NAME'")

def test_says_nothing():
    logging.getLogger("endometer.node").error("a patient")
    logging.getLogger("pydicom").debug("SECRET^NAME")
    print("a patient")

def test_has_asked_for_what_is_printed(capfd):
    print("patient SECRET^NAME")
    assert "SECRET" in capfd.readouterr().out
"""


def test_a_planted_name_is_noticed_wherever_it_is_said(tmp_path):
    top = Path(__file__).parents[1]
    (tmp_path / "test_says.py").write_text(SAYS, encoding="utf-8")
    shutil.copy(top / "tests/conftest.py", tmp_path)
    shutil.copy(top / "pyproject.toml", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()

    def named(word):
        return {
            line.split("::")[1].split(" ")[0]
            for line in lines
            if line.startswith(f"{word} ") and "::" in line
        }

    assert named("FAILED") | named("ERROR") == {
        "test_prints",
        "test_prints_from_another_process",
        "test_logs",
        "test_logs_an_exception",
        "test_warns",
    }
    assert named("PASSED") >= {"test_says_nothing", "test_has_asked_for_what_is_printed"}
