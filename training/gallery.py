"""Stand-in."""


def page(*_: object) -> str:
    """Return nothing yet."""
    return ""
