"""`endometer calibrate`: intervals fitted on a data set, in a bundle of their own."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("monai")

from app.cli import app
from data.phantom.collection import write_phantoms
from inference.clip import measure_clip
from inference.records import Status
from models.bundle import BundleError, load_bundle
from models.runtime import OpenVinoRuntime
from training.calibrate import BIN_EDGES_MM, FEWEST_PATIENTS, usable
from training.recalibrate import calibrated, edges_for, write_calibrated
from training.summary import Result

N = FEWEST_PATIENTS
# So many that enough of them are measured.
PHANTOMS = 36


def result(measured_mm, patient, error_mm=0.3, spread_mm=0.8):
    return Result(
        name=str(patient),
        patient=str(patient),
        families={},
        visible=True,
        true_mm=measured_mm - error_mm,
        status=Status.MEASURED,
        measured_mm=measured_mm,
        spread_mm=spread_mm,
    )


def group(mm, patients, first=0, **kind):
    return [result(mm, first + i, **kind) for i in range(patients)]


@pytest.mark.parametrize(
    ("counts", "edges"),
    [
        ((N, N, N), BIN_EDGES_MM),
        ((N, N, N - 1), (4.0, math.inf)),  # the last goes with the one before
        ((N - 1, N, N), (8.0, math.inf)),  # the first with the next
        ((10, 10, 10), (math.inf,)),
        ((0, N, 0), (math.inf,)),
        ((N, 0, 0), (math.inf,)),
    ],
)
def test_bins_with_too_few_patients_go_together(counts, edges):
    results = [
        r for mm, n in zip((3.0, 5.0, 9.0), counts, strict=True) for r in group(mm, n, 100 * mm)
    ]
    assert edges_for(results) == edges
    table, bins = calibrated(results)
    assert table.upper_mm == edges
    assert sum(each.patients for each in bins) == len({r.patient for r in results})


def test_scans_of_one_woman_are_no_patients():
    with pytest.raises(ValueError, match=f"1 patients .* an interval needs {FEWEST_PATIENTS}"):
        calibrated([result(5.0, "same") for _ in range(50)])


def test_what_was_refused_or_is_unknown_does_not_count():
    sound = group(5.0, N)
    refused = replace(sound[0], measured_mm=None, status=Status.NOT_MEASURABLE)
    unknown = replace(sound[0], true_mm=None)
    assert usable([*sound, refused, unknown]) == sound
    assert calibrated([*sound, refused, unknown]) == calibrated(sound)


def test_widths_are_those_of_the_cases():
    results = group(5.0, N, error_mm=1.0) + group(10.0, N, 100, error_mm=-2.0, spread_mm=1.8)
    table, (near, far) = calibrated(results)
    assert (near.below_mm, near.above_mm) == pytest.approx((1.0, 0.0))
    assert (far.below_mm, far.above_mm) == pytest.approx((0.0, 2.0))
    assert (near.high_mm, far.low_mm, far.high_mm) == (8.0, 8.0, math.inf)
    assert table.reach(10.0, 0.8) == pytest.approx((0, 1)), "half as difficult, half as wide"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, n=PHANTOMS, seed=77)
    return folder


def calibrate(*words):
    return CliRunner().invoke(app, ["calibrate", *map(str, words)])


def test_a_bundle_is_calibrated_and_measures_with_its_new_intervals(dataset, tmp_path):
    said = calibrate("default", dataset, tmp_path / "own", "--name", "mine")
    assert said.exit_code == 0, said.output
    assert "cases were measured and have a known thickness" in said.stdout
    shipped, own = load_bundle(), load_bundle(tmp_path / "own")
    assert own.name == "mine" and own.sha256 == shipped.sha256
    assert own.intervals != shipped.intervals
    card = json.loads((tmp_path / "own" / "card.json").read_text())
    assert card["calibration"] == {"cases": PHANTOMS, "patients": PHANTOMS, "of": shipped.name}
    runtime, covered = OpenVinoRuntime(own), []
    rows = (dataset / "truth.csv").read_text().splitlines()[1:]
    for row in rows:
        name, _, truth, *_ = row.split(",")
        best = measure_clip(dataset / name, own, runtime).record.best
        if best.thickness_mm is not None:
            covered.append(best.lower_mm <= float(truth) <= best.upper_mm)
    assert np.mean(covered) >= 0.9  # on what it was calibrated on: the rank is rounded up
    again = calibrate("default", dataset, tmp_path / "own")
    assert again.exit_code == 2 and "holds a bundle already" in again.stderr


def test_too_few_images_leave_nothing_behind(tmp_path):
    write_phantoms(tmp_path / "few", n=3, seed=78)
    said = calibrate("default", tmp_path / "few", tmp_path / "own")
    assert said.exit_code == 2
    assert f"are too few: an interval needs {N}" in said.stderr
    assert not (tmp_path / "own").exists()


def test_the_shipped_bundle_is_never_written_over(tmp_path):
    bundle = load_bundle()
    with pytest.raises(BundleError, match="choose a new folder"):
        write_calibrated(bundle, bundle.intervals, bundle.path, "x", {})
    assert calibrate("default", tmp_path, tmp_path / "own").exit_code == 2  # no data set
    assert calibrate(tmp_path, tmp_path, tmp_path / "own").exit_code == 2  # no bundle
