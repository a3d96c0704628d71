"""The oscillator module of a Sepia II: SOM, or SOMD with its wider divider and its PLL."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from ctypes import byref, c_int16, c_int32, c_ubyte, c_uint16
from dataclasses import dataclass
from typing import Any

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.drivers.errors import InstrumentError, InstrumentTimeoutError
from cryopl_bluesky.drivers.laser import same_rate
from cryopl_bluesky.drivers.sepia2_library import BUSY_CODES, Sepia2Calls

INTERNAL_MODES = (2, 3, 4)
"""Trigger modes with an internal base frequency; 0 and 1 are the external input."""
SINGLE_BURST = (1, 0, 0, 0, 0, 0, 0, 0)
BUSY_LIMIT_S = 5.0
_BUSY_POLL_S = 0.1


def parse_rate_Hz(text: str) -> float | None:
    """Frequency in a vendor text such as "50.00 MHz (int. C)"; None when there is none."""
    found = re.search(r"(\d+(?:\.\d+)?)\s*([kM]?)Hz", text)
    return float(found[1]) * {"": 1.0, "k": 1e3, "M": 1e6}[found[2]] if found else None


@dataclass(frozen=True)
class OscillatorRate:
    """How a rate is made: base frequency of trigger `mode`, divided by `divider`."""

    mode: int
    divider: int
    rate_Hz: float


class Oscillator:
    """One SOM or SOMD module.

    Args:
        calls: the vendor's functions.
        clock: for waiting while the module is busy.
        instrument: device name for messages.
        group: "SOM" or "SOMD".
        slot: slot id.
    """

    def __init__(self, calls: Sepia2Calls, clock: Clock, instrument: str, group: str, slot: int):
        self._calls, self._clock, self._instrument = calls, clock, instrument
        self.group, self.slot = group, slot
        self._divider_type: Any = c_ubyte if group == "SOM" else c_uint16
        self.max_divider = 255 if group == "SOM" else 65535
        self.bases_Hz: dict[int, float] = {}

    def read_bases(self) -> None:
        """Learn the base frequencies from the vendor's own texts."""
        for mode in INTERNAL_MODES:
            buffer = ctypes.create_string_buffer(64)
            self._call("DecodeFreqTrigMode", c_int32(mode), buffer)
            rate_Hz = parse_rate_Hz(buffer.value.decode("latin-1"))
            if rate_Hz:
                self.bases_Hz[mode] = rate_Hz

    def find(self, rate_Hz: float) -> OscillatorRate | None:
        """How to make `rate_Hz`, or None when no base and divider give it."""
        return next((rate for rate in self._around(rate_Hz) if same_rate(rate.rate_Hz, rate_Hz)), None)

    def nearest_Hz(self, rate_Hz: float) -> list[float]:
        """Rates around `rate_Hz` that can be made, for messages."""
        return [rate.rate_Hz for rate in self._around(rate_Hz)]

    def _around(self, rate_Hz: float) -> list[OscillatorRate]:
        found = []
        for mode, base_Hz in self.bases_Hz.items():
            first = int(base_Hz // rate_Hz)
            dividers = {min(max(n, 1), self.max_divider) for n in (first, first + 1)}
            found += [OscillatorRate(mode, n, base_Hz / n) for n in dividers]
        return found

    def apply(self, rate: OscillatorRate) -> None:
        """Set everything that makes the rate, single pulses, free running, and verify it.

        Raises:
            InstrumentError: the module reads back something else.
        """
        synchronise = () if self.group == "SOM" else (c_ubyte(1),)
        self._call("SetFreqTrigMode", c_int32(rate.mode), *synchronise)
        self._call("SetBurstValues", self._divider_type(rate.divider), c_ubyte(0), c_ubyte(0))
        self._call("SetBurstLengthArray", *(c_int32(length) for length in SINGLE_BURST))
        self._call("SetAUXIOSequencerCtrl", c_ubyte(0), c_ubyte(0))
        self._wait_until_ready()
        found = self.read_rate()
        if found != rate:
            raise InstrumentError(self._instrument, f"{self.group} was set to {rate} but reads back {found}",
                                  "restart the Sepia II; the laser stays locked")

    def read_rate(self) -> OscillatorRate | None:
        """The rate that is set now; None for an external trigger."""
        mode, divider, ignored = c_int32(), self._divider_type(), [c_ubyte(), c_ubyte()]
        synchronised = () if self.group == "SOM" else (byref(c_ubyte()),)
        self._call("GetFreqTrigMode", byref(mode), *synchronised)
        self._call("GetBurstValues", byref(divider), *(byref(value) for value in ignored))
        base_Hz = self.bases_Hz.get(mode.value)
        if base_Hz is None or divider.value == 0:
            return None
        return OscillatorRate(mode.value, divider.value, base_Hz / divider.value)

    def enable_outputs(self, mask: int, sync_mask: int) -> None:
        """Enable outputs (bit i = output i+1), mirror some to the sync output, and verify.

        Raises:
            InstrumentError: the module reads back another mask.
        """
        self._call("SetOutNSyncEnable", c_ubyte(mask), c_ubyte(sync_mask), c_ubyte(0))
        found = [c_ubyte(), c_ubyte(), c_ubyte()]
        self._call("GetOutNSyncEnable", *(byref(value) for value in found))
        if [value.value for value in found] != [mask, sync_mask, 0]:
            masks = [value.value for value in found]
            problem = f"{self.group} outputs were set to {[mask, sync_mask, 0]} but read back {masks}"
            raise InstrumentError(self._instrument, problem, "restart the Sepia II")

    def _wait_until_ready(self) -> None:
        """Wait until the module's own status has no passing error; only the SOMD has such a status."""
        if self.group == "SOMD":
            self._retry_while_busy("SOMD_GetStatusError", self._status_error)

    def _status_error(self) -> int:
        state, error = c_uint16(), c_int16()
        self._call("GetStatusError", byref(state), byref(error))
        return error.value

    def _call(self, function: str, *arguments: Any) -> None:
        """Call a function of this module; waits while the module says that it is busy."""
        name = f"{self.group}_{function}"
        ids = c_int32(self._calls.device_index), c_int32(self.slot)
        self._retry_while_busy(name, lambda: self._calls.code(name, *ids, *arguments))

    def _retry_while_busy(self, name: str, attempt: Callable[[], int]) -> None:
        deadline_s = self._clock.monotonic() + BUSY_LIMIT_S
        while (code := attempt()) in BUSY_CODES:
            if self._clock.monotonic() > deadline_s:
                raise InstrumentTimeoutError(
                    self._instrument, f"{name}: oscillator still not ready [{code}] after {BUSY_LIMIT_S:g} s",
                    "restart the Sepia II", code=code)
            self._clock.sleep(_BUSY_POLL_S)
        if code != 0:
            self._calls.fail(name, code)
