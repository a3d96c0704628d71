"""Unweighted least squares: the convention of older programs, for comparison with their numbers only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from ._checks import FitError, Floats
from ._poisson_fit import Model, PoissonFit, covariance_of, poisson_deviance, score


def fit_unweighted(
    counts: Floats, model: Model, start: Floats, free: NDArray[np.bool_], lower: Floats, upper: Floats
) -> PoissonFit:
    """Minimise sum (n - m)^2; the covariance is what Poisson counts do to that estimate.

    Raises:
        FitError: No convergence or no curvature.
    """

    def full(moving: Floats) -> Floats:
        theta = start.copy()
        theta[free] = moving
        return theta

    def slopes(moving: Floats) -> Floats:
        return model(full(moving))[1][:, free]

    jac: Any = slopes  # the stubs of scipy know names only
    solution = least_squares(
        lambda moving: model(full(moving))[0] - counts,
        np.clip(start[free], lower[free], upper[free]),
        jac=jac,
        bounds=(lower[free], upper[free]),
        x_scale="jac",
        xtol=1e-10,
        ftol=1e-12,
        gtol=1e-12,
    )
    if not solution.success:
        raise FitError(f"The least squares fit did not converge ({solution.message}); try fewer components.")
    theta = full(solution.x)
    expected, jacobian = model(theta)
    at_bound = free & ((theta <= lower) | (theta >= upper))
    # (J'J)^-1 J' diag(m) J (J'J)^-1
    bread = covariance_of(jacobian.T @ jacobian, free & (np.abs(jacobian).max(axis=0) > 0.0))
    covariance = bread @ ((jacobian.T * np.maximum(expected, 0.0)) @ jacobian) @ bread
    gradient, fisher = score(counts, expected, jacobian)
    return PoissonFit(theta, covariance, poisson_deviance(counts, expected), expected, at_bound, gradient, fisher)
