"""Visits find their scans, and whatever does not join is listed with the reason."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from study_tables import SCAN, reviews, run, visits

from trial.joining import join
from trial.observations import Origin
from trial.protocol import load_protocol
from trial.scans import Scan, read_scans
from trial.tables import TableError
from trial.visits import Visit, Visits, read_visits

PROTOCOL = load_protocol("NCT07176143")
SECOND = {"file": "b.dcm", "sha256": "b" * 64, "study_instance_uid": "1.2.2"}


def joined(tmp_path, of_visits, of_scans, of_reviews=None):
    table = read_visits(visits(tmp_path / "v.csv", *of_visits), PROTOCOL)
    reviewed = None if of_reviews is None else reviews(tmp_path / "r.csv", *of_reviews)
    scans, strays = read_scans(run(tmp_path / "run", *of_scans), reviewed)
    return join(table, scans, PROTOCOL, strays)


def whys(found):
    return [(each.row, each.why) for each in found.unjoined_visits]


@pytest.mark.parametrize(
    "named",
    [
        {"study": "1.2.1"},
        {"study": "", "clip": "a.dcm"},
        {"study": "", "clip": "day 1/a.dcm"},
        {"study": "", "clip": "A" * 16},
        {"study": "1.2.1", "clip": "a.dcm"},
        {"study": ""},  # the one study of W01 on that day
    ],
)
def test_a_visit_finds_its_scan(tmp_path, named):
    found = joined(tmp_path, [named], [{"file": "day 1/a.dcm"}])
    (seen,) = found.observations
    assert (seen.thickness_mm, seen.lower_mm, seen.upper_mm) == (5.0, 4.5, 5.5)
    assert (seen.origin, seen.automatic_mm, seen.repeats_mm) == (Origin.AUTOMATIC, 5.0, (5.0,))
    assert (seen.clip, seen.missing) == ("day 1/a.dcm", None)
    assert not found.unjoined_visits
    assert not found.unjoined_scans


@pytest.mark.parametrize(
    ("visit", "scan", "of_visit", "of_scan"),
    [
        ({"study": "9.9"}, {}, "no scan of the run is of its study", "no visit names it"),
        ({"clip": "c.dcm"}, {}, "no scan of the run is called like", "no visit names it"),
        ({"clip": "a" * 15}, {}, "at least 16 digits", "no visit names it"),
        ({"clip": "a.dcm", "study": "9.9"}, {}, "clip of the row is not of its study", "no visit"),
        ({"patient": "W02"}, {}, "of another patient than the row", "named by row 2, but the file"),
        ({"date": "2025-02-12"}, {}, "is of another day than the row", "named by row 2"),
        ({"study": "", "date": ""}, {}, "no clip, no study and no date", "no visit names it"),
        ({"study": "", "date": "2025-02-11"}, {}, "the run has none of that day", "no visit names"),
        ({"study": "", "patient": "W02"}, {}, "the run has none of that day", "no visit names it"),
    ],
)
def test_what_does_not_join_is_listed_on_both_sides(tmp_path, visit, scan, of_visit, of_scan):
    found = joined(tmp_path, [visit], [scan])
    (seen,), (lost,), (left,) = found.observations, found.unjoined_visits, found.unjoined_scans
    assert seen.thickness_mm is seen.origin is seen.clip is None
    assert seen.missing == lost.why
    assert of_visit in lost.why
    assert of_scan in left.why
    assert left.file == "a.dcm"
    # What is shown on a terminal says nobody's name.
    for text in (lost.why, left.why):
        assert "W0" not in text


def test_a_day_off_is_the_same_visit_and_a_file_without_patient_is_believed(tmp_path):
    found = joined(tmp_path, [{"date": "2025-02-11"}], [{"patient_id": ""}])
    assert found.observations[0].thickness_mm == 5.0
    assert not found.unjoined_visits


def test_a_woman_may_be_called_otherwise_in_the_files(tmp_path):
    found = joined(tmp_path, [{"patient_id": "H-77", "study": ""}], [{"patient_id": "H-77"}])
    assert found.observations[0].patient == "W01"
    assert found.observations[0].thickness_mm == 5.0


def test_a_study_that_two_visits_claim_joins_neither(tmp_path):
    found = joined(tmp_path, [{}, {"cycle": "1"}, {"cycle": "2", "study": "1.2.2"}], [{}, SECOND])
    assert [seen.thickness_mm for seen in found.observations] == [None, None, 5.0]
    assert [row for row, _ in whys(found)] == [2, 3]
    assert "also named by row 3" in whys(found)[0][1]
    assert [(s.file, s.why) for s in found.unjoined_scans] == [
        ("a.dcm", "rows 2 and 3 name it: whose is it?")
    ]


def test_a_claim_of_the_wrong_woman_takes_no_scan_from_the_right_one(tmp_path):
    found = joined(tmp_path, [{}, {"patient": "W02"}], [{}])
    assert [seen.thickness_mm for seen in found.observations] == [5.0, None]
    assert [row for row, _ in whys(found)] == [3]
    assert not found.unjoined_scans


def test_the_study_of_the_day_is_taken_only_if_it_is_one_and_nobody_names_it(tmp_path):
    by_day = {"study": "", "cycle_day": "14"}
    found = joined(tmp_path, [by_day], [{}, SECOND])
    assert "2 studies of that day" in whys(found)[0][1]
    assert len(found.unjoined_scans) == 2
    found = joined(tmp_path, [{}, by_day], [{}, SECOND])
    assert [seen.clip for seen in found.observations] == ["a.dcm", "b.dcm"]


def test_copies_of_an_image_are_one_scan(tmp_path):
    copy = {"file": "copy.dcm", "duplicate_of": "a.dcm", "sha256": "c" * 64}
    for named in ({}, {"study": "", "clip": "copy.dcm"}, {"study": "", "clip": "c" * 20}):
        found = joined(tmp_path, [named], [{}, copy])
        assert found.observations[0].repeats_mm == (5.0,)
        assert found.observations[0].clip == "a.dcm"
        assert not found.unjoined_scans


def test_an_image_in_files_of_two_women_is_nobodys(tmp_path):
    copy = {"file": "copy.dcm", "duplicate_of": "a.dcm", "patient_id": "W02"}
    found = joined(tmp_path, [{"clip": "a.dcm"}], [{}, copy])
    assert "files of several patients" in found.observations[0].missing
    assert [scan.file for scan in found.unjoined_scans] == ["a.dcm", "copy.dcm"]


def test_of_several_scans_the_best_counts_and_never_the_thickest(tmp_path):
    found = joined(
        tmp_path,
        [{}],
        [
            {"quality": "0.5", "thickness_mm": "7.0"},
            {"file": "b.dcm", "quality": "0.8", "thickness_mm": "5.2"},
            {"file": "c.dcm", "status": "not_measurable", "reason": "low_quality"}
            | dict.fromkeys(("thickness_mm", "lower_mm", "upper_mm"), ""),
        ],
    )
    (seen,) = found.observations
    assert (seen.thickness_mm, seen.clip) == (5.2, "b.dcm")
    assert seen.repeats_mm == (7.0, 5.2)
    assert not found.unjoined_scans


REVIEWED = {"machine_thickness_mm": "5.0"}
NONE = dict.fromkeys(("thickness_mm", "lower_mm", "upper_mm"), "")


def test_an_accepted_number_keeps_its_interval(tmp_path):
    found = joined(tmp_path, [{}], [{}], [REVIEWED | {"review": "accepted"}])
    (seen,) = found.observations
    assert (seen.origin, seen.thickness_mm) == (Origin.REVIEW, 5.0)
    assert (seen.lower_mm, seen.upper_mm) == (4.5, 5.5)


def test_a_corrected_number_wins_with_the_interval_of_a_person(tmp_path):
    fixed = REVIEWED | NONE | {"review": "corrected", "thickness_mm": "6.4"}
    found = joined(tmp_path, [{}], [{}], [fixed])
    (seen,) = found.observations
    assert (seen.origin, seen.thickness_mm, seen.automatic_mm) == (Origin.REVIEW, 6.4, 5.0)
    assert (seen.lower_mm, seen.upper_mm) == pytest.approx((5.9, 6.9))
    assert seen.repeats_mm == (5.0,)  # the machine's, which is not mixed with people


def test_a_rejected_number_is_none(tmp_path):
    out = REVIEWED | NONE | {"review": "rejected", "review_reason": "wrong_plane"}
    found = joined(tmp_path, [{}], [{}], [out])
    (seen,) = found.observations
    assert (seen.thickness_mm, seen.origin, seen.automatic_mm) == (None, None, 5.0)
    assert seen.missing == "rejected by a reviewer: wrong plane"
    assert (seen.repeats_mm, seen.clip) == ((), "a.dcm")
    assert not found.unjoined_visits


def test_a_reviewed_scan_counts_before_a_better_one(tmp_path):
    scans = [{"quality": "0.2"}, {"file": "b.dcm", "quality": "0.9", "thickness_mm": "6.0"}]
    found = joined(tmp_path, [{}], scans, [REVIEWED | {"review": "accepted"}, scans[1]])
    assert found.observations[0].clip == "a.dcm"
    assert found.observations[0].repeats_mm == (5.0, 6.0)


def test_a_review_of_a_clip_that_the_run_lacks_is_listed(tmp_path):
    stray = REVIEWED | {"file": "gone.dcm", "review": "accepted"}
    found = joined(tmp_path, [{}], [{}], [stray])
    assert [(lost.file, lost.why) for lost in found.unjoined_scans] == [
        ("gone.dcm", "it was reviewed, but the run has no such clip")
    ]
    assert found.observations[0].origin is Origin.AUTOMATIC


def test_a_review_that_was_taken_back_says_nothing(tmp_path):
    found = joined(tmp_path, [{}], [{}], [REVIEWED | {"review": "open"}])
    assert found.observations[0].origin is Origin.AUTOMATIC
    assert not found.problems


def test_a_readers_number_counts_where_no_scan_was_measured(tmp_path):
    readers = {"reader_anna_mm": "5.0", "reader_berta_mm": "5.4"}
    refused = NONE | {"status": "not_measurable", "reason": "no_endometrium"}
    for visit, scan in ((readers, refused), (readers | {"study": "9.9"}, {})):
        (seen,) = joined(tmp_path, [visit], [scan]).observations
        assert (seen.origin, seen.thickness_mm, seen.missing) == (Origin.READER, 5.2, None)
        assert (seen.lower_mm, seen.upper_mm) == pytest.approx((4.7, 5.7))
    (seen,) = joined(tmp_path, [readers], [{}]).observations
    assert (seen.origin, seen.thickness_mm) == (Origin.AUTOMATIC, 5.0)


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        ("not_measurable", "no_endometrium", "not measurable: no endometrium"),
        ("failed", "", "the file could not be read"),
    ],
)
def test_a_refused_scan_joins_and_says_why(tmp_path, status, reason, words):
    found = joined(tmp_path, [{}], [NONE | {"status": status, "reason": reason}])
    assert found.observations[0].missing == words
    assert found.observations[0].clip == "a.dcm"
    assert not found.unjoined_scans


def test_baselines_are_the_womans(tmp_path):
    found = joined(
        tmp_path,
        [
            {"baseline_age": "31", "baseline_bmi": "22"},
            {"cycle": "1", "baseline_age": "31", "baseline_bmi": "23"},
            {"patient": "W02", "study": "7"},
        ],
        [{}],
    )
    assert found.baselines == {"age": {"W01": 31.0}, "bmi": {}}
    assert [(p.row, p.column) for p in found.problems] == [(3, "baseline_bmi")]


def test_a_folder_that_is_no_run_is_an_error(tmp_path):
    with pytest.raises(TableError, match="has neither measurements"):
        read_scans(tmp_path)
    folder = run(tmp_path / "run", {"thickness_mm": "five"})
    with pytest.raises(TableError, match=r"measurements.csv, line 2: thickness_mm is 'five'"):
        read_scans(folder)
    (folder / "measurements.csv").write_text("file,sha256\n", encoding="utf-8")
    with pytest.raises(TableError, match="has no column study_instance_uid, patient_id"):
        read_scans(folder)
    with pytest.raises(TableError, match="has no column machine_thickness_mm"):
        read_scans(run(tmp_path / "run", {}), folder / "measurements.csv")


def test_the_parquet_table_of_a_run_is_read_first(tmp_path):
    from inference.tables import write_parquet
    from trial.scans import COLUMNS

    folder = run(tmp_path / "run", {"thickness_mm": "9.0"})
    numbers = {"thickness_mm", "lower_mm", "upper_mm", "quality"}
    types = {name: float if name in numbers else str for name in (*COLUMNS, "duplicate_of")}
    row = dict.fromkeys(types) | {
        name: float(value) if name in numbers else value or None for name, value in SCAN.items()
    }
    write_parquet(folder / "measurements.parquet", types, [row])
    (scan,), strays = read_scans(folder)
    assert (scan.mm, scan.image, scan.review, scan.refused) == (5.0, "a.dcm", None, None)
    assert scan.date.isoformat() == "2025-02-10"
    assert not strays


def visit(row, patient, study, day):
    rest = dict.fromkeys(
        (
            "arm",
            "cycle_type",
            "cycle_day",
            "phase",
            "cancelled",
            "cancelled_because",
            "transfer",
            "embryos",
            "sacs",
            "clinical_pregnancy",
            "reader_mm",
        )
    )
    studies = (study,) if study else ()
    return Visit(
        row=row,
        patient=patient,
        patient_id=patient,
        cycle=1,
        date=day,
        studies=studies,
        clips=(),
        baseline=(),
        **rest,
    )


def scan(i, patient, study, day, copy_of):
    return Scan(
        file=f"{i}.dcm",
        image=f"{i if copy_of is None else min(copy_of, i)}.dcm",
        sha256=f"{i:064x}",
        study=study,
        patient_id=patient,
        date=day,
        quality=0.5,
        mm=5.0 + i,
        lower_mm=4.5 + i,
        upper_mm=5.5 + i,
        automatic_mm=5.0 + i,
        review=None,
        refused=None,
    )


PATIENTS, STUDIES, DAYS = (
    st.sampled_from("AB"),
    st.sampled_from(["1", "2", "3", ""]),
    st.dates(
        min_value=date(2025, 1, 1),
        max_value=date(2025, 1, 3),
    ),
)


@given(
    st.lists(st.tuples(PATIENTS, STUDIES, DAYS), min_size=1, max_size=5),
    st.lists(
        st.tuples(PATIENTS, STUDIES, DAYS, st.none() | st.integers(0, 2)), min_size=1, max_size=6
    ),
)
def test_everything_is_either_joined_once_or_listed(of_visits, of_scans):
    rows = tuple(visit(i, *values) for i, values in enumerate(of_visits, 2))
    scans = tuple(scan(i, *values) for i, values in enumerate(of_scans))
    found = join(Visits(rows, ()), scans, PROTOCOL)
    assert [seen.row for seen in found.observations] == [each.row for each in rows]
    listed = {each.row for each in found.unjoined_visits}
    for seen in found.observations:
        assert (seen.thickness_mm is None) <= (seen.row in listed)
    lost = {each.file for each in found.unjoined_scans}
    used = [mm for seen in found.observations for mm in seen.repeats_mm]
    assert len(used) == len(set(used))
    images = {each.image for each in scans if each.file not in lost}
    assert len(images) == len(used)
    # No woman has another one's scan.
    for seen in found.observations:
        if seen.clip is not None:
            (own,) = [each for each in scans if each.file == seen.clip]
            assert own.patient_id == seen.patient


DONE = {"transfer": "yes", "embryos": "2"}


def test_what_came_of_a_transfer_may_stand_on_a_later_row(tmp_path):
    later = {"study": "9", "cycle_day": "40", "date": ""}
    found = joined(tmp_path, [DONE, later | {"sacs": "0", "clinical_pregnancy": "no"}], [{}])
    (transfer,) = found.transfers
    assert (transfer.embryos, transfer.sacs, transfer.clinical_pregnancy) == (2, 0, False)
    assert not [each for each in found.problems if each.column != "phase"]


def test_outcomes_that_deny_each_other_over_rows_are_unknown(tmp_path):
    later = {"study": "9", "cycle_day": "40", "date": ""}
    found = joined(tmp_path, [DONE, later | {"sacs": "3"}], [{}])
    assert found.transfers[0].sacs is None
    found = joined(tmp_path, [DONE | {"sacs": "1"}, later | {"clinical_pregnancy": "no"}], [{}])
    (transfer,) = found.transfers
    assert (transfer.sacs, transfer.clinical_pregnancy) == (None, None)
    assert [each.column for each in found.problems] == ["clinical_pregnancy"]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"transfer": "no", "embryos": "2"}, True),
        ({"sacs": "0"}, True),
        ({"clinical_pregnancy": "no"}, True),
        ({"transfer": "no", "embryos": "0", "sacs": "0", "clinical_pregnancy": "no"}, False),
        ({}, False),
    ],
)
def test_an_outcome_without_a_transfer_is_told_and_not_counted(tmp_path, row, told):
    found = joined(tmp_path, [row], [{}])
    assert found.transfers == ()
    assert [each.column for each in found.problems] == (["transfer"] if told else [])


def test_a_readers_number_stays_beside_a_scan(tmp_path):
    found = joined(tmp_path, [{"reader_a_mm": "8.5", "reader_b_mm": "8.7"}], [{}])
    (seen,) = found.observations
    assert (seen.thickness_mm, seen.origin) == (5.0, Origin.AUTOMATIC)
    assert seen.reader.mm == pytest.approx(8.6)
    assert seen.reader.lower_mm == pytest.approx(8.1)


def test_other_scans_of_a_visit_are_kept_with_their_intervals(tmp_path):
    thick = {"file": "b.dcm", "sha256": "b" * 64, "thickness_mm": "8.5", "lower_mm": "8.1",
             "upper_mm": "8.9", "quality": "0.8"}  # fmt: skip
    (seen,) = joined(tmp_path, [{}], [{}, thick]).observations
    assert seen.thickness_mm == 5.0
    assert [(r.mm, r.lower_mm, r.clip) for r in seen.others] == [(8.5, 8.1, "b.dcm")]
    assert seen.repeats_mm == (5.0, 8.5)


@pytest.mark.parametrize("mm", ["nan", "inf", "-5", "1e300"])
def test_a_length_that_is_none_is_an_error(tmp_path, mm):
    with pytest.raises(TableError, match="no number from 0 to 1000"):
        joined(tmp_path, [{}], [{"thickness_mm": mm}])
