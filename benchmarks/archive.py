"""What measuring an archive costs: `python -m benchmarks.archive [--clips 24] [--frames 24]`.

Makes an archive of JPEG cines, then prints ratios from one run on this machine:

- efficiency: frames per second of `endometer measure` as a whole process, divided by those of the
  network alone on as many frames, with the same runtime and all cores;
- against the plain way: a loop of pydicom, SimpleITK and eager torch, frame by frame, with the
  same geometry at the end;
- Dask with two worker processes against two local ones, on the same archive or (--dask STILLS) on
  so many stills;
- peak memory of many stills against few (with --memory MANY).
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import FileDataset, dcmread
from pydicom.uid import generate_uid

from benchmarks.cost import cost
from data.phantom.dicom import make_phantom, write_dicom
from imaging.calibration import Calibration, decide_calibration
from imaging.grid import GridSpec, to_grid
from imaging.sector import find_sector
from inference.thickness import NotMeasurable, measure_thickness
from models.bundle import load_bundle
from models.runtime import OpenVinoRuntime, TorchRuntime

ENDOMETER = str(Path(sys.executable).with_name("endometer"))
# Different pictures; the archive repeats them under names and UIDs of their own.
ORIGINALS = 4


def save_as_another(data: FileDataset, path: Path) -> None:
    """Write a clip under a UID of its own, so that it does not count as a copy."""
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.save_as(path)


def make_archive(folder: Path, clips: int, frames: int) -> None:
    """Write cines that differ in content or in UID, so that none counts as a copy."""
    folder.mkdir()
    for number in range(clips):
        path = folder / f"clip-{number:05}.dcm"
        if number < ORIGINALS:
            write_dicom(make_phantom((9, number), 4.0 + 2 * number, frames), path)
            continue
        save_as_another(dcmread(folder / f"clip-{number % ORIGINALS:05}.dcm"), path)


def make_stills(folder: Path, stills: int) -> None:
    """Write one picture under as many UIDs, so that none counts as a copy."""
    folder.mkdir()
    write_dicom(make_phantom((3,), 7.0), folder / "0.dcm")
    data = dcmread(folder / "0.dcm")
    for number in range(1, stills):
        save_as_another(data, folder / f"{number}.dcm")


def measure(folder: Path, out: Path, *options: str) -> float:
    """Return the seconds that `endometer measure` takes."""
    started = time.monotonic()
    subprocess.run(
        [ENDOMETER, "measure", str(folder), "--out", str(out), *options],
        check=True,
        capture_output=True,
    )
    return time.monotonic() - started


def network_alone(frames: int) -> float:
    """Return the seconds of the network alone: every frame and its mirror image."""
    bundle = load_bundle()
    runtime = OpenVinoRuntime(bundle)
    size = bundle.grid.size
    batch = np.random.default_rng(0).normal(size=(2, 1, size, size)).astype(np.float32)
    runtime(batch)
    started = time.monotonic()
    for _ in range(frames):
        runtime(batch)
    return time.monotonic() - started


def grey_frames(path: Path) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """Return the frames of a clip, uint8 (frames, rows, columns), and their mm per pixel."""
    data = dcmread(path)
    # Grey pictures as they are; of coloured ones red, or luma: phantoms have no colour.
    first = data.pixel_array[..., 0] if data.SamplesPerPixel > 1 else data.pixel_array
    grey = first.reshape(-1, *first.shape[-2:])
    scale = decide_calibration(data, grey.shape[1:])
    if not isinstance(scale, Calibration):  # or the benchmark would be about nothing
        raise TypeError(f"{path.name}: {scale.message}")
    return grey, scale.spacing_mm


def plain(folder: Path) -> float:
    """Return the seconds of the plain way: whole files in memory, frame by frame, eager torch."""
    started = time.monotonic()
    bundle = load_bundle()
    runtime = TorchRuntime(bundle, "cpu")
    spec: GridSpec = bundle.grid
    for path in sorted(folder.iterdir()):
        grey, spacing_mm = grey_frames(path)
        for frame in grey:
            sector = find_sector(frame)
            grid = to_grid(frame, sector, spacing_mm, spec)
            pair = np.stack([grid.pixels, grid.pixels[:, ::-1]])[:, None]
            straight, mirrored = runtime(np.ascontiguousarray(pair))
            found = (straight + mirrored[..., ::-1]) / 2
            try:
                measure_thickness(
                    np.clip(found[1], 0, 1).astype(float), (spec.mm_per_px, spec.mm_per_px)
                )
            except NotMeasurable:
                continue
    return time.monotonic() - started


def dask_against_local(folder: Path, work: Path) -> tuple[float, float]:
    """Return the seconds of two local processes and of two Dask workers, each measured twice.

    Local runs come first and last, so that a machine that drifts favours neither.
    """
    from distributed import LocalCluster  # noqa: PLC0415 - benchmarks.gpu shares the archive alone

    two = ("--workers", "2")
    local = measure(folder, work / "local", *two)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        asked = ("--engine", "dask", "--scheduler", cluster.scheduler_address)
        dask = sum(measure(folder, work / name, *asked) for name in ("dask", "again"))
    local += measure(folder, work / "last", *two)
    names = ("measurements.csv", "frames.parquet")
    same = all((work / "local" / n).read_bytes() == (work / "dask" / n).read_bytes() for n in names)
    print(f"tables of Dask and of local processes are the same: {same}")
    return local, dask


def memory(work: Path, many: int) -> None:
    """Print the peak memory of the main process for few stills and for many."""
    peaks = []
    for count in (100, many):
        folder = work / f"stills-{count}"
        make_stills(folder, count)
        _, peak = cost([ENDOMETER, "measure", str(folder), "--out", str(work / f"out-{count}")])
        peaks.append(peak)
        print(f"{count:6} stills: peak {peak:.0f} MB")
    print(f"memory of {many} against 100 stills: {peaks[1] / peaks[0]:.2f}")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--dask", type=int, metavar="STILLS", help="for instance 1000")
    parser.add_argument("--memory", type=int, metavar="MANY", help="stills, for instance 10000")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        archive = work / "archive"
        make_archive(archive, arguments.clips, arguments.frames)
        frames = arguments.clips * arguments.frames
        alone = network_alone(frames)
        best = measure(archive, work / "best")
        every = measure(archive, work / "all", "--frames", "all")
        loop = plain(archive)
        print(f"{arguments.clips} cines of {arguments.frames} frames")
        print(f"network alone      {frames / alone:7.1f} frames/s")
        print(f"measure            {frames / best:7.1f} frames/s, efficiency {alone / best:.2f}")
        print(f"measure, all frames{frames / every:7.1f} frames/s, efficiency {alone / every:.2f}")
        print(
            f"plain loop         {frames / loop:7.1f} frames/s, measure is {loop / best:.1f} "
            f"times as fast, with all frames {loop / every:.1f} times"
        )
        compared = archive
        if arguments.dask:
            compared = work / "stills"
            make_stills(compared, arguments.dask)
        local, dask = dask_against_local(compared, work)
        print(f"Dask against local, two processes each: {dask / local:.2f} of the time")
        if arguments.memory:
            memory(work, arguments.memory)


if __name__ == "__main__":
    main()
