"""Which wavelength falls where behind a grating: Czerny-Turner geometry, dispersion, bandwidth of a slit.

The constants are those of a Kymera 328i, from a fit to the calibration that a real one stored in its data file
(facts/andor.md section 9.1). The virtual lab has its own implementation, so that each can be tested with the other.

    >>> kymera = CzernyTurner()
    >>> round(kymera.dispersion_nm_mm(600, 525), 2)
    4.74
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import asin, cos, isfinite, radians, sin

import numpy as np
from numpy.typing import ArrayLike

from ._checks import AnalysisError, Floats, finite_array, positive


@dataclass(frozen=True)
class CzernyTurner:
    """Geometry of a spectrograph with a fixed angle between incoming and outgoing beam.

    Attributes:
        focal_mm: Focal length of the focusing mirror.
        half_deviation_deg: Half the angle between the beams at the grating (phi).
        detector_tilt_deg: Tilt of the focal plane (gamma).
    """

    focal_mm: float = 328.0
    half_deviation_deg: float = 11.416
    detector_tilt_deg: float = -3.942

    def __post_init__(self) -> None:
        positive("focal_mm", self.focal_mm)
        for angle in fields(self)[1:]:
            value = getattr(self, angle.name)
            if not (isfinite(value) and abs(value) < 45.0):
                raise AnalysisError(f"{angle.name} is {value!r} but must be an angle below 45 degrees.")

    def turn_rad(self, lines_per_mm: float, centre_nm: float) -> float:
        """Angle of the grating for a centre wavelength in first order: asin(lambda_c/(2 d cos(phi))).

        Raises:
            AnalysisError: No grating of this groove density reaches the wavelength.
        """
        sine = positive("centre_nm", centre_nm) / (2.0 * groove_nm(lines_per_mm) * self._cos_phi)
        if sine >= 1.0:
            longest_nm = 2.0 * groove_nm(lines_per_mm) * self._cos_phi
            raise AnalysisError(
                f"centre_nm {centre_nm:g} is beyond what {lines_per_mm:g} lines/mm can reach ({longest_nm:.0f} nm); "
                "choose a coarser grating."
            )
        return asin(sine)

    def wavelengths_nm(self, offset_um: ArrayLike, lines_per_mm: float, centre_nm: float) -> Floats:
        """Wavelengths at distances from the centre of the exit plane, in first order.

        Args:
            offset_um: Distances along the dispersion, any shape.
            lines_per_mm: Groove density.
            centre_nm: Wavelength at distance zero.
        """
        turn, d = self.turn_rad(lines_per_mm, centre_nm), groove_nm(lines_per_mm)
        phi, gamma = radians(self.half_deviation_deg), radians(self.detector_tilt_deg)
        x_mm = finite_array("offset_um", offset_um) * 1e-3
        angle = np.arctan(x_mm * cos(gamma) / (self.focal_mm + x_mm * sin(gamma)))
        return d * (sin(turn - phi) + np.sin(turn + phi + angle))

    def at_pixel_nm(
        self, index: ArrayLike, lines_per_mm: float, centre_nm: float, pixels: int, pixel_um: float
    ) -> Floats:
        """Wavelengths at detector columns, which may be fractional.

        Args:
            index: Columns counted from 0, any shape.
            lines_per_mm: Groove density.
            centre_nm: Wavelength at column `pixels/2 - 1` (the vendor's pixel N/2 counted from 1).
            pixels: Columns of the detector after binning.
            pixel_um: Width of a column after binning.
        """
        offset_um = (finite_array("index", index) + 1.0 - pixels / 2.0) * positive("pixel_um", pixel_um)
        return self.wavelengths_nm(offset_um, lines_per_mm, centre_nm)

    def cos_beta(self, lines_per_mm: float, centre_nm: float) -> float:
        """Cosine of the exit angle at the centre, with the detector's tilt: what slope x f/d must equal."""
        turn = self.turn_rad(lines_per_mm, centre_nm)
        return cos(turn + radians(self.half_deviation_deg)) * cos(radians(self.detector_tilt_deg))

    def dispersion_nm_mm(self, lines_per_mm: float, centre_nm: float) -> float:
        """Dispersion d cos(beta)/f at the centre of the exit plane, in nm per mm."""
        return groove_nm(lines_per_mm) * self.cos_beta(lines_per_mm, centre_nm) / self.focal_mm

    def window_nm(self, lines_per_mm: float, centre_nm: float, width_um: float) -> float:
        """Wavelength range on a detector of the given width about the centre."""
        half = positive("width_um", width_um) / 2.0
        low, high = self.wavelengths_nm([-half, half], lines_per_mm, centre_nm)
        return float(high - low)

    @property
    def _cos_phi(self) -> float:
        return cos(radians(self.half_deviation_deg))


def groove_nm(lines_per_mm: float) -> float:
    """Groove spacing d of a grating."""
    return 1e6 / positive("lines_per_mm", lines_per_mm)


def bandwidth_nm(slit_um: float, dispersion_nm_mm: float) -> float:
    """Wavelength interval that a slit of this width passes: width x dispersion."""
    return positive("slit_um", slit_um) * 1e-3 * positive("dispersion_nm_mm", dispersion_nm_mm)


def slit_for_bandwidth_um(bandwidth_nm: float, dispersion_nm_mm: float) -> float:
    """Slit width that passes a wavelength interval."""
    return positive("bandwidth_nm", bandwidth_nm) * 1e3 / positive("dispersion_nm_mm", dispersion_nm_mm)


def resolution_nm(slit_um: float, image_um: float, dispersion_nm_mm: float) -> float:
    """Spectral width of a small object: the narrower of slit and image of the object, times the dispersion.

    The spectrograph's own point spread is not in it.
    """
    return bandwidth_nm(min(positive("slit_um", slit_um), positive("image_um", image_um)), dispersion_nm_mm)
