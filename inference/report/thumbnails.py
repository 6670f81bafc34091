"""Small pictures of overlays, to stand inside a page."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from inference.overlay import CAPTION_PX, OUTLINE

# Pixels of a thumbnail: (width, height).
SIZE = (300, 200)
# What is shown around the outline, as a share of its longer side.
AROUND = 0.4
QUALITY = 60
# All thumbnails of a page together, as text. Five hundred ordinary ones need about half of it.
BUDGET_BYTES = 10_000_000


class Thumbnails:
    """Makes thumbnails as long as the budget lasts."""

    def __init__(self, budget: int = BUDGET_BYTES) -> None:
        """Allow so many bytes of text."""
        self.left = budget

    def of(self, overlay: Path) -> str | None:
        """Return the middle of an overlay as a data URI.

        None of one that cannot be read, and where the budget is used up.
        """
        try:
            with Image.open(overlay) as picture:
                small = shrink(picture.convert("RGB"))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            return None  # Pillow raises a SyntaxError for a broken PNG
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", quality=QUALITY, method=2)
        text = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
        if len(text) > self.left:
            return None
        self.left -= len(text)
        return text


def shrink(picture: Image.Image) -> Image.Image:
    """Return the neighbourhood of what is outlined on an overlay, RGB of at most SIZE, no caption.

    The outline is found by its colour; where there is none, all of the picture is shown.
    """
    picture = picture.crop((0, 0, picture.width, max(1, picture.height - CAPTION_PX)))
    red, green, blue = np.moveaxis(np.asarray(picture), 2, 0)
    lit = (red == OUTLINE[0]) & (green == OUTLINE[1]) & (blue == OUTLINE[2])
    rows, columns = np.flatnonzero(lit.any(1)), np.flatnonzero(lit.any(0))
    if not rows.size:
        return picture.resize(_within(picture.size), Image.Resampling.LANCZOS)
    middle = (columns[0] + columns[-1]) / 2, (rows[0] + rows[-1]) / 2
    wide, tall = columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1
    reach = AROUND * max(wide, tall)
    wanted = max((wide + 2 * reach) / SIZE[0], (tall + 2 * reach) / SIZE[1])
    whole = max(picture.width / SIZE[0], picture.height / SIZE[1])
    # Never enlarged: a speck needs its surroundings to be judged.
    scale = max(1.0, min(wanted, whole))
    box = [
        _window(middle[axis], SIZE[axis] * scale, picture.size[axis]) for axis in (0, 1)
    ]  # (start, end) of columns, then of rows
    cut = picture.crop((box[0][0], box[1][0], box[0][1], box[1][1]))
    return cut.resize(SIZE, Image.Resampling.LANCZOS)


def _window(middle: float, length: float, most: int) -> tuple[int, int]:
    """Return start and end of a window around `middle`, moved so that 0 to `most` fills it."""
    length = max(1, round(length))
    if length >= most:
        start = (most - length) // 2
    else:
        start = max(0, min(round(middle - length / 2), most - length))
    return start, start + length


def _within(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(SIZE[0] / size[0], SIZE[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
