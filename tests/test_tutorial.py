"""The tutorial runs as it stands, on a small set as 3D Slicer would leave it."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from data.cases import read_cases
from data.phantom.dicom import make_phantom, write_dicom

nrrd = pytest.importorskip("nrrd")
pytest.importorskip("imagehash")

TUTORIAL = (Path(__file__).parents[1] / "docs/tutorial.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent
PATIENTS = 6
PARTS = ("train", "validation", "test")


def section(number):
    return re.search(rf"## {number}\. .*?(?=\n## |\Z)", TUTORIAL, re.DOTALL)[0]


def blocks(number, kind):
    return re.findall(rf"```{kind}\n(.*?)```", section(number), flags=re.DOTALL)


def commands(number):
    return [line for block in blocks(number, "sh") for line in block.strip().splitlines()]


def run(command, folder):
    words = shlex.split(command, comments=True)
    if words[0] == "echo":  # with what it writes to a file
        (folder / words[-1]).write_text(words[1], encoding="utf-8")
        return None
    assert words[0] == "endometer"
    return subprocess.run(
        [str(BIN / words[0]), *words[1:]],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=folder,
        env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1"},
        timeout=300,
        check=False,
    )


def with_fluid(label):
    """Put fluid into the middle of the endometrium."""
    inner = ndimage.binary_erosion(label == 1, iterations=6)
    assert inner.any()
    return np.where(inner, 2, label).astype(np.uint8)


def segment(path, label):
    """Write a label image as Slicer does: cropped, at the spacing that ITK reads, 1.0."""
    at = np.argwhere(label)
    (top, left), (bottom, right) = at.min(0), at.max(0) + 1
    part = label[top:bottom, left:right].T[..., np.newaxis]
    said = {}
    for number, name in enumerate(("Endometrium", "Fluid")):
        said |= {f"Segment{number}_Name": name, f"Segment{number}_LabelValue": str(number + 1)}
    header = {
        "space": "left-posterior-superior",
        "space directions": np.eye(3),
        "space origin": np.array([left, top, 0.0]),
        "kinds": ["domain"] * 3,
        "encoding": "gzip",
        **said,
    }
    nrrd.write(str(path), part, header)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The tutorial's folder after its first four sections, and what each command printed."""
    home = tmp_path_factory.mktemp("tutorial")
    truths = []
    for n in range(PATIENTS):
        phantom = make_phantom((7, n), thickness_mm=4.0 + n)
        place = home / f"slicer/P{n + 1:02}"
        place.mkdir(parents=True)
        write_dicom(phantom, place / "scan.dcm")
        truths.append(with_fluid(phantom.label) if n % 2 else phantom.label)
        segment(place / "scan.seg.nrrd", truths[-1])
    done = {line: run(line, home) for number in (2, 3, 4) for line in commands(number)}
    return home, truths, done


def test_the_commands_end_as_the_text_says(folder):
    _, _, done = folder
    assert len(done) == 5
    codes = [one.returncode for one in done.values()]
    assert codes == [1, 0, 0, 0, 0], [one.stderr + one.stdout for one in done.values()]


def test_the_first_import_tells_the_names_and_the_words_to_add(folder):
    _, _, done = folder
    (shown,) = blocks(2, "text")
    said = next(iter(done.values())).stderr.removeprefix("endometer: ")
    assert re.sub(r"\d+ times", "# times", said) == re.sub(r"\d+ times", "# times", shown)


def test_the_labels_come_out_as_they_were_drawn(folder):
    home, truths, _ = folder
    cases = read_cases(home / "annotated")
    assert len(cases) == PATIENTS
    assert {case.annotator for case in cases} == {"r1"}
    for case, truth in zip(cases, truths, strict=True):
        assert np.array_equal(case.mask(), truth)
        assert case.path.suffix == ".dcm"


def test_the_sheet_and_the_parts_are_there(folder):
    home, _, done = folder
    assert Image.open(home / "sheet.png").size[0] > 1000
    parts = [{case.patient for case in read_cases(home / "split" / part)} for part in PARTS]
    assert len(set.union(*parts)) == sum(map(len, parts)) == PATIENTS
    assert "0 errors" in list(done.values())[-1].stdout


def test_the_configuration_names_the_parts_that_the_split_made(folder):
    pytest.importorskip("torch", reason="training is the extra `train`")
    from training.config import read_config

    home, _, _ = folder
    (text,) = blocks(5, "toml")
    (home / "mine.toml").write_text(text)
    config = read_config(home / "mine.toml")
    named = [*config.data.datasets, config.data.validation]
    assert [Path(name).name for name in named] == ["train", "validation"]
    assert all((home / name / "dataset.json").is_file() for name in named)


@pytest.mark.slow
def test_a_model_is_trained_made_and_compared(folder):
    """Sections 5 to 7, with a single step, and no phantoms that fit and judge."""
    pytest.importorskip("torch", reason="training is the extra `train`")
    home, _, _ = folder
    (text,) = blocks(5, "toml")
    (home / "mine.toml").write_text(text.replace("steps = 400", "steps = 1"))
    for line in (line for number in (5, 6, 7) for line in commands(number)):
        few = " --n 0 --gallery 1" if line.startswith("endometer ship") else ""
        done = run(line + few, home)
        assert done is None or done.returncode == 0, (line, done.stdout, done.stderr)
    assert "# " in (home / "mine-bundle/MODEL_CARD.md").read_text(encoding="utf-8")
    assert (home / "judged/report.html").is_file()
    assert re.search(r"better|worse|not shown", done.stdout)
