"""What results say about trust, against results whose trustworthiness is known."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.records import Call, Status
from training.summary import Result
from training.trust import GOOD_QUALITY, MEASURED, outcomes, selective, situations, trust_of

RESULT = Result(
    name="a",
    patient="a",
    families={"view": "sagittal", "pattern": "thin_line"},
    visible=True,
    true_mm=5.0,
    status=Status.MEASURED,
    measured_mm=5.2,
    lower_mm=4.7,
    upper_mm=5.7,
    call=Call.THIN,
    quality=0.9,
)


def of(true_mm, measured_mm, quality=0.9, call=Call.INDETERMINATE, half_mm=0.5, **more):
    return replace(
        RESULT,
        true_mm=true_mm,
        measured_mm=measured_mm,
        lower_mm=measured_mm - half_mm,
        upper_mm=measured_mm + half_mm,
        quality=quality,
        call=call,
        **more,
    )


def refused(reason, **more):
    return replace(
        RESULT, status=Status.NOT_MEASURABLE, reason=reason, measured_mm=None, call=None, **more
    )


def test_the_wrong_side_counts_only_away_from_the_threshold():
    found = trust_of(
        [
            of(5.0, 7.0, call=Call.NOT_THIN),  # wrong
            of(5.0, 5.1, call=Call.THIN),
            of(8.0, 5.0, call=Call.THIN),  # wrong
            of(8.0, 8.0, call=Call.NOT_THIN),
            of(7.0, 6.5),
            of(5.8, 6.9, call=Call.NOT_THIN),  # too near to be judged
            refused("low_quality", true_mm=9.0),
        ]
    )
    assert (found.wrong_side.value, found.wrong_side.n) == (2 / 5, 5)
    assert found.decided.value == 4 / 5


def test_groups_tell_how_often_and_how_widely():
    results = [
        of(5.0, 5.1, families={"pattern": "thin_line"}, half_mm=0.5),
        of(5.0, 6.0, families={"pattern": "thin_line"}, half_mm=0.5),
        of(9.0, 9.1, families={"pattern": "three_layer"}, half_mm=2.0, quality=0.3),
    ]
    everything, good, *groups = trust_of(results).groups
    assert (everything.n, everything.coverage.value) == (3, pytest.approx(2 / 3))
    assert everything.half_width_mm == pytest.approx(1.0)
    assert good.name == f"quality {GOOD_QUALITY:g} or more"
    assert (good.n, good.coverage.value, good.half_width_mm) == (2, 0.5, pytest.approx(0.5))
    assert [(g.name, g.n) for g in groups] == [
        ("pattern: thin_line", 2),
        ("pattern: three_layer", 1),
    ]


def test_a_quality_that_knows_puts_the_wrong_last():
    errors = np.linspace(0, 3.8, 20)
    knows = [of(5.0, 5.0 + error, quality=1 - error / 4) for error in errors]
    found = trust_of(knows)
    maes = [kept.mae_mm for kept in found.curve]
    assert maes == sorted(maes)
    assert found.curve[-1].share == 1
    assert maes[-1] == pytest.approx(errors.mean())
    assert found.area_mm < 0.6 * errors.mean()
    inverse = [replace(r, quality=1 - r.quality) for r in knows]
    assert trust_of(inverse).area_mm > 1.3 * errors.mean()


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0, 1)), min_size=1, max_size=60))
def test_the_curve_ends_with_everything(pairs):
    curve = selective([of(10.0, 10.0 + error, quality=q) for error, q in pairs])
    errors = np.abs([error for error, _ in pairs])
    assert curve[-1].mae_mm == pytest.approx(errors.mean(), abs=1e-9)
    assert curve[-1].least_quality == min(q for _, q in pairs)
    qualities = [kept.least_quality for kept in curve]
    assert qualities == sorted(qualities, reverse=True)


def test_every_situation_is_counted_with_what_it_got():
    results = [
        RESULT,
        refused("low_quality"),
        refused("low_quality"),
        refused("no_endometrium", visible=False, true_mm=None, families={"view": "ovary"}),
        replace(RESULT, visible=False, true_mm=None, families={"view": "hidden"}),
        replace(RESULT, status=Status.FAILED),
    ]
    table = trust_of(results).situations
    assert table == {
        "sagittal: endometrium": {MEASURED: 1, "low_quality": 2},
        "hidden: none": {MEASURED: 1},
        "ovary: none": {"no_endometrium": 1},
    }
    assert list(table) == ["sagittal: endometrium", "hidden: none", "ovary: none"]
    assert outcomes(table) == [MEASURED, "low_quality", "no_endometrium"]
    assert situations([replace(RESULT, families={})]) == {"endometrium": {MEASURED: 1}}


def test_nothing_is_nothing():
    found = trust_of([])
    assert found.curve == () and found.situations == {}
    assert found.wrong_side is found.decided is found.area_mm is None
    assert found.groups[0].coverage is found.groups[0].half_width_mm is None
