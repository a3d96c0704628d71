"""PicoQuant's Sepia2_Lib: C prototypes, loading, and calls that raise instead of returning a code.

Types follow the vendor's Windows header, where `long` has 32 bits: always `c_int32`, never `c_long`.
"""

from __future__ import annotations

import ctypes
import logging
import sys
from collections.abc import Callable
from ctypes import POINTER, c_char, c_double, c_int32, c_ubyte, c_uint16, c_uint32
from typing import Any, NoReturn

from cryopl_bluesky.drivers.errors import InstrumentError, NotConnectedError

log = logging.getLogger(__name__)

_text = POINTER(c_char)
_int, _int_out = c_int32, POINTER(c_int32)
_byte, _byte_out = c_ubyte, POINTER(c_ubyte)
_word, _word_out = c_uint16, POINTER(c_uint16)
_dev, _slot = c_int32, c_int32


def _oscillator(group: str, divider: Any, divider_out: Any) -> dict[str, tuple[Any, ...]]:
    synchronise = () if group == "SOM" else (_byte,)
    synchronise_out = () if group == "SOM" else (_byte_out,)
    functions = {
        "GetFreqTrigMode": (_dev, _slot, _int_out, *synchronise_out),
        "SetFreqTrigMode": (_dev, _slot, _int, *synchronise),
        "DecodeFreqTrigMode": (_dev, _slot, _int, _text),
        "GetBurstValues": (_dev, _slot, divider_out, _byte_out, _byte_out),
        "SetBurstValues": (_dev, _slot, divider, _byte, _byte),
        "GetBurstLengthArray": (_dev, _slot, *(_int_out,) * 8),
        "SetBurstLengthArray": (_dev, _slot, *(_int,) * 8),
        "GetOutNSyncEnable": (_dev, _slot, _byte_out, _byte_out, _byte_out),
        "SetOutNSyncEnable": (_dev, _slot, _byte, _byte, _byte),
        "GetAUXIOSequencerCtrl": (_dev, _slot, _byte_out, _byte_out),
        "SetAUXIOSequencerCtrl": (_dev, _slot, _byte, _byte),
    }
    return {f"SEPIA2_{group}_{name}": arguments for name, arguments in functions.items()}


PROTOTYPES: dict[str, tuple[Any, ...]] = {
    "SEPIA2_LIB_DecodeError": (_int, _text),
    "SEPIA2_LIB_GetVersion": (_text,),
    "SEPIA2_USB_OpenDevice": (_dev, _text, _text),
    "SEPIA2_USB_IsOpenDevice": (_dev, _byte_out),
    "SEPIA2_USB_CloseDevice": (_dev,),
    "SEPIA2_FWR_GetVersion": (_dev, _text),
    "SEPIA2_FWR_GetLastError": (_dev, _int_out, _int_out, _int_out, _int_out, _text),
    "SEPIA2_FWR_GetModuleMap": (_dev, _int, _int_out),
    "SEPIA2_FWR_FreeModuleMap": (_dev,),
    "SEPIA2_FWR_GetModuleInfoByMapIdx": (_dev, _int, _int_out, _byte_out, _byte_out, _byte_out),
    "SEPIA2_COM_GetModuleType": (_dev, _slot, _int, _int_out),
    "SEPIA2_COM_DecodeModuleTypeAbbr": (_int, _text),
    "SEPIA2_SCM_GetLaserLocked": (_dev, _slot, _byte_out),
    "SEPIA2_SCM_GetLaserSoftLock": (_dev, _slot, _byte_out),
    "SEPIA2_SCM_SetLaserSoftLock": (_dev, _slot, _byte),
    "SEPIA2_SLM_GetIntensityFineStep": (_dev, _slot, _word_out),
    "SEPIA2_SLM_SetIntensityFineStep": (_dev, _slot, _word),
    "SEPIA2_SLM_GetPulseParameters": (_dev, _slot, _int_out, _byte_out, _int_out),
    "SEPIA2_SLM_SetPulseParameters": (_dev, _slot, _int, _byte),
    "SEPIA2_SLM_DecodeFreqTrigMode": (_int, _text),
    **_oscillator("SOM", _byte, _byte_out),
    **_oscillator("SOMD", _word, _word_out),
    "SEPIA2_SOMD_GetStatusError": (_dev, _slot, _word_out, POINTER(ctypes.c_int16)),
    "SEPIA2_SOMD_GetDelayUnits": (_dev, _slot, POINTER(c_double), _byte_out),
    "SEPIA2_SOMD_GetTrigSyncFreq": (_dev, _slot, _byte_out, POINTER(c_uint32)),
}
"""Argument types of the functions that the driver may call; all return a 32-bit error code."""

BUSY_CODES = frozenset({-5075, -5076, -5077})
"""SOMD initialising, busy, PLL not locked: they pass by themselves."""

_BLOCKED_CODES = frozenset({-2003, -3207, -9004, -9005})
_GONE_CODES = frozenset({-2002, -2006, -3204, -3217, -9006, -9025})
_BLOCKED = "close the vendor's program or the other session that holds it, then connect again"
_GONE = "check USB cable and mains switch of the Sepia II, then connect again; the laser may still be ON"
_ADVICE = {
    -9002: "device_index in the profile must be 0 to 7 and the Sepia II must be switched on",
    -9007: "the safety module (SCM) does not answer; restart the Sepia II",
    -5077: "the oscillator's PLL does not lock; restart the Sepia II",
}

TEXT_LENGTH = 64
"""Size of every text buffer: the longest of the vendor's that we use (error string), so all fit."""


def load_vendor_library(path: str = "") -> Any:
    """Load Sepia2_Lib and declare its prototypes.

    Args:
        path: path of `Sepia2_Lib.dll`; "" = search as Windows does.

    Returns:
        An object with the functions of `PROTOTYPES`.

    Raises:
        NotConnectedError: not on Windows, library missing, or a function missing in it.
    """
    if sys.platform != "win32":
        raise NotConnectedError("laser", f"Sepia2_Lib exists for Windows only, this is {sys.platform}",
                                "run on the Windows instrument PC, or use driver = \"manual\"")
    name = path or "Sepia2_Lib.dll"
    try:
        library = ctypes.WinDLL(name)
        for function, argtypes in PROTOTYPES.items():
            getattr(library, function).argtypes = argtypes
            getattr(library, function).restype = c_int32
    except (OSError, AttributeError) as error:
        raise NotConnectedError("laser", f"cannot load {name!r}: {error}",
                                "install PicoQuant's Sepia II software (64 bit), or set laser.library "
                                "to the path of Sepia2_Lib.dll") from error
    return library


class Sepia2Calls:
    """Calls functions of Sepia2_Lib by their name without the prefix `SEPIA2_`; an error code raises.

    Args:
        library: object with the functions.
        instrument: device name for error messages.
        device_index: USB index of the Sepia II.
        check: called before each call; raises to stop a sequence.
    """

    def __init__(self, library: Any, instrument: str, device_index: int, check: Callable[[], None]):
        self._library, self._instrument, self._check = library, instrument, check
        self.device_index = device_index

    def code(self, function: str, *arguments: Any) -> int:
        """Call without the device index and return the vendor's code, 0 = ok."""
        self._check()
        code = int(getattr(self._library, f"SEPIA2_{function}")(*arguments))
        log.debug("%s%r -> %d", function, arguments, code)
        return code

    def __call__(self, function: str, *arguments: Any) -> None:
        """Call with the device index first; outputs go into the `ctypes.byref` arguments.

        Raises:
            InstrumentError: the function returned an error.
        """
        code = self.code(function, c_int32(self.device_index), *arguments)
        if code != 0:
            self.fail(function, code)

    def value(self, function: str, *arguments: Any, kind: Any) -> int:
        """Call a function whose last argument is one output of ctypes type `kind` and return it."""
        found = kind()
        self(function, *arguments, ctypes.byref(found))
        return int(found.value)

    def text(self, function: str, *arguments: Any) -> str:
        """Call a function without device index whose last argument is a text buffer."""
        buffer = ctypes.create_string_buffer(TEXT_LENGTH)
        code = self.code(function, *arguments, buffer)
        if code != 0:
            self.fail(function, code)
        return decode(buffer)

    def fail(self, function: str, code: int) -> NoReturn:
        """Raise what an error code of `function` means."""
        buffer = ctypes.create_string_buffer(TEXT_LENGTH)
        known = self._library.SEPIA2_LIB_DecodeError(c_int32(code), buffer) == 0
        said = decode(buffer) if known else "unknown error"
        problem = f"{function} failed: {said} [{code}]"
        if code in _BLOCKED_CODES:
            raise NotConnectedError(self._instrument, problem, _BLOCKED, code=code)
        if code in _GONE_CODES:
            raise NotConnectedError(self._instrument, problem, _GONE, code=code)
        raise InstrumentError(self._instrument, problem, _ADVICE.get(code, ""), code=code)


def decode(buffer: ctypes.Array[c_char]) -> str:
    """Text of a vendor buffer."""
    return buffer.value.decode("latin-1").strip()
