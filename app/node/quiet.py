"""Which studies have fallen quiet: no new object for a while, and not done yet."""

import threading
import time
from collections.abc import Callable, Iterable


class Quiet:
    """When each study last got an object; any thread may use it."""

    def __init__(
        self, seconds: float, studies: Iterable[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take up `studies`, which a former node left undone, as if they had just come."""
        self._seconds, self._clock = seconds, clock
        self._lock = threading.Lock()
        self._heard = dict.fromkeys(studies, clock())

    def hear(self, study: str) -> None:
        """Note that a study got an object."""
        with self._lock:
            self._heard[study] = self._clock()

    def quiet(self) -> dict[str, float]:
        """Return the studies that are quiet, with the time of their last object."""
        with self._lock:
            now = self._clock()
            return {s: at for s, at in self._heard.items() if now - at >= self._seconds}

    def settle(self, done: dict[str, float]) -> None:
        """Forget studies, but those that got another object since."""
        with self._lock:
            for study, at in done.items():
                if self._heard.get(study) == at:
                    del self._heard[study]

    def __len__(self) -> int:
        """Return how many studies wait."""
        with self._lock:
            return len(self._heard)
