"""The evidence as a picture: outline and calipers over the frame.

Names are often burned in around the picture, so only the inside of the sector is shown. Where no
DICOM region says where the picture is, the sector is a guess from the pixels that may hold writing:
then only the neighbourhood of the outline is shown.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from inference.frame import Finding
from inference.records import Call, Measurement, Status
from inference.words import in_words

OUTLINE = (64, 200, 255)
CALIPER = (255, 214, 64)
CAPTION = {Call.THIN: (255, 150, 110), Call.NOT_THIN: (140, 225, 150)}
# Small frames are enlarged to about this width, so that one-pixel lines stay fine.
WIDTH_PX = 720
LONGEST_PX = 3000
MARGIN_PX = 12
LINE_PX = 26
# Height of the two lines of text below the picture.
CAPTION_PX = 2 * MARGIN_PX + 2 * LINE_PX
# Speckle hardly compresses: PNG's default of 6 takes twice as long and saves nothing.
COMPRESSION = 3


def draw_overlay(
    luma: NDArray[np.uint8],
    sector: NDArray[np.bool_],
    row: Measurement,
    finding: Finding | None,
) -> Image.Image:
    """Draw one frame: uint8 (rows, columns), where to show it, its row and what was outlined.

    Pixels are shown square in millimetres. The caption holds the result, never an identity.
    """
    lit_rows, lit_columns = np.flatnonzero(sector.any(1)), np.flatnonzero(sector.any(0))
    top, left = int(lit_rows[0]), int(lit_columns[0])
    cut = np.s_[top : lit_rows[-1] + 1, left : lit_columns[-1] + 1]
    shown = Image.fromarray(np.where(sector, luma, 0)[cut].astype(np.uint8))
    tall = row.row_mm / row.column_mm if row.row_mm and row.column_mm else 1.0
    across = max(1.0, WIDTH_PX / shown.width)
    scale = np.array([across * tall, across])  # picture pixels per frame pixel (row, column)
    # Hostile or broken scales must not make a picture of no or of endless size.
    longest = max(shown.width * scale[1], shown.height * scale[0])
    scale = scale * min(1.0, LONGEST_PX / longest)
    size = (max(1, round(shown.width * scale[1])), max(1, round(shown.height * scale[0])))
    font = ImageFont.load_default(size=20)
    lines = [line.replace("–", "-") for line in _caption(row)]  # the font has no en dash
    canvas = Image.new("RGB", (size[0], size[1] + CAPTION_PX))
    canvas.paste(shown.resize(size, Image.Resampling.BICUBIC).convert("RGB"))
    draw = ImageDraw.Draw(canvas)

    def place(points: NDArray[np.float64]) -> list[tuple[float, float]]:
        at = (points - (top, left) + 0.5) * scale
        return [(float(c), float(r)) for r, c in at]

    if finding is not None:
        for contour in finding.outline:
            draw.line(place(contour), fill=OUTLINE, width=2, joint="curve")
        ends = place(finding.calipers)
        draw.line(ends, fill=CALIPER, width=1)
        for x, y in ends:
            draw.line([(x - 8, y), (x + 8, y)], fill=CALIPER, width=2)
            draw.line([(x, y - 8), (x, y + 8)], fill=CALIPER, width=2)
    colour = CAPTION.get(row.call, (235, 235, 235)) if row.call else (235, 235, 235)
    for i, line in enumerate(lines):
        at = (MARGIN_PX, size[1] + MARGIN_PX + LINE_PX * i)
        draw.text(at, line, fill=colour if i == 0 else (170, 170, 170), font=font)
    return canvas


def neighbourhood(sector: NDArray[np.bool_], finding: Finding) -> NDArray[np.bool_]:
    """Return the part of a sector within one outline's size of the outline, bool like `sector`."""
    outline = np.concatenate(finding.outline)
    low, high = outline.min(0), outline.max(0)
    reach = float((high - low).max())
    top, left = np.maximum(np.floor(low - reach), 0).astype(int)
    bottom, right = np.ceil(high + reach).astype(int)
    near = np.zeros_like(sector)
    near[top : bottom + 1, left : right + 1] = True
    return near & sector


def _caption(row: Measurement) -> tuple[str, str]:
    if row.status is Status.MEASURED and row.thickness_mm is not None:
        frame = f"frame {row.frame}, quality {row.quality:.2f}, scale from {row.calibration}"
        return in_words(row), frame
    return in_words(row), f"frame {row.frame or 1}"


def save_overlay(picture: Image.Image, path: Path) -> None:
    """Write a PNG without any metadata."""
    picture.save(path, "PNG", compress_level=COMPRESSION)


def overlay_name(name: str, frame: int) -> str:
    """Return the name of an overlay: the name of its result (16 digits), and the frame."""
    return f"{name}-frame{frame:04d}.png"
