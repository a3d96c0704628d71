"""Which light reaches which detector: state of the optics as one value, magnification, excitation spot, slit.

The slit plane and the chip are conjugate 1:1; distances there are in um "on the chip". The optical axis meets
the chip at column `AXIS_COLUMN_PX` and row `AXIS_ROW_PX` (numbers of pixels, from 0); the centre wavelength
and the zero order lie in that column. Longer wavelengths lie at higher columns, larger y at higher rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr

from cryopl_bluesky.sim.bench import Bench
from cryopl_bluesky.sim.emission import FWHM_PER_SIGMA
from cryopl_bluesky.sim.layout import FloatArray

CHIP_PX = 2048
PIXEL_UM = 6.5
AXIS_COLUMN_PX = CHIP_PX / 2 - 1
AXIS_ROW_PX = (CHIP_PX - 1) / 2
FOCAL_OBJECTIVE_MM = 2.87
FOCAL_L2_MM = 300.0
PSF_SIGMA_UM = 0.345 / FWHM_PER_SIGMA
SPECTROGRAPH_PSF_SIGMA_UM = 40.0 / FWHM_PER_SIGMA
WIDE_FIELD_SPOT_UM = (16.5, 18.0)
FOCUSED_SPOT_UM = (2.5, 2.5)
L5_SPOT_UM = 75.0
SPAD_IMAGE_UM = 75.0
LAMP_ON_SPAD_HZ = 2e5
"""Detections per SPAD of a lamp that was left on."""
_INTERFERENCE = 0.10
_FRINGES_UM = (5.3, 6.1)
_TEMPERATURE_STEP_K = 0.005
_ZERO_ORDER_BELOW_NM = 1.0


@dataclass(frozen=True)
class LightPath:
    """Everything the detected light depends on, at one moment; serves as the key of the caches.

    Attributes:
        temperature_K: of the sample, in steps of 5 mK.
        laser_mode: "off", "pulsed" or "cw".
        power_uW: average optical power.
        repetition_rate_Hz: of the laser.
        pulse_fwhm_ps: of the laser.
        l1_in: wide field (True) or focused spot.
        l5_in: whole image in the slit (True) or image on the slit.
        relay_magnification: of L3/L4.
        lines_per_mm: of the grating; 0 = mirror or zero order.
        centre_wavelength_nm: 0 with the mirror or at zero order.
        entrance_slit_um: width.
        exit_slit_um: width.
        port: "camera" or "hbt".
        shutter_open: of the spectrograph.
        moving: a part is on its way.
        room_light_Hz: detections per SPAD from the room, and from the lamp.
        lamp: the spectral lamp that is on, "" = none.
        long_pass_in: no laser light reaches the detectors.
    """

    temperature_K: float
    laser_mode: str
    power_uW: float
    repetition_rate_Hz: float
    pulse_fwhm_ps: float
    l1_in: bool
    l5_in: bool
    relay_magnification: float
    lines_per_mm: float
    centre_wavelength_nm: float
    entrance_slit_um: float
    exit_slit_um: float
    port: str
    shutter_open: bool
    moving: bool
    room_light_Hz: float
    lamp: str = ""
    long_pass_in: bool = True

    @classmethod
    def of(cls, bench: Bench) -> LightPath:
        """The present state of `bench`."""
        with bench.lock:
            laser, optics = bench.laser, bench.optics
            mirror = optics.lines_per_mm == 0.0 or optics.centre_wavelength_nm < _ZERO_ORDER_BELOW_NM
            return cls(
                temperature_K=round(bench.sample_temperature_K() / _TEMPERATURE_STEP_K) * _TEMPERATURE_STEP_K,
                laser_mode=laser.mode,
                power_uW=laser.power_uW,
                repetition_rate_Hz=laser.repetition_rate_Hz,
                pulse_fwhm_ps=laser.pulse_fwhm_ps,
                l1_in=optics.l1_in,
                l5_in=optics.l5_in,
                relay_magnification=optics.relay_magnification,
                lines_per_mm=0.0 if mirror else optics.lines_per_mm,
                centre_wavelength_nm=0.0 if mirror else optics.centre_wavelength_nm,
                entrance_slit_um=optics.entrance_slit_um,
                exit_slit_um=optics.exit_slit_um,
                port=optics.port,
                shutter_open=optics.shutter_open,
                moving=bool(optics.moving),
                room_light_Hz=bench.room_light_Hz + (bench.fault("hbt.room_light") or 0.0)
                + (LAMP_ON_SPAD_HZ if bench.lamp else 0.0),
                lamp=bench.lamp,
                long_pass_in=optics.long_pass_in,
            )

    @property
    def open(self) -> bool:
        """Light from the slit can reach the detector of the chosen port."""
        return self.shutter_open and not self.moving and self.entrance_slit_um > 0.0

    @property
    def excited(self) -> bool:
        """The laser shines on the sample."""
        return self.laser_mode != "off" and self.power_uW > 0.0

    @property
    def magnification(self) -> float:
        """From the sample to slit and chip."""
        return self.relay_magnification * FOCAL_L2_MM / FOCAL_OBJECTIVE_MM

    @property
    def slit_image_um(self) -> float:
        """Width of what leaves the entrance slit: the slit, or with L5 the spot of L5 if that is narrower."""
        return min(self.entrance_slit_um, L5_SPOT_UM) if self.l5_in else self.entrance_slit_um

    def for_camera(self) -> LightPath:
        """The same state with all that the camera does not show neutral: pulses, exit slit, room and laser light."""
        return replace(
            self,
            laser_mode="cw",
            repetition_rate_Hz=0.0,
            pulse_fwhm_ps=0.0,
            exit_slit_um=0.0,
            room_light_Hz=0.0,
            long_pass_in=True,
        )


def excitation(x_um: FloatArray, y_um: FloatArray, l1_in: bool) -> FloatArray:
    """Excitation density at sample positions (broadcast), relative to the maximum of the wide-field Gaussian.

    Wide field: elliptical Gaussian of 16.5 x 18 um 1/e2 diameter with 10 % interference structure. Without
    L1: a Gaussian of 2.5 um with the same total power.
    """
    width_um, height_um = WIDE_FIELD_SPOT_UM if l1_in else FOCUSED_SPOT_UM
    gaussian = np.exp(-8.0 * (x_um / width_um) ** 2) * np.exp(-8.0 * (y_um / height_um) ** 2)
    if not l1_in:
        return gaussian * (np.prod(WIDE_FIELD_SPOT_UM) / np.prod(FOCUSED_SPOT_UM))
    fringes = np.cos(2.0 * np.pi * x_um / _FRINGES_UM[0]) * np.cos(2.0 * np.pi * y_um / _FRINGES_UM[1])
    return gaussian * (1.0 + _INTERFERENCE * fringes)


def excited_half_width_um(l1_in: bool) -> float:
    """Half side of the square on the sample that holds all excitation but 1e-7 of its maximum."""
    return 1.45 * max(WIDE_FIELD_SPOT_UM if l1_in else FOCUSED_SPOT_UM)


def row_edges_um() -> FloatArray:
    """Edges of the pixel rows, um on the chip from the axis, shape (2049,)."""
    return (np.arange(CHIP_PX + 1) - 0.5 - AXIS_ROW_PX) * PIXEL_UM


def column_edges_um() -> FloatArray:
    """Edges of the pixel columns, um on the chip from the axis, shape (2049,)."""
    return (np.arange(CHIP_PX + 1) - 0.5 - AXIS_COLUMN_PX) * PIXEL_UM


def covered_um(edges_um: FloatArray, width_um: float) -> FloatArray:
    """Length of each interval between `edges_um` that lies within +-width_um/2."""
    clipped_um = np.clip(edges_um, -width_um / 2.0, width_um / 2.0)
    return np.diff(clipped_um)


def box_blur_kernel(step_um: float, box_um: float) -> FloatArray:
    """Image of a slit `box_um` wide blurred by the spectrograph, each `step_um`; odd length, sum 1."""
    reach = int(np.ceil((box_um / 2.0 + 5.0 * SPECTROGRAPH_PSF_SIGMA_UM) / step_um))
    at_um = np.arange(-reach, reach + 1) * step_um
    half_um = box_um / 2.0
    sigma_um = SPECTROGRAPH_PSF_SIGMA_UM
    kernel = ndtr((at_um + half_um) / sigma_um) - ndtr((at_um - half_um) / sigma_um)
    return kernel / kernel.sum()


def slit_pair_transmission(offset_um: FloatArray, image_um: float, exit_um: float) -> FloatArray:
    """Fraction of the light of one wavelength that passes the exit slit.

    The image of the entrance slit, a box of `image_um` blurred by the spectrograph's Gaussian, lies
    `offset_um` from the centre of an exit slit of `exit_um`. Closed form: second differences of u Phi(u/s)
    + s phi(u/s), the double integral of the Gaussian. Its integral over the offset is `exit_um`.
    """
    sigma_um = SPECTROGRAPH_PSF_SIGMA_UM

    def ramp(u_um: FloatArray) -> FloatArray:
        u = u_um / sigma_um
        return sigma_um * (u * ndtr(u) + np.exp(-0.5 * u**2) / np.sqrt(2.0 * np.pi))

    outer_um, inner_um = (exit_um + image_um) / 2.0, (exit_um - image_um) / 2.0
    outer = ramp(offset_um + outer_um) + ramp(offset_um - outer_um)
    inner = ramp(offset_um + inner_um) + ramp(offset_um - inner_um)
    # Far off, rounding leaves +-1e-16 of the difference; photon numbers must not be negative.
    return np.maximum(outer - inner, 0.0) / image_um
