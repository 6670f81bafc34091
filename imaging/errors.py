"""The errors of reading: a file that could not be turned into frames."""

# What may pass where everything else is caught: BaseException, because a panic of a decoder written
# in Rust is no Exception.
INTERRUPTS = (KeyboardInterrupt, SystemExit, GeneratorExit)


class ClipError(Exception):
    """A file could not be read.

    The message says what was tried, what was found and what to do. It never holds the patient's
    name or id, and never a piece of the file's content, so it can be logged and shown to anybody.
    """


class NotAnImageError(ClipError):
    """The file is a sound DICOM object of another kind: a report, a presentation state."""


def cause(error: Exception) -> str:
    """Say why the system refused a file, in words that hold nothing of the file."""
    return getattr(error, "strerror", None) or type(error).__name__
