"""One decay, its model, and the fit of any number of exponentials to it (see `lifetimes`)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ._checks import FitError, Floats
from ._decay_model import DecayModel
from ._decay_result import FitProblem, FittedDecay, Quantity, fitted_fields, parameter, response_notes
from ._decay_start import start_values
from ._poisson_fit import PoissonFit


@dataclass(frozen=True, eq=False, kw_only=True)
class DecayFit(FittedDecay):
    """Result of `fit_decay`. Components are sorted by lifetime, shortest first. See `FittedDecay` for the rest.

    Attributes:
        amplitudes: Share of each component at t = 0 (in tail fits: at the start of the tail),
            a_i = (N_i/tau_i)/sum; sum 1.
        photons: Photons of each component in one histogram period, N_i.
        photons_err: Standard errors of `photons`.
        lifetimes_ns: Lifetimes.
        lifetimes_err_ns: Standard errors of the lifetimes.
        upper_limits_ns: For a component below half of the response, the only thing to quote of it: half of the
            response, or the one-sided 95 % limit of the fit if that is longer. None for the others.
        tau_amp_ns: Amplitude average sum a tau/sum a.
        tau_amp_err_ns: Its standard error (full covariance).
        tau_int_ns: Intensity average sum a tau^2/sum a tau.
        tau_int_err_ns: Its standard error (full covariance).
    """

    amplitudes: tuple[float, ...]
    photons: tuple[float, ...]
    photons_err: tuple[float, ...]
    lifetimes_ns: tuple[float, ...]
    lifetimes_err_ns: tuple[float, ...]
    upper_limits_ns: tuple[float | None, ...]
    tau_amp_ns: float
    tau_amp_err_ns: float
    tau_int_ns: float
    tau_int_err_ns: float

    @property
    def components(self) -> int:
        """Number of exponentials."""
        return len(self.lifetimes_ns)


@dataclass(frozen=True, eq=False)
class DecayTask:
    """One decay with its model, ready to be fitted with any number of components.

    Attributes:
        counts: All counts of the histogram, (n,).
        window: Bins to fit.
        dt_ns: Bin width.
        period_ns: Laser period, or None for a single pulse.
        model: Shape of one exponential.
        shift_ns: Fixed shift, or None if it is free.
        background: Fixed background per bin, or None if it is free.
        method: How it is fitted, for the result.
        trust_irf: The response was measured the same day: a short component is a number, not an upper limit.
        shortest_ns: Components below it are refused (tail fits).
        likelihood: Poisson likelihood, else unweighted least squares.
    """

    counts: Floats
    window: slice
    dt_ns: float
    period_ns: float | None
    model: DecayModel
    shift_ns: float | None
    background: float | None
    method: str
    trust_irf: bool = False
    shortest_ns: float = 0.0
    likelihood: bool = True

    def at_shift(self, shift_ns: float) -> DecayTask:
        """The same task with the shift held at a value."""
        return replace(self, shift_ns=shift_ns)

    def evaluate(self, theta: Floats) -> tuple[Floats, Floats]:
        """Expected counts and Jacobian for theta = (N_1.., ln tau_1.., shift, background)."""
        c = (theta.size - 2) // 2
        rows = np.empty((theta.size, self.window.stop - self.window.start))
        rows[2 * c], rows[-1] = 0.0, 1.0
        for i in range(c):
            tau = float(np.exp(theta[c + i]))
            shape, d_tau, d_shift = (part[self.window] for part in self.model(tau, float(theta[2 * c])))
            rows[i] = shape
            rows[c + i] = theta[i] * tau * d_tau
            rows[2 * c] += theta[i] * d_shift
        return theta[:c] @ rows[:c] + theta[-1], rows.T

    def fit(self, c: int, seed: DecayFit | None = None) -> DecayFit:
        """Fit `c` components.

        Args:
            c: Number of components.
            seed: An earlier fit with fewer components, whose shift and mean lifetime begin the search.

        Raises:
            FitError: No convergence, no curvature, a component that vanished or a lifetime on its bound.
        """
        known = None if seed is None else (seed.tau_int_ns, seed.shift_ns)
        starts = start_values(
            self.counts, self.window, self.dt_ns, self.model, c, self.shift_ns, self.background, known
        )
        trouble: FitError | None = None
        for trial in starts:
            try:
                problem = self.solve(c, trial)
                return self.result(problem, c)
            except FitError as error:
                trouble = trouble or error
        raise trouble or FitError("No start value led to a fit.")

    def solve(self, c: int, start: Floats) -> FitProblem:
        """Fit `c` components from given parameters.

        Raises:
            FitError: No convergence, no curvature, a component that vanished or a lifetime on its bound.
        """
        span_ns = max(self.counts.size * self.dt_ns, self.period_ns or 0.0)
        lower = np.array([0.0] * c + [np.log(self.dt_ns / 50.0)] * c + [-np.inf, 0.0])
        upper = np.array([np.inf] * c + [np.log(100.0 * span_ns)] * c + [np.inf, np.inf])
        free = np.array([True] * (2 * c) + [self.shift_ns is None, self.background is None])
        counts = self.counts[self.window]
        problem = FitProblem.solve(counts, self.evaluate, start, free, (lower, upper), _quantities(c), self.likelihood)
        _refuse_bounds(problem.optimum, c)
        return problem

    def result(self, problem: FitProblem, c: int) -> DecayFit:
        """The numbers by name.

        Raises:
            FitError: A component that a tail cannot show.
        """
        fit = problem.optimum
        order = np.argsort(fit.theta[c : 2 * c])
        photons, tau = fit.theta[:c][order], np.exp(fit.theta[c : 2 * c][order])
        sigma = np.sqrt(np.diag(fit.covariance))
        tau_err = tau * sigma[c : 2 * c][order]
        (amp, amp_err), (mean, mean_err) = problem.value("tau_amp_ns"), problem.value("tau_int_ns")
        amplitude = photons / tau
        limits = self._upper_limits(tau, tau_err)
        window_ns = problem.counts.size * self.dt_ns
        delay_ns = (np.arange(self.window.start, self.window.stop) + 0.5) * self.dt_ns
        method, notes = f"{self.method}, {c} exponential(s)", self._limit_notes(tau, limits)
        notes += response_notes(self.model, problem)
        return DecayFit(
            amplitudes=tuple((amplitude / amplitude.sum()).tolist()),
            photons=tuple(photons.tolist()),
            photons_err=tuple(sigma[:c][order].tolist()),
            lifetimes_ns=tuple(tau.tolist()),
            lifetimes_err_ns=tuple(tau_err.tolist()),
            upper_limits_ns=limits,
            tau_amp_ns=amp,
            tau_amp_err_ns=amp_err,
            tau_int_ns=mean,
            tau_int_err_ns=mean_err,
            **fitted_fields(problem, delay_ns, window_ns, float(tau.max()), method, notes),
        )

    def _upper_limits(self, tau: Floats, tau_err: Floats) -> tuple[float | None, ...]:
        if self.shortest_ns > 0.0 and tau.min() < self.shortest_ns:
            raise FitError(
                f"A component of {tau.min():.3g} ns is shorter than the response ({self.shortest_ns:.3g} ns): a tail "
                "cannot show it; start later, fit fewer components, or measure the response and fit with it."
            )
        half = 0.5 * self.model.irf_fwhm_ns
        trusted = self.trust_irf or self.shortest_ns > 0.0
        return tuple(
            None if trusted or t >= half else max(half, float(t + 1.645 * err))
            for t, err in zip(tau, tau_err, strict=True)
        )

    def _limit_notes(self, tau: Floats, limits: tuple[float | None, ...]) -> list[str]:
        return [
            f"lifetime {t:.3g} ns is below half of the response ({self.model.irf_fwhm_ns:.3g} ns): quote it as below "
            f"{limit:.3g} ns, or measure the response the same day"
            for t, limit in zip(tau, limits, strict=True)
            if limit is not None
        ]


def _quantities(c: int) -> dict[str, Quantity]:
    def average(power: int) -> Quantity:
        """Power 0 gives tau_amp = sum N/sum(N/tau), 1 gives tau_int = sum N tau/sum N."""

        def quantity(theta: Floats) -> tuple[float, Floats]:
            N, tau = theta[:c], np.exp(theta[c : 2 * c])
            bottom = float((N * tau ** (power - 1)).sum())
            mean = float((N * tau**power).sum()) / bottom
            gradient = np.zeros(theta.size)
            gradient[:c] = (tau**power - mean * tau ** (power - 1)) / bottom
            gradient[c : 2 * c] = N * (power * tau**power - mean * (power - 1) * tau ** (power - 1)) / bottom
            return mean, gradient

        return quantity

    def lifetime(rank: int) -> Quantity:
        def quantity(theta: Floats) -> tuple[float, Floats]:
            return parameter(c + int(np.argsort(theta[c : 2 * c])[rank]), exponential=True)(theta)

        return quantity

    named = {f"lifetime_{i + 1}_ns": lifetime(i) for i in range(c)}
    averages = {"tau_amp_ns": average(0), "tau_int_ns": average(1)}
    return named | averages | {"shift_ns": parameter(2 * c), "background_per_bin": parameter(2 * c + 1)}


def _refuse_bounds(fit: PoissonFit, c: int) -> None:
    """A component that vanished or ran to its limit is no result; a background of zero is one."""
    if fit.at_bound[:c].any():
        raise FitError(f"One of {c} components vanished; fit fewer components or use components='bic'.")
    if fit.at_bound[c : 2 * c].any():
        raise FitError(
            "A lifetime ran to its bound; check period, bin width and response, or fit fewer components."
        )
