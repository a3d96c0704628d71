"""Lifetime against wavelength: all rows of a TRPL map with one response and one shift.

The shift belongs to the instrument, so all rows share it; it is fitted jointly. For a given shift the rows are
independent; the joint likelihood is then largest where the sum of their derivatives by the shift vanishes, which takes
two or three Newton steps. What the shift's error adds to the errors of a row is in them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._checks import AnalysisError, FitError, Floats, count_array, positive
from ._decay_fit import DecayFit, DecayTask
from ._decay_irf import Response
from ._decay_result import FitProblem
from ._decay_start import mean_and_shift
from .lifetimes import decay_task, fit_components
from .model_free_decay import model_free_decay, wavelength_axis

__all__ = ["MINIMUM_ROW_PHOTONS", "LifetimeMap", "fit_lifetime_map"]

MINIMUM_ROW_PHOTONS = 500
"""Rows with fewer photons are refused unless the caller sets another limit."""

_SETTLED = 0.02
"""The shift is found when it moves by less than this part of its error."""


@dataclass(frozen=True, eq=False)
class LifetimeMap:
    """Result of `fit_lifetime_map`; all arrays are (R,), NaN in rows that were refused.

    Attributes:
        wavelength_nm: Wavelengths.
        photons: Counts in the fitted bins, also of refused rows.
        tau_amp_ns: Amplitude average of the lifetime.
        tau_amp_err_ns: Its standard error.
        tau_int_ns: Intensity average of the lifetime.
        tau_int_err_ns: Its standard error.
        tau_1e_ns: Model-free time from the top to 1/e, response included; NaN where it cannot be seen.
        tau_1e_err_ns: Its standard error.
        background_per_bin: Fitted background.
        background_err_per_bin: Its standard error.
        reduced_deviance: Of the fit, on joined bins.
        components: Number of exponentials, 0 in refused rows.
        good: Whether the row was fitted, its fit is good and no component is only an upper limit.
        problems: Why a row was refused or what to mind before quoting it; empty if nothing.
        shift_ns: Common shift of the response.
        shift_err_ns: Its standard error; 0 if it was given.
        fits: The fits of the rows, None where refused.
        method: How it was fitted.
    """

    wavelength_nm: Floats
    photons: Floats
    tau_amp_ns: Floats
    tau_amp_err_ns: Floats
    tau_int_ns: Floats
    tau_int_err_ns: Floats
    tau_1e_ns: Floats
    tau_1e_err_ns: Floats
    background_per_bin: Floats
    background_err_per_bin: Floats
    reduced_deviance: Floats
    components: NDArray[np.int64]
    good: NDArray[np.bool_]
    problems: tuple[str, ...]
    shift_ns: float
    shift_err_ns: float
    fits: tuple[DecayFit | None, ...]
    method: str


def fit_lifetime_map(
    counts: ArrayLike,
    wavelength_nm: ArrayLike,
    binwidth_ps: float,
    period_ns: float | None,
    *,
    irf_fwhm_ps: float | None = None,
    irf: Response | None = None,
    components: Literal[1, 2, "bic"] = "bic",
    fit_bins: tuple[int, int] | None = None,
    shift_ns: float | None = None,
    background_per_bin: float | None = None,
    minimum_photons: float = MINIMUM_ROW_PHOTONS,
    irf_same_day: bool = False,
) -> LifetimeMap:
    """Fit every row of a map of decays.

    Args:
        counts: Raw counts, (R, n); one row per wavelength, all of one SPAD or of SPADs with the same delay.
        wavelength_nm: Wavelengths, (R,).
        binwidth_ps: Bin width.
        period_ns: Laser period, or None for a single pulse.
        irf_fwhm_ps: Width of a Gaussian response; give this or `irf`.
        irf: Measured response, as in `lifetimes.fit_decay`.
        components: 1, 2, or "bic" to choose in every row.
        fit_bins: First bin and one past the last bin to fit; all by default.
        shift_ns: Fixed shift; by default fitted to all rows together.
        background_per_bin: Fixed background of all rows; free in each by default.
        minimum_photons: Rows with fewer are refused.
        irf_same_day: As in `lifetimes.fit_decay`.

    Raises:
        AnalysisError: Unusable input, or no row with enough photons.
        FitError: No row could be fitted.
    """
    n = count_array("counts", counts, 2)
    axis = wavelength_axis(wavelength_nm, n.shape[0])
    positive("minimum_photons", minimum_photons)
    first = decay_task(
        n[0], binwidth_ps, period_ns, irf_fwhm_ps, irf, fit_bins, shift_ns, background_per_bin,
        irf_same_day=irf_same_day,
    )  # fmt: skip
    photons = n[:, first.window].sum(axis=1)
    limit = f"below the limit of {minimum_photons:g}: record longer or join rows"
    problems = [f"{p:.0f} photons, {limit}" if p < minimum_photons else "" for p in photons]
    rows = {i: _Row(replace(first, counts=n[i])) for i, problem in enumerate(problems) if not problem}
    if not rows:
        raise AnalysisError(
            f"No row holds {minimum_photons:g} photons (the most is {photons.max():g}); record longer or join rows."
        )
    start = _common_start(replace(first, counts=n[list(rows)].sum(axis=0))) if shift_ns is None else shift_ns
    for i, row in list(rows.items()):
        try:
            row.choose(start, components)
        except FitError as error:
            problems[i] = str(error)
            del rows[i]
    if not rows:
        raise FitError(f"No row could be fitted; the last one says: {problems[-1] or problems[0]}")
    shift = (start, 0.0) if shift_ns is not None else _joint_shift(list(rows.values()), start)
    fits: list[DecayFit | None] = [None] * len(problems)
    for i, row in rows.items():
        try:
            fit = row.result(*shift)
        except FitError as error:
            problems[i] = str(error)
            continue
        fits[i] = fit
        problems[i] = "; ".join(fit.notes)
    return _as_map(n, axis, photons, fits, problems, shift, binwidth_ps, first)


class _Row:
    """A decay whose shift is given from outside."""

    def __init__(self, task: DecayTask):
        self.task = task
        self.problem: FitProblem
        self.components = 0

    def choose(self, shift_ns: float, components: Literal[1, 2, "bic"]) -> None:
        """Fit with the number of components asked for."""
        fit = fit_components(self.task.at_shift(shift_ns), components)
        self.problem, self.components = fit.problem, fit.components

    def move(self, shift_ns: float, follow: Floats) -> None:
        """Fit again at another shift, from where the parameters are expected to follow it."""
        at = 2 * self.components
        theta = self.problem.optimum.theta
        moved = theta + follow * (shift_ns - theta[at])
        moved[at] = shift_ns
        self.problem = self.task.at_shift(shift_ns).solve(self.components, moved)

    def by_shift(self) -> tuple[float, float, Floats]:
        """Derivative of the log likelihood by the shift, its information, and d parameters / d shift."""
        optimum = self.problem.optimum
        at = 2 * self.components
        follow = -optimum.covariance @ optimum.fisher[:, at]
        return float(optimum.gradient[at]), float(optimum.fisher[at, at] + optimum.fisher[at] @ follow), follow

    def result(self, shift_ns: float, shift_err_ns: float) -> DecayFit:
        """The numbers of the row, with the error of the shift in all of them."""
        follow = self.by_shift()[2]
        follow[2 * self.components] = 1.0
        covariance = self.problem.optimum.covariance + shift_err_ns**2 * np.outer(follow, follow)
        optimum = replace(self.problem.optimum, covariance=covariance)
        return self.task.at_shift(shift_ns).result(replace(self.problem, optimum=optimum), self.components)


def _common_start(task: DecayTask) -> float:
    """Shift of the sum of all rows; where that cannot be fitted, from its rise."""
    try:
        return fit_components(task, "bic").shift_ns
    except FitError:
        return mean_and_shift(task.counts, task.dt_ns, task.model)[1]


def _joint_shift(rows: list[_Row], start_ns: float) -> tuple[float, float]:
    """Move the shift of all rows until their likelihoods together are largest; with its standard error."""
    shift = start_ns
    for _ in range(10):
        parts = [row.by_shift() for row in rows]
        slope, information = sum(part[0] for part in parts), sum(part[1] for part in parts)
        if information <= 0.0:
            raise FitError("The map does not determine the shift of the response; give shift_ns.")
        error = float(1.0 / np.sqrt(information))
        step = slope / information
        if abs(step) < _SETTLED * error:
            return shift, error
        shift += step
        for row, part in zip(rows, parts, strict=True):
            row.move(shift, part[2])
    raise FitError(f"The common shift did not settle near {shift:.4g} ns; give shift_ns from the brightest row.")


def _as_map(
    n: Floats,
    axis: Floats,
    photons: Floats,
    fits: list[DecayFit | None],
    problems: list[str],
    shift: tuple[float, float],
    binwidth_ps: float,
    task: DecayTask,
) -> LifetimeMap:
    columns = {
        name: np.array([np.nan if fit is None else getattr(fit, name) for fit in fits])
        for name in ("tau_amp_ns", "tau_amp_err_ns", "tau_int_ns", "tau_int_err_ns", "background_per_bin",
                     "background_err_per_bin", "reduced_deviance")
    }  # fmt: skip
    tau_1e = np.full((len(fits), 2), np.nan)
    for i, fit in enumerate(fits):
        try:
            if fit is not None:
                seen = model_free_decay(n[i], binwidth_ps, task.model.irf_fwhm_ns * 1e3)
                tau_1e[i] = seen.tau_1e_ns, seen.tau_1e_err_ns
        except FitError as error:
            problems[i] = f"{problems[i]}; {error}".lstrip("; ")
    return LifetimeMap(
        wavelength_nm=axis,
        photons=photons,
        tau_1e_ns=tau_1e[:, 0],
        tau_1e_err_ns=tau_1e[:, 1],
        components=np.array([0 if fit is None else fit.components for fit in fits], dtype=np.int64),
        good=np.array([fit is not None and fit.good and not any(fit.upper_limits_ns) for fit in fits]),
        problems=tuple(problems),
        shift_ns=shift[0],
        shift_err_ns=shift[1],
        fits=tuple(fits),
        method=f"{task.method}, shift common to all rows",
        **columns,
    )
