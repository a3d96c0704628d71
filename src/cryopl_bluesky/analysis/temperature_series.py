"""A temperature series in; a table and the laws out. And: do heating and cooling agree?

Plain arrays go in, one entry per temperature; NaN marks a quantity that was not found there.

    >>> from cryopl_bluesky.analysis.temperature import expansion_one_oscillator_eV
    >>> T = np.linspace(5.6, 294, 15)
    >>> peak = expansion_one_oscillator_eV(T, 2.345, 1.2e-4, 0.012, 0.02)
    >>> result = analyse_temperature_series(T, peak_eV=(peak, np.full(15, 1e-4)))
    >>> result.laws["peak_eV"].law, result.table["peak_eV"].size
    ('expansion_one_oscillator', 15)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import make_interp_spline
from scipy.stats import chi2 as chi2_distribution

from ._checks import AnalysisError, FitError, Floats, finite_array
from ._law_fit import LawFit
from ._law_series import series
from .funnelling import LIFETIME_FLOOR
from .temperature_fits import (
    ENERGY_FLOOR_EV,
    INTENSITY_FLOOR,
    WIDTH_FLOOR_EV,
    fit_energy_law,
    fit_intensity_law,
    fit_width_law,
)

__all__ = ["BranchComparison", "SeriesAnalysis", "analyse_temperature_series", "compare_branches"]

BRANCH_P_LIMIT = 1e-3
"""Heating and cooling differ if a larger chi square were rarer than this."""
Measured = tuple[ArrayLike, ArrayLike]
"""Values and their standard errors, both (n,)."""


@dataclass(frozen=True, eq=False)
class BranchComparison:
    """Cooling minus heating, where their temperatures overlap.

    Attributes:
        temperatures_K: Temperatures of the cooling branch within the range of the heating branch, (m,).
        difference: Cooling minus heating, unit of the data, (m,).
        difference_err: Standard errors, (m,).
        mean: Weighted mean of the differences (full covariance).
        mean_err: Its standard error.
        chi2: Of all differences against zero (full covariance).
        p_value: Chance of a larger chi2 if the branches are equal.
        lag_K: Temperature by which one branch would have to be shifted, mean difference over mean slope; None where
            the slope is not known to better than a third.
        notes: What a reader must know.
    """

    temperatures_K: Floats
    difference: Floats
    difference_err: Floats
    mean: float
    mean_err: float
    chi2: float
    p_value: float
    lag_K: float | None
    notes: tuple[str, ...]

    @property
    def agree(self) -> bool:
        """Whether the branches may be merged."""
        return self.p_value >= BRANCH_P_LIMIT


def compare_branches(
    heating_K: ArrayLike,
    heating: ArrayLike,
    heating_err: ArrayLike,
    cooling_K: ArrayLike,
    cooling: ArrayLike,
    cooling_err: ArrayLike,
    *,
    floor: float = 0.0,
) -> BranchComparison:
    """Compare two branches of a temperature series point by point, without a model.

    The heating branch is interpolated (cubic spline) to the temperatures of the cooling branch; the errors of both
    and the correlations which the interpolation brings are kept.

    Args:
        heating_K: Temperatures of the heating branch, all different, (n,).
        heating: Values, any unit, (n,).
        heating_err: Standard errors, (n,).
        cooling_K: Temperatures of the cooling branch, (m,).
        cooling: Values, same unit, (m,).
        cooling_err: Standard errors, (m,).
        floor: What two measurements at one temperature may differ by, in quadrature on both.

    Raises:
        AnalysisError: Bad arrays, or equal temperatures in the heating branch.
        FitError: Less than 3 common temperatures.
    """
    T_h, y_h, s_h = series("heating_K", heating_K, "heating", heating, "heating_err", heating_err)
    T_c, y_c, s_c = series("cooling_K", cooling_K, "cooling", cooling, "cooling_err", cooling_err)
    order = np.argsort(T_h)
    T_h, y_h, s_h = T_h[order], y_h[order], np.hypot(s_h[order], floor)
    if T_h.size < 2 or (np.diff(T_h) == 0).any():
        raise AnalysisError("heating_K must hold at least 2 temperatures, all different; average equal ones first.")
    inside = (T_c >= T_h[0]) & (T_c <= T_h[-1])
    if inside.sum() < 3:
        raise FitError(
            f"Only {int(inside.sum())} cooling temperatures lie within the heating range {T_h[0]:g} to {T_h[-1]:g} K; "
            "at least 3 are needed to compare the branches."
        )
    T_c, y_c, s_c = T_c[inside], y_c[inside], np.hypot(s_c[inside], floor)
    # interpolation is linear in the values: the splines of the unit vectors are its matrix
    spline = make_interp_spline(T_h, np.eye(T_h.size), k=3 if T_h.size > 3 else 1)
    weights = np.asarray(spline(T_c))
    difference = y_c - weights @ y_h
    covariance = np.diag(s_c**2) + weights @ np.diag(s_h**2) @ weights.T
    inverse = np.linalg.inv(covariance)
    total = float(inverse.sum())
    mean, chi2 = float((inverse @ difference).sum()) / total, float(difference @ inverse @ difference)
    p_value = float(chi2_distribution.sf(chi2, difference.size))
    lag = _lag_K(T_h, y_h, s_h, mean)
    notes = []
    if p_value < BRANCH_P_LIMIT:
        shift = "" if lag is None else f", as if the sample lagged by {abs(lag):.2g} K"
        notes.append(
            f"heating and cooling differ (mean {mean:.3g} ± {total**-0.5:.2g}, chi2 {chi2:.3g} for "
            f"{difference.size} temperatures{shift}): do not merge them; wait longer at each temperature, or look for "
            "ageing and phase transitions"
        )
    return BranchComparison(
        T_c, difference, np.sqrt(np.diag(covariance)), mean, total**-0.5, chi2, p_value, lag, tuple(notes)
    )


def _lag_K(T: Floats, y: Floats, sigma: Floats, difference: float) -> float | None:
    weight = 1.0 / sigma**2
    away = T - np.average(T, weights=weight)
    spread = float((weight * away**2).sum())
    slope = float((weight * away * y).sum()) / spread
    return difference / slope if abs(slope) * np.sqrt(spread) > 3.0 else None


@dataclass(frozen=True, eq=False)
class SeriesAnalysis:
    """Result of `analyse_temperature_series`.

    Attributes:
        table: Columns by name, all (n,): temperature_K, and each quantity with its error; NaN where not found.
        laws: Fitted laws by quantity ("peak_eV", "fwhm_eV", "intensity").
        branches: Heating against cooling by quantity, where both were given.
        refused: Why a law is missing, by quantity.
        notes: What a reader must know.
    """

    table: Mapping[str, Floats]
    laws: Mapping[str, LawFit]
    branches: Mapping[str, BranchComparison]
    refused: Mapping[str, str]
    notes: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """The numbers to store with the uids of the runs; plain JSON values, None for NaN."""
        return {
            "table": {
                name: [None if np.isnan(value) else float(value) for value in column]
                for name, column in self.table.items()
            },
            "laws": {name: law.record() for name, law in self.laws.items()},
            "branches_agree": {name: comparison.agree for name, comparison in self.branches.items()},
            "refused": dict(self.refused),
            "notes": list(self.notes),
        }


def analyse_temperature_series(
    temperatures_K: ArrayLike,
    *,
    peak_eV: Measured | None = None,
    fwhm_eV: Measured | None = None,
    intensity: Measured | None = None,
    lifetime_ns: Measured | None = None,
    branch: Sequence[str] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> SeriesAnalysis:
    """Table and laws of a temperature series.

    Each quantity is (values, standard errors), both (n,); NaN where the line was not found. Lifetimes are tabulated
    only. Where heating and cooling of a quantity differ, no law is fitted to their mixture: give one branch.

    Args:
        temperatures_K: Temperatures of the sample sensor, (n,).
        peak_eV: Peak energies.
        fwhm_eV: Line widths.
        intensity: Integrated intensities at constant excitation.
        lifetime_ns: Lifetimes.
        branch: "heating" or "cooling" for each temperature; None if there is one branch.
        options: Arguments of the fit functions by quantity, such as {"peak_eV": {"model": "bic"}}.

    Raises:
        AnalysisError: NaN temperatures, wrong shapes, an unknown branch, no quantity, or wrong options.
    """
    T = finite_array("temperatures_K", temperatures_K, 1)
    given = {"peak_eV": peak_eV, "fwhm_eV": fwhm_eV, "intensity": intensity, "lifetime_ns": lifetime_ns}
    columns = {name: _columns(name, T, data) for name, data in given.items() if data is not None}
    if not columns:
        raise AnalysisError("Give at least one of peak_eV, fwhm_eV, intensity, lifetime_ns.")
    if (T < 0).any():
        raise AnalysisError(f"temperatures_K must not be below 0 K, but the lowest is {T.min():g}; give kelvin.")
    if unknown := set(options or {}) - set(_FITS):
        raise AnalysisError(f"options names {', '.join(sorted(unknown))}, but laws are of {', '.join(_FITS)}.")
    heating = _heating(branch, T)
    table = {"temperature_K": T}
    laws: dict[str, LawFit] = {}
    branches: dict[str, BranchComparison] = {}
    refused: dict[str, str] = {}
    notes: list[str] = []
    for name, (values, errors) in columns.items():
        table |= {name: values, f"{name}_err": errors}
        found = np.isfinite(values) & np.isfinite(errors)
        if not found.all():
            notes.append(f"{name} was not found at {', '.join(f'{t:g}' for t in T[~found])} K")
        arguments = (T[found], values[found], errors[found])
        try:
            if not found.any():
                raise FitError("it was not found at any temperature")
            if heating is not None:
                branches[name] = _compare(arguments, heating[found], _floor(name, values[found]))
                notes += [f"{name}: {note}" for note in branches[name].notes]
                if not branches[name].agree:
                    raise FitError("heating and cooling differ; give one branch")
            if name in _FITS:
                laws[name] = _FITS[name](*arguments, **(options or {}).get(name, {}))
        except FitError as error:
            refused[name] = str(error)
            notes.append(f"no law for {name}: {error}")
    return SeriesAnalysis(table, laws, branches, refused, tuple(notes))


_FITS = {"peak_eV": fit_energy_law, "fwhm_eV": fit_width_law, "intensity": fit_intensity_law}


def _columns(name: str, T: Floats, data: Measured) -> tuple[Floats, Floats]:
    if len(data) != 2:
        raise AnalysisError(f"{name} must be a pair: values and their standard errors.")
    values, errors = (np.asarray(part, dtype=np.float64) for part in data)
    if values.shape != T.shape or errors.shape != T.shape:
        raise AnalysisError(
            f"{name} has shapes {values.shape} and {errors.shape}, but there are {T.size} temperatures; "
            "give one value and one error each (NaN where not found)."
        )
    return values, errors


def _heating(branch: Sequence[str] | None, T: Floats) -> NDArray[np.bool_] | None:
    if branch is None:
        return None
    names = np.asarray(branch)
    if names.shape != T.shape or not np.isin(names, ("heating", "cooling")).all():
        raise AnalysisError(f"branch must say 'heating' or 'cooling' for each of the {T.size} temperatures.")
    return names == "heating" if len(set(names.tolist())) == 2 else None


def _compare(data: tuple[Floats, Floats, Floats], heating: NDArray[np.bool_], floor: float) -> BranchComparison:
    up, down = ([part[chosen] for part in data] for chosen in (heating, ~heating))
    return compare_branches(*up, *down, floor=floor)


def _floor(name: str, values: Floats) -> float:
    """The floor of the fit of that quantity, in its unit."""
    absolute = {"peak_eV": ENERGY_FLOOR_EV, "fwhm_eV": WIDTH_FLOOR_EV}
    relative = {"intensity": INTENSITY_FLOOR, "lifetime_ns": LIFETIME_FLOOR}
    return absolute[name] if name in absolute else relative[name] * float(np.median(values))
