"""Implantation and pregnancy against published worked examples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from observed import A, B, moves, swapped, transfer
from published_trials import HOUSEHOLDS

from trial.agreement.estimate import share
from trial.analysis.numbers import newcombe
from trial.analysis.pregnancy import clustered_rate, fisher, outcome, outcomes
from trial.observations import Transfer

# Newcombe, Stat Med 17, 1998, 873, table II, method 10.
TABLE_II = [
    (56, 70, 48, 80, 0.0524, 0.3339),
    (9, 10, 3, 10, 0.1705, 0.8090),
    (6, 7, 2, 7, 0.0582, 0.8062),
    (5, 56, 0, 29, -0.0381, 0.1926),
    (0, 10, 0, 20, -0.1611, 0.2775),
    (0, 10, 0, 10, -0.2775, 0.2775),
    (10, 10, 0, 20, 0.6791, 1.0000),
    (10, 10, 0, 10, 0.6075, 1.0000),
]


@pytest.mark.parametrize(("x", "m", "y", "n", "low", "high"), TABLE_II)
def test_newcombes_own_examples(x, m, y, n, low, high):
    found = newcombe(share(x, m), share(y, n))
    assert found.value == pytest.approx(x / m - y / n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5.1e-5)


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_newcombes_interval_is_what_statsmodels_says(m, n, data):
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    x, y = data.draw(st.integers(0, m)), data.draw(st.integers(0, n))
    ends = proportion.confint_proportions_2indep(x, m, y, n, method="newcomb", compare="diff")
    found = newcombe(share(x, m), share(y, n))
    assert (found.low, found.high) == pytest.approx(ends, abs=1e-9)


def test_the_lady_tasting_tea():
    """Fisher 1935: three of four cups right, two-sided p 0.4857."""
    assert fisher([[3, 1], [1, 3]]) == pytest.approx(0.4857, abs=5e-5)


def test_cochrans_households():
    """Sampling Techniques, 1977, section 3.12: p = 0.2885, variance 0.00520 by households and
    0.00197 as if people were independent, so that the design effect is 2.64."""
    found = clustered_rate(HOUSEHOLDS[:, 1], HOUSEHOLDS[:, 0])
    assert found.rate.value == pytest.approx(0.2885, abs=5e-5)
    simple = found.rate.value * (1 - found.rate.value) / 104
    assert simple == pytest.approx(0.00197, abs=5e-6)
    assert found.design_effect * simple == pytest.approx(0.00520, abs=1e-5)
    assert found.effective < 104 / found.design_effect  # few clusters cost a little more


@given(st.lists(st.integers(0, 1), min_size=2, max_size=40), st.integers(2, 4))
def test_copies_of_an_embryo_tell_no_more_than_one(fates, copies):
    """Clusters of alike units: as much as one unit of each cluster."""
    one = clustered_rate(np.array(fates, float), np.ones(len(fates)))
    many = clustered_rate(np.array(fates, float) * copies, np.full(len(fates), float(copies)))
    assert many.rate.value == pytest.approx(one.rate.value)
    assert many.effective == pytest.approx(one.effective)
    assert (many.rate.low, many.rate.high) == pytest.approx((one.rate.low, one.rate.high))


def test_no_event_at_all_counts_women_and_one_woman_has_no_interval():
    none = clustered_rate(np.zeros(12), np.full(12, 2.0))
    assert (none.rate.value, none.rate.low, none.design_effect) == (0.0, 0.0, None)
    assert none.rate.high == share(0, 12).high
    assert clustered_rate(np.array([1.0]), np.array([2.0])).rate.low is None
    twins = clustered_rate(np.array([2.0, 1.0]), np.array([1.0, 1.0]))
    assert (twins.rate.value, twins.rate.low) == (1.5, None)


def test_a_woman_counts_once_and_an_unknown_outcome_is_no_failure():
    rows = [
        transfer("p", 2, 0, cycle=1),
        transfer("p", 1, 1, cycle=2),
        transfer("q", 2, None, cycle=1),
        transfer("q", 1, 0, cycle=2),
        transfer("r", 1, 0),
        transfer("s", None, 1),
    ]
    found = outcomes({A: rows})
    ((implantation,), (pregnancy,)) = found.implantation, found.any_transfer.arms
    assert (implantation.women, implantation.transfers) == (3, 4)
    assert (implantation.embryos, implantation.sacs, implantation.unknown) == (5, 1, 2)
    assert (pregnancy.pregnant.count, pregnancy.pregnant.n, pregnancy.unknown) == (2, 3, 1)
    first = found.first_transfer.arms[0]
    assert (first.pregnant.count, first.pregnant.n, first.unknown) == (1, 3, 1)
    assert found.implantation_difference is None
    assert found.any_transfer.difference is None


def test_a_later_success_outweighs_an_unknown_outcome():
    assert outcome([transfer("p", 1, None), transfer("p", 1, 1)]) is True
    assert outcome([transfer("p", 1, None), transfer("p", 1, 0)]) is None
    assert outcome([transfer("p", 1, 0)]) is False
    assert outcome([]) is None


def by_arm(rows):
    return {arm: [each for each in rows if each.arm == arm] for arm in (A, B)}


@given(moves())
def test_exchanging_arms_turns_differences_round_and_leaves_p(rows):
    one, two = outcomes(by_arm(rows)), outcomes(by_arm(swapped(rows)))
    pairs = [(one.implantation_difference, two.implantation_difference)]
    for name in ("any_transfer", "first_transfer"):
        first, second = getattr(one, name), getattr(two, name)
        pairs.append((first.difference, second.difference))
        assert first.p == pytest.approx(second.p) if first.p is not None else second.p is None
    for first, second in pairs:
        assert (first is None) is (second is None)
        if first is not None:
            assert first.value == pytest.approx(-second.value)
            assert (first.low is None) is (second.low is None)
            if first.low is not None:
                assert first.low == pytest.approx(-second.high)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3)), min_size=2, max_size=40))
def test_embryos_never_tell_more_than_there_are(women):
    events = np.array([min(sacs, embryos) for sacs, embryos in women], float)
    units = np.array([embryos for _, embryos in women], float)
    found = clustered_rate(events, units)
    assert found.effective <= units.sum() + 1e-9
    if found.design_effect is not None:
        assert found.design_effect >= 1


def test_women_with_one_sac_of_two_each_do_not_look_like_many_embryos():
    found = clustered_rate(np.array([1.0] * 9 + [2.0]), np.full(10, 2.0))
    assert found.design_effect == 1
    assert found.rate.high - found.rate.low > 0.35


def test_a_sac_with_a_heartbeat_is_a_pregnancy_though_nobody_says_so():
    assert outcome([Transfer(2, "W", "a", 1, None, 1, 1, None)]) is True
    assert outcome([Transfer(2, "W", "a", 1, None, 1, 0, None)]) is None
