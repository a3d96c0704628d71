"""Instrument response: a measured histogram of scattered laser light, its background off, its FWHM with error.

>>> rng = np.random.default_rng(1)
>>> clicks_ps = np.append(rng.normal(5_000, 85, 50_000), rng.uniform(0, 20_000, 2_000))
>>> counts = np.histogram(clicks_ps, np.arange(0, 20_001, 10))[0]
>>> irf = measure_irf(counts, binwidth_ps=10, spad="SPAD 1", repetition_rate_Hz=2.5e6, duration_s=60)
>>> abs(irf.fwhm_ps - 85 * 2.35482) < 3 * irf.fwhm_err_ps < 15
True
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import uniform_filter1d

from .._checks import AnalysisError, FitError, Floats, count_array, positive
from .._poisson_fit import fit_poisson
from ..counting import SPAD_DEAD_TIME_NS, check_count_rates
from ..units import FWHM_PER_SIGMA

FEWEST_COUNTS = 1000
FEWEST_BINS = 4
"""Bins within the FWHM below which it is only known to a bin."""
CORE_FROM = 0.2
"""The FWHM is fitted to what is above this part of the height."""
MANY_BINS = 24
"""Bins in that part from which a polynomial of degree 6 is used, else 4."""
PLATEAU_FROM, PLATEAU_BINS = 200, 3
"""So many bins with exactly the highest count, from this count on, do not happen by chance."""
NOT_BACKGROUND = 3.0
"""The background is taken from bins before the pulse's rise, at least this many (smoothed) half widths away."""


@dataclass(frozen=True, eq=False)
class Irf:
    """Instrument response of one SPAD at one laser rate and intensity.

    Attributes:
        counts: Counts per bin without the constant background, zero outside of `window`; negative where there is only
            noise (clipping it would add a pedestal), (n,).
        binwidth_ps: Bin width.
        fwhm_ps: Full width at half maximum.
        fwhm_err_ps: Standard error.
        spad: Which SPAD.
        repetition_rate_Hz: Laser rate.
        intensity: Laser intensity as the driver states it (permille), or None.
        peak_ps: Where the top is, from the beginning of the histogram.
        background_per_bin: What was subtracted.
        photons: Counts in the window above the background.
        window: First bin and one past the last bin that were kept.
        method: How the FWHM was found.
        notes: What a reader must know: pile-up, saturation, bins too wide.
    """

    counts: Floats
    binwidth_ps: float
    fwhm_ps: float
    fwhm_err_ps: float
    spad: str
    repetition_rate_Hz: float
    intensity: float | None
    peak_ps: float
    background_per_bin: float
    photons: float
    window: tuple[int, int]
    method: str
    notes: tuple[str, ...] = ()


def measure_irf(
    counts: ArrayLike,
    binwidth_ps: float,
    *,
    spad: str,
    repetition_rate_Hz: float,
    duration_s: float,
    intensity: float | None = None,
    window_bins: tuple[int, int] | None = None,
    dead_time_ns: float = SPAD_DEAD_TIME_NS,
) -> Irf:
    """Turn a histogram of laser light into an `Irf`.

    Args:
        counts: Raw histogram of one SPAD, beginning before the pulse, (n,).
        binwidth_ps: Bin width.
        spad: Which SPAD, as it is to be recorded.
        repetition_rate_Hz: Laser rate.
        duration_s: Time of recording, to judge pile-up.
        intensity: Laser intensity in permille, to be recorded: the pulse's width depends on it.
        window_bins: First bin and one past the last to keep; None: from 3 half widths before the top to where the tail
            is lost in the background.
        dead_time_ns: Of the SPAD.

    Raises:
        AnalysisError: Bad counts, too few of them, or no dark bins before the pulse.
        FitError: No pulse with two flanks, or one with a cut top.
    """
    n, dt = count_array("counts", counts), positive("binwidth_ps", binwidth_ps)
    if n.sum() < FEWEST_COUNTS:
        raise AnalysisError(f"counts holds {n.sum():g} photons, below the limit of {FEWEST_COUNTS}; record longer.")
    full = int((n == n.max()).sum())
    if n.max() >= PLATEAU_FROM and full >= PLATEAU_BINS:
        raise FitError(f"{full} bins hold exactly {n.max():g} counts: the counter ran full; record shorter.")
    top, left, right = _rough(n)
    dark = n[: max(0, int(top - NOT_BACKGROUND * (top - left)) - 2)]
    if dark.size < 10:
        raise AnalysisError(
            f"Only {dark.size} bins lie before the pulse at bin {top}, 10 are needed for the background; "
            "delay the sync so that the pulse comes later in the histogram."
        )
    background = float(dark.mean())
    if not n[top] > 10.0 * np.sqrt(background + 1.0):
        raise FitError(f"The highest bin ({n[top]:g}) does not stand out of the background of {background:.3g}.")
    first, last = _window(n, background, top, left, right) if window_bins is None else window_bins
    if not 0 <= first <= left < right < last <= n.size:
        raise AnalysisError(f"window_bins ({first}, {last}) must hold the pulse, bins {left} to {right}, of {n.size}.")
    kept = np.zeros_like(n)
    kept[first:last] = n[first:last] - background
    notes = [finding.text for finding in check_count_rates(
        {spad: n.sum() / positive("duration_s", duration_s)}, repetition_rate_Hz, measurement="decay",
        dead_time_ns=dead_time_ns,
    )]  # fmt: skip
    if right - left >= FEWEST_BINS:
        peak_bin, fwhm, error = _width(n, background, top, left, right)
        method = f"Poisson fit of ln(counts) above {CORE_FROM:g} of the height, bin width removed"
    else:
        peak_bin, fwhm, error = float(top) + 0.5, *_coarse_width(n - background, top)
        method = "straight lines between bins"
        notes.append(f"the FWHM holds {right - left} bins only: known to a bin; record finer bins")
    return Irf(
        kept, dt, fwhm * dt, error * dt, spad, positive("repetition_rate_Hz", repetition_rate_Hz), intensity,
        peak_bin * dt, background, float(kept.sum()), (first, last), method, tuple(notes),
    )  # fmt: skip


def _rough(n: Floats) -> tuple[int, int, int]:
    """Top and half-maximum bins, from the histogram smoothed over about a fifth of the width."""
    top, left, right = _half_maximum(n, 1)
    for _ in range(2):
        top, left, right = _half_maximum(n, (right - left) // 5)
    return top, left, right


def _half_maximum(n: Floats, smoothing: int) -> tuple[int, int, int]:
    smooth = uniform_filter1d(n, max(1, smoothing))
    top = int(np.argmax(smooth))
    below = np.flatnonzero(smooth < 0.5 * (smooth[top] + float(np.median(n))))
    before, after = below[below < top], below[below > top]
    if before.size == 0 or after.size == 0:
        raise FitError("The pulse lies at the edge of the histogram; move it by the sync's delay.")
    return top, int(before[-1]), int(after[0])


def _window(n: Floats, background: float, top: int, left: int, right: int) -> tuple[int, int]:
    """From before the rise to where the smoothed tail is below three sigma of the background."""
    length = max(3, right - left)
    tail = uniform_filter1d(n, length)[top:] - background
    lost = np.flatnonzero(tail < 3.0 * np.sqrt((background + 1.0 / length) / length))
    end = top + int(lost[0]) if lost.size else n.size
    return max(0, int(top - NOT_BACKGROUND * (top - left)) - 2), min(n.size, max(end, 2 * right - top + 1) + length)


def _width(n: Floats, background: float, top: int, left: int, right: int) -> tuple[float, float, float]:
    """Top, FWHM and its error in bins: Poisson likelihood of a polynomial in ln(counts), upper part of the pulse.

    The bin's own width is removed in quadrature from the FWHM.
    """
    smooth = uniform_filter1d(n, max(1, (right - left) // 5)) - background
    low = np.flatnonzero(smooth < CORE_FROM * smooth[top])
    first, last = int(low[low < top][-1]) + 1, int(low[low > top][0])
    degree = 6 if last - first >= MANY_BINS else 4
    u = 2.0 * (np.arange(first, last) + 0.5 - first) / (last - first) - 1.0
    powers = np.vander(u, degree + 1, increasing=True)
    logs = np.log(np.maximum(n[first:last] - background, 0.5))
    start = np.asarray(np.linalg.lstsq(powers, logs, rcond=None)[0], dtype=np.float64)

    def model(theta: Floats) -> tuple[Floats, Floats]:
        light = np.exp(np.clip(powers @ theta, -30.0, 40.0))
        return background + light, light[:, None] * powers

    wide = np.full(start.size, np.inf)
    fit = fit_poisson(n[first:last], model, start, free=np.ones(start.size, bool), lower=-wide, upper=wide)
    peak, edges = _half_points(fit.theta)
    slopes = np.polynomial.Polynomial(fit.theta).deriv()(edges)
    # A crossing moves by (change of ln(top) - change of ln(counts) there) / slope.
    moved = (_powers(peak, degree)[:, None] - np.stack([_powers(edge, degree) for edge in edges], axis=1)) / slopes
    gradient = moved[:, 1] - moved[:, 0]
    bins = (last - first) / 2.0
    fwhm, error = float(np.ptp(edges)) * bins, float(np.sqrt(gradient @ fit.covariance @ gradient)) * bins
    narrow = float(np.sqrt(fwhm**2 - FWHM_PER_SIGMA**2 / 12.0))
    return first + (peak + 1.0) * bins, narrow, error * fwhm / narrow


def _powers(u: float, degree: int) -> Floats:
    return np.asarray(u ** np.arange(degree + 1), dtype=np.float64)


def _half_points(theta: Floats) -> tuple[float, Floats]:
    """Top and the two half-maximum points of exp(polynomial) within -1 to 1.

    Raises:
        FitError: No top, or a side that does not come down to a half.
    """
    pulse = np.polynomial.Polynomial(theta)
    tops = _real_roots(pulse.deriv())
    heights = pulse(tops)
    if tops.size == 0:
        raise FitError("The pulse has no rounded top; is it saturated, or are the bins too wide?")
    peak, height = float(tops[np.argmax(heights)]), float(heights.max())
    crossings = _real_roots(pulse - (height - np.log(2.0)))
    before, after = crossings[crossings < peak], crossings[crossings > peak]
    if before.size == 0 or after.size == 0:
        raise FitError("A flank of the pulse does not come down to half of its height; is there a second pulse?")
    return peak, np.array([before.max(), after.min()])


def _real_roots(polynomial: np.polynomial.Polynomial) -> Floats:
    roots = np.asarray(polynomial.roots(), dtype=np.complex128)
    real = roots.real[np.abs(roots.imag) < 1e-9]
    return np.sort(real[np.abs(real) <= 1.0])


def _coarse_width(n: Floats, top: int) -> tuple[float, float]:
    """FWHM in bins by straight lines between bins; its error is taken as one bin."""
    half = n[top] / 2.0
    right = top + int(np.argmax(n[top:] < half))
    left = top - int(np.argmax(n[top::-1] < half))
    x_right = right - (half - n[right]) / (n[right - 1] - n[right])
    x_left = left + (half - n[left]) / (n[left + 1] - n[left])
    return float(x_right - x_left), 1.0
