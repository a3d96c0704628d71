"""The cryostat: a temperature that is set only when it is settled, and known during every exposure."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import Any

from bluesky.protocols import Location
from ophyd import Component
from ophyd.status import Status

from cryopl_bluesky.clock import Clock, Task
from cryopl_bluesky.devices.base import Instrument, Quantity
from cryopl_bluesky.devices.settle import SettleJudge, time_limit_s
from cryopl_bluesky.devices.settle_rule import (
    DEFAULT_RULES,
    GiveUp,
    SettleError,
    SettleResult,
    SettleRule,
    rule_for,
)
from cryopl_bluesky.devices.temperature_log import MIN_SAMPLES, TemperatureLog
from cryopl_bluesky.drivers.attodry import AttoDry, CryostatSample, NotAppliedError
from cryopl_bluesky.drivers.errors import InstrumentError, LimitError, check_limits

log = logging.getLogger(__name__)

_POLL_PERIOD_S = 1.0
_REAL_TIME_MARGIN = 2.0
_REAL_TIME_MARGIN_S = 600.0


def _kelvin(kind: str = "normal", **options: Any) -> Component[Quantity]:
    return Component(Quantity, units="K", precision=4, kind=kind, **options)


class Cryostat(Instrument):
    """Settles at set points and reports the temperature during each exposure.

    `set(setpoint_K)` finishes when the temperature is settled by the rule of its range and fails early with
    a `SettleError` that gives the reason. `trigger()` opens a window, `read()` gives the statistics of the
    samples since then (at least the last three; `temperature_window_s` says how long that was). In between, a
    background log polls the controller once per second. Stopping leaves control running.

    Args:
        driver: opened driver.
        name: device name, also the prefix of the data keys.
        clock: time base of polls, windows and time limits.
        rules: settle rules by range of set points.
        give_up: when settling fails early.
        hold_on_stop: on stop, make the present temperature the set point instead of going on to the old one.

    Attributes:
        temperature_K: mean of the window.
        readback_K: newest single reading, updated with each poll; for monitoring, not recorded.
        in_band: control was on and every sample of the window lay within the tolerance of the set point.
        settle_reason: "settled", the reason of the last failure, or "" before the first `set`. The other
            `settle_*` values are 0 unless it is "settled".
        ramp_K_min: ramp rate of the controller, 0 for none; `set` switches a ramp off that others left on.
    """

    temperature_K = _kelvin("hinted")
    temperature_std_K = _kelvin()
    temperature_drift_K_min = Component(Quantity, units="K/min", precision=4, kind="normal")
    temperature_samples = Component(Quantity, dtype=int, kind="normal")
    temperature_window_s = Component(Quantity, units="s", precision=1, kind="normal")
    in_band = Component(Quantity, dtype=bool, kind="normal")
    heater_W = Component(Quantity, units="W", precision=4, kind="normal")
    cold_plate_K = _kelvin()
    setpoint_K = _kelvin()
    readback_K = _kelvin("omitted")

    ramp_K_min = Component(Quantity, units="K/min", kind="config", write="_write_ramp", timeout_s=180.0)
    settle_reason = Component(Quantity, dtype=str, kind="config")
    settle_start_K = _kelvin("config")
    settle_time_to_settle_s = Component(Quantity, units="s", precision=0, kind="config")
    settle_mean_K = _kelvin("config")
    settle_std_K = _kelvin("config")
    settle_slope_K_min = Component(Quantity, units="K/min", precision=4, kind="config")
    settle_tolerance_K = _kelvin("config")
    settle_window_s = Component(Quantity, units="s", precision=0, kind="config")

    def __init__(
        self, driver: AttoDry, *, name: str, clock: Clock, rules: tuple[SettleRule, ...] = DEFAULT_RULES,
        give_up: GiveUp | None = None, hold_on_stop: bool = False, **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self._driver, self._clock = driver, clock
        self._rules, self._give_up, self._hold_on_stop = rules, give_up or GiveUp(), hold_on_stop
        self._log = TemperatureLog(name)
        self._poll_lock = threading.Lock()
        self._state_lock = threading.Lock()
        self._stop_settling = threading.Event()
        self._logger: Task | None = None
        self._window_start_s: float | None = None

    # Life

    def refresh(self) -> None:
        """Read the state of the controller, take the first three samples and start the temperature log."""
        with self._poll_lock:
            self._store(self._driver.snapshot(everything=True))
            while len(self._log) < MIN_SAMPLES:
                self._clock.sleep(_POLL_PERIOD_S)
                self._store(self._driver.snapshot())
            latest = self._log.latest()
            self.ramp_K_min.put(self._driver.ramp_K_min() if latest.ramping else 0.0)
        self.cold_plate_K.kind = "omitted" if latest.cold_plate_K is None else "normal"
        self._update_window()
        if self._logger is None:
            self._logger = self._clock.periodic(_POLL_PERIOD_S, self._poll_in_background, f"{self.name}-log")

    def make_safe(self) -> None:
        """Nothing to switch off: control goes on, because warming up by surprise is what harms a sample."""

    def shutdown(self) -> None:
        """End settling and the temperature log and disconnect; the controller goes on as it is."""
        self._stop_settling.set()
        if self._logger is not None:
            self._logger.cancel()
            self._logger = None
        super().shutdown()
        self._driver.close()

    def _store(self, sample: CryostatSample) -> None:
        self._log.append(sample)
        self.readback_K.put(sample.temperature_K)

    def _poll_in_background(self) -> None:
        if not self._poll_lock.acquire(blocking=False):
            return  # settling polls, and stores what it reads
        try:
            had_problem = self._log.problem
            self._store(self._driver.snapshot())
            if had_problem:
                log.warning("%s: the temperature log goes on", self.name)
        except InstrumentError as error:
            if not self._log.problem:
                log.warning("the temperature log is interrupted: %s", error)
            self._log.problem = str(error)
        finally:
            self._poll_lock.release()

    # Moving

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest set point, in K."""
        return self._driver.setpoint_limits_K

    @property
    def settle_rules(self) -> tuple[SettleRule, ...]:
        """What settled means, by range of set points."""
        return self._rules

    def check_value(self, value: float, **kwargs: Any) -> None:
        """Refuse a set point outside the limits.

        Raises:
            LimitError: names the value, the limit and the remedy.
        """
        check_limits(self.name, "setpoint_K", value, *self.limits, "K")

    @property
    def position(self) -> float:
        """Newest temperature reading, in K."""
        return self._log.latest().temperature_K

    def locate(self) -> Location[float]:
        """Set point and newest reading, in K."""
        latest = self._log.latest()
        return Location(setpoint=latest.setpoint_K, readback=latest.temperature_K)

    def set(self, setpoint_K: float) -> Status:
        """Go to a temperature.

        Args:
            setpoint_K: where to.

        Returns:
            A Status that finishes when the temperature is settled and fails with a `SettleError`. A `set`
            while another is under way replaces it.

        Raises:
            LimitError: outside the limits; nothing was sent.
        """
        setpoint_K = float(setpoint_K)
        self.check_value(setpoint_K)
        with self._state_lock:
            self._stop_settling.set()
            stop = self._stop_settling = threading.Event()
        start_K = self._log.latest().temperature_K
        limit_s = time_limit_s(rule_for(setpoint_K, self._rules), self._give_up, start_K, setpoint_K,
                               self._ramp())
        return self.submit(lambda: self._settle(setpoint_K, stop),
                           _REAL_TIME_MARGIN * limit_s + _REAL_TIME_MARGIN_S, f"settling at {setpoint_K:g} K")

    def stop(self, *, success: bool = False) -> None:
        """Stop waiting for the temperature; the controller goes on to its set point.

        Args:
            success: ignored; the unfinished `set` fails with reason "stopped" either way.
        """
        with self._state_lock:
            self._stop_settling.set()

    def _settle(self, setpoint_K: float, stop: threading.Event) -> None:
        rule = rule_for(setpoint_K, self._rules)
        before_K = self._log.latest().temperature_K
        self._publish_settle("", rule)
        try:
            with self._poll_lock:
                result = self._approach(setpoint_K, rule, stop)
        except SettleError as error:
            self._publish_settle(error.reason, rule)
            raise
        # The judge's start is what was read after the command: near 100 K it may be degrees on its way already.
        self._publish_settle(result.reason, rule, replace(result, start_K=before_K))

    def _approach(self, setpoint_K: float, rule: SettleRule, stop: threading.Event) -> SettleResult:
        ramp_K_min = self._ramp()
        start = self._command(setpoint_K, ramp_K_min, stop)
        judge = SettleJudge(setpoint_K, start, rule=rule, give_up=self._give_up, ramp_K_min=ramp_K_min,
                            instrument=self.name)
        while not self._clock.wait(stop, _POLL_PERIOD_S):
            try:
                sample = self._driver.snapshot()
                settled = judge.add(sample)
                self._store(sample)
                if settled is not None:  # confirm with fresh readings of everything
                    sample = self._driver.snapshot(everything=True)
                    settled = judge.add(sample)
                    self._store(sample)
            except SettleError:
                raise
            except InstrumentError as error:
                judge.missed(self._clock.monotonic(), error)
                continue
            if settled is not None:
                return settled
        if self._hold_on_stop:
            self._driver.set_setpoint(self._log.latest().temperature_K)
        raise self._stopped(setpoint_K)

    def _stopped(self, setpoint_K: float) -> SettleError:
        return SettleError("stopped", self.name, f"settling at {setpoint_K:g} K was stopped or replaced",
                           "temperature control goes on")

    def _command(self, setpoint_K: float, ramp_K_min: float, stop: threading.Event) -> CryostatSample:
        """Send the set point; returns a sample of everything, taken after the command."""
        if stop.is_set():
            raise self._stopped(setpoint_K)
        try:
            if not ramp_K_min and self._driver.snapshot(everything=True).ramping:
                self._driver.set_ramp(0.0)
            self._driver.set_setpoint(setpoint_K)
            start = self._driver.snapshot(everything=True)
        except LimitError:
            raise
        except NotAppliedError as error:
            raise SettleError("not_applied", self.name, error.problem, error.remedy) from error
        except InstrumentError as error:
            raise SettleError(
                "device_error", self.name, error.problem, error.remedy, code=error.code) from error
        self._store(start)
        return start

    def _ramp(self) -> float:
        return float(self.ramp_K_min.get())  # pyright: ignore[reportArgumentType]

    def holds(self, setpoint_K: float) -> bool:
        """Whether the temperature is still where it was settled: control on, mean of the newest samples in band."""
        now_s = self._clock.monotonic()
        try:
            found = self._log.statistics(now_s, now_s)
        except InstrumentError as error:
            log.warning("%s: whether %g K is held is not known: %s", self.name, setpoint_K, error)
            return False
        return found.controlling and abs(found.mean_K - setpoint_K) <= rule_for(setpoint_K, self._rules).tolerance_K

    def settle_record(self) -> dict[str, float] | None:
        """How the last set point was reached: `start_K`, `setpoint_K`, `time_to_settle_s`; None = not by settling."""
        if self.settle_reason.get() != "settled":
            return None
        return {"start_K": float(self.settle_start_K.get()), "setpoint_K": float(self._log.latest().setpoint_K),
                "time_to_settle_s": float(self.settle_time_to_settle_s.get())}

    def _write_ramp(self, rate_K_min: float) -> float:
        return self._driver.set_ramp(rate_K_min)

    def _publish_settle(self, reason: str, rule: SettleRule, result: SettleResult | None = None) -> None:
        self.settle_reason.put(reason)
        self.settle_tolerance_K.put(rule.tolerance_K)
        self.settle_window_s.put(rule.window_s)
        self.settle_start_K.put(result.start_K if result else 0.0)
        self.settle_time_to_settle_s.put(result.time_to_settle_s if result else 0.0)
        self.settle_mean_K.put(result.mean_K if result else 0.0)
        self.settle_std_K.put(result.std_K if result else 0.0)
        self.settle_slope_K_min.put(result.slope_K_min if result else 0.0)

    # Reading

    def trigger(self) -> Status:
        """Open the window; costs nothing and is done at once."""
        self._window_start_s = self._clock.monotonic()
        status = Status()
        status.set_finished()
        return status

    def read(self) -> Any:
        """Statistics of the samples since `trigger()`.

        Returns:
            An event-model reading by data key.

        Raises:
            InstrumentError: the newest sample is older than 15 s.
        """
        self._update_window()
        return super().read()

    def _update_window(self) -> None:
        now_s = self._clock.monotonic()
        since_s = now_s if self._window_start_s is None else self._window_start_s
        found = self._log.statistics(since_s, now_s)
        tolerance_K = rule_for(found.last.setpoint_K, self._rules).tolerance_K
        self.temperature_K.put(found.mean_K)
        self.temperature_std_K.put(found.std_K)
        self.temperature_drift_K_min.put(found.drift_K_min)
        self.temperature_samples.put(found.samples)
        self.temperature_window_s.put(found.window_s)
        self.in_band.put(found.controlling and found.farthest_K <= tolerance_K)
        self.heater_W.put(found.last.heater_W)
        if found.last.cold_plate_K is not None:
            self.cold_plate_K.put(found.last.cold_plate_K)
        self.setpoint_K.put(found.last.setpoint_K)
