"""The spectrograph: gratings, slits, exit port shutter, and a wavelength axis that is never out of date."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from ophyd import Component as Cpt

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.devices.base import Instrument, Quantity
from cryopl_bluesky.drivers.errors import InstrumentError, LimitError

if TYPE_CHECKING:
    from ophyd.status import Status

    from cryopl_bluesky.drivers.spad_guard import SpadGuard
    from cryopl_bluesky.drivers.spectrograph import GratingInfo, Kymera

log = logging.getLogger(__name__)

MIRROR_LINES_PER_MM = 0.0
SLIT_LIMITS_UM = (10.0, 2500.0)
PORTS = ("camera", "hbt")
SHUTTER_STATES = ("open", "closed")
_LINES_TOLERANCE = 0.01
_GRATING_LIMIT_S = 120.0
_WAVELENGTH_LIMIT_S = 60.0


class WavelengthAxis(Quantity):
    """Wavelength of each column of the sensor; refuses to be read while there is none.

    A stale axis would put a wrong wavelength under every pixel, so it is withdrawn before each move.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(dtype="<f8", shape=(0,), units="nm", precision=3, **kwargs)
        self._missing = "it was not read yet"

    @property
    def valid(self) -> bool:
        """Whether there is an axis."""
        return not self._missing

    def withdraw(self, reason: str) -> None:
        """There is no axis, because of `reason`."""
        self._missing = reason

    def publish(self, axis_nm: np.ndarray) -> None:
        """The axis of the present position, in nm, one value per sensor column."""
        self.put(axis_nm)
        self._missing = ""

    def read(self) -> dict[str, Any]:
        """The axis with its time stamp.

        Raises:
            InstrumentError: there is none: mirror, zero order, moving, or the last move failed.
        """
        self._check()
        return super().read()

    def describe(self) -> dict[str, Any]:
        """The data key of the axis.

        Raises:
            InstrumentError: there is none.
        """
        self._check()
        return super().describe()

    def _check(self) -> None:
        if self._missing:
            raise InstrumentError(self.root.name, f"there is no wavelength axis: {self._missing}",
                                  "set a grating and a centre wavelength first")


class Spectrograph(Instrument):
    """The Kymera 328i behind its driver.

    `wavelength_axis` (data key `<name>_wavelength_nm`) is a part of its own that plans read beside the camera
    while a grating is in; reading the spectrograph itself gives the centre wavelength.

    Args:
        driver: opened driver.
        name: device name.
        clock: time of the session.
    """

    centre_wavelength_nm = Cpt(Quantity, units="nm", kind="hinted", write="_apply_wavelength",
                               timeout_s=_WAVELENGTH_LIMIT_S)
    turret_position = Cpt(Quantity, dtype=int, kind="config", write="_apply_turret",
                          timeout_s=_GRATING_LIMIT_S)
    lines_per_mm = Cpt(Quantity, units="1/mm", kind="config")
    blaze = Cpt(Quantity, dtype=str, kind="config")
    entrance_slit_um = Cpt(Quantity, units="um", precision=1, limits=SLIT_LIMITS_UM, kind="config",
                           write="_apply_entrance_slit")
    exit_slit_um = Cpt(Quantity, units="um", precision=1, limits=SLIT_LIMITS_UM, kind="config",
                       write="_apply_exit_slit")
    port = Cpt(Quantity, dtype=str, choices=PORTS, kind="config", write="_apply_port")
    shutter = Cpt(Quantity, dtype=str, choices=SHUTTER_STATES, kind="config", write="_apply_shutter")
    serial = Cpt(Quantity, dtype=str, kind="config")
    wavelength_axis = Cpt(WavelengthAxis, kind="omitted")

    def __init__(self, driver: Kymera, *, name: str, clock: Clock, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.wavelength_axis.name = f"{name}_wavelength_nm"
        self._driver, self._clock = driver, clock
        self._gratings: dict[int, GratingInfo] = {}
        self._limits_nm: dict[int, tuple[float, float]] = {}
        self._guard: SpadGuard | None = None

    # ---- what is there; from the cache, so any thread

    def turret_of(self, lines_per_mm: float) -> int:
        """Turret position of a grating.

        Args:
            lines_per_mm: grooves per mm as on the grating's label; 0 = mirror.

        Raises:
            LimitError: no such grating; lists those there are.
        """
        for turret, grating in self._gratings.items():
            lines = MIRROR_LINES_PER_MM if grating.is_mirror else grating.lines_per_mm
            # Gratings report what was calibrated, e.g. 599.566 for 600.
            if abs(lines - lines_per_mm) <= _LINES_TOLERANCE * max(lines, 1.0):
                return turret
        gratings = self._gratings.values()
        fitted = ", ".join("0 (mirror)" if g.is_mirror else f"{g.lines_per_mm:g}" for g in gratings)
        raise LimitError(self.name, f"lines_per_mm={lines_per_mm:g} is not fitted",
                         f"choose one of {fitted}" if fitted else "connect the spectrograph first")

    def wavelength_limits_nm(self, turret: int) -> tuple[float, float]:
        """Smallest and largest centre wavelength of the grating at a turret position.

        Raises:
            LimitError: no grating there, or a mirror.
        """
        if turret not in self._limits_nm:
            raise LimitError(self.name, f"turret_position={turret} has no grating to set a wavelength with",
                             f"choose one of {', '.join(map(str, self._limits_nm)) or 'none'}")
        return self._limits_nm[turret]

    # ---- moves; the methods named by `write=` run on the owner thread and return the read-back

    def refresh(self) -> None:
        """Read everything from the spectrograph."""
        self._gratings = {grating.turret: grating for grating in self._driver.gratings()}
        self._limits_nm = {
            turret: self._driver.wavelength_limits_nm(turret)
            for turret, grating in self._gratings.items() if not grating.is_mirror
        }
        self.turret_position.choices = tuple(self._gratings)  # pyright: ignore[reportAttributeAccessIssue]
        self.serial.put(self._driver.serial)
        self.entrance_slit_um.put(self._driver.slit_um("entrance"))
        self.exit_slit_um.put(self._driver.slit_um("exit"))
        self.port.put(self._driver.port())
        self.shutter.put(self._driver.shutter())
        self._tell_guard()
        self._read_position()

    def goto_zero_order(self) -> Status:
        """Turn the grating to zero order: an undispersed image, no wavelength axis."""
        return self.submit(lambda: self._move("zero order", self._driver.goto_zero_order),
                           _WAVELENGTH_LIMIT_S, "go to zero order")

    def _move(self, what: str, move: Callable[[], object]) -> None:
        """Move something that changes the wavelength axis, and read all that may have changed."""
        self.wavelength_axis.withdraw(f"moving to {what}, or that move failed")
        move()
        self._read_position()

    def _read_position(self) -> None:
        turret = self._driver.turret()
        grating = self._gratings[turret]
        self.turret_position.put(turret)
        self.lines_per_mm.put(MIRROR_LINES_PER_MM if grating.is_mirror else grating.lines_per_mm)
        self.blaze.put(grating.blaze)
        self.centre_wavelength_nm.limits = self._limits_nm.get(turret)
        if grating.is_mirror:
            self.centre_wavelength_nm.put(0.0)
            self.wavelength_axis.withdraw("the mirror is in the beam")
            return
        centre_nm = self._driver.wavelength_nm()
        self.centre_wavelength_nm.put(centre_nm)
        if centre_nm == 0.0:
            self.wavelength_axis.withdraw("the grating is at zero order")
        else:
            self._read_axis()

    def _read_axis(self) -> None:
        """Read the axis; without one the move itself is good, a safe position above all, and only spectra fail."""
        try:
            self.wavelength_axis.publish(self._driver.axis_nm())
        except InstrumentError as error:
            log.warning("%s: no wavelength axis: %s", self.name, error)
            self.wavelength_axis.withdraw(error.problem)

    def _apply_wavelength(self, wavelength_nm: float) -> float:
        turret = self.turret_position.get()
        if turret not in self._limits_nm:
            raise LimitError(self.name, f"centre_wavelength_nm={wavelength_nm:g}: the mirror is in the beam",
                             "choose a grating first (turret_position)")
        self._move(f"{wavelength_nm:g} nm", lambda: self._driver.set_wavelength(wavelength_nm))
        return self.centre_wavelength_nm.get()

    def _apply_turret(self, turret: int) -> int:
        self._move(f"turret position {turret}", lambda: self._driver.set_turret(turret))
        return self.turret_position.get()

    def _apply_port(self, port: str) -> str:
        if port == "hbt":
            self._ask_guard(opens=self._driver.shutter() == "open")
        self._move(f"port {port}", lambda: self._driver.set_port(port))
        self._tell_guard()
        return self._driver.port()

    def _apply_entrance_slit(self, width_um: float) -> float:
        return self._set_slit("entrance", width_um)

    def _apply_exit_slit(self, width_um: float) -> float:
        return self._set_slit("exit", width_um)

    def _set_slit(self, which: str, width_um: float) -> float:
        self._driver.set_slit(which, width_um)
        return self._driver.slit_um(which)

    def _apply_shutter(self, state: str) -> str:
        if state == "open":
            self._ask_guard(opens=self._driver.port() == "hbt")
        self._driver.set_shutter(state)
        self._tell_guard()
        return self._driver.shutter()

    # ---- protection of the SPADs

    def protected_by(self, guard: SpadGuard) -> None:
        """Ask the guard of the SPADs before light can reach them, and keep it informed."""
        self._guard = guard
        self._tell_guard()

    def _ask_guard(self, *, opens: bool) -> None:
        if self._guard is not None:
            if opens:
                self._guard.before_opening()
            else:
                self._guard.check()

    def _tell_guard(self) -> None:
        if self._guard is not None:
            if self._driver.shutter() == "open" and self._driver.port() == "hbt":
                self._guard.opened()
            else:
                self._guard.closed()

    # ---- ends

    def make_safe(self) -> None:
        """Close the shutter and turn the exit port to the camera, so that the SPADs are dark; any thread.

        Goes to the driver past the owner thread, so it does not queue behind work that waits there; a move
        that is under way is waited for. The port is tried even when the shutter fails.

        Raises:
            InstrumentError: one of the two failed; names which.
        """
        failures = []
        for quantity, apply, state in (
            (self.shutter, self._apply_shutter, "closed"), (self.port, self._safe_port, "camera")
        ):
            try:
                quantity.put(apply(state))
            except Exception as error:  # the other half must be tried whatever this one did
                log.exception("%s: could not set %s to %s", self.name, quantity.attr_name, state)
                failures.append(f"{quantity.attr_name} is not {state}: {error}")
        if failures:
            raise InstrumentError(self.name, "; ".join(failures),
                                  "close the shutter by hand, the SPADs may see light")

    def _safe_port(self, port: str) -> str:
        if self._driver.port() == port:
            return port
        self.wavelength_axis.withdraw("the port was changed in an emergency")
        self._driver.set_port(port)
        self._tell_guard()
        return self._driver.port()

    def shutdown(self) -> None:
        """Make safe and close the driver; the spectrograph cannot be used afterwards."""
        try:
            self.make_safe()
        finally:
            super().shutdown()
            self._driver.close()
