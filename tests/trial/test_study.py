"""Tables as people leave them: joined where they can be, and every case accounted for."""

import csv

import numpy as np
import pytest

from inference.records import CLIP_COLUMNS
from inference.tables import write_csv, write_parquet
from trial.agreement.study import State, join
from trial.agreement.tables import Kind, ReadingsError, read_measurements, read_readings

SHA = {name: f"{i:x}" * 64 for i, name in enumerate("abcdef", 10)}


def readings(path, *rows, columns="case,reader,replicate,thickness_mm,patient"):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns.split(","), *rows])
    return path


def measurements(path, *rows):
    """Rows of (file, sha256, status, mm, patient) as `measure` writes them."""
    empty = dict.fromkeys(CLIP_COLUMNS)
    full = [
        empty
        | {"file": f, "sha256": sha, "status": s, "thickness_mm": mm, "patient_id": who}
        | {"bundle": "phantom-5", "frames": 1}
        for f, sha, s, mm, who in rows
    ]
    if path.suffix == ".parquet":
        write_parquet(path, CLIP_COLUMNS, full)
    else:
        write_csv(path, CLIP_COLUMNS, full)
    return path


def model_table(path):
    return measurements(
        path,
        ("scans/a.dcm", SHA["a"], "measured", 5.25, "P1"),
        ("scans/b.dcm", SHA["b"], "not_measurable", None, "P1"),
        ("scans/c.dcm", SHA["c"], "measured", 8.0, "P2"),
        ("scans/broken.dcm", None, "failed", None, None),
    )


def people_table(path, name=lambda case: f"scans/{case}.dcm"):
    return readings(
        path,
        (name("a"), "anna", 1, "5.0", "W1"),
        (name("a"), "anna", 2, "5.4", "W1"),
        (name("b"), "anna", 1, "6.1", "W1"),
        (name("c"), "anna", 1, "", "W2"),
        (name("d"), "anna", 1, "4.0", "W3"),
    )


def by_name(study):
    return {reader.name: reader for reader in study.readers}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_readings_and_measurements_join_and_what_does_not_is_kept(tmp_path, suffix):
    model = read_measurements("net", model_table(tmp_path / f"m.{suffix}"))
    study = join([read_readings(people_table(tmp_path / "r.csv")), model])
    assert study.key == "file"
    assert [c.removeprefix("scans/")[0:2] for c in study.cases] == ["a.", "b.", "br", "c.", "d."]
    anna, net = by_name(study)["anna"], by_name(study)["net"]
    assert (anna.kind, net.kind) == (Kind.READER, Kind.MODEL)
    measured, refused, failed, absent = State
    assert anna.states == (measured, measured, absent, refused, measured)
    assert net.states == (measured, refused, failed, measured, absent)
    assert [list(each) for each in anna.readings] == [[5.0, 5.4], [6.1], [], [], [4.0]]
    assert np.isnan(net.firsts[1]) and net.firsts[0] == 5.25
    # Patients are those of the readings, which know more of them; the unread file has none.
    assert study.groups[0] == study.groups[1] != study.groups[3]
    assert (study.patients, study.unknown) == (4, 1)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (lambda c: SHA[c], "sha256"),
        (lambda c: SHA[c][:12], "sha256"),
        (lambda c: f"{c}.dcm", "name"),
    ],
)
def test_the_key_is_the_one_under_which_the_cases_are_found(tmp_path, name, key):
    model = read_measurements("net", model_table(tmp_path / "m.csv"))
    study = join([read_readings(people_table(tmp_path / "r.csv", name)), model])
    assert study.key == key
    both = [
        i
        for i, s in enumerate(by_name(study)["anna"].states)
        if State.ABSENT not in (s, by_name(study)["net"].states[i])
    ]
    assert len(both) == 3


def test_tables_with_other_folders_in_their_paths_join_by_name_if_that_is_certain(tmp_path):
    people = read_readings(people_table(tmp_path / "r.csv", lambda case: f"{case}.dcm"))
    rows = [(f"{case}.dcm", "5") for case in "abc"]
    truth = readings(tmp_path / "t.csv", *rows, columns="file,thickness_mm")
    model = read_measurements("net", model_table(tmp_path / "m.csv"))
    study = join([people, read_measurements("truth", truth), model])
    # By file the truth would join as well, but not the model.
    assert study.key == "name"
    assert [r.states.count(State.ABSENT) for r in study.readers] == [1, 2, 1]
    again = [
        ("x/a.dcm", SHA["a"], "measured", 5.0, None),
        ("y/a.dcm", SHA["b"], "measured", 6, None),
    ]
    twice = read_measurements("two", measurements(tmp_path / "n.csv", *again))
    assert join([people, read_measurements("truth", truth), twice]).key == "file"


def test_two_models_join_by_content_and_by_name_if_told(tmp_path):
    one = read_measurements("one", model_table(tmp_path / "m.csv"))
    moved = measurements(
        tmp_path / "n.csv",
        ("elsewhere/x.dcm", SHA["a"], "measured", 5.5, "P1"),
        ("elsewhere/c.dcm", SHA["e"], "measured", 9.0, "P2"),
    )
    other = read_measurements("other", moved)
    study = join([one, other])
    assert study.key == "sha256"
    at = study.cases.index(SHA["a"])
    assert [reader.firsts[at] for reader in study.readers] == [5.25, 5.5]
    told = join([one, other], key="name")
    at = told.cases.index("c.dcm")
    assert [reader.firsts[at] for reader in told.readers] == [8.0, 9.0]


def test_a_table_of_truths_is_a_reference_and_kinds_can_be_told(tmp_path):
    truth = tmp_path / "truth.csv"
    readings(truth, ("scans/a.dcm", "5.1"), ("scans/c.dcm", ""), columns="file,thickness_mm")
    sources = [
        read_measurements("truth", truth),
        read_measurements("net", model_table(tmp_path / "m.csv")),
    ]
    assert [r.kind for r in join(sources).readers] == [Kind.REFERENCE, Kind.MODEL]
    told = join(sources, kinds={"truth": Kind.READER})
    assert [r.kind for r in told.readers] == [Kind.READER, Kind.MODEL]
    with pytest.raises(ReadingsError, match="no reader nobody; there are truth, net"):
        join(sources, kinds={"nobody": Kind.MODEL})


def test_copies_of_a_clip_are_counted_once_and_contradictions_are_errors(tmp_path):
    rows = [
        ("a.dcm", SHA["a"], "measured", 5.0, None),
        ("b/a.dcm", SHA["a"], "measured", 5.0, None),
    ]
    (reader,) = join([read_measurements("net", measurements(tmp_path / "m.csv", *rows))]).readers
    assert (reader.copies, [list(each) for each in reader.readings]) == (1, [[5.0]])
    rows[1] = ("b/a.dcm", SHA["a"], "measured", 5.5, None)
    source = read_measurements("net", measurements(tmp_path / "m.csv", *rows))
    with pytest.raises(ReadingsError, match=r"line 3 reads a case otherwise than .*line 2"):
        join([source])


def test_replicates_come_in_the_order_of_their_numbers(tmp_path):
    rows = [("a", "anna", n, f"{n}", "") for n in (10, 2, 1)] + [("a", "anna", 3, "", "")]
    (anna,) = join([read_readings(readings(tmp_path / "r.csv", *rows))]).readers
    assert list(anna.readings[0]) == [1, 2, 10]
    assert anna.withheld == 1


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e9", "5,2", "thin"])
def test_what_is_no_thickness_is_an_error_with_its_line(tmp_path, text):
    table = readings(tmp_path / "r.csv", ("a", "anna", 1, "5", ""), ("b", "anna", 1, text, ""))
    with pytest.raises(ReadingsError, match=r"r\.csv, line 3: thickness_mm is "):
        read_readings(table)


def test_broken_tables_say_what_is_wrong(tmp_path):
    def wrong(read, name, content, says):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ReadingsError, match=says):
            read(tmp_path / name)

    def as_model(path):
        return read_measurements("net", path)

    wrong(read_readings, "r.csv", b"", "no column case, reader, thickness_mm; .* none")
    wrong(read_readings, "r.csv", b"case,reader\n", "no column thickness_mm")
    wrong(read_readings, "r.csv", b"\xff\xfe\x00", "cannot be read as a CSV")
    wrong(read_readings, "r.csv", b"case,reader,thickness_mm\na,b\n", "fewer fields")
    wrong(read_readings, "r.csv", b"case,reader,thickness_mm\na,b,1,2\n", "more or fewer fields")
    wrong(read_readings, "r.csv", b"case,reader,thickness_mm\na,,1\n", "line 2: case or reader")
    wrong(read_readings, "r.csv", b'case,reader,thickness_mm\n"a', "cannot be read as a CSV")
    wrong(as_model, "m.csv", b"thickness_mm\n5\n", "no column file, sha256 or case")
    wrong(as_model, "m.csv", b"case,reader,thickness_mm\n", "--readings")
    for content in (b"", b"PAR1", b"PAR1" + bytes(60) + b"PAR1", b"PAR1" + b"\xff" * 60 + b"PAR1"):
        wrong(as_model, "m.parquet", content, "Parquet table")
    with pytest.raises(ReadingsError, match="cannot be read"):
        read_readings(tmp_path / "nowhere.csv")


def test_names_that_clash_and_patients_that_contradict_are_errors(tmp_path):
    source = read_readings(people_table(tmp_path / "r.csv"))
    with pytest.raises(ReadingsError, match="'anna' is the name of two readers"):
        join([source, source])
    rows = [("a", "anna", 1, "5", "P1"), ("a", "anna", 2, "5", "P2")]
    with pytest.raises(ReadingsError, match="line 3 gives a case another patient"):
        join([read_readings(readings(tmp_path / "p.csv", *rows))])


def test_a_row_without_the_key_is_an_error(tmp_path):
    source = read_readings(people_table(tmp_path / "r.csv"))
    truth = readings(tmp_path / "t.csv", ("a.dcm", "5"), columns="file,thickness_mm")
    other = read_measurements("truth", truth)
    with pytest.raises(ReadingsError, match=r"has no sha256 .*; it has file, name\. .*--key"):
        join([other, source], key="sha256")


def test_readings_with_semicolons_are_read(tmp_path):
    (tmp_path / "r.csv").write_text("case;reader;thickness_mm\n01.dcm;anna;5.2\n", encoding="utf-8")
    (row,) = read_readings(tmp_path / "r.csv").rows
    assert (row.reader, row.mm) == ("anna", 5.2)
