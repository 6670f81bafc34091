"""The mixed model against published fits, and what it says where there is no safe number."""

import math
from dataclasses import replace

import numpy as np
import pytest
from observed import A, B, visit
from published_trials import ORTHODONT, SLEEPSTUDY

from trial.analysis import mixed as module
from trial.analysis.mixed import Mixed, fit, mixed
from trial.analysis.numbers import NoResult
from trial.analysis.values import by_cycle
from trial.observations import CycleType

pytest.importorskip("statsmodels")


def grouped(rows):
    cycles, arms = by_cycle(rows), {each.patient: each.arm for each in rows}
    names = [arm for arm in (A, B) if arm in arms.values()]
    return {arm: {p: c for p, c in cycles.items() if arms[p] == arm} for arm in names}


def simulated(seed=1, women=20, effect=1.0, woman_sd=0.6, **more):
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(women):
        arm, own = (A, B)[number % 2], rng.normal(5, woman_sd)
        for cycle in (1, 2, 3):
            day = int(rng.integers(10, 17))
            kind = CycleType.NATURAL if rng.random() < 0.4 else CycleType.HRT
            mm = own + effect * (arm == B) + 0.1 * (day - 13) + rng.normal(0, 0.5)
            values = {"cycle_day": day, "cycle_type": kind, **more}
            rows.append(visit(f"p{number}", cycle, float(mm), arm, row=len(rows) + 2, **values))
    return rows


def test_the_sleep_study_as_lme4_fits_it():
    """Reaction ~ Days + (1 | Subject) by REML: 251.405 (SE 9.747), 10.467 (0.804), standard
    deviations 37.12 and 30.99 (Bates et al., J Stat Softw 67, 2015, 1; the package's help)."""
    y = SLEEPSTUDY.ravel()
    x = np.stack([np.ones(180), np.tile(np.arange(10.0), 18)], 1)
    found = fit(y, x, np.repeat(np.arange(18), 10))
    assert found.beta == pytest.approx([251.405, 10.467], abs=6e-4)
    assert np.sqrt(np.diag(found.covariance)) == pytest.approx([9.747, 0.804], abs=6e-4)
    assert math.sqrt(found.between) == pytest.approx(37.12, abs=6e-3)
    assert math.sqrt(found.within) == pytest.approx(30.99, abs=6e-3)


def test_the_growth_of_children_as_nlme_fits_it_with_its_degrees_of_freedom():
    """distance ~ age * Sex, random intercept (Pinheiro and Bates, Mixed-Effects Models in S and
    S-PLUS, 2000): age 0.784375 (SE 0.0775011, 79 df), SexFemale 1.032102 (25 df), their product
    -0.304830 (0.1214209, 79 df), standard deviations 1.816214 and 1.386382.

    Ages 8, 10, 12, 14 are cycles 1 to 4 here, boys the reference."""
    rows = []
    for sex, children in zip((A, B), ORTHODONT, strict=True):
        for number, child in enumerate(children):
            rows += [
                visit(f"{sex}{number}", cycle, float(mm), sex, cycle_type=None, cycle_day=None)
                for cycle, mm in enumerate(child, 1)
            ]
    found = mixed(grouped(rows))
    terms = {each.name: each for each in found.terms}
    assert (found.women, found.rows) == (27, 108)
    assert terms["cycle"].estimate.value == pytest.approx(2 * 0.784375, abs=1e-5)
    assert terms["cycle"].error == pytest.approx(2 * 0.0775011, abs=1e-5)
    assert terms["arm"].estimate.value == pytest.approx(1.032102 - 8 * 0.304830, abs=1e-5)
    assert terms["arm x cycle"].estimate.value == pytest.approx(-2 * 0.304830, abs=1e-5)
    assert terms["arm x cycle"].error == pytest.approx(2 * 0.1214209, abs=1e-5)
    assert [terms[n].df for n in ("intercept", "arm", "cycle", "arm x cycle")] == [25, 25, 79, 79]
    assert found.woman_sd_mm == pytest.approx(1.816214, abs=1e-4)
    assert found.residual_sd_mm == pytest.approx(1.386382, abs=1e-4)
    assert any("cycle type" in note for note in found.notes)
    assert any("cycle day" in note for note in found.notes)


def test_all_terms_are_there_and_exchanging_arms_turns_theirs_round():
    rows = simulated()
    found = mixed(grouped(rows))
    names = ["intercept", "arm", "cycle", "arm x cycle", "cycle type", "cycle day"]
    assert [each.name for each in found.terms] == names
    assert found.notes == ()
    women = grouped(rows)
    other = mixed({B: women[B], A: women[A]})
    for one, two in zip(found.terms, other.terms, strict=True):
        if one.name in ("arm", "arm x cycle"):
            assert one.estimate.value == pytest.approx(-two.estimate.value, abs=1e-4)
            assert one.estimate.low == pytest.approx(-two.estimate.high, abs=1e-4)
        if one.name in ("cycle type", "cycle day"):
            assert one.estimate.value == pytest.approx(two.estimate.value, abs=1e-4)


def test_one_arm_is_fitted_without_the_arm():
    found = mixed(grouped([each for each in simulated(women=24) if each.arm == A]))
    assert [e.name for e in found.terms] == ["intercept", "cycle", "cycle type", "cycle day"]


def test_a_term_that_says_nothing_more_is_left_out_and_named():
    found = mixed(grouped(simulated(cycle_type=CycleType.HRT)))
    assert "cycle type" not in [each.name for each in found.terms]
    assert any(note.startswith("cycle type is left out") for note in found.notes)


def test_rows_without_a_day_are_left_out_and_counted():
    rows = simulated()
    rows[0] = visit("p0", 1, 5.0, cycle_day=None)
    found = mixed(grouped(rows))
    assert found.rows == 59
    assert "1 cycles without cycle day are left out" in found.notes


def test_no_variance_between_women_is_said():
    """Women of alternating cycles around the same mean differ less than chance would have it."""
    rows = [
        visit(f"p{n}", cycle, 6.0 + (-1) ** (cycle + n // 2) * 0.5, (A, B)[n % 2])
        for n in range(20)
        for cycle in (1, 2, 3, 4)
    ]
    found = mixed(grouped(rows))
    assert isinstance(found, Mixed)
    assert found.woman_sd_mm < 0.01
    assert any("singular" in note for note in found.notes)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([], "women"),
        (simulated(women=6), "fewer than 5 women"),
        ([each for each in simulated() if each.cycle == 1], "too few cycles"),
        ([visit(f"p{n}", c, 6.0, (A, B)[n % 2]) for n in range(20) for c in (1, 2)], ""),
    ],
)
def test_no_number_without_enough_to_tell_it_from(rows, why):
    women = grouped(rows)
    found = mixed({arm: women.get(arm, {}) for arm in (A, B)})
    assert isinstance(found, NoResult)
    assert why in found.why


def test_one_of_two_arms_without_women_gives_the_reason():
    women = grouped(simulated())
    found = mixed({A: women[A], B: {}})
    assert found == NoResult("an arm has fewer than 5 women with a treatment cycle")


def test_a_fit_that_does_not_converge_gives_no_number(monkeypatch):
    class Stuck:
        def __init__(self, *_, **__):
            pass

        def fit(self, **_):
            return type("R", (), {"converged": False, "cov_re": np.eye(1), "scale": 1.0})()

    monkeypatch.setattr(module, "_statsmodels", lambda: Stuck)
    found = mixed(grouped(simulated()))
    assert found == NoResult("the fit of the model did not converge")


def test_without_statsmodels_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(
        __import__("sys").modules, "statsmodels.regression.mixed_linear_model", None
    )
    with pytest.raises(ImportError, match=r"pip install 'endometer\[trial\]'"):
        mixed(grouped(simulated()))


def test_where_half_know_the_type_and_half_the_day_one_term_goes():
    rows = [
        replace(each, **{"cycle_type" if i % 2 else "cycle_day": None})
        for i, each in enumerate(simulated(women=40))
    ]
    found = mixed(grouped(rows))
    assert isinstance(found, Mixed)
    assert "cycle type" in [term.name for term in found.terms]
    assert "cycle day" not in [term.name for term in found.terms]
    assert any("cycle day is left out" in note for note in found.notes)


def test_an_arm_that_lacks_a_term_is_not_dropped_in_silence():
    rows = [replace(e, cycle_type=None) if e.arm == B else e for e in simulated(women=40)]
    found = mixed(grouped(rows))
    assert isinstance(found, NoResult)
    assert "an arm has fewer than 5 women" in found.why and "without cycle type" in found.why
