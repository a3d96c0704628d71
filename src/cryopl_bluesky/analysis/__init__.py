"""Pure numpy/scipy functions that turn counts into numbers with honest errors.

Nothing in here knows about instruments, runs or catalogs; everybody may use it. The modules are

* `units`, `air`   constants, nm <-> eV, wavelengths in air and vacuum,
* `optics`, `grating`  the microscope's three equations, magnification, fluence; which wavelength falls where,
* `frames`, `dark_frames`, `cosmic_rays`  a raw frame to electrons with their variance,
* `row_spectra`    rows and positions, spectra at positions and in total,
* `spectra`, `multi_peak`  spectra to fitted lines; how many, and of which shape,
* `lifetimes`      reconvolution fits of decays with the Poisson likelihood,
* `photons`        time tags to histograms,
* `g2`, `g2_models`  pulsed g2(0) with exact intervals and block bootstrap; fits of pulsed and CW models,
* `counting`       dead time and pile-up: corrections, and warnings at the limits,
* `channel_delay`  the delay between the two SPADs,
* `temperature`, `temperature_fits`, `temperature_series`  laws of energy, width and intensity; their fits; a series,
* `funnelling`     apparent lifetime against photon energy,
* `calibration`    wavelength, scale, spot, IRF, dark, power, and their sanity checks.
"""

from __future__ import annotations

from ._checks import AnalysisError, FitError

__all__ = ["AnalysisError", "FitError"]
