"""Armed acquisition: fire a software trigger, fetch the frame, recover when it does not come.

The camera stays armed with a small ring of buffers, because `snap` costs 0.3 s each (facts/andor.md trap 8).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.drivers.camera_connection import CameraConnection
from cryopl_bluesky.drivers.camera_types import Frame, FrameTimeoutError
from cryopl_bluesky.drivers.errors import InstrumentError, LimitError

log = logging.getLogger(__name__)

_WAIT_SLICE_REAL_S = 0.05  # the deadline and a disarm from another thread are noticed this often


class CameraAcquisition(CameraConnection):
    """Exposing frames.

    Args:
        clock: time base of the frame deadline.
        serial: serial number; "" = the only real camera (the SDK's SimCam does not count).
        name: device name for error messages.

    Attributes:
        recovered: after a frame that did not come: the camera was armed again and takes another trigger.
    """

    def __init__(self, clock: Clock, *, serial: str = "", name: str = "camera"):
        super().__init__(clock, serial=serial, name=name)
        self._ring_frames = 0  # 0 = not armed
        self._pending = False
        self._fired_at_s = self._fired_at_real_s = 0.0
        self.recovered = True

    def close(self) -> None:
        """Stop and disconnect; harmless when not open."""
        with self._lock:
            self._ring_frames, self._pending = 0, False
            super().close()

    def exposure_s(self) -> float:
        """Present exposure time in s."""
        with self._using("reading the exposure") as cam:
            return float(cam.get_exposure())

    def frame_period_s(self) -> float:
        """Shortest time between two frames in s."""
        with self._using("reading the frame period") as cam:
            return float(cam.get_frame_period())

    @property
    def is_armed(self) -> bool:
        """Ready for a software trigger."""
        return self._ring_frames > 0

    def arm(self, ring_frames: int = 8) -> None:
        """Start waiting for software triggers; harmless when already armed.

        Args:
            ring_frames: buffers in the ring (10 more are allocated; a full frame takes 8 MB).
        """
        with self._using("arming") as cam:
            if not self.is_armed:
                self._start(cam, ring_frames)

    def disarm(self) -> None:
        """Stop; a frame that is being exposed is lost. Harmless when not armed."""
        with self._using("disarming") as cam:
            self._ring_frames, self._pending = 0, False
            cam.clear_acquisition()

    def fire(self) -> None:
        """Expose one frame.

        Raises:
            InstrumentError: not armed, or the frame before was not fetched.
        """
        with self._using("triggering") as cam:
            if not self.is_armed:
                raise InstrumentError(self._name, "cannot trigger: the camera is not armed", "arm it first")
            self._refuse_while_exposing("a trigger")
            stale = cam.read_multiple_images()
            if stale:
                log.warning("%s: %d frames that nobody asked for are dropped", self._name, len(stale))
            self._fired_at_s, self._fired_at_real_s = self._clock.monotonic(), time.monotonic()
            cam.call_command("SoftwareTrigger")
            self._pending = True

    def wait_frame(self, margin_s: float = 5.0) -> Frame:
        """Fetch the frame of the last trigger.

        Args:
            margin_s: time after exposure and readout at which the frame is given up, on the clock and in real
                time.

        Returns:
            The frame.

        Raises:
            FrameTimeoutError: no frame in time. The camera was stopped and armed again; `recovered` says
                whether it is ready for another trigger.
            InstrumentError: disarmed meanwhile, or frames were lost.
        """
        from pylablib.devices.Andor.base import AndorError, AndorTimeoutError

        if not self._pending:
            raise InstrumentError(self._name, "no frame to wait for", "trigger first")
        limit_s = self.exposure_s() + self.frame_period_s() + margin_s
        while True:
            camera = self._device
            if camera is None or not self._pending:
                raise InstrumentError(self._name, "disarmed while a frame was being exposed")
            try:
                if camera.wait_for_frame(timeout=_WAIT_SLICE_REAL_S, error_on_stopped=True):
                    return self._read_frame()
            except AndorTimeoutError:
                if self._is_late(limit_s, margin_s):
                    self._give_up(f"no frame within {limit_s:g} s", "look for lost triggers, a loose cable")
            except AndorError as error:
                if self._pending:
                    self._give_up(str(error), "lower the frame rate, check the USB link")

    def _is_late(self, limit_s: float, margin_s: float) -> bool:
        """Both the clock and real time must have passed: a slow computer is no fault, nor is a fast clock."""
        real_s = time.monotonic() - self._fired_at_real_s
        overdue = self._clock.monotonic() - self._fired_at_s > limit_s and real_s > margin_s
        return overdue or real_s > 60 + 20 * limit_s

    def _read_frame(self) -> Frame:
        with self._using("reading a frame") as cam:
            if not self._pending:
                raise InstrumentError(self._name, "disarmed while a frame was being exposed")
            self._pending = False
            found = cam.read_oldest_image(return_info=True)
            image, info = found if found is not None else (None, None)
            if image is None:
                raise InstrumentError(self._name, "the frame was overwritten before it was read",
                                      "use a larger ring")
            ticks = None if info is None else info.timestamp_dev
            timestamp_s = int(ticks) / self._ticks_per_s if ticks is not None and self._ticks_per_s else None
            acquired = int(cam.get_frames_status().acquired)
            return Frame(np.ascontiguousarray(image, dtype="<u2"), timestamp_s, acquired - 1)

    def _give_up(self, problem: str, remedy: str) -> None:
        """Stop, clear and arm again, once (facts/andor.md trap 7), then raise."""
        with self._lock:
            ring_frames, self._pending = self._ring_frames, False
            try:
                self.disarm()
                self.arm(ring_frames)
                self.recovered = True
            except InstrumentError as error:
                self._ring_frames = 0
                self.recovered = False
                problem += f"; starting again failed too ({error.problem})"
                remedy = error.remedy or remedy
        raise FrameTimeoutError(self._name, problem, remedy, recovered=self.recovered)

    def _start(self, cam: Any, ring_frames: int) -> None:
        if ring_frames < 1:
            raise LimitError(self._name, f"ring_frames={ring_frames} is below the minimum of 1", "choose 8")
        cam.set_trigger_mode("software")
        cam.start_acquisition(mode="sequence", nframes=ring_frames)
        self._ring_frames, self._pending = ring_frames, False

    @contextmanager
    def _idle(self, doing: str) -> Iterator[Any]:
        """The open camera with the acquisition stopped; armed again afterwards when it was armed."""
        with self._using(doing) as cam:
            self._refuse_while_exposing(doing)
            ring_frames = self._ring_frames
            if ring_frames:
                self.disarm()
            try:
                yield cam
            finally:
                if ring_frames:
                    self._start(cam, ring_frames)

    def _refuse_while_exposing(self, what: str) -> None:
        if self._pending:
            raise InstrumentError(self._name, f"{what} is refused while a frame is being exposed",
                                  "fetch the frame or disarm first")
