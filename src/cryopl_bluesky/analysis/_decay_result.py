"""What every fitted decay has: the counts, the curve through them, and how good it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._checks import AnalysisError, Floats
from ._decay_least_squares import fit_unweighted
from ._poisson_fit import Model, PoissonFit, covariance_of, fit_poisson, reduced_deviance

REDUCED_DEVIANCE_BAND = (0.7, 1.5)
"""Outside of it `FittedDecay.good` is False (wider where few joined bins make the deviance uncertain)."""

Quantity = Callable[[Floats], tuple[float, Floats]]
"""Parameters -> a number derived from them and its gradient, (p,)."""


@dataclass(frozen=True, eq=False)
class FitProblem:
    """A likelihood and its optimum, as the profile likelihood needs them.

    Attributes:
        counts: Fitted counts, (n,).
        model: Expected counts and Jacobian of the parameters.
        free: Which parameters may move, (p,).
        lower: Their lower bounds, (p,).
        upper: Their upper bounds, (p,).
        optimum: Where the likelihood is largest.
        quantities: Numbers that may be quoted, by name.
        likelihood: Whether the optimum is that of the Poisson likelihood (else of unweighted least squares).
    """

    counts: Floats
    model: Model
    free: NDArray[np.bool_]
    lower: Floats
    upper: Floats
    optimum: PoissonFit
    quantities: Mapping[str, Quantity]
    likelihood: bool = True

    @classmethod
    def solve(
        cls,
        counts: Floats,
        model: Model,
        start: Floats,
        free: NDArray[np.bool_],
        bounds: tuple[Floats, Floats],
        quantities: Mapping[str, Quantity],
        likelihood: bool = True,
    ) -> FitProblem:
        """Fit from `start`; the errors are those without bounds.

        Raises:
            FitError: No convergence or no curvature.
        """
        lower, upper = bounds
        if not likelihood:
            optimum = fit_unweighted(counts, model, start, free, lower, upper)
            return cls(counts, model, free, lower, upper, optimum, quantities, likelihood)
        optimum = fit_poisson(counts, model, start, free=free, lower=lower, upper=upper)
        if optimum.at_bound.any():
            # A background of exactly zero is not known exactly: its error belongs into those of the lifetimes.
            moving = free & (np.diag(optimum.fisher) > 0.0)
            optimum = replace(optimum, covariance=covariance_of(optimum.fisher, moving))
        return cls(counts, model, free, lower, upper, optimum, quantities)

    def value(self, name: str) -> tuple[float, float]:
        """A quantity and its standard error from the Fisher information (full covariance).

        Raises:
            AnalysisError: No quantity of that name.
        """
        if name not in self.quantities:
            raise AnalysisError(f"This fit has no {name!r}; choose one of {', '.join(sorted(self.quantities))}.")
        value, gradient = self.quantities[name](self.optimum.theta)
        return value, float(np.sqrt(gradient @ self.optimum.covariance @ gradient))


@dataclass(frozen=True, eq=False, kw_only=True)
class FittedDecay:
    """A decay with its fit.

    Attributes:
        shift_ns: Position of the response: centre of the Gaussian, or shift of the measured response.
        shift_err_ns: Its standard error; 0 if fixed.
        background_per_bin: Constant background in counts per bin.
        background_err_per_bin: Its standard error; 0 if fixed.
        deviance: Poisson deviance of the fitted bins.
        reduced_deviance: Deviance per degree of freedom, on bins joined to about 10 expected counts.
        goodness_dof: Degrees of freedom of `reduced_deviance`.
        parameters: Number of free parameters.
        bic: Bayesian information criterion, deviance + parameters * ln(bins).
        n_photons: Counts in the fitted bins.
        delay_ns: Bin centres of the fitted bins, (n,).
        counts: Counts of the fitted bins, (n,).
        expected: Fitted counts, (n,).
        method: How it was fitted, e.g. "reconvolution, Poisson, Gaussian IRF 200 ps, periodic".
        notes: What a reader must know before quoting the numbers.
        problem: Likelihood and optimum, for `profile_interval`.
    """

    shift_ns: float
    shift_err_ns: float
    background_per_bin: float
    background_err_per_bin: float
    deviance: float
    reduced_deviance: float
    goodness_dof: int
    parameters: int
    bic: float
    n_photons: int
    delay_ns: Floats
    counts: Floats
    expected: Floats
    method: str
    notes: tuple[str, ...] = ()
    problem: FitProblem = field(repr=False)

    @property
    def good(self) -> bool:
        """Whether the reduced deviance lies in its band; else do not quote the lifetimes."""
        return goodness_ok(self.reduced_deviance, self.goodness_dof)

    @property
    def residuals(self) -> Floats:
        """Weighted residuals (counts - expected)/sqrt(expected), (n,)."""
        return (self.counts - self.expected) / np.sqrt(np.maximum(self.expected, 1e-9))

    @property
    def pearson_chi2(self) -> float:
        """Sum of the squared weighted residuals of the fitted bins."""
        return float(np.sum(self.residuals**2))

    @property
    def reduced_pearson_chi2(self) -> float:
        """`pearson_chi2` per degree of freedom; 1 for a true model however few the counts are."""
        return self.pearson_chi2 / max(1, self.counts.size - self.parameters)

    @property
    def durbin_watson(self) -> float:
        """Sum of squared differences of neighbouring residuals over `pearson_chi2`: 2 without correlation.

        Below about 2 - 4/sqrt(bins) the residuals hang together: the model misses something.
        """
        return float(np.sum(np.diff(self.residuals) ** 2) / self.pearson_chi2)


def goodness_ok(reduced: float, dof: int) -> bool:
    """Whether a reduced deviance may belong to a true model."""
    low, high = REDUCED_DEVIANCE_BAND
    chance = 4.0 * float(np.sqrt(2.0 / dof))  # four standard deviations of a true model's reduced deviance
    return min(low, 1.0 - chance) <= reduced <= max(high, 1.0 + chance)


def goodness_notes(reduced: float, dof: int) -> list[str]:
    """The note a bad fit carries."""
    if goodness_ok(reduced, dof):
        return []
    low, high = REDUCED_DEVIANCE_BAND
    return [f"reduced deviance {reduced:.2f} is outside {low:g} to {high:g}: the model does not fit"]


def response_notes(model: object, problem: FitProblem) -> list[str]:
    """The note of a response that is noisier than the decay; a response in other units than counts has none."""
    photons, needed = getattr(model, "photons", 0.0), float(problem.counts.sum())
    if not 100.0 <= photons < needed:
        return []
    return [
        f"the response holds {photons:.3g} counts, fewer than the decay ({needed:.3g}): its noise is not in the "
        "errors; record it for longer"
    ]


def window_notes(longest_ns: float, window_ns: float, free_background: bool) -> list[str]:
    """The note of a window in which decay and background cannot be told apart well."""
    if not free_background or window_ns >= 4.0 * longest_ns:
        return []
    return [f"window {window_ns:.3g} ns is shorter than 4 lifetimes: fix the background from dark counts"]


def parameter(index: int, exponential: bool = False, offset: float = 0.0) -> Quantity:
    """The quantity that is one parameter, or e to its power, plus `offset`."""

    def quantity(theta: Floats) -> tuple[float, Floats]:
        value = float(np.exp(theta[index])) if exponential else float(theta[index])
        gradient = np.zeros(theta.size)
        gradient[index] = value if exponential else 1.0
        return value + offset, gradient

    return quantity


def fitted_fields(
    problem: FitProblem, delay_ns: Floats, window_ns: float, longest_ns: float, method: str, notes: list[str]
) -> dict[str, Any]:
    """The fields of `FittedDecay`; `problem` must have the quantities "shift_ns" and "background_per_bin".

    Args:
        problem: Likelihood and optimum.
        delay_ns: Bin centres, (n,).
        window_ns: Length of the fitted window.
        longest_ns: Longest lifetime.
        method: How it was fitted.
        notes: What the model has to say; what the goodness and the window say comes before.
    """
    n, optimum, n_free = problem.counts, problem.optimum, int(problem.free.sum())
    goodness, dof = reduced_deviance(n, optimum.expected, n_free)
    shift, shift_err = problem.value("shift_ns")
    background, background_err = problem.value("background_per_bin")
    window = window_notes(longest_ns, window_ns, bool(problem.free[-1]))
    return {
        "shift_ns": shift,
        "shift_err_ns": shift_err,
        "background_per_bin": background,
        "background_err_per_bin": background_err,
        "deviance": optimum.deviance,
        "reduced_deviance": goodness,
        "goodness_dof": dof,
        "parameters": n_free,
        "bic": optimum.deviance + n_free * float(np.log(n.size)),
        "n_photons": int(n.sum()),
        "delay_ns": delay_ns,
        "counts": n,
        "expected": optimum.expected,
        "method": method,
        "notes": tuple(goodness_notes(goodness, dof) + notes + window),
        "problem": problem,
    }
