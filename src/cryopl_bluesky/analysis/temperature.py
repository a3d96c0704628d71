"""Closed forms of line energy, line width and intensity against temperature.

Sources: the table of formulas in the project's analysis notes (Varshni 1967, O'Donnell and Chen 1991,
McCumber and Sturge 1963; thermal expansion plus one oscillator as used for lead halide perovskites).
Fits of them to measured series: `temperature_fits`.

Sign convention: the coupling A_EP (and A of the oscillators) is above zero when the gap *rises* with temperature,
as in lead halide perovskites. Varshni and O'Donnell-Chen are written for gaps that fall: alpha and S above zero.

Energies in eV, temperatures in K. All functions accept T = 0, scalars and arrays.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ._checks import AnalysisError, Floats, finite_array, positive
from .units import K_B_EV_K

_INTEGRAND_ENDS = 60.0
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(60)


def bose_einstein(energy_eV: float, temperature_K: ArrayLike) -> Floats:
    """Occupation n = 1/(exp(E/kT) - 1) of a mode of `energy_eV`; 0 at T = 0.

    Raises:
        AnalysisError: Energy not above zero, or a temperature below zero.
    """
    positive("energy_eV", energy_eV)
    ratio = _over_kT(energy_eV, temperature_K)
    # exp(-x)/(1 - exp(-x)) neither overflows at low temperature nor cancels at high temperature.
    return np.exp(-ratio) / -np.expm1(-ratio)


def varshni_eV(temperature_K: ArrayLike, E0_eV: float, alpha_eV_K: float, beta_K: float) -> Floats:
    """Varshni: E0 - alpha T^2/(T + beta), for gaps that fall with temperature."""
    T = _temperatures(temperature_K)
    return E0_eV - alpha_eV_K * T**2 / (T + positive("beta_K", beta_K))


def odonnell_chen_eV(temperature_K: ArrayLike, E0_eV: float, S: float, hw_eV: float) -> Floats:
    """O'Donnell-Chen: E0 - S hw (coth(hw/2kT) - 1), equal to E0 - 2 S hw n(hw)."""
    return E0_eV - 2.0 * S * hw_eV * bose_einstein(hw_eV, temperature_K)


def expansion_one_oscillator_eV(
    temperature_K: ArrayLike, E0_eV: float, A_TE_eV_K: float, A_EP_eV: float, hw_eV: float
) -> Floats:
    """Thermal expansion plus one oscillator: E0 + A_TE T + 2 A_EP n(hw), for lead halides.

    Their gap *rises* with temperature; A_EP is above zero for the bromide.
    """
    return (
        E0_eV + A_TE_eV_K * _temperatures(temperature_K) + 2.0 * A_EP_eV * bose_einstein(hw_eV, temperature_K)
    )


def one_oscillator_eV(temperature_K: ArrayLike, E0_eV: float, A_eV: float, hw_eV: float) -> Floats:
    """One oscillator (Bose-Einstein): E0 + A (2 n(hw) + 1); the gap rises with temperature for A above zero."""
    return E0_eV + A_eV * (2.0 * bose_einstein(hw_eV, temperature_K) + 1.0)


def two_oscillators_eV(
    temperature_K: ArrayLike, E0_eV: float, A1_eV: float, hw1_eV: float, A2_eV: float, hw2_eV: float
) -> Floats:
    """Two oscillators: E0 + A1 (2 n1 + 1) + A2 (2 n2 + 1)."""
    first = A1_eV * (2.0 * bose_einstein(hw1_eV, temperature_K) + 1.0)
    second = A2_eV * (2.0 * bose_einstein(hw2_eV, temperature_K) + 1.0)
    return E0_eV + first + second


def line_width_eV(
    temperature_K: ArrayLike, G0_eV: float, sigma_ac_eV_K: float, g_LO_eV: float, E_LO_eV: float
) -> Floats:
    """Line width (FWHM): G0 + sigma_ac T + g_LO n(E_LO).

    sigma_ac is not determined by data next to g_LO: fix it in a fit.
    """
    return (
        G0_eV + sigma_ac_eV_K * _temperatures(temperature_K) + g_LO_eV * bose_einstein(E_LO_eV, temperature_K)
    )


def thermal_quenching(
    temperature_K: ArrayLike, I0: float, a: float | Sequence[float], Ea_eV: float | Sequence[float]
) -> Floats:
    """Arrhenius quenching: I0/(1 + sum_i a_i exp(-E_i/kT)), at constant excitation.

    Args:
        temperature_K: Temperatures.
        I0: Intensity without quenching, any unit.
        a: Weight of each channel.
        Ea_eV: Activation energy of each channel, as many as `a`.

    Raises:
        AnalysisError: `a` and `Ea_eV` differ in length.
    """
    weights, energies = np.atleast_1d(a), np.atleast_1d(Ea_eV)
    if weights.shape != energies.shape:
        raise AnalysisError(
            f"a has {weights.size} channels and Ea_eV {energies.size}; give one energy per weight."
        )
    total = sum(
        w * np.exp(-_over_kT(float(E), temperature_K)) for w, E in zip(weights, energies, strict=True)
    )
    return np.asarray(I0 / (1.0 + total))


def mccumber_sturge_integral(temperature_K: ArrayLike, debye_K: float) -> Floats:
    """(T/TD)^4 times the integral of x^3/(e^x - 1) from 0 to TD/T; dimensionless."""
    T = _temperatures(temperature_K)[..., None]
    warm = np.where(T > 0, T, 1.0)
    # Beyond x = 60 the integrand is below 1e-20; a far upper limit would make the nodes miss the hump.
    upper = np.minimum(positive("debye_K", debye_K) / warm, _INTEGRAND_ENDS)
    x = 0.5 * upper * (1.0 + _NODES)
    integral = 0.5 * upper[..., 0] * (x**3 * np.exp(-x) / -np.expm1(-x) @ _WEIGHTS)
    return np.where(T[..., 0] > 0, (T[..., 0] / debye_K) ** 4 * integral, 0.0)


def mccumber_sturge_eV(temperature_K: ArrayLike, E0_eV: float, alpha_eV: float, debye_K: float) -> Floats:
    """Sharp impurity lines: E0 + alpha (T/TD)^4 int_0^{TD/T} x^3/(e^x - 1) dx."""
    return E0_eV + alpha_eV * mccumber_sturge_integral(temperature_K, debye_K)


def ruby_R1_per_cm(temperature_K: ArrayLike) -> Floats:
    """Wavenumber of ruby's R1 line in vacuum, in 1/cm: the temperature of a chip of ruby beside the sample.

    14423 + 4.49e-2 T - 4.81e-4 T^2 + 3.71e-7 T^3 (Ragan, Gustavsen and Schiferl 1992), for 15 to 600 K.
    """
    T = _temperatures(temperature_K)
    return 14423.0 + T * (4.49e-2 + T * (-4.81e-4 + T * 3.71e-7))


def _temperatures(temperature_K: ArrayLike) -> Floats:
    T = finite_array("temperature_K", temperature_K)
    if (T < 0).any():
        raise AnalysisError(
            f"temperature_K must not be below 0 K, but the lowest is {T.min():g}; give kelvin."
        )
    return T


def _over_kT(energy_eV: float, temperature_K: ArrayLike) -> Floats:
    T = _temperatures(temperature_K)
    with np.errstate(divide="ignore"):
        return np.where(T > 0, energy_eV / (K_B_EV_K * np.where(T > 0, T, 1.0)), np.inf)
