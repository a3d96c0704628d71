"""The Andor SDK3 camera library (atcore) of the virtual lab: the 34 C functions that pylablib binds.

Signatures, error codes and call patterns: facts/andor.md section 3.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import POINTER, c_double, c_int, c_int64, c_uint, c_void_p, c_wchar_p
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryopl_bluesky.sim.bench import Bench
from cryopl_bluesky.sim.sensor import SENSOR_PX
from cryopl_bluesky.sim.vendor_library import VendorError, VendorLibrary
from cryopl_bluesky.sim.zyla import Zyla
from cryopl_bluesky.sim.zyla_acquisition import Acquisition
from cryopl_bluesky.sim.zyla_features import Feature, build_features

NOT_IMPLEMENTED, READ_ONLY, NOT_READABLE, NOT_WRITABLE, OUT_OF_RANGE = 2, 3, 4, 5, 6
INDEX_NOT_AVAILABLE, INDEX_NOT_IMPLEMENTED, STRING_TOO_LONG = 7, 8, 9
INVALID_HANDLE, COMM, STRING_NOT_AVAILABLE, STRING_NOT_IMPLEMENTED = 12, 17, 18, 19
DEVICE_IN_USE, DEVICE_NOT_FOUND = 38, 39
SYSTEM_HANDLE = 1
_FIRST_HANDLE = 100

_OUT_INT, _OUT_INT64 = POINTER(c_int), POINTER(c_int64)
_OUT_DOUBLE, _OUT_POINTER = POINTER(c_double), POINTER(c_void_p)
_FEATURE = (c_int, c_wchar_p)
_CALLBACK = ctypes.CFUNCTYPE(c_int, c_int, c_wchar_p, c_void_p)
PROTOTYPES: dict[str, tuple[Any, ...]] = {
    "AT_InitialiseLibrary": (), "AT_FinaliseLibrary": (),
    "AT_Open": (c_int, _OUT_INT), "AT_Close": (c_int,),
    **{f"AT_Is{what}": (*_FEATURE, _OUT_INT) for what in ("Implemented", "Readable", "Writable", "ReadOnly")},
    "AT_SetInt": (*_FEATURE, c_int64), "AT_SetFloat": (*_FEATURE, c_double), "AT_SetBool": (*_FEATURE, c_int),
    **{f"AT_GetInt{what}": (*_FEATURE, _OUT_INT64) for what in ("", "Max", "Min")},
    **{f"AT_GetFloat{what}": (*_FEATURE, _OUT_DOUBLE) for what in ("", "Max", "Min")},
    "AT_GetBool": (*_FEATURE, _OUT_INT),
    "AT_SetEnumIndex": (*_FEATURE, c_int), "AT_SetEnumString": (*_FEATURE, c_wchar_p),
    "AT_GetEnumIndex": (*_FEATURE, _OUT_INT), "AT_GetEnumCount": (*_FEATURE, _OUT_INT),
    "AT_IsEnumIndexAvailable": (*_FEATURE, c_int, _OUT_INT),
    "AT_IsEnumIndexImplemented": (*_FEATURE, c_int, _OUT_INT),
    "AT_GetEnumStringByIndex": (*_FEATURE, c_int, c_void_p, c_int),
    "AT_SetString": (*_FEATURE, c_wchar_p), "AT_GetString": (*_FEATURE, c_void_p, c_int),
    "AT_GetStringMaxLength": (*_FEATURE, _OUT_INT), "AT_Command": _FEATURE,
    "AT_RegisterFeatureCallback": (*_FEATURE, c_void_p, c_void_p),
    "AT_UnregisterFeatureCallback": (*_FEATURE, c_void_p, c_void_p),
    "AT_QueueBuffer": (c_int, c_void_p, c_int), "AT_WaitBuffer": (c_int, _OUT_POINTER, _OUT_INT, c_uint),
    "AT_Flush": (c_int,),
}


def make_atcore(bench: Bench, scene: Callable[[], NDArray[np.float32]] | None = None) -> VendorLibrary:
    """The library with one camera behind it (two when the fault `camera.first_is_simcam` is on).

    Args:
        bench: the physical world.
        scene: what falls on the chip when an exposure starts, photo-electrons per second and sensor pixel,
            float32 (2048, 2048); default: the bench's scene renderer.

    Returns:
        What pylablib takes for the loaded DLL.
    """
    functions = _Atcore(bench, scene or _bench_scene(bench))
    return VendorLibrary({name: getattr(functions, name[3:]) for name in PROTOTYPES}, PROTOTYPES,
                         restype=c_int, success=0, failure=COMM)


def _bench_scene(bench: Bench) -> Callable[[], NDArray[np.float32]]:
    renderers: list[Any] = []

    def scene() -> NDArray[np.float32]:
        if not renderers:
            from cryopl_bluesky.sim.scene import SceneRenderer

            renderers.append(SceneRenderer(bench))
        return renderers[0].photons_per_s()

    return scene


class _Device:
    """A camera that can be opened."""

    def __init__(self, camera: Zyla):
        self.camera = camera
        self.acquisition = Acquisition(camera)
        self.features = build_features(camera, self.acquisition)


class _Atcore:
    """The C functions without their `AT_` prefix; output arguments are pointers."""

    def __init__(self, bench: Bench, scene: Callable[[], NDArray[np.float32]]):
        self._bench = bench
        cameras = [Zyla(bench, scene, model="ZYLA-4.2P-USB3", serial="VSC-00001")]
        if bench.fault("camera.first_is_simcam") is not None:
            cameras.insert(0, Zyla(bench, _darkness, model="SIMCAM CMOS", serial="SFT-0"))
        self._devices = [_Device(camera) for camera in cameras]
        self._open: dict[int, _Device] = {}
        self._system = {"DeviceCount": Feature("int", self._device_count),
                        "SoftwareVersion": Feature("str", lambda: "3.15.30092.2")}
        self._callbacks: dict[tuple[int, str, int], Callable[[], object]] = {}

    def _device_count(self) -> int:
        return 0 if self._bench.fault("camera.absent") is not None else len(self._devices)

    def _device(self, handle: int) -> _Device:
        if handle not in self._open:
            raise VendorError(INVALID_HANDLE)
        return self._open[handle]

    def _feature(self, handle: int, name: str, kind: str = "") -> Feature:
        table = self._system if handle == SYSTEM_HANDLE else self._device(handle).features
        feature = table.get(name)
        if feature is None or (kind and feature.kind != kind):
            raise VendorError(NOT_IMPLEMENTED)
        return feature

    def _read(self, handle: int, name: str, kind: str) -> Any:
        feature = self._feature(handle, name, kind)
        if feature.read is None:
            raise VendorError(NOT_READABLE)
        if self._bench.fault("camera.comm") is not None:
            raise VendorError(COMM)
        return feature.read()

    def _write(self, handle: int, name: str, kind: str, value: Any) -> None:
        feature = self._feature(handle, name, kind)
        if feature.write is None:
            raise VendorError(READ_ONLY)
        if not feature.live and self._device(handle).camera.acquiring:
            raise VendorError(NOT_WRITABLE)
        if kind in ("int", "float"):
            low, high = feature.limits() if feature.limits else (value, value)
            if not low * (1 - 1e-9) <= value <= high * (1 + 1e-9):
                raise VendorError(OUT_OF_RANGE)
        feature.write(value)

    def _limit(self, which: int, kind: str, handle: int, name: str, out: Any) -> None:
        feature = self._feature(handle, name, kind)
        if feature.limits is None:
            raise VendorError(NOT_IMPLEMENTED)
        out[0] = feature.limits()[which]

    # library and devices
    def InitialiseLibrary(self) -> None:
        pass

    def FinaliseLibrary(self) -> None:
        for handle in list(self._open):
            self.Close(handle)

    def Open(self, index: int, out: Any) -> None:
        if not 0 <= index < self._device_count():
            raise VendorError(DEVICE_NOT_FOUND)
        handle = _FIRST_HANDLE + index
        if handle in self._open or self._bench.fault("camera.device_in_use") is not None:
            raise VendorError(DEVICE_IN_USE)
        device = self._devices[index]
        device.camera.sensor.warm_up()
        self._open[handle] = device
        out[0] = handle

    def Close(self, handle: int) -> None:
        self._device(handle).acquisition.stop()
        self._device(handle).acquisition.flush()
        del self._open[handle]

    # access rights
    def IsImplemented(self, handle: int, name: str, out: Any) -> None:
        table = self._system if handle == SYSTEM_HANDLE else self._device(handle).features
        out[0] = int(name in table)

    def IsReadable(self, handle: int, name: str, out: Any) -> None:
        out[0] = int(self._feature(handle, name).read is not None)

    def IsWritable(self, handle: int, name: str, out: Any) -> None:
        feature = self._feature(handle, name)
        idle = not self._device(handle).camera.acquiring
        out[0] = int(feature.write is not None and (feature.live or idle))

    def IsReadOnly(self, handle: int, name: str, out: Any) -> None:
        out[0] = int(self._feature(handle, name).write is None)

    # numbers
    def SetInt(self, handle: int, name: str, value: int) -> None:
        self._write(handle, name, "int", value)

    def GetInt(self, handle: int, name: str, out: Any) -> None:
        out[0] = int(self._read(handle, name, "int"))

    def GetIntMin(self, handle: int, name: str, out: Any) -> None:
        self._limit(0, "int", handle, name, out)

    def GetIntMax(self, handle: int, name: str, out: Any) -> None:
        self._limit(1, "int", handle, name, out)

    def SetFloat(self, handle: int, name: str, value: float) -> None:
        self._write(handle, name, "float", value)

    def GetFloat(self, handle: int, name: str, out: Any) -> None:
        out[0] = float(self._read(handle, name, "float"))

    def GetFloatMin(self, handle: int, name: str, out: Any) -> None:
        self._limit(0, "float", handle, name, out)

    def GetFloatMax(self, handle: int, name: str, out: Any) -> None:
        self._limit(1, "float", handle, name, out)

    def SetBool(self, handle: int, name: str, value: int) -> None:
        self._write(handle, name, "bool", bool(value))

    def GetBool(self, handle: int, name: str, out: Any) -> None:
        out[0] = int(self._read(handle, name, "bool"))

    # enumerations
    def SetEnumIndex(self, handle: int, name: str, index: int) -> None:
        entry = self._entry(handle, name, index)
        self._write_entry(handle, name, entry, INDEX_NOT_AVAILABLE)

    def SetEnumString(self, handle: int, name: str, entry: str) -> None:
        if entry not in self._feature(handle, name, "enum").entries:
            raise VendorError(STRING_NOT_IMPLEMENTED)
        self._write_entry(handle, name, entry, STRING_NOT_AVAILABLE)

    def _write_entry(self, handle: int, name: str, entry: str, unavailable: int) -> None:
        feature = self._feature(handle, name, "enum")
        if feature.available is not None and entry not in feature.available():
            raise VendorError(unavailable)
        self._write(handle, name, "enum", entry)

    def _entry(self, handle: int, name: str, index: int) -> str:
        entries = self._feature(handle, name, "enum").entries
        if not 0 <= index < len(entries):
            raise VendorError(INDEX_NOT_IMPLEMENTED)
        return entries[index]

    def GetEnumIndex(self, handle: int, name: str, out: Any) -> None:
        out[0] = self._feature(handle, name, "enum").entries.index(self._read(handle, name, "enum"))

    def GetEnumCount(self, handle: int, name: str, out: Any) -> None:
        out[0] = len(self._feature(handle, name, "enum").entries)

    def IsEnumIndexAvailable(self, handle: int, name: str, index: int, out: Any) -> None:
        feature = self._feature(handle, name, "enum")
        out[0] = int(feature.available is None or self._entry(handle, name, index) in feature.available())

    def IsEnumIndexImplemented(self, handle: int, name: str, index: int, out: Any) -> None:
        out[0] = int(0 <= index < len(self._feature(handle, name, "enum").entries))

    def GetEnumStringByIndex(self, handle: int, name: str, index: int, text: int, length: int) -> None:
        _write_text(self._entry(handle, name, index), text, length)

    # texts and commands
    def SetString(self, handle: int, name: str, value: str) -> None:
        self._write(handle, name, "str", value)

    def GetString(self, handle: int, name: str, text: int, length: int) -> None:
        _write_text(self._read(handle, name, "str"), text, length)

    def GetStringMaxLength(self, handle: int, name: str, out: Any) -> None:
        out[0] = len(self._read(handle, name, "str")) + 1

    def Command(self, handle: int, name: str) -> None:
        self._write(handle, name, "comm", None)

    def RegisterFeatureCallback(self, handle: int, name: str, address: int, context: int | None) -> None:
        callback = partial(_CALLBACK(address), handle, name, context)
        self._callbacks[handle, name, address] = callback
        self._device(handle).acquisition.callbacks.setdefault(name, []).append(callback)

    def UnregisterFeatureCallback(self, handle: int, name: str, address: int, context: int | None) -> None:
        callback = self._callbacks.pop((handle, name, address))
        self._device(handle).acquisition.callbacks[name].remove(callback)

    # buffers
    def QueueBuffer(self, handle: int, address: int, size: int) -> None:
        self._device(handle).acquisition.queue(address, size)

    def WaitBuffer(self, handle: int, out_address: Any, out_size: Any, timeout_ms: int) -> None:
        out_address[0], out_size[0] = self._device(handle).acquisition.wait(timeout_ms)

    def Flush(self, handle: int) -> None:
        self._device(handle).acquisition.flush()


def _write_text(text: str, address: int, length: int) -> None:
    if len(text) + 1 > length:
        raise VendorError(STRING_TOO_LONG)
    buffer = ctypes.create_unicode_buffer(text)
    ctypes.memmove(address, buffer, ctypes.sizeof(buffer))


def _darkness() -> NDArray[np.float32]:
    return np.zeros((SENSOR_PX, SENSOR_PX), np.float32)
