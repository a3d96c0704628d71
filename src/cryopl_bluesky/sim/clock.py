"""The time of the bench: as fast as it can be followed.

Bench time runs `speed` times faster than real time, but only while somebody sleeps on it, and it never passes an
alarm before its owner was woken. While nobody sleeps (a frame is being computed, a file written), it runs at
most in real time. So the computer's own work does not count as bench time, and no time limit expires because the
computer was slow.

There is no thread that drives the time: each sleeper works out for itself how long it still has to wait. So a call
every 10 ms of bench time costs no switch between threads.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf

from cryopl_bluesky.clock import PeriodicTask

_EVENT_POLL_REAL_S = 0.002
_ANSWER_S = 1.0
_SLOW_MOTION, _STANDSTILL = 0.1, 0.001
"""Bench seconds per real second while a watchdog's call waits, and while it computes: its computing does not count."""
_STUCK_REAL_S = 10.0
"""A watchdog's call that takes longer than this does not hold the time any more."""
_SPIN_REAL_S = 1e-4
"""Below this, waiting by the operating system takes longer than the time that is waited for."""


class _Alarm:
    """A moment somebody waits for. Background alarms do not drive time, but hold it back until served."""

    __slots__ = ("at_s", "number", "owner", "seconds", "unhurried")

    def __init__(self, at_s: float, number: int, seconds: float):
        self.at_s, self.number, self.seconds = at_s, number, seconds
        self.owner = threading.get_ident()
        self.unhurried = False  # its owner waits as if time went on slowly


class _Turn:
    """A periodic call that is being made."""

    __slots__ = ("due_s", "late_after_s", "number", "owner", "punctual", "stuck_real_s")

    def __init__(self, due_s: float, punctual: bool):
        self.due_s, self.punctual = due_s, punctual
        self.number, self.owner, self.late_after_s, self.stuck_real_s = 0, 0, inf, 0.0

    def begin(self, alarm: _Alarm, period_s: float) -> None:
        """Its alarm went off."""
        self.due_s, self.number, self.owner = alarm.at_s, alarm.number, alarm.owner
        self.late_after_s = alarm.at_s + period_s
        self.stuck_real_s = time.monotonic() + _STUCK_REAL_S


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
        self._sleeping: dict[int, _Alarm] = {}
        self._background: dict[int, _Alarm] = {}
        self._turns: set[_Turn] = set()
        self._held = 0
        self._number = itertools.count()
        self._now_s = 0.0
        self._anchor_s = time.monotonic()
        self._plan()

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
            alarm = self._set_alarm(self._sleeping, seconds)
            while not self._reached(alarm):
                self._pause(alarm)
            del self._sleeping[alarm.number]
            self._plan()

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Return True as soon as `event` is set, False once `timeout_s` of bench time has passed."""
        with self._changed:
            alarm = self._set_alarm(self._sleeping, timeout_s)
            while not self._reached(alarm) and not event.is_set():
                self._pause(alarm, _EVENT_POLL_REAL_S)
            del self._sleeping[alarm.number]
            self._plan()
        return event.is_set()

    def periodic(
        self, period_s: float, function: Callable[[], object], name: str, *, punctual: bool = False
    ) -> PeriodicTask:
        """Call `function` every `period_s` of bench time in a daemon thread, until cancelled.

        Time does not run because of it, and slows down to real time when a call is not done by its next moment.
        While a punctual call computes, time stands still; while it waits, time runs in slow motion for all.
        """
        turn = _Turn(self.monotonic(), punctual)

        def wait(cancelled: threading.Event) -> bool:
            with self._changed:
                self._advance()
                self._turns.discard(turn)
                begin_s = turn.due_s if punctual else self._now_s
                alarm = self._set_alarm(self._background, begin_s + period_s - self._now_s)
                while not self._reached(alarm) and not cancelled.is_set():
                    self._pause(alarm)
                del self._background[alarm.number]
                if not cancelled.is_set():
                    turn.begin(alarm, period_s)
                    self._turns.add(turn)
                self._plan()
                return cancelled.is_set()

        return PeriodicTask(wait, function, name, wake=self._wake)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the time: what happens inside happens at one moment of bench time (do not wait inside)."""
        self._hold(1)
        try:
            yield
        finally:
            self._hold(-1)

    def _hold(self, change: int) -> None:
        with self._changed:
            self._advance()
            self._held += change
            self._plan()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # ---- all below with the lock held

    def _set_alarm(self, alarms: dict[int, _Alarm], seconds: float) -> _Alarm:
        if alarms is self._sleeping:
            self._advance()
        alarm = _Alarm(self._now_s + max(0.0, seconds), next(self._number), seconds)
        alarms[alarm.number] = alarm
        if alarms is self._sleeping and any(
            other.unhurried and other.at_s <= alarm.at_s for other in self._background.values()
        ):
            self._changed.notify_all()
        self._plan()
        return alarm

    def _reached(self, alarm: _Alarm) -> bool:
        self._advance()
        return self._now_s >= alarm.at_s

    def _pause(self, alarm: _Alarm, longest_real_s: float = inf) -> None:
        """Wait until the alarm may be near: not later than it can be reached, often earlier."""
        left_s = alarm.at_s - self._now_s
        if left_s < _SPIN_REAL_S * self._rate and self._stop_s >= alarm.at_s:
            until_real_s = self._anchor_s + left_s / self._rate
            while time.monotonic() < until_real_s:
                pass
            return
        alarm.unhurried = not self._sleeping
        rate = min(1.0, self.speed) if alarm.unhurried else self.speed
        self._changed.wait(min(max(left_s / rate, _SPIN_REAL_S), longest_real_s, threading.TIMEOUT_MAX))

    def _advance(self) -> None:
        """Bring the time up to the present, but not beyond the next stop."""
        real_s = time.monotonic()
        now_s = self._now_s + self._rate * (real_s - self._anchor_s)
        self._anchor_s = real_s
        if now_s < self._stop_s:
            self._now_s = now_s
        elif self._now_s < self._stop_s:
            self._now_s = self._stop_s
            self._plan()  # perhaps a call is late from now on
        if real_s > self._stuck_real_s:
            self._plan()

    def _plan(self) -> None:
        """Work out how fast time runs and where it stops; to be called after each change."""
        stop_s = stuck_real_s = inf
        late, watchdog = -1, None
        for alarms in (self._sleeping, self._background):
            for alarm in alarms.values():
                if alarm.at_s < stop_s:
                    stop_s = alarm.at_s
        for turn in self._turns:
            if turn.punctual and self._anchor_s < turn.stuck_real_s:
                watchdog, stuck_real_s = turn, turn.stuck_real_s
            if turn.late_after_s <= self._now_s:
                late = turn.number if turn.number > late else late
            elif turn.late_after_s < stop_s:
                stop_s = turn.late_after_s
        self._stop_s, self._stuck_real_s = stop_s, stuck_real_s
        if self._held:
            self._rate = 0.0
        elif watchdog is not None:
            waits = any(alarm.owner == watchdog.owner for alarm in self._sleeping.values())
            self._rate = min(_SLOW_MOTION if waits else _STANDSTILL, self.speed)
        elif late >= 0:
            # A late call may itself wait for an instrument's answer: such a short, newer sleep passes fast.
            answers = any(a.number > late and a.seconds <= _ANSWER_S for a in self._sleeping.values())
            self._rate = self.speed if answers else min(1.0, self.speed)
        else:
            self._rate = self.speed if self._sleeping else min(1.0, self.speed)
