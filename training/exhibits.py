"""The worst held-out cases as small pictures in a bundle, without any name."""

import base64
import io
import shutil
from pathlib import Path
from typing import Any

from PIL import Image

from data.cases import Case, CasesError
from models.bundle import Bundle
from models.check import GALLERY
from models.runtime import Runtime
from training.evaluate import measure_case
from training.gallery import badness, in_words
from training.pictures import FOUND_COLOUR, TRUE_COLOUR, case_picture
from training.summary import Result

# Of a picture, so that a bundle stays small: its longer side at most, and how many greys it has
# besides the two colours of the lines, as they are and fading into greys.
LONGEST_PX, GREYS = 600, 64
FADING, UNDER = (1.0, 0.75, 0.5), (0, 60, 120, 180)
# Groups of a case that say who or where it is from.
NAMING = frozenset({"source", "annotator"})


def write_exhibits(
    out: Path,
    results: list[Result],
    cases: list[Case],
    model: tuple[Bundle, Runtime],
    most: int,
) -> list[dict[str, Any]]:
    """Write the `most` worst cases into OUT/gallery, worst first, and return what to say of each.

    `cases` are those of the results, in order; they are measured once more. A case goes by its
    number in that order. A picture is the neighbourhood of the outlines inside the sector, as in
    the report of an evaluation. What was right has no place here. Raises OSError.
    """
    shutil.rmtree(out / GALLERY, ignore_errors=True)
    order = sorted(range(len(results)), key=lambda i: -badness(results[i]))
    shown: list[dict[str, Any]] = []
    for i in order[:most]:
        if badness(results[i]) == 0:
            break
        groups = {n: g for n, g in results[i].families.items() if n not in NAMING}
        exhibit: dict[str, Any] = {
            "case": i + 1,
            "words": in_words(results[i]),
            "groups": ", ".join(f"{name} {group}" for name, group in groups.items()),
        }
        if picture := _picture(cases[i], model):
            (out / GALLERY).mkdir(exist_ok=True)
            exhibit["file"] = f"{GALLERY}/{len(shown) + 1:02d}.png"
            (out / exhibit["file"]).write_bytes(picture)
        shown.append(exhibit)
    return shown


def _picture(case: Case, model: tuple[Bundle, Runtime]) -> bytes | None:
    try:
        found = case_picture(case, measure_case(case, *model))
    except CasesError:
        return None
    if found is None:
        return None
    image = Image.open(io.BytesIO(base64.b64decode(found.partition(",")[2])))
    image.thumbnail((LONGEST_PX, LONGEST_PX), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    # Without dithering: it would make speckle out of nothing, and the file larger.
    small = image.quantize(palette=_palette(), dither=Image.Dither.NONE)
    small.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _palette() -> Image.Image:
    """Return an image whose palette has the greys and the colours: a choice by how often a colour
    occurs would leave thin lines out."""
    greys = [round(255 * i / (GREYS - 1)) for i in range(GREYS)]
    colours = [(grey, grey, grey) for grey in greys]
    for red, green, blue in (TRUE_COLOUR, FOUND_COLOUR):
        for part in FADING:
            for under in UNDER if part < 1 else UNDER[:1]:
                r, g, b = (round(part * c + (1 - part) * under) for c in (red, green, blue))
                colours.append((r, g, b))
    image = Image.new("P", (1, 1))
    image.putpalette([channel for colour in colours for channel in colour])
    return image
