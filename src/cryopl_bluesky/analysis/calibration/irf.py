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

FEWEST_COUNTS = 1000
FEWEST_BINS = 6
"""Bins within the FWHM below which it is only known to a bin."""
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
    else:
        peak_bin, fwhm, error = float(top) + 0.5, *_coarse_width(n - background, top)
        notes.append(f"the FWHM holds {right - left} bins only: known to a bin; record finer bins")
    return Irf(
        kept, dt, fwhm * dt, error * dt, spad, positive("repetition_rate_Hz", repetition_rate_Hz), intensity,
        peak_bin * dt, background, float(kept.sum()), (first, last), tuple(notes),
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
    """Top, FWHM and its error in bins, by the Poisson likelihood of a parabola in ln(counts) at top and flanks.

    The three pieces share no bin, so that their errors are independent; between a quarter and three quarters of the
    height any smooth pulse is such a parabola.
    """
    smooth = uniform_filter1d(n, max(1, (right - left) // 5)) - background
    level = smooth / smooth[top]
    high = np.flatnonzero(level[left:right] > 0.75) + left
    start, stop = int(high[0]), int(high[-1]) + 1
    low = np.flatnonzero(level < 0.25)
    rise = int(low[low < top][-1]) + 1
    fall = int(low[low > top][0])
    peak, (height, height_var) = _top(n, background, slice(start, stop))
    crossings = [
        _crossing(n, background, piece, height - np.log(2.0)) for piece in (slice(rise, start), slice(stop, fall))
    ]
    (x_left, slope_left, var_left), (x_right, slope_right, var_right) = crossings
    # Both crossings move with the height of the top: that part of their errors is common.
    common = (1.0 / slope_right - 1.0 / slope_left) ** 2 * height_var
    error = np.sqrt(common + var_left / slope_left**2 + var_right / slope_right**2)
    return peak, x_right - x_left, float(error)


def _parabola(n: Floats, background: float, piece: slice) -> tuple[Floats, Floats, float, float]:
    """Poisson fit of background + exp(c0 + c1 u + c2 u^2), u = (bin - centre)/half width."""
    k = np.arange(piece.start, piece.stop) + 0.5
    if k.size < 2:
        raise FitError("A flank of the pulse holds less than two bins; record finer bins.")
    centre, half = float(k.mean()), max(float(np.ptp(k)) / 2.0, 0.5)
    powers = np.vander((k - centre) / half, 3 if k.size > 4 else 2, increasing=True)
    counts = n[piece]
    start = np.linalg.lstsq(powers, np.log(np.maximum(counts - background, 0.5)), rcond=None)[0]

    def model(theta: Floats) -> tuple[Floats, Floats]:
        light = np.exp(np.clip(powers @ theta, -30.0, 40.0))
        return background + light, light[:, None] * powers

    wide = np.full(start.size, np.inf)
    fit = fit_poisson(counts, model, start, free=np.ones(start.size, bool), lower=-wide, upper=wide)
    return fit.theta, fit.covariance, centre, half


def _top(n: Floats, background: float, piece: slice) -> tuple[float, tuple[float, float]]:
    """Place of the top, ln of its height and the variance of that."""
    theta, covariance, centre, half = _parabola(n, background, piece)
    if theta.size < 3 or not theta[2] < 0:
        raise FitError("The pulse has no rounded top; is it saturated, or are the bins too wide?")
    u = float(np.clip(-theta[1] / (2.0 * theta[2]), -1.0, 1.0))
    powers = np.array([1.0, u, u * u])
    return centre + u * half, (float(powers @ theta), float(powers @ covariance @ powers))


def _crossing(n: Floats, background: float, piece: slice, level: float) -> tuple[float, float, float]:
    """Where a flank crosses `level` (ln of counts), its slope there per bin, and the variance of ln(counts) there."""
    theta, covariance, centre, half = _parabola(n, background, piece)
    roots = np.polynomial.Polynomial([theta[0] - level, *theta[1:]]).roots()
    real = np.real(roots[np.abs(np.imag(roots)) < 1e-9])
    if real.size == 0 or not np.abs(real).min() < 3.0:
        raise FitError("A flank of the pulse does not cross half of its height; is there a second pulse?")
    u = float(real[np.argmin(np.abs(real))])
    powers = u ** np.arange(theta.size)
    slope = float((np.arange(1, theta.size) * theta[1:] * u ** np.arange(theta.size - 1)).sum()) / half
    return centre + u * half, slope, float(powers @ covariance @ powers)


def _coarse_width(n: Floats, top: int) -> tuple[float, float]:
    """FWHM in bins by straight lines between bins; its error is taken as one bin."""
    half = n[top] / 2.0
    right = top + int(np.argmax(n[top:] < half))
    left = top - int(np.argmax(n[top::-1] < half))
    x_right = right - (half - n[right]) / (n[right - 1] - n[right])
    x_left = left + (half - n[left]) / (n[left + 1] - n[left])
    return float(x_right - x_left), 1.0
