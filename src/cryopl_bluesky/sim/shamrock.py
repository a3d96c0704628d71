"""The Andor spectrograph library (atspectrograph) of the virtual lab: the 63 C functions that pylablib binds.

Signatures, return codes and constants: facts/andor.md section 4.
"""

from __future__ import annotations

import ctypes
import functools
from ctypes import POINTER, c_char_p, c_float, c_int, c_uint, c_void_p
from typing import Any

from cryopl_bluesky.sim.bench import Bench
from cryopl_bluesky.sim.kymera import (
    DEFAULT_TURRET,
    DIRECT,
    ERROR,
    INPUT_FLIPPER,
    MAX_FOCUS_STEPS,
    MIN_SLIT_UM,
    NOT_AVAILABLE,
    NOT_INITIALIZED,
    OUTPUT_FLIPPER,
    P1_INVALID,
    P2_INVALID,
    SIDE,
    SUCCESS,
    Grating,
    Kymera,
)
from cryopl_bluesky.sim.kymera_optics import KymeraOptics
from cryopl_bluesky.sim.vendor_library import VendorError, VendorLibrary

_INT, _FLOAT = POINTER(c_int), POINTER(c_float)
_DESCRIPTIONS = {
    20201: "Communication error", SUCCESS: "Success", ERROR: "Error", 20266: "Parameter 1 invalid",
    20267: "Parameter 2 invalid", 20268: "Parameter 3 invalid", 20269: "Parameter 4 invalid",
    20270: "Parameter 5 invalid", NOT_INITIALIZED: "Not initialized", NOT_AVAILABLE: "Not available",
}
_DEVICE_PROTOTYPES: dict[str, tuple[Any, ...]] = {  # after the device index
    "GetSerialNumber": (c_void_p,), "EepromGetOpticalParams": (_FLOAT, _FLOAT, _FLOAT),
    **{f"{part}IsPresent": (_INT,) for part in (
        "Grating", "Wavelength", "Shutter", "FocusMirror", "Filter", "Accessory")},
    "GetNumberGratings": (_INT,), "GetGrating": (_INT,), "SetGrating": (c_int,),
    "GetTurret": (_INT,), "SetTurret": (c_int,),
    "GetGratingInfo": (c_int, _FLOAT, c_void_p, _INT, _INT),
    "GetGratingOffset": (c_int, _INT), "SetGratingOffset": (c_int, c_int),
    "GetDetectorOffset": (_INT,), "SetDetectorOffset": (c_int,),
    "GetDetectorOffsetPort2": (_INT,), "SetDetectorOffsetPort2": (c_int,),
    "WavelengthReset": (), "GetWavelengthLimits": (c_int, _FLOAT, _FLOAT),
    "GetWavelength": (_FLOAT,), "SetWavelength": (c_float,), "AtZeroOrder": (_INT,), "GotoZeroOrder": (),
    "AutoSlitIsPresent": (c_int, _INT), "AutoSlitReset": (c_int,), "GetAutoSlitWidth": (c_int, _FLOAT),
    "SetAutoSlitWidth": (c_int, c_float), "GetAutoSlitCoefficients": (c_int, _INT, _INT, _INT, _INT),
    "SetAutoSlitCoefficients": (c_int, c_int, c_int, c_int, c_int),
    "IsModePossible": (c_int, _INT), "GetShutter": (_INT,), "SetShutter": (c_int,),
    "IrisIsPresent": (c_int, _INT), "GetIris": (c_int, _INT), "SetIris": (c_int, c_int),
    "GetFocusMirror": (_INT,), "SetFocusMirror": (c_int,), "GetFocusMirrorMaxSteps": (_INT,),
    "FocusMirrorReset": (),
    "FilterReset": (), "GetFilter": (_INT,), "SetFilter": (c_int,),
    "GetFilterInfo": (c_int, c_void_p), "SetFilterInfo": (c_int, c_char_p),
    "FlipperMirrorIsPresent": (c_int, _INT), "FlipperMirrorReset": (c_int,),
    "GetFlipperMirror": (c_int, _INT), "SetFlipperMirror": (c_int, c_int),
    "GetCCDLimits": (c_int, _FLOAT, _FLOAT),
    "GetAccessoryState": (c_int, _INT), "SetAccessory": (c_int, c_int),
    "GetPixelWidth": (_FLOAT,), "SetPixelWidth": (c_float,), "GetNumberPixels": (_INT,),
    "SetNumberPixels": (c_int,),
    "GetCalibration": (_FLOAT, c_int),
}
_LIBRARY_PROTOTYPES: dict[str, tuple[Any, ...]] = {
    "Initialize": (c_char_p,), "Close": (), "GetNumberDevices": (_INT,),
    "GetFunctionReturnDescription": (c_int, c_void_p, c_int),
}
PROTOTYPES: dict[str, tuple[Any, ...]] = {
    **{f"Shamrock{name}": types for name, types in _LIBRARY_PROTOTYPES.items()},
    **{f"Shamrock{name}": (c_int, *types) for name, types in _DEVICE_PROTOTYPES.items()},
}


def make_shamrock(
    bench: Bench, turret: tuple[Grating, ...] = DEFAULT_TURRET, optics: KymeraOptics | None = None
) -> VendorLibrary:
    """The library with one Kymera 328i behind it.

    Args:
        bench: the physical world.
        turret: what is in the turret; the first place should be the mirror.
        optics: geometry of the spectrograph (default: fitted to a real one).

    Returns:
        What pylablib takes for the loaded DLL.
    """
    functions = _Shamrock(bench, Kymera(bench, turret, optics or KymeraOptics()))
    table = {f"Shamrock{name}": getattr(functions, name) for name in _LIBRARY_PROTOTYPES}
    table |= {f"Shamrock{name}": functools.partial(functions.call, getattr(functions, name))
              for name in _DEVICE_PROTOTYPES}
    return VendorLibrary(table, PROTOTYPES, restype=c_uint, success=SUCCESS, failure=ERROR)


class _Shamrock:
    """The C functions without their `Shamrock` prefix and, where there is one, without the device index."""

    def __init__(self, bench: Bench, kymera: Kymera):
        self._bench, self._kymera = bench, kymera
        self._initialized = False
        self._filters = [f"filter {position}" for position in range(1, 7)]
        self._accessory = {1: 0, 2: 0}

    def call(self, function: Any, device: int, *arguments: Any) -> None:
        if not self._initialized or self._bench.fault("spectrograph.not_initialized") is not None:
            raise VendorError(NOT_INITIALIZED)
        if device != 0:
            raise VendorError(P1_INVALID)
        function(*arguments)

    # library
    def Initialize(self, _ini_path: bytes) -> None:
        if not self._initialized and self._bench.fault("spectrograph.absent") is None:
            self._kymera.home()
        self._initialized = True

    def Close(self) -> None:
        self._initialized = False

    def GetNumberDevices(self, out: Any) -> None:
        if not self._initialized:
            raise VendorError(NOT_INITIALIZED)
        out[0] = int(self._bench.fault("spectrograph.absent") is None)

    def GetFunctionReturnDescription(self, code: int, text: int, length: int) -> None:
        _write_text(_DESCRIPTIONS.get(code, "Unknown")[: length - 1], text)

    def GetSerialNumber(self, text: int) -> None:
        _write_text("KY-0001", text)

    def EepromGetOpticalParams(self, focal_m: Any, deviation_deg: Any, tilt_deg: Any) -> None:
        optics = self._kymera.optics
        focal_m[0] = optics.focal_length_mm * 1e-3
        deviation_deg[0], tilt_deg[0] = optics.half_deviation_deg, optics.detector_tilt_deg

    # turret
    def GratingIsPresent(self, out: Any) -> None:
        out[0] = 1

    def GetNumberGratings(self, out: Any) -> None:
        out[0] = len(self._kymera.turret)

    def GetGrating(self, out: Any) -> None:
        out[0] = self._kymera.grating

    def SetGrating(self, grating: int) -> None:
        self._kymera.set_grating(grating)

    def GetTurret(self, out: Any) -> None:
        out[0] = 1

    def SetTurret(self, turret: int) -> None:
        _require(turret == 1, P2_INVALID)

    def GetGratingInfo(self, grating: int, lines: Any, blaze: int, home: Any, offset: Any) -> None:
        _require(1 <= grating <= len(self._kymera.turret), P2_INVALID)
        lines[0] = self._kymera.turret[grating - 1].lines_per_mm
        _write_text(self._kymera.turret[grating - 1].blaze, blaze)
        home[0], offset[0] = 0, self._kymera.grating_offsets[grating - 1]

    def GetGratingOffset(self, grating: int, out: Any) -> None:
        _require(1 <= grating <= len(self._kymera.turret), P2_INVALID)
        out[0] = self._kymera.grating_offsets[grating - 1]

    def SetGratingOffset(self, grating: int, offset: int) -> None:
        _require(1 <= grating <= len(self._kymera.turret), P2_INVALID)
        _require(abs(offset) <= 20000, 20268)
        self._kymera.grating_offsets[grating - 1] = offset

    def GetDetectorOffset(self, out: Any) -> None:
        out[0] = self._kymera.detector_offsets[DIRECT]

    def SetDetectorOffset(self, offset: int) -> None:
        _require(abs(offset) <= 240000, P2_INVALID)
        self._kymera.detector_offsets[DIRECT] = offset

    def GetDetectorOffsetPort2(self, out: Any) -> None:
        out[0] = self._kymera.detector_offsets[SIDE]

    def SetDetectorOffsetPort2(self, offset: int) -> None:
        _require(abs(offset) <= 240000, P2_INVALID)
        self._kymera.detector_offsets[SIDE] = offset

    # wavelength
    def WavelengthIsPresent(self, out: Any) -> None:
        out[0] = 1

    def WavelengthReset(self) -> None:
        self._kymera.set_wavelength(0.0)

    def GetWavelengthLimits(self, grating: int, low: Any, high: Any) -> None:
        _require(1 <= grating <= len(self._kymera.turret), P2_INVALID)
        low[0], high[0] = self._kymera.wavelength_limits_nm(grating)

    def GetWavelength(self, out: Any) -> None:
        out[0] = self._kymera.wavelength_nm

    def SetWavelength(self, nm: float) -> None:
        self._kymera.set_wavelength(nm)

    def AtZeroOrder(self, out: Any) -> None:
        out[0] = int(self._kymera.wavelength_nm == 0)

    def GotoZeroOrder(self) -> None:
        self._kymera.set_wavelength(0.0)

    # slits
    def AutoSlitIsPresent(self, slit: int, out: Any) -> None:
        _require(1 <= slit <= 4, P2_INVALID)
        out[0] = int(slit in self._kymera.slits_um)

    def _slit(self, slit: int) -> int:
        _require(slit in self._kymera.slits_um, NOT_AVAILABLE)
        return slit

    def AutoSlitReset(self, slit: int) -> None:
        self._kymera.set_slit(self._slit(slit), MIN_SLIT_UM)

    def GetAutoSlitWidth(self, slit: int, out: Any) -> None:
        out[0] = self._kymera.slits_um[self._slit(slit)]

    def SetAutoSlitWidth(self, slit: int, width_um: float) -> None:
        self._kymera.set_slit(self._slit(slit), width_um)

    def GetAutoSlitCoefficients(self, slit: int, x1: Any, y1: Any, x2: Any, y2: Any) -> None:
        self._slit(slit)
        x1[0], y1[0], x2[0], y2[0] = 0, 0, 1, 1

    def SetAutoSlitCoefficients(self, slit: int, *_coefficients: int) -> None:
        self._slit(slit)

    # shutter
    def ShutterIsPresent(self, out: Any) -> None:
        out[0] = 1

    def IsModePossible(self, mode: int, out: Any) -> None:
        out[0] = int(mode in (0, 1))

    def GetShutter(self, out: Any) -> None:
        out[0] = self._kymera.shutter

    def SetShutter(self, mode: int) -> None:
        self._kymera.set_shutter(mode)

    # mirrors
    def FlipperMirrorIsPresent(self, flipper: int, out: Any) -> None:
        out[0] = int(flipper in self._kymera.flippers)

    def FlipperMirrorReset(self, flipper: int) -> None:
        self.SetFlipperMirror(flipper, DIRECT)

    def GetFlipperMirror(self, flipper: int, out: Any) -> None:
        _require(flipper in (INPUT_FLIPPER, OUTPUT_FLIPPER), P2_INVALID)
        out[0] = self._kymera.flippers[flipper]

    def SetFlipperMirror(self, flipper: int, port: int) -> None:
        _require(flipper in (INPUT_FLIPPER, OUTPUT_FLIPPER), P2_INVALID)
        self._kymera.set_flipper(flipper, port)

    def GetCCDLimits(self, port: int, low: Any, high: Any) -> None:
        _require(port in (DIRECT, SIDE), P2_INVALID)
        low[0], high[0] = 0.0, self._kymera.wavelength_limits_nm(self._kymera.grating)[1]

    # iris: not fitted
    def IrisIsPresent(self, iris: int, out: Any) -> None:
        out[0] = 0

    def GetIris(self, iris: int, out: Any) -> None:
        raise VendorError(NOT_AVAILABLE)

    def SetIris(self, iris: int, value: int) -> None:
        raise VendorError(NOT_AVAILABLE)

    # focus mirror
    def FocusMirrorIsPresent(self, out: Any) -> None:
        out[0] = 1

    def GetFocusMirror(self, out: Any) -> None:
        out[0] = self._kymera.focus_steps

    def SetFocusMirror(self, steps: int) -> None:
        self._kymera.move_focus(steps)

    def GetFocusMirrorMaxSteps(self, out: Any) -> None:
        out[0] = MAX_FOCUS_STEPS

    def FocusMirrorReset(self) -> None:
        self._kymera.move_focus(-self._kymera.focus_steps)

    # filter wheel and accessory lines
    def FilterIsPresent(self, out: Any) -> None:
        out[0] = 1

    def FilterReset(self) -> None:
        self._kymera.set_filter(1)

    def GetFilter(self, out: Any) -> None:
        out[0] = self._kymera.filter

    def SetFilter(self, position: int) -> None:
        self._kymera.set_filter(position)

    def GetFilterInfo(self, position: int, text: int) -> None:
        _require(1 <= position <= 6, P2_INVALID)
        _write_text(self._filters[position - 1], text)

    def SetFilterInfo(self, position: int, text: bytes) -> None:
        _require(1 <= position <= 6, P2_INVALID)
        self._filters[position - 1] = text.decode(errors="replace")

    def AccessoryIsPresent(self, out: Any) -> None:
        out[0] = 0

    def GetAccessoryState(self, line: int, out: Any) -> None:
        _require(line in self._accessory, P2_INVALID)
        out[0] = self._accessory[line]

    def SetAccessory(self, line: int, state: int) -> None:
        _require(line in self._accessory, P2_INVALID)
        self._accessory[line] = state

    # detector and calibration
    def GetPixelWidth(self, out: Any) -> None:
        out[0] = self._kymera.pixel_um

    def SetPixelWidth(self, um: float) -> None:
        _require(um > 0, P2_INVALID)
        self._kymera.pixel_um = um

    def GetNumberPixels(self, out: Any) -> None:
        out[0] = self._kymera.pixels

    def SetNumberPixels(self, pixels: int) -> None:
        _require(pixels >= 0, P2_INVALID)
        self._kymera.pixels = pixels

    def GetCalibration(self, values: Any, pixels: int) -> None:
        for index, value in enumerate(self._kymera.calibration_nm(pixels)):
            values[index] = value


def _require(condition: bool, code: int) -> None:
    if not condition:
        raise VendorError(code)


def _write_text(text: str, address: int) -> None:
    buffer = ctypes.create_string_buffer(text.encode())
    ctypes.memmove(address, buffer, ctypes.sizeof(buffer))
