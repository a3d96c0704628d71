"""Lenses on flip mounts: a Thorlabs MFF101/102, or a mount that the operator turns by hand."""

from __future__ import annotations

import threading
from typing import Any, Literal, Protocol

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.drivers.errors import InstrumentError, InstrumentTimeoutError, NotConnectedError
from cryopl_bluesky.drivers.operator import Operator

Position = Literal["in", "out"]

MOVE_LIMIT_S = 6.0
"""The slowest transit that can be set is 2.8 s; twice that and it is stuck."""
_POLL_S = 0.05


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
        except Exception as error:  # noqa: BLE001 - pylablib passes on whatever the serial backend raises
            raise NotConnectedError(
                self.name, f"flip mount {self._connection!r} cannot be opened: {error}",
                "check USB cable and the serial number in the profile, and close Thorlabs Kinesis; "
                'or set driver = "manual"',
            ) from error

    def close(self) -> None:
        """Disconnect."""
        with self._lock:
            if self._mount is not None:
                self._mount.close()
                self._mount = None

    def position(self) -> Position:
        """Where the lens is.

        Raises:
            InstrumentError: between its ends and not moving (jammed), or not open.
        """
        state = self._wait_for_rest()
        return "in" if state == self._in_state else "out"

    def move(self, position: Position) -> Position:
        """Move, wait for the end switch, and return the position that was reached.

        Raises:
            InstrumentError: it jams, or ends on the wrong side.
            InstrumentTimeoutError: it is still moving after `MOVE_LIMIT_S`.
        """
        target = self._in_state if position == "in" else 1 - self._in_state
        with self._lock:
            self._opened().move_to_state(target)
            reached = self._wait_for_rest()
        if reached != target:
            raise InstrumentError(self.name, f"was sent {position!r} but stands at the other end",
                                  "check the mount and its cable; nothing was exposed")
        return position

    def _wait_for_rest(self) -> int:
        from pylablib.devices.Thorlabs import ThorlabsError

        end_s = self._clock.monotonic() + MOVE_LIMIT_S
        while self._clock.monotonic() < end_s:
            with self._lock:
                try:
                    state = self._opened().get_state()
                except ThorlabsError as error:
                    raise InstrumentError(self.name, f"is at neither end and does not move ({error})",
                                          "something blocks the mount; free it and try again") from error
            if state is not None:
                return int(state)
            self._clock.sleep(_POLL_S)
        raise InstrumentTimeoutError(self.name, f"is still moving after {MOVE_LIMIT_S:g} s",
                                     "something blocks the mount, or its transit time is set too long")

    def _opened(self) -> Any:
        if self._mount is None:
            raise NotConnectedError(self.name, "the flip mount is not open", "connect it first")
        return self._mount


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
        question = f"Please flip the lens of {self.name} {position.upper()} of the beam" if position == "out" else (
            f"Please flip the lens of {self.name} INTO the beam")
        if self._operator.ask(self.name, question, ("done", "not possible")) != "done":
            self._position = None
            raise InstrumentError(self.name, f"the operator could not set it to {position!r}", "nothing was exposed")
        self._position = position
        return position

    def _ask(self, question: str, choices: tuple[Position, Position]) -> Position:
        return "in" if self._operator.ask(self.name, question, choices) == "in" else "out"
