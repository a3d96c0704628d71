"""The safe state: laser locked, SPAD path dark.

Plans leave it behind by themselves. This is the second line, for the ways out on which no plan runs its clean-up:
`RE.halt()`, an error in the engine, the end of the process.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from cryopl_bluesky.devices.base import Instrument

log = logging.getLogger(__name__)

SAFE_TIMEOUT_S = 10.0
_CUT_SHORT = ("halting", "aborting", "stopping", "panicked")


class HasSafeState(Protocol):
    """An instrument, as far as its safety goes."""

    @property
    def name(self) -> str:
        """Name for messages."""
        ...

    def make_safe(self) -> None:
        """Leave nothing dangerous on, or raise."""
        ...


def make_safe(instruments: Iterable[HasSafeState], timeout_s: float = SAFE_TIMEOUT_S) -> dict[str, str]:
    """Make all instruments safe at the same time, one failing or hanging instrument not hindering the others.

    Args:
        instruments: whose `make_safe` is called.
        timeout_s: real seconds that each may take.

    Returns:
        One line by name of each instrument that could not be made safe; empty when all is well.
    """
    problems: dict[str, str] = {}

    def attempt(instrument: HasSafeState) -> None:
        try:
            instrument.make_safe()
        except Exception as error:  # noqa: BLE001 - whatever one instrument raises, the others must still be tried
            problems[instrument.name] = f"{instrument.name} could not be made safe: {error}"

    threads = {
        instrument.name: threading.Thread(
            target=attempt, args=(instrument,), daemon=True, name=f"safe-{instrument.name}"
        )
        for instrument in instruments
    }
    for thread in threads.values():
        thread.start()
    for name, thread in threads.items():
        thread.join(timeout_s)
        if thread.is_alive():
            problems[name] = f"{name} was not safe after {timeout_s:g} s; switch it off by hand"
    for problem in problems.values():
        log.error(problem)
    return problems


class SafeStateKeeper:
    """Makes the instruments safe whenever a run did not end well, however it ended.

    Give it to a RunEngine as `state_hook` and `subscribe` it to the documents. After a plan that succeeded nothing is
    touched, so that a user may leave the laser on for alignment with `RE(mv(laser.emission, "on"))`; the measurements
    switch it off themselves.

    Args:
        instruments: all instruments of the session.
    """

    def __init__(self, instruments: Iterable[Instrument]):
        self._instruments = list(instruments)
        self._open_runs: set[str] = set()
        self._failed = False

    def watch_documents(self, name: str, document: Mapping[str, Any]) -> None:
        """Take note of runs that are open or have failed; called with each document."""
        if name == "start":
            self._open_runs.add(document["uid"])
        elif name == "stop":
            self._open_runs.discard(document["run_start"])
            self._failed = self._failed or document["exit_status"] != "success"

    def __call__(self, new_state: str, old_state: str | None) -> None:
        """Called by the RunEngine on each change of state."""
        if new_state == "running" and old_state == "idle":
            self._failed = False
            self._open_runs.clear()
        ended_badly = self._failed or bool(self._open_runs) or old_state in _CUT_SHORT
        if new_state == "panicked" or (new_state == "idle" and ended_badly):
            make_safe(self._instruments)
