"""The guard of the disk: a run is held up in the dark before the disk is full, and goes on when there is room.

It is a preprocessor of the RunEngine, not one of Bluesky's suspenders: those break in at any message and rewind,
while a frame on disk cannot be taken back. This one looks where nothing is under way:

* before anything is staged, when no run is open yet and no light is on: the frames that were announced must fit;
* at each checkpoint, which our plans pass before each event;
* while an acquisition writes as long as it runs (time tags): about once a second. Such an acquisition is given up
  and begun anew, as it is after a pause by hand; what it wrote stays in the file.

What one event may write between two looks must fit into the reserve. That the frame and tag writers refuse to use
the last 256 MiB, and that the journal raises when it cannot write, stays as it is: the run fails then.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bluesky import plan_stubs as bps
from bluesky.utils import Msg, MsgGenerator, ensure_generator

from cryopl_bluesky.devices.disk import Disk
from cryopl_bluesky.devices.instruments import Instruments

log = logging.getLogger(__name__)

STREAM = "disk_guard"
"""Stream of a run in which it notes when it was held up, when it went on, and why."""
RESUME_FACTOR = 1.25
"""A run goes on when this times the reserve is free, so that it does not stop again at once."""
LOOK_AGAIN_S = 1.0
"""Real seconds between two looks while a run is held up."""

_MB = 1e6
_LOOKED_AT = frozenset({"checkpoint", "trigger", "create", "wait", "stage", "open_run", "close_run"})


@dataclass
class _SoFar:
    """What of a plan matters here.

    Attributes:
        open_runs: keys of the runs that are open.
        triggers: messages that have started something for the next event.
    """

    open_runs: set[Any] = field(default_factory=set)
    triggers: list[Msg] = field(default_factory=list)


class DiskGuard:
    """Holds up plans while the disk is short of room; append it to the preprocessors of a RunEngine.

    Args:
        folder: where the data go.
        reserve_MB: free space (10^6 bytes) below which nothing more is begun.
        ins: what is made dark meanwhile.
        tell: shows a message to the user.

    Attributes:
        free_MB: looks how much is free.
        disk: what is recorded.
        held_up: whether a plan waits for room now.
    """

    def __init__(
        self, folder: Path, reserve_MB: float, ins: Instruments, tell: Callable[[str], object] = print
    ):
        self._folder, self._reserve_MB, self._ins, self._tell = folder, reserve_MB, ins, tell
        self._could_look = True
        self.held_up = False
        self.free_MB: Callable[[], float] = self._free_MB
        self.disk = Disk(name="disk")
        self.disk.folder.put(str(folder))
        self.disk.reserve_MB.put(reserve_MB)

    def __call__(self, plan: Iterable[Msg]) -> MsgGenerator[Any]:
        """The plan, with a wait in the dark wherever the disk is short of room."""
        inner: Any = ensure_generator(plan)
        sofar = _SoFar()
        step, value = inner.send, None
        while True:
            try:
                msg = step(value)
            except StopIteration as end:
                return end.value
            try:
                if msg.command in _LOOKED_AT:
                    yield from self._before(msg, sofar)
                step, value = inner.send, (yield msg)
            except GeneratorExit:
                inner.close()
                raise
            except Exception as error:  # noqa: BLE001 - the plan itself decides what to do about it
                step, value = inner.throw, error

    def _before(self, msg: Msg, sofar: _SoFar) -> MsgGenerator[None]:
        """Look at the disk before `msg` if nothing, or only what can be begun anew, is under way."""
        if msg.command == "open_run":
            sofar.open_runs.add(msg.run)
        elif msg.command == "close_run":
            sofar.open_runs.discard(msg.run)
        elif msg.command == "stage":
            yield from self._hold_up(msg, sofar, getattr(msg.obj, "expected_bytes", 0) / _MB)
        elif msg.command == "checkpoint":
            sofar.triggers.clear()
            yield from self._hold_up(msg, sofar)
        elif msg.command == "trigger":
            sofar.triggers.append(msg)
        elif msg.command == "create":
            sofar.triggers.clear()
        elif not msg.kwargs.get("error_on_timeout", True):  # a wait that comes back to collect what was written
            group = msg.kwargs.get("group")
            begun = [trigger for trigger in sofar.triggers if trigger.kwargs.get("group") == group]
            if begun:
                yield from self._hold_up(msg, sofar, begun=begun)

    def _hold_up(
        self, msg: Msg, sofar: _SoFar, announced_MB: float = 0.0, begun: list[Msg] | None = None
    ) -> MsgGenerator[None]:
        if self.free_MB() >= self._reserve_MB + announced_MB:
            return
        run_is_open = msg.run in sofar.open_runs
        before = yield from self._light()
        for detector in (self._ins.camera, self._ins.hbt):
            detector.pause()
        yield from bps.mv(*(part for signal, dark, _ in before for part in (signal, dark)))
        if begun:
            yield Msg("wait", None, group=begun[0].kwargs.get("group"))
        self._note("short", announced_MB, run_is_open)
        if run_is_open:
            yield from self._record(msg.run)
        yield from self._wait_for_room(announced_MB)
        self._note("enough", announced_MB, run_is_open)
        if run_is_open:
            yield from self._record(msg.run)
        for signal, dark, value in before:
            if value != dark:
                yield from bps.mv(signal, value)
        yield Msg("checkpoint")
        yield from ensure_generator(begun or [])

    def _wait_for_room(self, announced_MB: float) -> MsgGenerator[None]:
        self.held_up = True
        try:
            while self.free_MB() < RESUME_FACTOR * self._reserve_MB + announced_MB:
                # With a checkpoint each time, a pause by hand comes back to here and repeats nothing.
                yield Msg("checkpoint")
                yield Msg("sleep", None, LOOK_AGAIN_S)
        finally:
            self.held_up = False

    def _light(self) -> MsgGenerator[list[tuple[Any, str, str]]]:
        """What is made dark, as (quantity, dark value, present value), in the order in which the light comes back.

        The laser is asked anew: one that had locked itself must not be found on at the end of the run.
        """
        laser, spectrograph = self._ins.laser, self._ins.spectrograph
        yield Msg("trigger", laser, group=STREAM)
        yield Msg("wait", None, group=STREAM)
        parts = ((spectrograph.port, "camera"), (laser.emission, "off"), (spectrograph.shutter, "closed"))
        return [(signal, dark, signal.get()) for signal, dark in parts]

    def _note(self, state: str, announced_MB: float, run_is_open: bool) -> None:
        free_MB, needed_MB = self.free_MB(), self._reserve_MB + announced_MB
        wanted_MB = RESUME_FACTOR * self._reserve_MB + announced_MB
        if state == "short":
            what = "the run is held up" if run_is_open else "the next run has not begun"
            for_frames = f" and {announced_MB:.0f} MB for the frames of this run" if announced_MB else ""
            text = (
                f"Paused, {what}: {free_MB:.0f} MB are free for {self._folder}, below the reserve of "
                f"{self._reserve_MB:.0f} MB{for_frames}. The laser is locked. Make room on that disk (delete or move "
                f"away what is not needed); it goes on by itself from {wanted_MB:.0f} MB on."
            )
        else:
            text = f"Going on: {free_MB:.0f} MB are free for {self._folder}."
        self.disk.state.put(state)
        self.disk.cause.put(text)
        self.disk.free_MB.put(free_MB)
        self.disk.needed_MB.put(needed_MB)
        self._tell(text)

    def _record(self, run: Any) -> MsgGenerator[None]:
        """One event of the stream `disk_guard`, with its time."""
        yield Msg("create", None, name=STREAM, run=run)
        yield Msg("read", self.disk, run=run)
        yield Msg("save", run=run)
        yield Msg("checkpoint")

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
