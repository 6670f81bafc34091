"""Progress: counts, speed and time left; what a log gets, and that it names nobody."""

import io
import json
import re

import pytest

from app.progress import (
    Count,
    JsonLines,
    Lines,
    Progress,
    Terminal,
    duration,
    progress_on,
)
from imaging.identity import ClipIdentity
from imaging.reasons import Reason
from inference.records import Call, ClipRecord, Measurement, Status

MEASURED = Measurement(3, Status.MEASURED, thickness_mm=5.0, call=Call.THIN)
REFUSED = Measurement(1, Status.NOT_MEASURABLE, reason=Reason.CUT_OFF, message="Doe^Jane")
FAILED = Measurement(None, Status.FAILED, message="/archive/Doe^Jane.dcm cannot be read")


def record(best):
    who = ClipIdentity("1.2.3", "1.2", "PID-77", "2026-01-01")
    return ClipRecord("/archive/Doe^Jane.dcm", "ab" * 32, who, 9, best, 1, 5.0, 0.1, "b", "cpu")


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Tty(io.StringIO):
    def isatty(self):
        return True


def run(shown, clock, bests, seconds, total=None):
    with Progress(shown, clock) as progress:
        if total:
            progress.total(total)
        for best in bests:
            clock.now += seconds
            progress.clip(record(best))
        progress.end(complete=True, skipped=4)
    return progress


def test_counts_speed_and_time_left():
    clock, count = Clock(), Count(1000.0)
    assert count.words(1000.0) == "0 clips, 0 refused, 0 failed"
    for best in [MEASURED, REFUSED, FAILED, MEASURED] * 5:
        clock.now += 0.5
        count.add(best.status, clock.now)
    assert count.words(clock.now) == "20 clips, 2.0 per second, 5 refused, 5 failed"
    assert count.seconds_left(clock.now) is None
    count.total = 1220
    assert count.seconds_left(clock.now) == pytest.approx(600)
    words = "20 of 1,220 clips, 2.0 per second, 10 min left, 5 refused, 5 failed"
    assert count.words(clock.now) == words
    # Nothing more comes: the speed sinks, and the time left grows.
    assert count.seconds_left(clock.now + 10) == pytest.approx(1200)


def test_the_speed_is_that_of_the_last_minute_in_bounded_memory():
    """A resumed run begins with clips that cost nothing; they must not promise an early end."""
    count, now = Count(0.0), 0.0
    for _ in range(100_000):
        now += 0.0001
        count.add(Status.MEASURED, now)
    for _ in range(200):
        now += 2.0
        count.add(Status.MEASURED, now)
    assert count.per_second(now) == pytest.approx(0.5, rel=0.05)
    assert len(count._marks) < 100


def test_slow_clips_have_a_speed_too():
    count = Count(0.0)
    for i in range(1, 6):
        count.add(Status.MEASURED, 300.0 * i)
    assert count.per_second(1500.0) == pytest.approx(1 / 300)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3599, "1 h 0 min"),
        (5400, "1 h 30 min"),
        (86399, "1 d 0 h"),
        (93600, "1 d 2 h"),
    ],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_a_log_gets_a_line_a_minute_and_no_control_characters():
    clock, stream = Clock(), io.StringIO()
    run(Lines(stream, clock), clock, [MEASURED, REFUSED] * 100, 1.0, total=500)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3  # 200 seconds
    assert lines[0] == (
        "endometer: 60 of 500 clips, 1.0 per second, 7 min left, 30 refused, 0 failed."
    )
    assert not re.search(r"[^\x20-\x7e\n]", stream.getvalue())


def test_a_short_run_leaves_a_log_as_it_is():
    clock, stream = Clock(), io.StringIO()
    run(Lines(stream, clock), clock, [MEASURED] * 59, 1.0)
    assert stream.getvalue() == ""


def test_json_logs_tell_start_clips_total_and_end():
    clock, stream = Clock(), io.StringIO()
    run(JsonLines(stream, clock), clock, [MEASURED, REFUSED, FAILED], 2.0, total=3)
    start, total, *clips, end = map(json.loads, stream.getvalue().splitlines())
    assert start == {"event": "start", "seconds": 0.0, "clips": 0}
    assert total == {"event": "total", "seconds": 0.0, "clips": 0, "total": 3}
    assert [c["clips"] for c in clips] == [1, 2, 3]
    assert clips[1] == {
        "event": "clip",
        "seconds": 4.0,
        "clips": 2,
        "sha256": "ab" * 32,
        "status": "not_measurable",
        "reason": "cut_off",
        "call": None,
    }
    assert end == {
        "event": "end",
        "seconds": 6.0,
        "clips": 3,
        "complete": True,
        "measured": 1,
        "refused": 1,
        "failed": 1,
        "skipped": 4,
    }


@pytest.mark.parametrize("shown", [Lines, JsonLines, Terminal])
def test_nobody_is_named(shown):
    clock, stream = Clock(), Tty()
    run(shown(stream, clock), clock, [MEASURED, REFUSED, FAILED], 61.0, total=3)
    assert stream.getvalue()
    for name in ("Doe", "Jane", "PID-77", "1.2.3", "2026"):
        assert name not in stream.getvalue()


def test_a_terminal_shows_a_bar_with_all_of_it():
    clock, stream = Clock(), Tty()
    with Progress(Terminal(stream, clock), clock) as progress:
        progress.total(40)
        for best in [MEASURED, REFUSED] * 5:
            clock.now += 1
            progress.clip(record(best))
        progress._shown._bar.refresh()
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "10 of 40 clips, 1.0 per second, 30 s left" in shown


def test_a_run_that_breaks_off_says_so_once():
    clock, stream = Clock(), io.StringIO()
    with (
        pytest.raises(KeyboardInterrupt),
        Progress(JsonLines(stream, clock), clock) as progress,
    ):
        progress.clip(record(MEASURED))
        raise KeyboardInterrupt
    assert progress.done == 1
    ends = [json.loads(each) for each in stream.getvalue().splitlines() if '"end"' in each]
    assert [each["complete"] for each in ends] == [False]


def test_a_log_that_cannot_be_written_ends_no_run():
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    clock = Clock()
    assert run(JsonLines(Full()), clock, [MEASURED], 1.0).done == 1
    closed = io.StringIO()
    closed.close()
    assert run(Lines(closed, clock), clock, [MEASURED], 100.0).done == 1


def test_what_a_stream_gets():
    assert isinstance(progress_on(io.StringIO())._shown, Lines)
    assert isinstance(progress_on(Tty())._shown, Terminal)
    assert isinstance(progress_on(Tty(), json_logs=True)._shown, JsonLines)
