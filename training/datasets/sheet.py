"""A contact sheet: every drawing over its picture, to be looked at before anything is trained.

Names are often burned in around the picture, so only the inside of the sector is shown, and without
a region that says where that is only the neighbourhood of the outline.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage.measure import find_contours

from data.cases import CasesError
from imaging.calibration import tissue_boxes
from imaging.clip import Clip, ClipError
from inference.clip import Settings, find_views
from training.datasets.look import Level, Look

TILE_PX, CAPTION_PX, GAP_PX = 220, 34, 8
# Tiles beside each other: a sheet is about as wide as high, within these.
FEWEST, WIDEST = 8, 20
# Tiles on a sheet; more are cut off, those with findings first.
MOST = 400
# What is shown around an outline, as a share of its size, and at least in pixels.
AROUND, AROUND_PX = 0.6, 24
ENDOMETRIUM, FLUID = (80, 230, 120), (90, 190, 255)
PAPER, INK, WRONG, ODD = (18, 18, 20), (225, 225, 225), (255, 110, 100), (255, 200, 90)


def contact_sheet(looks: Sequence[Look], path: Path) -> int:
    """Draw items into one picture, up to MOST, and return how many; raises OSError.

    The number of a tile is that of the item in its folder; its colour says what was found.
    """
    numbers: dict[Path, int] = {}
    numbered = []
    for look in looks:
        numbers[look.folder] = numbers.get(look.folder, 0) + 1
        numbered.append((look, numbers[look.folder]))
    if len(numbered) > MOST:
        numbered = sorted(numbered, key=lambda one: -_weight(one[0]))[:MOST]
    square = math.isqrt(len(numbered))
    columns = max(1, min(len(numbered), max(FEWEST, min(WIDEST, square + 1))))
    rows = -(-len(numbered) // columns)
    wide, tall = TILE_PX + GAP_PX, TILE_PX + CAPTION_PX + GAP_PX
    sheet = Image.new("RGB", (columns * wide + GAP_PX, rows * tall + GAP_PX), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=13)
    many = len(numbers) > 1
    for place, (look, number) in enumerate(numbered):
        x, y = GAP_PX + place % columns * wide, GAP_PX + place // columns * tall
        tile = _tile(look)
        sheet.paste(tile, (x + (TILE_PX - tile.width) // 2, y + (TILE_PX - tile.height) // 2))
        colour = {0: INK, 1: ODD, 2: WRONG}[_weight(look)]
        name = f"{look.folder.name} {number}" if many else str(number)
        draw.text((x, y + TILE_PX + 1), f"{name}  {_said(look)}", fill=colour, font=font)
        draw.text((x, y + TILE_PX + 16), _odd(look), fill=colour, font=font)
    sheet.save(path, "PNG")
    return len(numbered)


def _weight(look: Look) -> int:
    if any(finding.level is Level.ERROR for finding in look.findings):
        return 2
    return int(
        any(
            finding.kind in ("pieces", "outside", "thickness", "speck") for finding in look.findings
        )
    )


def _said(look: Look) -> str:
    if look.empty:
        return "empty"
    return "no mm" if look.thickness_mm is None else f"{look.thickness_mm:.1f} mm"


def _odd(look: Look) -> str:
    kinds = dict.fromkeys(f.kind for f in look.findings if f.kind not in ("identity", "no scale"))
    return ", ".join(kind for kind in kinds if kind != "empty")[:34]


def _tile(look: Look) -> Image.Image:
    """Draw one item, at most TILE_PX on a side, its pixels square in mm."""
    blank = Image.new("RGB", (TILE_PX, TILE_PX), (36, 36, 40))
    try:
        truth = look.case.mask()
        with Clip.open(look.case.path) as clip:
            luma = clip.frame(look.case.frame).luma
            views = find_views(clip, Settings())
            in_region = bool(tissue_boxes(clip.header, (clip.rows, clip.columns)))
    except (CasesError, ClipError):
        return blank
    drawn = truth is not None and truth.shape == luma.shape and truth.any()
    if not views or not (drawn or in_region):
        return blank
    sector = np.logical_or.reduce([view.sector for view in views])
    shown = sector.copy()
    if drawn and truth is not None:
        shown |= truth > 0  # a label outside the picture is what one wants to see
        if not in_region:
            shown &= _near(truth)
    lit_rows, lit_columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    top, left = int(lit_rows[0]), int(lit_columns[0])
    cut = np.s_[top : lit_rows[-1] + 1, left : lit_columns[-1] + 1]
    tall = look.spacing_mm[0] / look.spacing_mm[1] if look.spacing_mm else 1.0
    height, width = luma[cut].shape
    scale = TILE_PX / max(height * tall, width)
    size = (max(1, round(width * scale)), max(1, round(height * tall * scale)))
    grey = Image.fromarray(np.where(shown, luma, 0)[cut].astype(np.uint8))
    tile = grey.resize(size, Image.Resampling.BICUBIC).convert("RGB")
    if drawn and truth is not None:
        pen = ImageDraw.Draw(tile)
        steps = np.array([size[1] / height, size[0] / width])
        for mask, colour in ((truth > 0, ENDOMETRIUM), (truth == 2, FLUID)):
            for line in find_contours(np.pad(mask, 1).astype(float), 0.5):
                at = (line - 1 - (top, left) + 0.5) * steps
                pen.line([(float(c), float(r)) for r, c in at], fill=colour, width=1)
    return tile


def _near(truth: NDArray[np.uint8]) -> NDArray[np.bool_]:
    at = np.argwhere(truth)
    low, high = at.min(0), at.max(0)
    reach = max(AROUND_PX, int(AROUND * (high - low).max()))
    top, left = np.maximum(low - reach, 0)
    near = np.zeros(truth.shape, bool)
    near[top : high[0] + reach + 1, left : high[1] + reach + 1] = True
    return near
