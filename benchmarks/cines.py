"""Whether long cines are cheap and lose nothing: `python -m benchmarks.cines [--n 20]`.

Cines of renderer 2, held by a free hand (data.phantom.freehand), or the clips that are named, are
measured twice in one process: every frame (`--frames all`), and as `--frames best` does. Prints
for each what both found and the share of the processor time (all threads; what else runs on the
machine hardly counts), and over all cines the share within 0.05 mm and the cost.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.phantom.dicom import Renderer, make_phantom, write_dicom
from inference.clip import MeasuredClip, Settings, measure_clip
from inference.records import Measurement
from models.bundle import Bundle, load_bundle
from models.runtime import OpenVinoRuntime, Runtime

SEED = 4077
ALIKE_MM = 0.05
# What the design asks for.
WANTED_ALIKE, WANTED_COST = 0.95, 1 / 3


@dataclass(frozen=True)
class Pair:
    """A cine measured both ways, and processor seconds of each."""

    name: str
    every: MeasuredClip
    best: MeasuredClip
    seconds_all: float
    seconds_best: float

    @property
    def alike(self) -> bool:
        """Whether both come to the same result: within 0.05 mm, or both refuse."""
        one, other = self.every.record.best.thickness_mm, self.best.record.best.thickness_mm
        if one is None or other is None:
            return one is other
        return abs(one - other) <= ALIKE_MM


def timed(
    path: Path, bundle: Bundle, runtime: Runtime, *, every: bool
) -> tuple[MeasuredClip, float]:
    """Measure a clip; return it and the processor seconds it took."""
    started = time.process_time()
    clip = measure_clip(path, bundle, runtime, Settings(all_frames=every))
    return clip, time.process_time() - started


def made(folder: Path, n: int, frames: int) -> Iterator[tuple[Path, float | None]]:
    """Yield freshly made cines and their true thickness, mm."""
    for i in range(n):
        phantom = make_phantom((SEED, i), None, frames, Renderer.PHYSICAL, freehand=True)
        path = folder / f"cine-{i:03d}.dcm"
        write_dicom(phantom, path)
        yield path, phantom.scene.true_thickness_mm
        path.unlink()


def told(row: Measurement) -> str:
    """Return frame and thickness, or the reason why there is none."""
    if row.thickness_mm is None:
        return str(row.reason or row.status)
    return f"{row.thickness_mm:.2f} mm, frame {row.frame}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=20, help="cines to make")
    parser.add_argument("--frames", type=int, default=60, help="frames of each")
    parser.add_argument("files", type=Path, nargs="*", help="clips to measure instead")
    given = parser.parse_args()
    bundle = load_bundle()
    runtime = OpenVinoRuntime(bundle)
    pairs = []
    print("| cine | true mm | all frames | best | measured | cost |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        clips = ((path, None) for path in given.files)
        for path, true_mm in clips if given.files else made(Path(name), given.n, given.frames):
            if not pairs:
                timed(path, bundle, runtime, every=False)  # imports and first use
            best, seconds_best = timed(path, bundle, runtime, every=False)
            every, seconds_all = timed(path, bundle, runtime, every=True)
            pair = Pair(path.stem, every, best, seconds_all, seconds_best)
            pairs.append(pair)
            truth = "" if true_mm is None else f"{true_mm:.2f}"
            share = f"{len(best.frames) / len(every.frames):.0%}"
            cost = f"{seconds_best / seconds_all:.2f}"
            one, other = told(every.record.best), told(best.record.best)
            other += "" if pair.alike else " (!)"
            print(f"| {pair.name} | {truth} | {one} | {other} | {share} | {cost} |", flush=True)
    measured = [p for p in pairs if p.every.record.best.thickness_mm is not None]
    alike = float(np.mean([pair.alike for pair in pairs]))
    total = sum(p.seconds_best for p in pairs) / sum(p.seconds_all for p in pairs)
    print(f"{len(pairs)} cines, {len(measured)} of them measured.")
    print(f"The same result within {ALIKE_MM} mm: {alike:.0%} (wanted {WANTED_ALIKE:.0%}).")
    print(f"Cost over that of all frames: {total:.2f} (wanted {WANTED_COST:.2f}).")


if __name__ == "__main__":
    main()
