"""Taking one frame after another from an armed camera, with the next exposure already running.

Between two frames of an announced series nothing changes, so the next exposure starts the moment a frame
has arrived, while that frame is being written and the RunEngine records its event. Otherwise each frame is
exposed when it is asked for. Everything here runs on the camera's owner thread, except where it says so.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.drivers.errors import InstrumentError, InstrumentTimeoutError

if TYPE_CHECKING:
    from cryopl_bluesky.drivers.camera import Frame

log = logging.getLogger(__name__)

_STALE_S = 1.0
"""A frame that has been waiting longer than this shows the past: it is thrown away and exposed again."""


class ArmedCamera(Protocol):
    """The part of a camera driver that takes frames."""

    @property
    def is_armed(self) -> bool:
        """Whether a software trigger would start an exposure."""
        ...

    def arm(self, ring_frames: int = 8) -> None:
        """Start an acquisition of software-triggered frames."""
        ...

    def disarm(self) -> None:
        """End the acquisition and forget its frames."""
        ...

    def fire(self) -> None:
        """Start one exposure."""
        ...

    def wait_frame(self, margin_s: float = 5.0) -> Frame:
        """Return the frame of the exposure that was fired first.

        Raises:
            InstrumentTimeoutError: it did not come; the camera is armed and without frames again.
        """
        ...


@dataclass(frozen=True)
class Exposure:
    """One frame and when its exposure was triggered.

    Attributes:
        frame: as the driver gave it.
        unix_time_s: the computer's time of the trigger.
    """

    frame: Frame
    unix_time_s: float


class ExposureSequence:
    """Frames one at a time, exposing ahead when a series was announced.

    Args:
        driver: the camera.
        clock: time of the session.
        instrument: device name, for the log.
    """

    def __init__(self, driver: ArmedCamera, clock: Clock, instrument: str):
        self._driver, self._clock, self._instrument = driver, clock, instrument
        self._fired_s: float | None = None
        self._fired_unix_s = 0.0
        self._outdated = False
        self.remaining = 1

    def announce(self, frames: int) -> None:
        """The next `frames` frames are taken with the same settings and may follow each other at once."""
        self.cancel()
        self.remaining = frames

    def ready(self) -> None:
        """Arm the camera if it is not."""
        if not self._driver.is_armed:
            self._fired_s = None
            self._driver.arm()

    def take(self, exposure_s: float) -> Exposure:
        """Return the next frame, exposed now or ahead, and start the one after it if it was announced.

        A frame that does not come is exposed once more: nothing was recorded of it.

        Raises:
            InstrumentTimeoutError: the second attempt failed as well.
            InstrumentError: the camera refused.
        """
        self._drop_stale(exposure_s)
        if self._fired_s is None:
            self._fire()
        try:
            exposure = self._wait()
        except InstrumentTimeoutError as error:
            log.warning("%s: %s; exposing once more", self._instrument, error)
            self._fire()
            exposure = self._wait()
        if self.remaining > 1:
            self.remaining -= 1
            self._fire_ahead()
        return exposure

    def expire(self) -> None:
        """What has been exposed ahead no longer counts (any thread): the RunEngine was paused."""
        self._outdated = True

    def cancel(self) -> None:
        """Forget announced frames and stop an exposure that runs ahead."""
        self.remaining = 1
        if self._fired_s is not None:
            self.disarm()

    def disarm(self) -> None:
        """End the acquisition; the next frame arms again."""
        self._fired_s = None
        self._driver.disarm()

    def _fire(self) -> None:
        self._fired_s = None
        self.ready()
        fired_s, self._fired_unix_s = self._clock.monotonic(), self._clock.time()
        self._driver.fire()
        self._fired_s, self._outdated = fired_s, False

    def _fire_ahead(self) -> None:
        try:
            self._fire()
        except InstrumentError as error:
            # The frame before it is good and must be kept; the next one asks the camera again and reports.
            log.warning("%s: cannot expose ahead: %s", self._instrument, error)

    def _wait(self) -> Exposure:
        unix_time_s = self._fired_unix_s
        try:
            return Exposure(self._driver.wait_frame(), unix_time_s)
        finally:
            self._fired_s = None

    def _drop_stale(self, exposure_s: float) -> None:
        if self._fired_s is None:
            return
        waited_s = self._clock.monotonic() - self._fired_s - exposure_s
        if self._outdated or waited_s > _STALE_S:
            log.info("%s: a frame exposed ahead is out of date and is not used", self._instrument)
            self.disarm()
