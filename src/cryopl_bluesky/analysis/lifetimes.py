"""Lifetimes from TCSPC decays: reconvolution fit with the Poisson likelihood, in the periodic steady state.

The histogram holds forward times since the laser pulse; bin k covers [k, k + 1) times the bin width. Expected
counts are sum_i N_i (response (x) exponential_i) + background, every exponential summed over all earlier pulses.
Photons N_i and background are bounded below by zero; the lifetimes are fitted as logarithms; the shift
of the response is free unless fixed.

    >>> rng = np.random.default_rng(1)
    >>> arrival_ns = (rng.exponential(4.0, 100_000) + rng.normal(1.0, 0.085, 100_000)) % 50.0
    >>> counts = np.histogram(arrival_ns, np.arange(0, 50.001, 0.05))[0]
    >>> fit = fit_decay(counts, binwidth_ps=50, period_ns=50, irf_fwhm_ps=200)
    >>> abs(fit.tau_int_ns - 4.0) < 3 * fit.tau_int_err_ns
    True
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ._checks import AnalysisError, FitError, Floats, count_array, finite_array, positive
from ._decay_model import DecayModel, GaussianModel, SampledModel, exp_conv_gauss
from ._decay_start import start_values
from ._lifetime_formulas import (
    coates_correction,
    first_photon_histogram,
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
from ._poisson_fit import PoissonFit, fit_poisson, reduced_deviance

__all__ = [
    "DecayFit",
    "coates_correction",
    "exp_conv_gauss",
    "first_photon_histogram",
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

REDUCED_DEVIANCE_BAND = (0.7, 1.5)
"""Outside of this band `DecayFit.good` is False (wider where few joined bins make the deviance itself uncertain)."""


@dataclass(frozen=True, eq=False)
class DecayFit:
    """Result of `fit_decay`. Components are sorted by lifetime, shortest first.

    Attributes:
        amplitudes: Share of each component at t = 0, a_i = (N_i/tau_i)/sum; sum 1.
        photons: Photons of each component in one histogram period, N_i.
        photons_err: Standard errors of `photons`.
        lifetimes_ns: Lifetimes.
        lifetimes_err_ns: Standard errors of the lifetimes.
        tau_amp_ns: Amplitude average sum a tau/sum a.
        tau_amp_err_ns: Its standard error (full covariance).
        tau_int_ns: Intensity average sum a tau^2/sum a tau.
        tau_int_err_ns: Its standard error (full covariance).
        shift_ns: Position of the response: centre of the Gaussian, or shift of the sampled response.
        shift_err_ns: Its standard error; 0 if fixed.
        background_per_bin: Constant background in counts per bin.
        background_err_per_bin: Its standard error; 0 if fixed or at its bound of zero.
        deviance: Poisson deviance of the fitted bins.
        reduced_deviance: Deviance per degree of freedom, on bins joined to about 10 expected counts.
        goodness_dof: Degrees of freedom of `reduced_deviance`.
        bic: Bayesian information criterion, deviance + parameters * ln(bins).
        n_photons: Counts in the fitted bins.
        delay_ns: Bin centres of the fitted bins, (n,).
        counts: Counts of the fitted bins, (n,).
        expected: Fitted counts, (n,).
        method: How it was fitted, e.g. "reconvolution, Poisson, gaussian IRF 200 ps, periodic".
        notes: What a reader must know before quoting the numbers.
    """

    amplitudes: tuple[float, ...]
    photons: tuple[float, ...]
    photons_err: tuple[float, ...]
    lifetimes_ns: tuple[float, ...]
    lifetimes_err_ns: tuple[float, ...]
    tau_amp_ns: float
    tau_amp_err_ns: float
    tau_int_ns: float
    tau_int_err_ns: float
    shift_ns: float
    shift_err_ns: float
    background_per_bin: float
    background_err_per_bin: float
    deviance: float
    reduced_deviance: float
    goodness_dof: int
    bic: float
    n_photons: int
    delay_ns: Floats
    counts: Floats
    expected: Floats
    method: str
    notes: tuple[str, ...] = ()

    @property
    def components(self) -> int:
        """Number of exponentials."""
        return len(self.lifetimes_ns)

    @property
    def good(self) -> bool:
        """Whether the reduced deviance lies in its band; else do not quote the lifetimes."""
        return _goodness_ok(self.reduced_deviance, self.goodness_dof)

    @property
    def residuals(self) -> Floats:
        """Weighted residuals (counts - expected)/sqrt(expected), (n,)."""
        return (self.counts - self.expected) / np.sqrt(np.maximum(self.expected, 1e-9))


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
        background_per_bin: Fixed background; free by default. Fix it for windows shorter than about 4 lifetimes.

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
    task = _Task(
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
            f"counts covers {n.size} bins = {n.size * binwidth_ps / 1e3:g} ns, more than one period of {period_ns:g} ns; "
            "cut it to one period or correct period_ns."
        )
    # A last bin which the next pulse cuts short has a smaller exposure: it is left out.
    first, last = fit_bins if fit_bins is not None else (0, min(n.size, whole))
    if not 0 <= first < last <= n.size:
        raise AnalysisError(
            f"fit_bins is ({first}, {last}) but must lie within 0 and {n.size}, first below last."
        )
    return first, min(last, whole)


@dataclass(frozen=True, eq=False)
class _Task:
    """One decay with its model, ready to be fitted with any number of components."""

    counts: Floats
    window: slice
    dt_ns: float
    period_ns: float | None
    model: DecayModel
    shift_ns: float | None
    background: float | None
    method: str

    def evaluate(self, theta: Floats) -> tuple[Floats, Floats]:
        """Expected counts and Jacobian for theta = (N_1.., ln tau_1.., shift, background)."""
        c = (theta.size - 2) // 2
        jacobian = np.empty((self.window.stop - self.window.start, theta.size))
        jacobian[:, 2 * c], jacobian[:, -1] = 0.0, 1.0
        for i in range(c):
            tau = float(np.exp(theta[c + i]))
            shape, d_tau, d_shift = (part[self.window] for part in self.model(tau, float(theta[2 * c])))
            jacobian[:, i] = shape
            jacobian[:, c + i] = theta[i] * tau * d_tau
            jacobian[:, 2 * c] += theta[i] * d_shift
        return jacobian[:, :c] @ theta[:c] + theta[-1], jacobian

    def fit(self, c: int, seed: DecayFit | None = None) -> DecayFit:
        """Fit `c` components; `seed` is an earlier fit whose shift and lifetime start this one."""
        n = self.counts[self.window]
        lower = np.array([0.0] * c + [np.log(self.dt_ns / 50.0)] * c + [-np.inf, 0.0])
        span_ns = max(self.counts.size * self.dt_ns, self.period_ns or 0.0)
        upper = np.array([np.inf] * c + [np.log(100.0 * span_ns)] * c + [np.inf, np.inf])
        free = np.array([True] * (2 * c) + [self.shift_ns is None, self.background is None])
        best: PoissonFit | None = None
        trouble: FitError | None = None
        known = None if seed is None else (seed.tau_int_ns, seed.shift_ns)
        for start in start_values(
            self.counts, self.window, self.dt_ns, self.model, c, self.shift_ns, self.background, known
        ):
            try:
                trial = fit_poisson(n, self.evaluate, start, free=free, lower=lower, upper=upper)
            except FitError as error:
                trouble = error
                continue
            if best is None or trial.deviance < best.deviance:
                best = trial
        if best is None:
            raise trouble or FitError("No start value led to a fit.")
        _refuse_bounds(best, c)
        return self._result(best, c, int(free.sum()))

    def _result(self, fit: PoissonFit, c: int, n_free: int) -> DecayFit:
        order = np.argsort(fit.theta[c : 2 * c])
        photons, tau = fit.theta[:c][order], np.exp(fit.theta[c : 2 * c][order])
        sigma = np.sqrt(np.diag(fit.covariance))
        amp, amp_err = _average(fit, c, power=0)
        mean, mean_err = _average(fit, c, power=1)
        amplitude = photons / tau
        n = self.counts[self.window]
        goodness, dof = reduced_deviance(n, fit.expected, n_free)
        return DecayFit(
            amplitudes=tuple((amplitude / amplitude.sum()).tolist()),
            photons=tuple(photons.tolist()),
            photons_err=tuple(sigma[:c][order].tolist()),
            lifetimes_ns=tuple(tau.tolist()),
            lifetimes_err_ns=tuple((tau * sigma[c : 2 * c][order]).tolist()),
            tau_amp_ns=amp,
            tau_amp_err_ns=amp_err,
            tau_int_ns=mean,
            tau_int_err_ns=mean_err,
            shift_ns=float(fit.theta[2 * c]),
            shift_err_ns=float(sigma[2 * c]),
            background_per_bin=float(fit.theta[-1]),
            background_err_per_bin=float(sigma[-1]),
            deviance=fit.deviance,
            reduced_deviance=goodness,
            goodness_dof=dof,
            bic=fit.deviance + n_free * float(np.log(n.size)),
            n_photons=int(n.sum()),
            delay_ns=(np.arange(self.window.start, self.window.stop) + 0.5) * self.dt_ns,
            counts=n,
            expected=fit.expected,
            method=f"{self.method}, {c} exponential(s)",
            notes=_notes(
                tau, self.model.irf_fwhm_ns, (goodness, dof), n.size * self.dt_ns, self.background is None
            ),
        )


def _average(fit: PoissonFit, c: int, power: int) -> tuple[float, float]:
    """Average lifetime with its error: power 0 gives tau_amp = sum N/sum(N/tau), 1 gives tau_int = sum N tau/sum N."""
    N, tau = fit.theta[:c], np.exp(fit.theta[c : 2 * c])
    top, bottom = (N * tau**power).sum(), (N * tau ** (power - 1)).sum()
    mean = top / bottom
    gradient = np.zeros(fit.theta.size)
    gradient[:c] = (tau**power - mean * tau ** (power - 1)) / bottom
    gradient[c : 2 * c] = N * (power * tau**power - mean * (power - 1) * tau ** (power - 1)) / bottom
    return float(mean), float(np.sqrt(gradient @ fit.covariance @ gradient))


def _refuse_bounds(fit: PoissonFit, c: int) -> None:
    """A component that vanished or ran to its limit is no result; a background of zero is one."""
    if fit.at_bound[:c].any():
        raise FitError(f"One of {c} components vanished; fit fewer components or use components='bic'.")
    if fit.at_bound[c : 2 * c].any():
        raise FitError(
            "A lifetime ran to its bound; check period, bin width and response, or fit fewer components."
        )


def _goodness_ok(reduced: float, dof: int) -> bool:
    low, high = REDUCED_DEVIANCE_BAND
    chance = 4.0 * float(np.sqrt(2.0 / dof))  # four standard deviations of a true model's reduced deviance
    return min(low, 1.0 - chance) <= reduced <= max(high, 1.0 + chance)


def _notes(
    tau: Floats, irf_fwhm_ns: float, goodness: tuple[float, int], window_ns: float, free_background: bool
) -> tuple[str, ...]:
    notes = []
    low, high = REDUCED_DEVIANCE_BAND
    if not _goodness_ok(*goodness):
        notes.append(
            f"reduced deviance {goodness[0]:.2f} is outside {low:g} to {high:g}: the model does not fit"
        )
    if tau.min() < 0.5 * irf_fwhm_ns:
        notes.append(
            f"shortest lifetime {tau.min():.3g} ns is below half of the response ({irf_fwhm_ns:.3g} ns): an upper limit "
            "unless the response was measured the same day"
        )
    if free_background and window_ns < 4.0 * tau.max():
        notes.append(
            f"window {window_ns:.3g} ns is shorter than 4 lifetimes: fix the background from dark counts"
        )
    return tuple(notes)
