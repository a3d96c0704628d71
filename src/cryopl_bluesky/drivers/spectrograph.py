"""Andor Kymera 328i spectrograph through pylablib's Shamrock class.

pylablib speaks m, this driver nm and um. All set functions block until the move ends; there is no abort.
Traps of the vendor's software and their remedies: facts/andor.md sections 5.4, 6 and 9.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.drivers.errors import InstrumentError, LimitError, check_limits
from cryopl_bluesky.drivers.spectrograph_connection import GratingInfo, KymeraConnection

__all__ = ["GratingInfo", "Kymera"]

MIN_SLIT_UM, MAX_SLIT_UM = 10.0, 2500.0
WAVELENGTH_TOLERANCE_NM = 0.1  # of the read-back; the axis itself comes from the vendor's calibration
SLIT_TOLERANCE_UM = 1.0
PORTS = ("camera", "hbt")
SHUTTER_STATES = ("open", "closed")


class Kymera(KymeraConnection):
    """The spectrograph, one call at a time.

    Args:
        clock: time base of the pauses between attempts.
        serial: serial number; "" = the only one.
        name: device name for error messages.
        pixel_um: pixel pitch of the camera, for the wavelength axis.
        pixels: columns of the camera, for the wavelength axis.
        entrance_slit: which slit the microscope's light enters (vendor name).
        exit_slit: which slit stands in front of the interferometer (vendor name).
        camera_port: output flipper position towards the camera ("direct" or "side").
        hbt_port: output flipper position towards the interferometer.
    """

    def __init__(
        self, clock: Clock, *, serial: str = "", name: str = "spectrograph", pixel_um: float = 6.5,
        pixels: int = 2048, entrance_slit: str = "input_side", exit_slit: str = "output_side",
        camera_port: str = "direct", hbt_port: str = "side",
    ):
        if camera_port == hbt_port:
            raise LimitError(name, f"camera_port and hbt_port are both {camera_port!r}",
                             "choose 'direct' and 'side'")
        super().__init__(clock, serial=serial, name=name, pixel_um=pixel_um, pixels=pixels)
        self._slits = {"entrance": entrance_slit, "exit": exit_slit}
        self._flipper = {"camera": camera_port, "hbt": hbt_port}

    def optical_parameters(self) -> tuple[float, float, float]:
        """Focal length in m, angular deviation in degrees and focal tilt in degrees, from the EEPROM."""
        with self._using("reading the optical parameters") as device:
            focal_m, deviation_deg, tilt_deg = device.get_optical_parameters()
            return float(focal_m), float(deviation_deg), float(tilt_deg)

    # turret
    def turret(self) -> int:
        """Place of the turret that is in the beam, from 1."""
        with self._using("reading the turret") as device:
            return int(device.get_grating())

    def set_turret(self, position: int) -> int:
        """Turn the turret (up to half a minute).

        Args:
            position: place in the turret, from 1.

        Returns:
            The place read back.
        """
        self._grating(position)
        with self._using(f"setting turret_position={position}") as device:
            found = int(self._repeat(
                lambda: device.set_grating(position), lambda: device.get_grating() == position
            ))
        if found != position:
            raise InstrumentError(self._name, f"asked for turret_position={position}, it stands at {found}",
                                  "check the turret; power the spectrograph off and on if it stays")
        return found

    # wavelength
    def wavelength_limits_nm(self, turret: int) -> tuple[float, float]:
        """Range of the centre wavelength with a grating.

        Args:
            turret: place in the turret, from 1.

        Returns:
            Smallest and largest wavelength in nm; both 0 for the mirror.
        """
        if self._grating(turret).is_mirror:
            return 0.0, 0.0
        with self._using("reading the wavelength limits") as device:
            low_m, high_m = device.get_wavelength_limits(turret)
            return float(low_m) * 1e9, float(high_m) * 1e9

    def wavelength_nm(self) -> float:
        """Centre wavelength in nm; 0 with the mirror or at zero order."""
        with self._using("reading the wavelength") as device:
            return float(device.get_wavelength()) * 1e9

    def set_wavelength(self, nm: float) -> float:
        """Turn the grating.

        Args:
            nm: centre wavelength.

        Returns:
            The wavelength read back.

        Raises:
            LimitError: beyond the grating, or the mirror is in the beam; nothing moved.
            InstrumentError: the move failed or ended somewhere else.
        """
        with self._using(f"setting centre_wavelength_nm={nm:g}") as device:
            turret = self.turret()
            if self._grating(turret).is_mirror:
                raise LimitError(self._name,
                                 f"centre_wavelength_nm={nm:g} is refused: the mirror is in the beam",
                                 "choose a grating first")
            low, high = self.wavelength_limits_nm(turret)
            check_limits(self._name, "centre_wavelength_nm", nm, low, high, "nm")

            def arrived() -> bool:
                return abs(float(device.get_wavelength()) * 1e9 - nm) <= WAVELENGTH_TOLERANCE_NM

            self._repeat(lambda: device.set_wavelength(nm * 1e-9), arrived)
            found_nm = float(device.get_wavelength()) * 1e9
        if abs(found_nm - nm) > WAVELENGTH_TOLERANCE_NM:
            raise InstrumentError(self._name, f"asked for centre_wavelength_nm={nm:g}, it is at {found_nm:g}",
                                  "check the grating; power the spectrograph off and on if it stays")
        return found_nm

    def goto_zero_order(self) -> None:
        """Turn the grating to zero order: it images like a mirror and has no wavelength axis."""
        with self._using("going to zero order") as device:
            self._repeat(device.goto_zero_order, device.is_at_zero_order)
            if not device.is_at_zero_order():
                raise InstrumentError(self._name, "the grating is not at zero order after the move")

    def axis_nm(self) -> NDArray[np.float64]:
        """Wavelength of each camera column as the vendor calibrated it; read it again after every move.

        Returns:
            Array (pixels,) in nm, strictly monotonic.

        Raises:
            InstrumentError: mirror or zero order, or the vendor's calibration is no axis.
        """
        with self._using("reading the wavelength axis") as device:
            if self._grating(self.turret()).is_mirror or device.is_at_zero_order():
                raise InstrumentError(self._name, "no wavelength axis with the mirror or at zero order",
                                      "choose a grating and a centre wavelength first")
            axis_nm = np.asarray(device.get_calibration(), dtype=np.float64) * 1e9
        steps = np.diff(axis_nm)
        if axis_nm.shape != (self._pixels,) or not (np.all(steps > 0) or np.all(steps < 0)):
            raise InstrumentError(self._name, "the vendor's calibration is not a wavelength axis of "
                                  f"{self._pixels} pixels", "set the wavelength again")
        return axis_nm

    # slits, ports, shutter
    def slit_um(self, which: str) -> float:
        """Width of a slit.

        Args:
            which: "entrance" or "exit".

        Returns:
            Width in um.
        """
        with self._using(f"reading the {which} slit") as device:
            return float(device.get_slit_width(self._slit(device, which))) * 1e6

    def set_slit(self, which: str, um: float) -> float:
        """Move a slit.

        Args:
            which: "entrance" or "exit".
            um: width, 10 to 2500 um.

        Returns:
            The width read back in um.
        """
        check_limits(self._name, "slit_um", um, MIN_SLIT_UM, MAX_SLIT_UM, "um")
        with self._using(f"setting the {which} slit to slit_um={um:g}") as device:
            found_um = float(device.set_slit_width(self._slit(device, which), um * 1e-6)) * 1e6
        if abs(found_um - um) > SLIT_TOLERANCE_UM:
            raise InstrumentError(self._name, f"asked for slit_um={um:g} ({which}), it is at {found_um:g}",
                                  "check that the slit moves freely")
        return found_um

    def port(self) -> str:
        """Where the light leaves: "camera" or "hbt"."""
        with self._using("reading the exit port") as device:
            found = str(device.get_flipper_port("output"))
        for port, position in self._flipper.items():
            if position == found:
                return port
        raise InstrumentError(self._name, f"the output mirror stands at {found!r}, which is neither port",
                              f"the profile says {self._flipper}")

    def set_port(self, port: str) -> str:
        """Move the output mirror.

        The move is checked and repeated once. With a grating in, the wavelength is set again, because the
        instrument applies the detector offset of the new port only then.

        Args:
            port: "camera" or "hbt".

        Returns:
            The port read back.
        """
        _check_choice(self._name, "port", port, PORTS)
        with self._using(f"setting port={port!r}") as device:
            for _ in range(2):
                device.set_flipper_port("output", self._flipper[port])
                if self.port() == port:
                    break
            else:
                raise InstrumentError(self._name, f"asked for port={port!r}, it stays at {self.port()!r}",
                                      "do not expose; check the mirror, power the spectrograph off and on")
            nominal_nm = self.wavelength_nm()
            if nominal_nm > 0:
                self.set_wavelength(nominal_nm)
            return port

    def shutter(self) -> str:
        """The entrance shutter: "open" or "closed"."""
        with self._using("reading the shutter") as device:
            found = str(device.get_shutter())
        if found not in ("opened", "closed"):
            raise InstrumentError(self._name, f"the shutter is {found!r}, neither open nor closed",
                                  "set it once; if it is on BNC, an external signal drives it")
        return "open" if found == "opened" else "closed"

    def set_shutter(self, state: str) -> str:
        """Move the entrance shutter.

        Args:
            state: "open" or "closed".

        Returns:
            The state read back.
        """
        _check_choice(self._name, "shutter", state, SHUTTER_STATES)
        with self._using(f"setting shutter={state!r}") as device:
            device.set_shutter("opened" if state == "open" else "closed")
        found = self.shutter()
        if found != state:
            raise InstrumentError(self._name, f"asked for shutter={state!r}, it is {found!r}",
                                  "check the shutter")
        return found

    def _slit(self, device: Any, which: str) -> str:
        _check_choice(self._name, "slit", which, tuple(self._slits))
        slit = self._slits[which]
        if not device.is_slit_present(slit):
            raise InstrumentError(self._name, f"the {which} slit {slit!r} is not motorised",
                                  "enter the right slit in the profile")
        return slit


def _check_choice(name: str, quantity: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise LimitError(name, f"{quantity}={value!r} does not exist",
                         f"choose one of {', '.join(map(repr, choices))}")
