"""Interlocks hold a run up: in the dark until the cause is gone, and then it goes on.

This is a preprocessor of the RunEngine, not one of Bluesky's suspenders: those break in at any message and rewind,
while a frame on disk cannot be taken back. It looks where nothing is under way:

* before anything is staged, when no run is open yet and no light is on;
* at each checkpoint, which our plans pass before each event;
* while an acquisition counts for long: about once a second. Such an acquisition is given up and begun anew, as it is
  after a pause by hand; what it wrote stays in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from bluesky import plan_stubs as bps
from bluesky.utils import Msg, MsgGenerator, ensure_generator

from cryopl_bluesky.devices.instruments import Instruments
from cryopl_bluesky.devices.interlock_state import InterlockState
from cryopl_bluesky.supervision.preprocess import look_at_each

STREAM = "interlocks"
"""Stream of a run in which it notes when it was held up, when it went on, and why."""

_LOOKED_AT = frozenset({"checkpoint", "trigger", "create", "wait", "stage", "open_run", "close_run"})


class Interlock(Protocol):
    """Something that has to be in order for a run to go on."""

    name: str
    """What the documents call it."""
    holds_up: bool
    """Whether the run waits; otherwise what is found is only written down."""

    def begin_run(self) -> None:
        """A run opens: what is found now is what has to stay."""

    def trouble(self, announced_MB: float, run_is_open: bool) -> str:
        """What is wrong, in words for the user; "" when all is well.

        Args:
            announced_MB: what the frames that are about to be taken will need, beyond what is always kept.
            run_is_open: whether a run is under way.

        Raises:
            InstrumentError: it is of a kind that ends the run.
        """
        ...

    def recover(self, announced_MB: float) -> MsgGenerator[str]:
        """Do what helps, or wait, until nothing is wrong; returns what to tell the user.

        Raises:
            InstrumentError: it cannot be helped: the run fails.
        """
        ...


@dataclass
class _SoFar:
    """What of a plan matters here.

    Attributes:
        open_runs: keys of the runs that are open.
        triggers: messages that have started something for the next event.
    """

    open_runs: set[Any] = field(default_factory=set)
    triggers: list[Msg] = field(default_factory=list)


class HoldUp:
    """Holds up plans while an interlock says so; append it to the preprocessors of a RunEngine.

    Args:
        interlocks: what has to be in order; looked at in this order.
        ins: what is made dark meanwhile.
        tell: shows the name of the interlock and a message to the user.

    Attributes:
        held_by: name of the interlock that holds a plan up now, or "".
        state: what is recorded.
    """

    def __init__(self, interlocks: Sequence[Interlock], ins: Instruments, tell: Callable[[str, str], object]):
        self._interlocks, self._ins, self._tell = interlocks, ins, tell
        self.held_by = ""
        self.state = InterlockState(name="interlock")

    def __call__(self, plan: Iterable[Msg]) -> MsgGenerator[Any]:
        """The plan, with a wait in the dark wherever something is not in order."""
        sofar = _SoFar()

        def look(msg: Msg) -> MsgGenerator[Msg]:
            if msg.command in _LOOKED_AT:
                yield from self._before(msg, sofar)
            return msg

        return (yield from look_at_each(plan, look))

    def _before(self, msg: Msg, sofar: _SoFar) -> MsgGenerator[None]:
        """Look before `msg` if nothing, or only what can be begun anew, is under way."""
        if msg.command == "open_run":
            sofar.open_runs.add(msg.run)
            for interlock in self._interlocks:
                interlock.begin_run()
        elif msg.command == "close_run":
            sofar.open_runs.discard(msg.run)
        elif msg.command == "stage":
            yield from self._look(msg, sofar, getattr(msg.obj, "expected_bytes", 0) / 1e6)
        elif msg.command == "checkpoint":
            sofar.triggers.clear()
            yield from self._look(msg, sofar)
        elif msg.command == "trigger":
            sofar.triggers.append(msg)
        elif msg.command == "create":
            sofar.triggers.clear()
        elif not msg.kwargs.get("error_on_timeout", True):  # a wait that comes back to collect what was written
            group = msg.kwargs.get("group")
            begun = [trigger for trigger in sofar.triggers if trigger.kwargs.get("group") == group]
            if begun:
                yield from self._look(msg, sofar, begun=begun)

    def _look(
        self, msg: Msg, sofar: _SoFar, announced_MB: float = 0.0, begun: list[Msg] | None = None
    ) -> MsgGenerator[None]:
        run_is_open = msg.run in sofar.open_runs
        for interlock in self._interlocks:
            cause = interlock.trouble(announced_MB, run_is_open)
            if not cause:
                continue
            if interlock.holds_up:
                yield from self._hold(interlock, cause, msg.run, run_is_open, announced_MB, begun or [])
            else:
                yield from self._note(interlock, "noted", cause, msg.run, run_is_open)

    def _hold(
        self, interlock: Interlock, cause: str, run: Any, run_is_open: bool, announced_MB: float, begun: list[Msg]
    ) -> MsgGenerator[None]:
        light = yield from self._darken(begun)
        yield from self._note(interlock, "held", cause, run, run_is_open)
        self.held_by = interlock.name
        try:
            over = yield from interlock.recover(announced_MB)
        finally:
            self.held_by = ""
        yield from self._note(interlock, "released", over, run, run_is_open)
        for signal, dark, value in light:
            if value != dark:
                yield from bps.mv(signal, value)
        yield Msg("checkpoint")
        yield from ensure_generator(begun)

    def _darken(self, begun: list[Msg]) -> MsgGenerator[list[tuple[Any, str, str]]]:
        """Make the microscope dark and give up what is being counted.

        Returns:
            What is made dark, as (quantity, dark value, value before), in the order in which the light comes back.
        """
        laser, spectrograph = self._ins.laser, self._ins.spectrograph
        # The laser is asked anew: one that had locked itself must not be found on at the end of the run.
        yield Msg("trigger", laser, group=STREAM)
        yield Msg("wait", None, group=STREAM)
        parts = ((spectrograph.port, "camera"), (laser.emission, "off"), (spectrograph.shutter, "closed"))
        before = [(signal, dark, signal.get()) for signal, dark in parts]
        for detector in (self._ins.camera, self._ins.hbt):
            detector.pause()
        yield from bps.mv(*(part for signal, dark, _ in before for part in (signal, dark)))
        if begun:
            yield Msg("wait", None, group=begun[0].kwargs.get("group"))
        return before

    def _note(self, interlock: Interlock, state: str, cause: str, run: Any, run_is_open: bool) -> MsgGenerator[None]:
        """Tell the user, and write an event of the stream `interlocks`, with its time, if a run is open."""
        self.state.name_of.put(interlock.name)
        self.state.state.put(state)
        self.state.cause.put(cause)
        self._tell(interlock.name, cause)
        if run_is_open:
            yield Msg("create", None, name=STREAM, run=run)
            yield Msg("read", self.state, run=run)
            yield Msg("save", run=run)
            yield Msg("checkpoint")
