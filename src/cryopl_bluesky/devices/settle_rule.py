"""When a temperature counts as settled, and when to give up: the numbers (facts/attodry.md, section 7)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from cryopl_bluesky.drivers.errors import InstrumentError


@dataclass(frozen=True)
class SettleRule:
    """What "settled" means in one range of set points.

    Attributes:
        below_K: the rule holds for set points below this.
        tolerance_K: every sample of the window lies within this distance of the set point.
        window_s: length of the window.
        slope_K_min: the robust slope over the window is smaller than this.
        soak_s: how long window and slope have to stay good after they were first.
        timeout_s: time limit, on top of the planned time of the approach (`GiveUp.approach_s`).
        min_samples: samples a window needs at least.
        plate_slope_factor: the cold plate may drift this many times faster than the sample.
    """

    below_K: float
    tolerance_K: float
    window_s: float
    slope_K_min: float
    soak_s: float
    timeout_s: float
    min_samples: int = 10
    plate_slope_factor: float = 5.0

    @property
    def plate_slope_K_min(self) -> float:
        """Largest slope of the cold plate."""
        return self.plate_slope_factor * self.slope_K_min


# The second range includes 150 K itself.
DEFAULT_RULES = (
    SettleRule(50.0, 0.010, 60.0, 0.005, 60.0, 20 * 60.0),
    SettleRule(math.nextafter(150.0, math.inf), 0.020, 120.0, 0.010, 120.0, 40 * 60.0),
    SettleRule(math.inf, 0.050, 300.0, 0.020, 300.0, 90 * 60.0),
)


def rule_for(setpoint_K: float, rules: tuple[SettleRule, ...] = DEFAULT_RULES) -> SettleRule:
    """The rule of the range that a set point lies in.

    Raises:
        ValueError: no range covers it.
    """
    for rule in rules:
        if setpoint_K < rule.below_K:
            return rule
    raise ValueError(f"no settle rule covers setpoint_K={setpoint_K:g}; add a range to the profile")


@dataclass(frozen=True)
class GiveUp:
    """When settling fails early, the same for all ranges.

    Attributes:
        stale_readings_s: all readings bit-identical for longer than this.
        stale_link_s: no successful poll for longer than this.
        saturated_fraction: fraction of the maximum heater power from which the heater counts as saturated.
        progress_s: time over which progress is judged.
        heating_progress: fraction by which the distance has to shrink in that time.
        cooling_fraction: fraction of the cold plate's free cooling rate that has to be reached.
        near_tolerances: within this many tolerances progress is not judged (overshoot and creep end there).
        runaway_windows: number of windows for which the cold plate may drift while the sample is near.
        runaway_tolerances: how near: a drifting plate pulls the sample out of the band itself (section 5:
            0.2 K at 100 K, which is 10 tolerances).
        heating_min_per_K: planned time of the approach upwards (section 5: 5 to 300 K in 2 h).
        cooling_min_per_K: planned time of the approach downwards (section 5: 300 to 5 K in 8 h).
        plate_rates_K_min: temperature and free cooling rate of the cold plate, by temperature.
    """

    stale_readings_s: float = 30.0
    stale_link_s: float = 15.0
    saturated_fraction: float = 0.98
    progress_s: float = 600.0
    heating_progress: float = 0.10
    cooling_fraction: float = 0.20
    near_tolerances: float = 5.0
    runaway_windows: float = 3.0
    runaway_tolerances: float = 10.0
    heating_min_per_K: float = 120.0 / 295.0
    cooling_min_per_K: float = 480.0 / 295.0
    plate_rates_K_min: tuple[tuple[float, float], ...] = field(
        default=((42.0, 7.3), (50.0, 5.2), (75.0, 3.0), (115.0, 1.9), (145.0, 1.55)))

    def approach_s(self, start_K: float, setpoint_K: float) -> float:
        """Planned time of the approach, which the time limit is extended by."""
        rate = self.heating_min_per_K if setpoint_K > start_K else self.cooling_min_per_K
        return 60.0 * rate * abs(setpoint_K - start_K)


@dataclass(frozen=True)
class SettleResult:
    """How a settled temperature was reached; statistics are those of the last window.

    Attributes:
        reason: "settled".
        setpoint_K: set point.
        start_K: temperature at the time of the command.
        mean_K: mean of the window.
        std_K: standard deviation of the window.
        slope_K_min: robust slope of the window.
        time_to_settle_s: from the command to the end of the soak.
        heater_W: heater power at the end.
        cold_plate_K: cold plate at the end; None when unknown.
    """

    reason: str
    setpoint_K: float
    start_K: float
    mean_K: float
    std_K: float
    slope_K_min: float
    time_to_settle_s: float
    heater_W: float
    cold_plate_K: float | None


class SettleError(InstrumentError):
    """The temperature did not settle.

    Args:
        reason: below_base, power_limited, no_progress, stale, not_applied, foreign_change, insane,
            device_error, plate_runaway, timeout or stopped.
        instrument: device name.
        problem: what was seen, with numbers.
        remedy: what to do.
        time_s: how long settling had taken until then.
    """

    def __init__(self, reason: str, instrument: str, problem: str, remedy: str = "", *, time_s: float = 0.0,
                 code: int | None = None):
        self.reason = reason
        self.time_s = time_s
        super().__init__(instrument, f"{reason}: {problem}", remedy, code=code)
