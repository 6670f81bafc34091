"""Two models side by side: what is better is called better, and nothing else is."""

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from test_evaluate import Network, folder_of, label, picture
from typer.testing import CliRunner

pytest.importorskip("monai")

from app.cli import app
from data.cases import read_cases
from inference.records import Call, Status
from models.bundle import load_bundle
from training.compare import Side, change, changed_most, compare, score_mm
from training.compare_page import sentence, write_comparison
from training.duel import Corner, Model, numbered, paired
from training.evaluate import evaluate
from training.finished import FinishedError, read_finished
from training.metrics import Fit
from training.report import CASES_CSV, SUMMARY_JSON, summary_of, write_cases
from training.summary import Result

A, B = Side("new", "a" * 64), Side("old", "b" * 64)
FIT = Fit(0.8, 0.9, 0.3, 0.2, 0.9, located=True, dice_endometrium=0.8)


def result(i=0, mm=5.0, *, true=5.0, patient=None, **changes):
    """A case measured as `mm`; None refuses it."""
    measured = mm is not None
    return replace(
        Result(
            name=f"{i}.png",
            patient=patient or f"p{i}",
            families={"pattern": "odd" if i % 2 else "even"},
            visible=True,
            true_mm=true,
            status=Status.MEASURED if measured else Status.NOT_MEASURABLE,
            reason=None if measured else "low_quality",
            measured_mm=mm,
            call=Call.THIN if measured else None,
            outlined=True,
            drawn=True,
            drawn_endometrium=True,
            fit=FIT,
        ),
        **changes,
    )


def empty(i, mm):
    return result(i, mm, true=None, visible=False, drawn=False, fit=None, drawn_endometrium=False)


def by_key(found):
    return {each.key: each for each in found.endpoints}


def noisy(n, sd_a, sd_b, bias_a=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return [
        (result(i, 5 + bias_a + rng.normal(0, sd_a)), result(i, 5 + rng.normal(0, sd_b)))
        for i in range(n)
    ]


def test_a_case_costs_its_error_and_a_refusal_or_an_invention_1_5_mm():
    assert score_mm(result(mm=5.7)) == pytest.approx(0.7)
    assert score_mm(result(mm=None)) == 1.5
    assert score_mm(empty(0, 4.0)) == 1.5
    assert score_mm(empty(0, None)) == 0
    assert score_mm(result(true=None)) is None


def test_the_better_model_is_called_better_and_the_other_way_round():
    pairs = noisy(60, 0.2, 1.0)
    found = compare(A, B, pairs)
    score = found.decides
    assert (score.key, found.primary) == ("score_mm", "score_mm")
    assert score.verdict == "better" and score.difference.high < 0
    assert score.difference.value == pytest.approx(score.a - score.b)
    assert by_key(found)["mae_mm"].verdict == "better"
    assert sentence(found).startswith("new is better than old. Score")
    back = compare(B, A, [(b, a) for a, b in pairs])
    assert back.decides.verdict == "worse"
    assert back.decides.difference.value == pytest.approx(-score.difference.value)
    assert compare(A, B, pairs) == found  # the seed is fixed
    assert compare(A, B, pairs, seed=2).decides.difference != score.difference


def test_equal_models_are_rarely_called_different():
    verdicts = [compare(A, B, noisy(30, 0.5, 0.5, seed=s)).decides.verdict for s in range(20)]
    assert verdicts.count("not shown") >= 16
    same = compare(A, A, [(a, a) for a, _ in noisy(20, 0.5, 0.5)])
    assert {each.verdict for each in same.endpoints} == {"not shown"}
    assert "is not shown" in sentence(same)


def test_pairing_sees_what_two_separate_intervals_would_not():
    """Cases differ by millimetres, the models by 0.1 mm on every one of them."""
    rng = np.random.default_rng(3)
    errors = rng.uniform(0, 4, 40)
    pairs = [(result(i, 5 + e), result(i, 5.1 + e)) for i, e in enumerate(errors)]
    score = compare(A, B, pairs).decides
    assert score.verdict == "better"
    assert score.difference.value == pytest.approx(-0.1)


def test_patients_are_drawn_not_cases():
    rng = np.random.default_rng(4)
    shift = rng.normal(0.1, 0.4, 12)
    pairs = [
        (result(i, 6.0, patient=f"p{i // 10}"), result(i, 6.0 + shift[i // 10])) for i in range(120)
    ]
    alone = [(replace(a, patient=f"q{i}"), b) for i, (a, b) in enumerate(pairs)]
    grouped, single = (compare(A, B, each).decides for each in (pairs, alone))
    assert (grouped.patients, single.patients) == (12, 120)
    widths = [each.difference.high - each.difference.low for each in (grouped, single)]
    assert widths[0] > 2 * widths[1]


def test_the_size_of_the_bias_counts_and_not_its_sign():
    bias = by_key(compare(A, B, noisy(60, 0.1, 0.1, bias_a=-0.5)))["bias_mm"]
    assert (bias.a, bias.verdict) == (pytest.approx(-0.5, abs=0.05), "worse")
    assert bias.difference.value == pytest.approx(abs(bias.a) - abs(bias.b))


def test_refusals_and_inventions_are_shares_and_part_of_the_score():
    pairs = [(result(i), result(i, None)) for i in range(10)]
    pairs += [(empty(i, 4.0), empty(i, None)) for i in range(10, 20)]
    found = by_key(compare(A, B, pairs))
    assert (found["refused"].a, found["refused"].b, found["refused"].verdict) == (0, 1, "better")
    assert (found["invented"].a, found["invented"].b, found["invented"].verdict) == (1, 0, "worse")
    assert (found["on_target"].a, found["on_target"].n) == (1, 10)
    assert (found["score_mm"].a, found["score_mm"].b, found["score_mm"].n) == (0.75, 0.75, 20)
    assert "mae_mm" not in found  # nothing was measured by both


def test_dice_counts_by_label_and_nothing_outlined_counts_0():
    wet = replace(FIT, dice_fluid=0.5)
    nothing = {"fit": None, "outlined": False}
    pairs = [
        (result(i, fit=wet, drawn_fluid=True), result(i, None, drawn_fluid=True, **nothing))
        for i in range(9)
    ]
    found = by_key(compare(A, B, [*pairs, (result(9), result(9))]))
    assert (found["dice"].a, found["dice"].b) == pytest.approx((0.8, 0.08))
    assert (found["dice_endometrium"].n, found["dice_fluid"].n) == (10, 9)
    assert (found["dice_fluid"].a, found["dice_fluid"].b) == (0.5, 0)
    assert found["dice_fluid"].verdict == "better"


def test_without_millimetres_outlines_are_compared_and_that_is_said():
    better = replace(FIT, dice=0.9)
    pairs = [
        (result(i, None, true=None, fit=better), result(i, None, true=None)) for i in range(12)
    ]
    found = compare(A, B, pairs)
    assert not found.millimetres
    assert (found.primary, found.decides.verdict) == ("dice", "better")
    assert {each.key for each in found.endpoints} == {"dice", "dice_endometrium", "located"}


def test_what_failed_for_one_alone_counts_as_refused_by_it():
    broken = result(3, None, status=Status.FAILED, true=None, drawn=False, fit=None, reason=None)
    pairs = [(result(i), result(i)) for i in range(9)]
    found = compare(A, B, [*pairs, (broken, result(3)), (broken, broken)])
    assert (found.cases, found.failed_both, found.failed_a, found.failed_b) == (10, 1, 1, 0)
    assert found.decides.a == pytest.approx(0.15)
    assert found.decides.b == 0


def test_few_patients_and_no_cases_decide_nothing():
    few = compare(A, B, [(result(i, 5.0), result(i, 9.0)) for i in range(5)])
    assert few.decides.verdict == "too few patients"
    assert "is not shown: too few patients" in sentence(few)
    nothing = compare(A, B, [])
    assert nothing.decides is None
    assert "no case could be compared" in sentence(nothing)
    assert nothing.as_json()["verdict"] == "not shown"


def test_families_explore_the_endpoint_that_decides():
    groups = compare(A, B, noisy(40, 0.1, 1.0)).groups
    assert [(g.family, g.group, g.endpoint.n) for g in groups] == [
        ("pattern", "even", 20),
        ("pattern", "odd", 20),
    ]
    assert {g.endpoint.key for g in groups} == {"score_mm"}


def test_what_changed_most_comes_first_on_both_sides():
    pairs = [
        (result(0, 5.0), result(0, 5.0)),
        (result(1, 5.0), result(1, 8.0)),
        (result(2, 6.0), result(2, 5.0)),
        (result(3, 5.0), result(3, 5.5)),
    ]
    assert change(pairs[1]) == pytest.approx(-3)
    assert changed_most(pairs, 9) == ([1, 3], [2])
    assert changed_most(pairs, 1) == ([1], [2])


def test_cases_are_paired_by_name_and_what_is_alone_is_counted():
    twice = [result(1, 5.0), result(1, 6.0), result(2, 7.0)]
    other = [result(2, 7.5), result(1, 5.5), result(1, 6.5), result(4, 4.0), result(5, 4.0)]
    both = paired(twice, other)
    assert [(a.measured_mm, b.measured_mm) for a, b in both.pairs] == [
        (5.0, 5.5),
        (6.0, 6.5),
        (7.0, 7.5),
    ]
    assert (both.only_a, both.only_b) == (0, 2)
    assert both.keys == (("1.png", 0), ("1.png", 1), ("2.png", 0))
    with pytest.raises(FinishedError, match="no case in common"):
        paired([result(1)], [result(2)])
    with pytest.raises(FinishedError, match="different truths"):
        paired([result(1), result(2)], [result(1, true=7.0), result(2, true=3.0)])


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A data set, and two networks judged on it: one sees it all, one two thirds of a band."""
    folder = tmp_path_factory.mktemp("compare")
    rows = []
    for i in range(4):
        picture(folder / f"secret-{i}.png", seed=i)
        rows.append(label(f"secret-{i}.png", group=f"DOE^JANE{i}", pattern=f"<i>{i % 2}</i>"))
    picture(folder / "none.png", band=None)
    rows.append(label("none.png", visible=False, polygon=None, thickness_mm_est=None))
    rows.append(label("gone.png"))
    folder_of(folder, *rows)
    # The limit is that of the shipped network, which these are not.
    bundle, cases = replace(load_bundle(), min_quality=0.1), read_cases(folder)
    networks = [Network(bundle), Shallow(bundle)]
    results = [evaluate(cases, bundle, network) for network in networks]
    for name, found in zip("ab", results, strict=True):
        (folder / name).mkdir()
        write_cases(tuple(found), folder / name / CASES_CSV)
        text = json.dumps(summary_of(found, bundle).as_json())
        (folder / name / SUMMARY_JSON).write_text(text)
    corners = tuple(
        Corner(side, Model(bundle, n)) for side, n in zip((A, B), networks, strict=True)
    )
    return folder, cases, results, corners


class Shallow(Network):
    """Sees the upper two thirds of a band only."""

    def shares(self, grey):
        shares = super().shares(grey)
        band = shares[self.labels.index("endometrium")]
        rows = np.flatnonzero((band > 0.5).any(1))
        if len(rows):
            band[rows[0] + 2 * len(rows) // 3 :] = 0
        return shares


def test_the_page_stands_alone_names_nobody_and_shows_both(judged, tmp_path):
    _, cases, results, corners = judged
    both = paired(*results)
    found = compare(A, B, both.pairs)
    write_comparison(tmp_path, found, both, dict(numbered(cases)), corners)
    text = (tmp_path / "compare.html").read_text(encoding="utf-8")
    addresses = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert len(addresses) == 4  # the four that changed
    assert all(address.startswith("data:image/png;base64,") for address in addresses)
    for secret in ("DOE^JANE", "secret", ".png", str(judged[0])):
        assert secret not in text
    assert "<i>0" not in text and "&lt;i&gt;0" in text
    assert "1 cases could not be read or compared" in text
    with (tmp_path / "compare.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == list("123456")
    assert rows[0]["name"] == "secret-0.png"
    first = results[0][0], results[1][0]
    for side, one in zip("ab", first, strict=True):
        assert float(rows[0][f"dice_{side}"]) == one.dice
        assert rows[0][f"status_{side}"] == one.status
    assert float(rows[0]["dice_a"]) > float(rows[0]["dice_b"])
    assert json.loads((tmp_path / "compare.json").read_text())["primary"] == "score_mm"


def test_a_finished_evaluation_reads_back_as_it_was(judged):
    folder, _, results, _ = judged
    side, read = read_finished(folder / "a")
    assert (side.name, len(read)) == (load_bundle().name, 6)
    for one, other in zip(read, results[0], strict=True):
        assert one == other


def run(*arguments):
    return CliRunner().invoke(app, ["compare", *map(str, arguments)])


def test_two_finished_evaluations_are_compared_without_measuring(judged, tmp_path):
    folder, _, results, _ = judged
    done = run(folder / "a", folder / "b", "--out", tmp_path / "out")
    assert done.exit_code == 1, done.output  # one case failed
    assert "A is" in done.stdout and "too few patients" in done.stdout
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "compare.html", "compare.csv", "compare.json",
    }  # fmt: skip
    shown = json.loads(run(folder / "a", folder / "b", "--json").stdout)
    expected = compare(Side("x", "y"), Side("x", "y"), paired(*results).pairs)
    assert shown["endpoints"][0]["difference"]["value"] == expected.decides.difference.value
    assert json.loads((tmp_path / "out/compare.json").read_text()) == shown


def test_a_model_is_measured_and_set_against_a_finished_evaluation(judged, tmp_path):
    folder, *_ = judged
    done = run("default", folder / "a", folder, "--out", tmp_path / "out")
    assert done.exit_code == 1, done.output
    text = (tmp_path / "out/compare.html").read_text(encoding="utf-8")
    name = load_bundle().name
    assert f"A ({name})" in text and f"B ({name})" in text


def test_wrong_usage_is_said(judged, tmp_path):
    folder, *_ = judged
    (tmp_path / "file").write_text("")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "summary.json").write_text("{}")
    (broken / "cases.csv").write_text("case\n1\n")
    for arguments, says in (
        (("default", "default"), "needs a DATASET"),
        (("default", tmp_path / "nowhere", folder), "not a bundle"),
        (("default", "default", tmp_path), "none of them"),
        ((folder / "a", broken), "does not say which model"),
        ((folder / "a", folder / "b", "--device", "tpu"), "--device 'tpu'"),
        ((folder / "a", folder / "b", "--out", tmp_path / "file"), "cannot be written"),
    ):
        done = run(*arguments)
        assert done.exit_code == 2, done.output
        assert says in done.stderr
    (broken / "summary.json").write_text('{"bundle": {"name": "x", "sha256": "y"}}')
    text = (folder / "a/cases.csv").read_text()
    for content, says in (
        ("case\n1\n", "line 2 has no name"),
        ("", "lists no case"),
        (text.replace("measured,", "eaten,", 1), "line 2, status is 'eaten'"),
        (text.replace("True", "yes", 1), "line 2, visible is 'yes'"),
        ("\ufeff\x00", "lists no case"),
    ):
        (broken / "cases.csv").write_text(content, encoding="utf-8")
        done = run(broken, folder / "b")
        assert done.exit_code == 2, done.output
        assert says in done.stderr


def test_the_two_networks_differ_as_the_tests_think(judged):
    _, _, (sees, shallow), _ = judged
    assert sees[0].dice > 0.95 > 0.9 > shallow[0].dice > 0.7
    assert shallow[0].measured_mm == pytest.approx(sees[0].measured_mm * 2 / 3, abs=0.5)
