"""Wavelengths in air and in vacuum.

Lamp calibrations are usually in air, photon energies need vacuum wavelengths. At 525 nm the difference is 0.146 nm or
0.66 meV, more than most statistical errors of a peak. Nothing is converted unless it is asked for; results say which.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from ._checks import AnalysisError, Floats, finite_array

Medium = Literal["air, not converted", "air", "vacuum"]
"""What a wavelength axis holds: "air" is converted to vacuum where photon energies are made, the others are not."""

_RANGE_NM = (230.0, 1690.0)


def n_air(vacuum_nm: ArrayLike) -> Floats:
    """Refractive index of standard air (15 degC, 101325 Pa, dry, 450 ppm CO2).

    n - 1 = 0.05792105/(238.0185 - s^2) + 0.00167917/(57.362 - s^2), s = 1/wavelength in 1/um (Ciddor, Appl. Opt. 35,
    1566 (1996), equation 1). At 22 degC and 1013 hPa n - 1 is 2.4 % smaller: 3.5 pm at 525 nm.

    Args:
        vacuum_nm: Vacuum wavelengths, 230 to 1690 nm.

    Raises:
        AnalysisError: NaN, or outside of the range of the formula.
    """
    wavelength = finite_array("vacuum_nm", vacuum_nm)
    if wavelength.min() < _RANGE_NM[0] or wavelength.max() > _RANGE_NM[1]:
        raise AnalysisError(
            f"vacuum_nm runs from {wavelength.min():g} to {wavelength.max():g} nm, but the index of air is known from "
            f"{_RANGE_NM[0]:g} to {_RANGE_NM[1]:g} nm; is the axis in nm?"
        )
    s2 = (1e3 / wavelength) ** 2
    return 1.0 + 0.05792105 / (238.0185 - s2) + 0.00167917 / (57.362 - s2)


def vacuum_to_air_nm(vacuum_nm: ArrayLike) -> Floats:
    """Wavelengths in standard air of vacuum wavelengths, both in nm."""
    return finite_array("vacuum_nm", vacuum_nm) / n_air(vacuum_nm)


def air_to_vacuum_nm(air_nm: ArrayLike) -> Floats:
    """Vacuum wavelengths of wavelengths in standard air, both in nm (to 1e-9 nm)."""
    air = finite_array("air_nm", air_nm)
    vacuum = air * n_air(air)
    for _ in range(2):  # the index changes by 1e-8 over the shift: two rounds are exact
        vacuum = air * n_air(vacuum)
    return vacuum


def vacuum_axis_nm(wavelength_nm: ArrayLike, medium: Medium) -> Floats:
    """The axis from which photon energies are made: converted only if `medium` is "air".

    Raises:
        AnalysisError: An unknown medium.
    """
    if medium not in get_args(Medium):
        known = ", ".join(map(repr, get_args(Medium)))
        raise AnalysisError(f"wavelength_medium is {medium!r} but must be one of {known}.")
    axis = finite_array("wavelength_nm", wavelength_nm, 1)
    return air_to_vacuum_nm(axis) if medium == "air" else np.array(axis)
