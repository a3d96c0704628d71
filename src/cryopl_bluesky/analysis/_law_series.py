"""Checks of a measured series, and the choice among laws, shared by all law fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from ._checks import AnalysisError, FitError, Floats, finite_array, same_shape
from ._law_fit import LawFit, fit_law
from ._law_problem import SENSOR_OFFSET, Problem
from ._laws import Law

BIC_MARGIN = 2.0
"""Laws whose BIC differs by less cannot be told apart."""


def not_negative(name: str, value: float) -> float:
    """Return `value` as float, or raise AnalysisError if it is negative or not finite."""
    if not (np.isfinite(value) and value >= 0):
        raise AnalysisError(f"{name} is {value!r} but must be a finite number, zero or above.")
    return float(value)


def series(
    x_name: str, x: ArrayLike, y_name: str, y: ArrayLike, err_name: str, err: ArrayLike
) -> tuple[Floats, Floats, Floats]:
    """Abscissa, data and errors as float64 after checking shapes, finiteness, and that errors are above zero.

    Raises:
        AnalysisError: What is wrong, by the name of the argument.
    """
    axis, data, sigma = finite_array(x_name, x, 1), finite_array(y_name, y, 1), finite_array(err_name, err, 1)
    same_shape(x_name, axis, y_name, data)
    same_shape(y_name, data, err_name, sigma)
    if (sigma <= 0).any():
        raise AnalysisError(
            f"{err_name} holds {sigma.min():g} at index {int(sigma.argmin())} but a standard error is above zero; "
            "give the error of the fit, or leave that point out."
        )
    return axis, data, sigma


def rising_slope(x: Floats, y: Floats, sigma: Floats) -> float | None:
    """Slope of the weighted straight line if it is above zero by 3 standard errors, else None."""
    weight = 1.0 / sigma**2
    away = x - np.average(x, weights=weight)
    spread = float((weight * away**2).sum())
    if spread == 0:
        return None
    slope = float((weight * away * y).sum()) / spread
    return slope if slope * np.sqrt(spread) > 3.0 else None


def fit_series(
    law: Law,
    x: Floats,
    y: Floats,
    sigma: Floats,
    method: str,
    *,
    x_err: Floats | None = None,
    fixed: Mapping[str, float],
    known: Mapping[str, tuple[float, float]],
) -> LawFit:
    """Fit `law` after checking parameter names and the number of points.

    Raises:
        AnalysisError: Unknown or contradictory parameter names, or bad values.
        FitError: Too few different points, or as `fit_law`.
    """
    _check_parameters(law, fixed, known)
    problem = Problem(law, x, y, sigma, method, x_err=x_err, fixed=dict(fixed), known=dict(known))
    wanted = len(problem.free) - len(known)
    if not problem.free:
        raise AnalysisError(f"All parameters of {law.name} are fixed; leave at least one free.")
    if np.unique(x).size < max(wanted, 1) or x.size < wanted + 1:
        raise FitError(
            f"{law.name} has {wanted} free parameters, but there are {x.size} points at {np.unique(x).size} places; "
            "measure more, or fix parameters (fixed={name: value})."
        )
    return fit_law(problem, starts=2 if law.ordered else 1)


def choose_by_bic(names: Sequence[str], fit: Callable[[str], LawFit]) -> LawFit:
    """The law with the lowest BIC among those that can be fitted; all others stay in `compared`.

    Raises:
        AnalysisError: No names.
        FitError: None of them can be fitted.
    """
    if not names:
        raise AnalysisError("candidates is empty; name at least one law.")
    fits: list[LawFit] = []
    compared: dict[str, float | str] = {}
    for name in names:
        try:
            found = fit(name)
        except FitError as error:  # these data do not go with this law: that is an answer, kept in `compared`
            compared[name] = str(error)
        else:
            fits.append(found)
            compared[found.law] = found.bic
    if not fits:
        raise FitError(f"None of the laws can be fitted: {'; '.join(map(str, compared.values()))}")
    fits.sort(key=lambda item: item.bic)
    notes = fits[0].notes
    close = [other.law for other in fits[1:] if other.bic - fits[0].bic < BIC_MARGIN]
    if close:
        notes += (f"BIC cannot tell {fits[0].law} from {', '.join(close)}: more points or a wider range would",)
    return replace(fits[0], notes=notes, compared=compared)


def _check_parameters(law: Law, fixed: Mapping[str, float], known: Mapping[str, tuple[float, float]]) -> None:
    constraints = {name: item for name, item in known.items() if name != SENSOR_OFFSET}
    for name in (*fixed, *constraints):
        if name not in law.names:
            raise AnalysisError(f"{law.name} has no parameter {name!r}; it has {', '.join(law.names)}.")
    if both := set(fixed) & set(constraints):
        raise AnalysisError(f"{', '.join(sorted(both))} is in fixed and in known; give it once.")
    limits = {p.name: (p.lower, p.upper) for p in law.parameters}
    for name, value in (*fixed.items(), *((name, item[0]) for name, item in constraints.items())):
        low, high = limits[name]
        if not (np.isfinite(value) and low <= value <= high):
            raise AnalysisError(f"{name} is {value!r} but must lie between {low:g} and {high:g}.")
    for name, (_, error) in constraints.items():
        if not (np.isfinite(error) and error > 0):
            raise AnalysisError(f"The error of {name} is {error!r} but must be above zero; without one use fixed.")
