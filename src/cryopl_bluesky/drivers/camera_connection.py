"""Connection to the Andor camera, and access to its features."""

from __future__ import annotations

from typing import Any

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.drivers.andor import AndorConnection
from cryopl_bluesky.drivers.camera_types import CameraInfo
from cryopl_bluesky.drivers.errors import InstrumentError


class CameraConnection(AndorConnection):
    """The open camera.

    Args:
        clock: time base of the frame deadline.
        serial: serial number; "" = the only real camera (the SDK's SimCam does not count).
        name: device name for error messages.
    """

    def __init__(self, clock: Clock, *, serial: str = "", name: str = "camera"):
        super().__init__("camera", clock, serial=serial, name=name)
        self._info: CameraInfo | None = None
        self._ticks_per_s = 0

    def _find(self) -> Any:
        from cryopl_bluesky.drivers.camera_search import open_camera

        return open_camera(self._serial, self._name)

    def _set_up(self) -> None:
        """Software trigger, 16-bit pixels and time stamps are what this driver relies on."""
        cam = self._device
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

    @property
    def info(self) -> CameraInfo:
        """Model, serial number, firmware and sensor."""
        if self._info is None:
            raise InstrumentError(self._name, "not connected", "open the camera first")
        return self._info

    def _text(self, feature: str) -> str:
        with self._using(f"reading {feature}") as cam:
            return str(cam.cav[feature])

    def _choices(self, feature: str) -> tuple[str, ...]:
        with self._using(f"reading the choices of {feature}") as cam:
            return tuple(cam.get_attribute(feature, update_properties=True).values)
