"""Andor sCMOS camera (ZL41 Wave, Zyla, Neo) through pylablib's SDK3 class.

The camera is kept armed with a small ring of buffers and fires on a software trigger; frames carry the
camera's own time stamp. Traps of the vendor's software and their remedies: facts/andor.md section 6.
"""

from __future__ import annotations

import numpy as np

from cryopl_bluesky.drivers.camera_acquisition import CameraAcquisition
from cryopl_bluesky.drivers.camera_roi import Roi, read_roi, write_roi
from cryopl_bluesky.drivers.camera_types import (
    CameraInfo,
    Frame,
    FrameTimeoutError,
    gain_of,
    parse_bits,
    read_noise_of,
)
from cryopl_bluesky.drivers.errors import InstrumentError, LimitError, check_limits

__all__ = ["AndorCamera", "CameraInfo", "Frame", "FrameTimeoutError", "Roi"]

_GAIN, _RATE = "SimplePreAmpGainControl", "PixelReadoutRate"


class AndorCamera(CameraAcquisition):
    """The camera with its settings, one call at a time.

    Settings that the camera only accepts when idle are written between a disarm and an arm.

    Args:
        clock: time base of the frame deadline.
        serial: serial number; "" = the only real camera (the SDK's SimCam does not count).
        name: device name for error messages.
    """

    def exposure_limits_s(self) -> tuple[float, float]:
        """Shortest and longest exposure with the present settings, in s."""
        with self._using("reading the exposure limits") as cam:
            exposure = cam.get_attribute("ExposureTime", update_properties=True)
            return float(exposure.min), float(exposure.max)

    def set_exposure(self, exposure_s: float) -> float:
        """Set the exposure time; also possible while armed.

        Args:
            exposure_s: exposure in s.

        Returns:
            What the camera made of it (a whole number of row times).

        Raises:
            LimitError: outside the camera's limits; nothing was written.
        """
        with self._using(f"setting exposure_s={exposure_s:g}") as cam:
            self._refuse_while_exposing("exposure_s")
            check_limits(self._name, "exposure_s", exposure_s, *self.exposure_limits_s(), "s")
            cam.set_exposure(exposure_s)
            cam.set_frame_period(0)  # pylablib does this before the change only: the old period would stay
            return float(cam.get_exposure())

    # gain and readout
    def gains(self) -> tuple[str, ...]:
        """The gain modes this camera offers."""
        return self._choices(_GAIN)

    def gain(self) -> str:
        """Present gain mode."""
        return self._text(_GAIN)

    def set_gain(self, gain: str) -> str:
        """Choose the gain mode.

        Args:
            gain: one of `gains()`.

        Returns:
            The gain mode read back.
        """
        return self._choose(_GAIN, "gain", gain)

    def readout_rates(self) -> tuple[str, ...]:
        """The pixel readout rates this camera offers."""
        return self._choices(_RATE)

    def readout_rate(self) -> str:
        """Present pixel readout rate."""
        return self._text(_RATE)

    def set_readout_rate(self, rate: str) -> str:
        """Choose the pixel readout rate; the exposure may change by a fraction of a row time.

        Args:
            rate: one of `readout_rates()`.

        Returns:
            The rate read back.
        """
        return self._choose(_RATE, "readout_rate", rate)

    def baseline_adu(self) -> int:
        """Counts of a pixel without any electrons."""
        with self._using("reading the baseline") as cam:
            return int(cam.cav["Baseline"])

    def bit_depth(self) -> int:
        """Bits of the converter in the present gain mode."""
        return parse_bits(self._text("BitDepth"), self._name)

    def full_scale_adu(self) -> int:
        """Largest count in the present gain mode: a pixel that shows it is saturated."""
        return 2 ** self.bit_depth() - 1

    def gain_e_per_adu(self) -> float:
        """Electrons per count in the present gain mode, the maker's typical value."""
        return gain_of(self.gain(), self._name)

    def read_noise_e(self) -> float:
        """Read noise of one sensor pixel in electrons rms, the maker's typical value."""
        return read_noise_of(self.gain(), self.readout_rate(), self._name)

    # region of interest
    def roi(self) -> Roi:
        """Present region of interest."""
        with self._using("reading the roi") as cam:
            return read_roi(cam)

    def set_roi(self, roi: Roi) -> Roi:
        """Choose region of interest and binning.

        Args:
            roi: the region; width and height must be multiples of the binning.

        Returns:
            The region read back, equal to `roi`.

        Raises:
            LimitError: does not fit the sensor; nothing was written.
            InstrumentError: the camera made another region of it; the one before is restored.
        """
        roi.check(self.info.width_px, self.info.height_px, self._name)
        with self._idle(f"setting {roi}") as cam:
            before = self.roi()
            write_roi(cam, roi)
            found = self.roi()
            if found != roi:
                write_roi(cam, before)
                raise InstrumentError(self._name, f"asked for {roi}, the camera made it {found}",
                                      "use a position and size in the steps of this camera")
            return found

    def frame_shape(self) -> tuple[int, int]:
        """Rows and columns of a frame."""
        roi = self.roi()
        return roi.height // roi.binning, roi.width // roi.binning

    # cooling
    def temperature_C(self) -> float:
        """Sensor temperature in degC.

        Raises:
            InstrumentError: the sensor's thermometer gives no number.
        """
        with self._using("reading the sensor temperature") as cam:
            temperature_C = float(cam.get_temperature())
        if not np.isfinite(temperature_C):
            raise InstrumentError(self._name, f"the sensor temperature reads {temperature_C}",
                                  "power the camera off and on; do not trust its dark current")
        return temperature_C

    def temperature_status(self) -> str:
        """What the cooler says, for example "Stabilised"."""
        return self._text("TemperatureStatus")

    def set_cooling(self, on: bool, target: str | None = None) -> None:
        """Switch the cooler.

        Args:
            on: on or off (it is off at power-up).
            target: set point as the camera names it, for example "0.00" (degC); None keeps it.
        """
        with self._idle(f"setting cooling={'on' if on else 'off'}") as cam:
            if target is not None:
                self._check_choice("TemperatureControl", "cooling target", target)
                cam.cav["TemperatureControl"] = target
            cam.set_cooler(on)

    def _check_choice(self, feature: str, quantity: str, value: str) -> None:
        choices = self._choices(feature)
        if value not in choices:
            raise LimitError(self._name, f"{quantity}={value!r} does not exist",
                             f"choose one of {', '.join(map(repr, choices))}")

    def _choose(self, feature: str, quantity: str, value: str) -> str:
        self._check_choice(feature, quantity, value)
        with self._idle(f"setting {quantity}={value!r}") as cam:
            cam.cav[feature] = value
            if cam.cav["PixelEncoding"] != "Mono16":
                cam.cav["PixelEncoding"] = "Mono16"
        found = self._text(feature)
        if found != value:
            raise InstrumentError(self._name, f"asked for {quantity}={value!r}, the camera reports {found!r}")
        return found
