"""Laser power at the sample against the laser's setting: a monotone curve with errors, no extrapolation.

>>> curve = power_curve([300, 400, 500, 600], [1.0, 3.1, 6.0, 10.2], [0.05] * 4, repetition_rate_Hz=2.5e6)
>>> curve.power_uW(450).value_uW > 3.1
True
>>> curve.power_uW(700)
Traceback (most recent call last):
...
cryopl_bluesky.analysis._checks.AnalysisError: setting 700 is outside of the calibration, 300 to 600; measure there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import PchipInterpolator
from scipy.optimize import isotonic_regression

from .._checks import AnalysisError, Floats, count_array, finite_array, fraction, positive, same_shape
from ..optics import Fluence, fluence

FALLS_BY_SIGMA = 3.0
"""A power that falls by more than this with a rising setting is no curve of a laser."""


@dataclass(frozen=True)
class Power:
    """Average power at the sample.

    Attributes:
        value_uW: Power.
        err_uW: Its standard error, that of the meter included.
        pulse_energy_pJ: Energy of a pulse.
        pulse_energy_err_pJ: Its standard error.
    """

    value_uW: float
    err_uW: float
    pulse_energy_pJ: float
    pulse_energy_err_pJ: float


@dataclass(frozen=True, eq=False)
class PowerCurve:
    """Power against setting at one repetition rate.

    Attributes:
        setting: Settings (permille), rising, (n,).
        measured_uW: Readings, (n,).
        fitted_uW: Nearest curve that never falls, (n,).
        err_uW: Standard errors of the readings, without the meter's, (n,).
        meter_rel_err: Relative error of the meter, common to all points.
        repetition_rate_Hz: Laser rate.
        notes: What a reader must know.
    """

    setting: Floats
    measured_uW: Floats
    fitted_uW: Floats
    err_uW: Floats
    meter_rel_err: float
    repetition_rate_Hz: float
    notes: tuple[str, ...] = ()

    def power_uW(self, setting: float) -> Power:
        """Power at a setting, by a monotone cubic between the points (PCHIP).

        Raises:
            AnalysisError: The setting lies outside of the measured ones.
        """
        self._inside("setting", setting, self.setting)
        value = float(PchipInterpolator(self.setting, self.fitted_uW)(setting))
        above = int(np.clip(np.searchsorted(self.setting, setting), 1, self.setting.size - 1))
        share = (setting - self.setting[above - 1]) / (self.setting[above] - self.setting[above - 1])
        own = np.hypot((1.0 - share) * self.err_uW[above - 1], share * self.err_uW[above])
        error = float(np.hypot(own, self.meter_rel_err * value))
        to_pJ = 1e6 / self.repetition_rate_Hz
        return Power(value, error, value * to_pJ, error * to_pJ)

    def setting_for(self, power_uW: float) -> float:
        """Setting for a wanted power; the lowest, where the curve is flat.

        Raises:
            AnalysisError: The power lies outside of the measured ones.
        """
        self._inside("power_uW", power_uW, self.fitted_uW)
        fine = np.linspace(self.setting[0], self.setting[-1], 20_001)
        powers = np.maximum.accumulate(PchipInterpolator(self.setting, self.fitted_uW)(fine))
        return float(fine[min(int(np.searchsorted(powers, power_uW)), fine.size - 1)])

    def fluence(
        self, setting: float, diameter_x_um: float, diameter_y_um: float, *, wavelength_nm: float = 405.0,
        fraction_at_sample: float = 1.0,
    ) -> Fluence:  # fmt: skip
        """Fluence at a setting, average and peak by name, for the spot's two 1/e2 diameters (along its axes)."""
        return fluence(
            self.power_uW(setting).value_uW, self.repetition_rate_Hz, diameter_x_um, diameter_y_um, wavelength_nm,
            fraction("fraction_at_sample", fraction_at_sample),
        )  # fmt: skip

    def _inside(self, name: str, value: float, known: Floats) -> None:
        if not known[0] <= value <= known[-1]:
            raise AnalysisError(
                f"{name} {value:g} is outside of the calibration, {known[0]:g} to {known[-1]:g}; measure there."
            )


def power_curve(
    setting: ArrayLike,
    power_uW: ArrayLike,
    power_err_uW: ArrayLike,
    *,
    repetition_rate_Hz: float,
    meter_rel_err: float = 0.0,
) -> PowerCurve:
    """Make the curve of one repetition rate.

    Args:
        setting: Laser settings (permille), in any order; equal ones are averaged, (n,).
        power_uW: Readings at the sample, zero or more, (n,).
        power_err_uW: Standard errors of the readings (scatter, not the meter's own), (n,).
        repetition_rate_Hz: Laser rate; power at other rates is not known from this.
        meter_rel_err: Relative error of the meter.

    Raises:
        AnalysisError: Bad input, fewer than two settings, or a power that falls by more than three sigma.
    """
    at, power = finite_array("setting", setting, 1), count_array("power_uW", power_uW)
    error = finite_array("power_err_uW", power_err_uW, 1)
    same_shape("setting", at, "power_uW", power)
    same_shape("setting", at, "power_err_uW", error)
    if not (error > 0).all():
        raise AnalysisError("power_err_uW must be above zero everywhere; repeat the reading to know its scatter.")
    if not (np.isfinite(meter_rel_err) and 0 <= meter_rel_err < 1):
        raise AnalysisError(f"meter_rel_err is {meter_rel_err!r} but must be a relative error below 1.")
    settings, which = np.unique(at, return_inverse=True)
    if settings.size < 2:
        raise AnalysisError(f"setting holds {settings.size} different value(s); measure at two or more.")
    weights = np.bincount(which, 1.0 / error**2)
    mean, sigma = np.bincount(which, power / error**2) / weights, 1.0 / np.sqrt(weights)
    _refuse_fall(settings, mean, sigma)
    fitted = np.asarray(isotonic_regression(mean, weights=weights).x, dtype=np.float64)
    notes = []
    if not np.allclose(fitted, mean, rtol=1e-12, atol=0.0):
        notes.append("readings fall within their errors somewhere: the curve is flat there")
    if meter_rel_err == 0:
        notes.append("the meter's own error is not included")
    return PowerCurve(
        settings, mean, fitted, sigma, meter_rel_err, positive("repetition_rate_Hz", repetition_rate_Hz), tuple(notes)
    )


def _refuse_fall(setting: Floats, power: Floats, error: Floats) -> None:
    highest = 0
    for index in range(1, setting.size):
        fall = power[highest] - power[index]
        if fall > FALLS_BY_SIGMA * np.hypot(error[highest], error[index]):
            raise AnalysisError(
                f"Power falls from {power[highest]:g} uW at {setting[highest]:g} to {power[index]:g} uW at "
                f"{setting[index]:g}; check the meter's range, the shutter, and the order of readings."
            )
        if power[index] > power[highest]:
            highest = index
