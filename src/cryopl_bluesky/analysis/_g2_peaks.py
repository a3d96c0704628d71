"""From a delay histogram of pulsed light to its peaks: where the central one is, and how many pairs each holds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ._checks import AnalysisError, Floats

Counts = NDArray[np.int64]


def delay_axis_ns(bins: int, binwidth_ns: float) -> Floats:
    """Centres of the bins, (i - n//2) binwidth (the Time Tagger's convention), (n,)."""
    return np.asarray((np.arange(bins) - bins // 2) * binwidth_ns, dtype=np.float64)


def phase_offset_ns(counts: Floats, delay_ns: Floats, period_ns: float) -> float:
    """Delay of the peak nearest zero, from the phase of the first harmonic of the laser.

    Raises:
        AnalysisError: no significant peaks at the laser period.
    """
    # A whole number of periods, else a flat pedestal leaks into the harmonic.
    whole = np.abs(delay_ns) < np.floor(np.abs(delay_ns[0]) / period_ns) * period_ns
    inside = whole if whole.any() else np.ones_like(whole)
    total = counts[inside].sum()
    phasor = np.sum(counts[inside] * np.exp(2j * np.pi * delay_ns[inside] / period_ns))
    # For Poissonian light without pulses |phasor| exceeds 4 sqrt(N) by chance once in 1e7.
    if total == 0 or np.abs(phasor) < 4.0 * np.sqrt(total):
        raise AnalysisError(
            "The histogram shows no peaks at the laser period, so the delay of the central peak "
            "cannot be found; check period_ns, record longer, or give the offset from a calibration."
        )
    return float(np.angle(phasor) / (2.0 * np.pi) * period_ns)


def peak_areas(
    counts: Floats,
    delay_ns: Floats,
    period_ns: float,
    offset_ns: float,
    window_ns: float | None,
) -> tuple[Counts, Counts]:
    """Whole-bin sums around each peak whose full-period window lies inside the histogram.

    Returns:
        Peak numbers in ascending order and their pairs, both (n,); empty if no window fits.
    """
    dt_ns = float(delay_ns[1] - delay_ns[0])
    if window_ns is not None and not 2 * dt_ns <= window_ns <= period_ns:
        raise AnalysisError(
            f"window_ns {window_ns:g} must lie between two bins and the period {period_ns:g} ns."
        )
    k_of_bin = np.floor((delay_ns - offset_ns) / period_ns + 0.5).astype(np.int64)
    first = int(np.ceil((delay_ns[0] - offset_ns - 1e-9) / period_ns + 0.5))
    last = int(np.floor((delay_ns[-1] + dt_ns - offset_ns + 1e-9) / period_ns - 0.5))
    if last < first:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    keep = (k_of_bin >= first) & (k_of_bin <= last)
    if window_ns is not None:
        keep &= np.abs(delay_ns - offset_ns - k_of_bin * period_ns) <= window_ns / 2.0
    areas = np.bincount(k_of_bin[keep] - first, weights=counts[keep], minlength=last - first + 1)
    return np.arange(first, last + 1), np.round(areas).astype(np.int64)
