"""Samples in, verdict out: is the temperature settled, still on its way, or hopeless?

No clock, no instrument and no thread here. `SettleJudge.add` takes one sample of the cryostat at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from cryopl_bluesky.devices.settle_rule import GiveUp, SettleError, SettleResult, SettleRule, rule_for
from cryopl_bluesky.drivers.attodry import CryostatSample

_SETPOINT_TOLERANCE_K = 0.5e-3
_MAX_SLOPE_POINTS = 40
_EVALUATIONS_PER_WINDOW = 12
_PROGRESS_STEP_S = 10.0


def robust_slope_per_min(time_s: Sequence[float], value: Sequence[float]) -> float:
    """Theil-Sen slope per minute; neighbours are averaged first so that at most 40 points remain.

    Args:
        time_s: times in s, ascending, at least two.
        value: values at these times.

    Returns:
        Slope in units of `value` per minute.
    """
    t, v = np.asarray(time_s, float), np.asarray(value, float)
    per_block = -(-t.size // _MAX_SLOPE_POINTS)
    if per_block > 1:
        used = t.size - t.size % per_block
        t = t[-used:].reshape(-1, per_block).mean(axis=1)
        v = v[-used:].reshape(-1, per_block).mean(axis=1)
    first, second = np.triu_indices(t.size, 1)
    later = t[second] > t[first]
    # The definition itself: importing scipy.stats for it would take a session 0.7 s.
    return 60.0 * float(np.median((v[second] - v[first])[later] / (t[second] - t[first])[later]))


def time_limit_s(
    rule: SettleRule, give_up: GiveUp, start_K: float, setpoint_K: float, ramp_K_min: float = 0.0
) -> float:
    """The rule's time limit plus the planned time of the approach and of a ramp."""
    ramp_s = 60.0 * abs(setpoint_K - start_K) / ramp_K_min if ramp_K_min else 0.0
    return rule.timeout_s + give_up.approach_s(start_K, setpoint_K) + ramp_s


class SettleJudge:
    """Judges one approach to a set point.

    Args:
        setpoint_K: commanded set point; the command was acknowledged already.
        start: sample at the time of the command.
        rule: what settled means; default: the rule of the set point's range.
        give_up: when to fail early.
        ramp_K_min: ramp rate that the controller follows on purpose, 0 for none; progress is not judged
            then.
        instrument: device name for error messages.

    Attributes:
        limit_s: time limit, planned time of the approach included.
    """

    def __init__(
        self, setpoint_K: float, start: CryostatSample, *, rule: SettleRule | None = None,
        give_up: GiveUp | None = None, ramp_K_min: float = 0.0, instrument: str = "cryostat",
    ):
        self.setpoint_K, self.rule = setpoint_K, rule or rule_for(setpoint_K)
        self._give_up, self._instrument, self._start = give_up or GiveUp(), instrument, start
        self._ramp_K_min = ramp_K_min
        self.limit_s = time_limit_s(self.rule, self._give_up, start.temperature_K, setpoint_K, ramp_K_min)
        self._last = start
        self._changed_s = start.time_s
        self._recent: deque[CryostatSample] = deque()
        self._near_since_s: float | None = None
        self._band_since_s: float | None = None
        self._stable_since_s: float | None = None
        self._plate_bad_since_s: float | None = None
        self._idle_since_s: float | None = None
        self._saturated_since_s: float | None = None
        self._evaluated_s = start.time_s
        self._slope_K_min: float | None = None
        self._progress: deque[CryostatSample] = deque([start])

    def missed(self, time_s: float, error: Exception) -> None:
        """Note a poll that failed.

        Raises:
            SettleError: there was no successful poll for too long.
        """
        silent_s = time_s - self._last.time_s
        if silent_s > self._give_up.stale_link_s:
            raise self._failure("stale", f"no reading for {silent_s:.0f} s; last problem: {error}",
                                "check the controller and its network cable; control goes on by itself",
                                time_s)

    def add(self, sample: CryostatSample) -> SettleResult | None:
        """Take one sample.

        Returns:
            The result when the temperature is settled, None while it is on its way.

        Raises:
            SettleError: it will not settle; `reason` says why.
        """
        self._check_readings(sample)
        self._check_controller(sample)
        self._last = sample
        self._remember(sample)
        if self._due(sample):
            self._evaluate(sample)
        self._check_progress(sample)
        if self._stable_since_s is not None and sample.time_s - self._stable_since_s >= self.rule.soak_s:
            self._evaluate(sample)
            if self._stable_since_s is not None:
                return self._result(sample)
        elapsed_s = sample.time_s - self._start.time_s
        if elapsed_s > self.limit_s:
            raise self._failure(
                "timeout", f"not settled at {self.setpoint_K:g} K after {elapsed_s / 60:.0f} min: at "
                f"{sample.temperature_K:.4f} K{self._slope_text()}",
                "look at the temperature log: oscillation asks for other control parameters, a slow drift "
                "for a longer time limit", sample.time_s)
        return None

    # Checks of the single sample

    def _check_readings(self, sample: CryostatSample) -> None:
        gap_s = sample.time_s - self._last.time_s
        if gap_s > self._give_up.stale_link_s:
            raise self._failure("stale", f"no reading for {gap_s:.0f} s", "check the controller",
            sample.time_s)
        last = self._last
        if (sample.temperature_K, sample.cold_plate_K, sample.resistance_ohm) != (
            last.temperature_K, last.cold_plate_K, last.resistance_ohm
        ):
            self._changed_s = sample.time_s
        still_s = sample.time_s - self._changed_s
        if still_s > self._give_up.stale_readings_s:
            raise self._failure(
                "stale", f"all readings are the same to the last digit for {still_s:.0f} s "
                f"({sample.temperature_K:g} K)", "the sensor read-out hangs; restart the controller",
                sample.time_s)

    def _check_controller(self, sample: CryostatSample) -> None:
        if sample.error_number != 0:
            raise self._failure(
                "device_error", f"the controller reports error {sample.error_number} "
                f"{sample.error_component}".rstrip(), "see the controller's display", sample.time_s,
                sample.error_number)
        if sample.sane is False:
            raise self._failure("insane", "the controller says that the cryostat is not in order",
                                "see the controller's display", sample.time_s)
        if not sample.controlling:
            raise self._failure(
                "foreign_change", "temperature control was switched off while settling",
                "somebody else, or the controller itself, did it; find out who before trying again",
                sample.time_s)
        if not self._own_setpoint(sample):
            raise self._failure(
                "foreign_change", f"the set point is {sample.setpoint_K:g} K, but {self.setpoint_K:g} K was "
                "commanded", "somebody else controls the cryostat; find out who before trying again",
                sample.time_s)

    def _own_setpoint(self, sample: CryostatSample) -> bool:
        if abs(sample.setpoint_K - self.setpoint_K) <= _SETPOINT_TOLERANCE_K:
            return True
        if not sample.ramping:
            return False
        low_K, high_K = sorted((self._start.temperature_K, self.setpoint_K))
        return low_K - 1.0 <= sample.setpoint_K <= high_K + 1.0

    # The window

    def _remember(self, sample: CryostatSample) -> None:
        rule, time_s = self.rule, sample.time_s
        distance_K = sample.temperature_K - self.setpoint_K
        self._recent.append(sample)
        while self._second_is_old(time_s):
            self._recent.popleft()
        if abs(distance_K) > rule.tolerance_K:
            self._band_since_s = self._stable_since_s = None
        elif self._band_since_s is None:
            self._band_since_s = time_s
        if abs(distance_K) > self._give_up.runaway_tolerances * rule.tolerance_K:
            self._near_since_s = self._plate_bad_since_s = None
        elif self._near_since_s is None:
            self._near_since_s = time_s
        idle = sample.heater_W == 0 and distance_K > rule.tolerance_K
        self._idle_since_s = (self._idle_since_s or time_s) if idle else None
        limit_W = (sample.max_power_W or np.inf) * self._give_up.saturated_fraction
        saturated = sample.heater_W >= limit_W and distance_K < -rule.tolerance_K
        self._saturated_since_s = (self._saturated_since_s or time_s) if saturated else None

    def _second_is_old(self, time_s: float) -> bool:
        return len(self._recent) > 1 and time_s - self._recent[1].time_s >= self.rule.window_s

    def _due(self, sample: CryostatSample) -> bool:
        """Slopes are worked out a few times a window, and only where one of the verdicts can need them."""
        rule, time_s = self.rule, sample.time_s
        if time_s - self._evaluated_s < rule.window_s / _EVALUATIONS_PER_WINDOW:
            return False
        since = (self._near_since_s, self._idle_since_s, self._saturated_since_s)
        return any(self._lasts(since_s, sample) for since_s in since)

    def _evaluate(self, sample: CryostatSample) -> None:
        rule = self.rule
        if len(self._recent) < rule.min_samples:
            return
        self._evaluated_s = sample.time_s
        times_s = [entry.time_s for entry in self._recent]
        self._slope_K_min = robust_slope_per_min(times_s, [entry.temperature_K for entry in self._recent])
        flat = abs(self._slope_K_min) < rule.slope_K_min
        if flat:
            self._check_limits_reached(sample)
        if not self._lasts(self._near_since_s, sample):
            return
        plate_slope_K_min = self._plate_slope()
        quiet = plate_slope_K_min is None or abs(plate_slope_K_min) < rule.plate_slope_K_min
        self._check_plate(sample, quiet, plate_slope_K_min)
        if not (flat and quiet and self._lasts(self._band_since_s, sample)):
            self._stable_since_s = None
        elif self._stable_since_s is None:
            self._stable_since_s = sample.time_s

    def _lasts(self, since_s: float | None, sample: CryostatSample) -> bool:
        """Whether a state holds for a window by now."""
        return since_s is not None and sample.time_s - since_s >= self.rule.window_s

    def _plate_slope(self) -> float | None:
        known = [(entry.time_s, entry.cold_plate_K) for entry in self._recent
                 if entry.cold_plate_K is not None]
        if len(known) < self.rule.min_samples:
            return None
        return robust_slope_per_min([time_s for time_s, _ in known], [plate_K for _, plate_K in known])

    def _check_plate(self, sample: CryostatSample, quiet: bool, slope_K_min: float | None) -> None:
        if quiet or slope_K_min is None:
            self._plate_bad_since_s = None
            return
        if self._plate_bad_since_s is None:
            self._plate_bad_since_s = sample.time_s
        bad_s = sample.time_s - self._plate_bad_since_s
        if bad_s >= self._give_up.runaway_windows * self.rule.window_s:
            raise self._failure(
                "plate_runaway", f"the sample is near its set point, but the cold plate moves "
                f"by {slope_K_min:+.3f} K/min (limit {self.rule.plate_slope_K_min:g}) since "
                f"{bad_s / 60:.0f} min, now at {sample.cold_plate_K:.3f} K",
                "its own control does not hold it, or the cryostat is still cooling down: wait, or start "
                "from base temperature upwards", sample.time_s)

    # Hopeless cases

    def _check_limits_reached(self, sample: CryostatSample) -> None:
        time_s = sample.time_s
        if self._lasts(self._idle_since_s, sample):
            raise self._failure(
                "below_base", f"setpoint_K={self.setpoint_K:g} lies below what the cryostat reaches: "
                f"{sample.temperature_K:.3f} K with the heater off",
                f"choose {sample.temperature_K + 0.1:.1f} K "
                "or more, or improve the thermal link of the sample", time_s)
        if self._lasts(self._saturated_since_s, sample):
            raise self._failure(
                "power_limited", f"{sample.temperature_K:.3f} K is all that {sample.heater_W:.3f} W (maximum "
                f"{sample.max_power_W or 0:.3f} W) reach; setpoint_K={self.setpoint_K:g}",
                "choose a lower temperature or raise the power limit on the controller", time_s)

    def _check_progress(self, sample: CryostatSample) -> None:
        if self._ramp_K_min or sample.time_s - self._progress[-1].time_s < _PROGRESS_STEP_S:
            return
        self._progress.append(sample)
        oldest_s = sample.time_s - self._give_up.progress_s
        while len(self._progress) > 1 and self._progress[1].time_s <= oldest_s:
            self._progress.popleft()
        then = self._progress[0]
        elapsed_s = sample.time_s - then.time_s
        if elapsed_s < self._give_up.progress_s:
            return
        distance_K = self.setpoint_K - sample.temperature_K
        before_K = self.setpoint_K - then.temperature_K
        near_K = self._give_up.near_tolerances * self.rule.tolerance_K
        # Ringing passes through the set point, a lack of progress stays on one side of it all the time.
        if all(self.setpoint_K - entry.temperature_K > near_K for entry in self._progress):
            self._check_heating(sample, distance_K, before_K, elapsed_s)
        elif all(entry.heater_W == 0 and entry.temperature_K - self.setpoint_K > near_K
                 for entry in self._progress):
            self._check_cooling(sample, distance_K, before_K, elapsed_s)

    def _check_heating(
        self, sample: CryostatSample, distance_K: float, before_K: float, elapsed_s: float
    ) -> None:
        if distance_K > before_K * (1.0 - self._give_up.heating_progress):
            raise self._failure(
                "no_progress", f"heating from {self.setpoint_K - before_K:.3f} K to "
                f"{sample.temperature_K:.3f} K in {elapsed_s / 60:.0f} min with {sample.heater_W:.3f} W is "
                f"too slow to reach {self.setpoint_K:g} K",
                "heater at its limit, disconnected, or a ramp left on? Check the controller", sample.time_s)

    def _check_cooling(
        self, sample: CryostatSample, distance_K: float, before_K: float, elapsed_s: float
    ) -> None:
        rate_K_min = (distance_K - before_K) / elapsed_s * 60.0
        knots_K, rates_K_min = zip(*self._give_up.plate_rates_K_min, strict=True)
        expected_K_min = float(np.interp(sample.temperature_K, knots_K, rates_K_min))
        if rate_K_min < self._give_up.cooling_fraction * expected_K_min:
            raise self._failure(
                "no_progress", f"cooling at {rate_K_min:.3f} K/min near {sample.temperature_K:.2f} K with "
                f"the heater off; {expected_K_min:.1f} K/min is usual",
                "is the compressor running, is the vacuum good, and can "
                f"the cryostat reach {self.setpoint_K:g} K at all?", sample.time_s)

    # Answers

    def _result(self, sample: CryostatSample) -> SettleResult:
        values_K = np.array([entry.temperature_K for entry in self._recent])
        assert self._slope_K_min is not None
        return SettleResult(
            "settled", self.setpoint_K, self._start.temperature_K, float(values_K.mean()), float(values_K.std(ddof=1)),
            self._slope_K_min, sample.time_s - self._start.time_s, sample.heater_W, sample.cold_plate_K)

    def _slope_text(self) -> str:
        return "" if self._slope_K_min is None else f", last slope {self._slope_K_min * 1e3:+.1f} mK/min"

    def _failure(
        self, reason: str, problem: str, remedy: str, time_s: float, code: int | None = None
    ) -> SettleError:
        return SettleError(reason, self._instrument, problem, remedy, time_s=time_s - self._start.time_s,
        code=code)
