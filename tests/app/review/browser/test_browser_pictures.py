"""The pictures of the documentation: written where ENDOMETER_SCREENSHOTS says, of phantoms only.

ENDOMETER_SCREENSHOTS=docs python -m pytest tests/app/review/browser/test_browser_pictures.py
"""

import io
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

LARGEST = 250_000  # bytes of a picture in the repository


@pytest.fixture
def looking(pictured, serve, person, tmp_path):
    """Somebody before a run of clips that look like ultrasound."""
    server = serve(folder=shutil.copytree(pictured, tmp_path / "pictured"))
    return lambda **screen: person(server, **screen).enter()


def shoot(somebody, name):
    """Write a picture of a page under a name, small enough for a repository."""
    somebody.page.wait_for_load_state("networkidle")
    somebody.page.wait_for_timeout(500)
    picture = Image.open(io.BytesIO(somebody.page.screenshot())).convert("RGB")
    path = Path(os.environ["ENDOMETER_SCREENSHOTS"]) / f"review-{name}.png"
    # Median cut favours greys, and there are few other colours.
    picture.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
    assert path.stat().st_size < LARGEST


def test_pictures_of_the_page(looking):
    ada = looking()
    ada.press("Enter").shown()
    with ada.next_shown():
        ada.press("a")
    ada.press("l").listed()
    ada.page.click("text=All")
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
