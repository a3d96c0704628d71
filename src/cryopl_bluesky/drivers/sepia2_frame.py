"""What is fitted in a Sepia II frame; everything here only reads."""

from __future__ import annotations

import ctypes
import logging
from ctypes import byref, c_int32, c_ubyte

from cryopl_bluesky.drivers.errors import InstrumentError
from cryopl_bluesky.drivers.sepia2_library import TEXT_LENGTH, Sepia2Calls, decode

log = logging.getLogger(__name__)

_MODULES = {0x40: "SCM", 0x50: "SOM", 0x51: "SOMD", 0x70: "SLM"}
_NO_RESTART, _PRIMARY = 0, 1


def read_firmware(calls: Sepia2Calls, instrument: str) -> str:
    """Firmware version; an error that the firmware remembers from its start is logged."""
    version = ctypes.create_string_buffer(TEXT_LENGTH)
    calls("FWR_GetVersion", version)
    numbers, condition = [c_int32() for _ in range(4)], ctypes.create_string_buffer(TEXT_LENGTH)
    calls("FWR_GetLastError", *(byref(number) for number in numbers), condition)
    if numbers[0].value != 0:
        log.warning("%s: the firmware reports error %d: %s", instrument, numbers[0].value, decode(condition))
    return decode(version)


def find_modules(calls: Sepia2Calls, instrument: str) -> dict[str, c_int32]:
    """Slot ids by module kind (SCM, SOM, SOMD, SLM), the first of each; backplanes and heads are skipped.

    The vendor demands this map before any call to a module. It is read without restarting the frame.

    Raises:
        InstrumentError: the safety module or the head driver is missing.
    """
    slots: dict[str, c_int32] = {}
    count = calls.value("FWR_GetModuleMap", c_int32(_NO_RESTART), kind=c_int32)
    for index in range(count):
        slot, primary, backplane, uptime = c_int32(), c_ubyte(), c_ubyte(), c_ubyte()
        calls("FWR_GetModuleInfoByMapIdx", c_int32(index), byref(slot), byref(primary), byref(backplane),
              byref(uptime))
        if backplane.value or not primary.value:
            continue
        kind = calls.value("COM_GetModuleType", slot, c_int32(_PRIMARY), kind=c_int32)
        if kind in _MODULES:
            slots.setdefault(_MODULES[kind], slot)
    missing = [kind for kind in ("SCM", "SLM") if kind not in slots]
    if missing:
        raise InstrumentError(instrument, f"no {' and no '.join(missing)} among {count} modules",
                              "check that the frame holds a safety module (SCM) and a head driver (SLM)")
    return slots
