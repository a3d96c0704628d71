"""A lens that is in the beam or out of it."""

from __future__ import annotations

from typing import Any, Literal

from ophyd import Component as Cpt

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.devices.base import Instrument, Quantity
from cryopl_bluesky.drivers.flip_mount import FlipMountDriver

ATTENDED_LIMIT_S = 3600.0
"""A person who walks to the table needs longer than a motor."""


class FlipMount(Instrument):
    """A lens on a flip mount, driven or turned by hand.

    Args:
        driver: opened driver.
        name: device name.
        clock: time of the session.
    """

    lens = Cpt(Quantity, dtype=str, value="out", choices=("in", "out"), kind="hinted",
               write="_apply_position", timeout_s=ATTENDED_LIMIT_S)
    attended = Cpt(Quantity, dtype=bool, kind="config")

    def __init__(self, driver: FlipMountDriver, *, name: str, clock: Clock, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self._driver, self._clock = driver, clock
        self.attended.put(driver.attended)

    def refresh(self) -> None:
        """Read where the lens is."""
        self.lens.put(self._driver.position())

    def _apply_position(self, position: Literal["in", "out"]) -> str:
        return self._driver.move(position)

    def shutdown(self) -> None:
        """Let the driver go; the lens stays where it is."""
        super().shutdown()
        self._driver.close()
