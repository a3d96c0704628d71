"""A run's data as plain numpy arrays, with the dtypes that its descriptor announced."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cryopl_bluesky.catalog.queries import RunNotFoundError, find_run, series_runs

if TYPE_CHECKING:
    from tiled.client.container import Container

    from cryopl_bluesky.catalog.tags import Tags

#: How often, and after which pause (real seconds), a run that is still going on is asked for again.
ATTEMPTS_WHILE_RUNNING = 5
PAUSE_S = 0.3


@dataclass(frozen=True)
class RunData:
    """One stream of one run.

    Args:
        start: the start document.
        stop: the stop document, None while the run is going on.
        config: configuration of the devices by data key, for example `camera_exposure_s`.
        data: columns by data key, first axis = event; also `time` (seconds since the epoch) and `seq_num`.
        frames: external data by data key, shape (frames, height, width); read only what is sliced.
        client: client of the run.
    """

    start: dict[str, Any]
    stop: dict[str, Any] | None
    config: dict[str, Any]
    data: dict[str, np.ndarray]
    frames: dict[str, Any]
    client: Any = None

    def tags(self) -> Tags | None:
        """The time tags of the run, to be closed after use; None if it keeps none."""
        from cryopl_bluesky.catalog.tags import NoTagsError, open_tags

        try:
            return open_tags(self.client)
        except NoTagsError:
            return None

    @property
    def num_events(self) -> int:
        """Events read."""
        return len(self.data["seq_num"]) if "seq_num" in self.data else 0


def load_target(client: Container, text: str) -> list[RunData]:
    """Read what the user means: one run, or all successful runs of a series.

    Args:
        client: Tiled client of the catalog's root.
        text: what `find_run` takes; else what `series_runs` takes.

    Raises:
        RunNotFoundError: neither a run nor a series is called like this.
    """
    try:
        return [load_measurement(find_run(client, text))]
    except RunNotFoundError:
        runs = [load_measurement(run) for run in series_runs(client, text)]
    return [run for run in runs if run.stop is not None and run.stop["exit_status"] == "success"]


def load_measurement(run: Any, stream: str = "primary") -> RunData:
    """Read a run's stream, whether the run is complete or still going on.

    Args:
        run: the run, from `find_run`, `series_runs` or the client.
        stream: name of the stream; one that does not exist (yet) gives no columns.

    Returns:
        All columns with the same number of events. Of a running measurement the events that are whole.

    Raises:
        ValueError: the run is complete, yet its columns have different lengths.
    """
    import httpx

    pause = threading.Event()
    for _ in range(ATTEMPTS_WHILE_RUNNING - 1):
        try:
            return _load(run, stream)
        except (KeyError, httpx.HTTPError):
            if run.metadata.get("stop"):
                raise
            pause.wait(PAUSE_S)  # the feeder is writing this run anew just now
    return _load(run, stream)


def _load(run: Any, stream: str) -> RunData:
    if not run.metadata.get("stop"):
        run.refresh()
    start, stop = dict(run.metadata["start"]), run.metadata.get("stop")
    try:
        node = run.base[stream].base
    except KeyError:
        return RunData(start, stop, {}, {}, {}, run)
    specs: Mapping[str, Any] = node.metadata.get("data_keys", {})
    # The rows first: the arrays of an event are stored before its row, so each row read has its arrays.
    parts = dict(node.items())
    data = _rows(parts, specs)
    events = min((len(values) for values in data.values()), default=0)
    if not stop and events:
        parts = dict(node.items())  # as long as the arrays are by now
        events = min([events, *(part.shape[0] for key, part in parts.items() if key in specs)])
        data = {key: values[:events] for key, values in data.items()}
    frames: dict[str, Any] = {}
    lengths = {"rows": events}
    for key, part in parts.items():
        if key in specs and "external" in specs[key]:
            frames[key] = part
        elif key in specs:
            data[key] = np.asarray(part[:events])  # it may have grown meanwhile
            lengths[key] = part.shape[0]
    if stop and len(set(lengths.values())) > 1:
        raise ValueError(f"run {start['uid'][:8]}: columns of different lengths: {lengths}")
    return RunData(start, stop, _configuration(node), data, frames, run)


def _rows(parts: Mapping[str, Any], specs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Columns of the tables `internal`, `internal_1`, ... (wide streams have several)."""
    tables = [part.read() for key, part in parts.items() if key not in specs and key.startswith("internal")]
    events = min((len(table) for table in tables), default=0)
    return {
        key: _typed(table[key].to_numpy()[:events], specs.get(key))
        for table in tables for key in table.columns if not key.startswith("ts_")
    }


def _typed(values: np.ndarray, spec: Mapping[str, Any] | None) -> np.ndarray:
    """A column with the announced dtype; SQLite keeps truth values as integers and text as objects."""
    if spec is None:
        return values
    if spec["dtype"] == "string":
        return values.astype(str)
    if spec["dtype"] == "boolean":
        return values.astype(bool)
    if spec.get("dtype_numpy") and not spec.get("shape"):
        return values.astype(np.dtype(spec["dtype_numpy"]), copy=False)
    return values


def _configuration(node: Any) -> dict[str, Any]:
    """Values of all devices' configuration, flat."""
    devices: Mapping[str, Any] = node.metadata.get("configuration", {})
    return {key: value for device in devices.values() for key, value in device.get("data", {}).items()}
