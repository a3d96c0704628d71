"""The disk of the data as documents see it: why a run was held up, and when."""

from __future__ import annotations

from ophyd import Component as Cpt
from ophyd import Device

from cryopl_bluesky.devices.base import Quantity


class Disk(Device):
    """State of the disk that the data go to, as of the last time it mattered.

    `state` is "short" when a run was held up for want of room and "enough" when it went on.
    """

    state = Cpt(Quantity, dtype=str, value="enough", kind="normal")
    cause = Cpt(Quantity, dtype=str, kind="normal")
    free_MB = Cpt(Quantity, units="MB", precision=0, kind="normal")
    needed_MB = Cpt(Quantity, units="MB", precision=0, kind="normal")
    reserve_MB = Cpt(Quantity, units="MB", precision=0, kind="config")
    folder = Cpt(Quantity, dtype=str, kind="config")
