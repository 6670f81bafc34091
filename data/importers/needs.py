"""Packages that one format needs and measuring does not."""

from importlib.util import find_spec

EXTRA = "annotate"


class MissingPackageError(Exception):
    """A package is not installed; the message says which extra brings it."""


def need(package: str, what: str) -> None:
    """Raise MissingPackageError unless a package is there."""
    if find_spec(package) is None:
        raise MissingPackageError(
            f"{what} needs the package {package}, which is not installed: "
            f"pip install 'endometer[{EXTRA}]'"
        )
