"""A power meter that a person reads: one reading per trigger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ophyd import Component as Cpt
from ophyd.status import Status

from cryopl_bluesky.devices.base import Instrument, Quantity
from cryopl_bluesky.drivers.operator import Operator

READING_LIMIT_S = 3600.0


class PowerMeter(Instrument):
    """Asks the operator for the power at each trigger, unless the readings are given.

    Args:
        operator: reads the meter.
        name: device name.
        readings_uW: readings taken earlier, one per trigger; empty = the operator is asked.
        rel_err: relative error of a reading, by the meter's own specification.
    """

    power_uW = Cpt(Quantity, units="uW", precision=4, kind="hinted")
    rel_err = Cpt(Quantity, precision=3, kind="config")

    def __init__(
        self, operator: Operator, *, name: str, readings_uW: Sequence[float] = (), rel_err: float, **kwargs: Any
    ):
        super().__init__(name=name, **kwargs)
        self._operator, self._given_uW = operator, list(readings_uW)
        self.rel_err.put(rel_err)

    def trigger(self) -> Status:  # pyright: ignore[reportIncompatibleMethodOverride] - any Status serves
        """Take the next reading; the Status finishes when there is one."""
        return self.submit(self._read_meter, READING_LIMIT_S, "read the power meter")

    def _read_meter(self) -> None:
        if self._given_uW:
            self.power_uW.put(self._given_uW.pop(0))
        else:
            self.power_uW.put(self._operator.ask_number(self.name, "Average power at the sample?", "uW"))
