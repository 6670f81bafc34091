"""The command from tables to verdicts."""

import csv
import json
import subprocess
import sys

import pytest
from study_tables import reviews, run, visits
from typer.testing import CliRunner

from app.cli import app

THIN = {"cancelled": "yes", "cancelled_because": "thin"}
WOMAN = "DOE^JANE"


def call(*arguments):
    return CliRunner().invoke(app, ["trial", "screen", *map(str, arguments)])


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def study(tmp_path):
    """One woman for a yes, one who has an uncertain scan and one of somebody else."""
    table = visits(
        tmp_path / "visits.csv",
        THIN | {"patient": WOMAN, "cycle": "-1", "study": "1", "date": "2025-01-10"},
        THIN | {"patient": WOMAN, "cycle": "0", "study": "2", "date": "2025-02-10"},
        THIN | {"patient": "W02", "cycle": "-1", "study": "3", "date": "2025-01-10"},
        THIN | {"patient": "W02", "cycle": "0", "study": "4", "date": "2025-02-30"},
    )
    folder = run(
        tmp_path / "run",
        *(
            {
                "file": f"{n}.dcm",
                "sha256": n * 64,
                "study_instance_uid": n,
                "patient_id": who,
                "acquired_at": day,
                "thickness_mm": mm,
                "upper_mm": upper,
            }
            for n, who, day, mm, upper in (
                ("1", WOMAN, "2025-01-10", "5.0", "5.5"),
                ("2", WOMAN, "2025-02-10", "5.1", "5.6"),
                ("3", "W02", "2025-01-10", "5.9", "6.5"),
                ("4", "W99", "2025-02-28", "5.0", "5.5"),
            )
        ),
    )
    return table, folder


def test_every_woman_has_her_line_and_the_tables_have_the_rest(study, tmp_path):
    table, folder = study
    out = tmp_path / "out"
    done = call(table, "--run", folder, "--out", out)
    assert done.exit_code == 0, done.stderr
    text = done.stdout
    assert "woman 1: yes. cycle -1: cancelled as thin, 5.0 mm (4.5 to 5.5);" in text
    assert "woman 2: cannot tell." in text
    assert "(a yes needs 2, a no can come from 1)" in text
    assert "row 4 (cycle -1, 2025-01-10): review this clip on the review page: 5.9 mm" in text
    assert "row 5 (cycle 0): find the missing scan: the file is of another patient" in text
    assert "2 women: 1 yes, 0 no, 1 cannot tell." in text
    assert "visits that lack a scan: 1" in text
    assert "scans that belong to no visit: 1" in text
    assert "row 5, date cannot be used: there is no such day. It counts as unknown." in text
    assert "2025-02-30" not in text

    first, second = rows(out / "screening.csv")
    assert (first["patient"], first["verdict"], first["shown_rows"]) == (WOMAN, "yes", "2; 3")
    assert (second["verdict"], second["settle_rows"]) == ("cannot tell", "4; 5")
    assert second["settle_clips"] == "3.dcm"
    assert [row["clip"] for row in rows(out / "observations.csv")] == [
        "1.dcm",
        "2.dcm",
        "3.dcm",
        "",
    ]
    assert [(row["what"], row["row"], row["file"]) for row in rows(out / "unjoined.csv")] == [
        ("visit", "5", ""),
        ("scan", "", "4.dcm"),
    ]
    assert [(row["row"], row["column"], row["found"]) for row in rows(out / "problems.csv")] == [
        ("5", "date", "2025-02-30")
    ]


def test_nobody_is_named_on_the_terminal(study):
    table, folder = study
    for more in ((), ("--json",)):
        done = call(table, "--run", folder, *more)
        for name in (WOMAN, "W02", "W99"):
            assert name not in done.stdout + done.stderr


def test_the_json_says_the_same(study):
    table, folder = study
    found = json.loads(call(table, "--run", folder, "--json").stdout)
    assert [woman["verdict"] for woman in found["women"]] == ["yes", "cannot tell"]
    settle = found["women"][1]["settle"]
    assert [(step["row"], step["date"]) for step in settle] == [(4, "2025-01-10"), (5, None)]
    assert found["unjoined_visits"][0]["row"] == 5
    assert found["problems"][0]["column"] == "date"
    assert (found["visits"], found["measured"]) == (4, 3)


def test_a_review_settles_it(study, tmp_path):
    table, folder = study
    fixed = {"file": "3.dcm", "sha256": "3" * 64, "review": "corrected", "thickness_mm": "7.1"}
    reviewed = reviews(tmp_path / "r.csv", fixed | {"lower_mm": "", "upper_mm": ""})
    text = call(table, "--run", folder, "--reviews", reviewed).stdout
    assert "woman 2: no. cycle -1: 7.1 mm (6.6 to 7.6) in the late proliferative phase" in text


def test_wrong_usage_says_what_is_right(study, tmp_path):
    table, folder = study
    for arguments, said in (
        ((table, "--run", tmp_path / "none"), "has neither measurements.parquet nor"),
        ((tmp_path / "none.csv", "--run", folder), "cannot be read"),
        ((table, "--run", folder, "--protocol", "NCT0"), "neither a file nor a protocol that"),
        ((table, "--run", folder, "--reviews", folder / "measurements.csv"), "no column machine_"),
        ((table,), "Missing option"),
    ):
        done = call(*arguments)
        assert done.exit_code == 2
        assert said in " ".join(done.stderr.split())


def test_a_folder_that_cannot_be_written_ends_with_1(study):
    table, folder = study
    done = call(table, "--run", folder, "--out", table)
    assert done.exit_code == 1
    assert "is a file" in done.stderr


def test_a_long_list_is_cut_on_the_terminal_alone(tmp_path):
    many = [{"patient": f"W{n}", "study": f"9.{n}"} for n in range(15)]
    table, folder = visits(tmp_path / "v.csv", *many), run(tmp_path / "run", {})
    done = call(table, "--run", folder, "--out", tmp_path / "out")
    assert "visits that lack a scan: 15" in done.stdout
    assert "and 5 more; --out DIR writes all." in done.stdout
    lost = [row for row in rows(tmp_path / "out/unjoined.csv") if row["what"] == "visit"]
    assert len(lost) == 15


def test_the_command_line_does_not_wait_for_the_study():
    script = "import sys, app.cli; sys.exit('scipy' in sys.modules or 'trial' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_columns_and_states_are_those_that_measure_and_review_export_write():
    from app.review.export import REVIEWED
    from app.review.store import STATES
    from inference.records import CLIP_COLUMNS
    from trial.scans import ACCEPTED, COLUMNS, CORRECTED, REJECTED, REVIEW_COLUMNS

    assert set(COLUMNS) | {"duplicate_of"} <= set(CLIP_COLUMNS)
    assert set(REVIEW_COLUMNS) <= set(REVIEWED)
    assert set(STATES.values()) == {ACCEPTED, CORRECTED, REJECTED, "open"}
