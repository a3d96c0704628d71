"""PicoQuant's Sepia2_Lib in front of a virtual frame: SCM 000, SOMD 100, SLM 200 with a CW-capable head.

Faults (`Bench.set_fault`): `laser.key_off`, `laser.interlock_open`, `laser.busy`, `laser.unplugged`,
`laser.softlock_lies` (the soft lock reads as set whatever it is), `laser.lock_fails` (the soft lock has no
effect), `laser.head_missing`, `laser.pll_unlocked` (seconds after each change of the base frequency for which
the oscillator's PLL is not locked; the module refuses settings meanwhile).
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryopl_bluesky.drivers.sepia2_library import PROTOTYPES
from cryopl_bluesky.sim.bench import Bench, LaserState
from cryopl_bluesky.sim.laser_head import cw_power_uW, optical_power_uW, pulse_fwhm_ps

log = logging.getLogger(__name__)

OK = 0
_ERRORS = {
    -2003: "USB device busy", -3217: "USB device not open",
    -5058: "illegal frequency/trigger mode", -5059: "illegal divider", -5060: "preSync > divider",
    -5061: "burst length out of range", -5077: "PLL not locked",
    -6001: "SLM illegal frequency/trigger mode", -6002: "SLM illegal intensity",
    -9002: "illegal device index", -9004: "USB device busy or blocked", -9005: "device already opened",
    -9006: "unknown USB handle", -9007: "SCM module not found", -9009: "slot not in use",
    -9020: "no module map",
}
_SCM, _SOMD, _SLM = 0, 100, 200
_MAP = ((_SCM, 1, 1), (_SCM, 1, 0), (_SOMD, 1, 0), (_SLM, 1, 0))
"""(slot, is primary, is backplane): the backplane is part of the map."""
_TYPES = {_SCM: 0x40, _SOMD: 0x51, _SLM: 0x70}
_ABBREVIATIONS = {0x40: "SCM", 0x51: "SOMD", 0x70: "SLM", 0xC8: "FRML"}
_HEAD_RATES_HZ = (80e6, 40e6, 20e6, 10e6, 5e6, 2.5e6)
_FROM_OSCILLATOR = 7
_BASES = {2: ("80.00 MHz (int. A)", 80e6), 3: ("64.00 MHz (int. B)", 64e6), 4: ("50.00 MHz (int. C)", 50e6)}
_EXTERNAL = {0: "external rising", 1: "external falling"}
_LATENCY_S = 0.005
_OF_THE_PROCESS = ("opened", "mapped", "pll_since_s")


@dataclass
class _Frame:
    """Registers of the frame; they survive closing, and those that `registers` gives the end of the program."""

    opened: bool = False
    mapped: bool = False
    soft_lock: bool = True
    head_index: int = 0
    pulse_mode: int = 1
    permille: int = 0
    mode: int = 2
    divider: int = 1
    pre_sync: int = 0
    mask_sync: int = 0
    burst: list[int] = field(default_factory=lambda: [1, 0, 0, 0, 0, 0, 0, 0])
    out_mask: int = 0
    sync_mask: int = 0
    sync_inverse: int = 0
    aux_out: int = 0
    aux_in: int = 0
    pll_since_s: float = float("-inf")

    def registers(self) -> dict[str, Any]:
        """All but what belongs to a connection or to one process' time."""
        return {name: value for name, value in vars(self).items() if name not in _OF_THE_PROCESS}


class Sepia2Library:
    """An object with the `SEPIA2_*` functions as ctypes callbacks of the vendor's prototypes.

    Args:
        bench: the physical world; the laser's emission is written to it.
    """

    def __init__(self, bench: Bench):
        self._bench = bench
        self._frame = _Frame()
        vars(self._frame).update(bench.memory.recall("laser", self._frame.registers()))
        for name, argtypes in PROTOTYPES.items():
            function = getattr(self, f"_{name.removeprefix('SEPIA2_')}")
            setattr(self, name, ctypes.CFUNCTYPE(ctypes.c_int32, *argtypes)(self._guarded(name, function)))
        bench.on_change(self._emit)

    def _guarded(self, name: str, function: Callable[..., int]) -> Callable[..., int]:
        def call(*arguments: Any) -> int:
            try:
                self._bench.clock.sleep(_LATENCY_S)
                with self._bench.lock:
                    code = function(*arguments)
                self._emit()  # listeners must not run under the bench's lock: they have locks of their own
                self._bench.memory.keep("laser", self._registers)
                return code
            except Exception:
                log.exception("%s failed", name)
                return -9910

        return call

    def _registers(self) -> dict[str, Any]:
        with self._bench.lock:
            return self._frame.registers()

    def _ready(self, device: int) -> int:
        if self._bench.fault("laser.unplugged") is not None:
            return -3217
        if device != 0:
            return -9002
        return OK if self._frame.opened else -9006

    def _module(self, device: int, slot: int, expected: int) -> int:
        code = self._ready(device)
        if code != OK:
            return code
        if not self._frame.mapped:
            return -9020
        return OK if slot == expected else -9009

    # ---- what comes out

    def _locked(self) -> bool:
        fault = self._bench.fault
        soft = self._frame.soft_lock and fault("laser.lock_fails") is None
        return soft or fault("laser.key_off") is not None or fault("laser.interlock_open") is not None

    def _rate_Hz(self) -> float:
        frame = self._frame
        if frame.head_index < len(_HEAD_RATES_HZ):
            return _HEAD_RATES_HZ[frame.head_index]
        if frame.head_index == _FROM_OSCILLATOR and frame.mode in _BASES and frame.out_mask & 1:
            return _BASES[frame.mode][1] / frame.divider
        return 0.0

    def _emission(self) -> LaserState:
        frame, rate_Hz = self._frame, self._rate_Hz()
        if self._locked() or self._bench.fault("laser.head_missing") is not None or frame.permille == 0:
            return LaserState(mode="off", repetition_rate_Hz=rate_Hz or self._bench.laser.repetition_rate_Hz)
        if frame.pulse_mode == 0:
            return LaserState("cw", 0.0, cw_power_uW(frame.permille), 0.0)
        if rate_Hz == 0:
            return LaserState(mode="off")
        power_uW = optical_power_uW(frame.permille, rate_Hz)
        return LaserState("pulsed", rate_Hz, power_uW, pulse_fwhm_ps(frame.permille))

    def _emit(self) -> None:
        with self._bench.lock:
            emission = self._emission()
            if emission == self._bench.laser:
                return
            self._bench.laser = emission
        self._bench.changed()

    # ---- library, USB, firmware, map

    def _LIB_DecodeError(self, code: int, text: Any) -> int:
        return _write(text, _ERRORS.get(code, f"error {code}"))

    def _LIB_GetVersion(self, text: Any) -> int:
        return _write(text, "1.2.64.767")

    def _USB_OpenDevice(self, device: int, model: Any, serial: Any) -> int:
        if self._bench.fault("laser.busy") is not None:
            return -9004
        if self._bench.fault("laser.unplugged") is not None:
            return -3217
        if device != 0:
            return -9002
        if self._frame.opened:
            return -9005
        self._frame.opened = True
        _write(serial, "1000001")
        return _write(model, "Sepia II")

    def _USB_IsOpenDevice(self, device: int, out: Any) -> int:
        out[0] = int(self._frame.opened)
        return OK

    def _USB_CloseDevice(self, device: int) -> int:
        code = self._ready(device)
        self._frame.opened = self._frame.mapped = False
        return code

    def _FWR_GetVersion(self, device: int, text: Any) -> int:
        return self._ready(device) or _write(text, "2.01.624")

    def _FWR_GetLastError(self, device: int, code: Any, phase: Any, place: Any, slot: Any, text: Any) -> int:
        for out in (code, phase, place, slot):
            out[0] = 0
        return self._ready(device) or _write(text, "")

    def _FWR_GetModuleMap(self, device: int, restart: int, count: Any) -> int:
        code = self._ready(device)
        if code == OK:
            self._frame.mapped = True
            count[0] = len(_MAP)
        return code

    def _FWR_FreeModuleMap(self, device: int) -> int:
        self._frame.mapped = False
        return self._ready(device)

    def _FWR_GetModuleInfoByMapIdx(
        self, device: int, index: int, slot: Any, primary: Any, backplane: Any, uptime: Any
    ) -> int:
        code = self._module(device, 0, 0)
        if code == OK and not 0 <= index < len(_MAP):
            code = -9910
        if code == OK:
            slot[0], primary[0], backplane[0] = _MAP[index]
            uptime[0] = 0
        return code

    def _COM_GetModuleType(self, device: int, slot: int, primary: int, out: Any) -> int:
        code = self._module(device, slot, slot if slot in _TYPES else -1)
        if code == OK:
            out[0] = _TYPES[slot]
        return code

    def _COM_DecodeModuleTypeAbbr(self, kind: int, text: Any) -> int:
        return _write(text, _ABBREVIATIONS.get(kind, "FAIL"))

    # ---- safety module

    def _SCM_GetLaserLocked(self, device: int, slot: int, out: Any) -> int:
        return self._give(device, slot, _SCM, (out, self._locked()))

    def _SCM_GetLaserSoftLock(self, device: int, slot: int, out: Any) -> int:
        lies = self._bench.fault("laser.softlock_lies") is not None
        return self._give(device, slot, _SCM, (out, lies or self._frame.soft_lock))

    def _SCM_SetLaserSoftLock(self, device: int, slot: int, lock: int) -> int:
        return self._take(device, slot, _SCM, soft_lock=bool(lock))

    # ---- head driver

    def _SLM_GetIntensityFineStep(self, device: int, slot: int, out: Any) -> int:
        return self._give(device, slot, _SLM, (out, self._frame.permille))

    def _SLM_SetIntensityFineStep(self, device: int, slot: int, permille: int) -> int:
        return -6002 if permille > 1000 else self._take(device, slot, _SLM, permille=permille)

    def _SLM_GetPulseParameters(self, device: int, slot: int, index: Any, mode: Any, head: Any) -> int:
        kind = 3 if self._bench.fault("laser.head_missing") is not None else 2
        registers = (index, self._frame.head_index), (mode, self._frame.pulse_mode), (head, kind)
        return self._give(device, slot, _SLM, *registers)

    def _SLM_SetPulseParameters(self, device: int, slot: int, index: int, mode: int) -> int:
        if not 0 <= index <= _FROM_OSCILLATOR:
            return -6001
        return self._take(device, slot, _SLM, head_index=index, pulse_mode=mode)

    def _SLM_DecodeFreqTrigMode(self, index: int, text: Any) -> int:
        if index < len(_HEAD_RATES_HZ):
            return _write(text, f"{_HEAD_RATES_HZ[index] / 1e6:g} MHz (int.)")
        return _write(text, "external rising" if index == 6 else "external falling")

    # ---- oscillator module

    def _SOMD_GetFreqTrigMode(self, device: int, slot: int, mode: Any, synchronise: Any) -> int:
        return self._give(device, slot, _SOMD, (mode, self._frame.mode), (synchronise, 1))

    def _SOMD_SetFreqTrigMode(self, device: int, slot: int, mode: int, synchronise: int) -> int:
        if mode not in _BASES and mode not in _EXTERNAL:
            return -5058
        return self._take(device, slot, _SOMD, mode=mode, pll_since_s=self._bench.clock.monotonic())

    def _SOMD_DecodeFreqTrigMode(self, device: int, slot: int, mode: int, text: Any) -> int:
        name = _BASES[mode][0] if mode in _BASES else _EXTERNAL.get(mode, "")
        return self._module(device, slot, _SOMD) or _write(text, name)

    def _SOMD_GetBurstValues(self, device: int, slot: int, divider: Any, pre_sync: Any, mask: Any) -> int:
        frame = self._frame
        return self._give(device, slot, _SOMD, (divider, frame.divider), (pre_sync, frame.pre_sync),
                          (mask, frame.mask_sync))

    def _SOMD_SetBurstValues(self, device: int, slot: int, divider: int, pre_sync: int, mask: int) -> int:
        if divider < 1:
            return -5059
        if pre_sync > divider:
            return -5060
        return self._take(device, slot, _SOMD, divider=divider, pre_sync=pre_sync, mask_sync=mask)

    def _SOMD_GetBurstLengthArray(self, device: int, slot: int, *outs: Any) -> int:
        return self._give(device, slot, _SOMD, *zip(outs, self._frame.burst, strict=True))

    def _SOMD_SetBurstLengthArray(self, device: int, slot: int, *lengths: int) -> int:
        if not all(0 <= length < 1 << 24 for length in lengths):
            return -5061
        return self._take(device, slot, _SOMD, burst=list(lengths))

    def _SOMD_GetOutNSyncEnable(self, device: int, slot: int, out: Any, sync: Any, inverse: Any) -> int:
        frame = self._frame
        return self._give(device, slot, _SOMD, (out, frame.out_mask), (sync, frame.sync_mask),
                          (inverse, frame.sync_inverse))

    def _SOMD_SetOutNSyncEnable(self, device: int, slot: int, out: int, sync: int, inverse: int) -> int:
        return self._take(device, slot, _SOMD, out_mask=out, sync_mask=sync, sync_inverse=inverse)

    def _SOMD_GetAUXIOSequencerCtrl(self, device: int, slot: int, aux_out: Any, aux_in: Any) -> int:
        return self._give(device, slot, _SOMD, (aux_out, self._frame.aux_out), (aux_in, self._frame.aux_in))

    def _SOMD_SetAUXIOSequencerCtrl(self, device: int, slot: int, aux_out: int, aux_in: int) -> int:
        return self._take(device, slot, _SOMD, aux_out=aux_out, aux_in=aux_in)

    def _SOMD_GetStatusError(self, device: int, slot: int, state: Any, error: Any) -> int:
        return self._give(device, slot, _SOMD, (state, 0), (error, -5077 if self._pll_busy() else 0))

    def _SOMD_GetDelayUnits(self, device: int, slot: int, coarse: Any, fine: Any) -> int:
        return self._give(device, slot, _SOMD, (coarse, 1.0), (fine, 100))

    def _SOMD_GetTrigSyncFreq(self, device: int, slot: int, stable: Any, frequency: Any) -> int:
        return self._give(device, slot, _SOMD, (stable, int(not self._pll_busy())), (frequency, 0))

    def _pll_busy(self) -> bool:
        seconds = self._bench.fault("laser.pll_unlocked")
        return seconds is not None and self._bench.clock.monotonic() < self._frame.pll_since_s + seconds

    def __getattr__(self, name: str) -> Callable[..., int]:
        """SOM functions on a frame that holds a SOMD: that module is not there."""
        if name.startswith("_SOM_"):
            return lambda *arguments: -9009
        raise AttributeError(name)

    # ---- registers

    def _give(self, device: int, slot: int, expected: int, *outputs: tuple[Any, Any]) -> int:
        code = self._module(device, slot, expected)
        if code == OK:
            for out, value in outputs:
                out[0] = value
        return code

    def _take(self, device: int, slot: int, expected: int, **registers: Any) -> int:
        code = self._module(device, slot, expected)
        if code == OK and slot == _SOMD and self._pll_busy():
            code = -5077
        if code == OK:
            for name, value in registers.items():
                setattr(self._frame, name, value)
        return code


def _write(out: Any, text: str) -> int:
    data = text.encode("latin-1") + b"\0"
    ctypes.memmove(out, data, len(data))
    return OK
