"""PicoQuant PDL 800-D: it has no remote control; a person sets it and says so."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable

from cryopl_bluesky.drivers.errors import InstrumentError, LimitError, check_limits
from cryopl_bluesky.drivers.laser import LaserInfo, PowerTable, same_rate
from cryopl_bluesky.drivers.operator import Operator

log = logging.getLogger(__name__)

INTERNAL_RATES_HZ = (2.5e6, 5e6, 10e6, 20e6, 40e6, 80e6)
KNOB_TURNS = 10.0


class ManualLaser:
    """A PDL 800-D that an operator sets by its front panel.

    The driver only knows what it was told. That the laser is off is never concluded from a setting:
    `is_locked` is True only after the operator has confirmed the key switch, and a session starts with
    "not known".

    Args:
        operator: who is asked.
        name: device name for messages.
        power_table: (rate_Hz, permille, uW) power-meter readings.
        rates_Hz: positions of the rate switch.
    """

    attended = True

    def __init__(
        self, operator: Operator, *, name: str = "laser",
        power_table: Iterable[tuple[float, float, float]] = (), rates_Hz: Iterable[float] = INTERNAL_RATES_HZ,
    ):
        self._operator, self.name = operator, name
        self._table, self._rates_Hz = PowerTable(power_table), tuple(sorted(rates_Hz))
        self._lock = threading.RLock()
        self._rate_Hz: float | None = None
        self._permille = 0.0
        self._knob_permille: float | None = None
        self._key_off = False
        self._key_unclear = True

    def open(self) -> None:
        """Ask how the laser stands: key, pulse mode, rate."""
        with self._lock:
            answer = self._ask("Is the key switch of the PDL 800-D at OFF?", ("yes", "no"))
            self._key_off, self._key_unclear = answer == "yes", False
            shown = [f"{rate_Hz / 1e6:g}" for rate_Hz in self._rates_Hz]
            answer = self._ask("Repetition rate in MHz at the front panel (internal trigger)?", shown)
            self._rate_Hz = self._rates_Hz[shown.index(answer)]

    def close(self) -> None:
        """Have the laser switched off, unless that was already confirmed."""
        self.switch_off()

    def __enter__(self) -> ManualLaser:
        self.open()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def info(self) -> LaserInfo:
        """Who the laser driver is."""
        return LaserInfo("PDL 800-D, set by hand")

    def repetition_rates_Hz(self) -> tuple[float, ...]:
        """Positions of the rate switch, ascending."""
        return self._rates_Hz

    def check_repetition_rate(self, rate_Hz: float) -> None:
        """Refuse a rate that is no position of the switch.

        Raises:
            LimitError: lists the positions.
        """
        if not any(same_rate(rate_Hz, position_Hz) for position_Hz in self._rates_Hz):
            raise LimitError(self.name, f"repetition_rate_Hz={rate_Hz:g} is no position of the rate switch",
                             "choose one of " + ", ".join(f"{rate:g}" for rate in self._rates_Hz))

    def repetition_rate_Hz(self) -> float:
        """The rate the operator has confirmed; 0 when there is none."""
        return 0.0 if self._rate_Hz is None else self._rate_Hz

    def set_repetition_rate(self, rate_Hz: float) -> None:
        """Have the rate set; asked with the intensity knob at zero if the laser may be on."""
        self.check_repetition_rate(rate_Hz)
        with self._lock:
            if self._rate_Hz is not None and same_rate(rate_Hz, self._rate_Hz):
                return
            restore = not self._key_off
            self._rate_Hz = None  # not known until the switch was confirmed
            if restore:
                self._turn_knob(0.0)
            self._confirm(f"Set the repetition rate to {rate_Hz / 1e6:g} MHz, trigger internal.")
            self._rate_Hz = rate_Hz
            if restore:
                self._turn_knob(self._permille)

    def intensity_permille(self) -> float:
        """The intensity that was asked for; the knob is confirmed at it while the laser is on."""
        return self._permille

    def set_intensity(self, permille: float) -> None:
        """Have the intensity knob turned; while the key is off it is only noted for `switch_on`."""
        check_limits(self.name, "intensity_permille", permille, 0, 1000, "permille")
        with self._lock:
            if not self._key_off:
                self._turn_knob(permille)
            self._permille = permille

    def power_uW(self) -> float | None:
        """Average power by the power table; 0 when confirmed off, None when not known."""
        if self._key_off:
            return 0.0
        if self._key_unclear or self._rate_Hz is None or self._knob_permille is None:
            return None
        return self._table.power_uW(self._rate_Hz, self._knob_permille)

    def is_locked(self) -> bool:
        """Whether the operator has confirmed the key switch at OFF."""
        return self._key_off

    def is_emitting(self) -> bool:
        """Whether light may leave the head: always, unless the key was confirmed at OFF."""
        return not self._key_off

    def switch_on(self) -> None:
        """Have the laser switched on: knob at zero, mode pulsed, key on, then the knob at its value."""
        with self._lock:
            if self._rate_Hz is None:
                raise InstrumentError(self.name, "the repetition rate is not known",
                                      "set repetition_rate_Hz first")
            rate_MHz = self._rate_Hz / 1e6
            if not self._key_off and not self._key_unclear and self._knob_permille == self._permille:
                return
            self._turn_knob(0.0)
            self._key_off, self._key_unclear = False, True
            self._confirm(f"Mode switch at PULSED, trigger internal, {rate_MHz:g} MHz, then key switch ON.")
            self._key_unclear = False
            self._turn_knob(self._permille)

    def switch_off(self) -> None:
        """Have the knob turned to zero and the key to OFF; not asked again once it was confirmed.

        Raises:
            InstrumentError: the operator does not confirm.
        """
        with self._lock:
            if self._key_off:
                return
            self._knob_permille = None
            self._key_unclear = True
            self._confirm("Turn the intensity knob to 0 and the key switch to OFF.")
            self._key_off, self._key_unclear, self._knob_permille = True, False, 0.0

    def emergency_off(self) -> None:
        """Say loudly that the laser must be switched off by hand; does not wait for an answer.

        Raises:
            InstrumentError: the key is not confirmed at OFF, so the laser may be on.
        """
        if self._key_off:
            return
        problem = "the PDL 800-D may be ON and cannot be switched off by the computer"
        log.critical("%s: %s: TURN ITS KEY SWITCH OFF NOW", self.name, problem)
        raise InstrumentError(self.name, problem, "turn its key switch off, then set laser.emission to 'off'")

    def _turn_knob(self, permille: float) -> None:
        if self._knob_permille == permille:
            return
        self._knob_permille = None  # not known until confirmed
        turns = permille / 1000 * KNOB_TURNS
        self._confirm(f"Turn the intensity knob to {turns:.2f} turns ({permille:g} permille).")
        self._knob_permille = permille

    def _confirm(self, question: str) -> None:
        if self._ask(question, ("done", "refuse")) != "done":
            raise InstrumentError(self.name, f"the operator did not confirm: {question}",
                                  "nothing was assumed; set the laser by hand and try again")

    def _ask(self, question: str, choices: Iterable[str]) -> str:
        return self._operator.ask(self.name, question, tuple(choices))
