"""Screens that are no B-mode image, drawn here, and B-mode images, which are none of these."""

import numpy as np
import pytest
from scipy import ndimage

from data.phantom.dicom import make_phantom
from data.phantom.pages import blank_screen, rendering, report_page
from data.phantom.strips import m_mode, spectrum
from imaging.reasons import Reason
from imaging.screens import POLICIES, Screen, screen_refusal
from imaging.sector import find_sector
from imaging.strips import filled_from_baseline, flow_direction, steadiness

SHAPE = (600, 800)
SEEDS = range(3)


def luma_of(rgb):
    return np.rint(rgb @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)


def seen(luma):
    """The names of the policies that match; none where there is no picture at all."""
    sector = find_sector(luma)
    if not sector.any():
        return ["no picture"]
    screen = Screen(luma, sector)
    return [policy.name for policy in POLICIES if policy.matches(screen)]


def on_screen(strip, top, left, fan=None):
    screen = np.zeros(SHAPE, np.uint8)
    screen[top : top + strip.shape[0], left : left + strip.shape[1]] = strip
    if fan is not None:
        screen[: fan.shape[0], 250 : 250 + fan.shape[1]] = fan
    return screen


def small_fan(rng, rows=200, columns=300):
    r, c = np.indices((rows, columns))
    distance = np.hypot(r + 60, c - columns / 2)
    inside = (distance > 70) & (distance < 250) & (np.abs(c - columns / 2) < r + 40)
    speckle = ndimage.gaussian_filter(rng.normal(size=(rows, columns)), (1, 2))
    return np.where(inside, 90 + 200 * speckle, 0).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("seed", SEEDS)
def test_writing_and_areas_of_one_colour_are_pages(seed):
    rng = np.random.default_rng(seed)
    assert seen(luma_of(report_page(rng, SHAPE)))[0] in ("page", "no picture")
    assert seen(luma_of(blank_screen(rng, SHAPE)))[0] in ("page", "no picture")


def test_lines_of_bright_writing_are_a_page():
    """So dense that the sector takes them for one lit area; no area of one colour but black."""
    page = np.zeros(SHAPE, np.uint8)
    noise = np.random.default_rng(3).integers(60, 255, SHAPE)
    for top in range(100, 500, 40):
        page[top : top + 9, 100:700] = noise[top : top + 9, 100:700]
    screen = Screen(page, np.pad(np.ones((400, 600), bool), ((100, 100), (100, 100))))
    assert next(policy.name for policy in POLICIES if policy.matches(screen)) == "page"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_surface_without_speckle_is_a_rendering(seed):
    rgb = rendering(np.random.default_rng(seed), (300, 400))
    assert seen(luma_of(rgb))[0] == "rendering"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_spectrum_is_filled_from_its_baseline(seed):
    rng = np.random.default_rng(seed)
    fan = small_fan(rng) if seed % 2 else None
    assert "spectrum" in seen(on_screen(spectrum(rng, (330, 700)), 230, 40, fan))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_trace_in_m_mode_is_told_beside_its_picture(seed):
    rng = np.random.default_rng(seed)
    assert seen(on_screen(m_mode(rng, (330, 700)), 230, 40, small_fan(rng)))


def test_a_trace_in_m_mode_is_told_alone_where_its_layers_are_plain():
    assert seen(on_screen(m_mode(np.random.default_rng(0), (330, 700)), 230, 40)) == ["m_mode"]


@pytest.mark.parametrize(
    ("renderer", "visible"), [("physical", True), ("random", True), ("physical", False)]
)
def test_a_b_mode_image_is_none_of_these(renderer, visible):
    luma = make_phantom((21,), renderer=renderer, visible=visible).frames[0]
    assert seen(luma) == []


def test_speckle_of_many_pixels_is_speckle():
    """A magnified picture: neighbours hardly differ, and its scale says why."""
    rng = np.random.default_rng(6)
    field = ndimage.gaussian_filter(rng.normal(size=(500, 600)), (14, 28))
    luma = (90 + 30 * field / field.std()).clip(10, 255).astype(np.uint8)
    whole = np.ones(luma.shape, bool)
    assert screen_refusal(Screen(luma, whole, 0.03)) is None
    assert "no speckle" in screen_refusal(Screen(luma, whole, 0.3)).message


def layered_tissue(rng, lateral):
    """A linear probe's picture: short layers of fascia, each somewhere else."""
    field = ndimage.gaussian_filter(rng.normal(size=(500, 700)), (3, lateral))
    speckle = ndimage.gaussian_filter(rng.normal(size=(500, 700)), (1, 2))
    grey = 70 + 60 * field / field.std() + 15 * speckle / speckle.std()
    return np.pad(grey.clip(12, 255).astype(np.uint8), 50)


@pytest.mark.parametrize("lateral", [15, 40])
def test_layers_under_a_linear_probe_are_no_trace(lateral):
    assert seen(layered_tissue(np.random.default_rng(5), lateral)) == []


def test_bright_tissue_over_dark_is_no_spectrum():
    """As behind bone: bright down to an uneven edge, with nothing below."""
    rng = np.random.default_rng(4)
    edge = 200 + 60 * ndimage.gaussian_filter1d(rng.normal(size=700), 30)[None] * 8
    depth = np.arange(500)[:, None]
    grey = layered_tissue(rng, 20)[50:-50, 50:-50] * np.clip((edge - depth) / 120, 0.1, 1)
    assert seen(np.pad(grey.astype(np.uint8), 50)) == []


def test_a_refusal_says_what_was_seen_and_what_to_do():
    luma = luma_of(rendering(np.random.default_rng(1), (300, 400)))
    refusal = screen_refusal(Screen(luma, find_sector(luma)))
    assert refusal.reason is Reason.NOT_BMODE
    assert "3D rendering" in refusal.message and "Choose" in refusal.message


@pytest.mark.parametrize("level", [0, 1, 255])
@pytest.mark.parametrize("shape", [(16, 16), (41, 300), (300, 41)])
def test_nothing_to_see_raises_nothing(level, shape):
    screen = Screen(np.full(shape, level, np.uint8), np.ones(shape, bool))
    for policy in POLICIES:
        policy.matches(screen)


def test_measures_of_a_strip():
    rng = np.random.default_rng(2)
    rows = ndimage.gaussian_filter1d(rng.normal(size=240), 3)[:, None]
    still = (100 + 150 * np.repeat(rows, 300, 1)).astype(np.float32)
    noise = (100 + 30 * rng.normal(size=(240, 300))).astype(np.float32)
    assert steadiness(still) > 0.95 and steadiness(noise) < 0.5
    assert flow_direction(still, 20) > 0.95 and flow_direction(noise, 20) < 0.4
    moved = np.stack([np.roll(still[:, i], round(8 * np.sin(i / 30))) for i in range(300)], 1)
    assert steadiness(moved) > 0.8  # it breathes


@pytest.mark.parametrize("flipped", [False, True])
def test_a_baseline_is_found_either_way_up(flipped):
    envelope = 40 + 60 * np.abs(np.sin(np.arange(400) / 40))
    height = 180 - np.arange(240)[:, None]
    strip = np.where((height > 0) & (height < envelope), 200, 10).astype(np.float32)
    step, filled = filled_from_baseline(strip[::-1] if flipped else strip, lambda _: 100.0)
    assert filled > 0.97 and step > 150
