"""The heartbeat of a session as its guard hears it, on a pipe that ends with the session's process."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import BinaryIO

log = logging.getLogger(__name__)

HEARTBEAT_S = 1.0
"""Time between two beats of a session, real seconds."""
BEAT, BYE, TAKE_OVER = b"beat", b"bye", b"take over"
GONE = "its process was gone"
NOT_SAFE = "it ended and could not make them safe itself"


class Heartbeat:
    """Listens from the moment it is made, whatever its owner does meanwhile.

    Args:
        pipe: carries a line `BEAT` each `HEARTBEAT_S`, and at an orderly end the line `BYE`, or `TAKE_OVER`.
    """

    def __init__(self, pipe: BinaryIO):
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._listen, args=(pipe,), name="heartbeat", daemon=True).start()

    def _listen(self, pipe: BinaryIO) -> None:
        line = b"?"
        while line and line.strip() not in (BYE, TAKE_OVER):
            line = pipe.readline()
            self._lines.put(line)

    def watch(self, silence_s: float, act: Callable[[str], object]) -> None:
        """Return when the session has ended; it had to say `BYE` if there is nothing to do.

        Args:
            silence_s: longest time between two beats, real seconds.
            act: called with the cause when the pipe ends without a `BYE`, and each time the beats stop for longer
                than `silence_s`; may take long.
        """
        heard_s, silent = time.monotonic(), False
        while True:
            try:
                left_s = max(0.0, heard_s + silence_s - time.monotonic())
                line = self._lines.get(timeout=None if silent else left_s)
            except queue.Empty:
                silent = True
                act(f"its process gave no sign of life for {silence_s:g} s")
                continue
            if not line:
                act(GONE)
                return
            if line.strip() == BYE:
                return
            if line.strip() == TAKE_OVER:
                act(NOT_SAFE)
                return
            if line.strip() != BEAT:
                log.warning("not understood and not counted as a sign of life: %r", line[:80])
                continue
            if silent:
                log.warning("the session gives signs of life again")
            heard_s, silent = time.monotonic(), False
