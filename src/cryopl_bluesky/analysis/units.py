"""Constants (CODATA 2018, exact in the SI) and the conversion between wavelength and photon energy."""

from __future__ import annotations

from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._checks import AnalysisError, finite_array

PLANCK_J_S = 6.62607015e-34
LIGHT_M_S = 299792458.0
ELEMENTARY_CHARGE_C = 1.602176634e-19
BOLTZMANN_J_K = 1.380649e-23

HC_EV_NM = PLANCK_J_S * LIGHT_M_S / ELEMENTARY_CHARGE_C * 1e9
"""h c in eV nm: 1239.841984..."""

K_B_EV_K = BOLTZMANN_J_K / ELEMENTARY_CHARGE_C
"""Boltzmann's constant in eV/K: 8.617333262e-5."""

FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))
"""Full width at half maximum of a Gaussian in units of its standard deviation: 2.35482."""


@overload
def nm_to_eV(wavelength_nm: float) -> float: ...
@overload
def nm_to_eV(wavelength_nm: ArrayLike) -> NDArray[np.float64] | float: ...
def nm_to_eV(wavelength_nm: ArrayLike) -> NDArray[np.float64] | float:
    """Photon energy in eV of a vacuum wavelength in nm (scalar in, scalar out).

    Spectrograph axes are usually calibrated in air; 525 nm in air is 0.66 meV lower in energy than
    525 nm in vacuum. No conversion is made here.

    Raises:
        AnalysisError: A wavelength is not finite or not above zero.
    """
    return _invert("wavelength_nm", wavelength_nm)


@overload
def eV_to_nm(energy_eV: float) -> float: ...
@overload
def eV_to_nm(energy_eV: ArrayLike) -> NDArray[np.float64] | float: ...
def eV_to_nm(energy_eV: ArrayLike) -> NDArray[np.float64] | float:
    """Vacuum wavelength in nm of a photon energy in eV (scalar in, scalar out).

    Raises:
        AnalysisError: An energy is not finite or not above zero.
    """
    return _invert("energy_eV", energy_eV)


def _invert(name: str, values: ArrayLike) -> NDArray[np.float64] | float:
    array = finite_array(name, values)
    if (array <= 0).any():
        raise AnalysisError(f"{name} must be above zero, but the smallest value is {array.min():g}.")
    result = HC_EV_NM / array
    return float(result) if result.ndim == 0 else result


def interval_nm_to_eV(wavelength_nm: float, width_nm: float) -> float:
    """Width in eV of a small wavelength interval `width_nm` at `wavelength_nm`: hc dlambda/lambda^2."""
    return HC_EV_NM * width_nm / wavelength_nm**2
