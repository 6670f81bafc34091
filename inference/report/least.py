"""The least of many, in bounded memory."""

from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Least(Generic[T]):
    """Keeps the values with the `keep` smallest keys of all that are added, whatever their order.

    `added` counts all. Keys are tuples that can be compared; equal ones keep what came first.
    """

    def __init__(self, keep: int) -> None:
        """Keep at most `keep` values, and never more than twice as many meanwhile."""
        self.added = 0
        self._keep = keep
        self._held: list[tuple[tuple[Any, ...], T]] = []
        self._limit: tuple[Any, ...] | None = None

    def add(self, key: tuple[Any, ...], value: T) -> None:
        """Look at one more."""
        self.added += 1
        if self._limit is not None and key >= self._limit:
            return
        self._held.append((key, value))
        if len(self._held) >= 2 * self._keep:
            self._cut()

    def _cut(self) -> None:
        self._held.sort(key=lambda pair: pair[0])
        if len(self._held) >= self._keep:
            del self._held[self._keep :]
            self._limit = self._held[-1][0]

    def values(self) -> list[T]:
        """Return what was kept, least first."""
        self._cut()
        return [value for _, value in self._held]
