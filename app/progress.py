"""How far a run is: a bar on a terminal, a line now and then in a log, or JSON for programs.

No identities: a log may be read by anybody.
"""

import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, Task
from rich.progress import Progress as Bar
from rich.text import Text

from inference.records import ClipRecord, Status

# Seconds between lines in a log, and how far back the speed looks: a resumed run starts with clips
# that cost nothing, and machines slow down.
EVERY_S, WINDOW_S = 60.0, 60.0
Clock = Callable[[], float]


@dataclass
class Count:
    """What has been done since `started`, by a clock in seconds."""

    started: float
    done: int = 0
    refused: int = 0
    failed: int = 0
    total: int | None = None
    _marks: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, status: Status, now: float) -> None:
        """Count a clip."""
        if not self._marks:
            self._marks.append((self.started, 0))
        self.done += 1
        self.refused += status is Status.NOT_MEASURABLE
        self.failed += status is Status.FAILED
        if now - self._marks[-1][0] >= 1:  # so there are never more than a window of seconds
            self._marks.append((now, self.done))
        while len(self._marks) > 2 and self._marks[1][0] <= now - WINDOW_S:
            self._marks.popleft()

    def per_second(self, now: float) -> float | None:
        """Return the speed within the window, None in the first second."""
        if not self._marks or now - self._marks[0][0] < 1:
            return None
        since, done = self._marks[0]
        return (self.done - done) / (now - since)

    def seconds_left(self, now: float) -> float | None:
        """Return how long the rest will take, None if nobody knows."""
        speed = self.per_second(now)
        if self.total is None or not speed:
            return None
        return max(0, self.total - self.done) / speed

    def words(self, now: float) -> str:
        """Say how far it is, in one line."""
        of = f" of {self.total:,}" if self.total is not None else ""
        parts = [f"{self.done:,}{of} clips"]
        speed, left = self.per_second(now), self.seconds_left(now)
        if speed is not None:
            parts.append(f"{speed:.1f} per second" if speed < 100 else f"{speed:.0f} per second")
        if left is not None:
            parts.append(f"{duration(left)} left")
        return ", ".join([*parts, f"{self.refused:,} refused", f"{self.failed:,} failed"])


def duration(seconds: float) -> str:
    """Return a time in the two units that matter."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


class Shown(Protocol):
    """A way to show a Count. None raises."""

    def begin(self, count: Count) -> None:
        """Start to show it."""

    def clip(self, count: Count, record: ClipRecord) -> None:
        """Hear of a clip that is counted already."""

    def total(self, count: Count) -> None:
        """Hear that the total is known."""

    def end(self, count: Count, complete: bool, skipped: int) -> None:
        """Show how it ended."""


class Progress:
    """How far a run is. Use it as a context; leaving it without `end` says that it broke off."""

    def __init__(self, shown: Shown, clock: Clock = time.monotonic) -> None:
        """Show it as `shown` does, by a clock in seconds."""
        self._shown, self._clock = shown, clock
        self._count = Count(clock())
        self._ended = False

    @property
    def done(self) -> int:
        """Return how many clips were counted."""
        return self._count.done

    def __enter__(self) -> Self:
        """Begin."""
        self._count.started = self._clock()
        self._shown.begin(self._count)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End, if that was not said before."""
        self.end(complete=False)

    def clip(self, record: ClipRecord) -> None:
        """Count a clip."""
        self._count.add(record.best.status, self._clock())
        self._shown.clip(self._count, record)

    def total(self, clips: int) -> None:
        """Say how many clips there will be in all, those that are done among them."""
        self._count.total = clips
        self._shown.total(self._count)

    def end(self, *, complete: bool, skipped: int = 0) -> None:
        """Say that the run is over; `skipped` counts files that were no clips. Later calls do
        nothing."""
        if not self._ended:
            self._ended = True
            self._shown.end(self._count, complete, skipped)


def progress_on(stream: TextIO, *, json_logs: bool = False) -> Progress:
    """Return what shows progress on a stream, usually standard error, as fits that stream."""
    if json_logs:
        return Progress(JsonLines(stream))
    return Progress(Terminal(stream) if stream.isatty() else Lines(stream))


class _Words(ProgressColumn):
    """The words of a Count, drawn anew with the bar."""

    max_refresh = 0.5

    def __init__(self, count: Count, clock: Clock) -> None:
        super().__init__()
        self._count, self._clock = count, clock

    def render(self, task: Task) -> Text:
        return Text(self._count.words(self._clock()))  # in two lines where it is narrow


class Terminal:
    """A bar that goes away when the run is over."""

    def __init__(self, stream: TextIO, clock: Clock = time.monotonic) -> None:
        """Show on a terminal."""
        self._console, self._clock = Console(file=stream), clock
        self._bar: Bar | None = None

    def begin(self, count: Count) -> None:
        """See Shown."""
        columns = (SpinnerColumn(), BarColumn(bar_width=20), _Words(count, self._clock))
        self._bar = Bar(*columns, console=self._console, transient=True)
        self._task = self._bar.add_task("clips", total=None)
        self._bar.start()

    def clip(self, count: Count, record: ClipRecord) -> None:
        """See Shown."""
        if self._bar:
            self._bar.update(self._task, completed=count.done)

    def total(self, count: Count) -> None:
        """See Shown."""
        if self._bar:
            self._bar.update(self._task, total=count.total)

    def end(self, count: Count, complete: bool, skipped: int) -> None:
        """See Shown."""
        if self._bar:
            self._bar.stop()


class _Log:
    """Writes whole lines; a log that cannot be written ends no run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream

    def write(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream was closed
            self._stream = None


class Lines:
    """A line a minute at most: a short run leaves a log as it is."""

    def __init__(self, stream: TextIO, clock: Clock = time.monotonic) -> None:
        """Write to a file or a pipe."""
        self._log, self._clock = _Log(stream), clock
        self._last = clock()

    def begin(self, count: Count) -> None:
        """See Shown."""
        self._last = self._clock()

    def clip(self, count: Count, record: ClipRecord) -> None:
        """See Shown."""
        now = self._clock()
        if now - self._last >= EVERY_S:
            self._last = now
            self._log.write(f"endometer: {count.words(now)}.")

    def total(self, count: Count) -> None:
        """See Shown."""

    def end(self, count: Count, complete: bool, skipped: int) -> None:
        """See Shown. The command itself says how it ended."""


class JsonLines:
    """One JSON object a line: start, every clip by its hash, the total, the end."""

    def __init__(self, stream: TextIO, clock: Clock = time.monotonic) -> None:
        """Write to a stream."""
        self._log, self._clock = _Log(stream), clock

    def begin(self, count: Count) -> None:
        """See Shown."""
        self._event("start", count)

    def clip(self, count: Count, record: ClipRecord) -> None:
        """See Shown."""
        best = record.best
        self._event(
            "clip",
            count,
            sha256=record.sha256,
            status=best.status,
            reason=best.reason,
            call=best.call,
        )

    def total(self, count: Count) -> None:
        """See Shown."""
        self._event("total", count, total=count.total)

    def end(self, count: Count, complete: bool, skipped: int) -> None:
        """See Shown."""
        self._event(
            "end",
            count,
            complete=complete,
            measured=count.done - count.refused - count.failed,
            refused=count.refused,
            failed=count.failed,
            skipped=skipped,
        )

    def _event(self, name: str, count: Count, **values: Any) -> None:
        seconds = round(self._clock() - count.started, 3)
        event = {"event": name, "seconds": seconds, "clips": count.done, **values}
        self._log.write(json.dumps(event))
