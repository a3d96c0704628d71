"""The attoDRY800 over JSON-RPC: temperatures, heater and set point in plain numbers.

The controller's quirks (facts/attodry.md, sections 2 to 4) end here: whole floats arrive as integers, a call
may be accepted and not applied, some methods are missing in some firmware, and a reply may never come.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Any

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.drivers.attodry_calls import SYSTEM, AttoDryCalls
from cryopl_bluesky.drivers.errors import InstrumentError, check_limits
from cryopl_bluesky.drivers.jsonrpc import LinkError, MethodMissingError

_SETPOINT_TOLERANCE_K = 0.5e-3


class NotAppliedError(InstrumentError):
    """The controller accepted a command twice and did not carry it out."""


@dataclass(frozen=True, slots=True)
class CryostatSample:
    """What the cryostat reported at one moment.

    Temperatures are read every time; the other values in turn, so they can be some polls old.

    Attributes:
        time_s: when, on the driver's clock (monotonic).
        temperature_K: sample thermometer.
        cold_plate_K: cold plate thermometer; None when this firmware does not offer it.
        setpoint_K: set point of the sample's control.
        controlling: temperature control is on.
        heater_W: power of the sample heater.
        max_power_W: limit of the sample heater's power; None when unknown.
        resistance_ohm: resistance of the sample thermometer; None when unknown.
        ramping: the controller moves its working set point at a rate; None when unknown.
        sane: the controller's own opinion of the cryostat; None when unknown.
        error_number: error number that came with `sane`, 0 for none.
        error_component: what the controller names with it.
    """

    time_s: float
    temperature_K: float
    cold_plate_K: float | None
    setpoint_K: float
    controlling: bool
    heater_W: float
    max_power_W: float | None = None
    resistance_ohm: float | None = None
    ramping: bool | None = None
    sane: bool | None = None
    error_number: int = 0
    error_component: str = ""


@dataclass(frozen=True, slots=True)
class LastError:
    """The controller's last error, as it describes it.

    Attributes:
        number: opaque error number, 0 for none.
        recommendation: what the maker advises.
        component: where it arose.
        command: what was being done.
        age_s: how long ago.
    """

    number: int
    recommendation: str
    component: str
    command: str
    age_s: float


class AttoDry(AttoDryCalls):
    """One attoDRY800; every method talks to the controller (about 0.17 s a call) and is safe in any thread.

    Args:
        host: name or address of the controller.
        port: TCP port, 9090 on the real one.
        clock: time base of the samples.
        name: device name for error messages.
        timeout_s: real seconds to wait for the reply to a read; writes wait three times as long.
        setpoint_limits_K: smallest and largest set point that is sent.
    """

    def __init__(
        self, host: str, port: int, clock: Clock, *, name: str = "cryostat", timeout_s: float = 10.0,
        setpoint_limits_K: tuple[float, float] = (0.0, 325.0),
    ):
        super().__init__(host, port, clock, name=name, timeout_s=timeout_s)
        self.setpoint_limits_K = setpoint_limits_K
        self._lock = threading.RLock()
        self._latest: CryostatSample | None = None
        self._turn = 0

    # Reading

    def temperature_K(self) -> float:
        """Sample temperature."""
        return self.read_temperature("sample.getTemperature")

    def cold_plate_K(self) -> float:
        """Cold plate temperature."""
        return self.read_temperature("exchange.getTemperature")

    def resistance_ohm(self) -> float:
        """Resistance of the sample thermometer."""
        return self.read_float("sample.getResistance")

    def setpoint_K(self) -> float:
        """Set point of the sample's control; during a ramp perhaps the moving one (firmware-dependent)."""
        return self.read_float("sample.getSetPoint")

    def controlling(self) -> bool:
        """Whether temperature control of the sample is on."""
        return self.read_flag("sample.getTempControlStatus")

    def heater_W(self) -> float:
        """Power of the sample heater."""
        return self.read_float("sample.getHeaterPower")

    def max_power_W(self) -> float:
        """Limit of the sample heater's power."""
        return self.read_float("sample.getMaxPower")

    def ramping(self) -> bool:
        """Whether the controller approaches new set points at a rate."""
        return self.read_flag("sample.getRampControlStatus")

    def ramp_K_min(self) -> float:
        """Ramp rate in K/min, 0 for none."""
        return self.read_float("sample.getRampRate")

    def sanity(self) -> tuple[bool, str, int]:
        """The controller's opinion of the cryostat.

        Returns:
            Sane or not, component, error number. On the wire the error number stands last, not first.
        """
        method = "system.isCryostatSane"
        result = self.read_raw(method)
        if len(result) < 3:
            raise InstrumentError(self._name, f"{method} answered {result!r} instead of three values")
        return bool(result[0]), str(result[1]), int(result[2])

    def is_sane(self) -> bool:
        """Whether the controller considers the cryostat in order."""
        return self.sanity()[0]

    def last_error(self) -> LastError:
        """The controller's last error."""
        number, recommendation, component, command, age_s = self.read("system.getLastError")[:5]
        return LastError(int(number), str(recommendation), str(component), str(command), float(age_s))

    def identity(self) -> dict[str, str]:
        """Device type, serial number and firmware version, as far as the firmware tells."""
        methods = {"device": "system.getDeviceType", "serial_number": SYSTEM + "getSerialNumber",
                   "firmware": SYSTEM + "getFirmwareVersion"}
        found: dict[str, str] = {}
        for key, method in methods.items():
            try:
                found[key] = str((self.read(method) or [""])[0])
            except MethodMissingError:
                found[key] = ""
        return found

    def snapshot(self, *, everything: bool = False) -> CryostatSample:
        """Read both temperatures, and of the other values two in turn (all of them the first time).

        Four calls a poll take about 0.7 s on the real controller; more would slow it down.

        Args:
            everything: read all values now.

        Raises:
            InstrumentError: a value cannot be read or cannot be true.
        """
        with self._lock:
            everything = everything or self._latest is None
            latest = self._latest or CryostatSample(0.0, 0.0, None, 0.0, False, 0.0)
            changes: dict[str, Any] = {
                "temperature_K": self.temperature_K(), "cold_plate_K": self.read_optional(self.cold_plate_K),
            }
            for turn in range(3) if everything else [self._turn]:
                changes |= self._slow_values(turn)
            if everything:
                changes["max_power_W"] = self.read_optional(self.max_power_W)
            self._turn = (self._turn + 1) % 3
            self._latest = replace(latest, time_s=self._clock.monotonic(), **changes)
            return self._latest

    def _slow_values(self, turn: int) -> dict[str, Any]:
        if turn == 0:
            return {"setpoint_K": self.setpoint_K(), "controlling": self.controlling()}
        if turn == 1:
            return {"heater_W": self.heater_W(), "resistance_ohm": self.read_optional(self.resistance_ohm)}
        sane, component, number = self.read_optional(self.sanity) or (None, "", 0)
        return {"ramping": self.read_optional(self.ramping), "sane": sane, "error_component": component,
                "error_number": number}

    # Changing

    def set_setpoint(self, setpoint_K: float) -> None:
        """Set the set point and switch temperature control on; both are read back, and written again once.

        Raises:
            LimitError: outside the limits; nothing was sent.
            NotAppliedError: set point or control flag are still wrong after the second write.
            InstrumentError: the controller refused or does not answer.
        """
        check_limits(self._name, "setpoint_K", setpoint_K, *self.setpoint_limits_K, "K")
        with self._lock:
            if self._try_setpoint(setpoint_K) and (seen := self._try_setpoint(setpoint_K)):
                raise NotAppliedError(
                    self._name, f"setpoint_K={setpoint_K:g} was written twice, but the controller "
                    f"reports {seen}",
                    "is the controller locked, or is an action (go to base, sample exchange) running on it?",
                )

    def _try_setpoint(self, setpoint_K: float) -> str:
        """Send set point and start, read both back; returns what differs, "" when all is as wanted."""
        lost = self._send_setpoint(setpoint_K)
        read_K, controlling = self.setpoint_K(), self.controlling()
        if self._latest is not None:
            self._latest = replace(self._latest, setpoint_K=read_K, controlling=controlling)
        equal = abs(read_K - setpoint_K) <= _SETPOINT_TOLERANCE_K
        if controlling and (equal or self._on_ramp(read_K, setpoint_K)):
            return ""
        return f"{read_K:g} K with control {'on' if controlling else 'off'}" + (f" ({lost})" if lost else "")

    def _send_setpoint(self, setpoint_K: float) -> str:
        """Send set point and start; returns what was lost on the way, for the read-back to decide."""
        lost = ""
        for method, params in (("sample.setSetPoint", (float(setpoint_K),)), ("sample.startTempControl", ())):
            try:
                self.write(method, *params)
            except LinkError as error:
                lost = error.problem
        return lost

    def _on_ramp(self, read_K: float, target_K: float) -> bool:
        """True when a ramp is on and the set point read back can be the moving one."""
        if not self.read_optional(self.ramping):
            return False
        low_K, high_K = sorted((self.temperature_K(), target_K))
        return low_K - 1.0 <= read_K <= high_K + 1.0

    def stop_control(self) -> None:
        """Switch temperature control (and with it the heater) off.

        Raises:
            NotAppliedError: the controller still controls.
        """
        self.write("sample.stopTempControl")
        if self.controlling():
            raise NotAppliedError(self._name, "temperature control is still on after stopTempControl")

    def set_ramp(self, rate_K_min: float) -> float:
        """Approach new set points at a rate, or at once.

        Args:
            rate_K_min: 0.1 to 100 K/min; 0 switches the ramp off.

        Returns:
            The rate read back, 0 when the ramp is off.

        Raises:
            LimitError: outside the limits; nothing was sent.
            NotAppliedError: the controller reports something else.
        """
        if rate_K_min:
            check_limits(self._name, "ramp_K_min", rate_K_min, 0.1, 100.0, "K/min")
            self.write("sample.setRampRate", float(rate_K_min))
            self.write("sample.startRampControl")
        else:
            self.write("sample.stopRampControl")
        is_on = self.ramping()
        read_K_min = self.ramp_K_min() if is_on else 0.0
        if abs(read_K_min - rate_K_min) > 1e-3:
            raise NotAppliedError(self._name, f"ramp_K_min={rate_K_min:g} was written, but the controller "
                                  f"reports {read_K_min:g}")
        return read_K_min
