"""What a bench still knows when its process has ended.

Real instruments keep their state when the program that set it dies: the laser goes on emitting. So that the next
process finds the bench as it was left, the parts that matter are written to a small file at each change.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

_ATTEMPTS, _PAUSE_S = 10, 0.002

State = dict[str, Any]
"""Plain numbers, texts, and lists of them, by name."""


class Memory:
    """A JSON file with the state of each part of the bench.

    Not written through to the disk: it survives the process, not the computer.

    Args:
        path: the file; None: nothing is kept.
    """

    def __init__(self, path: Path | None = None):
        self._path = path
        self._lock = threading.Lock()
        self._written = True
        self._parts: dict[str, Any] = self._read()

    def recall(self, part: str, default: Mapping[str, Any]) -> State:
        """How a part was left.

        Args:
            part: its name.
            default: its state when nothing was kept, or nothing of the same names and types.
        """
        kept = self._parts.get(part, default)
        if _alike(kept, default):
            return dict(kept)
        log.warning("%s: what was kept of %r does not fit; it starts with its defaults", self._path, part)
        return dict(default)

    def keep(self, part: str, state: Callable[[], State]) -> None:
        """Write down how a part is, if that has changed.

        Args:
            part: its name.
            state: gives the present state. Must not be called with the bench locked: it may lock the bench itself.
        """
        if self._path is None:
            return
        with self._lock:  # around `state` too, or an older state could be written over a newer one
            now = state()
            if now == self._parts.get(part) and self._written:
                return
            self._parts[part] = now
            self._written = self._write(self._path)

    def _write(self, path: Path) -> bool:
        temporary = path.with_name(f"{path.name}.tmp")
        try:
            temporary.write_text(json.dumps(self._parts), encoding="ascii")
            _replace(path, temporary)
        except OSError as error:  # tried again at the next change
            log.warning("the state of the bench could not be written: %s", error)
            return False
        return True

    def _read(self) -> dict[str, Any]:
        if self._path is None or not self._path.exists():
            return {}
        try:
            parts = json.loads(self._path.read_text(encoding="ascii"))
            if not isinstance(parts, dict):
                raise ValueError("it holds no object")
        except (OSError, ValueError) as error:
            log.warning("%s cannot be read, the bench starts with its defaults: %s", self._path, error)
            return {}
        return parts


def _replace(path: Path, new: Path) -> None:
    """Put `new` in the place of `path`; on Windows that fails while somebody reads it, which does not take long."""
    for _ in range(_ATTEMPTS - 1):
        try:
            new.replace(path)
        except PermissionError:
            time.sleep(_PAUSE_S)
        else:
            return
    new.replace(path)


def _alike(kept: Any, default: Any) -> bool:
    """Whether names and types are those of the default."""
    if isinstance(default, Mapping):
        return isinstance(kept, Mapping) and kept.keys() == default.keys() and all(
            _alike(kept[name], value) for name, value in default.items()
        )
    if isinstance(default, list):
        return isinstance(kept, list) and len(kept) == len(default) and all(map(_alike, kept, default))
    return type(kept) is type(default)
