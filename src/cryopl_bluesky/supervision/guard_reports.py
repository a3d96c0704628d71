"""What the guard that outlives a session did: one JSON line each, told to the user once, by the next session.

The file only grows. A line `{"told": n}` says that the first n reports were told, and `{"opens": time}` that a session
was about to open the instruments.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GuardReport:
    """What was done after a session.

    Attributes:
        time_s: when the cause was noticed, seconds since the Unix epoch.
        cause: why the guard acted.
        safe_after_s: the instruments that are safe, and how long after that time they were.
        problems: one line for each instrument that is not.
    """

    time_s: float
    cause: str
    safe_after_s: dict[str, float]
    problems: list[str]

    def __str__(self) -> str:
        when = datetime.fromtimestamp(self.time_s).astimezone().isoformat(sep=" ", timespec="seconds")
        safe = ", ".join(f"{name} after {seconds:.2g} s" for name, seconds in self.safe_after_s.items())
        problems = "".join(f"; PROBLEM: {problem}" for problem in self.problems)
        return f"{when}: the guard of a session acted ({self.cause}); made safe: {safe or 'nothing'}{problems}"


def add_report(path: Path, report: GuardReport) -> None:
    """Append a report to the file at `path`."""
    _append(path, asdict(report))


def take_reports(path: Path) -> list[GuardReport]:
    """The reports that nobody was told yet, oldest first; they count as told from now on."""
    reports, told = _read(path)
    if told < len(reports):
        _append(path, {"told": len(reports), "time_s": time.time()})
    return reports[told:]


def note_opening(path: Path) -> None:
    """Write down that a session takes over the instruments, if there is a guard that may still be at them."""
    if path.exists():
        _append(path, {"opens": time.time()})


def opened_since(path: Path, time_s: float) -> bool:
    """Whether a session has taken over the instruments since a time, seconds since the Unix epoch."""
    return any(entry.get("opens", 0.0) >= time_s for entry in _entries(path))


def _append(path: Path, entry: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def _read(path: Path) -> tuple[list[GuardReport], int]:
    entries = _entries(path)
    reports = [GuardReport(**entry) for entry in entries if "cause" in entry]
    return reports, max((int(entry["told"]) for entry in entries if "told" in entry), default=0)


def _entries(path: Path) -> list[dict[str, Any]]:
    """The lines of the file that can be understood."""
    entries: list[dict[str, Any]] = []
    if not path.exists():
        return entries
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        try:
            entry = json.loads(line)
            if "told" in entry or "opens" in entry:
                entry = {key: float(value) for key, value in entry.items()}
            else:
                GuardReport(**entry)
            entries.append(entry)
        except (ValueError, TypeError) as error:
            log.warning("%s, line %d is no report of the guard: %s", path, number, error)
    return entries
