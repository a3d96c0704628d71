"""What a user sees while a night runs: one line per finished run, and what is happening now."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from cryopl_bluesky.devices.instruments import Instruments


class SeriesProgress:
    """Document callback that keeps a line on the screen; give it to `RE.subscribe`.

    Args:
        ins: the instruments, for the temperature while it settles.
        total: number of runs of the series.
        console: where to write.

    Attributes:
        series_uid: of the series, once its first run has begun.
    """

    def __init__(self, ins: Instruments, total: int, console: Console):
        self._ins, self._total, self._console = ins, total, console
        self.series_uid = ""
        self._done = 0
        self._started_s = time.monotonic()
        self._current: dict[str, Any] | None = None
        self._events = 0

    def __call__(self, name: str, document: dict[str, Any]) -> None:
        """Take note of one document."""
        if name == "start":
            self._current, self._events = document, 0
            self.series_uid = document["series"]["uid"]
        elif name == "event":
            self._events += 1
        elif name == "stop" and self._current is not None:
            self._done += 1
            self._console.print(self._line(self._current, document), highlight=False)
            self._current = None

    def _line(self, start: dict[str, Any], stop: dict[str, Any]) -> str:
        ended = "done" if stop["exit_status"] == "success" else f"[red]{stop['exit_status']}: {stop['reason']}[/red]"
        events = sum(stop.get("num_events", {}).get(stream, 0) for stream in ("primary",))
        return (f"[{self._done:>3}/{self._total}] {start['temperature_K']:7.2f} K  {start['measurement']:<16} "
                f"scan {start['scan_id']:<5} {events:>3} events  {ended}")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the present state."""
        grid = Table.grid(padding=(0, 1))
        elapsed_s = time.monotonic() - self._started_s
        grid.add_row(ProgressBar(total=self._total, completed=self._done, width=30),
                     f"{self._done}/{self._total}", f"{elapsed_s:.0f} s", self._now())
        yield grid

    def _now(self) -> str:
        if self._current is not None:
            return f"{self._current['measurement']}, event {self._events + 1}"
        cryostat = self._ins.cryostat.locate()
        return f"settling at {cryostat['setpoint']:g} K, now {cryostat['readback']:.3f} K"

    def live(self) -> Live:
        """A context in which the line is kept up to date on a terminal."""
        return Live(self, console=self._console, refresh_per_second=4, transient=True)
