"""Finding the camera among those that the SDK lists."""

from __future__ import annotations

from typing import Any

from cryopl_bluesky.drivers.errors import NotConnectedError

_IN_USE = 38


def open_camera(serial: str, name: str) -> Any:
    """Open the camera with a serial number, or the only real one.

    The SDK lists demonstration cameras of its own (model SIMCAM) beside real ones, sometimes first.

    Args:
        serial: serial number, "" = the only real camera.
        name: device name for error messages.

    Returns:
        An open camera of pylablib.

    Raises:
        NotConnectedError: none or several fit; lists what is there.
    """
    from pylablib.devices.Andor import get_cameras_number_SDK3
    from pylablib.devices.Andor.AndorSDK3 import AndorSDK3LibError

    from cryopl_bluesky.drivers.camera_frames import frame_camera_class

    fitting: list[Any] = []
    others: list[Any] = []
    seen: list[str] = []
    busy = False
    for index in range(get_cameras_number_SDK3()):
        try:
            camera = frame_camera_class()(index)
        except AndorSDK3LibError as error:
            if error.code != _IN_USE:
                _close(fitting + others)
                raise
            busy = True
            seen.append(f"camera {index} (in use by another program)")
            continue
        info = camera.get_device_info()
        seen.append(f"{info.camera_model} {info.serial_number}")
        real = not info.camera_model.upper().startswith("SIMCAM")
        fits = info.serial_number == serial if serial else real
        (fitting if fits else others).append(camera)
    if len(fitting) == 1:
        _close(others)
        return fitting[0]
    _close(fitting + others)
    wanted = f"no camera with serial number {serial!r}" if serial else "no camera"
    if len(fitting) > 1:
        raise NotConnectedError(name, f"{len(fitting)} cameras are connected: {', '.join(seen)}",
                                "name one by its serial number in the profile")
    found = f"{wanted} found; the SDK lists {', '.join(seen) or 'none'}"
    if busy:
        remedy = "close Andor Solis and every other program that uses the camera"
        raise NotConnectedError(name, found, remedy, code=_IN_USE)
    remedy = "check the camera's cable and power, and the serial number in the profile"
    raise NotConnectedError(name, found, remedy)


def _close(cameras: list[Any]) -> None:
    for camera in cameras:
        camera.close()
