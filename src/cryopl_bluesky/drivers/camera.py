"""Andor sCMOS camera (ZL41 Wave, Zyla, Neo) through pylablib's SDK3 class.

The camera is kept armed with a small ring of buffers and fires on a software trigger; frames carry the camera's own
time stamp. Traps of the vendor's software and their remedies: facts/andor.md section 6.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.drivers.andor import andor_connection, andor_errors
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

log = logging.getLogger(__name__)

_WAIT_SLICE_REAL_S = 0.05  # the deadline and a disarm from another thread are noticed this often
_CHUNK_HEADER_BYTES, _TIMESTAMP_BYTES, _FRAME_INFO_BYTES = 8, 16, 16
_GAIN, _RATE = "SimplePreAmpGainControl", "PixelReadoutRate"


class AndorCamera:
    """The camera, one call at a time.

    Settings that the camera only accepts when idle are written between a disarm and an arm.

    Args:
        clock: time base of the frame deadline.
        serial: serial number; "" = the only real camera (the SDK's SimCam does not count).
        name: device name for error messages.
    """

    def __init__(self, clock: Clock, *, serial: str = "", name: str = "camera"):
        self._clock, self._serial, self._name = clock, serial, name
        self._lock = threading.RLock()
        self._camera: Any = None
        self._info: CameraInfo | None = None
        self._ring_frames = 0  # 0 = not armed
        self._pending = False
        self._fired_at_s = self._fired_at_real_s = 0.0
        self._with_timestamps = False
        self._ticks_per_s = 0
        self.recovered = True

    def __enter__(self) -> AndorCamera:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Connect, and set what this driver relies on: software trigger, 16-bit pixels, time stamps.

        Raises:
            NotConnectedError: library or camera missing, several cameras, or another program holds it.
        """
        with self._lock:
            if self._camera is not None:
                return
            with andor_connection(self._name, "camera"):
                from cryopl_bluesky.drivers.camera_search import open_camera

                self._camera = open_camera(self._serial, self._name)
            try:
                with andor_connection(self._name, "camera"):
                    self._set_up()
            except InstrumentError:
                self.close()
                raise

    def _set_up(self) -> None:
        cam = self._camera
        cam.set_trigger_mode("software")
        cam.cav["PixelEncoding"] = "Mono16"
        cam.enable_metadata(True)
        self._ticks_per_s = int(cam.get_attribute_value("TimestampClockFrequency", error_on_missing=False, default=0))
        info = cam.get_device_info()
        width, height = cam.get_detector_size()
        pixel_um = float(cam.get_attribute_value("PixelWidth", error_on_missing=False, default=0.0))
        self._info = CameraInfo(info.camera_model, info.serial_number, info.firmware_version, width, height, pixel_um)

    def close(self) -> None:
        """Stop and disconnect; harmless when not open."""
        with self._lock:
            camera, self._camera = self._camera, None
            self._ring_frames, self._pending = 0, False
            if camera is None:
                return
            try:
                with andor_errors(self._name, "closing"):
                    camera.close()
            except InstrumentError as error:
                log.warning("%s (the camera is given up anyway)", error)

    @property
    def info(self) -> CameraInfo:
        """Model, serial number, firmware and sensor."""
        if self._info is None:
            raise InstrumentError(self._name, "not connected", "open the camera first")
        return self._info

    # exposure
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

    def exposure_s(self) -> float:
        """Present exposure time in s."""
        with self._using("reading the exposure") as cam:
            return float(cam.get_exposure())

    def frame_period_s(self) -> float:
        """Shortest time between two frames in s."""
        with self._using("reading the frame period") as cam:
            return float(cam.get_frame_period())

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
        """Electrons per count in the present gain mode: the maker's typical value, not measured on this camera."""
        return gain_of(self.gain(), self._name)

    def read_noise_e(self) -> float:
        """Read noise of one sensor pixel in electrons rms: the maker's typical value, not measured on this camera."""
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

    # acquisition
    @property
    def is_armed(self) -> bool:
        """Ready for a software trigger."""
        return self._ring_frames > 0

    def arm(self, ring_frames: int = 8) -> None:
        """Start waiting for software triggers; harmless when already armed.

        Args:
            ring_frames: buffers in the ring (10 more are allocated; a full frame takes 8 MB).
        """
        with self._using("arming") as cam:
            if not self.is_armed:
                self._start(cam, ring_frames)

    def disarm(self) -> None:
        """Stop; a frame that is being exposed is lost. Harmless when not armed."""
        with self._using("disarming") as cam:
            self._ring_frames, self._pending = 0, False
            cam.clear_acquisition()

    def fire(self) -> None:
        """Expose one frame.

        Raises:
            InstrumentError: not armed, or the frame before was not fetched.
        """
        with self._using("triggering") as cam:
            if not self.is_armed:
                raise InstrumentError(self._name, "cannot trigger: the camera is not armed", "arm it first")
            self._refuse_while_exposing("a trigger")
            stale = cam.read_multiple_images()
            if stale:
                log.warning("%s: %d frames that nobody asked for are dropped", self._name, len(stale))
            self._fired_at_s, self._fired_at_real_s = self._clock.monotonic(), time.monotonic()
            cam.call_command("SoftwareTrigger")
            self._pending = True

    def wait_frame(self, margin_s: float = 5.0) -> Frame:
        """Fetch the frame of the last trigger.

        Args:
            margin_s: time after exposure and readout at which the frame is given up, on the clock and in real time.

        Returns:
            The frame.

        Raises:
            FrameTimeoutError: no frame in time. The camera was stopped and armed again; `recovered` says whether it
                is ready for another trigger.
            InstrumentError: disarmed meanwhile, or frames were lost.
        """
        from pylablib.devices.Andor.base import AndorError, AndorTimeoutError

        if not self._pending:
            raise InstrumentError(self._name, "no frame to wait for", "trigger first")
        limit_s = self.exposure_s() + self.frame_period_s() + margin_s
        while True:
            camera = self._camera
            if camera is None or not self._pending:
                raise InstrumentError(self._name, "disarmed while a frame was being exposed")
            try:
                if camera.wait_for_frame(timeout=_WAIT_SLICE_REAL_S, error_on_stopped=True):
                    return self._read_frame()
            except AndorTimeoutError:
                if self._is_late(limit_s, margin_s):
                    self._give_up(f"no frame within {limit_s:g} s", "look for a lost trigger or a loose cable")
            except AndorError as error:
                if self._pending:
                    self._give_up(str(error), "lower the frame rate, check the USB link")

    def _is_late(self, limit_s: float, margin_s: float) -> bool:
        """Both the clock and real time must have passed: a slow computer is no fault, nor is a fast clock."""
        real_s = time.monotonic() - self._fired_at_real_s
        overdue = self._clock.monotonic() - self._fired_at_s > limit_s and real_s > margin_s
        return overdue or real_s > 60 + 20 * limit_s

    def _read_frame(self) -> Frame:
        with self._using("reading a frame") as cam:
            if not self._pending:
                raise InstrumentError(self._name, "disarmed while a frame was being exposed")
            self._pending = False
            found = cam.read_oldest_image(return_info=self._with_timestamps)
            image, info = found if self._with_timestamps and found is not None else (found, None)
            if image is None:
                raise InstrumentError(self._name, "the frame was overwritten before it was read", "use a larger ring")
            timestamp_s = None
            if info is not None and self._ticks_per_s and info.timestamp_dev is not None:
                timestamp_s = int(info.timestamp_dev) / self._ticks_per_s
            acquired = int(cam.get_frames_status().acquired)
            return Frame(np.ascontiguousarray(image, dtype="<u2"), timestamp_s, acquired - 1)

    def _give_up(self, problem: str, remedy: str) -> None:
        """Stop, clear and arm again, once (facts/andor.md trap 7), then raise."""
        with self._lock:
            ring_frames, self._pending = self._ring_frames, False
            try:
                self.disarm()
                self.arm(ring_frames)
                self.recovered = True
            except InstrumentError as error:
                self._ring_frames = 0
                self.recovered = False
                problem, remedy = f"{problem}; starting again failed too ({error.problem})", error.remedy or remedy
        raise FrameTimeoutError(self._name, problem, remedy, recovered=self.recovered)

    def _start(self, cam: Any, ring_frames: int) -> None:
        if ring_frames < 1:
            raise LimitError(self._name, f"ring_frames={ring_frames} is below the minimum of 1", "choose 8")
        cam.set_trigger_mode("software")
        height, stride = int(cam.cav["AOIHeight"]), int(cam.cav["AOIStride"])
        expected = height * stride + _CHUNK_HEADER_BYTES + _TIMESTAMP_BYTES
        if cam.get_attribute_value("MetadataFrameInfo", error_on_missing=False, default=False):
            expected += _FRAME_INFO_BYTES
        # pylablib fails on frames with padding between image and metadata (trap 5): read those without metadata
        self._with_timestamps = cam.is_metadata_enabled() and int(cam.cav["ImageSizeBytes"]) == expected
        cam.start_acquisition(mode="sequence", nframes=ring_frames)
        self._ring_frames, self._pending = ring_frames, False

    # helpers
    @contextmanager
    def _using(self, doing: str) -> Iterator[Any]:
        """The open camera, locked, with the vendor's errors translated."""
        with self._lock:
            if self._camera is None:
                raise InstrumentError(self._name, f"{doing}: not connected", "open the camera first")
            with andor_errors(self._name, doing):
                yield self._camera

    @contextmanager
    def _idle(self, doing: str) -> Iterator[Any]:
        """The open camera with the acquisition stopped; armed again afterwards when it was armed."""
        with self._using(doing) as cam:
            self._refuse_while_exposing(doing)
            ring_frames = self._ring_frames
            if ring_frames:
                self.disarm()
            try:
                yield cam
            finally:
                if ring_frames:
                    self._start(cam, ring_frames)

    def _refuse_while_exposing(self, what: str) -> None:
        if self._pending:
            raise InstrumentError(self._name, f"{what} is refused while a frame is being exposed",
                                  "fetch the frame or disarm first")

    def _text(self, feature: str) -> str:
        with self._using(f"reading {feature}") as cam:
            return str(cam.cav[feature])

    def _choices(self, feature: str) -> tuple[str, ...]:
        with self._using(f"reading the choices of {feature}") as cam:
            return tuple(cam.get_attribute(feature, update_properties=True).values)

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
