"""Stretched exponentials exp(-(t/tau)^beta), convolved with the instrument response, with the Poisson likelihood.

The integral over a bin is exact: the normalised decay has the cumulative distribution P(1/beta, (t/tau)^beta), P the
regularised incomplete gamma function.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy.fft import irfft, rfft
from scipy.special import digamma, gamma, gammainc

from ._checks import AnalysisError, FitError, Floats, count_array, positive
from ._decay_irf import Response
from ._decay_result import FitProblem, FittedDecay, Quantity, fitted_fields, parameter, response_notes
from ._decay_sampled import SampledModel, gaussian_response
from ._decay_start import mean_and_shift
from .lifetimes import MINIMUM_PHOTONS, decay_task

__all__ = ["BETA_LIMITS", "StretchedFit", "fit_stretched_decay"]

BETA_LIMITS = (0.2, 2.0)
"""A beta that ends on one of these is no result."""

_MOST_PERIODS = 60
_BETA_STEP = 1e-4


@dataclass(frozen=True, eq=False, kw_only=True)
class StretchedFit(FittedDecay):
    """Result of `fit_stretched_decay`; see `FittedDecay` for the rest.

    Attributes:
        tau_ns: tau of exp(-(t/tau)^beta).
        tau_err_ns: Its standard error.
        beta: Stretching exponent.
        beta_err: Its standard error.
        tau_amp_ns: Mean by area, (tau/beta) Gamma(1/beta): the amplitude average.
        tau_amp_err_ns: Its standard error (full covariance).
        tau_int_ns: Mean arrival time, tau Gamma(2/beta)/Gamma(1/beta): the intensity average.
        tau_int_err_ns: Its standard error (full covariance).
        photons: Photons of the decay in one period.
        photons_err: Its standard error.
    """

    tau_ns: float
    tau_err_ns: float
    beta: float
    beta_err: float
    tau_amp_ns: float
    tau_amp_err_ns: float
    tau_int_ns: float
    tau_int_err_ns: float
    photons: float
    photons_err: float


def fit_stretched_decay(
    counts: ArrayLike,
    binwidth_ps: float,
    period_ns: float | None,
    *,
    irf_fwhm_ps: float | None = None,
    irf: Response | None = None,
    fit_bins: tuple[int, int] | None = None,
    shift_ns: float | None = None,
    background_per_bin: float | None = None,
) -> StretchedFit:
    """Fit a stretched exponential; arguments as in `lifetimes.fit_decay`.

    A Gaussian response is sampled on the bins, which should be below a fifth of its width: at a quarter and 1e5 photons
    the shift is wrong by a sixth of its error.

    Raises:
        AnalysisError: Unusable input, as `fit_decay`.
        FitError: No convergence, no curvature, or beta on its bound.
    """
    n = count_array("counts", counts)
    dt_ns = positive("binwidth_ps", binwidth_ps) / 1e3
    text, centre_ns = "measured IRF", 0.0
    if irf_fwhm_ps is not None:
        if irf is not None:
            raise AnalysisError("Give either irf_fwhm_ps (Gaussian response) or irf (measured response), one of them.")
        irf, centre_ns = gaussian_response(n.size, dt_ns, positive("irf_fwhm_ps", irf_fwhm_ps) / 1e3)
        text = f"Gaussian IRF {irf_fwhm_ps:g} ps"
    moved_ns = None if shift_ns is None else shift_ns - centre_ns
    task = decay_task(n, binwidth_ps, period_ns, None, irf, fit_bins, moved_ns, background_per_bin)
    assert isinstance(task.model, SampledModel)
    model = StretchedModel(task.model, dt_ns, task.window)
    fitted = n[task.window]
    if fitted.sum() < MINIMUM_PHOTONS:
        raise AnalysisError(
            f"counts holds {fitted.sum():g} photons in the fitted bins, below the limit of {MINIMUM_PHOTONS}; "
            "record longer."
        )
    mean_ns, rise_ns = mean_and_shift(n, dt_ns, task.model)
    level = 0.1 * float(fitted.mean()) if background_per_bin is None else background_per_bin
    signal = max(float(fitted.sum()) - level * fitted.size, 0.1 * float(fitted.sum()))
    start = np.array([signal, np.log(0.7 * mean_ns), np.log(0.8), rise_ns if moved_ns is None else moved_ns, level])
    low, high = np.log(BETA_LIMITS)
    lower = np.array([0.0, np.log(dt_ns / 50.0), low, -np.inf, 0.0])
    upper = np.array([np.inf, np.log(100.0 * max(n.size * dt_ns, period_ns or 0.0)), high, np.inf, np.inf])
    free = np.array([True, True, True, shift_ns is None, background_per_bin is None])
    problem = FitProblem.solve(fitted, model.evaluate, start, free, (lower, upper), _quantities(centre_ns))
    if problem.optimum.at_bound[:3].any():
        raise FitError(
            f"The stretched exponential ran to a bound ({BETA_LIMITS[0]:g} to {BETA_LIMITS[1]:g} for beta): the decay "
            "has another shape; fit two exponentials."
        )
    method = f"stretched exponential, reconvolution, Poisson, {text}"
    return _result(problem, task.window, dt_ns, task.model, method)


@dataclass
class StretchedModel:
    """Stretched exponential (x) measured response, with derivatives.

    Attributes:
        response: The measured response, which also knows period and bins.
        dt_ns: Bin width.
        window: Bins to fit.
    """

    response: SampledModel
    dt_ns: float
    window: slice
    _edges: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._edges = np.asarray(np.arange(self.response.grid_bins + 1) * self.dt_ns, np.float64)

    def evaluate(self, theta: Floats) -> tuple[Floats, Floats]:
        """Expected counts and Jacobian for theta = (N, ln tau, ln beta, shift, background)."""
        N, tau, beta = theta[0], float(np.exp(theta[1])), float(np.exp(theta[2]))
        decay, by_tau = self._folded(tau, beta)
        above = self._folded(tau, beta * np.exp(_BETA_STEP))[0]
        below = self._folded(tau, beta * np.exp(-_BETA_STEP))[0]
        response, slope = self.response.moved(float(theta[3]))
        by_beta = (above - below) / (2.0 * _BETA_STEP)
        curves = self._convolved(np.stack([decay, N * by_tau, N * by_beta]), response)
        by_shift = N * self._convolved(decay[None, :], slope)
        rows = np.vstack([curves, by_shift, np.ones(curves.shape[1])])
        return N * rows[0] + theta[4], rows.T

    def _folded(self, tau: float, beta: float) -> tuple[Floats, Floats]:
        """Photons per bin since the pulse and all pulses before, and the derivative by ln tau."""
        cdf, by_tau = self._cumulative(self._edges, tau, beta)
        period_ns = self.response.period_ns
        if period_ns is None:
            return np.diff(cdf), np.diff(by_tau)
        more, more_by_tau = cdf, by_tau
        for pulses in range(1, _MOST_PERIODS + 1):
            more, more_by_tau = self._cumulative(self._edges + pulses * period_ns, tau, beta)
            cdf, by_tau = cdf + more, by_tau + more_by_tau
            if 1.0 - more[-1] < 1e-9:
                return np.diff(cdf), np.diff(by_tau)
        # What is left after that many periods is as good as constant over one.
        bins = cdf.size - 1
        return np.diff(cdf) + (1.0 - more[-1]) / bins, np.diff(by_tau) - more_by_tau[-1] / bins

    @staticmethod
    def _cumulative(t_ns: Floats, tau: float, beta: float) -> tuple[Floats, Floats]:
        x = (t_ns / tau) ** beta
        density_times_t = t_ns / tau * beta / gamma(1.0 / beta) * np.exp(-x)
        return gammainc(1.0 / beta, x), -density_times_t

    def _convolved(self, curves: Floats, response: Floats) -> Floats:
        lead = self.response.lead
        size = response.size if self.response.period_ns is not None else 2 * response.size
        product = np.asarray(rfft(curves, size, axis=1)) * np.asarray(rfft(response, size))
        whole = np.asarray(irfft(product, size, axis=1))
        return whole[:, lead : lead + self.response.n_bins][:, self.window]


def _result(
    problem: FitProblem, window: slice, dt_ns: float, response: SampledModel, method: str
) -> StretchedFit:
    irf_fwhm_ns = response.irf_fwhm_ns
    named = {name: problem.value(name) for name in problem.quantities}
    notes = response_notes(response, problem)
    if named["tau_amp_ns"][0] < 0.5 * irf_fwhm_ns:
        notes.append(
            f"mean lifetime {named['tau_amp_ns'][0]:.3g} ns is below half of the response ({irf_fwhm_ns:.3g} ns): "
            "quote half of the response as an upper limit, or measure the response the same day"
        )
    delay_ns = (np.arange(window.start, window.stop) + 0.5) * dt_ns
    window_ns = problem.counts.size * dt_ns
    return StretchedFit(
        tau_ns=named["tau_ns"][0],
        tau_err_ns=named["tau_ns"][1],
        beta=named["beta"][0],
        beta_err=named["beta"][1],
        tau_amp_ns=named["tau_amp_ns"][0],
        tau_amp_err_ns=named["tau_amp_ns"][1],
        tau_int_ns=named["tau_int_ns"][0],
        tau_int_err_ns=named["tau_int_ns"][1],
        photons=named["photons"][0],
        photons_err=named["photons"][1],
        **fitted_fields(problem, delay_ns, window_ns, named["tau_int_ns"][0], method, notes),
    )


def _quantities(centre_ns: float) -> dict[str, Quantity]:
    return {
        "photons": parameter(0),
        "tau_ns": parameter(1, exponential=True),
        "beta": parameter(2, exponential=True),
        "tau_amp_ns": _by_area,
        "tau_int_ns": _by_arrival,
        "shift_ns": parameter(3, offset=centre_ns),
        "background_per_bin": parameter(4),
    }


def _by_area(theta: Floats) -> tuple[float, Floats]:
    tau, beta = float(np.exp(theta[1])), float(np.exp(theta[2]))
    mean = tau / beta * float(gamma(1.0 / beta))
    return mean, mean * np.array([0.0, 1.0, -1.0 - digamma(1.0 / beta) / beta, 0.0, 0.0])


def _by_arrival(theta: Floats) -> tuple[float, Floats]:
    tau, beta = float(np.exp(theta[1])), float(np.exp(theta[2]))
    mean = tau * float(gamma(2.0 / beta) / gamma(1.0 / beta))
    by_ln_beta = (digamma(1.0 / beta) - 2.0 * digamma(2.0 / beta)) / beta
    return mean, mean * np.array([0.0, 1.0, by_ln_beta, 0.0, 0.0])
