"""The named laws of energy, width and intensity against temperature, with the limits of their parameters."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import nnls

from ._checks import Floats
from ._laws import Law, Parameter
from .temperature import (
    expansion_one_oscillator_eV,
    line_width_eV,
    mccumber_sturge_eV,
    odonnell_chen_eV,
    one_oscillator_eV,
    thermal_quenching,
    two_oscillators_eV,
    varshni_eV,
)
from .units import K_B_EV_K

RISING = "sign: A above zero means that the energy rises with temperature (lead halide perovskites)"
FALLING_LAWS = ("varshni", "odonnell_chen")
"""Laws that can only describe an energy that falls with temperature."""


def _linear(name: str, lower: float = -np.inf) -> Parameter:
    return Parameter(name, lower, linear=True)


def _mode(name: str) -> Parameter:
    """Energy of a phonon: from below any optical one to above any host's (times a few)."""
    return Parameter(name, 5e-4, 0.3, logarithmic=True, searched=True)


ENERGY_LAWS: dict[str, Law] = {
    law.name: law
    for law in (
        Law(
            "varshni",
            "E0 - alpha T^2/(T + beta)",
            varshni_eV,
            (
                _linear("E0_eV"),
                _linear("alpha_eV_K", 0.0),
                Parameter("beta_K", 1.0, 1e4, logarithmic=True, searched=True),
            ),
            remark="sign: alpha above zero means that the energy falls with temperature",
        ),
        Law(
            "odonnell_chen",
            "E0 - S hw (coth(hw/2kT) - 1)",
            odonnell_chen_eV,
            (_linear("E0_eV"), _linear("S", 0.0), _mode("hw_eV")),
            remark="sign: S above zero means that the energy falls with temperature",
        ),
        Law(
            "one_oscillator",
            "E0 + A (2 n(hw) + 1)",
            one_oscillator_eV,
            (_linear("E0_eV"), _linear("A_eV"), _mode("hw_eV")),
            remark=RISING,
        ),
        Law(
            "expansion_one_oscillator",
            "E0 + A_TE T + 2 A_EP n(hw)",
            expansion_one_oscillator_eV,
            (_linear("E0_eV"), _linear("A_TE_eV_K"), _linear("A_EP_eV"), _mode("hw_eV")),
            remark=RISING.replace("A above", "A_TE or A_EP above"),
        ),
        Law(
            "two_oscillators",
            "E0 + A1 (2 n(hw1) + 1) + A2 (2 n(hw2) + 1)",
            two_oscillators_eV,
            (_linear("E0_eV"), _linear("A1_eV"), _mode("hw1_eV"), _linear("A2_eV"), _mode("hw2_eV")),
            ordered=("hw1_eV", "hw2_eV"),
            remark=RISING.replace("A above", "A1 or A2 above"),
        ),
        Law(
            "mccumber_sturge",
            "E0 + alpha (T/TD)^4 int_0^{TD/T} x^3/(e^x - 1) dx",
            mccumber_sturge_eV,
            (
                _linear("E0_eV"),
                _linear("alpha_eV"),
                Parameter("debye_K", 20.0, 5000.0, logarithmic=True, searched=True),
            ),
            remark="sign: alpha below zero means that the energy falls with temperature (most impurity lines)",
        ),
    )
}

WIDTH_LAW = Law(
    "line_width",
    "G0 + sigma_ac T + g_LO n(E_LO)",
    line_width_eV,
    (_linear("G0_eV", 0.0), _linear("sigma_ac_eV_K"), _linear("g_LO_eV", 0.0), _mode("E_LO_eV")),
)


def _one_channel(temperature_K: ArrayLike, I0: float, a1: float, Ea1_eV: float) -> Floats:
    return thermal_quenching(temperature_K, I0, a1, Ea1_eV)


def _two_channels(temperature_K: ArrayLike, I0: float, a1: float, Ea1_eV: float, a2: float, Ea2_eV: float) -> Floats:
    return thermal_quenching(temperature_K, I0, (a1, a2), (Ea1_eV, Ea2_eV))


def _quenching_start(x: Floats, y: Floats, sigma: Floats, searched: Mapping[str, float]) -> dict[str, float] | None:
    """1/I is linear in 1/I0 and a_i/I0, none of which may be negative."""
    kT = K_B_EV_K * np.maximum(x, 1e-3)
    bright = y > 0
    columns = np.stack([np.ones_like(x), *(np.exp(-energy / kT) for energy in searched.values())], axis=1)
    weight = np.where(bright, y**2 / sigma, 0.0)
    solution = nnls(columns * weight[:, None], weight / np.where(bright, y, 1.0))[0]
    if solution[0] <= 0:
        return None
    shares = np.clip(solution[1:] / solution[0], *WEIGHT_LIMITS)
    return {"I0": float(1.0 / solution[0])} | {f"a{i + 1}": float(a) for i, a in enumerate(shares)}


WEIGHT_LIMITS = (1e-6, 1e12)
_INTENSITY = Parameter("I0", 1e-30, 1e30, logarithmic=True)


def _channel(number: int) -> tuple[Parameter, Parameter]:
    return (
        Parameter(f"a{number}", *WEIGHT_LIMITS, logarithmic=True),
        Parameter(f"Ea{number}_eV", 5e-4, 1.5, logarithmic=True, searched=True),
    )


QUENCHING_LAWS: dict[int, Law] = {
    1: Law(
        "quenching_1",
        "I0/(1 + a1 exp(-Ea1/kT))",
        _one_channel,
        (_INTENSITY, *_channel(1)),
        solve=_quenching_start,
        remark="valid at constant excitation and collection only",
    ),
    2: Law(
        "quenching_2",
        "I0/(1 + a1 exp(-Ea1/kT) + a2 exp(-Ea2/kT))",
        _two_channels,
        (_INTENSITY, *_channel(1), *_channel(2)),
        ordered=("Ea1_eV", "Ea2_eV"),
        solve=_quenching_start,
        remark="valid at constant excitation and collection only",
    ),
}
