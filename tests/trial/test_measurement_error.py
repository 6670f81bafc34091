"""The error of a measurement and the smallest change that is more than it."""

import math

import numpy as np
import pytest
from observed import A, B, visit

from trial.analysis.error import detectable, error_of_intervals, measurement_error
from trial.analysis.repeat import repeats
from trial.analysis.values import by_cycle


def found_of(rows):
    cycles, arms = by_cycle(rows), {each.patient: each.arm for each in rows}
    women = {arm: {p: c for p, c in cycles.items() if arms[p] == arm} for arm in (A, B)}
    return measurement_error(women, repeats(rows))


def test_smallest_detectable_change_is_2_77_standard_errors():
    """1.96 sqrt(2) = 2.77 (de Vet et al. 2006; Bland and Altman 1999 have the same factor)."""
    assert detectable(1.0) == pytest.approx(2.77, abs=2e-3)


def test_half_a_90_percent_interval_is_1_645_standard_deviations():
    found = error_of_intervals([visit("p", 1, 6.0, half=1.645 * 0.5)] * 3)
    assert (found.n, found.sd_mm) == (3, pytest.approx(0.5, abs=1e-4))


def test_widths_are_pooled_as_variances_and_visits_without_an_interval_left_out():
    rows = [visit("p", 1, 6.0, half=0.3), visit("p", 2, 6.0, half=0.9), visit("q", 1, 6, half=None)]
    found = error_of_intervals(rows)
    assert found.n == 2
    assert found.sd_mm == pytest.approx(math.sqrt((0.09 + 0.81) / 2) / 1.644854)
    assert error_of_intervals(rows[2:]) is None


def test_repeats_give_the_within_subject_deviation():
    rows = [visit(f"p{n}", 1, 6.0, repeats_mm=(6.0, 6.0 + gap)) for n, gap in enumerate((0.4, 0.8))]
    found = found_of(rows).repeats
    assert found.n == 2
    assert found.sd_mm == pytest.approx(math.sqrt((0.08 + 0.32) / 2))
    assert found.detectable_mm == pytest.approx(detectable(found.sd_mm))


def test_who_changed_by_more_than_that():
    limit = detectable(0.5)
    rows = []
    for name, gap in (("p", limit + 0.01), ("q", limit - 0.01), ("r", -limit - 0.01)):
        rows += [
            visit(name, 0, 6.0, half=0.5 * 1.6448536),
            visit(name, 1, 6 + gap, half=0.5 * 1.6448536),
        ]
    (beyond,) = found_of(rows).beyond
    assert (beyond.arm, beyond.cycle) == (A, 1)
    assert (beyond.thicker.count, beyond.thinner.count, beyond.thicker.n) == (1, 1, 3)


def test_nobody_without_change_is_beyond_in_more_than_5_of_100():
    """Two measurements of the same thickness: 5 of 100 differ by more, both ways together."""
    rng, rows = np.random.default_rng(2), []
    for n in range(4000):
        for cycle in (0, 1):
            mm = 6 + float(rng.normal(0, 0.5))
            rows.append(visit(f"p{n}", cycle, mm, half=0.5 * 1.6448536))
    (beyond,) = found_of(rows).beyond
    both = beyond.thicker.count + beyond.thinner.count
    assert 0.04 < both / beyond.thicker.n < 0.06


def test_without_intervals_repeats_judge_and_without_either_nobody_does():
    bare = [visit("p", 0, 5.0, half=None), visit("p", 1, 9.0, half=None)]
    assert found_of(bare).beyond == ()
    rows = [*bare, visit("q", 0, 5.0, half=None, repeats_mm=(5.0, 5.3))]
    found = found_of(rows)
    assert found.intervals is None
    assert found.beyond[0].thicker.count == 1
