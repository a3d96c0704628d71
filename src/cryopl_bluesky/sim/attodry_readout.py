"""What the thermometers show: 1 Hz updates, noise, slow drift, cryocooler ripple, quantisation."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from cryopl_bluesky.sim.bench import Bench

# Noise of 1 s samples, section 5 of the fact sheet (2 mK at 300 K: section 6).
_NOISE_K = (4.0, 60.0, 90.0, 100.0, 150.0, 200.0, 250.0, 300.0)
_NOISE_MK = (0.3, 0.3, 0.25, 0.4, 0.6, 0.8, 1.5, 2.0)
_PLATE_NOISE_MK = 0.4
_DRIFT_MK, _DRIFT_TIME_S = 0.2, 300.0
_RIPPLE_PLATE_MK, _RIPPLE_SAMPLE_MK = 10.0, 1.0
_RIPPLE_FULL_BELOW_K, _RIPPLE_NONE_ABOVE_K = 6.0, 15.0
_SENSOR_K = (
    6.68, 8, 10, 12, 14, 16, 20, 24, 26, 28, 30, 34, 38, 42, 46, 50, 60, 70, 80, 90, 100,
    125, 150, 200, 250, 299, 325,
)
_SENSOR_OHM = (
    2561.6, 2115.5, 1695.1, 1428.1, 1242.0, 1103.6, 909.5, 777.8, 726.2, 681.8, 642.7, 577.3, 524.7, 481.3,
    445.0, 414.0, 353.2, 308.6, 274.3, 247.0, 224.6, 183.1, 154.4, 117.4, 94.7, 79.9, 74.0,
)


@dataclass(frozen=True)
class Reading:
    """One update of the sensors.

    Attributes:
        sample_K: sample thermometer.
        plate_K: cold plate thermometer.
        sample_ohm: resistance of the sample thermometer.
        plate_ohm: resistance of the cold plate thermometer.
    """

    sample_K: float
    plate_K: float
    sample_ohm: float
    plate_ohm: float


def resistance_ohm(temperature_K: float) -> float:
    """Resistance of the CX-1050 of the fact sheet: log R over log T, extended along its last segments."""
    i = min(max(bisect_left(_SENSOR_K, temperature_K) - 1, 0), len(_SENSOR_K) - 2)
    steepness = math.log(_SENSOR_OHM[i + 1] / _SENSOR_OHM[i]) / math.log(_SENSOR_K[i + 1] / _SENSOR_K[i])
    return _SENSOR_OHM[i] * (temperature_K / _SENSOR_K[i]) ** steepness


def quantise_K(temperature_K: float) -> float:
    """Resolution on the wire: 0.1 mK below 100 K, 1 mK above."""
    return round(temperature_K, 4 if temperature_K < 100 else 3)


def _rippling(temperature_K: float) -> float:
    """Share of the cryocooler's ripple that is seen at a temperature, 0 to 1."""
    return min(max((_RIPPLE_NONE_ABOVE_K - temperature_K) / (_RIPPLE_NONE_ABOVE_K - _RIPPLE_FULL_BELOW_K), 0.0), 1.0)


class Readout:
    """The sensors of one cryostat.

    Args:
        bench: clock, temperatures and seed.
    """

    def __init__(self, bench: Bench):
        self._bench, self._rng = bench, bench.rng("cryostat")
        self._updated_s = -math.inf
        self._drift_mK = 0.0
        self._reading: Reading | None = None

    def now(self) -> Reading:
        """The present reading; the caller holds the bench's lock and has advanced the thermal model."""
        second = math.floor(self._bench.clock.monotonic())
        frozen = self._bench.fault("cryostat.frozen") is not None and self._reading is not None
        if not frozen and (self._reading is None or second != self._updated_s):
            self._reading = self._measure(second)
            self._updated_s = second
        assert self._reading is not None
        return self._reading

    def _measure(self, second: float) -> Reading:
        keep = math.exp(-(second - self._updated_s) / _DRIFT_TIME_S)
        self._drift_mK = self._drift_mK * keep + _DRIFT_MK * math.sqrt(1 - keep**2) * self._rng.normal()
        sample_K, plate_K = self._bench.thermal.sample_K, self._bench.thermal.cold_plate_K
        ripple = math.sin(self._rng.uniform(0, 2 * math.pi))
        noise_mK = float(np.interp(sample_K, _NOISE_K, _NOISE_MK)) * self._rng.normal()
        shown_K = sample_K + (noise_mK + self._drift_mK + _RIPPLE_SAMPLE_MK * ripple * _rippling(sample_K)) * 1e-3
        plate_ripple_mK = _RIPPLE_PLATE_MK * ripple * _rippling(plate_K)
        plate_shown_K = plate_K + (_PLATE_NOISE_MK * self._rng.normal() + plate_ripple_mK) * 1e-3
        return Reading(quantise_K(shown_K), quantise_K(plate_shown_K),
                       float(f"{resistance_ohm(shown_K):.6g}"), float(f"{resistance_ohm(plate_shown_K):.6g}"))
