"""One network for many threads: what they ask at the same time is computed in one batch.

For devices that like large batches (GPUs). While one batch is computed the next one gathers, so
nobody waits for a batch to fill up.
"""

import queue
import threading
from concurrent.futures import Future
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.runtime import Runtime

# Grid images in a batch at most; memory of a GPU grows with it, speed hardly beyond.
LARGEST = 32

_Request = tuple[NDArray[np.float32], "Future[NDArray[np.float32]]"]


class Batching:
    """A Runtime that may be called from several threads; a context manager, whose end stops it."""

    def __init__(self, runtime: Runtime, largest: int = LARGEST) -> None:
        """Compute with `runtime`, which is called from one thread alone."""
        self.device = runtime.device
        self._runtime, self._largest = runtime, largest
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Runtime. Raises what the runtime raises."""
        answer: Future[NDArray[np.float32]] = Future()
        self._requests.put((batch, answer))
        if self._stopped.is_set():
            self._refuse()
        return answer.result()

    def _refuse(self) -> None:
        """Answer those who ask when nobody serves any more."""
        while True:
            try:
                request = self._requests.get_nowait()
            except queue.Empty:
                return
            if request is not None:
                request[1].set_exception(RuntimeError("the network has been stopped"))

    def _serve(self) -> None:
        open_ = True
        while open_:
            first = self._requests.get()
            if first is None:
                return
            requests = [first]
            while sum(len(batch) for batch, _ in requests) < self._largest:
                try:
                    request = self._requests.get_nowait()
                except queue.Empty:
                    break
                if request is None:
                    open_ = False
                    break
                requests.append(request)
            self._answer(requests)

    def _answer(self, requests: list[_Request]) -> None:
        batches = [batch for batch, _ in requests]
        try:
            found = self._runtime(np.concatenate(batches))
        except Exception as error:  # noqa: BLE001 - it belongs to those who asked
            if len(requests) > 1:  # a smaller batch may fit into the memory
                for request in requests:
                    self._answer([request])
            else:
                requests[0][1].set_exception(error)
            return
        ends = np.cumsum([len(batch) for batch in batches])[:-1]
        for (_, answer), part in zip(requests, np.split(found, ends), strict=True):
            answer.set_result(part)

    def __enter__(self) -> Self:
        """Start serving."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Answer what was asked, then stop."""
        self._requests.put(None)
        self._thread.join()
        self._stopped.set()
        self._refuse()
