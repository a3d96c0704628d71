"""The controller behind the wire: its methods, its state machine and its errors (sections 3, 4 and 6)."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

from cryopl_bluesky.sim.attodry_readout import Readout
from cryopl_bluesky.sim.bench import Bench
from cryopl_bluesky.sim.thermal import HeaterLoop

INTERFACE = "com.attocube.cryostat.interface."
SYSTEM = "com.attocube.system."
METHOD_NOT_FOUND, BAD_PARAMETERS = -32601, -32602
# Error numbers of the maker are not public; these are ours.
OUT_OF_RANGE, LOCKED, COMPRESSOR = 1001, 1002, 2032
_TEXTS = {0: "no error", OUT_OF_RANGE: "value out of range", LOCKED: "device is locked",
          COMPRESSOR: "compressor is off"}
_SETPOINT_MAX_K = 325.0
_BASE_REACHED_K = 5.0
_EXCHANGE_K = 300.0
# What the fault "cryostat.method_missing" takes away: an older firmware.
_NEWER_METHODS = {INTERFACE + name for name in (
    "sample.getResistance", "sample.getMaxPower", "sample.getRampControlStatus", "system.isCryostatSane")}

_HEATING_MODES = ("off", "closed", "open", "zone")


class RpcError(Exception):
    """Answered as a JSON-RPC error object."""

    def __init__(self, code: int, message: str):
        self.code = code
        super().__init__(message)


class DeviceError(Exception):
    """Answered as `[number]`, values missing."""

    def __init__(self, number: int):
        self.number = number
        super().__init__(_TEXTS.get(number, ""))


class Controller:
    """State and methods of the controller; call it under the bench's lock only through `call`.

    Args:
        bench: the world: clock, temperatures, faults.
    """

    def __init__(self, bench: Bench):
        self._bench, self._readout = bench, Readout(bench)
        self._command, self._prompt = "idle", ""
        self._pid = {"sample": [50.0, 20.0, 0.0], "exchange": [50.0, 20.0, 0.0]}
        self._filter = {"sample": [True, 8, 1], "exchange": [True, 8, 1]}
        self._zones = [[upper, 50.0, 20.0, 0.0, 0.0, 1, 0.0] for upper in (10.0, 25.0, 50.0, 100.0, 325.0)]
        self.setpoint_follows_ramp = False
        self._methods: dict[str, Callable[..., list[Any]]] = {}
        self._signatures: dict[str, inspect.Signature] = {}
        for group in ("sample", "exchange"):
            self._add_group(group)
        self._add_sample_only()
        self._add_board()
        self._add_actions()
        self._add_system()

    def call(self, method: str, params: list[Any]) -> list[Any]:
        """The array `result` of one call.

        Raises:
            RpcError: unknown method or bad parameters.
        """
        function = self._methods.get(method)
        missing = self._bench.fault("cryostat.method_missing") is not None and method in _NEWER_METHODS
        if function is None or missing:
            raise RpcError(METHOD_NOT_FOUND, "Method not found")
        try:
            self._signatures[method].bind(*params)
        except TypeError as error:
            raise RpcError(BAD_PARAMETERS, "Invalid params") from error
        with self._bench.lock:
            self._live()
            try:
                values = function(*params)
            except DeviceError as error:
                return [error.number]
        if method == INTERFACE + "system.isCryostatSane":
            return values
        return [0, *(_plain(value) for value in values)]

    def _live(self) -> None:
        """Let faults act and time pass."""
        bench, thermal = self._bench, self._bench.thermal
        thermal.compressor_on = bench.fault("cryostat.compressor_trip") is None
        thermal.plate_drift_K_min = -(bench.fault("cryostat.plate_runaway") or 0.0)
        if bench.faults.pop("cryostat.control_drops", None) is not None:
            thermal.sample_loop.stop()
        if (setpoint_K := bench.faults.pop("cryostat.foreign_setpoint", None)) is not None:
            thermal.sample_loop.setpoint_K = setpoint_K
        thermal.advance_to(bench.clock.monotonic())
        if self._command.startswith("goToBase") and thermal.cold_plate_K < _BASE_REACHED_K:
            self._command = "idle"
        if self._command.startswith("sampleExchange") and thermal.sample_K > _EXCHANGE_K - 1.0:
            self._prompt = "Exchange the sample, then confirm."

    def _loop(self, group: str) -> HeaterLoop:
        thermal = self._bench.thermal
        return thermal.sample_loop if group == "sample" else thermal.plate_loop

    def _temperature_K(self, group: str) -> float:
        thermal = self._bench.thermal
        return thermal.sample_K if group == "sample" else thermal.cold_plate_K

    def _shown_K(self, group: str) -> float:
        if group == "sample" and (fault := self._bench.fault("cryostat.sensor_open")) is not None:
            return fault
        return self._readout.now().sample_K if group == "sample" else self._readout.now().plate_K

    def _add(self, name: str, function: Callable[..., list[Any]], *, writes: bool = False) -> None:
        def guarded(*params: Any) -> list[Any]:
            if self._bench.fault("cryostat.locked") is not None:
                raise DeviceError(LOCKED)
            return function(*params)

        full_name = name if name.startswith("com.") else INTERFACE + name
        self._methods[full_name] = guarded if writes else function
        self._signatures[full_name] = inspect.signature(function)

    def _add_group(self, group: str) -> None:
        """The methods that sample and cold plate have in common."""
        loop = self._loop
        thermal = self._bench.thermal

        def ohm() -> list[Any]:
            return [self._readout.now().sample_ohm if group == "sample" else self._readout.now().plate_ohm]

        def setpoint() -> list[Any]:
            following = self.setpoint_follows_ramp and loop(group).ramp_on
            return [round(loop(group).working_K, 3) if following else loop(group).setpoint_K]

        def set_setpoint(value_K: float) -> list[Any]:
            if not 0 <= value_K <= _SETPOINT_MAX_K:
                raise DeviceError(OUT_OF_RANGE)
            if not (group == "sample" and use_fault(self._bench, "cryostat.setpoint_ignored")):
                loop(group).setpoint_K = float(value_K)
            return []

        def start(mode: str = "closed") -> list[Any]:
            loop(group).start(self._temperature_K(group), mode=mode)
            return []

        def stop() -> list[Any]:
            loop(group).stop()
            return []

        def set_power(power_W: float) -> list[Any]:
            loop(group).open_loop_W = float(power_W)
            return []

        def set_filter(on: bool, points: int, window: int) -> list[Any]:
            self._filter[group] = [on, points, window]
            return []

        def zone(number: int) -> list[Any]:
            if not 1 <= number <= len(self._zones):
                raise DeviceError(OUT_OF_RANGE)
            return list(self._zones[number - 1])

        def set_zone(
            number: int, upper_K: float, p: float, i: float, d: float, manual: float, heater_range: int
        ) -> list[Any]:
            zone(number)
            self._zones[number - 1][:6] = [upper_K, p, i, d, manual, heater_range]
            return []

        add = self._add
        add(f"{group}.getTemperature", lambda: [self._shown_K(group)])
        add(f"{group}.getResistance", ohm)
        add(f"{group}.getSetPoint", setpoint)
        add(f"{group}.getTempControlStatus", lambda: [loop(group).mode in ("closed", "zone")])
        add(f"{group}.getHeaterPower",
            lambda: [thermal.heater_W if group == "sample" else round(loop(group).power_W, 6)])
        add(f"{group}.getHeaterHeatingMode", lambda: [_HEATING_MODES.index(loop(group).mode)])
        add(f"{group}.getHeaterStatus", lambda: [])
        add(f"{group}.getHeaterRes", lambda: [50.0])
        add(f"{group}.getInputFilterSettings", lambda: list(self._filter[group]))
        add(f"{group}.getHeaterNumberOfZones", lambda: [len(self._zones)])
        add(f"{group}.getHeaterNumberOfDefaultZones", lambda: [len(self._zones)])
        add(f"{group}.getHeaterZoneSettings", zone)
        add(f"{group}.getHeaterDefaultZoneSettings", zone)
        add(f"{group}.setSetPoint", set_setpoint, writes=True)
        add(f"{group}.startTempControl", lambda: start(), writes=True)
        add(f"{group}.stopTempControl", stop, writes=True)
        add(f"{group}.setHeaterPower", set_power, writes=True)
        add(f"{group}.startHeaterOpenLoopPower", lambda: start("open"), writes=True)
        add(f"{group}.startHeaterZoneMode", lambda: start("zone"), writes=True)
        add(f"{group}.setInputFilterSettings", set_filter, writes=True)
        add(f"{group}.setHeaterZoneSettings", set_zone, writes=True)

    def _add_sample_only(self) -> None:
        loop = self._bench.thermal.sample_loop

        def set_ramp(rate_K_min: float) -> list[Any]:
            if not 0.1 <= rate_K_min <= 100:
                raise DeviceError(OUT_OF_RANGE)
            loop.ramp_K_min = float(rate_K_min)
            return []

        def ramp(on: bool) -> list[Any]:
            if on and not loop.ramp_on:
                closed = loop.mode in ("closed", "zone")
                loop.working_K = loop.setpoint_K if closed else self._bench.thermal.sample_K
            loop.ramp_on = on
            return []

        def set_max(power_W: float) -> list[Any]:
            loop.max_power_W = float(power_W)
            return []

        def set_pid(p: float, i: float, d: float) -> list[Any]:
            self._pid["sample"] = [p, i, d]
            return []

        add = self._add
        add("sample.getMaxPower", lambda: [loop.max_power_W])
        add("sample.getPID", lambda: list(self._pid["sample"]))
        add("sample.getRampRate", lambda: [loop.ramp_K_min if loop.ramp_on else 0.0])
        add("sample.getRampControlStatus", lambda: [loop.ramp_on])
        add("sample.getHeaterRampData", lambda: [loop.ramp_on, loop.ramp_K_min])
        add("sample.getHeaterWireRes", lambda: [5.0])
        add("sample.getHeaterAllZoneRampRates", lambda: [loop.ramp_K_min])
        add("sample.downloadCalibrationCurve", lambda: [_CURVE])
        add("sample.setMaxPower", set_max, writes=True)
        add("sample.setPID", set_pid, writes=True)
        add("sample.setP", lambda p: set_pid(p, self._pid["sample"][1], self._pid["sample"][2]), writes=True)
        add("sample.setI", lambda i: set_pid(self._pid["sample"][0], i, self._pid["sample"][2]), writes=True)
        add("sample.setD", lambda d: set_pid(self._pid["sample"][0], self._pid["sample"][1], d), writes=True)
        add("sample.setRampRate", set_ramp, writes=True)
        add("sample.startRampControl", lambda: ramp(True), writes=True)
        add("sample.stopRampControl", lambda: ramp(False), writes=True)
        add("sample.heaterRampOn", lambda rate: [*set_ramp(rate), *ramp(True)], writes=True)
        add("sample.heaterRampOff", lambda: ramp(False), writes=True)

    def _add_board(self) -> None:
        """Reads of the temperature board: channel 0 is the cold plate, 1 the sample."""
        def group(channel: int) -> str:
            if channel not in (0, 1):
                raise DeviceError(OUT_OF_RANGE)
            return ("exchange", "sample")[channel]

        def ohm(channel: int) -> list[Any]:
            shown = self._readout.now()
            return [shown.sample_ohm if group(channel) == "sample" else shown.plate_ohm]

        self._add("tboard.getTemperature", lambda channel: [self._shown_K(group(channel))])
        self._add("tboard.getResistance", ohm)
        self._add("tboard.getRawSensorInput", ohm)
        self._add("tboard.isHeatingChannel", lambda channel: [self._loop(group(channel)).mode != "off"])
        self._add("tboard.getHeaterSetpointChannel", lambda channel: [self._loop(group(channel)).setpoint_K])
        self._add("tboard.getHeaterPIDChannel", lambda channel: list(self._pid[group(channel)]))
        # Misspelt on the wire.
        self._add("tboard.getHeaterZoneSettingsCannel", lambda channel, zone: list(self._zones[zone - 1]))

    def _add_actions(self) -> None:
        thermal = self._bench.thermal

        def to_base(name: str) -> list[Any]:
            thermal.sample_loop.stop()
            thermal.plate_loop.stop()
            self._command = name
            return []

        def to_room(name: str) -> list[Any]:
            for group in ("sample", "exchange"):
                self._loop(group).setpoint_K = _EXCHANGE_K
                self._loop(group).start(self._temperature_K(group))
            self._command = name
            return []

        def finish(*_: Any) -> list[Any]:
            self._command, self._prompt = "idle", ""
            return []

        for name in ("goToBase", "goToBaseSoft"):
            self._add(f"action.{name}", lambda name=name: to_base(name), writes=True)
        for name in ("sampleExchange", "sampleExchangeSoft", "shutdown"):
            self._add(f"action.{name}", lambda name=name: to_room(name), writes=True)
        self._add("action.cancelCurrentCommand", lambda: finish(), writes=True)
        self._add("action.postEvent", lambda event: finish(event), writes=True)
        self._add("action.getCurrentCommand", lambda: [self._command])
        self._add("action.getCurrentCommandStatus",
                  lambda: ["finished" if self._command == "idle" else "running"])
        self._add("action.getWaitForEvent", lambda: [self._prompt])

    def _add_system(self) -> None:
        def error() -> int:
            if self._bench.fault("cryostat.compressor_trip") is not None:
                return COMPRESSOR
            return int(self._bench.fault("cryostat.insane") or 0)

        def sane() -> list[Any]:
            bad = error() != 0 or self._bench.fault("cryostat.insane") is not None
            return [not bad, "Compressor" if error() == COMPRESSOR else "", error()]

        def status() -> list[Any]:
            return [json.dumps({"sample": self._shown_K("sample"), "exchange": self._shown_K("exchange"),
                                "command": self._command})]

        self._add("system.isCryostatSane", sane)
        self._add("system.getLastError",
                  lambda: [error(), "", "Compressor" if error() else "", self._command, 0.0])
        self._add("system.getLastErrorNumber", lambda: [error()])
        self._add("system.lowerError", lambda: [], writes=True)
        self._add("system.getDeviceType", lambda: ["attodry800"])
        self._add("system.getCurrentStatusJSONd", status)
        self._add("pressures.getSampleSpacePressure", lambda: [9.676764])
        self._add(SYSTEM + "getFirmwareVersion", lambda: ["1.0.0"])
        self._add(SYSTEM + "getSerialNumber", lambda: ["L00-0000"])
        self._add(SYSTEM + "getDeviceName", lambda: ["attoDRY800"])
        self._add(SYSTEM + "errorNumberToString", lambda language, number: [_TEXTS.get(number, "unknown")])
        self._add(SYSTEM + "errorNumberToRecommendation", lambda language, number: ["Contact the maker."])
        self._add("getLockStatus", lambda: [self._bench.fault("cryostat.locked") is not None, True])
        self._methods["getLockStatus"] = self._methods.pop(INTERFACE + "getLockStatus")


_CURVE = "\n".join([
    "Sensor Model:\tCX-1050-SD-HT", "Serial Number:\tX00000", "Data Format:\t4\t(Log Ohms/Kelvin)",
    "SetPoint Limit:\t325.0\t(Kelvin)", "Temperature coefficient:\t1 (Negative)", "Number of Breakpoints:\t3",
    "1\t1.86923\t325.0", "2\t2.35141\t100.0", "3\t3.22919\t10.0",
])


def _plain(value: Any) -> Any:
    """Whole floats leave the controller as integers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def use_fault(bench: Bench, fault: str) -> bool:
    """True while a fault is on; its parameter counts how often it still acts."""
    with bench.lock:
        left = bench.fault(fault)
        if left is None:
            return False
        if left > 1:
            bench.faults[fault] = left - 1
        else:
            del bench.faults[fault]
        return True
