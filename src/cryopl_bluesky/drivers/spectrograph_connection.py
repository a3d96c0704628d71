"""Connection to the Andor spectrograph: finding, opening, and repeating moves after its sporadic error."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.drivers.andor import COMMUNICATION_ERROR, AndorConnection
from cryopl_bluesky.drivers.errors import NotConnectedError, check_limits

log = logging.getLogger(__name__)

_ATTEMPTS = 5
_RETRY_PAUSE_S = 0.2
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class GratingInfo:
    """One place of the turret.

    Attributes:
        turret: its number, from 1.
        lines_per_mm: groove density, 0 for the mirror.
        blaze: blaze as the vendor writes it, for example "500" (nm) or "Mirror".
        is_mirror: a mirror, not a grating.
    """

    turret: int
    lines_per_mm: float
    blaze: str
    is_mirror: bool


class KymeraConnection(AndorConnection):
    """The open spectrograph.

    Args:
        clock: time base of the pauses between attempts.
        serial: serial number; "" = the only one.
        name: device name for error messages.
        pixel_um: pixel pitch of the camera, for the wavelength axis.
        pixels: columns of the camera, for the wavelength axis.
    """

    def __init__(self, clock: Clock, *, serial: str, name: str, pixel_um: float, pixels: int):
        super().__init__("spectrograph", clock, serial=serial, name=name)
        self._pixel_um, self._pixels = pixel_um, pixels
        self._found_serial = ""
        self._gratings: tuple[GratingInfo, ...] = ()

    def _find(self) -> Any:
        return _open_device(self._serial, self._name)

    def _set_up(self) -> None:
        self._found_serial = self._device.get_device_info().serial_number
        self._device.set_pixel_width(self._pixel_um * 1e-6)
        self._device.set_number_pixels(self._pixels)
        self._gratings = self._read_gratings()

    @property
    def serial(self) -> str:
        """Serial number."""
        return self._found_serial

    def gratings(self) -> tuple[GratingInfo, ...]:
        """What is in the turret, in order."""
        return self._gratings

    def _repeat(self, move: Callable[[], _Result], arrived: Callable[[], bool]) -> _Result:
        """Repeat a move to a position after the instrument's sporadic error; that is always safe."""
        from pylablib.devices.Andor.base import AndorError

        for attempt in range(1, _ATTEMPTS + 1):
            try:
                result = move()
                if arrived() or attempt == _ATTEMPTS:
                    return result
            except AndorError as error:
                if getattr(error, "code", None) != COMMUNICATION_ERROR or attempt == _ATTEMPTS:
                    raise
                log.warning("%s: communication error, attempt %d of %d", self._name, attempt, _ATTEMPTS)
            self._clock.sleep(_RETRY_PAUSE_S)
        raise AssertionError("the last attempt returns or raises")

    def _grating(self, position: int) -> GratingInfo:
        check_limits(self._name, "turret_position", position, 1, len(self._gratings))
        return self._gratings[position - 1]

    def _read_gratings(self) -> tuple[GratingInfo, ...]:
        gratings = []
        for position in range(1, int(self._device.get_gratings_number()) + 1):
            info = self._device.get_grating_info(position)
            lines, blaze = float(info.lines), str(info.blaze_wavelength)
            gratings.append(GratingInfo(position, lines, blaze, lines == 0 or "mirror" in blaze.lower()))
        return tuple(gratings)


def _open_device(serial: str, name: str) -> Any:
    from pylablib.devices.Andor import ShamrockSpectrograph, list_shamrock_spectrographs
    from pylablib.devices.Andor.base import AndorError

    try:
        device = ShamrockSpectrograph(0)  # first, because listing with nothing open homes the drives twice
    except AndorError as error:
        if "not available" in str(error):
            raise NotConnectedError(name, "no spectrograph found",
                                    "check its cable and power, then connect again") from error
        raise
    serials = list_shamrock_spectrographs()
    if not serial and len(serials) == 1:
        return device
    if serial in serials:
        wanted = ShamrockSpectrograph(serials.index(serial))
        device.close()
        return wanted
    device.close()
    listed = ", ".join(serials)
    if serial:
        raise NotConnectedError(name, f"no spectrograph with serial number {serial!r}; connected: {listed}",
                                "correct the serial number in the profile")
    raise NotConnectedError(name, f"{len(serials)} spectrographs are connected: {listed}",
                            "name one by its serial number in the profile")
