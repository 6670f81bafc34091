"""What half precision does to millimetres: `python -m benchmarks.half_precision [--n 60]`.

The same phantoms of renderer 2 are measured with the network in float32, bfloat16 and float16
(torch's autocast on the CPU, which rounds as a GPU's half precision does), everything else alike.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from data.cases import read_cases
from data.phantom.collection import write_phantoms
from data.phantom.dicom import Renderer
from models.bundle import Bundle, load_bundle
from models.runtime import TorchRuntime
from training.evaluate import evaluate

# Looked at before (docs/evaluation.md); only what rounding changes counts here.
SEED, EMPTY = 7001, 0.2


class HalfRuntime(TorchRuntime):
    """The network in half precision; what it returns is float32."""

    def __init__(self, bundle: Bundle, half: torch.dtype) -> None:
        super().__init__(bundle, "cpu")
        self._half = half

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.autocast("cpu", self._half):
            return super().__call__(batch)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=60)
    given = parser.parse_args()
    bundle = load_bundle()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_phantoms(folder, n=given.n, seed=SEED, renderer=Renderer.PHYSICAL, empty=EMPTY)
        cases = read_cases(folder)
        exact = evaluate(cases, bundle, TorchRuntime(bundle, "cpu"), outlines=False)
        for half in (torch.bfloat16, torch.float16):
            found = evaluate(cases, bundle, HalfRuntime(bundle, half), outlines=False)
            pairs = list(zip(exact, found, strict=True))
            apart = np.array(
                [
                    abs(one.measured_mm - other.measured_mm)
                    for one, other in pairs
                    if one.measured_mm is not None and other.measured_mm is not None
                ]
            )
            print(
                f"{str(half).removeprefix('torch.'):9} {len(apart)} measured with both, mm apart: "
                f"median {np.median(apart):.4f}, 90th percentile {np.quantile(apart, 0.9):.4f}, "
                f"worst {apart.max():.4f}; with one of them only: "
                f"{sum(one.measured != other.measured for one, other in pairs)}"
            )


if __name__ == "__main__":
    main()
