"""The study's report: from a cohort's tables to the page, and what must not be on it."""

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from study_tables import run, visits
from typer.testing import CliRunner

from app.cli import app
from trial.agreement.estimate import Estimate
from trial.protocol import FOLDER
from trial.report import charts, words
from trial.simulation import simulate

# What stands before a name in the cohort's tables, and nowhere on a page.
NAME = "Ms-Doe-"
POOLED = {
    "analysis.json", "balance.csv", "baseline.csv", "beyond.csv", "differences.csv", "error.csv",
    "flow.csv", "implantation.csv", "means.csv", "missing.csv", "mixed.csv",
    "outcome-differences.csv", "pregnancy.csv", "reached.csv", "repeats.csv", "report.html",
    "thin.csv",
}  # fmt: skip
BY_WOMAN = {"observations.csv", "problems.csv", "screening.csv", "thickness.csv", "unjoined.csv"}


def cohort_tables(folder, cohort):
    """Write the visits table of a cohort, and the measurements of its scans, without pictures."""
    table = visits(
        folder / "visits.csv",
        *(
            {name: "" if value is None else str(value) for name, value in row.items()}
            | {"patient": NAME + str(row["patient"])}
            for row in cohort.rows
        ),
    )
    scans = run(
        folder / "run",
        *(
            {
                "file": f"{i}.dcm",
                "sha256": f"{i:064x}",
                "study_instance_uid": scan.study,
                "patient_id": NAME + scan.patient_id,
                "acquired_at": scan.date.isoformat(),
                "quality": "0.9",
            }
            | (
                {"status": "not_measurable", "reason": "no_endometrium", "thickness_mm": "",
                 "lower_mm": "", "upper_mm": ""}
                if scan.refused
                else {"thickness_mm": f"{scan.true_mm:.4f}",
                      "lower_mm": f"{scan.true_mm - 0.4:.4f}",
                      "upper_mm": f"{scan.true_mm + 0.4:.4f}"}
            )
            for i, scan in enumerate(cohort.scans, 1)
        ),
    )  # fmt: skip
    return table, scans


@pytest.fixture(scope="module")
def cohort():
    return simulate(7, women=40)


@pytest.fixture(scope="module")
def study(tmp_path_factory, cohort):
    folder = tmp_path_factory.mktemp("study")
    table, scans = cohort_tables(folder, cohort)
    result = call("report", table, "--run", scans, "--out", folder / "open")
    assert result.exit_code == 0, result.output
    blinded = call("report", table, "--run", scans, "--out", folder / "blinded", "--blinded")
    assert blinded.exit_code == 0, blinded.output
    return folder, result, blinded


def call(*arguments):
    return CliRunner().invoke(app, ["trial", *map(str, arguments)])


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def text_of(path):
    """Return the words of a page, without its style sheet."""
    found = []

    class Words(HTMLParser):
        style = False

        def handle_starttag(self, tag, attributes):
            self.style = tag == "style"

        def handle_data(self, data):
            if not self.style:
                found.append(data)

    Words().feed(path.read_text("utf-8"))
    return " ".join(" ".join(found).split())


def test_every_part_is_written_and_the_page_says_the_numbers_of_the_tables(study):
    folder, result, _ = study
    out = folder / "open"
    assert {each.name for each in out.iterdir()} == POOLED | BY_WOMAN
    page = text_of(out / "report.html")
    content = json.loads((out / "analysis.json").read_text("utf-8"))
    assert len(content["mixed"]["terms"]) == 6
    for term in content["mixed"]["terms"]:
        assert words.number(term["estimate"]["value"], 2, sign=True) in page
    for mean in content["thickness"]["means"]:
        assert words.number(mean["thickness"]["mean"]["value"]) in page
    rate = content["outcomes"]["implantation"][1]
    assert f"{rate['sacs']} sacs with a heartbeat of {rate['embryos']} embryos" in result.output
    (one,) = {row["thickness_mean"] for row in rows(out / "means.csv")
              if (row["arm"], row["cycle"]) == ("hbmsc", "2")}  # fmt: skip
    (same,) = [m["thickness"]["mean"]["value"] for m in content["thickness"]["means"]
               if (m["arm"], m["cycle"]) == ("hbmsc", 2)]  # fmt: skip
    assert float(one) == same


def test_the_join_finds_what_the_simulation_planted(study, cohort):
    """Two ways to the same observations: the tables joined, and what the simulation says."""
    folder, _, _ = study
    joined = rows(folder / "open" / "observations.csv")
    planted = [each for each in cohort.observations if each.missing and "study" in each.missing]
    assert planted
    for row, expected in zip(joined, cohort.observations, strict=True):
        assert row["patient"] == NAME + expected.patient
        assert bool(row["thickness_mm"]) == (expected.thickness_mm is not None), row
        assert row["phase"] == expected.phase
    unjoined = {row["row"] for row in rows(folder / "open" / "unjoined.csv") if row["row"]}
    assert unjoined == {str(each.row) for each in planted}


def test_a_woman_has_a_number_on_the_page_and_her_name_only_in_the_tables(study):
    folder, result, _ = study
    assert NAME not in (folder / "open" / "report.html").read_text("utf-8")
    assert NAME not in (folder / "open" / "analysis.json").read_text("utf-8")
    assert NAME not in result.output
    assert rows(folder / "open" / "thickness.csv")[0]["patient"].startswith(NAME)


def test_the_page_stands_alone_and_calls_no_difference_an_effect(study):
    folder, _, _ = study
    source = (folder / "open" / "report.html").read_text("utf-8")
    assert not re.search(r"<script|https?://|src=(?!\"data:)|<link", source)
    page = text_of(folder / "open" / "report.html")
    assert words.NOT_RANDOMISED in page
    assert not re.search(r"\b(cause[sd]?|efficacy|effective|because of the treatment)\b", page)


def test_a_blinded_report_says_nothing_by_arm_in_any_file(study):
    folder, _, result = study
    out = folder / "blinded"
    assert {each.name for each in out.iterdir()} == POOLED
    for path in out.iterdir():
        content = path.read_text("utf-8")
        if path.name == "report.html":
            # The protocol names its arms; nothing is counted or measured by them.
            content, _, protocol = content.partition("How it was done")
            assert "arms.control" in protocol
        for arm in ("control", "hbmsc"):
            assert arm not in content, f"{path.name} tells of {arm}"
    assert "control" not in result.output and "hbmsc" not in result.output
    assert words.BLINDED in text_of(out / "report.html")
    both = [json.loads((folder / each / "analysis.json").read_text("utf-8"))
            for each in ("open", "blinded")]  # fmt: skip
    assert sum(both[0]["women"].values()) == sum(both[1]["women"].values()) == 40


def test_the_place_of_a_woman_in_the_table_tells_nothing_while_blinded(cohort, tmp_path):
    """Sorted by arm or not, a blinded page draws the same."""
    pages = []
    for name, order in (("a", cohort.rows), ("b", sorted(cohort.rows, key=lambda r: r["arm"]))):
        (tmp_path / name).mkdir()
        table, scans = cohort_tables(tmp_path / name, replace(cohort, rows=tuple(order)))
        out = tmp_path / name / "out"
        done = call("report", table, "--run", scans, "--out", out, "--blinded")
        assert done.exit_code == 0, done.output
        page = (out / "report.html").read_text("utf-8")
        assert "woman 1" not in page
        pages.append(re.findall(r'class="curve[^>]*d="([^"]*)"', page))
    assert pages[0] == pages[1] and len(pages[0]) > 30


def test_tables_hold_the_differences_and_the_error_of_the_page(study):
    folder, _, _ = study
    out = folder / "open"
    content = json.loads((out / "analysis.json").read_text("utf-8"))
    of = {row["of"]: row for row in rows(out / "outcome-differences.csv")}
    wanted = content["outcomes"]["any_transfer"]
    assert float(of["any_transfer"]["p"]) == wanted["p"]
    assert float(of["any_transfer"]["difference_low"]) == wanted["difference"]["low"]
    assert (
        float(of["implantation"]["difference"])
        == (content["outcomes"]["implantation_difference"]["value"])
    )
    error = {row["from"]: row for row in rows(out / "error.csv")}
    assert (
        float(error["intervals"]["detectable_mm"])
        == (content["error"]["intervals"]["detectable_mm"])
    )
    first = rows(out / "balance.csv")[0]
    assert float(first["control_mean"]) == content["balance"][0]["sides"][0]["mean"]
    assert rows(out / "repeats.csv")[0]["low_mm"] == ""
    assert len(rows(out / "thin.csv")) == 2


def test_a_transfer_before_treatment_is_history_and_no_outcome(study, tmp_path):
    folder, _, _ = study
    with (folder / "visits.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    first = next(each for each in table if each["cycle"] == "0")
    first |= {"cancelled": "no", "cancelled_because": "", "transfer": "yes", "embryos": "2",
              "sacs": "0", "clinical_pregnancy": "no"}  # fmt: skip
    for each in table:
        if (each["patient"], each["cycle"]) == (first["patient"], "0"):
            each |= {"cancelled": "no", "cancelled_because": ""}
    changed = visits(tmp_path / "visits.csv", *table)
    done = call("report", changed, "--run", folder / "run", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    before, after = (json.loads((each / "analysis.json").read_text("utf-8"))
                     for each in (folder / "open", tmp_path / "out"))  # fmt: skip
    assert after["outcomes"] == before["outcomes"]
    assert (before["earlier_transfers"], after["earlier_transfers"]) == (0, 1)


def test_repeats_are_said_and_given_as_numbers(study):
    folder, _, _ = study
    arguments = ("repeat", folder / "visits.csv", "--run", folder / "run")
    said = call(*arguments)
    assert said.exit_code == 0 and "repeatability" in said.output
    found = json.loads(call(*arguments, "--json").output)
    # The scans of these visits are the truth: they do not differ at all.
    assert found["overall"]["sd"]["value"] == pytest.approx(0, abs=1e-9)
    assert found["overall"]["cases"] == sum(
        each["repeatability"]["cases"] for each in found["bins"] if each["repeatability"]
    )


def test_an_arm_that_the_protocol_lacks_is_refused(study):
    folder, _, _ = study
    result = call("report", folder / "visits.csv", "--run", folder / "run", "--out", folder / "no",
                  "--compare", "placebo")  # fmt: skip
    assert result.exit_code == 2 and "hbmsc" in result.output
    assert not (folder / "no").exists()


def test_nobody_measured_still_gives_a_page(tmp_path):
    table = visits(tmp_path / "visits.csv", {"patient": "W01", "cycle": "0", "study": "1"})
    scans = run(tmp_path / "run", {"study_instance_uid": "9", "patient_id": "W09"})
    result = call("report", table, "--run", scans, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    page = text_of(tmp_path / "out" / "report.html")
    assert "No visit has a thickness." in page and "Not fitted" in page


@pytest.mark.parametrize(
    ("p", "written"), [(None, "–"), (0.0004, "< 0.001"), (0.0321, "0.032"), (0.5, "0.50")]
)
def test_a_p_value_is_written_as_people_read_it(p, written):
    assert words.p_value(p) == written


def test_a_course_keeps_women_on_the_plot_and_cuts_endless_intervals():
    women = [(0, "woman 1", {0: 4.0, 1: 6.0}), (1, "woman 2", {1: 8.0})]
    means = [(0, 0, Estimate(4.0), "one"), (1, 1, Estimate(8.0, -90.0, 106.0), "wide")]
    found = charts.course(women, means, [6.0])
    (wide,) = [each for each in found.means if each.words == "wide"]
    assert (wide.low, wide.high) == (charts.HEIGHT, 0.0)
    assert 0 < wide.y < found.levels[0].y < charts.HEIGHT  # thicker is higher
    assert found.curves[1].path.startswith("M")  # a single visit is seen, too
    assert charts.course([], [], [6.0]) is None


def test_a_forest_always_shows_where_no_difference_is():
    found = charts.forest([(0, "a", Estimate(3.0, 2.0, 4.0)), (0, "b", Estimate(5.0))])
    assert found.zero is not None and 0 <= found.zero < found.whiskers[0].low
    assert all(0 <= each.x <= charts.WIDTH for each in found.whiskers)
    shares = charts.forest([(0, "a", Estimate(0.3, 0.1, 0.9))], zero=None)
    assert shares.zero is None and shares.plot.x_ticks[0] == (0.0, "0 %")
    assert charts.forest([]) is None


def test_one_arm_alone_is_reported_together_or_not_at_all(study, tmp_path):
    folder, _, _ = study
    text = (FOLDER / "NCT07176143.toml").read_text("utf-8")
    start = text.index('[[arms]]\nkey = "hbmsc"')
    alone = tmp_path / "alone.toml"
    alone.write_text(text[:start] + text[text.index("[threshold]") :], "utf-8")
    common = ("report", folder / "visits.csv", "--run", folder / "run", "--protocol", alone)
    refused = call(*common, "--out", tmp_path / "no")
    assert refused.exit_code == 2 and "one arm" in refused.output
    together = call(*common, "--out", tmp_path / "out", "--blinded")
    assert together.exit_code == 0, together.output
