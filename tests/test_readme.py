"""What the README shows is what happens."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.phantom.collection import write_phantoms
from imaging.reasons import Reason
from inference.words import REASONS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent
NUMBER = re.compile(r"\d+\.\d+")
# Between processors the last digit that is shown may differ.
TOLERANCE_MM = 0.11


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", README, flags=re.DOTALL)


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = shlex.split(command, comments=True)
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    return subprocess.run(
        [str(BIN / words[0]), *words[1:]],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=folder,
        env=environment,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme")
    done = run("endometer demo demo", folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_the_demo_prints_what_the_readme_shows(demo):
    (block,) = blocks("console")
    command, shown = block.split("\n", 1)
    assert command == "$ endometer demo demo"
    said = [line.rstrip() for line in demo[1].strip().splitlines()]
    wanted = [line.rstrip() for line in shown.strip().splitlines()]
    assert [NUMBER.sub("#", line) for line in said] == [NUMBER.sub("#", w) for w in wanted]
    for line, want in zip(said, wanted, strict=True):
        numbers = zip(NUMBER.findall(line), NUMBER.findall(want), strict=True)
        assert all(abs(float(a) - float(b)) <= TOLERANCE_MM for a, b in numbers), (line, want)


def test_the_picture_is_one_that_the_demo_made(demo):
    shown = np.asarray(Image.open(ROOT / "docs/demo-overlay.png").convert("RGB"), int)
    made = [
        np.asarray(Image.open(path).convert("RGB"), int)
        for path in (demo[0] / "demo/results/overlays").iterdir()
    ]
    differences = [np.abs(one - shown).mean() for one in made if one.shape == shown.shape]
    assert min(differences) < 1.0


def test_the_other_commands_run_as_they_stand(demo, tmp_path):
    """Every `endometer` line of the README, with the files that it names put in place."""
    folder, _ = demo
    still = folder / "demo/clips/phantom-5.4mm.dcm"
    (tmp_path / "archive").mkdir()
    for name in ("scan.dcm", "archive/scan.dcm"):
        (tmp_path / name).write_bytes(still.read_bytes())
    mask = np.zeros((200, 300), np.uint8)
    mask[80:120, 30:270] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    tiny = (ROOT / "training/finetune.toml").read_text(encoding="utf-8").split("[data]")
    network = "[network]" + tiny[1].split("[network]")[1].split("[optimiser]")[0]
    (tmp_path / "config.toml").write_text(f"steps = 1\nbatch = 1\n{network}", encoding="utf-8")
    write_phantoms(tmp_path / "kept-aside", n=46, seed=77)
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    commands = [line for line in lines if line.startswith("endometer ")]
    assert len(commands) >= 4
    for command in commands:
        if command.startswith("endometer review "):
            continue  # a page that stays open; tests/app/review does what a person would
        here = command.replace("my-bundle", str(ROOT / "models/default"))
        here = here.replace("--n 20", "--n 1")
        done = run(here, tmp_path)
        assert done.returncode == 0, (command, done.stderr)
    assert (tmp_path / "results/measurements.csv").exists()


def test_the_python_example_prints_what_its_comment_says():
    (block,) = blocks("python")
    wanted = re.search(r"# (\S+)$", block.strip()).group(1)
    done = subprocess.run(
        [sys.executable, "-c", block], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == wanted


def test_modules_that_the_readme_names_exist_and_explain_themselves():
    named = set(re.findall(r"python -m ([\w.]+)", README))
    assert {"benchmarks.geometry", "benchmarks.cost"} <= named
    for module in named:
        path = ROOT / (module.replace(".", "/") + ".py")
        assert path.is_file(), module
        assert 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")


def test_make_targets_that_the_readme_names_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", README, flags=re.MULTILINE))
    assert named >= {"demo", "test", "lint", "trial-demo"}
    for target in named:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


def test_the_reasons_are_the_closed_list_in_the_programs_own_words():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", README, flags=re.MULTILINE))
    assert {reason.value for reason in Reason} == set(rows) == {r.value for r in REASONS}
    for reason, words in REASONS.items():
        assert rows[reason.value].startswith(words)
