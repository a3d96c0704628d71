"""How long settling will take: a model of the cryostat, corrected by what was measured in past series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from cryopl_bluesky.devices.settle_rule import DEFAULT_RULES, GiveUp, SettleRule, rule_for

_TAU_K = (5, 8, 10, 15, 20, 30, 40, 50, 60, 75, 100, 125, 150, 200, 250, 300)
_TAU_S = (0.6, 0.8, 1.0, 2.0, 3.6, 12, 33, 72, 135, 265, 430, 545, 634, 662, 617, 585)
"""Time constant of a bare sample holder on its thermal link (facts/attodry.md, section 6)."""

_TIME_CONSTANTS = 3.3
"""Time constants until control is within the tolerance [est]; past series correct it."""

_COLD_PLATE_K = 4.0
"""The cold plate of a cryostat in operation; it stays near this also while the sample is heated (section 6)."""

_SAME_K = 1.0
"""Steps whose ends are this near to each other take the same time."""


@dataclass(frozen=True)
class SettleTime:
    """How long one change of temperature took.

    Attributes:
        start_K: temperature at the command.
        setpoint_K: set point.
        time_to_settle_s: from the command to the end of the soak.
    """

    start_K: float
    setpoint_K: float
    time_to_settle_s: float


class SettleEstimate:
    """Estimates settle times.

    Args:
        rules: settle rules by range of set points.
        measured: settle times of past series on this cryostat.
        give_up: gives the rate of free cooling.
    """

    def __init__(
        self, rules: tuple[SettleRule, ...] = DEFAULT_RULES, measured: Sequence[SettleTime] = (),
        give_up: GiveUp | None = None,
    ):
        self._rules, self._measured, self._give_up = rules, list(measured), give_up or GiveUp()
        ratios = [
            (past.time_to_settle_s - self._waiting_s(past.setpoint_K)) / moving_s for past in self._measured
            if (moving_s := self._moving_s(past.start_K, past.setpoint_K)) > 0
        ]
        self._correction = max(median(ratios), 0.1) if ratios else 1.0

    @property
    def learned(self) -> int:
        """Number of measured settle times that the estimate rests on."""
        return len(self._measured)

    def seconds(self, start_K: float, setpoint_K: float, plate_K: float = _COLD_PLATE_K) -> float:
        """Time from the command to the end of the soak, in s.

        The median of the same step in past series where there is one; else the model, with the part that depends on
        the cryostat corrected by the median of all past steps.

        Args:
            start_K: temperature at the command.
            setpoint_K: where to.
            plate_K: cold plate at the command; warm before a first cool-down.
        """
        same = [
            past.time_to_settle_s for past in self._measured
            if abs(past.start_K - start_K) <= _SAME_K and abs(past.setpoint_K - setpoint_K) <= _SAME_K
        ]
        plate_s = self._plate_s(plate_K, setpoint_K)
        if same:
            return plate_s + median(same)
        return plate_s + self._waiting_s(setpoint_K) + self._correction * self._moving_s(start_K, setpoint_K)

    def _waiting_s(self, setpoint_K: float) -> float:
        """Window and soak: they are waited for in any case."""
        rule = rule_for(setpoint_K, self._rules)
        return rule.window_s + rule.soak_s

    def _moving_s(self, start_K: float, setpoint_K: float) -> float:
        """Until the temperature stays within the tolerance."""
        if abs(setpoint_K - start_K) <= rule_for(setpoint_K, self._rules).tolerance_K:
            return 0.0
        control_s = _TIME_CONSTANTS * float(np.interp(setpoint_K, _TAU_K, _TAU_S))
        return control_s + self._cooling_s(start_K, setpoint_K)

    def _cooling_s(self, start_K: float, setpoint_K: float) -> float:
        """The sample cools through its link to the cold plate: the integral of tau(T) dT/(T - T_plate)."""
        path_K = np.linspace(min(setpoint_K, start_K), start_K, 200)
        rate_K_s = np.maximum(path_K - _COLD_PLATE_K, 0.5) / np.interp(path_K, _TAU_K, _TAU_S)
        return float(np.trapezoid(1.0 / rate_K_s, path_K))

    def _plate_s(self, plate_K: float, setpoint_K: float) -> float:
        """Free cooling of a warm cold plate down to the set point."""
        knots_K, rates_K_min = zip(*self._give_up.plate_rates_K_min, strict=True)
        path_K = np.linspace(min(setpoint_K, plate_K), plate_K, 50)
        return 60.0 * float(np.trapezoid(1.0 / np.interp(path_K, knots_K, rates_K_min), path_K))
