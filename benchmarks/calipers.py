"""Whether burned-in calipers sway the measurement: `python -m benchmarks.calipers [--n 60]`.

Phantoms of renderer 2 are measured bare, then with calipers painted where they were measured, and
with calipers that are misplaced: 5 mm aside and half as far apart again. In yellow, as on most
screens, and in white, as in grey exports. Prints the change of the thickness in mm.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from data.phantom.dicom import Renderer, make_phantom
from imaging.calibration import Calibration, user_calibration
from inference.clip import Settings, measure_clip
from inference.records import Measurement
from models.bundle import load_bundle
from models.runtime import OpenVinoRuntime

SEED = 815
COLOURS = {"yellow": (255, 230, 60), "white": (235, 235, 235)}
ASIDE_MM, STRETCH = 5.0, 1.5
ARM_PX, DOTS = 5, 24

Ends = NDArray[np.float64]


def ends_of(row: Measurement) -> Ends:
    """Return the calipers (2, 2) of a measured row, (row, column) in pixels."""
    return np.array(
        [
            [row.caliper_row_1, row.caliper_column_1],
            [row.caliper_row_2, row.caliper_column_2],
        ],
        float,
    )


def misplaced(ends: Ends, mm_per_px: float) -> Ends:
    """Return calipers beside the right ones and farther apart."""
    middle, half = ends.mean(0), STRETCH * (ends[1] - ends[0]) / 2
    along = np.array([-half[1], half[0]]) / max(float(np.hypot(*half)), 1e-6)
    return middle + along * ASIDE_MM / mm_per_px + np.array([-half, half])


def painted(luma: NDArray[np.uint8], ends: Ends, colour: tuple[int, int, int]) -> Image.Image:
    """Return the frame with a cross at either end and a dotted line between them."""
    image = Image.fromarray(luma).convert("RGB")
    pen = ImageDraw.Draw(image)
    for row, column in ends:
        pen.line([(column - ARM_PX, row), (column + ARM_PX, row)], fill=colour)
        pen.line([(column, row - ARM_PX), (column, row + ARM_PX)], fill=colour)
    dots = ends[0] + np.linspace(0, 1, DOTS)[:, None] * (ends[1] - ends[0])
    pen.point([(float(column), float(row)) for row, column in dots], fill=colour)
    return image


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=60, help="phantoms")
    given = parser.parse_args()
    bundle = load_bundle()
    runtime = OpenVinoRuntime(bundle)
    changes: dict[str, list[float]] = {}
    lost: dict[str, int] = {}
    bare_measured = 0
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "still.png"
        for i in range(given.n):
            phantom = make_phantom((SEED, i), renderer=Renderer.PHYSICAL)
            scale = user_calibration(phantom.mm_per_px, phantom.mm_per_px)
            if not isinstance(scale, Calibration):
                raise SystemExit(scale.message)
            settings, luma = Settings(user=scale), phantom.frames[0]

            def measured(image: Image.Image, settings: Settings = settings) -> Measurement:
                image.save(path)
                return measure_clip(path, bundle, runtime, settings).record.best

            bare = measured(Image.fromarray(luma).convert("RGB"))
            if bare.thickness_mm is None:
                continue
            bare_measured += 1
            right = ends_of(bare)
            places = {"in place": right, "misplaced": misplaced(right, phantom.mm_per_px)}
            for words, colour in COLOURS.items():
                for where, ends in places.items():
                    title = f"{words}, {where}"
                    found = measured(painted(luma, ends, colour)).thickness_mm
                    lost[title] = lost.get(title, 0) + (found is None)
                    if found is not None:
                        changes.setdefault(title, []).append(abs(found - bare.thickness_mm))
    print(f"{bare_measured} of {given.n} measured bare; change of the thickness in mm:")
    print("| calipers | median | 90th percentile | largest | no longer measured |")
    print("|---|---|---|---|---|")
    for title, values in changes.items():
        median, high = np.percentile(values, [50, 90])
        print(f"| {title} | {median:.2f} | {high:.2f} | {max(values):.2f} | {lost[title]} |")


if __name__ == "__main__":
    main()
