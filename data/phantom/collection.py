"""A folder of phantoms and the table of what is true of them."""

import csv
from pathlib import Path

from data.phantom.dicom import Phantom, make_phantom, write_dicom

TRUTH_COLUMNS = ("file", "frames", "thickness_mm", "pattern", "fluid", "mm_per_px")


def truth_row(name: str, phantom: Phantom) -> dict[str, str]:
    """Return what is true of a phantom, as the columns of `truth.csv`."""
    band = phantom.scene.endometrium
    return {
        "file": name,
        "frames": str(len(phantom.frames)),
        "thickness_mm": f"{band.thickness_mm:.4f}" if band else "",
        "pattern": str(phantom.scene.pattern),
        "fluid": "true" if band and band.fluid_mm > 0 else "false",
        "mm_per_px": f"{phantom.mm_per_px:.6f}",
    }


def write_phantoms(out: Path, *, n: int, seed: int, frames: int = 1) -> list[dict[str, str]]:
    """Write `n` clips and `truth.csv`; clip i depends on `seed` and i alone. Raises OSError."""
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(n):
        phantom = make_phantom((seed, i), frames=frames)
        name = f"phantom-{i + 1:04d}.dcm"
        write_dicom(phantom, out / name)
        rows.append(truth_row(name, phantom))
    write_truth(out, rows)
    return rows


def write_truth(out: Path, rows: list[dict[str, str]]) -> None:
    """Write `truth.csv` beside the clips."""
    with (out / "truth.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, TRUTH_COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
