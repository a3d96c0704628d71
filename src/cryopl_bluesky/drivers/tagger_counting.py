"""One acquisition of the Time Tagger from its start to its end: waiting, fetching tags, and knowing when to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.drivers.errors import InstrumentError, InstrumentTimeoutError
from cryopl_bluesky.drivers.tag_tap import TagBlock
from cryopl_bluesky.drivers.tagger_acquisition import DURATION, RunningAcquisition

TagSink = Callable[[TagBlock], None]
"""Takes the tags as they come, in order; what it raises ends the acquisition."""
Until = Callable[[float, RunningAcquisition], str]
"""Asked again and again with the seconds since the start and the data up to now: "" = go on, else why to stop."""

_POLL_S = 0.01
_EARLY_LOOK_S = 0.1
_LOOK_S = 0.2
_OVERTIME_S = 5.0


class Counting:
    """The wait for one acquisition.

    Args:
        running: the acquisition that was started.
        clock: the time waits live by.
        stopped: set from outside to end the wait with an error.
        lock: guards the vendor's objects.
        instrument: name for messages.
        on_tags: takes the time tags, if they are recorded.
        until: decides whether enough was counted before the duration is over.
    """

    def __init__(
        self, running: RunningAcquisition, clock: Clock, stopped: threading.Event, lock: threading.RLock,
        instrument: str, on_tags: TagSink | None = None, until: Until | None = None,
    ):
        self._running, self._clock, self._stopped, self._lock = running, clock, stopped, lock
        self._instrument, self._on_tags, self._until = instrument, on_tags, until
        self._duration_s = running.settings.duration_s
        self._begin_s = clock.monotonic()

    def wait(self) -> str:
        """Return when the data are complete.

        A laser rate that does not fit the setting is found after the first 0.1 s.

        Returns:
            Why it ended: "duration", or what `until` said.

        Raises:
            InstrumentTimeoutError: the tagger did not finish within 5 s after the expected end.
            InstrumentError: stopped from outside, or a wrong laser rate.
        """
        self._pause(min(_EARLY_LOOK_S, self._duration_s))
        if self._duration_s > _EARLY_LOOK_S:
            with self._lock:
                self._running.check_sync()
        looks = self._on_tags is not None or self._until is not None
        while (left_s := self._duration_s - self._elapsed_s()) > 0:
            self._pause(min(left_s, _LOOK_S) if looks else left_s)
            self.fetch()
            reason = self._reason()
            if reason:
                with self._lock:
                    self._running.stop()
                break
        else:
            reason = DURATION
            self._wait_for_end()
        self.fetch()
        return reason

    def fetch(self) -> None:
        """Hand over the tags that have come since the last time."""
        if self._on_tags is None:
            return
        with self._lock:
            block = self._running.fetch_tags()
        if block is not None:
            self._on_tags(block)

    def _reason(self) -> str:
        if self._until is None:
            return ""
        with self._lock:
            return self._until(self._elapsed_s(), self._running)

    def _wait_for_end(self) -> None:
        while self._is_running():
            late_s = self._elapsed_s() - self._duration_s
            if late_s > _OVERTIME_S:
                raise InstrumentTimeoutError(
                    self._instrument,
                    f"the acquisition of {self._duration_s:g} s is not done {late_s:.1f} s after its end",
                    "no tags arrive: check the USB connection",
                )
            self._pause(_POLL_S)

    def _is_running(self) -> bool:
        with self._lock:
            return self._running.is_running()

    def _elapsed_s(self) -> float:
        return self._clock.monotonic() - self._begin_s

    def _pause(self, seconds: float) -> None:
        if self._clock.wait(self._stopped, max(0.0, seconds)):
            raise InstrumentError(self._instrument, "the acquisition was stopped before its end")
