"""The steps between which a node may die: each has a name, and tests end the process at one.

Every durable change of the node lies between two of them, so that a test which kills the process
at each step has seen every state that a killed process can leave. (A power cut also takes what is
not flushed: tests watch the order of flushes.)
"""

from collections.abc import Callable

STEPS = (
    "received",  # the object is in its temporary file, unsynchronised
    "synced",  # its bytes are on the disk, under the temporary name
    "renamed",  # it has its name, but the folder may not be on the disk
    "stored",  # all is on the disk, the sender has not heard so
    "measured",  # the run has ended, nothing is queued
    "copied",  # a result lies in the outbox's folder, without a row
    "queued",  # results have rows, and the study is done
    "sending",  # a result is about to be sent
    "sent",  # the destination has it, the row does not say so
    "marked",  # the row says so, the copy is still there
)


def _go_on(step: str) -> None:
    """Do nothing."""


_hook: Callable[[str], None] = _go_on


def reached(step: str) -> None:
    """Say that a step, one of STEPS, is done."""
    _hook(step)


def watch(hook: Callable[[str], None]) -> None:
    """Have a test hear of every step, in the thread that does it."""
    global _hook  # noqa: PLW0603 - a process has one
    _hook = hook
