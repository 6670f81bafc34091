"""What a GPU does for `measure`: `python -m benchmarks.gpu [--clips 48] [--frames 40]`.

Needs a CUDA device. Prints pictures a second of the network alone, by batch and precision, with
pinned and with pageable memory between processor and device; and frames a second of `measure`,
every frame, on an archive of JPEG cines.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.archive import make_archive, measure
from models.bundle import load_bundle
from models.runtime import TorchRuntime

BATCHES = (2, 8, 32)
SECONDS = 2.0


class Pageable(TorchRuntime):
    """The runtime as it would be without pinned memory."""

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            found = self._probabilities(torch.from_numpy(batch).to(self.device))
            return found.cpu().numpy()  # type: ignore[no-any-return]


def speed(
    runtime: TorchRuntime, pictures: NDArray[np.float32], half: torch.dtype | None = None
) -> float:
    """Return pictures a second from memory to memory, in batches of those given."""
    with torch.autocast("cuda", half, enabled=half is not None):
        for _ in range(3):
            runtime(pictures)
        started, done = time.monotonic(), 0
        while time.monotonic() - started < SECONDS:
            runtime(pictures)
            done += len(pictures)
    return done / (time.monotonic() - started)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=48)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--workers", type=int, nargs="*", default=[4, 16])
    given = parser.parse_args()
    bundle = load_bundle()
    pinned, pageable = TorchRuntime(bundle, "cuda"), Pageable(bundle, "cuda")
    print(torch.cuda.get_device_name())
    size, rng = bundle.grid.size, np.random.default_rng(0)
    for batch in BATCHES:
        pictures = rng.normal(size=(batch, 1, size, size)).astype(np.float32)
        print(
            f"batch {batch:3}: {speed(pinned, pictures):6.0f} pictures/s, "
            f"pageable {speed(pageable, pictures):6.0f}, "
            f"bfloat16 {speed(pinned, pictures, torch.bfloat16):6.0f}, "
            f"float16 {speed(pinned, pictures, torch.float16):6.0f}"
        )
    with tempfile.TemporaryDirectory() as name:
        archive = Path(name) / "archive"
        make_archive(archive, given.clips, given.frames)
        frames = given.clips * given.frames
        for workers in given.workers:
            out = Path(name) / f"out-{workers}"
            options = ("--device", "cuda", "--frames", "all", "--workers", str(workers))
            seconds = measure(archive, out, *options)
            print(f"measure --frames all, {workers:2} workers: {frames / seconds:6.1f} frames/s")


if __name__ == "__main__":
    main()
