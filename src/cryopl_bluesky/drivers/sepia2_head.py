"""The head driver of a Sepia II: the SLM module with its own oscillator and the laser head."""

from __future__ import annotations

from ctypes import byref, c_int32, c_ubyte, c_uint16

from cryopl_bluesky.drivers.errors import InstrumentError
from cryopl_bluesky.drivers.laser import same_rate
from cryopl_bluesky.drivers.sepia2_library import Sepia2Calls
from cryopl_bluesky.drivers.sepia2_oscillator import parse_rate_Hz

FROM_OSCILLATOR = 7
"""Rate index: external trigger, falling edge, which is how the oscillator module drives the head."""
_OWN_INDICES = range(6)
_PULSED = 1
_LASER_HEAD = 2
_HEADS = {0: "failure", 1: "LED", 2: "laser", 3: "none"}


class Head:
    """One SLM module.

    Args:
        calls: the vendor's functions.
        instrument: device name for messages.
        slot: slot id.
    """

    def __init__(self, calls: Sepia2Calls, instrument: str, slot: c_int32):
        self._calls, self._instrument, self._slot = calls, instrument, slot
        self.rates_Hz: dict[int, float] = {}

    def read_rates(self) -> None:
        """Learn the rates of the module's own oscillator from the vendor's texts."""
        texts = {index: self._calls.text("SLM_DecodeFreqTrigMode", c_int32(index)) for index in _OWN_INDICES}
        self.rates_Hz = {index: rate_Hz for index, text in texts.items() if (rate_Hz := parse_rate_Hz(text))}

    def index_of(self, rate_Hz: float) -> int | None:
        """Index of an own rate, None when there is no such rate."""
        return next((index for index, own_Hz in self.rates_Hz.items() if same_rate(own_Hz, rate_Hz)), None)

    def rate_index(self) -> int:
        """The rate index that is set now."""
        return self._read_pulse()[0]

    def set_rate_index(self, index: int) -> None:
        """Set a rate index with pulses enabled, and verify it. Pulse mode 0 would be CW, so it is never used.

        Raises:
            InstrumentError: the module reads back something else.
        """
        self._calls("SLM_SetPulseParameters", self._slot, c_int32(index), c_ubyte(_PULSED))
        found = self._read_pulse()[:2]
        if found != (index, _PULSED):
            raise InstrumentError(self._instrument, f"the head driver was set to (rate index, pulse mode) "
                                  f"{(index, _PULSED)} but reads back {found}", "restart the Sepia II")

    def check_connected(self) -> None:
        """Refuse to go on without a laser head.

        Raises:
            InstrumentError: no head, another kind of head, or a failure.
        """
        head = self._read_pulse()[2]
        if head != _LASER_HEAD:
            kind = _HEADS.get(head, "unknown")
            raise InstrumentError(self._instrument, f"no laser head: head type {head} ({kind})",
                                  "connect the head to the SLM module with the Sepia II switched off")

    def permille(self) -> int:
        """The intensity that is set now."""
        return self._calls.value("SLM_GetIntensityFineStep", self._slot, kind=c_uint16)

    def set_permille(self, permille: int) -> None:
        """Set the intensity and verify it.

        Raises:
            InstrumentError: the module reads back something else.
        """
        self._calls("SLM_SetIntensityFineStep", self._slot, c_uint16(permille))
        found = self.permille()
        if found != permille:
            problem = f"intensity_permille was set to {permille} but reads back {found}"
            raise InstrumentError(self._instrument, problem, "restart the Sepia II")

    def _read_pulse(self) -> tuple[int, int, int]:
        index, mode, head = c_int32(), c_ubyte(), c_int32()
        self._calls("SLM_GetPulseParameters", self._slot, byref(index), byref(mode), byref(head))
        return index.value, mode.value, head.value
