"""One sequence of commands at a time, and an emergency that ends it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cryopl_bluesky.drivers.errors import InstrumentError


class Sequences:
    """The lock of the laser driver.

    An emergency must not wait for the end of a sequence that is switching the laser on, and that sequence (or
    one that still waits for its turn) must not go on afterwards. So each sequence notes how many emergencies
    there were when it was asked for, and `check`, called before each command, stops it if there was another.

    Args:
        instrument: device name for messages.
    """

    def __init__(self, instrument: str):
        self._instrument = instrument
        self.lock = threading.RLock()
        self._counting = threading.Lock()
        self._emergencies = 0
        self._permit: int | None = None

    @contextmanager
    def sequence(self) -> Iterator[None]:
        """Own the laser; a sequence inside another one shares its fate."""
        permit = self._emergencies
        with self.lock:  # only its owner may look at the permit
            outer = self._permit
            with self._permitted(permit if outer is None else outer):
                yield

    @contextmanager
    def emergency(self) -> Iterator[None]:
        """Stop what runs at its next command and own the laser."""
        with self._counting:
            self._emergencies += 1
        with self.lock, self._permitted(None):
            yield

    def check(self) -> None:
        """Stop the present sequence if there was an emergency since it was asked for.

        Raises:
            InstrumentError: there was one.
        """
        if self._permit is not None and self._permit != self._emergencies:
            raise InstrumentError(self._instrument, "interrupted: the laser was locked by an emergency off",
                                  "clear the cause, then switch on again")

    @contextmanager
    def _permitted(self, permit: int | None) -> Iterator[None]:
        outer, self._permit = self._permit, permit
        try:
            yield
        finally:
            self._permit = outer
