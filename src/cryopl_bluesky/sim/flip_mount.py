"""Thorlabs MFF flip mounts on a virtual serial line, in the APT messages that pylablib's `MFF` speaks.

Faults, for `l1` and `l5` alike: `l1.jammed` (stops between its ends), `l1.stuck` (does not leave its end),
`l1.slow` (never arrives, keeps saying that it moves), `l1.unplugged` (no answer at all).
"""

from __future__ import annotations

import struct
import threading
from typing import Any, Literal

from pylablib.core.devio.comm_backend import IDeviceCommBackend

from cryopl_bluesky.sim.bench import Bench

_HOST, _DEVICE, _DATA_FOLLOWS = 0x01, 0x50, 0x80
_BACK_LIMIT, _FORWARD_LIMIT, _MOVING_FORWARD, _MOVING_BACK = 0x01, 0x02, 0x10, 0x20
_IN_STATE = 1
_BUTTON_TOGGLE = (1, 1, 200)
"""Mode, signal and pulse width (ms) of a digital input as delivered: a push button toggles the mount."""


class MffBackend(IDeviceCommBackend):
    """An open connection to one mount; state 1 is "in the beam".

    Args:
        bench: the physical world.
        element: which lens it carries.
        serial: serial number that the mount reports.
        transit_ms: time from one end to the other.
    """

    def __init__(
        self, bench: Bench, element: Literal["l1", "l5"], serial: int = 37000001, transit_ms: int = 500
    ):
        super().__init__({"port": str(serial)})
        self._bench, self._element, self._serial, self._transit_ms = bench, element, serial, transit_ms
        self._state: int | None = int(getattr(bench.optics, f"{element}_in"))
        self._status = _FORWARD_LIMIT if self._state == _IN_STATE else _BACK_LIMIT
        self._received, self._to_send = bytearray(), bytearray()
        self._open = True
        self._timeout_s: float | None = 3.0

    # ---- the connection, as pylablib uses it

    def open(self) -> None:
        """Open the line."""
        self._open = True

    def close(self) -> None:
        """Close the line."""
        self._open = False

    def is_opened(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Whether the line is open."""
        return self._open

    def setup_cooldown(self, *args: Any, **kwargs: Any) -> None:
        """Nothing needs to cool down."""

    def get_timeout(self) -> float | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Timeout of reads."""
        return self._timeout_s

    def set_timeout(self, timeout: float | None) -> None:
        """Set the timeout of reads."""
        self._timeout_s = timeout

    def write(
        self, data: bytes, flush: bool = True, read_echo: bool = False, read_echo_delay: float = 0,
        read_echo_lines: int = 1,
    ) -> None:
        """Take bytes from the host and answer each whole message."""
        if not self._open or self._bench.fault(f"{self._element}.unplugged") is not None:
            raise self.Error("device not found")
        self._received += data
        while len(self._received) >= 6:
            identity, _, second, destination, _ = struct.unpack("<HBBBB", self._received[:6])
            length = struct.unpack("<H", self._received[2:4])[0] if destination & _DATA_FOLLOWS else 0
            if len(self._received) < 6 + length:
                return
            payload = bytes(self._received[6:6 + length])
            del self._received[:6 + length]
            self._handle(identity, second, payload)

    def read(self, size: int | None = None) -> bytes:
        """Give up to `size` bytes of the answers.

        Raises:
            IDeviceCommBackend.Error: fewer are there than were asked for (a timeout on a real line).
        """
        wanted = len(self._to_send) if size is None else size
        if len(self._to_send) < wanted:
            raise self.Error("timeout while reading")
        data = bytes(self._to_send[:wanted])
        del self._to_send[:wanted]
        return data

    # ---- the mount

    def _handle(self, identity: int, second: int, payload: bytes) -> None:
        if identity == 0x0005:
            self._answer(0x0006, self._info())
        elif identity == 0x046A:
            self._move(0 if second == 1 else 1)
        elif identity == 0x0429:
            self._answer(0x042A, struct.pack("<HI", 1, self._status))
        elif identity == 0x0511:
            transit_adc = int(1e7 * self._transit_ms**-1.591)
            parameters = (1, self._transit_ms, transit_adc, *_BUTTON_TOGGLE, *_BUTTON_TOGGLE)
            self._answer(0x0512, struct.pack("<HiiHHiHHi", *parameters) + bytes(8))
        elif identity == 0x0510:
            self._transit_ms = struct.unpack("<i", payload[2:6])[0]

    def _answer(self, identity: int, payload: bytes) -> None:
        header = struct.pack("<HHBB", identity, len(payload), _HOST | _DATA_FOLLOWS, _DEVICE)
        self._to_send += header + payload

    def _info(self) -> bytes:
        info = bytearray(84)
        struct.pack_into("<I8sH", info, 0, self._serial, b"MFF101", 44)
        info[14:17] = bytes([1, 0, 2])
        struct.pack_into("<HHH", info, 78, 1, 0, 1)
        return bytes(info)

    def _move(self, state: int) -> None:
        if state == self._state or self._bench.fault(f"{self._element}.stuck") is not None:
            return
        self._state = None
        self._status = _MOVING_FORWARD if state == _IN_STATE else _MOVING_BACK
        with self._bench.lock:
            self._bench.optics.moving.add(self._element)
        self._bench.changed()
        name = f"{self._element}-flip"
        threading.Thread(target=self._arrive, args=(state,), name=name, daemon=True).start()

    def _arrive(self, state: int) -> None:
        self._bench.clock.sleep(self._transit_ms * 1e-3)
        if self._bench.fault(f"{self._element}.jammed") is not None:
            self._status = 0
            return
        if self._bench.fault(f"{self._element}.slow") is not None:
            return
        with self._bench.lock:
            self._bench.optics.moving.discard(self._element)
            setattr(self._bench.optics, f"{self._element}_in", state == _IN_STATE)
        self._state = state
        self._status = _FORWARD_LIMIT if state == _IN_STATE else _BACK_LIMIT
        self._bench.changed()
