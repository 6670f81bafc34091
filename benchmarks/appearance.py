"""How phantoms look, in numbers, beside real images: `python -m benchmarks.appearance`.

Prints 10th, 50th and 90th percentile over pictures for both renderers and for real images. The
real ranges must lie well inside those of renderer 1, which the network learns from; renderer 2 is
to lie within the real ones. Pictures are measured as the real ones were: 224 rows, pixels wider
than high. `--real FILE` takes the real triples from a JSON file of the same layout.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from data.phantom.anatomy import Pattern, Scene
from data.phantom.physical import render_physical
from data.phantom.render import Picture, Raster, render
from data.phantom.sampling import sample_scene
from data.phantom.stream import shows
from data.phantom.testscenes import physical_scene

Array = NDArray[np.floating]
Triple = tuple[float, float, float]
# Source: 55 real transvaginal images outlined by hand (10th, 50th, 90th percentile).
REAL: dict[str, Triple] = {
    "endometrium grey": (74, 95, 125),
    "endometrium grey, thin line": (85, 109, 129),
    "endometrium grey, bright band": (80, 114, 127),
    "endometrium grey, three-layer": (63, 81, 109),
    "endometrium - myometrium": (6, 27, 46),
    "endometrium - myometrium, thin line": (22, 43, 57),
    "endometrium - myometrium, bright band": (16, 33, 45),
    "endometrium - myometrium, three-layer": (-2, 11, 28),
    "contrast to noise": (0.4, 1.55, 2.4),
    "contrast to noise, thin line": (1.0, 2.0, 2.6),
    "contrast to noise, bright band": (0.9, 1.9, 2.4),
    "contrast to noise, three-layer": (-0.1, 0.5, 1.4),
    "near myometrium grey": (52, 68, 93),
    "speckle axial near, mm": (0.55, 0.72, 0.90),
    "speckle axial far, mm": (0.60, 0.72, 0.93),
    "speckle lateral near, mm": (0.96, 1.36, 1.85),
    "speckle lateral far, mm": (1.34, 1.92, 2.41),
    "local sd over mean, 9x9": (0.13, 0.18, 0.22),
    "slow shading in myometrium": (8, 14, 22),
}
GROUPS = {
    Pattern.THIN_LINE: "thin line",
    Pattern.HYPERECHOIC: "bright band",
    Pattern.THREE_LAYER: "three-layer",
}
ROWS, STRETCH = 224, 1.6
NEAR_MM, FAR_MM = (8.0, 20.0), (32.0, 48.0)


def from_statistics(path: Path) -> dict[str, Triple]:
    """Read real triples from a file of statistics; names as in REAL."""
    read = json.loads(path.read_text(encoding="utf-8"))
    out: dict[str, Triple] = {}
    groups = {"all": "", "thin_line": ", thin line", "bright_band": ", bright band"}
    groups["three_layer"] = ", three-layer"
    for key, name in (
        ("endometrium_grey", "endometrium grey"),
        ("endometrium_minus_myometrium_grey", "endometrium - myometrium"),
        ("contrast_to_noise", "contrast to noise"),
    ):
        for group, suffix in groups.items():
            out[name + suffix] = tuple(read["contrast"][key][group])
    out["near myometrium grey"] = tuple(read["contrast"]["near_myometrium_grey"])
    for key, triple in read["speckle_autocorrelation_fwhm_mm"].items():
        if key != "note":
            out[f"speckle {key.replace('_', ' ')}, mm"] = tuple(triple)
    out["local sd over mean, 9x9"] = tuple(read["texture"]["local_sd_over_mean_9x9"])
    out["slow shading in myometrium"] = tuple(read["texture"]["slow_shading_sd_in_myometrium"])
    return out


def picture(scene: Scene, draw: Callable[[Raster], Picture]) -> tuple[Picture, Raster]:
    """Draw a scene at twice the resolution of the real images and average 2 x 2 pixels."""
    fan = scene.sector
    top = fan.radius_mm * (np.cos(fan.half_angle) - 1)
    reach = (fan.radius_mm + fan.depth_mm) * np.sin(min(fan.half_angle, np.pi / 2))
    row = (fan.depth_mm - top) / (ROWS - 8)
    columns = 2 * int(np.ceil(reach / (row * STRETCH)))
    fine = Raster(
        (2 * ROWS, 2 * columns),
        (row / 2, row * STRETCH / 2),
        (top - 4 * row, -reach),
    )
    drawn = draw(fine)

    def mean(image: Array) -> Array:
        blocks = image.reshape(*image.shape[:-2], ROWS, 2, columns, 2)
        return blocks.mean((-3, -1))

    coarse = Raster(
        (ROWS, columns),
        (row, row * STRETCH),
        (fine.origin_mm[0] + row / 4, fine.origin_mm[1] + row * STRETCH / 4),
    )
    labels = np.asarray(mean(drawn.labels), np.float32)
    luma = np.rint(mean(drawn.luma.astype(float))).astype(np.uint8)
    sector = mean(drawn.sector.astype(float)) > 0.99
    return Picture(luma, sector, labels, drawn.contrast), coarse


def width_at_half(values: Array, step: float) -> float:
    """Return the full width (mm) at half maximum of the autocorrelation along the last axis."""
    values = values - values.mean(-1, keepdims=True)
    n = values.shape[-1]
    lags = min(n // 2, 24)
    power = [(values[:, : n - k] * values[:, k:]).mean() for k in range(lags)]
    curve = np.array(power) / max(float(power[0]), 1e-9)
    below = np.flatnonzero(curve < 0.5)
    if not below.size:
        return float("nan")
    k = int(below[0])
    return float(2 * step * (k - 1 + (curve[k - 1] - 0.5) / (curve[k - 1] - curve[k])))


def measure(scene: Scene, shown: Picture, raster: Raster) -> dict[str, float]:
    """Measure one picture; names as in REAL, without the group."""
    out: dict[str, float] = {}
    luma, mm = shown.luma.astype(float), raster.spacing_mm
    depth, lateral = raster.coordinates()
    band = scene.endometrium
    if band is not None:
        inside = shown.labels[1] > 0.5
        away = ndimage.distance_transform_edt(shown.labels[1] + shown.labels[2] < 0.5, sampling=mm)
        ring = (away > 1) & (away < 4) & (shown.labels[3] > 0.9) & shown.sector
        if inside.sum() > 5 and ring.sum() > 30:
            level, around, noise = luma[inside].mean(), luma[ring].mean(), luma[ring].std()
            out["endometrium grey"], out["near myometrium grey"] = level, around
            out["endometrium - myometrium"] = level - around
            out["contrast to noise"] = (level - around) / max(noise, 1.0)
    flat = luma - ndimage.gaussian_filter(luma, [3 / step for step in mm])
    distance, angle = scene.sector.polar(depth, lateral)
    for name, (low, high) in (("near", NEAR_MM), ("far", FAR_MM)):
        where = (distance > low) & (distance < high) & (np.abs(angle) < 0.3) & shown.sector
        rows, columns = np.flatnonzero(where.any(1)), np.flatnonzero(where.all(0) | where.any(0))
        if len(rows) < 25 or len(columns) < 20:
            continue
        patch = flat[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        if patch.std() < 1:
            continue
        out[f"speckle axial {name}, mm"] = width_at_half(patch.T, mm[0])
        out[f"speckle lateral {name}, mm"] = width_at_half(patch, mm[1])
    mean = ndimage.uniform_filter(luma, 9)
    spread = np.sqrt(np.maximum(ndimage.uniform_filter(luma**2, 9) - mean**2, 0))
    tissue = ndimage.binary_erosion(shown.sector, iterations=5) & (shown.labels[3] > 0.9)
    if tissue.sum() > 200:
        out["local sd over mean, 9x9"] = float(np.median((spread / np.maximum(mean, 5))[tissue]))
        weight = ndimage.gaussian_filter(tissue.astype(float), [2 / step for step in mm])
        slow = ndimage.gaussian_filter(luma * tissue, [2 / step for step in mm])
        out["slow shading in myometrium"] = float((slow[tissue] / weight[tissue]).std())
    return out


def survey(renderer: int, n: int) -> dict[str, Triple]:
    """Measure `n` pictures of renderer 1 or 2. Returns triples by name, as REAL.

    Of renderer 1 what hides its endometrium is left out, as in training.
    """
    found: dict[str, list[float]] = defaultdict(list)
    for i in range(n):
        rng = np.random.default_rng([41, renderer, i])
        if renderer == 1:
            scene = sample_scene(rng, visible=1.0)
            shown, raster = picture(scene, lambda fine, s=scene, r=rng: render(s, fine, r))
        else:
            scene = physical_scene(rng, None, 0.0, visible=True)
            shown, raster = picture(scene, lambda fine, s=scene, r=rng: render_physical(s, fine, r))
        if not shows(scene, shown):
            continue
        for name, value in measure(scene, shown, raster).items():
            found[name].append(value)
            if scene.pattern in GROUPS:
                found[f"{name}, {GROUPS[scene.pattern]}"].append(value)
    return {name: tuple(np.nanpercentile(v, [10, 50, 90])) for name, v in found.items()}


def table(real: dict[str, Triple], columns: dict[str, dict[str, Triple]]) -> str:
    """Return a Markdown table of triples."""

    def cell(triple: Triple | None) -> str:
        if triple is None:
            return "–"
        digits = 0 if max(map(abs, triple)) >= 10 else 2
        return " / ".join(f"{value:.{digits}f}" for value in triple)

    lines = ["| 10 / 50 / 90 % | real | " + " | ".join(columns) + " |"]
    lines.append("|---" * (2 + len(columns)) + "|")
    for name, triple in real.items():
        cells = [cell(triple), *(cell(found.get(name)) for found in columns.values())]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=200, help="pictures of each renderer")
    parser.add_argument("--real", type=Path, help="statistics of other real images, JSON")
    given = parser.parse_args()
    real = from_statistics(given.real) if given.real else REAL
    columns = {f"renderer {i}": survey(i, given.n) for i in (1, 2)}
    print(table(real, columns))


if __name__ == "__main__":
    main()
