"""Processes that a session starts for itself."""

from __future__ import annotations

import subprocess
import sys
from typing import IO

if sys.platform == "win32":
    _AWAY_FROM_THE_TERMINAL = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
else:
    _AWAY_FROM_THE_TERMINAL = 0  # `start_new_session` does it, which means nothing on Windows


def start_module(module: str, *arguments: str, log_file: IO[bytes]) -> subprocess.Popen[bytes]:
    """Run a module of this package in a process that hears of the session by its standard input alone.

    The input ends with the session, however that ends. A Ctrl-C at the prompt and the closing of the terminal do not
    reach the process.

    Args:
        module: full name, run as `python -m`.
        arguments: of the module.
        log_file: where its standard error goes.

    Returns:
        The process; its standard input and output are pipes.
    """
    # -P: no file in the user's working directory may stand in for a library.
    return subprocess.Popen([sys.executable, "-P", "-m", module, *arguments], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=log_file, creationflags=_AWAY_FROM_THE_TERMINAL,
                            start_new_session=True)
