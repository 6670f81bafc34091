"""A visits table as people have them: what is wrong in it is listed, and nothing is lost."""

import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from study_tables import VISIT, visits, write

from trial.cycles import outcomes
from trial.observations import CycleType
from trial.protocol import load_protocol
from trial.tables import TableError
from trial.visits import read_visits

PROTOCOL = load_protocol("NCT07176143")


def read(tmp_path, *changes):
    return read_visits(visits(tmp_path / "v.csv", *changes), PROTOCOL)


def problems(found):
    return [(p.row, p.column) for p in found.problems]


def test_a_row_is_a_visit(tmp_path):
    found = read(
        tmp_path,
        {
            "arm": "hBMSC",
            "cycle": "1",
            "cycle_type": "Natural",
            "transfer": "yes",
            "embryos": "2",
            "sacs": "1",
            "clinical_pregnancy": "Yes",
            "clip": "a.dcm | b.dcm",
            "reader_anna_mm": "5.0",
            "reader_berta_mm": "6",
            "baseline_age": "31",
            "baseline_bmi": "22,5",
        },
    )
    (visit,) = found.rows
    assert not found.problems
    assert (visit.row, visit.patient, visit.patient_id, visit.arm) == (2, "W01", "W01", "hbmsc")
    assert (visit.cycle, visit.cycle_type, visit.cycle_day) == (1, CycleType.NATURAL, 13)
    assert visit.phase == "late_proliferative"
    assert visit.date == datetime.date(2025, 2, 10)
    assert (visit.transfer, visit.embryos, visit.sacs) == (True, 2, 1)
    assert visit.clinical_pregnancy is True
    assert visit.clips == ("a.dcm", "b.dcm")
    assert visit.studies == ("1.2.1",)
    assert visit.reader_mm == 5.5
    assert dict(visit.baseline) == {"age": 31, "bmi": 22.5}


def test_a_phase_in_the_table_counts_before_that_of_the_day(tmp_path):
    found = read(
        tmp_path, {"cycle_day": "18", "cycle_type": "natural", "phase": "late proliferative"}
    )
    assert found.rows[0].phase == "late_proliferative"
    assert found.rows[0].cycle_day == 18


@pytest.mark.parametrize("separator", [";", "\t", ","])
def test_what_spreadsheets_write_is_read(tmp_path, separator):
    fields = [
        ["Patient ", "cycle", "cycle_type", "cycle_day", "date", "cancelled", "reader_a_mm"],
        ["W01", "-1", "hrt", "13", "2025/2/1", "是", '"5,4"'],
        ["", "", "", "", "", "", ""],
        ["W01", "0", "hrt", "12.0", "2025-03-01", "FALSE", "5.6"],
    ]
    text = "\r\n".join(separator.join(row) for row in fields) + "\r\n"
    (tmp_path / "v.csv").write_bytes(b"\xef\xbb\xbf" + text.encode("utf-8"))
    found = read_visits(tmp_path / "v.csv", PROTOCOL)
    assert not found.problems
    assert [visit.row for visit in found.rows] == [2, 4]
    assert [visit.reader_mm for visit in found.rows] == [5.4, 5.6]
    assert [visit.cancelled for visit in found.rows] == [True, False]
    assert found.rows[0].date == datetime.date(2025, 2, 1)
    assert found.rows[1].cycle_day == 12


def test_a_parquet_table_with_types_is_the_same(tmp_path):
    table = pa.table(
        {
            "patient": ["W01", "W01"],
            "cycle": [0, 1],
            "cycle_type": ["hrt", "hrt"],
            "cycle_day": [13.0, float("nan")],
            "date": [datetime.date(2025, 2, 10), None],
            "cancelled": [True, None],
            "reader_a_mm": [5.25, None],
        }
    )
    pq.write_table(table, tmp_path / "v.parquet")
    found = read_visits(tmp_path / "v.parquet", PROTOCOL)
    assert not found.problems
    first, second = found.rows
    assert (first.row, first.cycle_day, first.cancelled, first.reader_mm) == (1, 13, True, 5.25)
    assert first.date == datetime.date(2025, 2, 10)
    assert (second.cycle_day, second.date, second.cancelled, second.reader_mm) == (None,) * 4


@pytest.mark.parametrize(
    ("column", "text", "said"),
    [
        ("date", "2026-13-40", "no such day"),
        ("date", "10.02.2025", "the year first"),
        ("date", "1900-01-00", "no such day"),
        ("date", "1900-01-01", "from 1990"),
        ("cycle_day", "0", "whole number from 1 to 100"),
        ("cycle_day", "12.5", "whole number"),
        ("cycle_day", "nan", "whole number"),
        ("cycle_type", "ivf", "hrt or natural"),
        ("phase", "luteal", "the protocol has the phases early_proliferative"),
        ("arm", "placebo", "the protocol has the arms control, hbmsc"),
        ("cancelled", "maybe", "yes or no"),
        ("transfer", "2", "yes or no"),
        ("embryos", "-1", "whole number from 0 to 20"),
        ("sacs", "one", "whole number"),
        ("reader_a_mm", "0", "mm above 0"),
        ("reader_a_mm", "62", "at most 30"),
        ("baseline_age", "old", "must be a number"),
        ("baseline_age", "inf", "must be a number"),
    ],
)
def test_a_wrong_value_is_listed_and_unknown_and_the_row_stays(tmp_path, column, text, said):
    found = read(tmp_path, {column: text})
    (visit,), (problem,) = found.rows, found.problems
    assert (problem.row, problem.column) == (2, column)
    # What stands in a cell may be anybody's name: it is told apart from the words.
    assert text in problem.found
    assert len(text) < 3 or text not in problem.words
    assert said in problem.words
    assert "counts as unknown" in problem.words
    field = {"reader_a_mm": "reader_mm"}.get(column, column)
    if column.startswith("baseline_"):
        assert visit.baseline == ()
    elif column == "phase":
        assert visit.phase == "late_proliferative"  # of the day
    else:
        assert getattr(visit, field) is None


@pytest.mark.parametrize(
    ("change", "column"),
    [({"patient": " "}, "patient"), ({"cycle": ""}, "cycle"), ({"cycle": "first"}, "cycle")],
)
def test_a_row_whose_meaning_is_in_doubt_is_set_aside_and_listed(tmp_path, change, column):
    found = read(tmp_path, {}, change)
    assert [visit.row for visit in found.rows] == [2]
    assert (3, column) in problems(found)
    assert any("set aside" in each.words for each in found.problems)


def test_cells_that_deny_each_other_are_unknown(tmp_path):
    done = {"transfer": "yes", "embryos": "1", "cycle": "1"}
    found = read(
        tmp_path,
        done | {"sacs": "2"},
        done | {"sacs": "1", "clinical_pregnancy": "no", "cycle": "2"},
        {"cancelled": "no", "cancelled_because": "thin", "cycle": "4"},
    )
    assert problems(found) == [
        (2, "sacs"),
        (3, "clinical_pregnancy"),
        (4, "cancelled"),
    ]
    rows = found.rows
    assert rows[0].sacs is None
    assert rows[0].embryos == 1
    assert (rows[1].sacs, rows[1].clinical_pregnancy) == (None, None)
    assert rows[2].cancelled is None


def test_a_woman_has_one_arm(tmp_path):
    found = read(
        tmp_path,
        {"arm": "control"},
        {"arm": "", "cycle": "1"},
        {"arm": "hbmsc", "patient": "W02"},
        {"arm": "control", "patient": "W02", "cycle": "1"},
    )
    assert [visit.arm for visit in found.rows] == ["control", "control", None, None]
    assert problems(found) == [(5, "arm")]
    assert "row 4" in found.problems[0].words


def test_a_row_that_is_there_twice_counts_once(tmp_path):
    found = read(tmp_path, {}, {}, {"clip": "b.dcm"})
    assert [visit.row for visit in found.rows] == [2, 4]
    assert problems(found) == [(3, "patient")]
    assert "the same visit as row 2" in found.problems[0].words


def test_what_two_rows_of_a_visit_say_is_put_together_or_unknown(tmp_path):
    found = read(
        tmp_path,
        {"transfer": "yes", "clinical_pregnancy": "no", "reader_a_mm": "5.0"},
        {"embryos": "2", "clinical_pregnancy": "yes", "baseline_age": "31"},
    )
    (visit,) = found.rows
    assert (visit.transfer, visit.embryos, visit.reader_mm) == (True, 2, 5.0)
    assert visit.clinical_pregnancy is None
    assert visit.baseline == (("age", 31.0),)
    assert problems(found) == [(3, "patient"), (3, "clinical_pregnancy")]


def test_a_column_that_nobody_reads_is_listed(tmp_path):
    found = read(tmp_path, {"embryoes": "2", "notes": "tired"})
    assert problems(found) == [(1, "embryoes"), (1, "notes")]
    assert "Is embryos meant?" in found.problems[0].words


def test_a_table_that_is_wrong_as_a_whole_is_an_error(tmp_path):
    def wrong(said, rows=None, raw=None):
        path = tmp_path / "v.csv"
        if raw is None:
            write(path, rows)
        else:
            path.write_bytes(raw)
        with pytest.raises(TableError, match=said):
            read_visits(path, PROTOCOL)

    def without(*names):
        return [{k: v for k, v in VISIT.items() if k not in names}]

    wrong("has no column cycle; its columns are patient, arm", without("cycle"))
    wrong("no column cycle_day or phase", without("cycle_day"))
    wrong("no column study or clip or date", without("study", "clip", "date"))
    header = ",".join(VISIT)
    wrong("has no rows", raw=header.encode())
    wrong("has no rows", raw=(header + "\n" + "," * (len(VISIT) - 1) + "\n").encode())
    wrong("v.csv, line 2 has more or fewer fields", raw=(header + "\nW01,2\n").encode())
    wrong("Save it as CSV in UTF-8", raw="patient;病人\n".encode("gb18030"))
    wrong("two columns of the name cycle", raw=(header + ",cycle\n").encode())
    wrong("differ in case or spaces", raw=(header + ",Cycle\n").encode())
    wrong("no column patient", raw=b"")
    with pytest.raises(TableError, match="cannot be read"):
        read_visits(tmp_path / "none.csv", PROTOCOL)
    (tmp_path / "v.parquet").write_bytes(b"PAR1nothingPAR1")
    with pytest.raises(TableError, match="cannot be read as a Parquet table"):
        read_visits(tmp_path / "v.parquet", PROTOCOL)


def became(tmp_path, *changes):
    return outcomes(read(tmp_path, *changes).rows, PROTOCOL)


def test_rows_of_a_cycle_repeat_one_transfer(tmp_path):
    done = {"cycle": "1", "transfer": "yes", "embryos": "2", "clinical_pregnancy": "yes"}
    found = became(
        tmp_path,
        {"cycle": "1", "cycle_day": "9", "transfer": "no"},
        done | {"cycle_day": "14"},
        done | {"cycle_day": "17", "sacs": "1"},
        {"cycle": "2", "transfer": "yes", "embryos": "1"},
    )
    first, second = found.transfers
    assert (first.row, first.cycle, first.embryos, first.sacs) == (3, 1, 2, 1)
    assert first.clinical_pregnancy is True
    assert (second.cycle, second.sacs, second.clinical_pregnancy) == (2, None, None)
    assert not found.problems


def test_outcomes_that_rows_deny_each_other_are_unknown(tmp_path):
    done = {"cycle": "1", "transfer": "yes"}
    found = became(
        tmp_path,
        done | {"embryos": "2"},
        done | {"embryos": "1", "cycle_day": "14", "cycle_type": "natural"},
    )
    (transfer,) = found.transfers
    assert (transfer.embryos, transfer.cycle_type) == (None, None)
    assert {p.column for p in found.problems} == {"embryos", "cycle_type"}
    assert all(p.row == 3 for p in found.problems)


def test_a_cycle_is_cancelled_or_has_its_transfer(tmp_path):
    found = became(
        tmp_path,
        {"cycle": "-3", "cancelled": "yes", "cancelled_because": "Thin  endometrium"},
        {"cycle": "-2", "cancelled": "yes", "transfer": "yes"},
        {"cycle": "-1", "cancelled": ""},
        {"cycle": "0", "cancelled": "no"},
        {"cycle": "1", "cancelled": ""},
    )
    (cancelled,) = found.cancellations
    assert (cancelled.row, cancelled.cycle) == (2, -3)
    assert cancelled.because == "Thin  endometrium"
    assert not found.transfers
    # Of cycle -1 nobody says anything; cycle 1 is after treatment, where nobody asks.
    assert [each.cycle for each in found.undecided] == [-2, -1]
    assert [(p.row, p.column) for p in found.problems] == [(3, "cancelled")]


def test_a_reason_that_the_protocol_does_not_know_is_listed(tmp_path):
    stopped = {"cancelled": "yes"}
    found = became(
        tmp_path,
        stopped | {"cancelled_because": "endometrium not thin"},
        stopped | {"cycle": "-1", "cancelled_because": "thin"},
        stopped | {"cycle": "-1", "cancelled_because": "fever", "cycle_day": "14"},
    )
    assert [(p.row, p.column) for p in found.problems] == [
        (2, "cancelled_because"),
        (4, "cancelled_because"),
    ]
    assert "differs between rows 3 and 4" in found.problems[1].words
    assert found.cancellations[1].because is None
