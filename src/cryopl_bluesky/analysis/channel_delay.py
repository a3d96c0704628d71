"""The delay between the two SPADs (cables, electronics) from the pair histogram of correlated pulsed light.

Both photons of a pair see the same decay, so every peak of the histogram is symmetric about the delay, whatever the
lifetime. Its centre is found without a model of its shape: the place where pairs on either side balance, each
weighted by d exp(-d^2/2w^2), so that background and after-pulses far from the peak have no say.

    >>> rng = np.random.default_rng(2)
    >>> delays_ps = 1_700 + 100_000 * rng.integers(-5, 6, 40_000) + rng.laplace(0, 400, 40_000)
    >>> pairs = np.histogram(delays_ps, (np.arange(22_001) - 11_000.5) * 50)[0]
    >>> found = channel_delay(pairs, binwidth_ps=50, period_ns=100.0, singles=(10**6, 10**6))
    >>> abs(found.delay_ps - 1_700) < 3 * found.sigma_ps < 15
    True
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from ._checks import AnalysisError, Floats, count_array, positive
from ._g2_peaks import delay_axis_ns, phase_offset_ns

FEWEST_PAIRS = 100
"""Excess pairs in the peaks below which the width of the peak, and so the error, is poorly known."""


@dataclass(frozen=True)
class ChannelDelay:
    """How much later SPAD 2 arrives than SPAD 1.

    Attributes:
        delay_ps: t(SPAD 2) - t(SPAD 1) of photons of the same pulse, the value nearest zero of those that differ by
            whole laser periods.
        sigma_ps: Its standard error.
        period_ps: Laser period.
        pairs: Pairs in all peaks together, without background.
        width_ps: Width w of the weight.
        method: How it was computed.
        notes: What a reader must know.
    """

    delay_ps: float
    sigma_ps: float
    period_ps: float
    pairs: int
    width_ps: float
    method: str
    notes: tuple[str, ...]

    def input_delays_ps(self, applied_ps: tuple[int, int, int]) -> tuple[int, int, int]:
        """What to write into the profile (`hbt.input_delays_ps`) so that the delay becomes zero.

        Args:
            applied_ps: Delays of SPAD 1, SPAD 2 and sync that were set while the histogram was recorded. Input
                delays add to the times of an input, so that of SPAD 2 is lowered by what it comes late.
        """
        spad1_ps, spad2_ps, sync_ps = applied_ps
        return spad1_ps, spad2_ps - round(self.delay_ps), sync_ps


def channel_delay(
    histogram: ArrayLike, binwidth_ps: float, period_ns: float, singles: tuple[float, float]
) -> ChannelDelay:
    """Find the delay between the SPADs, modulo the laser period.

    Args:
        histogram: Pairs of correlated pulsed light (ensemble or attenuated laser), (n,); bin i is the delay
            (i - n//2) * binwidth.
        binwidth_ps: Bin width; a fifth of the narrowest feature or less.
        period_ns: Laser period.
        singles: Counts of SPAD 1 and SPAD 2 in the measurement; each click is in several pairs, which the error
            takes into account.

    Returns:
        The delay with its standard error.

    Raises:
        AnalysisError: Bad counts, less than three periods, no peaks, too few pairs, or bins wider than the peak.
    """
    counts = count_array("histogram", histogram)
    dt_ps, period_ps = positive("binwidth_ps", binwidth_ps), positive("period_ns", period_ns) * 1e3
    clicks = positive("singles[0]", singles[0]), positive("singles[1]", singles[1])
    delay_ps = delay_axis_ns(counts.size, dt_ps)
    if not counts.size * dt_ps >= 3.0 * period_ps >= 24.0 * dt_ps:
        raise AnalysisError(
            f"histogram covers {counts.size * dt_ps / 1e3:g} ns in bins of {dt_ps:g} ps, but it must cover three "
            f"periods of {period_ns:g} ns, each in 8 bins or more."
        )
    centre_ps, width_ps, excess = _centre(counts, delay_ps, period_ps)
    found_ps = (centre_ps + period_ps / 2.0) % period_ps - period_ps / 2.0
    return ChannelDelay(
        delay_ps=found_ps,
        sigma_ps=_error(*_around(counts, delay_ps, centre_ps, period_ps), width_ps, clicks),
        period_ps=period_ps,
        pairs=round(excess),
        width_ps=width_ps,
        method="balanced centre of all peaks, Gaussian weight",
        notes=_notes(found_ps, period_ps),
    )


def _centre(counts: Floats, delay_ps: Floats, period_ps: float) -> tuple[float, float, float]:
    """Centre of the peaks, width of the weight, and pairs above background: from the whole period down to the peak.

    Raises:
        AnalysisError: No peaks, too few pairs in them, or bins too wide.
    """
    centre_ps, width_ps = phase_offset_ns(counts, delay_ps, period_ps), period_ps / 8.0
    while True:  # the width only shrinks, and not below a bin
        near_ps, pairs = _around(counts, delay_ps, centre_ps, period_ps)
        half_ps, excess = _half_width(near_ps, pairs, period_ps)
        if excess < FEWEST_PAIRS:
            raise AnalysisError(f"The peaks hold {excess:.0f} pairs, but {FEWEST_PAIRS} are needed; record longer.")
        before_ps, width_ps = width_ps, min(width_ps, max(2.0 * half_ps, width_ps / 2.0))
        if width_ps < delay_ps[1] - delay_ps[0]:
            raise AnalysisError(f"The peak is narrower than the bins ({width_ps:.3g} ps); record finer bins.")
        centre_ps += _balance(near_ps, pairs, width_ps)
        if width_ps > 0.98 * before_ps:
            return centre_ps, width_ps, excess


def _around(counts: Floats, delay_ps: Floats, centre_ps: float, period_ps: float) -> tuple[Floats, Floats]:
    """Distance of each bin from the nearest peak and its pairs, of all periods that are there as a whole."""
    number = np.floor((delay_ps - centre_ps) / period_ps + 0.5)
    first = np.ceil((delay_ps[0] - centre_ps) / period_ps + 0.5)
    last = np.floor((delay_ps[-1] - centre_ps) / period_ps - 0.5)
    whole = (number >= first) & (number <= last)
    return (delay_ps - centre_ps - number * period_ps)[whole], counts[whole]


def _half_width(near_ps: Floats, pairs: Floats, period_ps: float) -> tuple[float, float]:
    """Distance from the centre within which half of the pairs above the background lie, and all those pairs."""
    order = np.argsort(np.abs(near_ps))
    distance_ps, held = np.abs(near_ps)[order], np.cumsum(pairs[order])
    # What lies in the outer third of the period is background, even in time.
    inner = np.searchsorted(distance_ps, period_ps / 3.0)
    background = (held[-1] - held[inner]) / (distance_ps.size - 1 - inner)
    above = held - background * np.arange(1, held.size + 1)
    excess = float(above[inner])
    return float(distance_ps[np.searchsorted(np.maximum.accumulate(above), excess / 2.0)]), excess


def _balance(near_ps: Floats, pairs: Floats, width_ps: float) -> float:
    """Shift at which the weighted pairs on both sides balance."""

    def imbalance(shift_ps: float) -> float:
        away = (near_ps - shift_ps) / width_ps
        return float(np.sum(pairs * away * np.exp(-(away**2) / 2.0)))

    if not imbalance(-width_ps) > 0 > imbalance(width_ps):
        raise AnalysisError("The peaks have no clear centre; record longer, and check period_ns.")
    return float(brentq(imbalance, -width_ps, width_ps, xtol=1e-4))  # pyright: ignore[reportArgumentType]


def _error(near_ps: Floats, pairs: Floats, width_ps: float, clicks: tuple[float, float]) -> float:
    """Standard error of the balanced centre (sandwich formula), with the clicks that pairs have in common."""
    away = near_ps / width_ps
    weight = np.exp(-(away**2) / 2.0)
    slope = np.sum(pairs * (1.0 - away**2) * weight) / width_ps
    # At most half of the variance of a pair belongs to each of its photons, which stand in pairs/clicks pairs.
    sharing = 1.0 + pairs.sum() / 2.0 * (1.0 / clicks[0] + 1.0 / clicks[1])
    return float(np.sqrt(np.sum(pairs * (away * weight) ** 2) * sharing) / slope)


def _notes(found_ps: float, period_ps: float) -> tuple[str, ...]:
    notes = (
        f"known only up to whole laser periods of {period_ps / 1e3:g} ns: the value nearest zero is given; "
        "a run at another repetition rate tells",
    )
    if abs(found_ps) > 0.25 * period_ps:
        notes += ("the delay is beyond a quarter period: repeat at a lower repetition rate",)
    return notes
