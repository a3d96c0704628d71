"""What has to be in order for a run to go on: room on the disk, the temperature, the computer's clock."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from bluesky import plan_stubs as bps
from bluesky.utils import Msg, MsgGenerator

from cryopl_bluesky.devices.cryostat import Cryostat
from cryopl_bluesky.devices.settle_rule import SettleError, rule_for

log = logging.getLogger(__name__)

RESUME_FACTOR = 1.25
"""A run goes on when this times the reserve is free, so that it does not stop again at once."""
LOOK_AGAIN_S = 1.0
"""Real seconds between two looks while a run is held up."""
MAX_SETTLES_PER_RUN = 3
"""How often a run may be held up to settle its temperature again; a temperature that leaves more often is not held."""
CLOCK_JUMP_S = 2.0
"""A difference between the computer's clock and the time that passed from which on it is written down."""

_MB = 1e6


class DiskInterlock:
    """Room for what comes next.

    What one event may write between two looks must fit into the reserve. That the frame and tag writers refuse to use
    the last 256 MiB, and that the journal raises when it cannot write, stays as it is: the run fails then.

    Args:
        folder: where the data go.
        reserve_MB: free space (10^6 bytes) below which nothing more is begun.

    Attributes:
        free_MB: looks how much is free.
    """

    name = "disk"
    holds_up = True

    def __init__(self, folder: Path, reserve_MB: float):
        self._folder, self._reserve_MB = folder, reserve_MB
        self._could_look = True
        self.free_MB: Callable[[], float] = self._free_MB

    def begin_run(self) -> None:
        """Nothing: it does not matter how much was free before."""

    def trouble(self, announced_MB: float, run_is_open: bool) -> str:
        """Whether too little is free, see `Interlock.trouble`."""
        free_MB = self.free_MB()
        if free_MB >= self._reserve_MB + announced_MB:
            return ""
        what = "the run is held up" if run_is_open else "the next run has not begun"
        for_frames = f" and {announced_MB:.0f} MB for the frames of this run" if announced_MB else ""
        return (
            f"Paused, {what}: {free_MB:.0f} MB are free for {self._folder}, below the reserve of "
            f"{self._reserve_MB:.0f} MB{for_frames}. The laser is locked. Make room on that disk (delete or move "
            f"away what is not needed); it goes on by itself from {self._enough_MB(announced_MB):.0f} MB on."
        )

    def recover(self, announced_MB: float) -> MsgGenerator[str]:
        """Wait until there is room."""
        while self.free_MB() < self._enough_MB(announced_MB):
            # With a checkpoint each time, a pause by hand comes back to here and repeats nothing.
            yield Msg("checkpoint")
            yield Msg("sleep", None, LOOK_AGAIN_S)
        return f"Going on: {self.free_MB():.0f} MB are free for {self._folder}."

    def _enough_MB(self, announced_MB: float) -> float:
        return RESUME_FACTOR * self._reserve_MB + announced_MB

    def _free_MB(self) -> float:
        try:
            free_MB = shutil.disk_usage(self._folder).free / _MB
        except OSError as error:
            if self._could_look:
                log.warning("cannot see how much room the disk of %s has: %s", self._folder, error)
            self._could_look = False
            return float("inf")
        self._could_look = True
        return free_MB


class TemperatureInterlock:
    """The temperature stays where it was settled when the run began.

    A run that began at a temperature that was not settled (at room temperature, without control) is left alone. The
    event during which the temperature went out of its band says so (`cryostat_in_band`).

    Args:
        cryostat: whose temperature.
    """

    name = "temperature"
    holds_up = True

    def __init__(self, cryostat: Cryostat):
        self._cryostat = cryostat
        self._setpoint_K: float | None = None
        self._settles = 0

    def begin_run(self) -> None:
        """Note the temperature that has to stay, if there is one."""
        setpoint_K = self._cryostat.locate()["setpoint"]
        settled = self._cryostat.settle_reason.get() == "settled" and self._cryostat.holds(setpoint_K)
        self._setpoint_K, self._settles = (setpoint_K if settled else None), 0

    def trouble(self, announced_MB: float, run_is_open: bool) -> str:
        """Whether the temperature has left its band, see `Interlock.trouble`.

        Raises:
            SettleError: somebody else has changed the set point: it is not ours to change back.
        """
        if self._setpoint_K is None or not run_is_open:
            return ""
        where = self._cryostat.locate()
        tolerance_K = rule_for(self._setpoint_K, self._cryostat.settle_rules).tolerance_K
        if abs(where["setpoint"] - self._setpoint_K) > tolerance_K:
            raise SettleError(
                "foreign_change", self._cryostat.name,
                f"the set point is {where['setpoint']:g} K instead of {self._setpoint_K:g} K",
                "find out who commands the cryostat; nothing is commanded against them",
            )
        if self._cryostat.holds(self._setpoint_K):
            return ""
        return (f"Paused, the run is held up: the temperature is {where['readback']:.3f} K, outside its band around "
                f"{self._setpoint_K:g} K, or not controlled. The laser is locked; it is settled again.")

    def recover(self, announced_MB: float) -> MsgGenerator[str]:
        """Settle again.

        Raises:
            SettleError: too often, or it does not settle.
        """
        assert self._setpoint_K is not None
        self._settles += 1
        if self._settles > MAX_SETTLES_PER_RUN:
            raise SettleError(
                "no_progress", self._cryostat.name,
                f"the temperature has left its band around {self._setpoint_K:g} K {self._settles} times in this run",
                "look for what disturbs it (heat load, PID gains, cold plate)",
            )
        yield Msg("checkpoint")
        yield from bps.abs_set(self._cryostat, self._setpoint_K, wait=True)  # pyright: ignore[reportArgumentType]
        return f"Going on: the temperature is settled at {self._setpoint_K:g} K again."


class ClockInterlock:
    """The computer's clock goes on by what time passes; a jump (set by hand or network, sleep) is written down.

    Args:
        wall_s: the computer's clock.
        monotonic_s: a clock that nobody sets.
    """

    name = "clock"
    holds_up = False

    def __init__(
        self, wall_s: Callable[[], float] = time.time, monotonic_s: Callable[[], float] = time.monotonic
    ):
        self._wall_s, self._monotonic_s = wall_s, monotonic_s
        self._offset_s = wall_s() - monotonic_s()

    def begin_run(self) -> None:
        """Count jumps from here."""
        self._offset_s = self._wall_s() - self._monotonic_s()

    def trouble(self, announced_MB: float, run_is_open: bool) -> str:
        """Whether the clock has jumped since the last look, see `Interlock.trouble`."""
        offset_s = self._wall_s() - self._monotonic_s()
        jump_s, self._offset_s = offset_s - self._offset_s, offset_s
        if abs(jump_s) < CLOCK_JUMP_S:
            return ""
        return (f"The computer's clock jumped by {jump_s:+.0f} s (or the computer slept); the times of this run's "
                "documents before and after do not fit together. The run goes on.")

    def recover(self, announced_MB: float) -> MsgGenerator[str]:
        """Nothing can be done about it."""
        yield Msg("null")
        return ""
