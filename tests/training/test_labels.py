"""Endometrium and fluid, each against its own label."""

import json

import numpy as np
import pytest
from PIL import Image
from test_evaluate import BAND, MM, SHAPE, Network, folder_of, label, picture

pytest.importorskip("monai")

from data.cases import read_cases
from models.bundle import load_bundle
from training.evaluate import evaluate


def test_fluid_is_compared_with_fluid_where_the_label_tells_it_apart(tmp_path):
    bundle = load_bundle()

    class Wet(Network):
        """What is darker within the band is fluid."""

        def shares(self, grey):
            shares = super().shares(grey)
            row, column = np.nonzero(shares[self.labels.index("endometrium")] > 0.5)
            inside = np.zeros(grey.shape, bool)
            inside[row.min() : row.max() + 1, column.min() : column.max() + 1] = True
            wet = inside & (shares[self.labels.index("endometrium")] < 0.5)
            shares[:, wet] = 0
            shares[self.labels.index("fluid"), wet] = 1
            return shares

    luma = np.full(SHAPE, 0)
    luma[20:240, 20:280] = 70 + np.random.default_rng(0).normal(0, 2, (220, 260))
    luma[BAND] = 220
    luma[110:120, 120:180] = 70
    Image.fromarray(luma.astype(np.uint8)).save(tmp_path / "a.png")
    mask = np.zeros(SHAPE, np.uint8)
    mask[BAND] = 1
    mask[110:120, 120:180] = 2
    Image.fromarray(mask).save(tmp_path / "label.png")
    item = {"image": "a.png", "label": "label.png", "spacing": [MM, MM]}
    known = (None, ["endometrium"], ["fluid"])
    items = [item | ({"labels": names} if names else {}) for names in known]
    (tmp_path / "dataset.json").write_text(json.dumps({"items": items}))
    both, endometrium, fluid = evaluate(read_cases(tmp_path), bundle, Wet(bundle))
    assert both.fit.dice_endometrium > 0.93
    assert both.fit.dice_fluid > 0.85
    assert both.fit.dice > 0.97
    assert (endometrium.fit.dice_endometrium, endometrium.fit.dice_fluid) == (
        both.fit.dice_endometrium,
        None,
    )
    # Fluid alone is no outline of the endometrium to be compared with.
    assert (fluid.drawn, fluid.fit, fluid.true_mm) == (False, None, None)
    dry, *_ = evaluate(read_cases(tmp_path), bundle, Network(bundle))
    assert dry.dice_of("fluid") == 0 and dry.dice_of("endometrium") < both.fit.dice_endometrium


def test_a_polygon_tells_no_fluid_apart(tmp_path):
    picture(tmp_path / "a.png")
    bundle = load_bundle()
    (found,) = evaluate(read_cases(folder_of(tmp_path, label("a.png"))), bundle, Network(bundle))
    assert found.fit.dice > 0.97
    assert (found.fit.dice_endometrium, found.dice_of("endometrium")) == (None, None)
