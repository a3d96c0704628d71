"""An interlock as documents see it: which, why, and when."""

from __future__ import annotations

from ophyd import Component as Cpt
from ophyd import Device

from cryopl_bluesky.devices.base import Quantity


class InterlockState(Device):
    """What an interlock last did.

    `name_of` is "disk", "temperature" or "clock"; `state` is "held" when a run was held up in the dark, "released"
    when it went on, and "noted" for what is only written down.
    """

    name_of = Cpt(Quantity, dtype=str, kind="normal")
    state = Cpt(Quantity, dtype=str, kind="normal")
    cause = Cpt(Quantity, dtype=str, kind="normal")
