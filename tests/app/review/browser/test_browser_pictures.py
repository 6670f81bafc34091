"""The pictures of the documentation: written where ENDOMETER_SCREENSHOTS says, of phantoms only.

ENDOMETER_SCREENSHOTS=docs python -m pytest tests/app/review/browser/test_browser_pictures.py
"""

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

LARGEST = 250_000  # bytes of a picture in the repository
GREYS = 96


@pytest.fixture
def looking(pictured, serve, person, tmp_path):
    """Somebody before a run of clips that look like ultrasound."""
    server = serve(folder=shutil.copytree(pictured, tmp_path / "pictured"))
    return lambda **screen: person(server, **screen).enter()


def palette_of(picture):
    """Greys for the ultrasound; the rest for colours, each of which counts once however rare."""
    colours = np.unique(np.asarray(picture).reshape(-1, 3), axis=0)
    vivid = colours[np.ptp(colours.astype(int), axis=1) >= 6]
    drawn = Image.fromarray(vivid[None]).quantize(256 - GREYS).getpalette()
    greys = np.repeat(np.linspace(0, 255, GREYS).astype(int), 3).tolist()
    palette = Image.new("P", (1, 1))
    palette.putpalette((greys + drawn)[: 3 * 256])
    return palette


def shoot(somebody, name):
    """Write a picture of a page under a name, small enough for a repository."""
    somebody.page.wait_for_load_state("networkidle")
    somebody.page.wait_for_timeout(500)
    picture = Image.open(io.BytesIO(somebody.page.screenshot())).convert("RGB")
    path = Path(os.environ["ENDOMETER_SCREENSHOTS"]) / f"review-{name}.png"
    picture.quantize(palette=palette_of(picture), dither=Image.Dither.NONE).save(
        path, optimize=True
    )
    assert path.stat().st_size < LARGEST


def test_pictures_of_the_page(looking):
    ada = looking()
    ada.press("Enter").shown()
    with ada.next_shown():
        ada.press("a")
    ada.press("l").listed()
    ada.page.check("input[value=all]")
    ada.page.wait_for_function("() => document.querySelectorAll('.row').length === 17")
    ada.page.locator(".row").nth(1).focus()
    shoot(ada, "worklist")
    ada.clip("cine.dcm")
    shoot(ada, "clip")
    ada.clip("oblong.dcm")
    x, y = ada.ends()[0]
    ada.page.mouse.move(x, y)
    ada.page.mouse.down()
    ada.page.mouse.move(x + 4, y - 14, steps=4)
    shoot(ada, "drag")
    ada.page.mouse.up()
    tablet = looking(width=1024, height=768)
    tablet.clip("still-03.dcm").press("b")
    x, y = tablet.ends()[1]
    tablet.drag((x - 40, y + 2), (x + 10, y + 8))
    shoot(tablet, "tablet")
