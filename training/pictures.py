"""Pictures of an evaluation: a frame with the true and the found outline; error over share.

Names are often burned in around the picture, so only the neighbourhood of the outlines is shown,
and of that only what lies inside the sector.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from data.cases import Case, CasesError
from imaging.clip import Clip, ClipError
from inference.clip import MeasuredClip
from inference.report.plot import Dot, Line, Plot, round_step

TRUE_COLOUR, FOUND_COLOUR = (80, 230, 120), (255, 150, 60)
PANEL_PX, TALLEST_PX, GAP_PX = 400, 480, 6
# What is shown around the outlines, as a share of their size, and at least in mm.
AROUND, AROUND_MM = 0.5, 8.0
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Found:
    """What a model outlined: contours (n, 2) and calipers (2, 2), (row, column) in pixels."""

    lines: tuple[Points, ...]
    calipers: Points | None


def case_picture(case: Case, *clips: MeasuredClip) -> str | None:
    """Return a frame bare and with outlines as a PNG in a data URI: a panel for each of `clips`,
    which are measurements of the case on the same frame.

    None where there is nothing to show: no outline at all, or a frame that cannot be read.
    """
    first = clips[0]
    best = first.record.best
    number = best.frame or 1
    try:
        truth = case.mask(number)
        with Clip.open(case.path) as file:
            luma = file.frame(number).luma
    except (CasesError, ClipError):
        return None
    true_lines = [] if truth is None else _contours(truth)
    found = [_found(clip, number) for clip in clips]
    if first.sector is None or not (true_lines or any(each.lines for each in found)):
        return None
    spacing = (best.row_mm, best.column_mm) if best.row_mm and best.column_mm else case.spacing_mm
    masked = np.where(first.sector, luma, 0).astype(np.uint8)
    picture = draw(masked, spacing or (1.0, 1.0), true_lines, found)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _found(clip: MeasuredClip, number: int) -> Found:
    finding = clip.findings.get(number)
    return Found(finding.outline, finding.calipers) if finding else Found((), None)


def draw(
    luma: NDArray[np.uint8],
    spacing: tuple[float, float],
    true_lines: Sequence[Points],
    found: Sequence[Found],
) -> Image.Image:
    """Draw the neighbourhood of outlines, bare at the left, then with each of `found`.

    `luma` uint8 (rows, columns); outlines (n, 2) and calipers (2, 2) are (row, column) in its
    pixels. Shown square in millimetres by `spacing`, mm per pixel (row, column).
    """
    lines = [*true_lines, *(line for each in found for line in each.lines)]
    points, scale_mm = np.concatenate(lines), np.array(spacing)
    low, high = points.min(0), points.max(0)
    reach = np.maximum(AROUND * ((high - low) * scale_mm).max(), AROUND_MM) / scale_mm
    shape = np.array(luma.shape)
    top, left = np.clip(np.floor(low - reach), 0, shape - 1).astype(int)
    bottom, right = np.clip(np.ceil(high + reach) + 1, (top + 1, left + 1), shape).astype(int)
    size_mm = np.array([bottom - top, right - left]) * scale_mm
    px_per_mm = min(PANEL_PX / size_mm[1], TALLEST_PX / size_mm[0])
    tall, wide = (max(1, round(side)) for side in size_mm * px_per_mm)
    bare = Image.fromarray(luma[top:bottom, left:right]).resize(
        (wide, tall), Image.Resampling.BICUBIC
    )
    canvas = Image.new("RGB", ((1 + len(found)) * (wide + GAP_PX) - GAP_PX, tall), (255, 255, 255))
    canvas.paste(bare.convert("RGB"), (0, 0))

    def place(line: Points) -> list[tuple[float, float]]:
        at = (line - (top, left) + 0.5) * scale_mm * px_per_mm
        return [(float(column), float(row)) for row, column in at]

    for number, each in enumerate(found, 1):
        drawn = bare.convert("RGB")
        pen = ImageDraw.Draw(drawn)
        for outlines, colour in ((true_lines, TRUE_COLOUR), (each.lines, FOUND_COLOUR)):
            for line in outlines:
                pen.line(place(line), fill=colour, width=1)
        if each.calipers is not None:
            ends = place(each.calipers)
            pen.line(ends, fill=FOUND_COLOUR, width=1)
            for x, y in ends:
                pen.line([(x - 5, y), (x + 5, y)], fill=FOUND_COLOUR, width=2)
                pen.line([(x, y - 5), (x, y + 5)], fill=FOUND_COLOUR, width=2)
        canvas.paste(drawn, (number * (wide + GAP_PX), 0))
    return canvas


def _contours(mask: NDArray[np.uint8]) -> list[Points]:
    from skimage.measure import find_contours

    # Padding closes what runs along the edge of the frame.
    return [line - 1.0 for line in find_contours(np.pad(mask > 0, 1).astype(float), 0.5)]


def risk_over_share(points: Sequence[tuple[float, float]], all_mm: float) -> Plot:
    """Lay out mean absolute error (mm) over the share (0 to 1) of the measured that is kept.

    `all_mm`, the error of all, is drawn as a line.
    """
    width, height = 640.0, 240.0
    highest = max(*(mm for _, mm in points), all_mm, 0.1) * 1.15
    step = round_step(highest)

    def y(mm: float) -> float:
        return round(height * (1 - mm / highest), 1)

    return Plot(
        width,
        height,
        tuple(Dot(None, round(width * part, 1), y(mm)) for part, mm in points),
        (Line(y(all_mm), f"all: {all_mm:.2f} mm", None),),
        tuple((round(width * i / 5, 1), f"{20 * i} %") for i in range(6)),
        tuple((y(i * step), f"{i * step:g}") for i in range(int(highest / step) + 1)),
    )
