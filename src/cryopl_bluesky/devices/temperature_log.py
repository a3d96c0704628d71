"""The last two hours of cryostat samples, and statistics of any part of them."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

import numpy as np

from cryopl_bluesky.devices.settle import robust_slope_per_min
from cryopl_bluesky.drivers.attodry import CryostatSample
from cryopl_bluesky.drivers.errors import InstrumentError

MIN_SAMPLES = 3
STALE_AFTER_S = 15.0


@dataclass(frozen=True)
class WindowStatistics:
    """The temperature during a window.

    Attributes:
        mean_K: mean.
        std_K: standard deviation of the samples.
        drift_K_min: Theil-Sen slope.
        samples: number of samples.
        window_s: from the first to the last sample used; longer than the exposure if that was too short.
        farthest_K: largest distance of a sample from the set point.
        controlling: temperature control was on in every sample.
        last: the newest sample.
    """

    mean_K: float
    std_K: float
    drift_K_min: float
    samples: int
    window_s: float
    farthest_K: float
    controlling: bool
    last: CryostatSample


class TemperatureLog:
    """Ring buffer of samples; any thread may append and read.

    Args:
        instrument: device name for error messages.
        size: number of samples kept.
    """

    def __init__(self, instrument: str, size: int = 7200):
        self._instrument = instrument
        self._samples: deque[CryostatSample] = deque(maxlen=size)
        self._lock = threading.Lock()
        self.problem = ""

    def __len__(self) -> int:
        return len(self._samples)

    def append(self, sample: CryostatSample) -> None:
        """Keep a sample."""
        with self._lock:
            self._samples.append(sample)
            self.problem = ""

    def latest(self) -> CryostatSample:
        """The newest sample.

        Raises:
            InstrumentError: there is none yet.
        """
        with self._lock:
            if not self._samples:
                raise InstrumentError(self._instrument, "the temperature was never read", self.problem)
            return self._samples[-1]

    def since(self, time_s: float) -> list[CryostatSample]:
        """All samples from `time_s` on, and earlier ones until there are three."""
        chosen: list[CryostatSample] = []
        with self._lock:
            for sample in reversed(self._samples):
                if sample.time_s < time_s and len(chosen) >= MIN_SAMPLES:
                    break
                chosen.append(sample)
        return chosen[::-1]

    def statistics(self, since_s: float, now_s: float) -> WindowStatistics:
        """Statistics of the window from `since_s` to now.

        Raises:
            InstrumentError: the newest sample is older than 15 s, or there are fewer than three.
        """
        samples = self.since(since_s)
        if len(samples) < MIN_SAMPLES:
            raise InstrumentError(self._instrument, f"only {len(samples)} temperature readings so far, "
                                  f"{MIN_SAMPLES} are needed", self.problem or "wait some seconds")
        last = samples[-1]
        age_s = now_s - last.time_s
        if age_s > STALE_AFTER_S:
            raise InstrumentError(
                self._instrument, f"stale: the last temperature reading is {age_s:.0f} s old "
                f"(limit {STALE_AFTER_S:g} s)", self.problem or "the temperature log does not run")
        values_K = np.array([sample.temperature_K for sample in samples])
        setpoints_K = np.array([sample.setpoint_K for sample in samples])
        times_s = [sample.time_s for sample in samples]
        return WindowStatistics(
            float(values_K.mean()), float(values_K.std(ddof=1)),
            robust_slope_per_min(times_s, [sample.temperature_K for sample in samples]), len(samples),
            times_s[-1] - times_s[0], float(np.abs(values_K - setpoints_K).max()),
            all(sample.controlling for sample in samples), last)
