"""The time of the bench: as fast as it can be followed.

Bench time runs `speed` times faster than real time, but only while somebody sleeps on it, and it never passes an
alarm before its owner was woken. While nobody sleeps (a frame is being computed, a file written), it runs at
most in real time. So the computer's own work does not count as bench time, and no time limit expires because the
computer was slow.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from math import inf

from cryopl_bluesky.clock import PeriodicTask

_EVENT_POLL_REAL_S = 0.002
_CANCEL_POLL_REAL_S = 0.05
_ANSWER_S = 1.0


class _Alarm:
    """A moment somebody waits for. Background alarms do not drive time, but hold it back until served."""

    __slots__ = ("at_s", "background", "due", "number", "period_s", "seconds")

    def __init__(self, at_s: float, background: bool, number: int, period_s: float, seconds: float):
        self.at_s, self.background, self.number, self.period_s = at_s, background, number, period_s
        self.seconds = seconds
        self.due = False


class BenchClock:
    """A clock whose sleeps take `1/speed` of their time.

    Args:
        speed: bench seconds per real second while somebody sleeps; greater than 0.
        epoch_s: Unix time that bench time starts from (default: now).
    """

    def __init__(self, speed: float = 1.0, epoch_s: float | None = None):
        if not speed > 0:
            raise ValueError(f"speed={speed} must be greater than 0")
        self.speed = speed
        self._epoch_s = time.time() if epoch_s is None else epoch_s
        self._changed = threading.Condition(threading.Lock())
        self._alarms: dict[int, _Alarm] = {}
        self._late_after_s: dict[int, float] = {}
        self._number = itertools.count()
        self._now_s = 0.0
        self._anchor_s = time.monotonic()
        threading.Thread(target=self._run, name="bench-clock", daemon=True).start()

    def time(self) -> float:
        """Seconds since the Unix epoch."""
        return self._epoch_s + self.monotonic()

    def monotonic(self) -> float:
        """Bench seconds since the clock was made."""
        with self._changed:
            self._advance()
            return self._now_s

    def sleep(self, seconds: float) -> None:
        """Return after `seconds` of bench time."""
        with self._changed:
            alarm = self._set_alarm(seconds, background=False)
            while not alarm.due:
                self._changed.wait()

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Return True as soon as `event` is set, False once `timeout_s` of bench time has passed."""
        with self._changed:
            alarm = self._set_alarm(timeout_s, background=False)
            while not alarm.due and not event.is_set():
                self._changed.wait(_EVENT_POLL_REAL_S)
            self._advance()
            self._alarms.pop(alarm.number, None)
            self._changed.notify_all()
        return event.is_set()

    def periodic(self, period_s: float, function: Callable[[], object], name: str) -> PeriodicTask:
        """Call `function` every `period_s` of bench time in a daemon thread, until cancelled.

        Time does not run because of it, and slows down to real time when a call is not done by its next moment.
        """
        serving: list[int] = []

        def wait(cancelled: threading.Event) -> bool:
            with self._changed:
                while serving:
                    self._late_after_s.pop(serving.pop(), None)
                alarm = self._set_alarm(period_s, background=True, period_s=period_s)
                serving.append(alarm.number)
                while not alarm.due and not cancelled.is_set():
                    self._changed.wait(_CANCEL_POLL_REAL_S)
                if cancelled.is_set():
                    self._alarms.pop(alarm.number, None)
                    self._late_after_s.pop(alarm.number, None)
                    self._changed.notify_all()
                return cancelled.is_set()

        return PeriodicTask(wait, function, name)

    def _set_alarm(self, seconds: float, *, background: bool, period_s: float = 0.0) -> _Alarm:
        self._advance()
        at_s = self._now_s + max(0.0, seconds)
        alarm = _Alarm(at_s, background, next(self._number), period_s, seconds)
        self._alarms[alarm.number] = alarm
        self._changed.notify_all()
        return alarm

    def _rate(self) -> float:
        late = [number for number, at_s in self._late_after_s.items() if at_s <= self._now_s]
        sleeping = [alarm for alarm in self._alarms.values() if not alarm.background]
        if late:
            # A late call may itself wait for an instrument's answer: such a short, newer sleep passes fast.
            sleeping = [a for a in sleeping if a.number > max(late) and a.seconds <= _ANSWER_S]
        return self.speed if sleeping else min(1.0, self.speed)

    def _next_stop_s(self) -> float:
        alarms = [alarm.at_s for alarm in self._alarms.values()]
        return min(alarms + [at_s for at_s in self._late_after_s.values() if at_s > self._now_s], default=inf)

    def _advance(self) -> None:
        real_s = time.monotonic()
        now_s = self._now_s + self._rate() * (real_s - self._anchor_s)
        self._now_s = max(self._now_s, min(now_s, self._next_stop_s()))
        self._anchor_s = real_s

    def _run(self) -> None:
        with self._changed:
            while True:
                self._advance()
                for alarm in [a for a in self._alarms.values() if a.at_s <= self._now_s]:
                    alarm.due = True
                    del self._alarms[alarm.number]
                    if alarm.background:
                        self._late_after_s[alarm.number] = alarm.at_s + alarm.period_s
                    self._changed.notify_all()
                next_stop_s = self._next_stop_s()
                self._changed.wait(None if next_stop_s == inf else (next_stop_s - self._now_s) / self._rate())
