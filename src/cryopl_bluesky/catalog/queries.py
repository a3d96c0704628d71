"""Finding runs: the table of the newest ones, one run by what the user typed, the runs of a series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiled.client.container import Container

_PAGE = 100
"""Runs that Tiled gives at once; it refuses to give more than 300."""

#: A run as the Tiled client gives it (`bluesky_tiled_plugins.clients.bluesky_run.BlueskyRunV3`).
Run = Any


class RunNotFoundError(LookupError):
    """No run, or no series, is called like this."""


@dataclass(frozen=True)
class RunRow:
    """One line of the table of runs.

    Args:
        uid: of the run.
        scan_id: running number of the data folder, None when the run has none.
        time: start, seconds since the Unix epoch.
        measurement: for example `spectral_image`; the plan's name for runs of other plans.
        sample: name of the sample, empty when not given.
        temperature_K: setpoint, None when not given.
        series: name of the series' recipe, its uid when it has no name, empty when the run is in none.
        exit_status: `success`, `fail`, `abort`, or `running` while there is no stop document.
        num_events: events of the stream `primary`; of a running measurement those delivered so far.
    """

    uid: str
    scan_id: int | None
    time: float
    measurement: str
    sample: str
    temperature_K: float | None
    series: str
    exit_status: str
    num_events: int


def runs_table(
    client: Container,
    limit: int = 20,
    *,
    measurement: str | None = None,
    sample: str | None = None,
    series: str | None = None,
    min_temperature_K: float | None = None,
    max_temperature_K: float | None = None,
    since: float | None = None,
    until: float | None = None,
) -> list[RunRow]:
    """The newest runs, newest first.

    Args:
        client: Tiled client of the catalog's root.
        limit: most rows.
        measurement: only these, for example `g2`.
        sample: only of the sample with this name.
        series: only of the series with this uid.
        min_temperature_K: only at this setpoint or above.
        max_temperature_K: only at this setpoint or below.
        since: only started at or after this time, seconds since the epoch.
        until: only started before this time.
    """
    from tiled.queries import Key

    conditions = [
        Key("measurement") == measurement if measurement is not None else None,
        Key("sample.name") == sample if sample is not None else None,
        Key("series.uid") == series if series is not None else None,
        Key("temperature_K") >= min_temperature_K if min_temperature_K is not None else None,
        Key("temperature_K") <= max_temperature_K if max_temperature_K is not None else None,
        Key("time") >= since if since is not None else None,
        Key("time") < until if until is not None else None,
    ]
    found = client
    for condition in conditions:
        if condition is not None:
            found = found.search(condition)
    return [run_row(run) for run in newest_runs(found, limit)]


def run_row(run: Run) -> RunRow:
    """The table's line for a run."""
    start: Mapping[str, Any] = run.metadata["start"]
    stop: Mapping[str, Any] | None = run.metadata.get("stop")
    sample = start.get("sample") or {}
    series = start.get("series") or {}
    return RunRow(
        uid=start["uid"],
        scan_id=start.get("scan_id"),
        time=start["time"],
        measurement=start.get("measurement") or start.get("plan_name", ""),
        sample=sample.get("name", "") if isinstance(sample, Mapping) else str(sample),
        temperature_K=start.get("temperature_K"),
        series=series.get("recipe") or series.get("uid", ""),
        exit_status=stop["exit_status"] if stop else "running",
        num_events=(stop.get("num_events") or {}).get("primary", 0) if stop else _events_so_far(run),
    )


def find_run(client: Container, text: str | int) -> Run:
    """The run that the user means.

    Args:
        client: Tiled client of the catalog's root.
        text: `last`; `-1`, `-2`, ... counted from the newest; a scan id (the newest run with it); a uid or
            its first characters (at least 5).

    Raises:
        RunNotFoundError: there is none, or the characters fit several.
    """
    word = str(text).strip()
    if word == "last":
        word = "-1"
    if word.startswith("-") and word[1:].isdigit() and int(word) < 0:
        newest = newest_runs(client, -int(word))
        if len(newest) < -int(word):
            raise RunNotFoundError(f"run {word}: the catalog holds {len(newest)} runs")
        return newest[-1]
    if word.isdigit() and (run := _by_scan_id(client, int(word))) is not None:
        return run
    try:
        return client[word]
    except KeyError:
        raise RunNotFoundError(f"no run {word!r}; `cryopl runs` lists them") from None
    except ValueError as error:  # too short, or more than one
        raise RunNotFoundError(f"run {word!r}: {error}") from None


def series_runs(client: Container, series: str = "last") -> list[Run]:
    """The runs of a series in the order of its recipe, a repeated step behind its first attempt.

    Args:
        client: Tiled client of the catalog's root.
        series: the series' uid or its first characters, the name of its recipe (its newest series), or
            `last`.

    Raises:
        RunNotFoundError: there is no such series.
    """
    from tiled.queries import Key, Like

    in_series = client.search(Like("series.uid", "%"))
    if series == "last":
        chosen = in_series
    else:
        chosen = in_series.search(Key("series.recipe") == series)
        if not newest_runs(chosen, 1):
            chosen = in_series.search(Like("series.uid", f"{series}%"))
    newest = newest_runs(chosen, 1)
    if not newest:
        raise RunNotFoundError(
            "the catalog holds no series" if series == "last" else f"no series {series!r} in the catalog"
        )
    uid = newest[0].metadata["start"]["series"]["uid"]
    runs = list(client.search(Key("series.uid") == uid).values())

    def place(run: Run) -> tuple[int, float]:
        start = run.metadata["start"]
        return start["series"].get("index", 0), start["time"]

    return sorted(runs, key=place)


def newest_runs(found: Container, count: int) -> list[Run]:
    """The last started runs, newest first (a recovered run was inserted later than it was started)."""
    newest = found.sort(("start.time", -1)).values()
    return list(newest.head(count) if count <= _PAGE else islice(newest, count))


def _by_scan_id(client: Container, scan_id: int) -> Run | None:
    from tiled.queries import Key

    newest = newest_runs(client.search(Key("scan_id") == scan_id), 1)
    return newest[0] if newest else None


def _events_so_far(run: Run) -> int:
    """Rows of `primary` of a run that has no stop document; 0 before the first ones are delivered."""
    try:
        table = run["primary"].base["internal"]
    except KeyError:
        return 0
    return len(table.read(["seq_num"]))
