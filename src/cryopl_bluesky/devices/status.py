"""A Status for work on an instrument's thread, without a thread of its own.

ophyd starts one thread per Status that has a time limit, which costs more than the rest of an event together.
Here one thread watches the time limits of all.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from concurrent.futures import Future
from typing import Any

from ophyd import Device
from ophyd.status import Status


class WorkStatus(Status):
    """What was asked of which device, and whether it is done; the first end that is reported counts.

    Args:
        device: whose work it is.
        timeout_s: real seconds after which it fails.
        what: what was asked, for messages.
    """

    def __init__(self, device: Device, timeout_s: float, what: str):
        self.device, self.what, self._timeout_s = device, what, timeout_s
        self._ended = threading.Lock()
        super().__init__(timeout=None)
        _DEADLINES.watch(self, timeout_s)

    def conclude(self, future: Future[Any]) -> None:
        """Take over the result of the work; without effect after the time limit."""
        if future.cancelled():
            self._end(RuntimeError(f"{self}: cancelled because the device was shut down"))
        else:
            self._end(future.exception())

    def expire(self) -> None:
        """The time limit has passed; without effect when the work is done."""
        self._end(TimeoutError(f"{self.device.name}: {self.what} was not done within {self._timeout_s:g} s"))

    def _end(self, error: BaseException | None) -> None:
        if not self._ended.acquire(blocking=False):
            return
        if error is None:
            self.set_finished()
            return
        try:
            self.set_exception(error)  # pyright: ignore[reportArgumentType]
        except ValueError:
            # ophyd keeps some classes for itself; a Status that never ended would hang the plan.
            self.set_exception(RuntimeError(f"{self}: {error!r}"))

    def __repr__(self) -> str:
        """The text that the stop document of a failed run gives as its reason."""
        error = self.exception(timeout=0) if self.done else None
        if error is not None:
            return f"{self.device.name}: {self.what} failed: {error}"
        return f"<{self.device.name}: {self.what}, done={self.done}>"

    __str__ = __repr__


class _Deadlines:
    """One thread that lets each Status expire in time; it starts with the first one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[tuple[float, int, WorkStatus]] = []
        self._number = itertools.count()
        self._thread: threading.Thread | None = None

    def watch(self, status: WorkStatus, timeout_s: float) -> None:
        with self._changed:
            entry = (time.monotonic() + timeout_s, next(self._number), status)
            heapq.heappush(self._waiting, entry)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="status-deadlines", daemon=True)
                self._thread.start()
            elif self._waiting[0] is entry:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            for status in self._due():
                status.expire()

    def _due(self) -> list[WorkStatus]:
        """Wait until a deadline passes, and return the unfinished work it was for."""
        with self._changed:
            due: list[WorkStatus] = []
            while self._waiting and (self._waiting[0][2].done or self._waiting[0][0] <= time.monotonic()):
                status = heapq.heappop(self._waiting)[2]
                if not status.done:
                    due.append(status)
            if not due:
                self._changed.wait(self._waiting[0][0] - time.monotonic() if self._waiting else None)
            return due


_DEADLINES = _Deadlines()
