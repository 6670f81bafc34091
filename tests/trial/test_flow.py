"""Who is in the analysis, who is not, and why."""

from itertools import pairwise

from hypothesis import given, settings
from observed import A, B, moves, transfer, visit, visits

from trial.analysis.flow import UNSAID, flow
from trial.analysis.values import arms_of


def of(rows, transfers=(), compared=(A, B)):
    return flow(rows, list(transfers), arms_of(rows, transfers), compared)


def test_every_woman_lost_has_her_reason():
    rows = [
        visit("whole", 0, 5.0),
        visit("whole", 1, 6.0),
        visit("armless", 0, 5.0, None),
        visit("third", 0, 5.0, "third arm"),
        visit("late", 1, 6.0),
        visit("refused", -1, None, missing="no scan of this visit"),
        visit("refused", 0, None, missing="low quality"),
        visit("untreated", 0, 5.0, B),
        visit("blurred", 0, 5.0, B),
        visit("blurred", 1, None, B),
    ]
    found = of(rows).thickness
    assert [(each.name, each.women, each.lost) for each in found] == [
        ("in the visits table", 7, {}),
        ("in a compared arm", 5, {"in an arm that is not compared": 1, "no arm": 1}),
        ("with a visit before treatment", 4, {"no visit before treatment": 1}),
        ("measured before treatment", 3, {"low quality": 1}),
        ("measured in a treatment cycle", 1, {UNSAID: 1, "no visit in a treatment cycle": 1}),
    ]
    assert found[3].by_arm == {A: 1, B: 2}


def test_outcomes_do_not_need_a_thickness():
    rows = [visit("p", 0, None), visit("q", 0, 5.0), visit("r", 0, 5.0, B)]
    moved = [transfer("p", 1, 1), transfer("q", 1, None)]
    found = of(rows, moved).outcomes
    assert [(each.name, each.women, each.lost) for each in found[1:]] == [
        ("in a compared arm", 3, {}),
        ("with a transfer", 2, {"no transfer": 1}),
        ("with a known outcome", 1, {"outcome not known": 1}),
    ]
    assert found[-1].by_arm == {A: 1, B: 0}


def test_missing_by_arm_and_cycle_with_reasons():
    rows = [
        visit("p", 0, 5.0),
        visit("p", 1, None, missing="low quality"),
        visit("q", 0, None),
        visit("q", 0, 5.0),
        visit("r", 0, None, B),
    ]
    found = {(each.arm, each.cycle): each for each in of(rows).missing}
    assert (found[A, 0].women, found[A, 0].measured, found[A, 0].reasons) == (2, 2, {})
    assert (found[A, 1].measured, found[A, 1].absent) == (0, 1)
    assert found[A, 1].reasons == {"low quality": 1}
    assert found[B, 0].reasons == {UNSAID: 1}
    assert found[B, 1].absent == 1


@settings(deadline=None)
@given(visits(), moves())
def test_nobody_is_lost_without_a_count(rows, transfers):
    for compared in ((A, B), ("all",)):
        found = of(rows, transfers, compared)
        for steps in (found.thickness, found.outcomes):
            for before, after in pairwise(steps):
                assert before.women == after.women + sum(after.lost.values())
        for each in found.missing:
            assert each.women == each.measured + each.absent + sum(each.reasons.values())


@given(visits(), moves())
def test_a_blinded_flow_has_no_count_by_arm(rows, transfers):
    found = of(rows, transfers, ("all",))
    assert all(each.by_arm == {} for each in (*found.thickness, *found.outcomes))
    assert {each.arm for each in found.missing} <= {"all"}
