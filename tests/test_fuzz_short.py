"""A short run of `benchmarks.fuzz` with a fixed seed, and that it finds what it should."""

import pytest

from benchmarks.fuzzing.oracle import why_nonsense
from benchmarks.fuzzing.roads import KINDS
from benchmarks.fuzzing.seeds import make_seeds, small_dicom
from benchmarks.fuzzing.watch import Watched, made

INPUTS = 400


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz") / "seeds"
    make_seeds(folder)
    return folder


def test_mutated_files_of_every_kind_lead_to_no_finding(seeds, tmp_path):
    with Watched(seeds, 20261126, tmp_path) as worker:
        done = list(worker.run(iter(range(INPUTS))))
    assert [one for one in done if one.finding] == []
    assert {one.kind for one in done} == set(KINDS)
    outcomes = {one.outcome.partition(":")[0] for one in done if one.kind == "dicom"}
    assert {"scaled", "refused", "no mm"} <= outcomes  # not all of them are refused at the door


def test_the_same_numbers_give_the_same_bytes(seeds):
    assert [made(seeds, 3, n) for n in range(20)] == [made(seeds, 3, n) for n in range(20)]


@pytest.mark.parametrize(
    ("shape", "scale", "source", "why"),
    [
        ((64, 80), (0.5, 0.5), "ultrasound_region", None),
        ((64, 80), (0.5, 0.6), "ultrasound_region", "not what a region says"),
        ((64, 80), (0.5, 0.5), "pixel_spacing", "although a region has a scale"),
        ((32, 40), (0.5, 0.5), "ultrasound_region", "where the header says"),
        ((64, 80), (5.0, 5.0), "ultrasound_region", "a scale of"),
    ],
)
def test_the_oracle_knows_nonsense(tmp_path, shape, scale, source, why):
    small_dicom(1).save_as(tmp_path / "a.dcm", enforce_file_format=True)
    found = why_nonsense((tmp_path / "a.dcm").read_bytes(), shape, scale, source)
    assert found is None if why is None else why in (found or "")
