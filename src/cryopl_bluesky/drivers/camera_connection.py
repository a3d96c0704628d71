"""Connection to the Andor camera: opening, closing, and access to its features under one lock."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.drivers.andor import andor_connection, andor_errors
from cryopl_bluesky.drivers.camera_types import CameraInfo
from cryopl_bluesky.drivers.errors import InstrumentError

log = logging.getLogger(__name__)


class CameraConnection:
    """The open camera.

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
        self._ticks_per_s = 0

    def __enter__(self) -> Self:
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
        ticks_per_s = cam.get_attribute_value("TimestampClockFrequency", error_on_missing=False, default=0)
        self._ticks_per_s = int(ticks_per_s)
        info = cam.get_device_info()
        width, height = cam.get_detector_size()
        pixel_um = float(cam.get_attribute_value("PixelWidth", error_on_missing=False, default=0.0))
        self._info = CameraInfo(
            info.camera_model, info.serial_number, info.firmware_version, width, height, pixel_um
        )

    def close(self) -> None:
        """Stop and disconnect; harmless when not open."""
        with self._lock:
            camera, self._camera = self._camera, None
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

    @contextmanager
    def _using(self, doing: str) -> Iterator[Any]:
        """The open camera, locked, with the vendor's errors translated."""
        with self._lock:
            if self._camera is None:
                raise InstrumentError(self._name, f"{doing}: not connected", "open the camera first")
            with andor_errors(self._name, doing):
                yield self._camera

    def _text(self, feature: str) -> str:
        with self._using(f"reading {feature}") as cam:
            return str(cam.cav[feature])

    def _choices(self, feature: str) -> tuple[str, ...]:
        with self._using(f"reading the choices of {feature}") as cam:
            return tuple(cam.get_attribute(feature, update_properties=True).values)
