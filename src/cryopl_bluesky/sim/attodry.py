"""A TCP server on loopback that speaks the attoDRY800's JSON-RPC, quirks and latency included.

Faults are switched on in `bench.faults`; those of the wire act here, the others in the controller
(`attodry_methods.py`). The parameter of `cryostat.stall` is the time in bench seconds that one reply is late;
of `cryostat.reset`, `cryostat.half_line` and `cryostat.garbage` it is the number of replies that suffer.
The others: `cryostat.frozen`, `cryostat.locked`, `cryostat.method_missing`, `cryostat.compressor_trip` (any
parameter), `cryostat.control_drops` (once), `cryostat.foreign_setpoint` (once: a second program sets that many K),
`cryostat.setpoint_ignored` (number of writes), `cryostat.insane`
(error number, 0 for none), `cryostat.sensor_open` (reading in K), `cryostat.plate_runaway` (fall in K/min).
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from typing import Any

from cryopl_bluesky.sim.attodry_methods import Controller, RpcError, use_fault
from cryopl_bluesky.sim.bench import Bench

LATENCY_S = 0.17


class AttoDryServer:
    """The controller's network side.

    Args:
        bench: the world behind the controller.
        latency_s: time between request and reply, in bench seconds.

    Attributes:
        controller: what answers, for tests.
    """

    def __init__(self, bench: Bench, *, latency_s: float = LATENCY_S):
        self._bench, self._latency_s = bench, latency_s
        self.controller = Controller(bench)
        self._listener: socket.socket | None = None
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()

    def start(self) -> tuple[str, int]:
        """Listen on a free port of the loopback interface.

        Returns:
            Host and port.
        """
        listener = socket.create_server(("127.0.0.1", 0))
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), name="attodry-server", daemon=True).start()
        host, port = listener.getsockname()[:2]
        return host, port

    def stop(self) -> None:
        """Close the port and all connections."""
        if self._listener is not None:
            _shut(self._listener)
            self._listener = None
        self.disconnect_all()

    def disconnect_all(self) -> None:
        """Close all connections, as a restart of the controller does."""
        with self._lock:
            connections, self._connections = self._connections, set()
        for connection in connections:
            _shut(connection)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._connections.add(connection)
            threading.Thread(
                target=self._serve, args=(connection,), name="attodry-client", daemon=True
            ).start()

    def _serve(self, connection: socket.socket) -> None:
        decoder, text = json.JSONDecoder(), ""
        try:
            while chunk := connection.recv(65536):
                text += chunk.decode()
                while text := text.lstrip():
                    try:
                        request, end = decoder.raw_decode(text)
                    except ValueError:
                        if text.startswith("{"):
                            break  # the rest of the object is still on its way
                        request, end = None, len(text)
                    text = text[end:]
                    self._reply(connection, request)
        except OSError:
            return  # the client went away, or stop() closed the connection
        finally:
            with self._lock:
                self._connections.discard(connection)
            _shut(connection)

    def _reply(self, connection: socket.socket, request: Any) -> None:
        stall_s = self._bench.faults.pop("cryostat.stall", 0.0)
        self._bench.clock.sleep(self._latency_s + stall_s)
        if use_fault(self._bench, "cryostat.reset"):
            raise ConnectionResetError
        reply = json.dumps(self._answer(request)).encode() + b"\r\n"
        if use_fault(self._bench, "cryostat.garbage"):
            reply = b"<html>503 busy</html>\r\n"
        if use_fault(self._bench, "cryostat.half_line"):
            connection.sendall(reply[: len(reply) // 2])
            raise ConnectionResetError
        connection.sendall(reply)

    def _answer(self, request: Any) -> dict[str, Any]:
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            return {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "Parse error"}}
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": request.get("id")}
        try:
            answer["result"] = self.controller.call(request["method"], request.get("params") or [])
        except RpcError as error:
            answer["error"] = {"code": error.code, "message": str(error)}
        return answer


def _shut(connection: socket.socket) -> None:
    """Close a socket so that a thread blocked on it wakes, also on Windows."""
    with contextlib.suppress(OSError):  # never connected, or closed by the other side already
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
