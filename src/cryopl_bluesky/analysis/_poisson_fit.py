"""Maximum likelihood for Poisson counts by damped Fisher scoring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._checks import FitError, Floats

Model = Callable[[Floats], tuple[Floats, Floats]]
"""theta (p,) -> expected counts (n,) and Jacobian (n, p)."""

_NOT_ROUNDING = 0.1  # a fall of the deviance that was promised and refused by more than this is no rounding

_FLOOR = 1e-9  # expected counts below this are raised to it; nothing measurable is that dark


@dataclass(frozen=True)
class PoissonFit:
    """Optimum of a Poisson likelihood.

    Attributes:
        theta: Parameters, shape (p,).
        covariance: Inverse Fisher information, (p, p); zero rows for fixed parameters and those at a bound.
        deviance: 2 sum(m - n + n ln(n/m)).
        expected: Expected counts, (n,).
        at_bound: Which free parameters ended on their bound, (p,).
        gradient: Gradient of the log likelihood there, of fixed parameters too, (p,).
        fisher: Fisher information there, of fixed parameters too, (p, p).
    """

    theta: Floats
    covariance: Floats
    deviance: float
    expected: Floats
    at_bound: NDArray[np.bool_]
    gradient: Floats
    fisher: Floats


def poisson_deviance(counts: Floats, expected: Floats) -> float:
    """2 sum(m - n + n ln(n/m)), with 2 m where n = 0."""
    m = np.maximum(expected, _FLOOR)
    # where n = 0 the logarithm is finite and counts nothing
    log_ratio = np.log(np.maximum(counts / m, 1e-300))
    return 2.0 * float(m.sum() - counts.sum() + counts @ log_ratio)


def reduced_deviance(
    counts: Floats, expected: Floats, n_parameters: int, minimum: float = 10.0
) -> tuple[float, int]:
    """Deviance per degree of freedom, and those degrees, with bins joined to `minimum` expected counts.

    With few counts per bin the deviance of a true model is not near 1 per bin; joined bins are. Only the
    goodness of the fit is judged on joined bins, never the fit itself.
    """
    # a bin belongs to the group in which the cumulative expectation stands when it begins
    cumulative = np.cumsum(np.maximum(expected, _FLOOR))
    groups = np.floor((cumulative - expected) / minimum).astype(np.int64)
    starts = np.flatnonzero(np.diff(groups, prepend=-1) > 0)
    n, m = np.add.reduceat(counts, starts), np.add.reduceat(np.maximum(expected, _FLOOR), starts)
    dof = max(1, n.size - n_parameters)
    return poisson_deviance(n, m) / dof, dof


def fit_poisson(
    counts: Floats,
    model: Model,
    start: Floats,
    *,
    free: NDArray[np.bool_],
    lower: Floats,
    upper: Floats,
    max_iterations: int = 200,
) -> PoissonFit:
    """Minimise the Poisson deviance.

    Args:
        counts: Observed counts, (n,).
        model: Expected counts and Jacobian.
        start: Start values, (p,).
        free: Which parameters may move, (p,).
        lower: Lower bounds, (p,).
        upper: Upper bounds, (p,).
        max_iterations: Limit on accepted and refused steps together.

    Raises:
        FitError: No convergence, or no curvature along some direction.
    """
    theta = np.clip(start, lower, upper)
    expected, jacobian = model(theta)
    deviance = poisson_deviance(counts, expected)
    gradient, fisher = score(counts, expected, jacobian)
    damping, refused = 1e-3, 0.0
    for _ in range(max_iterations):
        moving = free & ~((theta <= lower) & (gradient <= 0)) & ~((theta >= upper) & (gradient >= 0))
        step, promise = _step(gradient, fisher, moving, damping)
        if promise < 1e-8:
            break
        trial = np.clip(theta + step, lower, upper)
        trial_expected, trial_jacobian = model(trial)
        trial_deviance = poisson_deviance(counts, trial_expected)
        if np.isfinite(trial_deviance) and trial_deviance < deviance:
            theta, expected, deviance = trial, trial_expected, trial_deviance
            gradient, fisher = score(counts, expected, trial_jacobian)
            damping, refused = max(damping * 0.2, 1e-9), 0.0
        elif promise < 1e-5 or damping > 1e12:
            break  # rounding keeps the deviance from falling any further: this is the optimum
        else:
            damping, refused = damping * 5.0, max(refused, promise)
    else:
        raise FitError(
            f"The fit did not converge in {max_iterations} steps; try fewer components or a fixed shift."
        )
    if refused > _NOT_ROUNDING:
        raise FitError(
            "The fit is stuck: the likelihood does not rise along its own slope, because the model expects nothing "
            "where there are counts. Give a background, or a response without gaps and negative stretches."
        )
    at_bound = free & ((theta <= lower) | (theta >= upper))
    covariance = covariance_of(fisher, free & ~at_bound)
    return PoissonFit(theta, covariance, deviance, expected, at_bound, gradient, fisher)


def score(counts: Floats, expected: Floats, jacobian: Floats) -> tuple[Floats, Floats]:
    """Gradient of the log likelihood, (p,), and Fisher information, (p, p)."""
    # Where the floor holds, the deviance does not change with the parameters; nor must its derivatives.
    above = expected > _FLOOR
    weight = above / np.maximum(expected, _FLOOR)
    rows = jacobian.T
    return rows @ (counts * weight - above), (rows * weight) @ jacobian


def _step(
    gradient: Floats, fisher: Floats, moving: NDArray[np.bool_], damping: float
) -> tuple[Floats, float]:
    """Damped step, and the fall of the deviance which the undamped quadratic model promises along it."""
    step = np.zeros_like(gradient)
    if not moving.any():
        return step, 0.0
    block = fisher[np.ix_(moving, moving)]
    scale = np.sqrt(np.maximum(np.diag(block), 1e-300))
    scaled = block / np.outer(scale, scale)
    g = gradient[moving] / scale
    step[moving] = np.linalg.solve(scaled + damping * np.eye(g.size), g) / scale
    return step, float(gradient[moving] @ step[moving])


def covariance_of(fisher: Floats, moving: NDArray[np.bool_]) -> Floats:
    """Inverse of the Fisher information among the moving parameters; zero rows for the others.

    Raises:
        FitError: No curvature along some direction.
    """
    block = fisher[np.ix_(moving, moving)]
    diagonal = np.diag(block)
    covariance = np.zeros_like(fisher)
    if not moving.any():
        return covariance
    if (diagonal <= 0).any():
        raise FitError("The counts do not depend on one of the parameters; fix it or take more counts.")
    scale = np.sqrt(diagonal)
    scaled = block / np.outer(scale, scale)
    if np.linalg.cond(scaled) > 1e12:
        raise FitError(
            "Two parameters cannot be told apart by these counts; use fewer components or fix one."
        )
    covariance[np.ix_(moving, moving)] = np.linalg.inv(scaled) / np.outer(scale, scale)
    return covariance
