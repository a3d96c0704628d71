"""The guard of the SPADs as documents and users see it."""

from __future__ import annotations

from typing import Any

from ophyd import Component as Cpt
from ophyd import Device
from ophyd.status import Status

from cryopl_bluesky.devices.base import Quantity
from cryopl_bluesky.drivers.errors import LimitError
from cryopl_bluesky.drivers.spad_guard import SpadGuard

_RESET_TIMEOUT_S = 10.0


def _limit(units: str) -> Any:
    return Cpt(Quantity, units=units, kind="config")


class SpadProtection(Device):
    """State of the guard, and the cause, time and rates of a trip; its limits are configuration.

    After a trip no light and no acquisition is possible until `RE(mv(hbt.guard, "reset"))`.
    """

    state = Cpt(Quantity, dtype=str, value="off", kind="normal")
    cause = Cpt(Quantity, dtype=str, kind="normal")
    time_s = Cpt(Quantity, units="s", kind="normal")
    spad1_rate_Hz = Cpt(Quantity, units="Hz", precision=0, kind="normal")
    spad2_rate_Hz = Cpt(Quantity, units="Hz", precision=0, kind="normal")

    bin_s = _limit("s")
    look_s = _limit("s")
    single_bin_Hz = _limit("Hz")
    twice_Hz = _limit("Hz")
    sustained_Hz = _limit("Hz")
    sustained_s = _limit("s")
    baseline_dark_Hz = _limit("Hz")
    dark_factor = _limit("")
    dark_warn_factor = _limit("")
    zero_from_Hz = _limit("Hz")
    stall_s = _limit("s")

    def follow(self, guard: SpadGuard) -> None:
        """Show this guard from now on."""
        self._guard = guard
        for name, limit in guard.limits:
            getattr(self, name).put(limit)
        guard.on_change = self._update
        self._update()

    def check(self) -> None:
        """Refuse to go on after a trip.

        Raises:
            InstrumentError: gives the cause.
        """
        self._guard.check()

    def _update(self) -> None:
        trip = self._guard.trip
        self.state.put(self._guard.state)
        self.cause.put("" if trip is None else trip.cause)
        self.time_s.put(0.0 if trip is None else trip.time_s)
        self.spad1_rate_Hz.put(0.0 if trip is None else trip.spad1_rate_Hz)
        self.spad2_rate_Hz.put(0.0 if trip is None else trip.spad2_rate_Hz)

    def set(self, value: str) -> Status:
        """Accept light again after a trip.

        Args:
            value: "reset".

        Raises:
            LimitError: another value.
        """
        if value != "reset":
            raise LimitError(self.root.name, f"guard={value!r} does not exist", "the only choice is 'reset'")
        instrument: Any = self.root
        return instrument.submit(self._guard.reset, _RESET_TIMEOUT_S, f"{self.name}='reset'")
