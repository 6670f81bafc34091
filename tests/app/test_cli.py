"""The command line as people and scripts call it: real processes, real exit statuses."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dicom_factory import header, speckle, write
from PIL import Image
from pydicom import dcmread
from typer.testing import CliRunner

from app.cli import app
from app.report import print_table
from data.phantom.dicom import make_phantom, write_dicom
from inference.records import Call, ClipRecord, Measurement, Status
from inference.run import OutputError, Run, UnusableOutputError

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
    write_dicom(make_phantom((6,), 7.0), path)
    return path


@pytest.fixture
def clips(tmp_path):
    """A folder of two sound clips that no weights can measure: they carry no scale."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for seed, name in enumerate(("one.dcm", "two.dcm")):
        write(folder / name, header(96, 128), speckle(96, 128, seed).tobytes())
    return folder


@pytest.fixture
def clip(clips):
    return clips / "one.dcm"


def band(path, shape=(200, 300), thickness=40, value=1):
    mask = np.zeros(shape, np.uint8)
    top = (shape[0] - thickness) // 2
    mask[top : top + thickness, 30 : shape[1] - 30] = value
    Image.fromarray(mask).save(path)
    return path


def test_help_is_there_for_every_command_with_an_example():
    top = run("--help")
    assert top.returncode == 0 and "not a medical device" in top.stdout
    for command in ("measure", "explain", "thickness", "info", "phantom", "demo"):
        assert command in top.stdout
        text = run(command, "--help")
        assert text.returncode == 0
        assert f"endometer {command}" in text.stdout.split("Usage:")[1][20:], "an example"


def test_help_names_the_extra_packages_whole():
    """Brackets are markup to the library that prints help: unescaped, [train] is gone."""
    for command in (
        "train", "calibrate", "compare", "evaluate", "ship", "bundle export",
        "trial report", "trial demo",
    ):  # fmt: skip
        text = CliRunner().invoke(app, [*command.split(), "--help"]).stdout
        named = re.findall(r"pip install 'endometer(\S*)'", text)
        assert named and all(re.fullmatch(r"\[[a-z,]+\]", each) for each in named), command


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


def test_measuring_reports_to_nobody(phantom, tmp_path):
    """OpenVINO would send an event when it is imported, and leave a client number at home."""
    code = (
        "import sys, socket\n"
        "calls = []\n"
        # pydicom imports requests where it is there, and urllib3 tries whether there is IPv6.
        "local = ('socket.__new__', 'socket.bind')\n"
        "def hear(name, args):\n"
        "    if name.startswith('socket.') and name not in local: calls.append(name)\n"
        "sys.addaudithook(hear)\n"
        "import app.cli\n"
        "from typer.testing import CliRunner\n"
        f"found = CliRunner().invoke(app.cli.app, ['measure', {str(phantom)!r}, '--json'])\n"
        "assert found.exit_code == 0, found.output\n"
        "assert 'openvino' in sys.modules\n"
        "print(calls, [name for name in sys.modules if name.startswith('openvino_telemetry.')])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert found.stdout.strip() == "[] []"
    assert not list(tmp_path.iterdir())


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
        (["measure", ".", "--engine", "ray"], "--engine 'ray' is none of local, dask"),
        (["measure", ".", "--engine", "dask"], "belong together"),
        (["measure", ".", "--shard", "1/2"], "--shard needs --out"),
        (["measure", ".", "--out", "o", "--shard", "3/2"], "I from 1 to N"),
        (["measure", ".", "--out", "o", "--dicom", "pdf"], "no list of sr, seg and sc"),
        (["gather", "."], "holds no shards"),
        (["measure", "."], "no DICOM"),
        (["thickness", "mask.png"], "spacing"),
        (["thickness", "mask.png", "--spacing", "0,0"], "0.01 to 1.0"),
        (["phantom", "p", "--renderer", "random", "--freehand"], "--freehand"),
        (["nonsense"], "nonsense"),
    ],
)
def test_wrong_usage_is_exit_status_2_and_says_why(tmp_path, arguments, says):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_an_out_folder_that_cannot_be_written(clip, tmp_path):
    """Below a file there is no folder, not even for root."""
    (tmp_path / "file").touch()
    done = run("measure", clip, "--out", tmp_path / "file/out")
    assert done.returncode == 2 and "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; the test above is for it")
def test_an_out_folder_without_permission(clip, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    done = run("measure", clip, "--out", locked / "out")
    locked.chmod(0o700)
    assert done.returncode == 2 and "cannot be written" in done.stderr


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (OutputError("out/x cannot be written: No space left."), 1, "No space left. The run ended"),
        (UnusableOutputError("out is a file; name a folder."), 2, "--out out is a file"),
        (KeyboardInterrupt(), 130, "interrupted after 1 clips. Their rows are in out"),
    ],
)
def test_a_run_that_ends_early_says_why(clip, monkeypatch, error, status, says):
    def end(*_, watcher, **__):
        watcher.clip(ClipRecord.failed("a.dcm", None, "b", "cpu"))
        raise error

    monkeypatch.setattr("inference.run.measure", end)
    done = CliRunner().invoke(app, ["measure", str(clip), "--out", "out"])
    assert done.exit_code == status and says in done.stderr
    assert "Traceback" not in done.output


@pytest.mark.parametrize("options", [["--json"], []])
def test_a_reader_that_goes_away_stops_the_printing_only(clips, tmp_path, options):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [ENDOMETER, "measure", clips, "--out", tmp_path / "out", *options],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    os.close(writer)
    assert done.returncode == 0 and done.stderr == ""
    assert (tmp_path / "out/measurements.csv").read_text().count("\n") == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the full disk is a device of Linux")
def test_rows_that_cannot_be_printed_end_the_run_and_not_the_tables(clips, tmp_path):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [ENDOMETER, "measure", clips, "--out", tmp_path / "out", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 1 and "Standard output cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "out/measurements.csv").read_text().count("\n") == 2


def test_names_are_shown_as_they_are(clips, tmp_path):
    """Brackets and colons are no markup, and a terminal obeys no file name."""
    for i, path in enumerate(sorted(clips.iterdir())):
        path.rename(clips / ("a[red]b.dcm", ":cat:\x1b[31m.dcm")[i])
    out = tmp_path / "out[1]"
    done = run("measure", clips, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "a[red]b.dcm" in done.stdout and ":cat:\\x1b[31m.dcm" in done.stdout
    assert f"Tables, overlays and report.html are in {out}." in done.stdout


def test_a_single_refusal_is_explained_and_many_are_listed(phantom, clips):
    data = dcmread(phantom)
    del data.SequenceOfUltrasoundRegions
    data.save_as(clips / "bare.dcm")
    alone = run("measure", clips / "bare.dcm")
    assert alone.returncode == 0 and "--spacing" in alone.stdout
    assert "--spacing" not in run("measure", clips).stdout


def test_frames_that_could_not_be_read_are_told(capsys):
    best = Measurement(
        2,
        Status.MEASURED,
        message="1 of 3 frames could not be read.",
        thickness_mm=5.0,
        lower_mm=4.0,
        upper_mm=6.5,
        call=Call.INDETERMINATE,
        threshold_mm=6.0,
    )
    record = ClipRecord("x/cine.dcm", None, None, 3, best, 2, 5.0, 0.1, "b", "cpu")
    print_table(Run([record, record], files=2), None)
    assert capsys.readouterr().out.count("cine.dcm: 1 of 3 frames could not be read.\n") == 2


def test_a_second_run_measures_nothing_again_and_says_so(clips, tmp_path):
    out = tmp_path / "out"
    (clips / "copy.dcm").write_bytes((clips / "one.dcm").read_bytes())
    assert "measured once" in run("measure", clips, "--out", out).stderr
    before = (out / "measurements.csv").read_bytes()
    again = run("measure", clips, "--out", out, "--json-logs")
    assert "measured before and not again: 3" in again.stderr
    events = [json.loads(line) for line in again.stderr.splitlines() if line.startswith("{")]
    assert [event["event"] for event in events] == ["start", *["clip"] * 3, "total", "end"]
    assert events[-1]["complete"] and "one.dcm" not in again.stderr
    assert (out / "measurements.csv").read_bytes() == before
    fresh = run("measure", clips, "--out", out, "--fresh")
    assert "before" not in fresh.stderr and (out / "measurements.csv").read_bytes() == before


def test_shards_are_measured_and_gathered(clips, tmp_path):
    out = tmp_path / "out"
    for part in ("1/2", "2/2"):
        assert run("measure", clips, "--out", out, "--shard", part).returncode == 0
    assert run("gather", out).returncode == 0
    with (out / "measurements.csv").open() as file:
        assert [Path(row["file"]).name for row in csv.DictReader(file)] == ["one.dcm", "two.dcm"]


def test_what_was_passed_over_is_told_and_nothing_at_all_is_wrong_usage(clips, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    (clips / "more.rar").touch()
    done = run("measure", clips, empty, "--json")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 2
    assert f"nothing to measure in {empty}" in done.stderr and "passed over: 1" in done.stderr
    none = run("measure", empty, "--out", tmp_path / "out")
    assert none.returncode == 2 and "no DICOM" in none.stderr
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_sources_that_are_no_files_are_rows(clip, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "a.rar").touch()
    done = run("measure", clip, "x" * 300, *map(tmp_path.joinpath, ("pipe", "self", "a.rar")))
    assert done.returncode == 1 and "0 measured, 1 refused, 4 failed" in done.stdout
    for why in ("name too long", "pipe, a socket", "symbolic links", "unpack it"):
        assert why in done.stdout


def test_pseudonymise_says_what_it_leaves():
    assert "paths" in run("measure", "--help").stdout.split("--pseudonymise")[1]


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
        (lambda p: p.write_text("text"), "no PNG or TIFF"),
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
        "phantom-0001.label.nrrd",
        "phantom-0002.dcm",
        "phantom-0002.label.nrrd",
        "truth.csv",
    ]
