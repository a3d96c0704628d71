"""Lifetime against photon energy across a line: the law that energy funnelling would give.

tau(E) = tau_r/(1 + exp((E - E_m)/E_0)): emitters at high energy lose their excitation to lower ones and decay faster.
All results are called *apparent*: self-absorption, bleaching and two sub-populations make the lifetime depend on
the wavelength as well, and nothing in the law tells them apart.

    >>> E = np.linspace(2.33, 2.38, 9)
    >>> fit = fit_apparent_lifetime(E, apparent_lifetime_ns(E, 0.8, 2.355, 0.02), np.full(9, 0.01))
    >>> round(fit.values["E_m_eV"], 3)
    2.355
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from ._checks import AnalysisError, FitError, Floats, finite_array, positive
from ._law_fit import LawFit
from ._law_series import fit_series, not_negative, rising_slope, series
from ._laws import Law, Parameter

__all__ = ["APPARENT", "LIFETIME_FLOOR", "apparent_lifetime_ns", "fit_apparent_lifetime"]

LIFETIME_FLOOR = 0.02
"""Setting: relative; what the instrument response leaves of a lifetime, however many photons there are."""
APPARENT = (
    "apparent: self-absorption, bleaching or two sub-populations also make the lifetime depend on the photon energy"
)


def apparent_lifetime_ns(photon_energy_eV: ArrayLike, tau_r_ns: float, E_m_eV: float, E_0_eV: float) -> Floats:
    """tau_r/(1 + exp((E - E_m)/E_0)) in ns; the blue side is faster (analysis notes, section 7).

    Args:
        photon_energy_eV: Photon energies, any shape.
        tau_r_ns: Lifetime far to the red.
        E_m_eV: Energy at which the lifetime is halved ("mobility edge").
        E_0_eV: Width of the tail of states.

    Raises:
        AnalysisError: NaN, or a parameter that is not above zero.
    """
    energy = finite_array("photon_energy_eV", photon_energy_eV)
    return _apparent(energy, positive("tau_r_ns", tau_r_ns), E_m_eV, positive("E_0_eV", E_0_eV))


def _apparent(energy_eV: Floats, tau_r_ns: float, E_m_eV: float, E_0_eV: float) -> Floats:
    return tau_r_ns * expit((E_m_eV - energy_eV) / E_0_eV)


def fit_apparent_lifetime(
    photon_energies_eV: ArrayLike,
    lifetimes_ns: ArrayLike,
    errors_ns: ArrayLike,
    *,
    relative_floor: float = LIFETIME_FLOOR,
    fixed: Mapping[str, float] | None = None,
    known: Mapping[str, tuple[float, float]] | None = None,
) -> LawFit:
    """Fit tau_r/(1 + exp((E - E_m)/E_0)) to lifetimes across a line.

    Args:
        photon_energies_eV: Photon energies, (n,).
        lifetimes_ns: Lifetimes of one kind (all amplitude- or all intensity-weighted), above zero, (n,).
        errors_ns: Their standard errors, above zero, (n,).
        relative_floor: Systematic floor as a share of the lifetime, added in quadrature.
        fixed: Parameters to hold: tau_r_ns, E_m_eV, E_0_eV.
        known: Parameters known from elsewhere, by name: (value, standard error).

    Raises:
        AnalysisError: NaN, wrong shapes, a lifetime or an error that is not above zero, unknown names.
        FitError: Too few points, lifetimes that rise towards the blue, a parameter that ran to its limit, no
            curvature, or no convergence.
    """
    names = ("photon_energies_eV", "lifetimes_ns", "errors_ns")
    E, tau, own = series(names[0], photon_energies_eV, names[1], lifetimes_ns, names[2], errors_ns)
    if (tau <= 0).any():
        raise AnalysisError(f"lifetimes_ns holds {tau.min():g} but a lifetime is above zero; leave that point out.")
    share = not_negative("relative_floor", relative_floor)
    slope = rising_slope(E, tau, np.hypot(own, share * tau))
    if slope is not None:
        raise FitError(
            f"lifetimes_ns rise towards the blue ({slope * 1e-3:+.3g} ns/meV): that is not funnelling, and this law "
            "cannot describe it. Check that axis and lifetimes are in the same order; consider bleaching."
        )
    law, method = _law(E, tau), f"weighted least squares, relative floor {share:g}"
    constraints = {"fixed": fixed or {}, "known": known or {}}
    first = fit_series(law, E, tau, np.hypot(own, share * tau), method, **constraints)
    # the floor follows the smooth curve, not the points: else a low point weighs more than a high one
    return fit_series(law, E, tau, np.hypot(own, share * first.expected), method, **constraints)


def _law(E: Floats, tau: Floats) -> Law:
    """The law with limits from the range of the data: beyond them the data show one end of the curve only."""
    span = max(float(np.ptp(E)), 1e-3)
    return Law(
        "apparent_lifetime",
        "tau_r/(1 + exp((E - E_m)/E_0))",
        _apparent,
        (
            Parameter("tau_r_ns", 1e-3 * float(tau.max()), 1e3 * float(tau.max()), linear=True),
            Parameter("E_m_eV", float(E.min()) - 3.0 * span, float(E.max()) + 3.0 * span, searched=True),
            Parameter("E_0_eV", 1e-2 * span, 1e2 * span, logarithmic=True, searched=True),
        ),
        remark=APPARENT,
    )
