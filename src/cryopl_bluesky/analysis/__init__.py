"""Pure numpy/scipy functions that turn counts into numbers with honest errors.

Nothing in here knows about instruments, runs or catalogs; everybody may use it. The modules are

* `units`        constants and nm <-> eV,
* `optics`       the microscope's three equations, magnification, fluence,
* `spectra`      frames -> electrons -> spectra -> fitted lines,
* `lifetimes`    reconvolution fits of decays with the Poisson likelihood,
* `g2`           pulsed g2(0) with exact intervals and block bootstrap,
* `counting`     dead time and pile-up: corrections, and warnings at the limits,
* `channel_delay`  the delay between the two SPADs,
* `temperature`  closed forms of line energy, width and intensity against temperature.
"""

from __future__ import annotations

from ._checks import AnalysisError, FitError

__all__ = ["AnalysisError", "FitError"]
