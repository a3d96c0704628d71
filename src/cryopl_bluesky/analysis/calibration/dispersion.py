"""Does the wavelength axis fit the spectrograph? Dispersion from two known lines against focal length and grating.

>>> wrong = DispersionSetup(CzernyTurner(focal_mm=500), lines_per_mm=600, centre_nm=560, pixels=2048, pixel_um=6.5)
>>> positions = [569.92, 1576.19]  # of two lines 30.886 nm apart, on a spectrograph of 328 mm
>>> print(check_known_lines(positions, [546.074, 576.960], wrong)[0].message)  # doctest: +ELLIPSIS
axis gives ... as if the focal length were 328 mm instead of 500 mm; suspect: focal length 328 mm
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .._checks import AnalysisError, Floats, finite_array, positive
from ..grating import CzernyTurner, groove_nm
from .checks import Check, check_second_order
from .wavelength import WavelengthCalibration

FOCAL_LENGTHS_MM = (193.0, 328.0, 500.0, 750.0)
GROOVES_PER_MM = (150.0, 300.0, 600.0, 1200.0, 1800.0, 2400.0)
PIXELS_UM = (6.5, 13.0, 16.0, 26.0)
BINNINGS = (1, 2, 4, 8)
PAIR_LIMIT = 0.01
GEOMETRY_LIMIT = 0.02
COS_BETA_RANGE = (0.5, 1.0)


@dataclass(frozen=True)
class DispersionSetup:
    """What the configuration says of spectrograph and detector.

    Attributes:
        geometry: Of the spectrograph.
        lines_per_mm: Groove density.
        centre_nm: Centre wavelength.
        pixels: Columns of the detector after binning.
        pixel_um: Pixel pitch before binning.
        binning: Columns summed on the chip.
    """

    geometry: CzernyTurner
    lines_per_mm: float
    centre_nm: float
    pixels: int
    pixel_um: float
    binning: int = 1

    def at_pixel_nm(self, index: ArrayLike) -> Floats:
        """Wavelength that the geometry gives at columns counted from 0."""
        return self.geometry.at_pixel_nm(
            index, self.lines_per_mm, self.centre_nm, self.pixels, self.pixel_um * self.binning
        )


def check_known_lines(
    position_px: ArrayLike,
    reference_nm: ArrayLike,
    setup: DispersionSetup,
    *,
    position_err_px: float = 0.0,
    limit: float = PAIR_LIMIT,
) -> tuple[Check, ...]:
    """Check the configured geometry with known lines; the outermost two count.

    Args:
        position_px: Centres of two or more lines, columns counted from 0, (n,).
        reference_nm: Their wavelengths in first order, (n,).
        setup: What the configuration says.
        position_err_px: Standard error of a position.
        limit: Largest accepted |ratio - 1|.

    Returns:
        Ratio of the separations ("known pair"), then those of `check_slope` for the slope measured by the lines.

    Raises:
        AnalysisError: Fewer than two lines, or lines at the same place.
    """
    at = finite_array("position_px", position_px, 1)
    known = finite_array("reference_nm", reference_nm, 1)
    if at.size != known.size or at.size < 2:
        raise AnalysisError(f"{at.size} positions and {known.size} references; give two or more known lines.")
    ends = [int(np.argmin(known)), int(np.argmax(known))]
    separation_px, separation_nm = float(np.diff(at[ends])[0]), float(np.diff(known[ends])[0])
    if separation_px == 0 or separation_nm == 0:
        raise AnalysisError("The outermost known lines lie at the same place; give two that are apart.")
    configured_nm = float(np.diff(setup.at_pixel_nm(at[ends]))[0])
    # A mirrored detector is no error of the dispersion.
    ratio = abs(configured_nm) / separation_nm
    pair = check_pair(
        ratio, setup, ratio_err=float(np.sqrt(2.0)) * position_err_px / abs(separation_px), limit=limit
    )
    # The axis is bent a little: its mean slope between the lines is brought to the centre by the geometry's own bend.
    mean_nm_mm = separation_nm / (abs(separation_px) * setup.pixel_um * setup.binning * 1e-3)
    bend = setup.geometry.dispersion_nm_mm(setup.lines_per_mm, setup.centre_nm) / (
        abs(configured_nm) / (abs(separation_px) * setup.pixel_um * setup.binning * 1e-3)
    )
    return (pair, *check_slope(mean_nm_mm * bend, setup))


def check_pair(
    ratio: float, setup: DispersionSetup, *, ratio_err: float = 0.0, limit: float = PAIR_LIMIT
) -> Check:
    """Check a separation of two known lines on an axis, divided by its reference.

    Args:
        ratio: Separation on the axis over reference separation.
        setup: What the axis was made with, to name suspects.
        ratio_err: Standard error of the ratio; if it exceeds the limit, the check fails: it cannot be judged.
        limit: Largest accepted |ratio - 1|.
    """
    off = positive("ratio", ratio) - 1.0
    text = f"axis gives {ratio:.4f} of the reference separation (limit 1 +- {limit:g})"
    if ratio_err > limit:
        text += f": its error {ratio_err:.2g} is too large to judge; take lines further apart or expose longer"
        return Check("known pair", abs(off), limit, False, text)
    if abs(off) <= limit:
        return Check("known pair", abs(off), limit, True, text)
    focal = setup.geometry.focal_mm
    text += f", as if the focal length were {focal * ratio:.0f} mm instead of {focal:.0f} mm"
    suspects = diagnose_ratio(ratio, setup)
    text += f"; suspect: {' or '.join(suspects)}" if suspects else "; no single known setting explains it"
    return Check("known pair", abs(off), limit, False, text)


def check_slope(slope_nm_mm: float, setup: DispersionSetup) -> tuple[Check, Check]:
    """Check the dispersion at the centre of an axis: cos(beta) = slope f/d, and the geometry of the spectrograph.

    Returns:
        Whether cos(beta) is possible (0.5 to 1), and whether it agrees with the geometry within 2 %.
    """
    d = groove_nm(setup.lines_per_mm)
    cos_beta = positive("slope_nm_mm", slope_nm_mm) * setup.geometry.focal_mm / d
    expected = setup.geometry.cos_beta(setup.lines_per_mm, setup.centre_nm)
    low, high = COS_BETA_RANGE
    given = f"slope {slope_nm_mm:.4f} nm/mm, f = {setup.geometry.focal_mm:g} mm, {setup.lines_per_mm:g} lines/mm"
    possible = low <= cos_beta <= high
    text = f"{given} need cos(beta) = {cos_beta:.4f}"
    first = Check("cos(beta)", cos_beta, low if cos_beta < low else high, possible,
                  text + ("" if possible else f", outside of {low:g} to {high:g}: wrong focal length or grating"))
    off = cos_beta / expected - 1.0
    ok = abs(off) <= GEOMETRY_LIMIT
    text += f", the geometry {expected:.4f} ({100 * off:+.1f} %, limit {100 * GEOMETRY_LIMIT:g} %)"
    # A slope that is too steep belongs to a shorter focal length.
    suspects = "" if ok else " or ".join(diagnose_ratio(expected / cos_beta, setup, tolerance=GEOMETRY_LIMIT))
    return first, Check("geometry", abs(off), GEOMETRY_LIMIT, ok, text + (f"; suspect: {suspects}" if suspects else ""))


def check_axis(axis_nm: ArrayLike, setup: DispersionSetup) -> tuple[Check, Check]:
    """`check_slope` of a whole wavelength axis, (W,), at its centre column."""
    axis = finite_array("axis_nm", axis_nm, 1)
    if axis.size != setup.pixels or axis.size < 8:
        raise AnalysisError(f"axis_nm has {axis.size} columns, the configuration says {setup.pixels} (8 at least).")
    middle = axis.size // 2 - 1
    slope = abs(float(axis[middle + 1] - axis[middle - 1])) / (2.0 * setup.pixel_um * setup.binning * 1e-3)
    return check_slope(slope, setup)


def check_calibration(calibration: WavelengthCalibration, setup: DispersionSetup) -> tuple[Check, ...]:
    """All checks of a new wavelength calibration: to be stored and shown with it.

    Args:
        calibration: From `calibrate_wavelength`.
        setup: What the configuration says of spectrograph and detector.

    Returns:
        "known pair" (with two lines or more: the configured geometry against the lines), "cos(beta)" and "geometry" of
        the calibrated axis, and "second order".
    """
    pair: tuple[Check, ...] = ()
    if calibration.reference_nm.size > 1:
        pair = check_known_lines(calibration.position_px, calibration.reference_nm, setup)[:1]
    return (*pair, *check_axis(calibration.axis_nm, setup), check_second_order(float(calibration.axis_nm.max())))


def diagnose_ratio(ratio: float, setup: DispersionSetup, tolerance: float = PAIR_LIMIT) -> tuple[str, ...]:
    """Name the settings which, set wrong, would explain a ratio of axis to truth.

    Args:
        ratio: Separation on the axis over true separation.
        setup: What the axis was made with.
        tolerance: Relative agreement that makes a suspect.

    Returns:
        Suspects such as "focal length 328 mm" (what it probably is), the best first; empty if none fits.
    """
    near = [(abs(positive("ratio", ratio) / wanted - 1.0), text) for text, wanted in _suspects(setup)]
    return tuple(text for off, text in sorted(near) if off <= tolerance)


def _suspects(setup: DispersionSetup) -> Iterator[tuple[str, float]]:
    """What could really be there, and the ratio it would give."""
    focal_mm, lines = setup.geometry.focal_mm, setup.lines_per_mm
    yield from ((f"focal length {f:g} mm", f / focal_mm) for f in _others(FOCAL_LENGTHS_MM, focal_mm))
    dispersion = setup.geometry.dispersion_nm_mm(lines, setup.centre_nm)
    for g in _others(GROOVES_PER_MM, lines):
        # Half the groove spacing is not half the dispersion: the exit angle is another one.
        if setup.centre_nm < 1.9 * groove_nm(g):
            yield f"grating {g:g} lines/mm", dispersion / setup.geometry.dispersion_nm_mm(g, setup.centre_nm)
    yield from ((f"pixel pitch {p:g} um", setup.pixel_um / p) for p in _others(PIXELS_UM, setup.pixel_um))
    yield from ((f"binning {b:g}", setup.binning / b) for b in _others(BINNINGS, setup.binning))
    yield "second order of the grating", 2.0


def _others(known: Sequence[float], configured: float) -> list[float]:
    return [value for value in known if abs(value / configured - 1.0) > 0.01]
