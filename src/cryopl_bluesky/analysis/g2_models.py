"""Fits of g2 models to delay histograms with the Poisson likelihood: pulsed peaks, and CW dips.

`g2.pulsed_g2` counts pairs in windows and is what to quote where peaks do not overlap. The fits here are for peaks
that do, for a constant background between them, for blinking, and for CW light. Raw counts go in; what was fitted and
what was assumed is in `method` and `notes`. Delay is t(SPAD 2) - t(SPAD 1); bin i of n stands for (i - n//2) binwidth.
Formulas: analysis notes, section 3.

    >>> rng = np.random.default_rng(1)
    >>> pairs = np.zeros(2001)
    >>> for k in range(-10, 11):
    ...     delay_ns = 50.0 * k + rng.laplace(0.0, 8.0, rng.poisson(1000 if k else 300))
    ...     pairs += np.histogram(delay_ns, (np.arange(2002) - 1000.5) * 0.5)[0]
    >>> fit = fit_pulsed_g2(pairs, 500, 50.0, pair_sigma_ps=100)
    >>> fit.good, abs(fit.g2_0 - 0.3) < 3 * fit.g2_0_err
    (True, True)
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ._checks import AnalysisError, FitError, Floats, count_array, positive
from ._g2_cw_fit import CwTask
from ._g2_fit_result import CwG2Fit, G2Fit, PulsedG2Fit
from ._g2_formulas import accidentals_per_bin
from ._g2_peaks import delay_axis_ns, phase_offset_ns
from ._g2_pulsed_fit import PulsedTask
from ._g2_shapes import PulsedPeaks

__all__ = ["CwG2Fit", "G2Fit", "PulsedG2Fit", "fit_cw_g2", "fit_pulsed_g2"]

MINIMUM_PAIRS = 100
"""A histogram with fewer pairs is refused: neither shape nor level could be known."""


def fit_pulsed_g2(
    histogram: ArrayLike,
    binwidth_ps: float,
    period_ns: float,
    *,
    pair_sigma_ps: float,
    offset_ns: float | None = None,
    blinking: bool | Literal["bic"] = "bic",
    background_per_bin: float | None = None,
) -> PulsedG2Fit:
    """g2(0) of pulsed light from peaks A_k exp(-|t - kT|/tau), smeared by jitter, on a constant background.

    All peaks reach into all periods. With blinking A_k = A_inf (1 + c exp(-|k| T/tau_b)) for the side peaks, and
    g2(0) is A_0/(A_inf (1 + c)): their value at k = 0.

    Args:
        histogram: Pair counts, multi-stop, (n,).
        binwidth_ps: Bin width.
        period_ns: Laser period.
        pair_sigma_ps: Standard deviation of the timing jitter of a pair: sqrt(2) times that of one detector.
        offset_ns: About where the central peak is; it is fitted within a quarter period. None: from the phase of the
            histogram.
        blinking: True, False, or "bic": only if it lowers the Bayesian information criterion.
        background_per_bin: Known constant background in pairs per bin; fitted by default.

    Returns:
        The fit; look at `good` and `notes` before quoting g2(0).

    Raises:
        AnalysisError: NaN, negative or too few counts, wrong shape, a jitter or bins too coarse for the period, less
            than 3 periods.
        FitError: No convergence, no curvature, a time on its limit, or (blinking=True) no bunching.
    """
    counts = _histogram(histogram)
    dt_ns, T = positive("binwidth_ps", binwidth_ps) / 1e3, positive("period_ns", period_ns)
    sigma_ns = positive("pair_sigma_ps", pair_sigma_ps) / 1e3
    if 8 * dt_ns > T or 20 * sigma_ns > T:
        raise AnalysisError(
            f"period_ns {T:g} must be at least 8 bins ({8 * dt_ns:g} ns) and 20 times the jitter "
            f"({20 * sigma_ns:g} ns); use finer bins or check pair_sigma_ps."
        )
    delay_ns = delay_axis_ns(counts.size, dt_ns)
    centre = phase_offset_ns(counts, delay_ns, T) if offset_ns is None else float(offset_ns)
    if not (delay_ns[0] + 1.5 * T <= centre <= delay_ns[-1] - 1.5 * T):
        raise AnalysisError(
            f"The histogram from {delay_ns[0]:g} to {delay_ns[-1]:g} ns does not hold 1.5 periods ({1.5 * T:g} ns) on "
            f"either side of the central peak at {centre:g} ns; record a wider one."
        )
    if background_per_bin is not None and not (np.isfinite(background_per_bin) and background_per_bin >= 0):
        raise AnalysisError(f"background_per_bin is {background_per_bin!r} but must be a finite number, zero or above.")
    peaks = PulsedPeaks(delay_ns, dt_ns, T, sigma_ns, centre)
    task = PulsedTask(counts, delay_ns, dt_ns, T, sigma_ns, centre, background_per_bin, peaks)
    if blinking != "bic":
        return task.fit(bool(blinking))
    steady = task.fit(False)
    try:
        bunched = task.fit(True)
    except FitError:  # the side peaks hold no bunching
        return steady
    return bunched if bunched.bic < steady.bic else steady


def fit_cw_g2(
    histogram: ArrayLike,
    binwidth_ps: float,
    *,
    pair_sigma_ps: float,
    model: Literal["two_level", "three_level", "bic"] = "bic",
    rates_Hz: tuple[float, float] | None = None,
    duration_s: float | None = None,
    offset_ns: float = 0.0,
) -> CwG2Fit:
    """g2(0) of CW light from a dip b + A [1 - (1 + a) e^{-|t|/t1} + a e^{-|t|/t2}] smeared by jitter.

    The two-level model has a = 0. g2(0) = b/(b + A) is normalised to long delays; with rates, the level b + A tells how
    much slow bunching or loss of pairs there is.

    Args:
        histogram: Pair counts, multi-stop, (n,).
        binwidth_ps: Bin width.
        pair_sigma_ps: Standard deviation of the timing jitter of a pair: sqrt(2) times that of one detector.
        model: Which, or "bic": three levels only if that lowers the Bayesian information criterion.
        rates_Hz: Count rates of SPAD 1 and SPAD 2, for the normalisation C/(R1 R2 dt (T_meas - |t|)).
        duration_s: Duration of the measurement; goes with `rates_Hz`.
        offset_ns: About where the dip is (cable offset); it is fitted within an eighth of the histogram's range.

    Returns:
        The fit; look at `good` and `notes` before quoting g2(0).

    Raises:
        AnalysisError: NaN, negative or too few counts, wrong shape, one of rates and duration without the other.
        FitError: No convergence, no curvature, no dip, or a time on its limit.
    """
    counts = _histogram(histogram)
    dt_ns = positive("binwidth_ps", binwidth_ps) / 1e3
    sigma_ns = positive("pair_sigma_ps", pair_sigma_ps) / 1e3
    delay_ns = delay_axis_ns(counts.size, dt_ns)
    if counts.size < 20 or not delay_ns[0] < offset_ns < delay_ns[-1]:
        raise AnalysisError(
            f"histogram has {counts.size} bins from {delay_ns[0]:g} to {delay_ns[-1]:g} ns; "
            f"at least 20 around offset_ns {offset_ns:g} are needed."
        )
    accidentals = _accidentals(delay_ns, dt_ns, rates_Hz, duration_s)
    task = CwTask(counts, delay_ns, dt_ns, sigma_ns, float(offset_ns), accidentals)
    if model == "bic":
        two = task.fit(2)
        try:
            three = task.fit(3)
        except FitError:  # the counts do not hold a second time
            return two
        return three if three.bic < two.bic else two
    if model not in ("two_level", "three_level"):
        raise AnalysisError(f"model is {model!r}; choose 'two_level', 'three_level' or 'bic'.")
    return task.fit(2 if model == "two_level" else 3)


def _histogram(histogram: ArrayLike) -> Floats:
    counts = count_array("histogram", histogram)
    if np.any(counts != np.round(counts)):
        raise AnalysisError("histogram holds fractions; give raw pair counts, the Poisson likelihood needs them.")
    if counts.sum() < MINIMUM_PAIRS:
        raise AnalysisError(
            f"histogram holds {counts.sum():g} pairs, below the limit of {MINIMUM_PAIRS}; record longer."
        )
    return counts


def _accidentals(
    delay_ns: Floats, dt_ns: float, rates_Hz: tuple[float, float] | None, duration_s: float | None
) -> Floats | None:
    """Pairs per bin of uncorrelated light, (n,), or None without rates."""
    if (rates_Hz is None) != (duration_s is None):
        raise AnalysisError("Give rates_Hz and duration_s together, or neither.")
    if rates_Hz is None or duration_s is None:
        return None
    first, second = positive("rates_Hz[0]", rates_Hz[0]), positive("rates_Hz[1]", rates_Hz[1])
    overlap = positive("duration_s", duration_s) - np.abs(delay_ns) * 1e-9
    if overlap.min() <= 0:
        raise AnalysisError(f"duration_s {duration_s:g} is shorter than the delays of the histogram.")
    return accidentals_per_bin(first, second, dt_ns * 1e3, 1.0) * overlap
