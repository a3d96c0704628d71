"""Lifetimes from TCSPC decays: reconvolution fit with the Poisson likelihood, in the periodic steady state.

The histogram holds forward times since the laser pulse; bin k covers [k, k + 1) times the bin width. Expected
counts are sum_i N_i (response (x) exponential_i) + background, every exponential summed over all earlier
pulses. Photons N_i and background are bounded below by zero; the lifetimes are fitted as logarithms; the
shift of the response is free unless fixed. Without a response, the tail can be fitted.

Other models: `stretched_decay`, `donor_acceptor`; whole maps: `lifetime_map`.

    >>> rng = np.random.default_rng(1)
    >>> arrival_ns = (rng.exponential(4.0, 100_000) + rng.normal(1.0, 0.085, 100_000)) % 50.0
    >>> counts = np.histogram(arrival_ns, np.arange(0, 50.001, 0.05))[0]
    >>> fit = fit_decay(counts, binwidth_ps=50, period_ns=50, irf_fwhm_ps=200)
    >>> abs(fit.tau_int_ns - 4.0) < 3 * fit.tau_int_err_ns
    True
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ._checks import AnalysisError, FitError, Floats, count_array, positive
from ._decay_fit import DecayFit, DecayTask
from ._decay_irf import MeasuredIrf, Response, response_bins
from ._decay_model import DecayModel, GaussianModel, TailModel, exp_conv_gauss
from ._decay_profile import ProfileInterval, profile_interval
from ._decay_result import REDUCED_DEVIANCE_BAND, FittedDecay
from ._decay_sampled import SampledModel
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
    "FittedDecay",
    "MeasuredIrf",
    "ProfileInterval",
    "exp_conv_gauss",
    "fit_decay",
    "funnelling",
    "laser_fwhm_for_ps",
    "lifetime_precision",
    "periodic_exponential",
    "prepare_irf",
    "profile_interval",
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
    irf: Response | None = None,
    components: Literal[1, 2, "bic"] = 1,
    fit_bins: tuple[int, int] | None = None,
    shift_ns: float | None = None,
    background_per_bin: float | None = None,
    method: Literal["reconvolution", "tail"] = "reconvolution",
    weighting: Literal["poisson", "unweighted"] = "poisson",
    irf_same_day: bool = False,
) -> DecayFit:
    """Fit one or two exponentials, convolved with the instrument response, to photon counts.

    Args:
        counts: Raw counts per bin, (n,); bin k covers [k, k + 1) times the bin width after the sync.
        binwidth_ps: Bin width.
        period_ns: Laser period; earlier pulses are included. None for a single pulse (no wrap).
        irf_fwhm_ps: Width of a Gaussian response; give this or `irf`. In a tail fit: width of the response, below
            which components are refused.
        irf: Measured response with the same bins as `counts`, background removed (see `prepare_irf`); or an
            object with `counts` and `binwidth_ps`, whose bin width is checked.
        components: 1, 2, or "bic": 2 if that lowers the Bayesian information criterion, else 1.
        fit_bins: First bin and one past the last bin to fit; all bins by default, must be given for a tail.
        shift_ns: Fixed shift of the response; free by default.
        background_per_bin: Fixed background; free by default. Fix it for windows shorter than about 4
            lifetimes.
        method: "tail" fits pure exponentials from the first of `fit_bins`, which must lie after the response;
            photons and amplitudes then count from there.
        weighting: "unweighted" minimises the plain sum of squares, only to compare with programs that do so: it
            is less precise and, with a model that does not fit, gives other averages.
        irf_same_day: The response was measured on the same day: a lifetime below half of its width is then a
            number and not only an upper limit.

    Returns:
        The fit; look at `good` and `notes` before quoting a lifetime.

    Raises:
        AnalysisError: Unusable input: NaN, negative or too few counts, wrong shapes, no response given, a
            response of another bin width.
        FitError: No convergence, no curvature, a lifetime on its bound, or one that a tail cannot show.
    """
    n = count_array("counts", counts)
    task = decay_task(
        n, binwidth_ps, period_ns, irf_fwhm_ps, irf, fit_bins, shift_ns, background_per_bin, method, irf_same_day
    )
    if weighting not in ("poisson", "unweighted"):
        raise AnalysisError(f"weighting is {weighting!r}; choose 'poisson' or 'unweighted'.")
    if weighting == "unweighted":
        task = replace(task, likelihood=False, method=task.method.replace("Poisson", "unweighted least squares"))
    photons = float(n[task.window].sum())
    if photons < MINIMUM_PHOTONS:
        raise AnalysisError(
            f"counts holds {photons:g} photons in bins {task.window.start} to {task.window.stop}, below the limit of "
            f"{MINIMUM_PHOTONS}; record longer or sum neighbouring decays."
        )
    return fit_components(task, components)


def fit_components(task: DecayTask, components: Literal[1, 2, "bic"]) -> DecayFit:
    """Fit a prepared decay with one or two components, or as many as the BIC wants (see `fit_decay`)."""
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


def decay_task(
    n: Floats,
    binwidth_ps: float,
    period_ns: float | None,
    irf_fwhm_ps: float | None,
    irf: Response | None,
    fit_bins: tuple[int, int] | None,
    shift_ns: float | None,
    background_per_bin: float | None,
    method: str = "reconvolution",
    irf_same_day: bool = False,
) -> DecayTask:
    """Check the input of `fit_decay` and make it one task; arguments as there."""
    positive("binwidth_ps", binwidth_ps)
    if period_ns is not None:
        positive("period_ns", period_ns)
    if background_per_bin is not None and not (np.isfinite(background_per_bin) and background_per_bin >= 0):
        raise AnalysisError(f"background_per_bin is {background_per_bin!r} but must be zero or more.")
    window = _window(n, binwidth_ps, period_ns, fit_bins)
    if method == "tail":
        return _tail_task(n, binwidth_ps, period_ns, irf_fwhm_ps, irf, fit_bins, window, background_per_bin)
    if method != "reconvolution":
        raise AnalysisError(f"method is {method!r}; choose 'reconvolution' or 'tail'.")
    model, text = response_model(n.size, binwidth_ps, period_ns, irf_fwhm_ps, irf)
    method = f"reconvolution, Poisson, {text}"
    return DecayTask(
        n, window, binwidth_ps / 1e3, period_ns, model, shift_ns, background_per_bin, method, irf_same_day
    )


def response_model(
    n_bins: int, binwidth_ps: float, period_ns: float | None, irf_fwhm_ps: float | None, irf: Response | None
) -> tuple[DecayModel, str]:
    """The model of one exponential behind a Gaussian or measured response, and its description."""
    dt_ns = binwidth_ps / 1e3
    wrap = "single pulse" if period_ns is None else "periodic"
    if (irf is None) == (irf_fwhm_ps is None):
        raise AnalysisError(
            "Give either irf_fwhm_ps (Gaussian response) or irf (measured response), one of them."
        )
    if irf is not None:
        sampled = SampledModel(response_bins(irf, n_bins, binwidth_ps), n_bins, dt_ns, period_ns)
        return sampled, f"measured IRF {sampled.irf_fwhm_ns * 1e3:.0f} ps, {wrap}"
    assert irf_fwhm_ps is not None
    fwhm_ns = positive("irf_fwhm_ps", irf_fwhm_ps) / 1e3
    return GaussianModel(n_bins, dt_ns, period_ns, fwhm_ns), f"Gaussian IRF {irf_fwhm_ps:g} ps, {wrap}"


def _tail_task(
    n: Floats,
    binwidth_ps: float,
    period_ns: float | None,
    irf_fwhm_ps: float | None,
    irf: Response | None,
    fit_bins: tuple[int, int] | None,
    window: slice,
    background_per_bin: float | None,
) -> DecayTask:
    if fit_bins is None or irf is not None:
        raise AnalysisError(
            "A tail fit needs fit_bins with its first bin after the response, and no irf; with a measured response "
            "use method='reconvolution'."
        )
    fwhm_ns = 0.0 if irf_fwhm_ps is None else positive("irf_fwhm_ps", irf_fwhm_ps) / 1e3
    dt_ns = binwidth_ps / 1e3
    start_ns = window.start * dt_ns
    width = "of unknown width" if irf_fwhm_ps is None else f"{irf_fwhm_ps:g} ps"
    text = f"tail from {start_ns:.4g} ns, Poisson, response {width} not deconvolved"
    model = TailModel(n.size, dt_ns, window.start)
    return DecayTask(
        n, window, dt_ns, None, model, 0.0, background_per_bin, text, shortest_ns=fwhm_ns
    )


def _window(
    n: Floats, binwidth_ps: float, period_ns: float | None, fit_bins: tuple[int, int] | None
) -> slice:
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
    return slice(first, min(last, whole))
