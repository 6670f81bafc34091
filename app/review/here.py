"""Measure here: the pipeline of the run on one frame, one network for all, results remembered."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.review.clips import Entry
from app.review.files import OpenClips
from app.review.rows import RunTables
from app.review.settings import RefusedError
from imaging.calibration import Calibration, user_calibration
from imaging.clip import ClipError
from imaging.reasons import Refusal
from imaging.ruler import Ruler
from inference.clip import Settings as MeasureSettings
from inference.clip import look_at, measure_frame
from inference.engines import cores
from inference.frame import View
from inference.records import Measurement, Status
from models.bundle import Bundle, BundleError, load_bundle
from models.runtime import Runtime

MOST_RESULTS, MOST_LOOKS = 4_000, 16


@dataclass(frozen=True)
class Here:
    """A measured frame and what was outlined: closed contours (n, 2), (row, column).

    `contours` are around endometrium and fluid together, `fluid` around the fluid in it.
    """

    row: Measurement
    contours: tuple[NDArray[np.float64], ...] = ()
    fluid: tuple[NDArray[np.float64], ...] = ()


@dataclass(frozen=True)
class _Looked:
    views: list[View]
    ruler: Ruler | None
    refusal: Refusal | None


def run_settings(tables: RunTables) -> MeasureSettings:
    """Return the settings that a run was measured with, as far as they decide a frame."""
    stated = tables.summary["settings"]
    spacing = stated.get("spacing_mm")
    user = user_calibration(*spacing) if spacing else None
    return MeasureSettings(
        threshold_mm=tables.threshold_mm,
        user=user if isinstance(user, Calibration) else None,
        allow_ruler=bool(stated.get("allow_ruler")),
    )


class Measurer:
    """Measures single frames with the bundle of the run. The network loads when it is needed."""

    def __init__(
        self,
        clips: OpenClips,
        tables: RunTables,
        settings: MeasureSettings,
        bundle: Path | None,
    ) -> None:
        """Measure frames of open clips."""
        self._clips = clips
        self._settings = settings
        self._path = bundle
        self._wanted = str(tables.summary["bundle"]["sha256"])
        self._name = str(tables.summary["bundle"].get("name", ""))
        self._lock = threading.Lock()
        self._memory = threading.Lock()
        self._network: tuple[Bundle, Runtime] | None = None
        self._results: OrderedDict[tuple[str, int], Here] = OrderedDict()
        self._looked: OrderedDict[str, _Looked] = OrderedDict()

    def known(self, entry: Entry, number: int) -> Here | None:
        """Return a frame's result if it is there already."""
        with self._memory:
            return self._results.get((entry.id, number))

    def measure(self, entry: Entry, number: int) -> Here:
        """Measure a frame as the run did.

        Raises RefusedError: 404 if the clip or the frame cannot be read, 409 if the bundle is not
        the one that the run was measured with.
        """
        if (known := self.known(entry, number)) is not None:
            return known
        with self._lock:  # one at a time: the network takes all cores it may have
            if (known := self.known(entry, number)) is not None:
                return known
            found = self._measure(entry, number)
        with self._memory:
            self._results[entry.id, number] = found
            while len(self._results) > MOST_RESULTS:
                self._results.popitem(last=False)
        return found

    def _measure(self, entry: Entry, number: int) -> Here:
        bundle, runtime = self._loaded()
        try:
            with self._clips.use(entry) as clip:
                if not 1 <= number <= clip.frames:
                    raise RefusedError(404, f"The clip has frames 1 to {clip.frames}.")
                looked = self._looked.get(entry.id)
                if looked is None:
                    looked = self._looked[entry.id] = _Looked(*look_at(clip, self._settings))
                    while len(self._looked) > MOST_LOOKS:
                        self._looked.popitem(last=False)
                if looked.refusal is not None:
                    reason, message = looked.refusal.reason, looked.refusal.message
                    row = Measurement(number, Status.NOT_MEASURABLE, reason, message)
                    return Here(row)
                row, finding = measure_frame(
                    clip.frame(number),
                    clip,
                    looked.views,
                    bundle,
                    runtime,
                    self._settings,
                    looked.ruler,
                )
        except ClipError as error:
            raise RefusedError(404, f"The frame cannot be read: {error}") from None
        return Here(row, finding.outline, finding.fluid_outline) if finding else Here(row)

    def _loaded(self) -> tuple[Bundle, Runtime]:
        if self._network is None:
            from models.runtime import OpenVinoRuntime

            try:
                bundle = load_bundle(self._path)
                if bundle.sha256 != self._wanted:
                    raise RefusedError(
                        409,
                        f"The run was measured with the model {self._name!r}, here is "
                        f"{bundle.name!r}: another one would draw other outlines. Start the page "
                        "with --bundle FOLDER of the run's model.",
                    )
                # One core stays free for whoever turns the page meanwhile.
                self._network = bundle, OpenVinoRuntime(bundle, max(1, cores() - 1))
            except BundleError as error:
                raise RefusedError(409, f"The model cannot be used: {error}") from None
        return self._network
