"""One decay, its model, and the fit of any number of exponentials to it (see `lifetimes`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._checks import FitError, Floats
from ._decay_model import DecayModel
from ._decay_start import start_values
from ._poisson_fit import PoissonFit, fit_poisson, reduced_deviance

REDUCED_DEVIANCE_BAND = (0.7, 1.5)
"""Outside of it `DecayFit.good` is False (wider where few joined bins make the deviance uncertain)."""


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


@dataclass(frozen=True, eq=False)
class DecayTask:
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
            if not trial.at_bound[: 2 * c].any():
                best = trial
                break
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
    """Average and error: power 0 gives tau_amp = sum N/sum(N/tau), 1 gives tau_int = sum N tau/sum N."""
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
            f"shortest lifetime {tau.min():.3g} ns is below half of the response ({irf_fwhm_ns:.3g} ns): "
            "an upper limit unless the response was measured the same day"
        )
    if free_background and window_ns < 4.0 * tau.max():
        notes.append(
            f"window {window_ns:.3g} ns is shorter than 4 lifetimes: fix the background from dark counts"
        )
    return tuple(notes)
