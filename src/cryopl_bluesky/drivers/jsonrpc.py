"""JSON-RPC over one persistent TCP connection, as the attocube controllers speak it.

One request is in flight at a time. After any doubt about the connection (time limit, reset, malformed or
foreign reply) the socket is closed, because a late reply would answer the wrong question; the next call
connects anew. Nothing is ever sent twice here: whether a call may be repeated is the caller's decision.
"""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from typing import Any

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.drivers.errors import InstrumentError, InstrumentTimeoutError, NotConnectedError

_METHOD_NOT_FOUND = -32601
_MAX_REPLY_BYTES = 4_000_000
_BACK_OFF_S = (0.0, 1.0, 2.0, 5.0, 10.0)


class LinkError(InstrumentError):
    """The connection failed in the middle of a call: whether the call took effect is unknown."""


class LinkTimeoutError(LinkError, InstrumentTimeoutError):
    """No reply within the time limit: whether the call took effect is unknown."""


class MethodMissingError(InstrumentError):
    """The firmware does not know this method."""


class JsonRpcClient:
    """Sends one JSON object per call and reads one line of reply.

    Args:
        host: name or address of the controller.
        port: TCP port.
        clock: time base of the back-off between attempts to connect.
        name: device name for error messages.
        timeout_s: time limit of connecting and of a reply, in real seconds.
    """

    def __init__(self, host: str, port: int, clock: Clock, *, name: str, timeout_s: float = 10.0):
        self._address, self._clock, self._name, self._timeout_s = (host, port), clock, name, timeout_s
        self._lock = threading.RLock()
        self._socket: socket.socket | None = None
        self._buffer = b""
        self._ids = itertools.count(1)
        self._failures = 0
        self._retry_at_s = 0.0

    @property
    def connected(self) -> bool:
        """True while a connection is open."""
        return self._socket is not None

    def connect(self) -> None:
        """Open the connection unless it is open; after failures not before the back-off has passed.

        Raises:
            NotConnectedError: nobody answers there, or the next attempt is still due.
        """
        with self._lock:
            if self._socket is not None:
                return
            host, port = self._address
            wait_s = self._retry_at_s - self._clock.monotonic() if self._failures else 0.0
            if wait_s > 0:
                raise NotConnectedError(self._name, f"no connection to {host}:{port}",
                                        f"the next attempt is due in {wait_s:.1f} s")
            try:
                connection = socket.create_connection(self._address, timeout=self._timeout_s)
            except OSError as error:
                self._failures += 1
                pause_s = _BACK_OFF_S[min(self._failures, len(_BACK_OFF_S)) - 1]
                self._retry_at_s = self._clock.monotonic() + pause_s
                raise NotConnectedError(
                    self._name, f"cannot connect to {host}:{port}: {error}",
                    "is the controller switched on, on this network, and does TCP port "
                    f"{port} answer? Check host and port in the profile",
                ) from error
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket, self._buffer, self._failures = connection, b"", 0

    def close(self) -> None:
        """Close the connection; the next call opens it again."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
            self._socket, self._buffer = None, b""

    def call(self, method: str, params: tuple[Any, ...] = (), *, timeout_s: float | None = None) -> list[Any]:
        """Call a method.

        Args:
            method: full name on the wire.
            params: positional parameters.
            timeout_s: real seconds to wait for the reply; default: that of the client.

        Returns:
            The array `result` of the reply, error number included.

        Raises:
            LinkError: the connection failed; whether the call took effect is unknown.
            MethodMissingError: the firmware does not know the method.
            InstrumentError: the controller answered with another JSON-RPC error.
        """
        with self._lock:
            self.connect()
            number = next(self._ids)
            request = {"jsonrpc": "2.0", "method": method, "api": 2, "id": number, "params": list(params)}
            limit_s = self._timeout_s if timeout_s is None else timeout_s
            try:
                reply = self._exchange(json.dumps(request).encode() + b"\n", limit_s)
            except TimeoutError as error:
                self.close()
                raise LinkTimeoutError(self._name, f"no reply to {method} within {limit_s:g} s",
                                       "the controller stalls; the connection will be opened anew") from error
            except OSError as error:
                self.close()
                raise LinkError(self._name, f"connection lost during {method}: {error}",
                                "check network cable and controller") from error
            return self._result(method, number, reply)

    def _exchange(self, request: bytes, timeout_s: float) -> bytes:
        assert self._socket is not None
        deadline_s = time.monotonic() + timeout_s
        self._socket.settimeout(timeout_s)
        self._socket.sendall(request)
        while b"\n" not in self._buffer:
            remaining_s = deadline_s - time.monotonic()
            if remaining_s <= 0:
                raise TimeoutError
            self._socket.settimeout(remaining_s)
            chunk = self._socket.recv(65536)
            if not chunk:
                raise ConnectionError("closed by the controller")
            self._buffer += chunk
            if len(self._buffer) > _MAX_REPLY_BYTES:
                raise ConnectionError("the reply does not end")
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _result(self, method: str, number: int, line: bytes) -> list[Any]:
        shown = line[:80].decode(errors="replace")
        try:
            reply = json.loads(line)
        except ValueError as error:
            self.close()
            raise LinkError(self._name, f"reply to {method} is not JSON: {shown!r}",
                            "is another device at this address?") from error
        if not isinstance(reply, dict) or reply.get("id", number) != number or self._buffer:
            self.close()
            raise LinkError(self._name, f"reply to {method} belongs to another call: {shown!r}")
        problem = reply.get("error")
        if problem:
            code = problem.get("code") if isinstance(problem, dict) else None
            if code == _METHOD_NOT_FOUND:
                raise MethodMissingError(self._name, f"the firmware does not know {method}", code=code)
            raise InstrumentError(self._name, f"{method} was refused: {problem}", code=code)
        result = reply.get("result")
        if not isinstance(result, list) or not result:
            self.close()
            raise LinkError(self._name, f"reply to {method} has no result: {shown!r}")
        return result
