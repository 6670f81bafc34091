"""The command line as people and scripts call it: real processes, real exit statuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.phantom.dicom import make_phantom, write_dicom

ROOT = Path(__file__).parents[2]
ENDOMETER = Path(sys.executable).with_name("endometer")


def run(*arguments, env=None, cwd=None):
    return subprocess.run(
        [ENDOMETER, *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **(env or {})},
        cwd=cwd,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    path = tmp_path_factory.mktemp("phantom") / "still.dcm"
    write_dicom(make_phantom(3, 7.0), path, 3)
    return path


def band(path, shape=(200, 300), thickness=40, value=1):
    mask = np.zeros(shape, np.uint8)
    top = (shape[0] - thickness) // 2
    mask[top : top + thickness, 30 : shape[1] - 30] = value
    Image.fromarray(mask).save(path)
    return path


def test_help_is_there_for_every_command_with_an_example():
    top = run("--help")
    assert top.returncode == 0 and "not a medical device" in top.stdout
    for command in ("measure", "thickness", "info", "phantom", "demo"):
        assert command in top.stdout
        text = run(command, "--help")
        assert text.returncode == 0
        assert f"endometer {command}" in text.stdout.split("Usage:")[1][20:], "an example"


def test_help_imports_nothing_heavy():
    """What --help costs is its imports: none of these may be among them."""
    code = (
        "import sys, app.cli\n"
        "from typer.testing import CliRunner\n"
        "assert CliRunner().invoke(app.cli.app, ['--help']).exit_code == 0\n"
        "heavy = {'numpy', 'scipy', 'skimage', 'SimpleITK', 'pydicom', 'openvino', 'torch', "
        "'monai', 'pyarrow', 'pandas', 'PIL'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert found.stdout.strip() == "[]"


def test_measuring_imports_no_torch(phantom):
    code = (
        "import sys, app.cli\n"
        "from typer.testing import CliRunner\n"
        f"found = CliRunner().invoke(app.cli.app, ['measure', {str(phantom)!r}, '--json'])\n"
        "assert found.exit_code == 0, found.output\n"
        "print(sorted({'torch', 'monai', 'pandas'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert found.stdout.strip() == "[]"


def test_one_clip_on_the_terminal(phantom):
    done = run("measure", phantom)
    assert done.returncode == 0, done.stderr
    assert "still.dcm" in done.stdout and " mm (" in done.stdout
    assert "1 measured, 0 refused, 0 failed" in done.stdout


def test_json_rows_are_the_contract(phantom, tmp_path):
    done = run("measure", phantom, "--json", "--out", tmp_path / "out", "--threshold", "8.5")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    row = json.loads(line)
    assert row["status"] == "measured" and row["threshold_mm"] == 8.5
    assert abs(row["thickness_mm"] - 7.0) <= 1.0
    assert (tmp_path / "out/measurements.csv").exists()


def test_failed_files_are_exit_status_1_and_the_rest_is_done(phantom, tmp_path):
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(b"")
    done = run("measure", broken, tmp_path / "absent.dcm", phantom)
    assert done.returncode == 1
    assert "1 measured, 0 refused, 2 failed" in done.stdout
    assert "No such file" in done.stdout and "empty" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["measure"], "Missing argument"),
        (["measure", "absent.dcm"], "absent.dcm"),
        (["measure", ".", "--spacing", "0.1"], "ROW,COLUMN"),
        (["measure", ".", "--spacing", "0.1;0.1"], "ROW,COLUMN"),
        (["measure", ".", "--spacing", "5,5"], "0.01 to 1.0"),
        (["measure", ".", "--spacing", "nan,0.1"], "0.01 to 1.0"),
        (["measure", ".", "--threshold", "-1"], "--threshold"),
        (["measure", ".", "--threshold", "nan"], "--threshold"),
        (["measure", ".", "--frames", "some"], "--frames"),
        (["measure", ".", "--device", "tpu"], "--device"),
        (["measure", ".", "--bundle", "."], "not a bundle"),
        (["measure", ".", "--pseudonymise", "absent.key"], "absent.key"),
        (["measure", "."], "no DICOM"),
        (["thickness", "mask.png"], "spacing"),
        (["thickness", "mask.png", "--spacing", "0,0"], "0.01 to 1.0"),
        (["nonsense"], "nonsense"),
    ],
)
def test_wrong_usage_is_exit_status_2_and_says_why(tmp_path, arguments, says):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_out_folder_that_cannot_be_written(phantom, tmp_path):
    tmp_path.chmod(0o500)
    done = run("measure", phantom, "--out", tmp_path / "out")
    assert done.returncode == 2 and "cannot be written" in done.stderr


def test_out_must_be_a_folder(phantom, tmp_path):
    (tmp_path / "out").write_text("a file")
    done = run("measure", phantom, "--out", tmp_path / "out")
    assert done.returncode == 2 and "is a file" in done.stderr


@pytest.mark.parametrize("value", [1, 255])
def test_a_drawn_mask_is_measured(tmp_path, value):
    done = run("thickness", band(tmp_path / "mask.png", value=value), "--spacing", "0.15,0.2")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) == {
        "thickness_mm",
        "calipers",
        "profile_mm",
        "fluid",
        "inscribed_circle_mm",
    }
    assert found["thickness_mm"] == pytest.approx(6.0, abs=0.1)
    assert found["fluid"] is False
    (r1, c1), (r2, c2) = found["calipers"]
    assert np.hypot((r1 - r2) * 0.15, (c1 - c2) * 0.2) == pytest.approx(found["thickness_mm"])


def test_fluid_is_left_out(tmp_path):
    path = band(tmp_path / "mask.png")
    mask = np.asarray(Image.open(path)).copy()
    mask[95:105, 60:240] = 2
    Image.fromarray(mask).save(path)
    found = json.loads(run("thickness", path, "--spacing", "0.2,0.2").stdout)
    assert found["fluid"] is True
    assert found["thickness_mm"] == pytest.approx(8.0, abs=0.15)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: Image.new("L", (50, 50)).save(p), "No endometrium"),
        (lambda p: Image.new("L", (50, 50), 9).save(p), "values 9"),
        (lambda p: Image.new("RGB", (50, 50), "red").save(p), "colour"),
        (lambda p: p.write_text("text"), "no image"),
        (lambda p: None, "no such file"),
    ],
)
def test_a_mask_without_a_measurement_is_exit_status_1_with_the_reason(tmp_path, make, says):
    make(tmp_path / "mask.png")
    done = run("thickness", tmp_path / "mask.png", "--spacing", "0.1,0.1")
    assert done.returncode == 1 and says in done.stderr
    assert done.stdout == "" and "Traceback" not in done.stderr


def test_info_names_versions_bundle_device_and_decoders():
    text = run("info")
    assert text.returncode == 0, text.stderr
    facts = json.loads(run("info", "--json").stdout)
    assert facts["versions"]["endometer"] and facts["bundle"]["sha256"]
    by = {row["transfer_syntax"]: row["read_by"] for row in facts["decoders"]}
    for name, plugins in by.items():
        if "HTJ2K" not in name and "High-Throughput" not in name:
            assert plugins, f"{name} cannot be read"
        assert name.split(" (")[0][:30] in text.stdout


def test_phantoms_and_their_truth(tmp_path):
    done = run("phantom", tmp_path / "out", "--n", 2, "--seed", 5)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "phantom-0001.dcm",
        "phantom-0002.dcm",
        "truth.csv",
    ]
