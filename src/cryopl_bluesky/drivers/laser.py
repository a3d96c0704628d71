"""What the laser device needs from any laser driver, and the power table that all of them share."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, runtime_checkable

RATE_MATCH_REL = 1e-6
"""Rates this close (relative) are the same: room for one that was typed with few digits, like 80 MHz/3."""


def same_rate(rate_Hz: float, other_Hz: float) -> bool:
    """Whether two repetition rates in Hz are the same one."""
    return math.isclose(rate_Hz, other_Hz, rel_tol=RATE_MATCH_REL)


@dataclass(frozen=True)
class LaserInfo:
    """Who the laser driver is.

    Attributes:
        model: product model as the driver reports it.
        serial: its serial number, "" when it cannot be asked.
        firmware: firmware version, "" when it cannot be asked.
        library: version of the vendor's library, "" when there is none.
        modules: what is fitted, for example ("SCM 000", "SOMD 100", "SLM 200").
    """

    model: str
    serial: str = ""
    firmware: str = ""
    library: str = ""
    modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class PowerPoint:
    """One power-meter reading: average `power_uW` at a repetition rate and an intensity setting."""

    repetition_rate_Hz: float
    intensity_permille: float
    power_uW: float


class PowerTable:
    """Average optical power by rate and intensity setting, from power-meter readings.

    The intensity setting is a control voltage: power is neither equal nor proportional to it and depends on
    the rate. So the table is read per rate, interpolated between readings and never extrapolated.

    Args:
        points: (repetition_rate_Hz, intensity_permille, power_uW) readings in any order.

    Raises:
        ValueError: a negative power, or two different readings at the same setting.
    """

    def __init__(self, points: Iterable[tuple[float, float, float]] = ()):
        self.points = tuple(PowerPoint(*point) for point in sorted(points))
        for point in self.points:
            if not point.power_uW >= 0:
                raise ValueError(f"power table: power_uW={point.power_uW:g} at {_setting(point)} is negative")
        for first, second in pairwise(self.points):
            if _setting(first) == _setting(second):
                raise ValueError(f"power table: two readings at {_setting(first)}")

    def power_uW(self, repetition_rate_Hz: float, intensity_permille: float) -> float | None:
        """Average power in uW, interpolated linearly in the logarithm of the power.

        Between a reading of zero and the next one the interpolation is linear in the power itself.

        Returns:
            The power, or None where the table says nothing: another rate, or outside its intensities.
        """
        row = [point for point in self.points if same_rate(point.repetition_rate_Hz, repetition_rate_Hz)]
        for point in row:
            if point.intensity_permille == intensity_permille:
                return point.power_uW
        for low, high in pairwise(row):
            if low.intensity_permille < intensity_permille < high.intensity_permille:
                return _interpolate_uW(low, high, intensity_permille)
        return None


def _setting(point: PowerPoint) -> str:
    return f"{point.repetition_rate_Hz:g} Hz, {point.intensity_permille:g} permille"


def _interpolate_uW(low: PowerPoint, high: PowerPoint, intensity_permille: float) -> float:
    span = high.intensity_permille - low.intensity_permille
    part = (intensity_permille - low.intensity_permille) / span
    if min(low.power_uW, high.power_uW) == 0:
        return low.power_uW + part * (high.power_uW - low.power_uW)
    return low.power_uW * (high.power_uW / low.power_uW) ** part


@runtime_checkable
class LaserDriver(Protocol):
    """A pulsed laser whose safe state is the lock: "off" means *locked*, never "intensity zero".

    All methods raise `InstrumentError` when the laser refuses, fails or does not answer.
    """

    attended: bool
    """Whether a person carries out the settings (no time limit shorter than a person's)."""

    def open(self) -> None:
        """Connect; changes nothing on the laser."""
        ...

    def close(self) -> None:
        """Switch off, then disconnect."""
        ...

    def info(self) -> LaserInfo:
        """Who the laser driver is."""
        ...

    def repetition_rates_Hz(self) -> tuple[float, ...]:
        """The fixed rates, ascending; more may be reachable, see `check_repetition_rate`."""
        ...

    def check_repetition_rate(self, rate_Hz: float) -> None:
        """Refuse a rate the laser cannot produce, without touching it.

        Raises:
            LimitError: names the nearest rates that can be reached.
        """
        ...

    def repetition_rate_Hz(self) -> float:
        """The pulse rate that is set; 0 when it is not known (external trigger)."""
        ...

    def set_repetition_rate(self, rate_Hz: float) -> None:
        """Set the pulse rate; while emitting, intensity goes to zero first and comes back afterwards."""
        ...

    def intensity_permille(self) -> float:
        """The intensity while emitting; else the one that `switch_on` will ramp up to."""
        ...

    def set_intensity(self, permille: float) -> None:
        """Set the intensity, per mille of the control voltage; takes effect at `switch_on` while locked."""
        ...

    def power_uW(self) -> float | None:
        """Average power that leaves the head now by the power table; 0 when locked, None when not known."""
        ...

    def is_locked(self) -> bool:
        """The real state of the lock; only True proves that no light can leave the head."""
        ...

    def is_emitting(self) -> bool:
        """Whether light may leave the head."""
        ...

    def switch_on(self) -> None:
        """Unlock and ramp up in the safe order, verified; locks again if any step fails."""
        ...

    def switch_off(self) -> None:
        """Ramp down and lock in the safe order, verified."""
        ...

    def emergency_off(self) -> None:
        """Lock at once, whatever else is going on; tries everything before it raises."""
        ...
