"""The time that settle logic, polling and watchdogs live by.

Everything that waits takes a `Clock`, so that the same code runs on the computer's clock in the lab and on
another time base elsewhere. Two ways to wait exist and the difference matters:

* `Clock.sleep` and `Clock.wait`: somebody needs the time to pass (a settle window, a poll for "finished").
* `Clock.periodic`: something watches in the background for as long as it lives (a temperature log).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable

log = logging.getLogger(__name__)


@runtime_checkable
class Task(Protocol):
    """A periodic task that can be ended."""

    def cancel(self, timeout_s: float = 5.0) -> None:
        """End the task and wait up to `timeout_s` (real seconds) for the running call to return."""
        ...


@runtime_checkable
class Clock(Protocol):
    """A source of time and of waiting; all arguments and results are seconds on this clock."""

    def time(self) -> float:
        """Seconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary origin; never steps back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Return True as soon as `event` is set, False once `timeout_s` has passed."""
        ...

    def periodic(
        self, period_s: float, function: Callable[[], object], name: str, *, punctual: bool = False
    ) -> Task:
        """Call `function` every `period_s` in a daemon thread called `name`, until cancelled.

        Args:
            period_s: time between the end of a call and the next one; between their beginnings when punctual.
            function: what to call.
            name: name of the thread.
            punctual: it is a watchdog that must react within milliseconds: its period does not drift by what its
                calls take, and is kept where the operating system's timers are coarse.
        """
        ...


class PeriodicTask:
    """Calls a function again and again in a daemon thread; an exception is logged and does not end it.

    Args:
        wait: waits for the end of a period; returns True when the task was cancelled meanwhile.
        function: what to call, without arguments.
        name: name of the thread, for logs and debuggers.
        wake: makes a `wait` that is under way look at the event; not needed when it waits for the event itself.
    """

    def __init__(
        self, wait: Callable[[threading.Event], bool], function: Callable[[], object], name: str,
        wake: Callable[[], object] | None = None,
    ):
        self._wait, self._function, self._wake = wait, function, wake
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._wait(self._cancelled):
            try:
                self._function()
            except Exception:
                log.exception("periodic task %s failed; it goes on", self._thread.name)

    def cancel(self, timeout_s: float = 5.0) -> None:
        """End the task and wait up to `timeout_s` (real seconds) for the running call to return."""
        self._cancelled.set()
        if self._wake is not None:
            self._wake()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)


class SystemClock:
    """The computer's own clock."""

    def time(self) -> float:
        """Seconds since the Unix epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since an arbitrary origin; never steps back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        time.sleep(max(0.0, seconds))

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Return True as soon as `event` is set, False once `timeout_s` has passed."""
        return event.wait(max(0.0, timeout_s))

    def periodic(
        self, period_s: float, function: Callable[[], object], name: str, *, punctual: bool = False
    ) -> PeriodicTask:
        """Call `function` every `period_s` in a daemon thread called `name`, until cancelled."""
        if not punctual:
            return PeriodicTask(lambda cancelled: cancelled.wait(period_s), function, name)
        due_s = time.monotonic()

        def wait(cancelled: threading.Event) -> bool:
            nonlocal due_s
            now_s = time.monotonic()
            due_s = max(due_s + period_s, now_s)
            # On Windows a lock waits in steps of 16 ms, `sleep` does not.
            time.sleep(due_s - now_s)
            return cancelled.is_set()

        return PeriodicTask(wait, function, name)
