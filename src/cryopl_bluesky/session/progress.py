"""What a user sees while a night runs: one line per finished run, what is happening now, and how long it will take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.devices.instruments import Instruments
from cryopl_bluesky.plans.estimate import StepEstimate


def duration_text(seconds: float) -> str:
    """A duration as people say it: 45 s, 12 min, 3 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


class SeriesProgress:
    """Document callback that keeps a line on the screen; give it to `RE.subscribe`.

    Args:
        ins: the instruments, for the temperature while it settles.
        steps: estimates of the steps that will be measured.
        clock: the time of the session.
        console: where to write.
        held_by: the interlock that holds the night up, or "".

    Attributes:
        series_uid: of the series, once its first run has begun.
    """

    def __init__(
        self, ins: Instruments, steps: Sequence[StepEstimate], clock: Clock, console: Console,
        held_by: Callable[[], str] = lambda: "",
    ):
        self._held_by = held_by
        self._ins, self._clock, self._console = ins, clock, console
        self._left = {estimate.step.index: estimate for estimate in steps}
        self._total = len(self._left)
        self.series_uid = ""
        self._began_s = self._step_began_s = clock.monotonic()
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
            if document["exit_status"] == "success":
                self._left.pop(self._current["series"]["index"], None)
            self._step_began_s = self._clock.monotonic()
            self._console.print(self._line(self._current, document), highlight=False)
            self._current = None

    @property
    def left_s(self) -> float:
        """Time that the rest will take, by the estimate."""
        passed_s = self._clock.monotonic() - self._step_began_s
        durations_s = [estimate.duration_s for _, estimate in sorted(self._left.items())]
        return sum(durations_s[1:]) + max(0.0, durations_s[0] - passed_s) if durations_s else 0.0

    def _line(self, start: dict[str, Any], stop: dict[str, Any]) -> str:
        ended = "done" if stop["exit_status"] == "success" else f"[red]{stop['exit_status']}: {stop['reason']}[/red]"
        events = sum(stop.get("num_events", {}).get(stream, 0) for stream in ("primary",))
        done = self._total - len(self._left)
        return (f"[{done:>3}/{self._total}] {start['temperature_K']:7.2f} K  {start['measurement']:<16} "
                f"scan {start['scan_id']:<5} {events:>3} events  {ended}")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the present state."""
        grid = Table.grid(padding=(0, 1))
        elapsed = duration_text(self._clock.monotonic() - self._began_s)
        done = self._total - len(self._left)
        grid.add_row(ProgressBar(total=self._total, completed=done, width=30), f"{done}/{self._total}",
                     f"{elapsed}, about {duration_text(self.left_s)} left", self._now())
        yield grid

    def _now(self) -> str:
        if held_by := self._held_by():
            return f"held up in the dark: {held_by}"
        if self._current is not None:
            return f"{self._current['measurement']}, event {self._events + 1}"
        cryostat = self._ins.cryostat.locate()
        return f"settling at {cryostat['setpoint']:g} K, now {cryostat['readback']:.3f} K"

    def live(self) -> Live:
        """A context in which the line is kept up to date on a terminal."""
        return Live(self, console=self._console, refresh_per_second=4, transient=True)
