"""A run whose network is pretended, for a process that is killed in the middle of it."""

import time
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

from imaging.reasons import Reason
from inference import jobs
from inference.clip import MeasuredClip
from inference.engines import Serial
from inference.records import Call, ClipRecord, Measurement, Status
from inference.run import Output, measure

BUNDLE = SimpleNamespace(name="none", sha256="0" * 64, min_quality=0.1, intervals=None)
RUNTIME = SimpleNamespace(device="cpu")
EMPTY = sha256(b"").hexdigest()


def measure_clip(log, source, bundle, runtime, settings, digest):
    """Give every file a number of its own, slowly enough to be killed at; empty ones fail."""
    blank = ClipRecord.failed(str(source), "It is empty.", bundle.name, runtime.device)
    if digest == EMPTY:
        return MeasuredClip(blank, (), {}, None)
    time.sleep(0.004)
    with log.open("a") as file:
        file.write(f"{digest}\n")
    number = int(digest[:4], 16)
    if number % 5 == 0:
        best = Measurement(None, Status.NOT_MEASURABLE, reason=Reason.NO_ENDOMETRIUM)
        return MeasuredClip(replace(blank, best=best), (best,), {}, None)
    mm = number / 7000
    best = Measurement(
        1,
        Status.MEASURED,
        thickness_mm=mm,
        lower_mm=mm - 1,
        upper_mm=mm + 1,
        threshold_mm=6.0,
        call=Call.INDETERMINATE,
        quality=0.9,
    )
    record = replace(blank, best=best, frames=1, frames_measured=1)
    return MeasuredClip(record, (best,), {1: object()}, np.ones((8, 8), bool), in_region=True)


def run(clips: str, out: str, log: str) -> None:
    """Measure a folder; what was measured is written to `log`, a line per file."""
    jobs.measure_clip = partial(measure_clip, Path(log))
    jobs._picture = lambda *_: Image.new("RGB", (8, 8))
    measure([Path(clips)], BUNDLE, Serial(BUNDLE, RUNTIME), output=Output(Path(out)))
