"""Cines held by a free hand: the picture wanders and gets worse and better, the truth stays."""

import math

import numpy as np
import pytest

from data.phantom.acoustics import SAMPLE_MM, Interface, Medium, beam_grid
from data.phantom.anatomy import Sector
from data.phantom.collection import write_phantoms
from data.phantom.dicom import make_phantom
from data.phantom.freehand import DRIFT_MM, SMEAR_MM, TURN_RAD, Pose, seen_from, wander
from data.phantom.testscenes import moved, physical_scene
from imaging.clip import Clip


def test_a_hand_wanders_slowly_and_within_bounds():
    poses = wander(np.random.default_rng(5), 400)
    assert poses[0].shift_mm == (0.0, 0.0) and poses[0].turn == 0.0
    shift = np.array([pose.shift_mm for pose in poses])
    assert (np.abs(shift).max(0) <= DRIFT_MM).all() and np.ptp(shift[:, 1]) > 2
    assert np.abs(np.diff(shift, axis=0)).max() < 0.6
    assert max(abs(pose.turn) for pose in poses) <= TURN_RAD
    smear = np.array([pose.smear_mm for pose in poses])
    assert 0 <= smear.min() < 0.1 and SMEAR_MM < smear.max() <= 2 * SMEAR_MM
    lost = np.array([pose.lost_db for pose in poses])
    assert 0.02 < (lost > 0).mean() < 0.5
    assert poses == wander(np.random.default_rng(5), 400)


def test_what_moves_keeps_its_form():
    scene = physical_scene(np.random.default_rng(1), 8.0, 3.0, True)
    there = moved(scene, (1.0, -2.0), 0.05)
    one, other = scene.uterus.frame, there.uterus.frame
    assert np.subtract(other.centre, one.centre) == pytest.approx([1.0, -2.0])
    assert other.angle - one.angle == pytest.approx(0.05)
    ends = [scene.endometrium.frame.point(s, 0.0) for s in (-10.0, 10.0)]
    moved_ends = [there.endometrium.frame.point(s, 0.0) for s in (-10.0, 10.0)]
    # In the coordinates of the uterus, which moves with it, the endometrium stays where it was.
    for before, after in zip(ends, moved_ends, strict=True):
        s, d = (
            np.asarray(one.local(*map(np.asarray, before))),
            other.local(*map(np.asarray, after)),
        )
        assert s == pytest.approx(np.asarray(d), abs=1e-6)
    assert there.true_thickness_mm == 8.0


def medium(grid):
    db = np.where(grid.distance[:, None] > 20, 6.0, 0.0) + np.zeros(grid.shape)
    layer = Interface(np.ones(grid.shape), np.zeros(grid.shape), 0.5)
    nothing = np.zeros(grid.shape)
    return Medium(db, nothing, nothing - 70, (layer,))


def test_an_oblique_slice_smears_and_bad_contact_darkens():
    grid = beam_grid(Sector(11.0, 1.0, 50.0))
    sharp = medium(grid)
    oblique = seen_from(sharp, grid, Pose(smear_mm=1.5), 3)
    step = np.abs(np.diff(sharp.backscatter_db, axis=0)).max()
    assert np.abs(np.diff(oblique.backscatter_db, axis=0)).max() < 0.1 * step
    assert oblique.interfaces[0].amplitude.max() < 0.2
    assert np.array_equal(oblique.loss_db_mm, sharp.loss_db_mm)
    lost = seen_from(sharp, grid, Pose(lost_db=14.0), 3)
    beams = lost.loss_db_mm.sum(0) * SAMPLE_MM
    assert beams.max() > 8 and math.isclose(beams.max(), 14.0, rel_tol=0.5)
    assert not lost.loss_db_mm[grid.distance > 1].any()
    assert seen_from(sharp, grid, Pose(), 3) == sharp


def test_only_physical_phantoms_have_a_hand(tmp_path):
    with pytest.raises(ValueError, match="physical"):
        make_phantom((1,), freehand=True)
    rows = write_phantoms(tmp_path, n=1, seed=3, frames=2, renderer="physical", freehand=True)
    assert rows[0]["frames"] == "2"
    with Clip.open(tmp_path / rows[0]["file"]) as clip:
        held = clip.frame(2).luma
    swept = make_phantom((3, 0), frames=2, renderer="physical")
    assert rows[0]["thickness_mm"] == f"{swept.scene.true_thickness_mm:.4f}"
    assert np.abs(held.astype(int) - swept.frames[1]).mean() > 1
