"""The Tiled server of a data folder: a process that belongs to the session that owns the folder; needs no set-up.

A process of its own, because Tiled keeps one core busy while a night is delivered. In a thread it would take the
interpreter from the detectors and their watchdogs, and a crash of one of its libraries would end the session.
"""

from __future__ import annotations

import json
import logging
import secrets
import subprocess
import threading
from typing import IO

from cryopl_bluesky.catalog.folder import DataFolder
from cryopl_bluesky.child_process import start_module

log = logging.getLogger(__name__)


class CatalogServerError(RuntimeError):
    """The server of the catalog did not start."""


class CatalogServer:
    """Tiled on loopback, on a port that is free and with a random key; it ends with this process, however that ends.

    Args:
        folder: the data folder; the caller holds its owner lock.
        timeout_s: longest wait for the server to answer, real seconds.

    Attributes:
        url: address of the server's interface.
        api_key: what clients have to present.

    Raises:
        CatalogServerError: it did not start; the message says why.
    """

    def __init__(self, folder: DataFolder, timeout_s: float = 60.0):
        self.api_key = secrets.token_hex(32)
        with folder.server_log.open("wb") as log_file:
            self._process = start_module("cryopl_bluesky.catalog.serve", str(folder.root), log_file=log_file)
        port = self._port(timeout_s)
        if port is None:
            self.close(0.0)
            raise CatalogServerError(_why_not(folder, timeout_s))
        self.url = f"http://127.0.0.1:{port}/api/v1"

    @property
    def running(self) -> bool:
        """Whether the server's process lives."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Number of the server's process."""
        return self._process.pid

    def close(self, timeout_s: float = 10.0) -> None:
        """Stop serving and close the databases; the process is ended by force after `timeout_s` real seconds."""
        for pipe in (self._stdin, self._stdout):
            pipe.close()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            log.warning("the catalog's server (pid %d) did not end within %g s and was killed", self.pid, timeout_s)
            self._process.kill()
            self._process.wait()

    @property
    def _stdin(self) -> IO[bytes]:
        """The server lives as long as this is open."""
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def _port(self, timeout_s: float) -> int | None:
        """Tell the server its key and read its port; None when it ended or `timeout_s` passed."""
        deadline = threading.Timer(timeout_s, self._process.kill)
        deadline.start()
        try:
            self._stdin.write(f"{self.api_key}\n".encode())
            self._stdin.flush()
            return int(json.loads(self._stdout.readline())["port"])
        except (OSError, ValueError):
            return None
        finally:
            deadline.cancel()


def _why_not(folder: DataFolder, timeout_s: float) -> str:
    """The last thing that a server said which did not start."""
    lines = folder.server_log.read_text(encoding="utf-8", errors="replace").split("\n")
    said = next((line for line in reversed(lines) if line.strip()), f"it did not answer within {timeout_s:g} s")
    return f"the catalog's server did not start: {said} (see {folder.server_log})"
