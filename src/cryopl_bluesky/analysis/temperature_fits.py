"""Fits of the laws of line energy, line width and intensity against temperature.

Points are weighted by their fit errors and a systematic floor in quadrature. What is known about the temperature
enters too: an error per point (through the slope of the law), or a constant offset between sensor and sample (a
nuisance parameter which widens all errors). Fixed parameters are held; parameters known with an error are fitted
with that constraint.

Sign convention: in lead halide perovskites the gap *rises* with temperature: A_EP, A and A_TE are above zero. Varshni
and O'Donnell-Chen describe gaps that fall; on rising data they are refused.

    >>> from cryopl_bluesky.analysis.temperature import expansion_one_oscillator_eV
    >>> T = np.linspace(5.6, 294, 15)
    >>> peak = expansion_one_oscillator_eV(T, 2.345, 1.2e-4, 0.012, 0.02)
    >>> peak = peak + np.random.default_rng(1).normal(0, 1e-4, 15)
    >>> fit = fit_energy_law(T, peak, np.full(15, 1e-4), floor_eV=0.0)
    >>> fit.good, abs(fit.values["A_EP_eV"] - 0.012) < 3 * fit.errors["A_EP_eV"]
    (True, True)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ._checks import AnalysisError, FitError, Floats, finite_array
from ._law_fit import LawFit
from ._law_problem import SENSOR_OFFSET
from ._law_series import choose_by_bic, fit_series, not_negative, rising_slope, series
from ._laws import Law
from ._temperature_laws import ENERGY_LAWS, FALLING_LAWS, QUENCHING_LAWS, WIDTH_LAW

__all__ = [
    "ENERGY_FLOOR_EV",
    "INTENSITY_FLOOR",
    "SIGMA_AC_EV_K",
    "WIDTH_FLOOR_EV",
    "LawFit",
    "fit_energy_law",
    "fit_intensity_law",
    "fit_width_law",
]

ENERGY_FLOOR_EV = 1e-4
"""Setting: what calibration and line shape leave of a peak energy, however many photons there are."""
WIDTH_FLOOR_EV = 2e-4
"""Setting: the same of a line width."""
INTENSITY_FLOOR = 0.02
"""Setting: relative; laser power and collection from one temperature to the next."""
SIGMA_AC_EV_K = 8e-6
"""Setting: acoustic part of the width. Data do not determine it next to g_LO: it is held unless you say otherwise."""
BIC_CANDIDATES = ("varshni", "one_oscillator", "expansion_one_oscillator", "two_oscillators")
"""Compared by `model="bic"`; O'Donnell-Chen is the one oscillator in other words."""


def fit_energy_law(
    temperatures_K: ArrayLike,
    energies_eV: ArrayLike,
    errors_eV: ArrayLike,
    *,
    model: str = "expansion_one_oscillator",
    candidates: Sequence[str] = BIC_CANDIDATES,
    floor_eV: float = ENERGY_FLOOR_EV,
    temperature_err_K: ArrayLike | None = None,
    sensor_offset_err_K: float = 0.0,
    fixed: Mapping[str, float] | None = None,
    known: Mapping[str, tuple[float, float]] | None = None,
) -> LawFit:
    """Fit a law of line energy against temperature.

    Args:
        temperatures_K: Temperatures of the sample sensor, (n,).
        energies_eV: Peak energies, (n,).
        errors_eV: Standard errors of the line fits, above zero, (n,).
        model: "varshni", "odonnell_chen", "one_oscillator", "expansion_one_oscillator", "two_oscillators",
            "mccumber_sturge", or "bic": the candidate with the lowest Bayesian information criterion.
        candidates: Laws that "bic" compares.
        floor_eV: Systematic floor, added to the errors in quadrature.
        temperature_err_K: Independent error of the temperatures, a number or (n,).
        sensor_offset_err_K: Standard error of a constant offset between sensor and sample.
        fixed: Parameters to hold, by name.
        known: Parameters known from elsewhere, by name: (value, standard error).

    Returns:
        The fit; look at `good` and `notes` before quoting a parameter.

    Raises:
        AnalysisError: NaN, wrong shapes, negative temperatures, errors not above zero, unknown names.
        FitError: Too few points, a law for falling gaps on rising data, a parameter that ran to its limit, no
            curvature, or no convergence.
    """
    floor = not_negative("floor_eV", floor_eV)
    T, E, sigma = series("temperatures_K", temperatures_K, "energies_eV", energies_eV, "errors_eV", errors_eV)
    sigma = np.hypot(sigma, floor)
    method = f"weighted least squares, floor {floor * 1e3:g} meV"

    def fit(name: str) -> LawFit:
        if name not in ENERGY_LAWS:
            raise AnalysisError(f"There is no law {name!r}; choose one of {', '.join(ENERGY_LAWS)}, or 'bic'.")
        slope = rising_slope(T, E, sigma) if name in FALLING_LAWS else None
        if slope is not None:
            raise FitError(
                f"energies_eV rise with temperature ({slope * 1e3:+.3g} meV/K), but {name} describes gaps that fall. "
                "The gap of lead halide perovskites rises: use model='expansion_one_oscillator' (A_EP above zero)."
            )
        return _fit(
            ENERGY_LAWS[name], T, E, sigma, method, temperature_err_K, sensor_offset_err_K, fixed or {}, known or {}
        )

    if model == "bic":
        return choose_by_bic(candidates, fit)
    return fit(model)


def fit_width_law(
    temperatures_K: ArrayLike,
    widths_eV: ArrayLike,
    errors_eV: ArrayLike,
    *,
    floor_eV: float = WIDTH_FLOOR_EV,
    temperature_err_K: ArrayLike | None = None,
    sensor_offset_err_K: float = 0.0,
    fixed: Mapping[str, float] | None = None,
    known: Mapping[str, tuple[float, float]] | None = None,
) -> LawFit:
    """Fit the line width (FWHM) G0 + sigma_ac T + g_LO n(E_LO): inhomogeneous, acoustic and optical phonons.

    sigma_ac is held at `SIGMA_AC_EV_K` unless `fixed` or `known` names it; `fixed={}` frees it.

    Args:
        temperatures_K: As in `fit_energy_law`, as are all that are not named here.
        widths_eV: Full widths at half maximum, instrument width removed, (n,).
        errors_eV: Their standard errors, above zero, (n,).
        floor_eV: Systematic floor, added to the errors in quadrature.
        temperature_err_K: As in `fit_energy_law`.
        sensor_offset_err_K: As in `fit_energy_law`.
        fixed: Parameters to hold, by name.
        known: Parameters known from elsewhere, by name: (value, standard error).

    Raises:
        AnalysisError: As `fit_energy_law`, or a width that is not above zero.
        FitError: As `fit_energy_law`.
    """
    floor = not_negative("floor_eV", floor_eV)
    T, width, sigma = series("temperatures_K", temperatures_K, "widths_eV", widths_eV, "errors_eV", errors_eV)
    if (width <= 0).any():
        raise AnalysisError(f"widths_eV holds {width.min():g} but a width is above zero; leave that point out.")
    if fixed is None:
        fixed = {} if known and "sigma_ac_eV_K" in known else {"sigma_ac_eV_K": SIGMA_AC_EV_K}
    sigma = np.hypot(sigma, floor)
    method = f"weighted least squares, floor {floor * 1e3:g} meV"
    return _fit(WIDTH_LAW, T, width, sigma, method, temperature_err_K, sensor_offset_err_K, fixed, known or {})


def fit_intensity_law(
    temperatures_K: ArrayLike,
    intensities: ArrayLike,
    errors: ArrayLike,
    *,
    channels: int | str = 1,
    relative_floor: float = INTENSITY_FLOOR,
    temperature_err_K: ArrayLike | None = None,
    sensor_offset_err_K: float = 0.0,
    fixed: Mapping[str, float] | None = None,
    known: Mapping[str, tuple[float, float]] | None = None,
) -> LawFit:
    """Fit Arrhenius quenching I0/(1 + sum a_i exp(-Ea_i/kT)) of the integrated intensity.

    Args:
        temperatures_K: As in `fit_energy_law`, as are all that are not named here.
        intensities: Integrated line intensities at constant excitation, any unit, (n,).
        errors: Their standard errors, above zero, (n,).
        channels: 1, 2, or "bic".
        relative_floor: Systematic floor as a share of each intensity, added in quadrature.
        temperature_err_K: As in `fit_energy_law`.
        sensor_offset_err_K: As in `fit_energy_law`.
        fixed: Parameters to hold: I0, a1, Ea1_eV, a2, Ea2_eV.
        known: Parameters known from elsewhere, by name: (value, standard error).

    Raises:
        AnalysisError: As `fit_energy_law`, or no positive intensity.
        FitError: As `fit_energy_law`.
    """
    share = not_negative("relative_floor", relative_floor)
    y = finite_array("intensities", intensities, 1)
    if (y <= 0).any():
        raise AnalysisError(
            f"intensities holds {y.min():g} at index {int(y.argmin())}, but the law is above zero; "
            "leave out temperatures where no line was found."
        )
    T, y, own = series("temperatures_K", temperatures_K, "intensities", y, "errors", errors)
    method = f"weighted least squares, relative floor {share:g}"

    def fit(number: str) -> LawFit:
        law = QUENCHING_LAWS[int(number)]
        arguments = (method, temperature_err_K, sensor_offset_err_K, fixed or {}, known or {})
        first = _fit(law, T, y, np.hypot(own, share * y), *arguments)
        # the floor follows the smooth curve, not the points: else a low point weighs more than a high one
        return _fit(law, T, y, np.hypot(own, share * first.expected), *arguments)

    if channels == "bic":
        return choose_by_bic(("1", "2"), fit)
    if channels not in (1, 2):
        raise AnalysisError(f"channels is {channels!r}; choose 1, 2 or 'bic'.")
    return fit(str(channels))


def _fit(
    law: Law,
    T: Floats,
    y: Floats,
    sigma: Floats,
    method: str,
    temperature_err_K: ArrayLike | None,
    sensor_offset_err_K: float,
    fixed: Mapping[str, float],
    known: Mapping[str, tuple[float, float]],
) -> LawFit:
    """Check what concerns temperatures, and fit."""
    if (T < 0).any():
        raise AnalysisError(f"temperatures_K must not be below 0 K, but the lowest is {T.min():g}; give kelvin.")
    offset = not_negative("sensor_offset_err_K", sensor_offset_err_K)
    constraints = {**known, SENSOR_OFFSET: (0.0, offset)} if offset else dict(known)
    x_err = None
    if temperature_err_K is not None:
        given = finite_array("temperature_err_K", temperature_err_K)
        if given.shape not in ((), T.shape):
            raise AnalysisError(f"temperature_err_K has shape {given.shape}; give one number or {T.size}.")
        x_err = np.broadcast_to(given, T.shape)
        if (x_err < 0).any():
            raise AnalysisError(f"temperature_err_K holds {x_err.min():g} but errors are not negative.")
        method += ", temperature errors through the slope"
    return fit_series(law, T, y, sigma, method, x_err=x_err, fixed=fixed, known=constraints)
