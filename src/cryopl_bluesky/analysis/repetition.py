"""The laser's repetition rate from the photons alone, where no sync was recorded.

Pairs of photons of pulsed light lie at whole multiples of the laser period: the rate is where
|sum over pairs of exp(2 pi i f delay)| is largest.

    >>> rng = np.random.default_rng(3)
    >>> delays_ps = 12_500 * rng.integers(-80, 81, 20_000) + rng.laplace(0, 2_000, 20_000)
    >>> pairs = np.histogram(delays_ps, (np.arange(20_002) - 10_000.5) * 100)[0]
    >>> found = find_repetition_rate(pairs, binwidth_ps=100, singles=(10**6, 10**6))
    >>> abs(found.rate_Hz - 80e6) < 3 * found.rate_err_Hz < 0.1e6
    True
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from ._checks import AnalysisError, FitError, Floats, count_array, positive
from ._g2_peaks import delay_axis_ns

HIGHEST_HZ = 120e6
"""Setting: rates above this are not looked for; pulsed diode lasers end at 80 to 100 MHz."""
FEWEST_PERIODS = 5.0
"""The histogram must hold this many periods on all: below that the rate is mixed up with slow bunching."""
SIGNIFICANT = 5.0
"""A phasor above this many sqrt(pairs) is no chance: exp(-25) per independent frequency."""
_PADDING = 4


@dataclass(frozen=True)
class RepetitionRate:
    """The laser's rate as the photons show it.

    Attributes:
        rate_Hz: Repetition rate.
        rate_err_Hz: Its standard error.
        period_ns: Laser period.
        period_err_ns: Its standard error.
        offset_ns: Delay of the peak nearest zero.
        offset_err_ns: Its standard error.
        contrast: |mean of exp(2 pi i f delay)|: 1 for pulses without width, 0 without pulses.
        pairs: Pairs that were used.
        method: How it was found.
    """

    rate_Hz: float
    rate_err_Hz: float
    period_ns: float
    period_err_ns: float
    offset_ns: float
    offset_err_ns: float
    contrast: float
    pairs: int
    method: str


def find_repetition_rate(
    histogram: ArrayLike,
    binwidth_ps: float,
    singles: tuple[float, float],
    *,
    range_Hz: tuple[float, float] | None = None,
) -> RepetitionRate:
    """Find the rate of pulsed light from its pair histogram.

    Args:
        histogram: Pairs of two detectors by delay, (n,); bin i is the delay (i - n//2) * binwidth.
        binwidth_ps: Bin width; a tenth of the period or less.
        singles: Counts of the two detectors; each click is in several pairs, which the error takes into account.
        range_Hz: Lowest and highest rate to look for; None: from 5 periods in the histogram to 120 MHz.

    Raises:
        AnalysisError: Bad counts, or a range that the histogram cannot tell.
        FitError: No pulses at any rate of the range.
    """
    counts = count_array("histogram", histogram)
    dt_s = positive("binwidth_ps", binwidth_ps) * 1e-12
    clicks = positive("singles[0]", singles[0]), positive("singles[1]", singles[1])
    span_s = counts.size * dt_s
    low_Hz, high_Hz = range_Hz or (FEWEST_PERIODS / span_s, min(HIGHEST_HZ, 0.1 / dt_s))
    if not FEWEST_PERIODS / span_s <= low_Hz < high_Hz <= 0.5 / dt_s:
        raise AnalysisError(
            f"range_Hz {low_Hz:g} to {high_Hz:g} does not fit a histogram of {span_s * 1e9:g} ns in bins of "
            f"{binwidth_ps:g} ps, which tells {FEWEST_PERIODS / span_s:g} to {0.5 / dt_s:g} Hz; give a longer one."
        )
    total = float(counts.sum())
    delay_s = delay_axis_ns(counts.size, dt_s)
    # Tapered: background that ends at the edges of the histogram would shift the rate.
    weighted = counts * np.cos(np.pi * delay_s / span_s) ** 2
    rate_Hz = _refine(weighted, delay_s, _coarse(weighted, dt_s, low_Hz, high_Hz, counts), span_s)
    phasor = complex(np.sum(weighted * np.exp(2j * np.pi * rate_Hz * delay_s)))
    offset_s = np.angle(phasor) / (2.0 * np.pi * rate_Hz)
    rate_err_Hz, offset_err_s = _errors(counts, weighted, delay_s, rate_Hz, offset_s, clicks)
    return RepetitionRate(
        rate_Hz=rate_Hz,
        rate_err_Hz=rate_err_Hz,
        period_ns=1e9 / rate_Hz,
        period_err_ns=1e9 * rate_err_Hz / rate_Hz**2,
        offset_ns=float(offset_s) * 1e9,
        offset_err_ns=offset_err_s * 1e9,
        contrast=abs(phasor) / float(weighted.sum()),
        pairs=int(total),
        method="maximum of |mean exp(2 pi i f delay)| over all pairs",
    )


def _coarse(weighted: Floats, dt_s: float, low_Hz: float, high_Hz: float, counts: Floats) -> float:
    """The lowest of the strong frequencies: narrow pulses have harmonics as strong as the rate itself."""
    size = _PADDING * weighted.size
    strength = np.abs(np.fft.rfft(weighted, size))
    rates_Hz = np.fft.rfftfreq(size, dt_s)
    inside = (rates_Hz >= low_Hz) & (rates_Hz <= high_Hz)
    strength, rates_Hz = strength[inside], rates_Hz[inside]
    top = float(strength.max(initial=0.0))
    used = counts > 0
    noise = float(np.sqrt(np.sum(weighted[used] ** 2 / counts[used])))
    if not noise or top < SIGNIFICANT * noise:
        raise FitError(
            f"The {counts.sum():g} pairs show no pulses between {low_Hz:g} and {high_Hz:g} Hz: continuous light, or "
            "too few pairs; give the period if you know it."
        )
    # the side lobes of the taper are below 3 % of the peak
    first = int(np.flatnonzero(strength > 0.5 * top)[0])
    near = slice(first, first + 2 * _PADDING)
    return float(rates_Hz[near][np.argmax(strength[near])])


def _refine(weighted: Floats, delay_s: Floats, rate_Hz: float, span_s: float) -> float:
    used = weighted > 0

    def weakness(trial_Hz: float) -> float:
        return -abs(np.sum(weighted[used] * np.exp(2j * np.pi * trial_Hz * delay_s[used])))

    step_Hz = 0.5 / span_s
    bounds = (rate_Hz - step_Hz, rate_Hz + step_Hz)
    return float(minimize_scalar(weakness, bounds=bounds, method="bounded", options={"xatol": 1e-3}).x)  # pyright: ignore


def _errors(
    counts: Floats, weighted: Floats, delay_s: Floats, rate_Hz: float, offset_s: float, clicks: tuple[float, float]
) -> tuple[float, float]:
    """Standard errors of rate and offset (sandwich formula): the scatter of the phases over the curvature."""
    phase = 2.0 * np.pi * rate_Hz * (delay_s - offset_s)
    # at most half of the variance of a pair belongs to each of its photons, which stand in pairs/clicks pairs
    sharing = 1.0 + counts.sum() / 2.0 * (1.0 / clicks[0] + 1.0 / clicks[1])
    used = counts > 0
    noise = np.zeros_like(counts)
    noise[used] = weighted[used] ** 2 / counts[used] * np.sin(phase[used]) ** 2 * sharing
    slope = weighted * np.cos(phase)
    rate_err = np.sqrt(np.sum(noise * delay_s**2)) / (2.0 * np.pi * abs(np.sum(slope * delay_s**2)))
    return float(rate_err), float(np.sqrt(noise.sum()) / (2.0 * np.pi * rate_Hz * abs(slope.sum())))
