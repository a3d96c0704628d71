"""Profile likelihood: asymmetric intervals of any number that a decay fit gives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from ._checks import FitError, Floats, fraction
from ._decay_result import FitProblem, FittedDecay, Quantity
from ._poisson_fit import poisson_deviance, score


@dataclass(frozen=True)
class ProfileInterval:
    """An interval by profile likelihood.

    Attributes:
        name: Which quantity.
        value: Its best value.
        low: Lower end; the value itself if that lies on its bound, minus infinity if the likelihood never falls far
            enough.
        high: Upper end; infinity likewise.
        level: Probability that the interval covers the truth.
        standard_error: From the Fisher information, to compare with.
    """

    name: str
    value: float
    low: float
    high: float
    level: float
    standard_error: float


def profile_interval(fit: FittedDecay, name: str, level: float = 0.6827) -> ProfileInterval:
    """Where the largest likelihood under a given value of a quantity has fallen by the amount that belongs to `level`.

    All other parameters are fitted again at every value (Wilks). Use it where errors are large or one-sided: few
    photons, components that are hard to tell apart.

    Args:
        fit: Any fitted decay.
        name: For example "tau_int_ns", "tau_amp_ns", "lifetime_1_ns" (shortest), "shift_ns", "background_per_bin".
        level: Probability of the interval.

    Raises:
        AnalysisError: Unknown name or level.
        FitError: The quantity is fixed, or the fit under its constraint fails.
    """
    if not fit.problem.likelihood:
        raise FitError("An unweighted fit has no likelihood profile; fit with weighting='poisson'.")
    value, error = fit.problem.value(name)
    if error <= 0.0:
        raise FitError(f"{name} has no error: it was fixed or lies on its bound; there is no interval for it.")
    target = float(np.sqrt(chi2.ppf(fraction("level", level), 1)))
    low, high = (_end(fit.problem, name, value, side * error, target) for side in (-1.0, 1.0))
    return ProfileInterval(name, value, low, high, level, error)


def _end(problem: FitProblem, name: str, best: float, error: float, target: float) -> float:
    """Secant search for the value at which the root of the deviance's rise is `target`; it is nearly linear there."""
    quantity = problem.quantities[name]
    theta, step = problem.optimum.theta, error * target
    for _ in range(25):
        trial = _constrained(problem, quantity, best + step, theta)
        if trial is None:
            step *= 0.7  # beyond what the model can reach, or too far for one go
            if abs(step) < 1e-3 * abs(error) * target and problem.optimum.at_bound.any():
                return best  # it lies on its bound
            continue
        theta, deviance = trial
        rise = float(np.sqrt(max(deviance - problem.optimum.deviance, 0.0)))
        if abs(rise - target) < 2e-3 * target:
            return best + step
        if abs(step) > 1e3 * abs(error) * target:
            return float(np.sign(step) * np.inf)
        step *= float(np.clip(target / max(rise, 1e-3), 0.3, 2.0))
    raise FitError(f"The profile of {name} did not settle near {best + step:.4g}; quote the standard error instead.")


def _constrained(problem: FitProblem, quantity: Quantity, wanted: float, start: Floats) -> tuple[Floats, float] | None:
    """Best fit with the quantity held at `wanted`, by Newton steps on the Lagrange function; None if there is none.

    Steps are halved until deviance/2 + penalty * |quantity - wanted| falls; a penalty above the multiplier makes that
    the right measure.
    """
    theta = start
    scale = max(abs(wanted), 1e-12)
    for _ in range(80):
        expected, jacobian = problem.model(theta)
        gradient, fisher = score(problem.counts, expected, jacobian)
        value, slope = quantity(theta)
        moving = problem.free & ~((theta <= problem.lower) & (gradient <= 0.0) & (slope == 0.0))
        step, multiplier = _newton_step(gradient, fisher, slope, wanted - value, moving)
        promise, gap = abs(float((gradient - multiplier * slope) @ step)), abs(value - wanted) / scale
        if promise < 1e-6 and gap < 1e-7:
            return theta, poisson_deviance(problem.counts, expected)
        merit = partial(_merit, problem, quantity, wanted, 2.0 * abs(multiplier) + 1e-9)
        before = merit(theta)
        for halvings in range(25):
            trial = np.clip(theta + 0.5**halvings * step, problem.lower, problem.upper)
            if merit(trial) < before:
                break
        else:
            return (theta, poisson_deviance(problem.counts, expected)) if promise < 1e-3 and gap < 1e-5 else None
        theta = trial
    return None


def _merit(problem: FitProblem, quantity: Quantity, wanted: float, penalty: float, theta: Floats) -> float:
    deviance = poisson_deviance(problem.counts, problem.model(theta)[0])
    merit = 0.5 * deviance + penalty * abs(quantity(theta)[0] - wanted)
    return merit if np.isfinite(merit) else np.inf


def _newton_step(
    gradient: Floats, fisher: Floats, slope: Floats, missing: float, moving: NDArray[np.bool_]
) -> tuple[Floats, float]:
    """Solve F d + l s = g and s d = missing for the step d and the multiplier l, among the moving parameters."""
    g, s = gradient[moving], slope[moving]
    scale = np.sqrt(np.maximum(np.diag(fisher)[moving], 1e-300))
    size = g.size
    norm = max(float(np.linalg.norm(s / scale)), 1e-300)
    matrix = np.zeros((size + 1, size + 1))
    matrix[:size, :size] = fisher[np.ix_(moving, moving)] / np.outer(scale, scale) + 1e-9 * np.eye(size)
    matrix[:size, size] = matrix[size, :size] = s / scale / norm
    solution = np.linalg.solve(matrix, np.append(g / scale, missing / norm))
    step = np.zeros_like(gradient)
    step[moving] = solution[:size] / scale
    return step, float(solution[size]) / norm
