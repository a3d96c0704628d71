"""Thin-lens optics of the microscope: spot, magnification, scale, fluence (equations 1-3 of the article).

Lengths carry their unit in the name. `a` is the distance from the image of L1's focus to the rear focal plane
side of the objective, `b` the distance from L1's focus to its front focal plane (see equations 1 and 2).
Beam widths are 1/e2 *diameters* unless the name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._checks import AnalysisError, positive
from .units import FWHM_PER_SIGMA, LIGHT_M_S, PLANCK_J_S


def conjugate_mm(a_mm: float, f_objective_mm: float) -> float:
    """Equation 1: b from a, i.e. 1/(f + a) + 1/(f + b) = 1/f, which is a b = f^2."""
    return positive("f_objective_mm", f_objective_mm) ** 2 / positive("a_mm", a_mm)


def tan_alpha(a_mm: float, f_objective_mm: float, d_l1_um: float, f_l1_mm: float) -> float:
    """Equation 2: tangent of the half angle behind the objective, (f + b)/(f + a) d_L1/(2 f_L1)."""
    b_mm = conjugate_mm(a_mm, f_objective_mm)
    tan_psi = d_l1_um * 1e-3 / (2.0 * positive("f_l1_mm", f_l1_mm))
    return (f_objective_mm + b_mm) / (f_objective_mm + a_mm) * tan_psi


def spot_diameter_um(d_l1_um: float, f_objective_mm: float, f_l1_mm: float) -> float:
    """Equation 3: wide-field spot d_L1 f_O/f_L1, the same for every a (1/e2 diameters)."""
    return d_l1_um * positive("f_objective_mm", f_objective_mm) / positive("f_l1_mm", f_l1_mm)


def focused_spot_um(wavelength_um: float, focal_mm: float, beam_um: float) -> float:
    """Gaussian focus of a collimated beam, 4 lambda f/(pi d), 1/e2 diameters; valid for a small half angle."""
    return float(
        4.0 * positive("wavelength_um", wavelength_um) * positive("focal_mm", focal_mm) * 1e3
        / (np.pi * positive("beam_um", beam_um))
    )  # fmt: skip


def beam_at_objective_um(d_l1_um: float, f_l1_mm: float, distance_mm: float) -> float:
    """1/e2 diameter of the excitation at the objective, d_L1 |z - f_L1|/f_L1, z = distance from L1 (no diffraction)."""
    f_mm = positive("f_l1_mm", f_l1_mm)
    return positive("d_l1_um", d_l1_um) * abs(positive("distance_mm", distance_mm) - f_mm) / f_mm


def clipped_fraction(beam_um: float, aperture_um: float) -> float:
    """Part of a centred Gaussian beam's power that a round aperture cuts off: exp(-2 (aperture/beam)^2)."""
    return float(np.exp(-2.0 * (positive("aperture_um", aperture_um) / positive("beam_um", beam_um)) ** 2))


@dataclass(frozen=True)
class Imaging:
    """What follows from the lens focal lengths and the camera.

    Attributes:
        magnification: Total magnification from sample to chip.
        nm_per_px: Length at the sample of one unbinned pixel.
        field_um: Field of view of the given number of pixels.
    """

    magnification: float
    nm_per_px: float
    field_um: float

    def at_sample_um(self, on_chip_um: float) -> float:
        """Length at the sample of a length at the chip or at the slit (same plane magnification)."""
        return on_chip_um / self.magnification


def imaging(
    f_objective_mm: float,
    f_l2_mm: float,
    relay_mm: tuple[float, float] = (100.0, 100.0),
    pixel_um: float = 6.5,
    pixels: int = 2048,
) -> Imaging:
    """Magnification M = f_L2/f_O * f_L4/f_L3, sample pixel p/M and field of view.

    Args:
        f_objective_mm: Focal length of the objective.
        f_l2_mm: Focal length of the tube lens L2.
        relay_mm: Focal lengths of L3 and L4.
        pixel_um: Pixel pitch of the camera.
        pixels: Pixels along the field.

    Raises:
        AnalysisError: A length is not above zero.
    """
    f_l3_mm, f_l4_mm = (positive("relay_mm", f) for f in relay_mm)
    first = positive("f_l2_mm", f_l2_mm) / positive("f_objective_mm", f_objective_mm)
    total = first * f_l4_mm / f_l3_mm
    per_px_um = positive("pixel_um", pixel_um) / total
    return Imaging(total, per_px_um * 1e3, per_px_um * pixels)


def rayleigh_radius_um(wavelength_um: float, numerical_aperture: float) -> float:
    """0.61 lambda/NA: centre to first zero of the Airy pattern (not a FWHM, as the article says)."""
    return 0.61 * wavelength_um / positive("numerical_aperture", numerical_aperture)


def airy_fwhm_um(wavelength_um: float, numerical_aperture: float) -> float:
    """0.514 lambda/NA: full width at half maximum of the Airy pattern."""
    return 0.514 * wavelength_um / positive("numerical_aperture", numerical_aperture)


def optimal_magnification(pixel_um: float, psf_fwhm_um: float) -> float:
    """M_opt = 3 p/FWHM: three pixels per point-spread width."""
    return 3.0 * pixel_um / positive("psf_fwhm_um", psf_fwhm_um)


def other_relative_error(total_rel: float, part_rel: float) -> float:
    """The error left over when `part_rel` is removed in quadrature from `total_rel`.

    Raises:
        AnalysisError: The part is larger than the total.
    """
    if part_rel > total_rel:
        raise AnalysisError(
            f"part_rel {part_rel:g} exceeds total_rel {total_rel:g}; check which error is the total."
        )
    return float(np.sqrt(total_rel**2 - part_rel**2))


def ellipse_area_cm2(diameter_x_um: float, diameter_y_um: float) -> float:
    """Pi wx wy of the 1/e2 ellipse, from its two 1/e2 diameters, in cm2."""
    wx_cm = positive("diameter_x_um", diameter_x_um) / 2.0 * 1e-4
    wy_cm = positive("diameter_y_um", diameter_y_um) / 2.0 * 1e-4
    return float(np.pi * wx_cm * wy_cm)


FRACTION_INSIDE_1E2_ELLIPSE = float(-np.expm1(-2.0))
"""Part of a Gaussian beam's power inside its 1/e2 ellipse: 0.8647."""


def gaussian_fwhm_um(diameter_1e2_um: float) -> float:
    """FWHM of a Gaussian spot from its 1/e2 diameter: w sqrt(2 ln 2), w = diameter/2."""
    return diameter_1e2_um / 2.0 * FWHM_PER_SIGMA / 2.0


@dataclass(frozen=True)
class Fluence:
    """Pulse energy per area, with its definition.

    Attributes:
        average_uJ_cm2: E/(pi wx wy).
        peak_uJ_cm2: 2 E/(pi wx wy), at the centre of the Gaussian.
        pulse_energy_pJ: Energy of one pulse at the sample.
        photons_per_cm2: Photons per area and pulse, `average` definition.
    """

    average_uJ_cm2: float
    peak_uJ_cm2: float
    pulse_energy_pJ: float
    photons_per_cm2: float


def fluence(
    power_uW: float,
    repetition_rate_Hz: float,
    diameter_x_um: float,
    diameter_y_um: float,
    wavelength_nm: float = 405.0,
    fraction_at_sample: float = 1.0,
) -> Fluence:
    """Fluence of a pulsed beam of average power `power_uW` in a Gaussian spot of the given 1/e2 diameters.

    Raises:
        AnalysisError: Negative power, or a rate, width or wavelength that is not above zero.
    """
    if not (np.isfinite(power_uW) and power_uW >= 0):
        raise AnalysisError(f"power_uW is {power_uW!r} but must be zero or more.")
    energy_uJ = power_uW * fraction_at_sample / positive("repetition_rate_Hz", repetition_rate_Hz)
    average = energy_uJ / ellipse_area_cm2(diameter_x_um, diameter_y_um)
    return Fluence(average, 2.0 * average, energy_uJ * 1e6, average * 1e-6 / photon_energy_J(wavelength_nm))


def pulse_energy_pJ(
    fluence_uJ_cm2: float, diameter_x_um: float, diameter_y_um: float, definition: str = "average"
) -> float:
    """Pulse energy for a wanted fluence; `definition` is "average" (F A) or "peak" (F A/2).

    Raises:
        AnalysisError: Another definition, or a width that is not above zero.
    """
    if definition not in ("average", "peak"):
        raise AnalysisError(
            f"definition is {definition!r}; choose 'average' (E/pi wx wy) or 'peak' (twice that)."
        )
    energy = fluence_uJ_cm2 * ellipse_area_cm2(diameter_x_um, diameter_y_um) * 1e6
    return energy if definition == "average" else energy / 2.0


def power_for_fluence_uW(
    fluence_uJ_cm2: float,
    repetition_rate_Hz: float,
    diameter_x_um: float,
    diameter_y_um: float,
    definition: str = "average",
) -> float:
    """Average power at the sample for a wanted fluence; `definition` as in `pulse_energy_pJ`."""
    energy_pJ = pulse_energy_pJ(fluence_uJ_cm2, diameter_x_um, diameter_y_um, definition)
    return energy_pJ * 1e-6 * positive("repetition_rate_Hz", repetition_rate_Hz)


def photon_energy_J(wavelength_nm: float) -> float:
    """Energy of one photon, h c/lambda, in joule."""
    return PLANCK_J_S * LIGHT_M_S / (positive("wavelength_nm", wavelength_nm) * 1e-9)


def dispersion_nm_mm(lines_per_mm: float, focal_mm: float, cos_beta: float = 1.0) -> float:
    """Linear dispersion d cos(beta)/f of a grating spectrograph in nm per mm, d = 1e6/lines nm."""
    return 1e6 / positive("lines_per_mm", lines_per_mm) * cos_beta / positive("focal_mm", focal_mm)
