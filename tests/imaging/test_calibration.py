"""The safety rule: a scale is safe or there is none."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from dicom_factory import ENHANCED_US_VOLUME, header, region
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from imaging.calibration import (
    Box,
    Calibration,
    CalibrationSource,
    calibrate,
    decide_calibration,
    regions,
    ruler_calibration,
    tissue_boxes,
    user_calibration,
)
from imaging.modality import bmode_refusal
from imaging.reasons import Reason, Refusal
from imaging.ruler import Ruler

SHAPE = (48, 64)
WHOLE = Box(0, 0, 47, 63)
LEFT, RIGHT = (4, 2, 40, 31), (4, 32, 40, 61)


def with_regions(*items: Dataset, **elements: object) -> Dataset:
    return header(*SHAPE, SequenceOfUltrasoundRegions=list(items), **elements)


def outline(row: float, column: float, size: float = 5.0) -> np.ndarray:
    return np.array([[row, column], [row + size, column], [row + size, column + size]])


def reason(found: Calibration | Refusal | None) -> Reason:
    assert isinstance(found, Refusal), found
    assert len(found.message) > 40
    return found.reason


def scale(found: Calibration | Refusal) -> tuple[float, float]:
    assert isinstance(found, Calibration), found
    return found.spacing_mm


class TestOneRegion:
    def test_rows_come_from_y_and_columns_from_x(self) -> None:
        found = calibrate(with_regions(region(delta=(0.01, 0.02))), SHAPE)
        assert found == Calibration(0.1, 0.2, CalibrationSource.ULTRASOUND_REGION, WHOLE)
        assert found.source == "ultrasound_region"

    def test_negative_deltas_count_by_their_size(self) -> None:
        assert scale(calibrate(with_regions(region(delta=(-0.01, -0.02))), SHAPE)) == (0.1, 0.2)

    @pytest.mark.parametrize("data_type", [1, 2])
    def test_tissue_and_colour_flow_calibrate(self, data_type: int) -> None:
        assert scale(calibrate(with_regions(region(RegionDataType=data_type)), SHAPE))

    @pytest.mark.parametrize(
        "elements",
        [
            *({"RegionDataType": code} for code in (0, *range(3, 0x13), None)),
            *({"RegionSpatialFormat": code} for code in (0, 2, 3, 4, 5, 99, None)),
            *({"PhysicalUnitsXDirection": code} for code in (0, 1, 2, *range(4, 13), None)),
            *({"PhysicalUnitsYDirection": code} for code in (0, 1, 2, *range(4, 13), None)),
            {"PhysicalDeltaX": 0.0},
            {"PhysicalDeltaY": -0.0},
            {"PhysicalDeltaY": None},
        ],
    )
    def test_anything_else_is_no_candidate(self, elements: dict[str, object]) -> None:
        data = with_regions(region(**elements))
        assert reason(calibrate(data, SHAPE)) is Reason.NO_CALIBRATION
        assert tissue_boxes(data, SHAPE) == ()

    @pytest.mark.parametrize(
        "delta", [math.nan, math.inf, -math.inf, 1.0, -1.0, 1e6, 1e-6, 0.1001, 0.000999, 5e-324]
    )
    def test_an_unbelievable_delta_is_refused(self, delta: float) -> None:
        for deltas in ((delta, 0.02), (0.02, delta)):
            found = calibrate(with_regions(region(delta=deltas)), SHAPE)
            assert reason(found) is Reason.IMPLAUSIBLE_CALIBRATION

    @pytest.mark.parametrize("delta", [0.001, 0.1])
    def test_the_ends_of_the_range_are_believed(self, delta: float) -> None:
        assert scale(calibrate(with_regions(region(delta=(delta, delta))), SHAPE))

    @pytest.mark.parametrize("keyword", ["MinX0", "MinY0", "MaxX1", "MaxY1"])
    def test_a_scale_without_a_box_is_refused(self, keyword: str) -> None:
        item = region(**{f"RegionLocation{keyword}": None})
        assert reason(calibrate(with_regions(item), SHAPE)) is Reason.IMPLAUSIBLE_CALIBRATION

    def test_an_inverted_box_is_refused(self) -> None:
        found = calibrate(with_regions(region((40, 0, 3, 63))), SHAPE)
        assert reason(found) is Reason.IMPLAUSIBLE_CALIBRATION

    def test_an_outline_must_lie_in_the_region_as_a_whole(self) -> None:
        data = with_regions(region(LEFT))
        assert scale(calibrate(data, SHAPE, outline(10, 10)))
        found = calibrate(data, SHAPE, outline(10, 29))
        assert reason(found) is Reason.AMBIGUOUS_CALIBRATION
        assert isinstance(found, Refusal)
        assert "columns 2 to 31" in found.message

    def test_a_pixel_belongs_to_its_box_to_its_rim(self) -> None:
        box = Box(*LEFT)
        assert box.contains(np.array([[3.5, 1.5], [40.5, 31.5]]))
        assert not box.contains(np.array([[3.4, 10.0]]))
        assert not box.contains(np.array([[math.nan, 10.0]]))

    @pytest.mark.parametrize("shape", [(0, 2), (3,), (3, 3)])
    def test_a_wrong_outline_is_the_callers_mistake(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match="outline"):
            calibrate(with_regions(region()), SHAPE, np.zeros(shape))


class TestResizedExports:
    @pytest.mark.parametrize("box", [(0, 0, 48, 64), (0, 0, 48, 63), (0, 0, 47, 64)])
    def test_an_off_by_one_is_tolerated_and_cut(self, box: tuple[int, ...]) -> None:
        found = calibrate(with_regions(region(box)), SHAPE)
        assert isinstance(found, Calibration)
        assert found.box == WHOLE

    @pytest.mark.parametrize("box", [(0, 0, 49, 63), (0, 0, 47, 65), (0, 0, 95, 127)])
    def test_a_box_outside_the_image_is_refused_with_both_sizes(self, box: tuple[int, ...]) -> None:
        data = with_regions(region(box))
        found = calibrate(data, SHAPE)
        assert reason(found) is Reason.IMPLAUSIBLE_CALIBRATION
        assert isinstance(found, Refusal)
        assert "48 rows x 64 columns" in found.message
        assert f"rows 0 to {box[2]}, columns 0 to {box[3]}" in found.message
        assert tissue_boxes(data, SHAPE) == ()

    @pytest.mark.parametrize("spatial_format", [0, 2, 3, 4, 5])
    def test_any_region_outside_shows_that_the_picture_was_cut(self, spatial_format: int) -> None:
        beyond = region((50, 0, 60, 20), RegionSpatialFormat=spatial_format)
        data = with_regions(region(LEFT), beyond, PixelSpacing=[0.1, 0.1])
        assert reason(calibrate(data, SHAPE)) is Reason.IMPLAUSIBLE_CALIBRATION

    @pytest.mark.parametrize("edge", ["RegionLocationMaxX1", "RegionLocationMaxY1"])
    def test_a_box_outside_of_which_a_limit_is_missing(self, edge: str) -> None:
        """PixelSpacing was believed beside it (found by fuzzing)."""
        data = with_regions(region((0, 0, 95, 127), **{edge: None}), PixelSpacing=[0.1, 0.1])
        found = calibrate(data, SHAPE)
        assert isinstance(found, Refusal)
        assert found.reason is Reason.IMPLAUSIBLE_CALIBRATION
        assert "a box that is not whole" in found.message

    def test_pixel_spacing_does_not_rescue_a_resized_export(self) -> None:
        data = with_regions(region((0, 0, 95, 127)), PixelSpacing=[0.1, 0.1])
        assert reason(calibrate(data, SHAPE)) is Reason.IMPLAUSIBLE_CALIBRATION


class TestSeveralRegions:
    def test_equal_scales_are_one(self) -> None:
        data = with_regions(region(LEFT), region(RIGHT))
        assert calibrate(data, SHAPE) == Calibration(
            0.1, 0.2, CalibrationSource.ULTRASOUND_REGION, Box(4, 2, 40, 61)
        )
        found = calibrate(data, SHAPE, outline(10, 40))
        assert isinstance(found, Calibration)
        assert found.box == Box(*RIGHT)

    def test_an_outline_over_both_screens_is_refused(self) -> None:
        data = with_regions(region(LEFT), region(RIGHT))
        assert reason(calibrate(data, SHAPE, outline(10, 29))) is Reason.AMBIGUOUS_CALIBRATION

    def test_single_precision_is_the_same_scale(self) -> None:
        rounded = float(np.float32(0.0123456789))
        data = with_regions(
            region(LEFT, (rounded, rounded)), region(RIGHT, (0.0123456789, 0.0123456789))
        )
        assert scale(calibrate(data, SHAPE))

    def test_different_scales_need_an_outline(self) -> None:
        data = with_regions(region(LEFT), region(RIGHT, (0.03, 0.04)))
        found = calibrate(data, SHAPE)
        assert reason(found) is Reason.AMBIGUOUS_CALIBRATION
        assert isinstance(found, Refusal)
        assert "0.1 x 0.2 mm" in found.message
        assert "0.3 x 0.4 mm" in found.message
        assert scale(calibrate(data, SHAPE, outline(10, 10))) == (0.1, 0.2)
        assert scale(calibrate(data, SHAPE, outline(10, 40))) == (0.3, 0.4)

    def test_rows_alone_may_differ(self) -> None:
        data = with_regions(region(LEFT, (0.01, 0.02)), region(RIGHT, (0.02, 0.01)))
        assert reason(calibrate(data, SHAPE)) is Reason.AMBIGUOUS_CALIBRATION

    def test_an_inset_in_a_picture_of_another_scale_stays_ambiguous(self) -> None:
        data = with_regions(region(), region((10, 10, 30, 30), (0.03, 0.04)))
        assert reason(calibrate(data, SHAPE, outline(12, 12))) is Reason.AMBIGUOUS_CALIBRATION
        assert scale(calibrate(data, SHAPE, outline(35, 35))) == (0.1, 0.2)

    def test_the_other_screen_may_be_nonsense_if_the_outline_is_not_there(self) -> None:
        data = with_regions(region(LEFT), region(RIGHT, (7.0, 7.0)))
        assert scale(calibrate(data, SHAPE, outline(10, 10))) == (0.1, 0.2)
        assert reason(calibrate(data, SHAPE)) is Reason.IMPLAUSIBLE_CALIBRATION

    def test_doppler_grey_bar_and_ecg_do_not_disturb(self) -> None:
        data = with_regions(
            region((0, 0, 3, 3), (0.0, 0.0), RegionSpatialFormat=0, RegionDataType=13),
            region(LEFT),
            region(RIGHT, (1.0, 0.5), RegionSpatialFormat=3, RegionDataType=3),
            region((42, 0, 47, 63), (0.0, 0.5), RegionSpatialFormat=4, RegionDataType=10),
        )
        assert scale(calibrate(data, SHAPE)) == (0.1, 0.2)
        assert tissue_boxes(data, SHAPE) == (Box(*LEFT),)

    def test_tissue_boxes(self) -> None:
        assert tissue_boxes(None, SHAPE) == ()
        data = with_regions(
            region(RIGHT), region(LEFT), region(LEFT), region((10, 40, 20, 50)), region(RIGHT)
        )
        assert tissue_boxes(data, SHAPE) == (Box(*LEFT), Box(*RIGHT))

    def test_the_order_of_the_regions_does_not_matter(self) -> None:
        items = [region(LEFT), region((4, 2, 40, 61)), region(RIGHT), region((0, 0, 2, 2))]
        for points in (None, outline(10, 10), outline(10, 40)):
            found = {
                calibrate(with_regions(*order), SHAPE, points)
                for order in itertools.permutations(items)
            }
            assert len(found) == 1


class TestGarbage:
    @pytest.mark.parametrize("value", ["abc", "", "0.1", None])
    def test_pixel_spacing_of_one_or_no_value(self, value: str | None) -> None:
        data = header(*SHAPE)
        data.add_new("PixelSpacing", "LO", value)
        expected = Reason.IMPLAUSIBLE_CALIBRATION if value else Reason.NO_CALIBRATION
        assert reason(calibrate(data, SHAPE)) is expected

    def test_elements_of_the_wrong_kind(self) -> None:
        item = region()
        del item.PhysicalDeltaX, item.RegionLocationMinX0
        item.add_new("PhysicalDeltaX", "LO", "wide")
        item.add_new("RegionLocationMinX0", "LO", "left")
        (found,) = regions(with_regions(item))
        assert found.box is None
        assert found.column_delta is not None
        assert math.isnan(found.column_delta)
        assert reason(calibrate(with_regions(item), SHAPE)) is Reason.IMPLAUSIBLE_CALIBRATION

    def test_numbers_written_as_text_are_numbers(self) -> None:
        item = region()
        del item.PhysicalDeltaX
        item.add_new("PhysicalDeltaX", "LO", " 0.02 ")
        assert scale(calibrate(with_regions(item), SHAPE)) == (0.1, 0.2)

    def test_several_values_are_no_number(self) -> None:
        item = region()
        del item.PhysicalDeltaX
        item.add_new("PhysicalDeltaX", "FD", [0.02, 0.03])
        assert reason(calibrate(with_regions(item), SHAPE)) is Reason.IMPLAUSIBLE_CALIBRATION

    def test_a_region_list_that_is_no_sequence(self) -> None:
        data = header(*SHAPE)
        data.add_new("SequenceOfUltrasoundRegions", "US", 3)
        assert regions(data) == ()
        assert reason(calibrate(data, SHAPE)) is Reason.NO_CALIBRATION

    def test_an_empty_region(self) -> None:
        assert reason(calibrate(with_regions(Dataset()), SHAPE)) is Reason.NO_CALIBRATION


class TestPixelSpacing:
    def test_it_is_row_then_column(self) -> None:
        assert calibrate(header(*SHAPE, PixelSpacing=[0.1, 0.2]), SHAPE) == Calibration(
            0.1, 0.2, CalibrationSource.PIXEL_SPACING
        )

    def test_a_region_comes_first(self) -> None:
        found = calibrate(with_regions(region(), PixelSpacing=[0.5, 0.5]), SHAPE)
        assert scale(found) == (0.1, 0.2)

    def test_it_serves_when_no_region_is_usable(self) -> None:
        data = with_regions(region(RegionSpatialFormat=2), PixelSpacing=[0.5, 0.5])
        found = calibrate(data, SHAPE)
        assert isinstance(found, Calibration)
        assert found.source is CalibrationSource.PIXEL_SPACING

    @pytest.mark.parametrize("values", [[0, 0], [-0.1, 0.1], [0.1, 3], [1e6, 0.1], [0.1] * 3])
    def test_an_unbelievable_one_is_refused(self, values: list[float]) -> None:
        found = calibrate(header(*SHAPE, PixelSpacing=values), SHAPE)
        assert reason(found) is Reason.IMPLAUSIBLE_CALIBRATION

    @pytest.mark.parametrize("keyword", ["ImagerPixelSpacing", "NominalScannedPixelSpacing"])
    def test_other_spacings_are_not_tissue(self, keyword: str) -> None:
        found = calibrate(header(*SHAPE, **{keyword: [0.1, 0.1]}), SHAPE)
        assert reason(found) is Reason.NO_CALIBRATION
        assert isinstance(found, Refusal)
        assert "--spacing ROW,COLUMN" in found.message

    def test_no_header(self) -> None:
        assert reason(calibrate(None, SHAPE)) is Reason.NO_CALIBRATION


class TestOrderOfSources:
    USER = Calibration(0.3, 0.3, CalibrationSource.USER)
    RULER = Ruler(0.1, 0.002, np.zeros((8, 2)), 5.0, "right", square=True)
    SQUEEZED = replace(RULER, square=False)

    def test_the_user_is_asked_last(self) -> None:
        bare = header(*SHAPE)
        assert decide_calibration(None, SHAPE, user=self.USER) is self.USER
        assert decide_calibration(bare, SHAPE, user=self.USER) is self.USER
        found = decide_calibration(bare, SHAPE, ruler=self.RULER, allow_ruler=True, user=self.USER)
        assert found == ruler_calibration(self.RULER)
        assert reason(decide_calibration(bare, SHAPE)) is Reason.NO_CALIBRATION

    def test_a_ruler_is_a_source_only_where_it_is_allowed(self) -> None:
        assert decide_calibration(None, SHAPE, ruler=self.RULER, user=self.USER) is self.USER
        found = decide_calibration(None, SHAPE, ruler=self.RULER)
        assert reason(found) is Reason.NO_CALIBRATION
        found = decide_calibration(None, SHAPE, ruler=self.RULER, allow_ruler=True)
        assert scale(found) == (0.1, 0.1)
        assert isinstance(found, Calibration)
        assert found.source is CalibrationSource.RULER
        assert found.uncertainty == pytest.approx(math.hypot(0.002, 0.03 / math.sqrt(3)))

    def test_a_ruler_says_nothing_about_the_columns_of_a_squeezed_picture(self) -> None:
        found = decide_calibration(None, SHAPE, ruler=self.SQUEEZED, allow_ruler=True)
        assert reason(found) is Reason.NO_CALIBRATION
        assert isinstance(found, Refusal)
        assert "squeezed" in found.message
        given_too = decide_calibration(
            None, SHAPE, ruler=self.SQUEEZED, allow_ruler=True, user=self.USER
        )
        assert given_too is self.USER

    def test_an_implausible_ruler_is_refused(self) -> None:
        huge = replace(self.RULER, row_mm=1.5)
        assert reason(ruler_calibration(huge)) is Reason.IMPLAUSIBLE_CALIBRATION

    @pytest.mark.parametrize("elements", [{}, {"PixelSpacing": [0.4, 0.4]}])
    def test_the_user_never_overrides_the_header(self, elements: dict[str, object]) -> None:
        data = header(*SHAPE, **elements) if elements else with_regions(region())
        found = decide_calibration(data, SHAPE, user=self.USER)
        assert isinstance(found, Calibration)
        assert found.source is not CalibrationSource.USER

    def test_a_refused_header_stays_refused(self) -> None:
        resized = with_regions(region((0, 0, 95, 127)))
        two = with_regions(region(LEFT), region(RIGHT, (0.03, 0.04)))
        for data in (resized, two):
            found = decide_calibration(
                data, SHAPE, ruler=self.RULER, allow_ruler=True, user=self.USER
            )
            assert found == calibrate(data, SHAPE)

    def test_a_ruler_that_disagrees_makes_both_doubtful(self) -> None:
        data = with_regions(region())
        near, far = replace(self.SQUEEZED, row_mm=0.1029), replace(self.SQUEEZED, row_mm=0.104)
        assert scale(decide_calibration(data, SHAPE, ruler=near)) == (0.1, 0.2)
        found = decide_calibration(data, SHAPE, ruler=far)
        assert reason(found) is Reason.IMPLAUSIBLE_CALIBRATION
        assert isinstance(found, Refusal)
        assert "0.104" in found.message
        assert "0.1 x 0.2" in found.message

    @pytest.mark.parametrize("row", [0, -0.1, 1.01, 0.0099, math.nan, math.inf])
    def test_the_users_spacing_must_be_plausible(self, row: float) -> None:
        assert reason(user_calibration(row, 0.1)) is Reason.IMPLAUSIBLE_CALIBRATION
        assert reason(user_calibration(0.1, row)) is Reason.IMPLAUSIBLE_CALIBRATION

    def test_the_users_spacing(self) -> None:
        assert user_calibration(0.1, 0.2) == Calibration(0.1, 0.2, CalibrationSource.USER)


anything = st.floats(width=64) | st.sampled_from([0.0, -1.0, 1e6, 0.01, 0.02])
boxes = st.tuples(*(st.integers(0, 70) for _ in range(4)))


class TestLaws:
    @given(row=st.floats(0.001, 0.1), column=st.floats(0.001, 0.1), sign=st.sampled_from([1, -1]))
    @settings(deadline=None)
    def test_millimetres_are_ten_deltas(self, row: float, column: float, sign: int) -> None:
        found = calibrate(with_regions(region(delta=(sign * row, sign * column))), SHAPE)
        assert scale(found) == (10 * row, 10 * column)

    @given(data=st.data())
    @settings(deadline=None)
    def test_never_a_scale_out_of_range_and_never_the_order(self, data: st.DataObject) -> None:
        described = st.tuples(boxes, st.tuples(anything, anything), st.integers(0, 3))
        items = [
            region(box, delta, RegionSpatialFormat=spatial_format)
            for box, delta, spatial_format in data.draw(st.lists(described, max_size=4))
        ]
        points = data.draw(st.none() | st.just(outline(10, 10)))
        found = calibrate(with_regions(*items), SHAPE, points)
        back = calibrate(with_regions(*reversed(items)), SHAPE, points)
        if isinstance(found, Calibration):
            assert found == back
            assert all(0.01 <= mm <= 1.0 for mm in found.spacing_mm)
            assert found.box is not None
            assert WHOLE.holds(found.box)
        else:
            assert reason(found) is reason(back)


class TestBmode:
    def test_ultrasound_passes(self) -> None:
        assert bmode_refusal(None) is None
        assert bmode_refusal(Dataset()) is None
        assert bmode_refusal(header(*SHAPE)) is None
        assert bmode_refusal(header(*SHAPE, SOPClassUID="1.2.840.10008.5.1.4.1.1.7")) is None

    def test_a_volume_is_refused(self) -> None:
        found = bmode_refusal(header(*SHAPE, SOPClassUID=ENHANCED_US_VOLUME))
        assert reason(found) is Reason.NOT_BMODE

    def test_another_modality_is_refused_unless_the_class_is_ultrasound(self) -> None:
        magnetic = header(*SHAPE, Modality="MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.4")
        assert reason(bmode_refusal(magnetic)) is Reason.NOT_BMODE
        assert bmode_refusal(header(*SHAPE, Modality="OT")) is None

    @pytest.mark.parametrize("spatial_format", [2, 3, 4, 5])
    def test_regions_without_2d_are_refused(self, spatial_format: int) -> None:
        item = region(RegionSpatialFormat=spatial_format)
        assert reason(bmode_refusal(with_regions(item))) is Reason.NOT_BMODE
        assert bmode_refusal(with_regions(item, region())) is None

    def test_an_unknown_format_is_not_held_against_it(self) -> None:
        assert bmode_refusal(with_regions(region(RegionSpatialFormat=None))) is None
