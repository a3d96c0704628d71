"""What became of a series: which of its steps are done, failed or missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from cryopl_bluesky.catalog.queries import Run, RunNotFoundError, newest_runs, series_runs
from cryopl_bluesky.devices.settle_estimate import SettleTime

if TYPE_CHECKING:
    from tiled.client.container import Container

StepState = Literal["done", "failed", "missing"]


@dataclass(frozen=True)
class StepRecord:
    """One step of a series.

    Attributes:
        key: what was to be measured, see `plans.steps.SeriesStep`.
        temperature_K: set point.
        plan: name of the plan.
        state: `done` once it was closed successfully, `failed` if it was only tried, else `missing`.
        scan_id: of its last run, None when there is none.
        reason: why it failed; "" otherwise.
    """

    key: str
    temperature_K: float
    plan: str
    state: StepState
    scan_id: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class SeriesRecord:
    """A series as the catalog knows it; its steps are those of the recipe as it was run last.

    Attributes:
        uid: of the series.
        recipe: name of the recipe.
        sample: name of the sample.
        time: start of the first run, seconds since the Unix epoch.
        steps: all steps in their order.
        done_keys: keys of all successful runs, also of steps that are not in the recipe any more.
        unsettled: (set point, reason) of temperatures that did not settle when they were tried last.
    """

    uid: str
    recipe: str
    sample: str
    time: float
    steps: Sequence[StepRecord]
    done_keys: frozenset[str]
    unsettled: Sequence[tuple[float, str]]

    def count(self, state: StepState) -> int:
        """Number of steps in a state."""
        return sum(step.state == state for step in self.steps)

    @property
    def complete(self) -> bool:
        """Whether all steps are done."""
        return self.count("done") == len(self.steps)


def load_series(client: Container, series: str = "last") -> SeriesRecord:
    """What became of a series.

    Args:
        client: Tiled client of the catalog's root.
        series: as for `series_runs`.

    Raises:
        RunNotFoundError: there is no such series, or it was made by a version that did not record its steps.
    """
    return _record(series_runs(client, series))


def list_series(client: Container, limit_runs: int = 2000) -> list[SeriesRecord]:
    """The newest series, newest first.

    Args:
        client: Tiled client of the catalog's root.
        limit_runs: how many runs are looked at.
    """
    by_uid: dict[str, list[Run]] = {}
    for run in _runs_in_series(client, limit_runs):
        by_uid.setdefault(run.metadata["start"]["series"]["uid"], []).append(run)
    return [_record(runs) for runs in by_uid.values() if "keys" in runs[0].metadata["start"]["series"]]


def last_temperature_K(client: Container) -> float | None:
    """Set point of the newest run that says one; None when there is none."""
    for run in newest_runs(client, 20):
        if (temperature_K := run.metadata["start"].get("temperature_K")) is not None:
            return float(temperature_K)
    return None


def settle_times(client: Container, limit_runs: int = 2000) -> list[SettleTime]:
    """Settle times of past series, newest first, each change of temperature once.

    Args:
        client: Tiled client of the catalog's root.
        limit_runs: how many runs are looked at.
    """
    found: dict[SettleTime, None] = {}
    for run in _runs_in_series(client, limit_runs):
        settle = run.metadata["start"].get("settle")
        if settle:
            found[SettleTime(**settle)] = None
    return list(found)


def _runs_in_series(client: Container, limit_runs: int) -> list[Run]:
    """The newest runs that belong to any series, newest first."""
    from tiled.queries import Like

    return newest_runs(client.search(Like("series.uid", "%")), limit_runs)


def _record(runs: Sequence[Run]) -> SeriesRecord:
    in_time = sorted(runs, key=lambda run: run.metadata["start"]["time"])
    start: Mapping[str, Any] = in_time[-1].metadata["start"]
    series = start["series"]
    if "keys" not in series:
        raise RunNotFoundError(f"series {series['uid'][:8]} does not name its steps; it is of an older version")
    last = {run.metadata["start"]["series"].get("key"): run for run in in_time}
    done = frozenset(
        run.metadata["start"]["series"]["key"] for run in in_time
        if _succeeded(run) and "key" in run.metadata["start"]["series"]
    )
    planned = [(temperature_K, step["plan"]) for temperature_K in series["temperatures_K"] for step in series["steps"]]
    steps = [
        _step(key, temperature_K, plan, last.get(key), done)
        for key, (temperature_K, plan) in zip(series["keys"], planned, strict=True)
    ]
    return SeriesRecord(
        series["uid"], series.get("recipe", ""), (start.get("sample") or {}).get("name", ""),
        in_time[0].metadata["start"]["time"], steps, done, _unsettled(in_time),
    )


def _step(key: str, temperature_K: float, plan: str, run: Run | None, done: frozenset[str]) -> StepRecord:
    if run is None:
        return StepRecord(key, temperature_K, plan, "missing")
    scan_id = run.metadata["start"].get("scan_id")
    if key in done:
        return StepRecord(key, temperature_K, plan, "done", scan_id)
    stop = run.metadata.get("stop") or {}
    return StepRecord(key, temperature_K, plan, "failed", scan_id, stop.get("reason") or "not finished")


def _unsettled(runs: Sequence[Run]) -> list[tuple[float, str]]:
    """Temperatures whose newest run says that they did not settle."""
    newest = {float(run.metadata["start"]["temperature_K"]): run for run in runs}
    return [
        (temperature_K, (run.metadata.get("stop") or {}).get("reason", ""))
        for temperature_K, run in newest.items() if run.metadata["start"]["series"]["step"] == "settle"
    ]


def _succeeded(run: Run) -> bool:
    stop = run.metadata.get("stop")
    return bool(stop) and stop["exit_status"] == "success"
