"""Calibrations: what an instrument's reading means, with its error, and whether it can be true.

* `checks`      sanity checks, each with value, limit and what to look at,
* `dispersion`  the wavelength axis against focal length and grating, from two known lines,
* `lines`       centres of sharp lines,
* `wavelength`  an axis from lines of known wavelength,
* `scale`       nm per pixel from beads,
* `spot`        the excitation spot,
* `irf`         the instrument response of a SPAD,
* `dark`        camera and SPADs in the dark,
* `power`       laser power against its setting.

The delay between the SPADs is in `analysis.channel_delay`.
"""

from __future__ import annotations

from .checks import Check
from .dark import DarkFrames, DarkRate, dark_frames, spad_dark_rates
from .dispersion import (
    DispersionSetup,
    check_axis,
    check_calibration,
    check_known_lines,
    check_pair,
    check_slope,
    diagnose_ratio,
)
from .irf import Irf, measure_irf
from .power import Power, PowerCurve, power_curve
from .scale import LengthScale, scale_from_beads, scale_relative_error
from .spot import SpotFit, compare_with_calculated, fit_spot
from .wavelength import MatchedLines, WavelengthCalibration, calibrate_wavelength, find_lines, match_lines

__all__ = [
    "Check",
    "DarkFrames",
    "DarkRate",
    "DispersionSetup",
    "Irf",
    "LengthScale",
    "MatchedLines",
    "Power",
    "PowerCurve",
    "SpotFit",
    "WavelengthCalibration",
    "calibrate_wavelength",
    "check_axis",
    "check_calibration",
    "check_known_lines",
    "check_pair",
    "check_slope",
    "compare_with_calculated",
    "dark_frames",
    "diagnose_ratio",
    "find_lines",
    "fit_spot",
    "match_lines",
    "measure_irf",
    "power_curve",
    "scale_from_beads",
    "scale_relative_error",
    "spad_dark_rates",
]
