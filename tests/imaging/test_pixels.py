"""Samples to luma and chroma."""

import time

import numpy as np
import pytest
from dicom_factory import speckle, to_ybr, with_doppler
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.pixels import (
    CHROMA_THRESHOLD,
    Palette,
    colour_mask,
    graphics_mask,
    planes,
    to_8_bits,
    true_photometric,
)

GREY = speckle(96, 128)
RGB = with_doppler(GREY)
BLOCK = np.zeros(GREY.shape, dtype=bool)
BLOCK[16:32, 16:32] = True


def bt601(rgb: np.ndarray) -> np.ndarray:
    return rgb.astype(float) @ [0.299, 0.587, 0.114]


def tinted(grey: np.ndarray, colour: tuple[float, float, float] = (1.0, 0.85, 0.6)) -> np.ndarray:
    """A sepia map: coloured in the middle, black and white at its ends."""
    level = grey[..., np.newaxis] / 255.0
    tint = 1 - (1 - np.array(colour)) * 4 * level * (1 - level)
    return np.rint(255 * level * tint).astype(np.uint8)


class TestLuma:
    def test_grey_is_taken_as_it_is(self) -> None:
        found = planes(GREY, "MONOCHROME2")
        assert found.luma is GREY
        assert found.chroma is None

    def test_monochrome1_is_inverted(self) -> None:
        assert (planes(255 - GREY, "MONOCHROME1").luma == GREY).all()

    def test_rgb_is_bt601(self) -> None:
        random = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        found = planes(random, "RGB")
        assert found.luma.dtype == np.uint8
        assert np.abs(found.luma - bt601(random)).max() <= 1.1

    @given(level=st.integers(0, 255))
    def test_grey_rgb_is_exactly_its_level_and_has_no_chroma(self, level: int) -> None:
        found = planes(np.full((2, 2, 3), level, dtype=np.uint8), "RGB")
        assert (found.luma == level).all()
        assert found.chroma is not None
        assert not found.chroma.any()

    @settings(max_examples=300)
    @given(colour=st.tuples(*[st.integers(0, 255)] * 3))
    def test_chroma_of_rgb_is_that_of_ybr(self, colour: tuple[int, int, int]) -> None:
        rgb = np.zeros((2, 2, 3), dtype=np.uint8)  # black around it keeps the tag beyond doubt
        rgb[0, 0] = colour
        ybr = planes(to_ybr(rgb), "YBR_FULL")
        found = planes(rgb, "RGB")
        assert found.chroma is not None
        assert ybr.chroma is not None
        assert np.abs(found.chroma.astype(int) - ybr.chroma).max() <= 2
        assert np.abs(found.luma.astype(int) - ybr.luma).max() <= 2

    @pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422"])
    def test_y_is_the_luma(self, photometric: str) -> None:
        ybr = to_ybr(RGB)
        found = planes(ybr, photometric)
        assert (found.luma == ybr[..., 0]).all()
        assert found.luma.flags.c_contiguous

    @pytest.mark.parametrize("photometric", ["YBR_PARTIAL_422", "CMYK", "", "HSV"])
    def test_what_is_unknown_raises(self, photometric: str) -> None:
        with pytest.raises(ValueError, match="not supported"):
            planes(RGB, photometric)

    def test_what_does_not_fit_raises(self) -> None:
        with pytest.raises(ValueError, match="does not fit"):
            planes(GREY, "RGB")
        with pytest.raises(ValueError, match="does not fit"):
            planes(RGB, "MONOCHROME2")
        with pytest.raises(ValueError, match="palette"):
            planes(GREY, "PALETTE COLOR")


class TestDepth:
    @pytest.mark.parametrize("bits", [9, 10, 12, 16])
    def test_more_bits_are_scaled_to_8(self, bits: int) -> None:
        samples = GREY.astype(np.uint16) << (bits - 8)
        assert (to_8_bits(samples, bits) == GREY).all()

    def test_full_scale_is_255_at_every_depth(self) -> None:
        for bits in range(1, 17):
            both = np.array([0, (1 << bits) - 1], dtype=np.uint16)
            assert to_8_bits(both, bits).tolist() == [0, 255]

    @pytest.mark.parametrize("bits", [8, 12, 16])
    def test_signed_starts_at_its_lowest(self, bits: int) -> None:
        half = 1 << (bits - 1)
        samples = np.array([-half, 0, half - 1], dtype=np.int16)
        assert to_8_bits(samples, bits, signed=True).tolist() == [0, 128, 255]

    def test_colour_of_16_bits(self) -> None:
        wide = planes(RGB.astype(np.uint16) << 8, "RGB", 16)
        assert (wide.luma == planes(RGB, "RGB").luma).all()


class TestPalette:
    def test_values_become_colours(self) -> None:
        table = np.array([[10, 10, 10], [200, 40, 30], [90, 90, 90]], dtype=np.uint8)
        found = planes(np.array([[5, 6, 7]], dtype=np.uint8), "PALETTE COLOR", 8, False, _at(table))
        assert found.luma.tolist() == [[10, 87, 90]]
        assert found.chroma is not None
        assert colour_mask(found.chroma).tolist() == [[False, True, False]]

    def test_values_outside_take_the_first_and_the_last(self) -> None:
        table = np.array([[1, 1, 1], [2, 2, 2]], dtype=np.uint8)
        found = planes(np.array([[0, 65535]], np.uint16), "PALETTE COLOR", 16, False, _at(table))
        assert found.luma.tolist() == [[1, 2]]


def _at(table: np.ndarray, first: int = 5) -> Palette:
    return Palette(first, table)


class TestWrongTag:
    def test_right_tags_hold(self) -> None:
        assert true_photometric(RGB, "RGB") == "RGB"
        assert true_photometric(to_ybr(RGB), "YBR_FULL") == "YBR_FULL"
        assert true_photometric(tinted(GREY), "RGB") == "RGB"
        assert true_photometric(to_ybr(tinted(GREY)), "YBR_FULL_422") == "YBR_FULL_422"

    def test_wrong_tags_are_seen(self) -> None:
        assert true_photometric(to_ybr(RGB), "RGB") == "YBR_FULL"
        assert true_photometric(RGB, "YBR_FULL_422") == "RGB"

    @pytest.mark.parametrize("level", [0, 127, 128, 255])
    def test_an_empty_frame_has_no_wrong_tag_unless_it_is_impossible(self, level: int) -> None:
        rgb = np.full((32, 32, 3), level, dtype=np.uint8)
        assert true_photometric(rgb, "RGB") == "RGB"
        ybr = rgb.copy()
        ybr[..., 1:] = 128
        assert true_photometric(ybr, "YBR_FULL") == "YBR_FULL"

    def test_the_planes_follow(self) -> None:
        right, wrong = planes(to_ybr(RGB), "YBR_FULL"), planes(to_ybr(RGB), "RGB")
        assert (right.luma == wrong.luma).all()

    def test_a_colourful_picture_keeps_its_tag(self) -> None:
        noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        for tag in ("RGB", "YBR_FULL"):
            assert true_photometric(noise, tag) == tag


class TestMasks:
    def test_the_doppler_block_and_nothing_else(self) -> None:
        for samples, tag in ((RGB, "RGB"), (to_ybr(RGB), "YBR_FULL")):
            found = planes(samples, tag)
            assert found.chroma is not None
            assert (colour_mask(found.chroma) == BLOCK).all()
            assert (graphics_mask(found.luma, found.chroma) == BLOCK).all()

    def test_the_threshold_at_every_chroma(self) -> None:
        every = np.arange(-128, 128).astype(np.int8)
        chroma = np.stack([every, np.zeros_like(every)], axis=1)[np.newaxis]
        expected = np.abs(every.astype(int)) > CHROMA_THRESHOLD
        assert (colour_mask(chroma)[0] == expected).all()
        assert (colour_mask(np.ascontiguousarray(chroma[..., ::-1]))[0] == expected).all()

    @pytest.mark.parametrize("colour", [(1.0, 0.85, 0.6), (0.7, 0.85, 1.0), (1.0, 0.7, 0.45)])
    def test_a_tinted_map_is_colour_but_no_graphics(
        self, colour: tuple[float, float, float]
    ) -> None:
        rgb = tinted(GREY, colour)
        rgb[16:32, 16:32] = (20, 200, 60)
        found = planes(rgb, "RGB")
        assert found.chroma is not None
        tissue = ~BLOCK & (found.luma > 60)
        assert np.abs(found.chroma[tissue]).mean() > 5
        graphics = graphics_mask(found.luma, found.chroma)
        assert graphics[BLOCK].all()
        assert graphics[~BLOCK].mean() < 0.001

    def test_much_doppler_is_no_tint(self) -> None:
        rgb = np.repeat(GREY[..., np.newaxis], 3, axis=2)
        rgb[20:70, 20:80] = (200, 40, 30)
        found = planes(rgb, "RGB")
        assert found.chroma is not None
        assert graphics_mask(found.luma, found.chroma).sum() == 50 * 60

    def test_a_grey_clip_has_none(self) -> None:
        assert not graphics_mask(GREY, None).any()


def test_a_large_frame_takes_milliseconds() -> None:
    """5 ms is the aim; the limit here leaves room for a busy machine."""
    rgb = with_doppler(speckle(768, 1024))
    ybr = to_ybr(rgb)
    for samples, tag in ((rgb, "RGB"), (ybr, "YBR_FULL")):
        seconds = []
        for _ in range(7):
            start = time.perf_counter()
            found = planes(samples, tag)
            assert found.chroma is not None
            colour_mask(found.chroma)
            seconds.append(time.perf_counter() - start)
        assert min(seconds) < 0.05
