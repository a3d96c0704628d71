"""Lenses on flip mounts: a Thorlabs MFF101/102, or a mount that the operator turns by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Literal, Protocol

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.drivers.errors import InstrumentError, InstrumentTimeoutError, NotConnectedError
from cryopl_bluesky.drivers.operator import Operator

Position = Literal["in", "out"]

MOVE_LIMIT_S = 6.0
"""The slowest transit that can be set is 2.8 s; twice that and it is stuck."""
_POLL_S = 0.05
_JAMMED = "jammed"


class FlipMountDriver(Protocol):
    """What the flip-mount device needs."""

    attended: bool
    """Whether a person moves it."""

    def open(self) -> None:
        """Connect; moves nothing."""
        ...

    def close(self) -> None:
        """Disconnect; moves nothing."""
        ...

    def position(self) -> Position:
        """Where the lens is."""
        ...

    def move(self, position: Position) -> Position:
        """Move and return the position that was reached."""
        ...


class MotorFlipMount:
    """A Thorlabs MFF mount through pylablib.

    Args:
        connection: what `pylablib.devices.Thorlabs.MFF` takes: a serial number, or an open connection.
        clock: for waiting.
        name: device name for messages.
        in_state: state (0 or 1) of the mount in which the lens is in the beam.
    """

    attended = False

    def __init__(self, connection: Any, clock: Clock, *, name: str, in_state: Literal[0, 1] = 1):
        self._connection, self._clock, self.name, self._in_state = connection, clock, name, in_state
        self._lock = threading.RLock()
        self._mount: Any = None

    def open(self) -> None:
        """Connect.

        Raises:
            NotConnectedError: no mount with this serial number, or another program holds it.
        """
        from pylablib.devices import Thorlabs

        try:
            self._mount = Thorlabs.MFF(self._connection)
        except Exception as error:  # pylablib passes on whatever its backend raises
            raise NotConnectedError(
                self.name, f"flip mount {self._connection!r} cannot be opened: {error}",
                "install Thorlabs Kinesis, which brings the USB driver, and close it; check the USB cable and the "
                'serial number in the profile; or set driver = "manual"',
            ) from error

    def close(self) -> None:
        """Disconnect."""
        with self._lock:
            if self._mount is not None:
                self._mount.close()
                self._mount = None

    def position(self) -> Position:
        """Where the lens is, once it is at rest.

        Raises:
            InstrumentError: between its ends and not moving (jammed), or not connected.
        """
        with self._lock:
            return "in" if self._wait_for({0, 1}, "its position is needed") == self._in_state else "out"

    def move(self, position: Position) -> Position:
        """Move, wait for the end switch, and return the position that was reached.

        Raises:
            InstrumentError: it jams, or stays at the other end.
            InstrumentTimeoutError: it is still moving after `MOVE_LIMIT_S`.
        """
        target = self._in_state if position == "in" else 1 - self._in_state
        with self._lock:
            self._talk(lambda mount: mount.move_to_state(target))
            self._wait_for({target}, f"was sent {position!r}")
        return position

    def _wait_for(self, states: set[int], why: str) -> int:
        """Wait until the mount is in one of `states`.

        Just after a command the mount may still report its old end, or none: only the time limit decides.
        """
        end_s = self._clock.monotonic() + MOVE_LIMIT_S
        while True:
            state = self._talk(_state_or_jammed)
            if state in states:
                return int(state)
            if self._clock.monotonic() >= end_s:
                raise self._stuck(state, why)
            self._clock.sleep(_POLL_S)

    def _stuck(self, state: int | str | None, why: str) -> InstrumentError:
        if state is None:
            return InstrumentTimeoutError(self.name, f"{why} but it is still moving after {MOVE_LIMIT_S:g} s",
                                          "something blocks the mount, or its transit time is set too long")
        if state == _JAMMED:
            return InstrumentError(self.name, f"{why} but it is at neither end and does not move",
                                   "something blocks the mount; free it and try again")
        return InstrumentError(self.name, f"{why} but it stays at the other end after {MOVE_LIMIT_S:g} s",
                               "check the mount and its cable; nothing was exposed")

    def _talk(self, command: Callable[[Any], Any]) -> Any:
        from pylablib.core.devio.comm_backend import DeviceBackendError

        try:
            return command(self._opened())
        except DeviceBackendError as error:
            raise NotConnectedError(self.name, f"the flip mount does not answer: {error}",
                                    "check its USB cable and supply, then connect again") from error

    def _opened(self) -> Any:
        if self._mount is None:
            raise NotConnectedError(self.name, "the flip mount is not open", "connect it first")
        return self._mount


def _state_or_jammed(mount: Any) -> int | str | None:
    from pylablib.devices.Thorlabs.base import ThorlabsBackendError, ThorlabsError

    try:
        return mount.get_state()
    except ThorlabsBackendError:
        raise
    except ThorlabsError:  # pylablib's word for "neither an end switch nor moving"
        return _JAMMED


class ManualFlipMount:
    """A mount that the operator turns; what they say is recorded with time and name.

    Args:
        operator: who is asked.
        name: device name for messages.
    """

    attended = True

    def __init__(self, operator: Operator, *, name: str):
        self._operator, self.name = operator, name
        self._position: Position | None = None

    def open(self) -> None:
        """Nothing to connect; the position is asked for when it is first needed."""

    def close(self) -> None:
        """Forget the position: it may be changed by hand meanwhile."""
        self._position = None

    def position(self) -> Position:
        """Where the lens is, by the operator's last word."""
        if self._position is None:
            self._position = self._ask(f"Where is the lens of {self.name}?", ("in", "out"))
        return self._position

    def move(self, position: Position) -> Position:
        """Have the operator move the lens.

        Raises:
            InstrumentError: the operator could not do it.
        """
        where = "INTO the beam" if position == "in" else "OUT of the beam"
        self._position = None  # not known until confirmed
        question = f"Please flip the lens of {self.name} {where}"
        if self._operator.ask(self.name, question, ("done", "not possible")) != "done":
            raise InstrumentError(self.name, f"the operator could not set it to {position!r}",
                                  "nothing was exposed")
        self._position = position
        return position

    def _ask(self, question: str, choices: tuple[Position, Position]) -> Position:
        return "in" if self._operator.ask(self.name, question, choices) == "in" else "out"
