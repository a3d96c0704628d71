"""The guard that outlives the session, seen from the session: a process of its own, and the heartbeat for it.

All else that makes the instruments safe lives in the session's process and ends with it: killed, out of memory,
crashed in a vendor's library. What the guard's process does is in `session/guard_process.py`, because it opens
instruments.
"""

from __future__ import annotations

import contextlib
import logging
import subprocess
import threading
import time
from pathlib import Path
from typing import IO

import filelock

from cryopl_bluesky.child_process import start_module
from cryopl_bluesky.clock import SystemClock
from cryopl_bluesky.drivers.errors import InstrumentError
from cryopl_bluesky.supervision.heartbeat import BEAT, BYE, HEARTBEAT_S, TAKE_OVER

log = logging.getLogger(__name__)

READY = b"ready"
"""The guard's process prints this line when it can act at once."""
READY_TIMEOUT_S = 60.0
ACTING_TIMEOUT_S = 180.0
"""A spectrograph may home its drives for 2 minutes when it is opened."""
_START_AGAIN_S = 60.0
_END_S = 2.0


class OutlivingGuard:
    """Starts the guard's process and keeps telling it that this process lives, until `close`.

    Args:
        module: full name of the module that the process runs.
        arguments: of the module.
        first_line: the first line of its input; the heartbeat follows.
        log_path: file that gets its standard error.
    """

    def __init__(self, module: str, *arguments: str, first_line: str, log_path: Path):
        self._module, self._arguments, self._first_line, self._log_path = module, arguments, first_line, log_path
        self._start()
        self._heart = SystemClock().periodic(HEARTBEAT_S, self._beat, "guard-heartbeat")

    @property
    def pid(self) -> int:
        """Number of the guard's process."""
        return self._process.pid

    def check(self) -> None:
        """Wait until the guard can act (some seconds after the start); to be asked before there is light.

        Raises:
            InstrumentError: it does not get ready.
        """
        if not self._ready.wait(READY_TIMEOUT_S):
            raise InstrumentError(
                "laser", f"the guard that outlives the session is not ready after {READY_TIMEOUT_S:g} s; no light "
                "without it", f"see {self._log_path}, then close the session and open it again")

    def close(self, take_over: bool = False) -> None:
        """Say that the session ends in order; the guard ends without doing anything.

        Args:
            take_over: the session could not make everything safe: the guard goes on trying, after this process.
        """
        self._heart.cancel()
        with contextlib.suppress(OSError):  # it died before us
            self._say(TAKE_OVER if take_over else BYE)
            self._stdin.close()
        if take_over:
            return
        try:
            self._process.wait(_END_S if self._ready.is_set() else 0.0)
        except subprocess.TimeoutExpired:  # as a rule because it is still importing
            self._process.kill()
            self._process.wait()
        self._listener.join(_END_S)

    def _start(self) -> None:
        self._started_s = time.monotonic()
        self._ready = threading.Event()
        with self._log_path.open("ab") as log_file:
            self._process = start_module(self._module, *self._arguments, log_file=log_file)
        self._listener = threading.Thread(target=self._listen, args=(self._process.stdout, self._ready),
                                          name="guard-ready", daemon=True)
        self._listener.start()
        with contextlib.suppress(OSError):  # it ended at once: the heartbeat notices and reports that
            self._say(self._first_line.encode())

    @staticmethod
    def _listen(stdout: IO[bytes], ready: threading.Event) -> None:
        with stdout:
            for line in stdout:
                if line.strip() == READY:
                    ready.set()

    def _beat(self) -> None:
        if self._process.poll() is None:
            with contextlib.suppress(OSError):  # it has just ended: the next beat notices
                self._say(BEAT)
        elif time.monotonic() - self._started_s > _START_AGAIN_S:
            log.error("the guard that outlives the session has ended (exit code %s, see %s); it is started again",
                      self._process.returncode, self._log_path)
            self._start()
        else:
            self._ready.clear()

    def _say(self, line: bytes) -> None:
        self._stdin.write(line + b"\n")
        self._stdin.flush()

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin


def wait_until_done(lock_path: Path) -> None:
    """Wait while the guard of an earlier session has the instruments open.

    Args:
        lock_path: the lock that it holds meanwhile.
    """
    try:
        with filelock.FileLock(lock_path, timeout=ACTING_TIMEOUT_S):
            return
    except filelock.Timeout:
        log.warning("the guard of an earlier session has had instruments open for %g s (%s); going on without waiting",
                    ACTING_TIMEOUT_S, lock_path)
