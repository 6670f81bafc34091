"""The command from tables to page."""

import csv
import json
import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from test_study import measurements, readings
from typer.testing import CliRunner

from app.cli import app
from trial.agreement.analysis import analyse, verdict
from trial.agreement.estimate import Estimate
from trial.agreement.interchange import Interchange
from trial.agreement.study import join
from trial.agreement.tables import read_readings
from trial.agreement.words import with_ends
from trial.agreement.write import MOST_DRAWN, page

PATIENT = "DOE^JANE"


def run(*arguments):
    return CliRunner().invoke(app, ["agree", *map(str, arguments)])


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Three readers, two of them twice, and a model that reads 0.4 mm too much; 40 patients."""
    folder = tmp_path_factory.mktemp("agree")
    rng = np.random.default_rng(21)
    people, model = [], []
    for i in range(60):
        true, name = rng.uniform(3, 12), f"scans/{i:02d}.dcm"
        for reader, times in (("anna", 2), ("<b>berta</b>", 2), ("carla", 1)):
            for n in range(1, times + 1):
                mm = "" if i == 7 else f"{true + rng.normal(0, 0.4):.1f}"
                people.append((name, reader, n, mm, f"{PATIENT}{i % 40}"))
        found = i % 10 != 3
        status = "measured" if found else "not_measurable"
        mm = float(true + 0.4 + rng.normal(0, 0.4)) if found else None
        model.append((name, f"{i:064x}", status, mm, "another name"))
    model.append(("scans/only-here.dcm", "f" * 64, "measured", 5.0, None))
    return readings(folder / "readings.csv", *people), measurements(folder / "m.csv", *model)


def test_the_command_says_everything_and_leaves_its_tables(study, tmp_path):
    people, model = study
    done = run("--readings", people, f"net={model}", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert "1 of 61 cases are not in every table (joined by file): scans/only-here.dcm." in (
        done.stdout
    )
    assert "intervals go by patient" in done.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "agree.html", "agree.json", "cases.csv", "pairs.csv", "readers.csv", "unjoined.csv",
    }  # fmt: skip
    found = json.loads((tmp_path / "out/agree.json").read_text())
    assert json.loads(run("--readings", people, f"net={model}", "--json").stdout) == found
    assert (found["cases"], found["patients"], found["patients_unknown"]) == (61, 41, 1)
    assert [(r["name"], r["measured"], r["refused"], r["absent"]) for r in found["readers"]] == [
        ("anna", 59, 1, 1),
        ("<b>berta</b>", 59, 1, 1),
        ("carla", 59, 1, 1),
        ("net", 55, 6, 0),
    ]
    pair = next(p for p in found["pairs"] if (p["first"], p["second"]) == ("anna", "net"))
    assert (pair["n"], pair["first_only"], pair["second_only"], pair["unjoined"]) == (53, 6, 1, 1)
    assert pair["limits"]["bias"]["value"] == pytest.approx(-0.4, abs=0.15)
    assert pair["limits"]["sd"] == pytest.approx(0.57, abs=0.12)
    assert pair["limits"]["method"] == "replicates_and_patients"
    assert pair["n"] + pair["first_only"] + pair["second_only"] + pair["neither"] == 60
    assert found["readers"][0]["repeatability"]["sd"]["value"] == pytest.approx(0.4, abs=0.1)
    assert found["interchange"]["net"]["verdict"] == "interchangeable"
    assert found["interchange"]["net"]["excess_mm"]["value"] > 0
    with (tmp_path / "out/pairs.csv").open(newline="") as file:
        row = next(r for r in csv.DictReader(file) if (r["first"], r["second"]) == ("anna", "net"))
    assert float(row["limits_bias_high"]) == pair["limits"]["bias"]["high"]
    assert float(row["deming_slope"]) == pair["deming"]["slope"]["value"]
    with (tmp_path / "out/unjoined.csv").open(newline="") as file:
        (lost,) = csv.DictReader(file)
    assert (lost["case"], lost["in"]) == ("scans/only-here.dcm", "net")


def test_the_page_stands_alone_and_names_no_patient_and_no_file(study, tmp_path):
    people, model = study
    run("--readings", people, f"net={model}", "--out", tmp_path / "out")
    text = (tmp_path / "out/agree.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=|https?:|<script", text)
    for secret in (PATIENT, ".dcm", "another name", str(people.parent)):
        assert secret not in text
    assert "<b>berta" not in text and "&lt;b&gt;berta" in text
    drawn = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawn) == 2 * 6
    for svg in drawn:
        tree = ElementTree.fromstring(svg)
        width, height = map(float, tree.get("viewBox").split()[2:])
        assert 50 <= len(tree.findall("circle")) <= 60
        for dot in tree.findall("circle"):
            assert 0 <= float(dot.get("cx")) <= width
            assert 0 <= float(dot.get("cy")) <= height


def test_without_patients_it_is_said_that_cases_count_as_independent(tmp_path):
    rng = np.random.default_rng(1)
    rows = [
        (i, reader, f"{t + rng.normal(0, 0.3):.2f}")
        for i, t in enumerate(rng.uniform(3, 12, 12))
        for reader in ("anna", "berta")
    ]
    table = readings(tmp_path / "r.csv", *rows, columns="case,reader,thickness_mm")
    done = run("--readings", table)
    assert done.exit_code == 0, done.stderr
    assert "No patients are given: every case counts as independent" in done.stdout
    found = json.loads(run("--readings", table, "--json").stdout)
    assert found["pairs"][0]["limits"]["method"] == "exact"
    assert not found["clustered"] and found["interchange"] == {}


def test_many_readers_and_few_cases_still_have_a_page(tmp_path):
    rows = [(c, f"r{i}", 5 + i) for c in "ab" for i in range(8)]
    table = readings(tmp_path / "r.csv", *rows, columns="case,reader,thickness_mm")
    study = join([read_readings(table)])
    text = page(analyse(study), study)
    assert f"{28 - MOST_DRAWN} more pairs are in pairs.csv." in text
    assert "too few for limits of agreement" in text
    assert "nan" not in text.lower().replace("finance", "")


@pytest.mark.filterwarnings("error")
def test_a_pair_without_a_common_case_is_a_row_and_a_truth_is_no_reader(tmp_path):
    rows = [(f"{i}.dcm", r, f"{5 + i / 4}") for i in range(9) for r in ("anna", "berta")]
    people = readings(tmp_path / "r.csv", *rows, columns="case,reader,thickness_mm")
    tables = {}
    for name, first in (("truth", 0), ("other", 50)):
        rows = [(f"{i}.dcm", 5 + i / 4) for i in range(first, first + 9)]
        path = readings(tmp_path / f"{name}.csv", *rows, columns="file,thickness_mm")
        tables[name] = f"{name}={path}"
    done = run("--readings", people, *tables.values(), "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert "Another --key may join them." in done.stdout
    found = json.loads((tmp_path / "out/agree.json").read_text())
    assert [r["kind"] for r in found["readers"]] == ["reader", "reader", "reference", "reference"]
    assert [p["n"] for p in found["pairs"]] == [9, 9, 0, 9, 0, 0]
    assert found["interchange"] == {}
    told = json.loads(
        run("--readings", people, tables["truth"], "--model", "truth", "--json").stdout
    )
    assert told["interchange"]["truth"]["n"] == 9
    told = run("--readings", people, *tables.values(), "--reader", "truth", "--json").stdout
    assert [g["name"] for g in json.loads(told)["iccs"]] == ["the readers", "all"]


def test_wrong_usage_is_said(study, tmp_path):
    people, model = study
    (tmp_path / "file").write_text("")
    alone = readings(tmp_path / "a.csv", ("zzz", "zoe", 1, "5", ""))
    for arguments, says in (
        ((), "there are no readings"),
        ((f"net={model}",), "there is one reader"),
        (("--readings", people, str(model)), "is not NAME=TABLE"),
        (("--readings", people, "--threshold", "0"), "--threshold 0"),
        (("--readings", people, "--margin", "-1"), "--margin -1"),
        (("--readings", people, "--key", "case"), "--key 'case'"),
        (("--readings", people, "--model", "x"), "no reader x"),
        (("--readings", tmp_path / "nowhere.csv"), "cannot be read"),
        (("--readings", alone, f"net={model}"), "no case is in two tables when joined by"),
    ):
        done = run(*arguments)
        assert done.exit_code == 2, done.output
        assert says in done.stderr
    done = run("--readings", people, "--out", tmp_path / "file")
    assert done.exit_code == 1
    assert "cannot be written" in done.stderr


def test_the_verdict_is_where_the_interval_lies():
    def found(low, high):
        return Interchange(
            9, 3, Estimate(0), 1.0, 1.0, Estimate(0.2, low, high), 0.1, 0.1, Estimate(0)
        )

    assert verdict(found(-0.1, 0.4), 0.5) == "interchangeable"
    assert verdict(found(0.1, 0.6), 0.5) == "not shown"
    assert verdict(found(0.6, 0.9), 0.5) == "not interchangeable"
    assert verdict(found(None, None), 0.5) == "not shown"


def test_numbers_are_written_for_people():
    assert with_ends(Estimate(-0.004, -1, 2), sign=True) == "0.00 (−1.00 to +2.00)"
    assert with_ends(Estimate(1.5)) == "1.50"
    assert with_ends(None) == "–"


def test_the_study_needs_neither_torch_nor_the_measuring():
    code = (
        "import sys, trial.agreement.write;"
        "sys.exit(bool({'torch', 'monai', 'openvino', 'SimpleITK'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
