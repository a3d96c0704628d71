"""Lifetimes from TCSPC decays: reconvolution fit with the Poisson likelihood, in the periodic steady state.

The histogram holds forward times since the laser pulse; bin k covers [k, k + 1) times the bin width. Expected
counts are sum_i N_i (response (x) exponential_i) + background, every exponential summed over all earlier
pulses. Photons N_i and background are bounded below by zero; the lifetimes are fitted as logarithms; the
shift of the response is free unless fixed.

    >>> rng = np.random.default_rng(1)
    >>> arrival_ns = (rng.exponential(4.0, 100_000) + rng.normal(1.0, 0.085, 100_000)) % 50.0
    >>> counts = np.histogram(arrival_ns, np.arange(0, 50.001, 0.05))[0]
    >>> fit = fit_decay(counts, binwidth_ps=50, period_ns=50, irf_fwhm_ps=200)
    >>> abs(fit.tau_int_ns - 4.0) < 3 * fit.tau_int_err_ns
    True
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ._checks import AnalysisError, FitError, Floats, count_array, finite_array, positive
from ._decay_fit import REDUCED_DEVIANCE_BAND, DecayFit, DecayTask
from ._decay_model import DecayModel, GaussianModel, SampledModel, exp_conv_gauss
from ._lifetime_formulas import (
    funnelling,
    laser_fwhm_for_ps,
    lifetime_precision,
    periodic_exponential,
    stretched_mean_ns,
    stretched_second_moment_mean_ns,
    tau_amp_ns,
    tau_int_ns,
    timing_fwhm_ps,
)

__all__ = [
    "REDUCED_DEVIANCE_BAND",
    "DecayFit",
    "exp_conv_gauss",
    "fit_decay",
    "funnelling",
    "laser_fwhm_for_ps",
    "lifetime_precision",
    "periodic_exponential",
    "prepare_irf",
    "stretched_mean_ns",
    "stretched_second_moment_mean_ns",
    "tau_amp_ns",
    "tau_int_ns",
    "timing_fwhm_ps",
]

MINIMUM_PHOTONS = 100
"""A decay with fewer photons is refused: its lifetime would be known to worse than about 10 %."""


def fit_decay(
    counts: ArrayLike,
    binwidth_ps: float,
    period_ns: float | None,
    *,
    irf_fwhm_ps: float | None = None,
    irf: ArrayLike | None = None,
    components: Literal[1, 2, "bic"] = 1,
    fit_bins: tuple[int, int] | None = None,
    shift_ns: float | None = None,
    background_per_bin: float | None = None,
) -> DecayFit:
    """Fit one or two exponentials, convolved with the instrument response, to photon counts.

    Args:
        counts: Raw counts per bin, (n,); bin k covers [k, k + 1) times the bin width after the sync.
        binwidth_ps: Bin width.
        period_ns: Laser period; earlier pulses are included. None for a single pulse (no wrap).
        irf_fwhm_ps: Width of a Gaussian response; give this or `irf`.
        irf: Measured response with the same bins as `counts`, background removed (see `prepare_irf`).
        components: 1, 2, or "bic": 2 if that lowers the Bayesian information criterion, else 1.
        fit_bins: First bin and one past the last bin to fit; all bins by default.
        shift_ns: Fixed shift of the response; free by default.
        background_per_bin: Fixed background; free by default. Fix it for windows shorter than about 4
            lifetimes.

    Returns:
        The fit; look at `good` and `notes` before quoting a lifetime.

    Raises:
        AnalysisError: Unusable input: NaN, negative or too few counts, wrong shapes, no response given.
        FitError: No convergence, no curvature, or a lifetime on its bound.
    """
    n = count_array("counts", counts)
    model, description = _model(n, binwidth_ps, period_ns, irf_fwhm_ps, irf)
    first, last = _window(n, binwidth_ps, period_ns, fit_bins)
    if n[first:last].sum() < MINIMUM_PHOTONS:
        raise AnalysisError(
            f"counts holds {n[first:last].sum():g} photons in bins {first} to {last}, below the limit of "
            f"{MINIMUM_PHOTONS}; record longer or sum neighbouring decays."
        )
    task = DecayTask(
        n, slice(first, last), binwidth_ps / 1e3, period_ns, model, shift_ns, background_per_bin, description
    )
    if components == 1:
        return task.fit(1)
    if components == 2:
        return task.fit(2)
    if components != "bic":
        raise AnalysisError(f"components is {components!r}; choose 1, 2 or 'bic'.")
    single = task.fit(1)
    try:
        double = task.fit(2, seed=single)
    except FitError:  # the counts do not hold a second component
        return single
    return double if double.bic < single.bic else single


def prepare_irf(counts: ArrayLike, background_bins: slice, keep: slice | None = None) -> Floats:
    """Remove the constant background of a measured response and cut away everything but the pulse.

    Args:
        counts: Raw counts of the response, (n,).
        background_bins: Bins before the pulse; their mean is subtracted.
        keep: Bins around the pulse; all others become 0. Negative noise inside is kept: clipping it would
            add a pedestal.

    Raises:
        AnalysisError: Empty slices or bad counts.
    """
    n = count_array("counts", counts)
    if n[background_bins].size == 0:
        raise AnalysisError(f"background_bins {background_bins} selects no bin of {n.size}.")
    out = np.zeros_like(n)
    inside = keep if keep is not None else slice(None)
    out[inside] = n[inside] - n[background_bins].mean()
    return out


def _model(
    n: Floats, binwidth_ps: float, period_ns: float | None, irf_fwhm_ps: float | None, irf: ArrayLike | None
) -> tuple[DecayModel, str]:
    dt_ns = positive("binwidth_ps", binwidth_ps) / 1e3
    if period_ns is not None:
        positive("period_ns", period_ns)
    wrap = "single pulse" if period_ns is None else "periodic"
    if (irf is None) == (irf_fwhm_ps is None):
        raise AnalysisError(
            "Give either irf_fwhm_ps (Gaussian response) or irf (measured response), one of them."
        )
    if irf is not None:
        sampled = SampledModel(finite_array("irf", irf, 1), n.size, dt_ns, period_ns)
        return sampled, f"reconvolution, Poisson, measured IRF {sampled.irf_fwhm_ns * 1e3:.0f} ps, {wrap}"
    assert irf_fwhm_ps is not None
    fwhm_ns = positive("irf_fwhm_ps", irf_fwhm_ps) / 1e3
    gaussian = GaussianModel(n.size, dt_ns, period_ns, fwhm_ns)
    return gaussian, f"reconvolution, Poisson, Gaussian IRF {irf_fwhm_ps:g} ps, {wrap}"


def _window(
    n: Floats, binwidth_ps: float, period_ns: float | None, fit_bins: tuple[int, int] | None
) -> tuple[int, int]:
    whole = n.size if period_ns is None else int(np.floor(period_ns * 1e3 / binwidth_ps + 1e-6))
    if n.size > whole + 1:
        raise AnalysisError(
            f"counts covers {n.size} bins = {n.size * binwidth_ps / 1e3:g} ns, "
            f"more than one period of {period_ns:g} ns; "
            "cut it to one period or correct period_ns."
        )
    # A last bin which the next pulse cuts short has a smaller exposure: it is left out.
    first, last = fit_bins if fit_bins is not None else (0, min(n.size, whole))
    if not 0 <= first < last <= n.size:
        raise AnalysisError(
            f"fit_bins is ({first}, {last}) but must lie within 0 and {n.size}, first below last."
        )
    return first, min(last, whole)
