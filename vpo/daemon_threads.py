"""Threads that cannot keep the interpreter from ending, as those of ``ThreadPoolExecutor`` do.

That one joins its threads when the interpreter ends, so a function of the user's that never returns, or a job that
takes its time, holds up Ctrl-C for ever. A daemon thread is left where it stands.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_Item = tuple[Future[Any], Callable[[], Any]] | None  # None ends a thread


class DaemonThreads(Executor):
    """Runs functions in up to ``workers`` daemon threads, which are started when they are first needed.

    Args:
        workers: Most threads, at least 1.
        name: Prefix of the threads' names.
    """

    def __init__(self, workers: int, name: str = "worker") -> None:
        self._workers, self._name = workers, name
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._num_open = 0  # submitted and not ended
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function when a thread is free.

        Raises:
            RuntimeError: The pool was shut down.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("these threads were shut down: make others.")
            self._num_open += 1
            self._queue.put((future, lambda: fn(*args, **kwargs)))
            if len(self._threads) < min(self._workers, self._num_open):
                thread = threading.Thread(target=self._work, name=f"{self._name}_{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more; may be called again.

        Args:
            wait: Until all that was submitted has ended.
            cancel_futures: Cancel what no thread has begun.
        """
        with self._lock:
            if cancel_futures:
                self._cancel_waiting()
            if not self._closed:
                self._closed = True
                for _ in self._threads:
                    self._queue.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def _cancel_waiting(self) -> None:
        ends = 0
        while True:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                ends += 1
            else:
                item[0].cancel()
                item[0].set_running_or_notify_cancel()
        for _ in range(ends):
            self._queue.put(None)

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            future, call = item
            if future.set_running_or_notify_cancel():
                try:
                    result = call()
                except BaseException as error:  # as ThreadPoolExecutor does: it is for who waits
                    future.set_exception(error)
                else:
                    future.set_result(result)
                    del result
            with self._lock:
                self._num_open -= 1
            del item, future, call  # what they hold must not live as long as the thread waits
