"""The next clips, made ready while a person looks at this one."""

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

from app.review.settings import RefusedError

if TYPE_CHECKING:
    from app.review.desk import Desk, Item

LOG = logging.getLogger("endometer.review")
AHEAD = 3


class Prefetcher:
    """One thread; what was asked for last is made first, what is old is dropped."""

    def __init__(self, desk: "Desk") -> None:
        """Wait for work; the thread starts with the first."""
        self._desk = desk
        self._wanted: deque[Item] = deque(maxlen=AHEAD)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._busy = False

    def want(self, items: "list[Item]") -> None:
        """Prepare these next, the first of them first; what was wanted before is forgotten."""
        if not self._desk.settings.prefetch:
            return
        with self._changed:
            if self._closed:
                return
            self._wanted.clear()
            self._wanted.extend(items[:AHEAD])
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="prefetch", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def wait(self, seconds: float = 60.0) -> bool:
        """Wait until nothing is wanted any more; for tests and benchmarks."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._wanted and not self._busy, seconds)

    def close(self) -> None:
        """End after what is being made."""
        with self._changed:
            self._closed = True
            self._wanted.clear()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=30)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._wanted or self._closed)
                if self._closed:
                    return
                item = self._wanted.popleft()
                self._busy = True
            try:
                self._prepare(item)
            except RefusedError:
                continue  # whoever opens the clip is told
            except Exception as error:  # noqa: BLE001 - its text may hold what is in a file
                LOG.error("%s while preparing a clip", type(error).__name__)

    def _prepare(self, item: "Item") -> None:
        number = self._desk.first_frame(item)
        self._desk.pictures.frame(item.entry, number)
        if not self._desk.settings.blind and item.entry.row["status"] != "failed":
            self._desk.measurer.measure(item.entry, number)
