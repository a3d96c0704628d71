"""Which wavelength falls where in a Kymera 328i: the Czerny-Turner geometry with a tilted detector.

Fitted to the calibration that a real KY328i stored in its data file (facts/andor.md section 9.1), with which
it agrees to 7e-5 nm.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import asin, cos, radians, sin

import numpy as np
from numpy.typing import NDArray

MAX_SINE_BAR_DEG = 40.0  # turning range of the turret [est]


@dataclass(frozen=True)
class KymeraOptics:
    """Geometry of the spectrograph.

    Attributes:
        focal_length_mm: focal length of the focusing mirror.
        half_deviation_deg: half the angle between incoming and outgoing beam at the grating (phi).
        detector_tilt_deg: tilt of the focal plane (gamma).
    """

    focal_length_mm: float = 328.0
    half_deviation_deg: float = 11.416
    detector_tilt_deg: float = -3.942

    def wavelengths_nm(
        self, offsets_um: NDArray[np.float64], lines_per_mm: float, centre_wavelength_nm: float
    ) -> NDArray[np.float64]:
        """Wavelengths in first order at distances from the centre of the exit plane.

        Args:
            offsets_um: distances from the optical axis along the dispersion, in um.
            lines_per_mm: groove density of the grating, greater than 0.
            centre_wavelength_nm: wavelength on the axis.

        Returns:
            Wavelengths in nm, same shape as `offsets_um`.
        """
        groove_nm = 1e6 / lines_per_mm
        phi, gamma = radians(self.half_deviation_deg), radians(self.detector_tilt_deg)
        theta = asin(centre_wavelength_nm / (2 * groove_nm * cos(phi)))
        x_mm = np.asarray(offsets_um, dtype=np.float64) * 1e-3
        angle = np.arctan(x_mm * cos(gamma) / (self.focal_length_mm + x_mm * sin(gamma)))
        return groove_nm * (sin(theta - phi) + np.sin(theta + phi + angle))

    def axis_nm(
        self, lines_per_mm: float, centre_wavelength_nm: float, pixels: int = 2048, pixel_um: float = 6.5
    ) -> NDArray[np.float64]:
        """Wavelength of every detector column; the centre wavelength is at column `pixels/2` counted from 1.

        Args:
            lines_per_mm: groove density of the grating, greater than 0.
            centre_wavelength_nm: wavelength on the axis.
            pixels: number of columns.
            pixel_um: width of a column.

        Returns:
            Array (pixels,) of wavelengths in nm.
        """
        columns = np.arange(1, pixels + 1, dtype=np.float64)
        return self.wavelengths_nm((columns - pixels / 2) * pixel_um, lines_per_mm, centre_wavelength_nm)

    def nm_per_um(self, lines_per_mm: float, centre_wavelength_nm: float) -> float:
        """Reciprocal linear dispersion at the centre of the exit plane.

        Args:
            lines_per_mm: groove density of the grating, greater than 0.
            centre_wavelength_nm: wavelength on the axis.

        Returns:
            nm per um of distance along the dispersion (for an exit slit: bandwidth per slit width).
        """
        low, high = self.wavelengths_nm(np.array([-0.5, 0.5]), lines_per_mm, centre_wavelength_nm)
        return float(high - low)

    def max_wavelength_nm(self, lines_per_mm: float) -> float:
        """Largest centre wavelength that the turret can turn to (40 degrees of sine bar [est])."""
        groove_nm = 1e6 / lines_per_mm
        return 2 * groove_nm * cos(radians(self.half_deviation_deg)) * sin(radians(MAX_SINE_BAR_DEG))
