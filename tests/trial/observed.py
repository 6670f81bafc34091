"""Observations and transfers for tests of a trial's analyses."""

from dataclasses import replace
from datetime import date

from hypothesis import strategies as st

from trial.observations import CycleType, Observation, Origin, Transfer

A, B = "control", "treated"


def visit(patient, cycle, mm, arm=A, half=0.8, **more):
    """An observation; `mm` None is a visit without a measurement."""
    return Observation(
        **{
            "row": 2,
            "patient": patient,
            "arm": arm,
            "cycle": cycle,
            "cycle_type": CycleType.HRT,
            "cycle_day": 12,
            "phase": "late_proliferative",
            "date": None,
            "thickness_mm": mm,
            "lower_mm": None if mm is None or half is None else mm - half,
            "upper_mm": None if mm is None or half is None else mm + half,
            "origin": None if mm is None else Origin.AUTOMATIC,
            **more,
        }
    )


def transfer(patient, embryos, sacs, arm=A, cycle=1, **more):
    pregnant = None if sacs is None else sacs > 0
    values = {"row": 2, "cycle_type": CycleType.HRT, "clinical_pregnancy": pregnant, **more}
    return Transfer(patient=patient, arm=arm, cycle=cycle, embryos=embryos, sacs=sacs, **values)


def swapped(records):
    """The same with the names of the arms exchanged."""
    return [replace(each, arm={A: B, B: A}.get(each.arm, each.arm)) for each in records]


@st.composite
def visits(draw):
    """A small table: two women or more of each arm, some not measured."""
    found = []
    for number in range(draw(st.integers(4, 9))):
        for cycle in draw(st.sets(st.integers(-1, 3), min_size=1)):
            mm = draw(st.none() | st.integers(20, 120).map(lambda n: n / 10))
            kind = draw(st.sampled_from([None, *CycleType]))
            found.append(
                visit(
                    f"p{number}",
                    cycle,
                    mm,
                    (A, B)[number % 2],
                    row=2 + len(found),
                    cycle_type=kind,
                    cycle_day=draw(st.none() | st.integers(8, 16)),
                    date=date(2025, 1, 1 + len(found) % 28),
                    missing=None if mm else draw(st.sampled_from([None, "no scan", "refused"])),
                    repeats_mm=(mm, mm + 0.3) if mm and draw(st.booleans()) else (),
                )
            )
    return found


@st.composite
def moves(draw):
    """Embryo transfers of some women of two arms."""
    found = []
    for number in range(draw(st.integers(0, 12))):
        embryos = draw(st.integers(1, 2))
        sacs = draw(st.none() | st.integers(0, embryos))
        found.append(
            transfer(
                f"p{number % 7}",
                embryos,
                sacs,
                (A, B)[number % 7 % 2],
                cycle=1 + number // 7,
                row=2 + number,
            )
        )
    return found
