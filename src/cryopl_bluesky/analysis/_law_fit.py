"""Weighted least squares of a law, with everything that makes a parameter untrustworthy said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import least_squares
from scipy.stats import chi2 as chi2_distribution

from ._checks import AnalysisError, FitError, Floats
from ._law_problem import SENSOR_OFFSET, Problem
from ._laws import start_values
from ._root import root

CORRELATION_LIMIT = 0.95
"""Two parameters that correlate more than this are named in the notes."""
RELATIVE_ERROR_LIMIT = 1.0
"""A parameter with a larger error than its value times this is undetermined."""
P_VALUE_LIMIT = 1e-4
"""A chi square that a true law exceeds more rarely than this makes the fit bad."""


@dataclass(frozen=True, eq=False)
class LawFit:
    """A law fitted to a series.

    Attributes:
        law: Name of the law.
        formula: The law as text.
        values: All parameters by name (units in the names), fixed ones too.
        errors: Standard errors by name; 0 for fixed parameters.
        free: Names of the fitted parameters, in the order of `correlation`.
        correlation: Correlation matrix of the fitted parameters, (f, f).
        undetermined: Fitted parameters whose error exceeds their value: do not quote them.
        chi2: Weighted sum of squared residuals.
        dof: Degrees of freedom.
        p_value: Chance that a true law gives a larger chi2.
        bic: Bayesian information criterion, chi2 + fitted parameters * ln(points).
        x: Abscissa (temperature in K, or photon energy in eV), (n,).
        y: Data, (n,).
        sigma: Standard errors used: fit errors, floor and temperature error in quadrature, (n,).
        expected: The fitted law at `x`, (n,).
        method: How it was fitted.
        notes: What a reader must know before quoting the numbers.
        compared: For a choice by BIC: every law that was tried, with its BIC or the reason why it is not there.
    """

    law: str
    formula: str
    values: Mapping[str, float]
    errors: Mapping[str, float]
    free: tuple[str, ...]
    correlation: Floats
    undetermined: tuple[str, ...]
    chi2: float
    dof: int
    p_value: float
    bic: float
    x: Floats
    y: Floats
    sigma: Floats
    expected: Floats
    method: str
    notes: tuple[str, ...]
    problem: Problem = field(repr=False)
    compared: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def reduced_chi2(self) -> float:
        """Chi square per degree of freedom."""
        return self.chi2 / self.dof

    @property
    def good(self) -> bool:
        """Whether the law describes the data and determines its parameters; else read `notes`."""
        return self.p_value >= P_VALUE_LIMIT and not self.undetermined

    @property
    def residuals(self) -> Floats:
        """Weighted residuals (data - law)/sigma, (n,)."""
        return (self.y - self.expected) / self.sigma

    def predict(self, x: ArrayLike) -> Floats:
        """The fitted law at any x (same quantity and unit as the data's abscissa)."""
        return self.problem.law(np.asarray(x, dtype=np.float64), self.values)

    def interval(self, name: str, level: float = 0.6827) -> tuple[float, float]:
        """Profile likelihood interval of one parameter, asymmetric where the data demand it.

        Args:
            name: A fitted parameter.
            level: Confidence level, between 0 and 1.

        Returns:
            Lower and upper end; infinite where the data set no limit within the limits of the law.

        Raises:
            AnalysisError: A parameter that was not fitted, or a level outside (0, 1).
        """
        if name not in self.free:
            raise AnalysisError(f"{name} was not fitted; choose one of {', '.join(self.free)}.")
        if not 0.0 < level < 1.0:
            raise AnalysisError(f"level is {level!r} but must lie between 0 and 1.")
        target = float(chi2_distribution.ppf(level, 1))
        return self._profile_end(name, -1.0, target), self._profile_end(name, 1.0, target)

    def record(self) -> dict[str, Any]:
        """The numbers to store with the uids of the runs; plain JSON values."""
        return {
            "law": self.law, "formula": self.formula, "values": dict(self.values), "errors": dict(self.errors),
            "free": list(self.free), "correlation": self.correlation.tolist(),
            "undetermined": list(self.undetermined), "chi2": self.chi2, "dof": self.dof, "p_value": self.p_value,
            "bic": self.bic, "good": self.good, "method": self.method, "notes": list(self.notes),
            "compared": dict(self.compared),
        }  # fmt: skip

    def _profile_end(self, name: str, side: float, target: float) -> float:
        low, high = self.problem.limits(name)
        best = self.values[name]
        start = {key: self.values[key] for key in self.free}

        def excess(value: float) -> float:
            rest = replace(self.problem, fixed={**self.problem.fixed, name: value})
            others = {key: item for key, item in start.items() if key != name}
            return _solve(rest, others).chi2 - self.chi2 - target

        inside, step = best, side * self.errors[name]
        for _ in range(12):  # doubling steps: the last is 4000 standard errors away
            outside = float(np.clip(inside + step, low, high))
            if excess(outside) > 0.0:
                return root(excess, inside, outside, 1e-3 * self.errors[name])
            if outside in (low, high):
                break
            inside, step = outside, 2.0 * step
        return side * np.inf


def fit_law(problem: Problem, *, starts: int = 1) -> LawFit:
    """Fit a law to its data from the best start values.

    Raises:
        FitError: No start value, no convergence, a parameter on its limit, or no curvature.
    """
    given = {**problem.fixed, **{name: value for name, (value, _) in problem.known.items()}}
    candidates = start_values(problem.law, problem.x, problem.y, problem.sigma, given, starts)
    if not candidates:
        raise FitError(f"No start values for the law {problem.law.name}; check the data or fix a parameter.")
    best: _Optimum | None = None
    trouble: FitError | None = None
    for values in candidates:
        try:
            trial = _solve(problem, values)
        except FitError as error:
            trouble = error
            continue
        if best is None or trial.chi2 < best.chi2:
            best = trial
    if best is None:
        raise trouble or FitError(f"No start value led to a fit of {problem.law.name}.")
    for _ in range(3 if problem.x_err is not None else 0):  # the temperature error weighs by the fitted slope
        problem = problem.with_slope(best.values)
        best = _solve(problem, best.values)
    return _result(problem, best)


@dataclass(frozen=True, eq=False)
class _Optimum:
    values: dict[str, float]
    chi2: float
    jacobian: Floats
    on_limit: tuple[str, ...]


def _solve(problem: Problem, start: Mapping[str, float]) -> _Optimum:
    names = problem.free
    if not names:
        values = dict(problem.fixed)
        return _Optimum(values, float((problem.residuals(values) ** 2).sum()), np.empty((problem.x.size, 0)), ())
    lower, upper = problem.internal_limits()
    theta = np.clip(problem.internal({**problem.defaults, **start}), lower, upper)
    found = least_squares(
        lambda t: problem.residuals(problem.external(t)), problem.inside(theta), bounds=(lower, upper),
        # the type stubs of scipy know only the names of numerical methods here, the function takes both
        jac=problem.jacobian,  # pyright: ignore[reportArgumentType]
        x_scale="jac", ftol=1e-9, xtol=1e-9, gtol=1e-9, max_nfev=200,
    )  # fmt: skip
    if not found.success:
        raise FitError(f"The fit of {problem.law.name} did not converge; fix a parameter or choose a simpler law.")
    on_limit = tuple(name for name, hit in zip(names, found.active_mask, strict=True) if hit)
    return _Optimum(problem.external(found.x), 2.0 * float(found.cost), problem.jacobian(found.x), on_limit)


def _result(problem: Problem, best: _Optimum) -> LawFit:
    law, names = problem.law, problem.free
    if best.on_limit:
        name = best.on_limit[0]
        low, high = problem.limits(name)
        raise FitError(
            f"{law.name}: {name} ran to {best.values[name]:.4g}, its limit ({low:g} to {high:g}): these data do not "
            f"determine it. Fix it (fixed={{{name!r}: value}}), choose a simpler law, or measure a wider range."
        )
    covariance = _covariance(problem, best)
    sigma = np.sqrt(np.diag(covariance))
    errors = dict.fromkeys(law.names, 0.0) | dict(zip(names, sigma.tolist(), strict=True))
    correlation = covariance / np.outer(sigma, sigma)
    undetermined = tuple(
        name for name, error in zip(names, sigma, strict=True)
        if name not in problem.known and error > RELATIVE_ERROR_LIMIT * abs(best.values[name])
    )  # fmt: skip
    dof = problem.x.size + len(problem.known) - len(names)
    p_value = float(chi2_distribution.sf(best.chi2, dof))
    notes = [law.remark] if law.remark else []
    notes += _warnings(best, names, errors, correlation, undetermined)
    if p_value < P_VALUE_LIMIT:
        notes.append(_bad_fit(problem, best, dof))
    notes += [f"{name} = {value:g} was fixed, not measured" for name, value in problem.fixed.items()]
    return LawFit(
        law=law.name,
        formula=law.formula,
        values=best.values,
        errors=errors,
        free=names,
        correlation=correlation,
        undetermined=undetermined,
        chi2=best.chi2,
        dof=dof,
        p_value=p_value,
        bic=best.chi2 + (len(names) - len(problem.known)) * float(np.log(problem.x.size)),
        x=problem.x,
        y=problem.y,
        sigma=problem.sigma,
        expected=law(problem.x, best.values),
        method=problem.method,
        notes=tuple(notes),
        problem=problem,
    )


def _covariance(problem: Problem, best: _Optimum) -> Floats:
    norm = np.sqrt((best.jacobian**2).sum(axis=0))
    if (norm == 0).any() or np.linalg.cond(best.jacobian / norm) > 1e7:
        raise FitError(
            f"{problem.law.name}: these data cannot tell its parameters apart (no curvature); "
            "fix one or choose a simpler law."
        )
    scaled = best.jacobian / norm
    inverse = np.linalg.inv(scaled.T @ scaled) / np.outer(norm, norm)
    slope = problem.slope_of_internal(best.values)
    return inverse * np.outer(slope, slope)


def _warnings(
    best: _Optimum, names: tuple[str, ...], errors: dict[str, float], correlation: Floats, undetermined: tuple[str, ...]
) -> list[str]:
    notes = []
    for name in undetermined:
        share = 100.0 * errors[name] / max(abs(best.values[name]), 1e-300)
        notes.append(f"{name} is undetermined ({best.values[name]:.3g}, error {share:.0f} %): fix it")
    for i, first in enumerate(names):
        for j in range(i):
            if abs(correlation[i, j]) > CORRELATION_LIMIT:
                notes.append(
                    f"{names[j]} and {first} correlate {correlation[i, j]:+.2f}: quote them together, or fix one"
                )
    if SENSOR_OFFSET in names:
        notes.append(
            f"{SENSOR_OFFSET} = {best.values[SENSOR_OFFSET]:.2g} is a nuisance parameter: "
            "its error is part of the others"
        )
    return notes


def _bad_fit(problem: Problem, best: _Optimum, dof: int) -> str:
    """Say that the law does not fit, and what floor would cover the scatter."""
    difference = problem.law(problem.x, best.values) - problem.y
    largest = float(np.abs(difference).max()) * difference.size
    floor = root(lambda f: float((difference**2 / (problem.sigma**2 + f**2)).sum()) - dof, 0.0, largest, 1e-4 * largest)
    return (
        f"reduced chi2 {best.chi2 / dof:.3g} is too high: the law does not describe the data within their errors; "
        f"another law, or an additional floor of about {floor:.2g}, would"
    )
