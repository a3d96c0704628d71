"""Exposing, reading out and handing over frames: the ring of queued buffers of the virtual camera."""

from __future__ import annotations

import ctypes
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryopl_bluesky.sim.sensor import encode
from cryopl_bluesky.sim.vendor_library import VendorError
from cryopl_bluesky.sim.zyla import Zyla

log = logging.getLogger(__name__)

NOT_WRITABLE, NO_DATA, TIMED_OUT, INVALID_SIZE = 5, 11, 13, 15
_IDLE_WAIT_REAL_S = 0.01  # a stopped camera answers at once, so that stopping does not cost 300 ms


@dataclass(frozen=True)
class _Exposure:
    """Moments of one frame on the bench clock; with overlap it may end later than its exposure time."""

    start_s: float
    exposure_s: float
    end_s: float
    read_out_s: float


class Acquisition:
    """Buffers and exposures of one camera.

    Args:
        camera: its state.
    """

    def __init__(self, camera: Zyla):
        self._camera = camera
        self._changed = camera.changed
        self._queued: deque[tuple[int, int]] = deque()
        self._finished: deque[tuple[int, int]] = deque()
        self._exposures: deque[_Exposure] = deque()
        self._last: _Exposure | None = None
        self._stop = threading.Event()
        self._frames_left = 0
        self.callbacks: dict[str, list[Callable[[], object]]] = {}

    def queue(self, address: int, size: int) -> None:
        """Take a buffer into the ring.

        Args:
            address: address of its memory.
            size: its length in bytes.
        """
        with self._changed:
            if size < self._camera.image_size_bytes:
                raise VendorError(INVALID_SIZE)
            self._queued.append((address, size))

    def flush(self) -> None:
        """Forget all buffers."""
        with self._changed:
            self._queued.clear()
            self._finished.clear()

    def wait(self, timeout_ms: int) -> tuple[int, int]:
        """Wait for the oldest finished buffer.

        Args:
            timeout_ms: real milliseconds.

        Returns:
            Address and size.
        """
        deadline_s = time.monotonic() + timeout_ms / 1e3
        with self._changed:
            self._raise_buffer_fault()
            while not self._finished:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    raise VendorError(TIMED_OUT)
                if not self._camera.acquiring:
                    self._changed.wait(min(left_s, _IDLE_WAIT_REAL_S))
                    raise VendorError(NO_DATA)
                self._changed.wait(left_s)
                self._raise_buffer_fault()
            return self._finished.popleft()

    def _raise_buffer_fault(self) -> None:
        faults = self._camera.bench.faults
        code = faults.get("camera.wait_buffer")
        if code is None or (not self._camera.acquiring and not faults.get("camera.wait_buffer_always")):
            return
        times = faults.get("camera.wait_buffer_times")
        if times is not None:
            faults["camera.wait_buffer_times"] = times - 1
            if times <= 1:
                del faults["camera.wait_buffer"], faults["camera.wait_buffer_times"]
        raise VendorError(int(code))

    def start(self) -> None:
        """Arm the camera (or start its internal trigger)."""
        camera = self._camera
        with self._changed:
            camera.acquiring = True
            self._exposures.clear()
            self._last = None
            fixed = camera.values["CycleMode"] == "Fixed"
            self._frames_left = camera.values["FrameCount"] if fixed else 2**62
            self._stop = stop = threading.Event()
            internal = camera.values["TriggerMode"] == "Internal"
            self._changed.notify_all()
        target = self._run_internal if internal else self._run_triggered
        threading.Thread(target=target, args=(stop,), name=f"camera {camera.serial}", daemon=True).start()

    def stop(self) -> None:
        """Stop; a running exposure is lost."""
        with self._changed:
            self._camera.acquiring = False
            self._stop.set()
            self._changed.notify_all()

    def trigger(self) -> None:
        """SoftwareTrigger: expose one frame. A trigger that comes too early is lost without a word."""
        camera, bench = self._camera, self._camera.bench
        with self._changed:
            if not camera.acquiring or camera.values["TriggerMode"] != "Software":
                raise VendorError(NOT_WRITABLE)
            lost = bench.fault("camera.lost_trigger")
            if lost:
                bench.faults["camera.lost_trigger"] = lost - 1
                return
            now_s, last = bench.clock.monotonic(), self._last
            if last is not None and now_s < (last.end_s if camera.values["Overlap"] else last.read_out_s):
                log.info("software trigger lost: the camera is still busy")
                return
            end_s = max(now_s + camera.exposure_s, last.read_out_s if last else 0.0)
            self._last = _Exposure(now_s, camera.exposure_s, end_s, end_s + camera.readout_s)
            self._exposures.append(self._last)
            self._changed.notify_all()

    def _run_triggered(self, stop: threading.Event) -> None:
        while True:
            with self._changed:
                while not self._exposures and not stop.is_set():
                    self._changed.wait()
                if stop.is_set():
                    return
                exposure = self._exposures.popleft()
            self._expose(exposure, stop)

    def _run_internal(self, stop: threading.Event) -> None:
        camera = self._camera
        start_s = camera.bench.clock.monotonic()
        while not stop.is_set():
            with self._changed:
                end_s = start_s + camera.exposure_s
                exposure = _Exposure(start_s, camera.exposure_s, end_s, end_s + camera.readout_s)
                start_s += 1 / camera.frame_rate_Hz
            self._expose(exposure, stop)

    def _expose(self, exposure: _Exposure, stop: threading.Event) -> None:
        """Compute the frame while it is being exposed, then deliver it when it would be read out."""
        clock = self._camera.bench.clock
        try:
            frame = self._frame(exposure)
        except Exception:
            log.exception("the virtual camera could not render a frame; none is delivered")
            return
        if not clock.wait(stop, exposure.read_out_s - clock.monotonic()):
            self._deliver(frame, exposure, stop)

    def _frame(self, exposure: _Exposure) -> NDArray[np.uint8]:
        camera = self._camera
        scene = camera.scene()
        with self._changed:
            window, mode, stride = camera.window, camera.mode, camera.stride
            encoding, rate = camera.values["PixelEncoding"], camera.values["PixelReadoutRate"]
            temperature_C = camera.temperature_C()
        columns = max(stride // 2, window.width)
        image = camera.sensor.expose(scene, window, exposure.exposure_s, mode, rate, temperature_C, columns)
        return encode(image, window.width, encoding, stride)

    def _deliver(self, frame: NDArray[np.uint8], exposure: _Exposure, stop: threading.Event) -> None:
        camera, overflow = self._camera, False
        with self._changed:
            if stop.is_set():
                return
            silent = camera.bench.fault("camera.no_frames") is not None
            if camera.bench.faults.pop("camera.stops", None) is not None:
                self.stop()
                return
            if not self._queued or camera.bench.faults.pop("camera.overflow", None) is not None:
                overflow = "BufferOverflowEvent" in camera.enabled_events
            elif not silent:
                address, _ = self._queued.popleft()
                self._finished.append((address, self._write(address, frame, exposure)))
            self._frames_left -= 1
            if self._frames_left <= 0:
                camera.acquiring = False
                stop.set()
            self._changed.notify_all()
        if overflow:
            for callback in self.callbacks.get("BufferOverflowEvent", []):
                callback()

    def _write(self, address: int, frame: NDArray[np.uint8], exposure: _Exposure) -> int:
        """Copy image and metadata chunks (data, chunk number, length) into a buffer; returns the size."""
        camera = self._camera
        ctypes.memmove(address, frame.ctypes.data, frame.nbytes)
        if camera.values["MetadataEnable"]:
            image_bytes = camera.image_chunk_bytes
            trailer = np.array([0, image_bytes + 4], "<u4").tobytes()
            trailer += np.array([camera.ticks(exposure.start_s)], "<i8").tobytes()
            trailer += np.array([1, 12], "<u4").tobytes()
            ctypes.memmove(address + image_bytes, trailer, len(trailer))
        return camera.image_size_bytes
