"""Apparent lifetime against photon energy: tau(E) = tau_r/(1 + exp((E - E_m)/E_0)), from a map's rows.

It is the law of energy transfer down a tail of states (Gourdon and Lavallard 1989). The name says apparent because
self-absorption, bleaching and two sub-populations make lifetimes depend on the energy as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import curve_fit
from scipy.special import expit

from ._checks import AnalysisError, FitError, Floats, finite_array, same_shape

__all__ = ["ApparentLifetimeLaw", "apparent_lifetime_ns", "fit_apparent_lifetime"]

_MINIMUM_ROWS = 5
_CORRELATED = 0.98


@dataclass(frozen=True)
class ApparentLifetimeLaw:
    """Result of `fit_apparent_lifetime`.

    Attributes:
        tau_r_ns: Lifetime far on the red side.
        tau_r_err_ns: Its standard error.
        E_m_eV: Energy at which transfer is as fast as the decay.
        E_m_err_eV: Its standard error.
        E_0_eV: Width of the tail of states.
        E_0_err_eV: Its standard error.
        reduced_chi2: Of the weighted fit.
        rows: Rows used.
        method: How it was fitted.
        notes: What to mind.
    """

    tau_r_ns: float
    tau_r_err_ns: float
    E_m_eV: float
    E_m_err_eV: float
    E_0_eV: float
    E_0_err_eV: float
    reduced_chi2: float
    rows: int
    method: str
    notes: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether the scatter about the law is that of the errors, within four standard deviations."""
        return abs(self.reduced_chi2 - 1.0) <= 4.0 * np.sqrt(2.0 / (self.rows - 3))


def apparent_lifetime_ns(energy_eV: ArrayLike, tau_r_ns: float, E_m_eV: float, E_0_eV: float) -> Floats:
    """tau_r/(1 + exp((E - E_m)/E_0)), in ns."""
    return tau_r_ns * np.asarray(expit((E_m_eV - np.asarray(energy_eV, np.float64)) / E_0_eV))


def fit_apparent_lifetime(energy_eV: ArrayLike, tau_ns: ArrayLike, tau_err_ns: ArrayLike) -> ApparentLifetimeLaw:
    """Fit the law to lifetimes with errors; rows that a map refused (NaN) are left out.

    Args:
        energy_eV: Photon energies, (R,).
        tau_ns: Lifetimes, all the same average, (R,).
        tau_err_ns: Their standard errors, (R,).

    Raises:
        AnalysisError: Shapes that do not fit, errors not above zero, fewer than 5 rows.
        FitError: No convergence, or the rows do not show where the law bends.
    """
    energy = finite_array("energy_eV", energy_eV, 1)
    tau, error = np.asarray(tau_ns, np.float64), np.asarray(tau_err_ns, np.float64)
    same_shape("energy_eV", energy, "tau_ns", tau)
    same_shape("energy_eV", energy, "tau_err_ns", error)
    used = np.isfinite(tau) & np.isfinite(error)
    if used.sum() < _MINIMUM_ROWS:
        raise AnalysisError(f"Only {used.sum()} rows have a lifetime; the law needs {_MINIMUM_ROWS}.")
    if (error[used] <= 0.0).any() or (tau[used] <= 0.0).any():
        raise AnalysisError("tau_ns and tau_err_ns must be above zero; leave rows without a lifetime NaN.")
    E, y, s = energy[used], tau[used], error[used]
    start = (1.2 * float(y.max()), float(np.median(E)), 0.25 * float(np.ptp(E)))
    try:
        found, covariance = curve_fit(
            apparent_lifetime_ns, E, y, start, s, absolute_sigma=True, bounds=([0.0, 0.0, 1e-5], [np.inf, np.inf, 1.0])
        )
    except RuntimeError as trouble:
        raise FitError(f"The law did not converge ({trouble}); look at tau against energy first.") from trouble
    sigma = np.sqrt(np.diag(covariance))
    bends = E.min() <= found[1] <= E.max() and found[2] > 0.5 * float(np.median(np.diff(np.sort(E))))
    if not (bends and np.isfinite(sigma).all() and sigma[0] < found[0] and sigma[2] < found[2]):
        raise FitError("These rows do not show where the lifetime bends; measure a wider range of wavelengths.")
    reduced = float(np.sum(((y - apparent_lifetime_ns(E, *found)) / s) ** 2) / (E.size - 3))
    correlation = np.abs(covariance / np.outer(sigma, sigma) - np.eye(3)).max()
    law = ApparentLifetimeLaw(
        *(float(v) for pair in zip(found, sigma, strict=True) for v in pair),
        reduced_chi2=reduced,
        rows=int(E.size),
        method="tau_r/(1 + exp((E - E_m)/E_0)), least squares weighted with the errors of the rows",
        notes=(),
    )
    notes = []
    if correlation > _CORRELATED:
        notes.append(f"parameters are correlated by {correlation:.3f}: quote them together")
    if not law.good:
        notes.append(f"reduced chi2 {reduced:.2f}: the lifetimes do not follow this law within their errors")
    return replace(law, notes=tuple(notes))
