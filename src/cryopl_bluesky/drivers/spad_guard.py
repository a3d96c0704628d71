"""The watchdog of the SPADs: closes the light path and locks the laser when they are in danger.

It counts on its own, beside every acquisition, and looks at the counts on its own thread, so it works while a plan is
busy, blocked or absent. Who can make the SPADs dark is told to it (`make_safe_by`); who is about to let light on them
asks it first (`before_opening`). Once it has tripped it stays so until `reset`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryopl_bluesky.clock import Clock, Task
from cryopl_bluesky.config import GuardSettings
from cryopl_bluesky.drivers.errors import InstrumentError
from cryopl_bluesky.drivers.spad_rule import GuardRule, fine_bin_s

log = logging.getLogger(__name__)

IDLE_S = 1.0
"""How often the counts are looked at while the path is closed."""
_CLOSER_LOOK_S, _CLOSER_LOOKS = 0.001, 50
_MEMORY_S = 3.0
_ACT_S = 0.1
"""The watchdog gives those who act this long before it goes on looking."""
_ACT_AGAIN_S = 1.0
_BEAT_S = 5.0
"""Longest time between two beats, by the session's clock and by the computer's: on a busy computer one of them may be
late while the thread is well."""
_FIRST_BEAT_S = 1.0
_STALL_WARN_S = 0.1
_PS_PER_S = 1e12


@dataclass(frozen=True)
class Trip:
    """Why and when the light path was closed.

    Attributes:
        cause: what was wrong, with the value and the limit.
        time_s: when it was found, seconds since the Unix epoch.
        spad1_rate_Hz: rate of SPAD 1 in the last bin before.
        spad2_rate_Hz: same for SPAD 2.
    """

    cause: str
    time_s: float
    spad1_rate_Hz: float
    spad2_rate_Hz: float

    def __str__(self) -> str:
        when = datetime.fromtimestamp(self.time_s).astimezone().isoformat(sep=" ", timespec="milliseconds")
        return (
            f"the SPAD guard locked the laser and closed the light path at {when}: {self.cause}; "
            f"SPAD 1 {self.spad1_rate_Hz:.3g} Hz, SPAD 2 {self.spad2_rate_Hz:.3g} Hz"
        )


class SpadGuard:
    """Protects two SPADs on a Time Tagger.

    Args:
        clock: the time it lives by.
        limits: what light is accepted.
        name: instrument name for messages.
        stop_acquisition: ends the acquisition that runs, if any.
    """

    def __init__(
        self, clock: Clock, limits: GuardSettings, *, name: str = "hbt", stop_acquisition: Callable[[], object]
    ):
        self.limits, self.name = limits, name
        self.trip: Trip | None = None
        self.on_change: Callable[[], object] = lambda: None
        self._clock, self._stop_acquisition = clock, stop_acquisition
        self._safe: dict[str, Callable[[], object]] = {}
        self._lock = threading.RLock()
        self._new_counter: Callable[[], Any] | None = None
        self._counter: Any = None
        self._rule = GuardRule(limits)
        self._task: Task | None = None
        self._open = False
        self._beats = 0
        self._beat_s = self._news_s = self._looked_s = self._acted_s = clock.monotonic()
        self._beat_real_s = time.monotonic()
        self._stall_warned = False

    # ---- life

    def start(self, vendor: Any, tagger: Any, spads: tuple[int, int]) -> None:
        """Begin to count.

        Args:
            vendor: the vendor's module.
            tagger: the open tagger itself, no synchronised proxy of it.
            spads: channels of SPAD 1 and SPAD 2.
        """
        fine_ps = round(fine_bin_s(self.limits) * _PS_PER_S)
        bins = round(_MEMORY_S / fine_bin_s(self.limits))
        with self._lock:
            self._new_counter = lambda: vendor.Counter(tagger, list(spads), fine_ps, bins)
            self._begin()
            self._pace()

    def stop(self) -> None:
        """End; nothing can be opened any more."""
        with self._lock:
            task, self._task = self._task, None
            self._counter = self._new_counter = None
        if task is not None:
            task.cancel()
        self.on_change()

    def _begin(self) -> None:
        assert self._new_counter is not None
        self._counter = self._new_counter()
        self._rule = GuardRule(self.limits)
        self._rule.path(self._open)
        self._beat_s = self._news_s = self._looked_s = self._clock.monotonic()
        self._beat_real_s = time.monotonic()

    def make_safe_by(self, name: str, function: Callable[[], object]) -> None:
        """Have `function` called on a trip, on a thread of its own; the first one given is called first.

        Args:
            name: what it makes safe, for the log.
            function: may block and may raise.
        """
        self._safe[name] = function

    @property
    def state(self) -> str:
        """Either "off", "idle" (path closed), "watching" (path open) or "tripped"."""
        if self._task is None:
            return "off"
        if self.trip is not None:
            return "tripped"
        return "watching" if self._open else "idle"

    # ---- the light path

    def check(self) -> None:
        """Refuse light and acquisitions after a trip, and without a watchdog.

        Raises:
            InstrumentError: it has tripped (with the cause), or its thread does not run.
        """
        trip = self.trip
        if trip is not None:
            raise InstrumentError(self.name, str(trip), f"clear the cause, then RE(mv({self.name}.guard, 'reset'))")
        late_s = min(self._clock.monotonic() - self._beat_s, time.monotonic() - self._beat_real_s)
        if self._task is None or late_s > _BEAT_S:
            problem = "does not run" if self._task is None else f"has not looked at the counts for {late_s:.3g} s"
            raise InstrumentError(self.name, f"the SPAD guard {problem}; no light without it",
                                  "close the session and connect again")

    def before_opening(self) -> None:
        """Ask before light can reach the SPADs; from here on every bin is looked at.

        Waits until the dark rate is known (up to 0.3 s after closing) and until the watchdog has looked once.

        Raises:
            InstrumentError: as `check`, or a dark rate is far above its baseline.
        """
        self.check()
        if self._open:
            return
        self._check_darks(self._dark_rates_Hz())
        self.opened()
        beats, begin_s = self._beats, self._clock.monotonic()
        while self._beats == beats:
            if self._clock.monotonic() - begin_s > _FIRST_BEAT_S:
                self.closed()
                raise InstrumentError(self.name, "the SPAD guard does not look at the counts; no light without it",
                                      "close the session and connect again")
            self._clock.sleep(self.limits.look_s)
        self.check()

    def opened(self) -> None:
        """Light can reach the SPADs."""
        self._set_open(True)

    def closed(self) -> None:
        """Light cannot reach the SPADs any more."""
        self._set_open(False)

    def _set_open(self, is_open: bool) -> None:
        if self._open == is_open:
            return
        if self._task is not None:
            self._look()
        with self._lock:
            self._open = is_open
            self._rule.path(is_open)
            if self._task is not None:
                self._pace()
        self.on_change()

    def _pace(self) -> None:
        old = self._task
        if self._open:
            self._task = self._clock.periodic(self.limits.look_s, self._beat, "spad-guard", punctual=True)
        else:
            self._task = self._clock.periodic(IDLE_S, self._beat, "spad-guard")
        if old is not None:
            old.cancel(timeout_s=0.0)

    def _dark_rates_Hz(self) -> tuple[float, float]:
        while True:
            self._look()
            self.check()
            with self._lock:
                rates_Hz = self._rule.dark_rates_Hz()
            if rates_Hz is not None:
                return rates_Hz
            self._clock.sleep(self.limits.bin_s)

    def _check_darks(self, rates_Hz: tuple[float, float]) -> None:
        limits = self.limits
        for spad, rate_Hz in enumerate(rates_Hz, 1):
            times = rate_Hz / limits.baseline_dark_Hz
            text = (f"the dark rate of SPAD {spad} is {rate_Hz:.3g} Hz, {times:.3g} times the baseline of "
                    f"{limits.baseline_dark_Hz:g} Hz")
            if times > limits.dark_factor:
                raise InstrumentError(
                    self.name, f"{text} (limit: {limits.dark_factor:g} times); the light path stays closed",
                    "look for room light, and check the SPADs and hbt.guard.baseline_dark_Hz of the profile")
            if times > limits.dark_warn_factor:
                log.warning("%s: %s", self.name, text)

    # ---- the watchdog

    def _beat(self) -> None:
        """What the thread does: look, and keep looking while too many counts seem to be on their way."""
        self._look()
        for _ in range(_CLOSER_LOOKS):
            if self.trip is not None or not self._rule.suspicious:
                break
            self._clock.sleep(_CLOSER_LOOK_S)
            self._look()
        self._beats += 1
        self._beat_s, self._beat_real_s = self._looked_s, time.monotonic()

    def _look(self) -> None:
        """Examine the counts since the last look; act on what is wrong."""
        with self._lock:
            try:
                cause = self._examine()
            except Exception as error:
                log.exception("%s: the SPAD guard failed", self.name)
                cause = f"the guard itself failed: {error!r}"
            if not cause:
                return
            now_s = self._looked_s
            if self.trip is None:
                self.trip = Trip(cause, self._clock.time(), *self._rule.rates_Hz())
            elif not self._open or now_s - self._acted_s < _ACT_AGAIN_S:
                return
            self._acted_s = now_s
        self._act(self.trip)

    def _examine(self) -> str:
        # Before asking: the answer may take a while and is not newer than this.
        now_s = self._looked_s = self._clock.monotonic()
        data = self._counter.getDataObject(remove=True) if self._counter is not None else None
        cause = ""
        if data is not None and data.size:
            if not data.overflow or not data.getOverflowMask().all():
                self._news_s = now_s
            cause = self._rule.examine(data.getData(), complete=not data.overflow)
        late_s = now_s - self._news_s
        if late_s <= _STALL_WARN_S:
            self._stall_warned = False
        elif late_s > self.limits.stall_s:
            cause = cause or f"no counts arrive for {late_s:.3g} s, longer than stall_s={self.limits.stall_s:g}"
        elif not self._stall_warned:
            self._stall_warned = True
            log.warning("%s: the SPAD guard has no counts for %.3g s", self.name, late_s)
        return cause

    def _act(self, trip: Trip) -> None:
        """Everything at once, each on its own thread: none may wait for another that hangs."""
        log.critical("%s: %s", self.name, trip)
        done, left = threading.Event(), threading.Semaphore(len(self._safe))

        def attempt(name: str, function: Callable[[], object]) -> None:
            try:
                function()
            except Exception as error:  # noqa: BLE001 - whatever it is, the others go on and the user must know
                log.critical("%s: after the trip of the SPAD guard, %s could not be made safe: %s",
                             self.name, name, error)
            if not left.acquire(blocking=False):
                done.set()

        def begin(*action: Any) -> None:
            threading.Thread(target=attempt, args=action, name=f"spad-guard-{action[0]}", daemon=True).start()

        for name, function in self._safe.items():
            begin(name, function)
        self.on_change()  # before the acquisition fails: whoever sees that looks for the cause
        begin("acquisition", self._stop_acquisition)
        self._clock.wait(done, _ACT_S)

    def reset(self) -> None:
        """Accept light again, after the operator has cleared the cause.

        Raises:
            InstrumentError: the guard does not run.
        """
        with self._lock:
            if self._task is None:
                raise InstrumentError(self.name, "the SPAD guard does not run", "open the Time Tagger first")
            self.trip = None
            self._begin()
        log.info("%s: the SPAD guard was reset", self.name)
        self.on_change()
