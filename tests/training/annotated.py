"""A folder of annotated images as a hospital's might be, but simulated: a bright band in grey."""

import json

import numpy as np
from PIL import Image

from data.raster import coverage

SPACING = (0.4, 0.5)


def annotated(folder, n=6, *, patients=None, spacing=SPACING, seed=0):
    """Write n images of 150 x 160 px with labels and dataset.json; returns the folder.

    The last one has no endometrium if there are more than four.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    items = []
    for number in range(n):
        grey = rng.normal(90, 25, (150, 160))
        mask = np.zeros(grey.shape, np.uint8)
        if number < 4 or number < n - 1:
            row, column = rng.uniform(60, 90, 2)
            half = rng.uniform(4, 9)
            box = [(row - half, column - 35), (row - half, column + 35)]
            box += [(row + half, column + 35), (row + half, column - 35)]
            mask[coverage([np.array(box)], grey.shape) >= 0.5] = 1
        grey[mask == 1] += 100
        Image.fromarray(np.clip(grey, 10, 255).astype(np.uint8)).save(folder / f"{number}.png")
        Image.fromarray(mask).save(folder / f"{number}-label.png")
        item = {"image": f"{number}.png", "label": f"{number}-label.png"}
        if spacing:
            item["spacing"] = list(spacing)
        item["patient"] = (patients or [f"p{n}" for n in range(n)])[number]
        items.append(item)
    (folder / "dataset.json").write_text(json.dumps({"items": items}))
    return folder
