"""Weighted least squares for camera data: shot noise of the fitted model, not of the noisy pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from ._checks import AnalysisError, FitError, Floats, count_array, same_shape

Model = Callable[[Floats], tuple[Floats, Floats]]
"""theta (p,) -> expected values (n,) and Jacobian (n, p)."""

_REWEIGHTINGS = 2


@dataclass(frozen=True, eq=False)
class WeightedFit:
    """Optimum of a weighted least-squares fit.

    Attributes:
        theta: Parameters, (p,).
        covariance: Their covariance, `error_scale` squared already in it, (p, p).
        reduced_chi2: Per degree of freedom; None when the variance was unknown.
        error_scale: sqrt(reduced_chi2) where that is above 1, or where the variance was unknown.
        residual: Data minus model, (n,).
    """

    theta: Floats
    covariance: Floats
    reduced_chi2: float | None
    error_scale: float
    residual: Floats


def check_variance(name: str, variance: Floats, values: Floats, ndim: int) -> Floats:
    """The variance of a frame or spectrum: of its shape, and above zero.

    Raises:
        AnalysisError: It is not.
    """
    spread = count_array("variance", variance, ndim)
    same_shape(name, values, "variance", spread)
    if not (spread > 0).all():
        raise AnalysisError("variance is zero somewhere; add the read noise, or leave variance out.")
    return spread


def fit_weighted(model: Model, values: Floats, variance: Floats | None, start: Floats, what: str) -> WeightedFit:
    """Fit `model` to `values`.

    Args:
        model: Expected values and Jacobian.
        values: Data, (n,); photo-electrons if `variance` is given.
        variance: Shot noise of the values plus the rest, (n,); the shot noise is replaced by that of the model, since
            weights from the noisy values themselves would bias the fit. None if unknown: the errors then come
            from the scatter of the residuals.
        start: Start values, (p,).
        what: What is fitted, for messages.

    Raises:
        FitError: No convergence, or parameters that the data do not determine.
    """
    if values.size <= start.size + 1:
        raise FitError(f"{what}: {values.size} pixels cannot determine {start.size} parameters; widen the window.")
    weights = np.ones_like(values)
    if variance is not None:
        weights = 1.0 / np.sqrt(np.maximum(variance, 0.1 * variance.max()))
    theta = _solve(model, values, weights, start, what)
    if variance is not None:
        rest, floor = variance - np.maximum(values, 0.0), 0.5 * float(np.quantile(variance, 0.02))
        for _ in range(_REWEIGHTINGS):
            weights = 1.0 / np.sqrt(np.maximum(rest + model(theta)[0], floor))
            theta = _solve(model, values, weights, theta, what)
    expected, jacobian = model(theta)
    weighted = jacobian * weights[:, None]
    norm = np.sqrt((weighted**2).sum(axis=0))
    if not (norm > 0).all() or np.linalg.cond(weighted / norm) > 1e8:
        raise FitError(f"{what}: the data do not determine all parameters (no curvature); is there light in it?")
    inverse = np.linalg.inv((weighted / norm).T @ (weighted / norm)) / np.outer(norm, norm)
    residual = values - expected
    reduced = float(((residual * weights) ** 2).sum()) / (values.size - theta.size)
    scale = float(np.sqrt(reduced if variance is None else max(1.0, reduced)))
    return WeightedFit(theta, inverse * scale**2, None if variance is None else reduced, scale, residual)


def _solve(model: Model, values: Floats, weights: Floats, start: Floats, what: str) -> Floats:
    kept: dict[bytes, tuple[Floats, Floats]] = {}

    def at(theta: Floats) -> tuple[Floats, Floats]:
        # Residuals and Jacobian are asked for one after the other at the same place.
        key = theta.tobytes()
        if key not in kept:
            kept.clear()
            kept[key] = model(theta)
        return kept[key]

    result = least_squares(
        lambda theta: (at(theta)[0] - values) * weights,
        start,
        # the type stubs of scipy know only the names of numerical methods here, the function takes both
        jac=lambda theta: at(theta)[1] * weights[:, None],  # pyright: ignore[reportArgumentType]
        method="lm",
        x_scale="jac",
        max_nfev=200,
    )
    if not result.success or not np.isfinite(result.x).all():
        raise FitError(f"{what}: the fit did not converge; cut the window tighter, or expose longer.")
    return result.x
