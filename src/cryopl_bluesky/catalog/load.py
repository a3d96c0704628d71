"""A run's data as plain numpy arrays, with the dtypes that its descriptor announced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class RunData:
    """One stream of one run.

    Args:
        start: the start document.
        stop: the stop document, None while the run is going on.
        config: configuration of the devices by data key, for example `camera_exposure_s`.
        data: columns by data key, first axis = event; also `time` (seconds since the epoch) and `seq_num`.
        frames: external data by data key, shape (frames, height, width); read only what is sliced.
    """

    start: dict[str, Any]
    stop: dict[str, Any] | None
    config: dict[str, Any]
    data: dict[str, np.ndarray]
    frames: dict[str, Any]

    @property
    def num_events(self) -> int:
        """Events read."""
        return len(self.data["seq_num"]) if "seq_num" in self.data else 0


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
    run.refresh()
    start, stop = dict(run.metadata["start"]), run.metadata.get("stop")
    try:
        node = run[stream].base
    except KeyError:
        return RunData(start, stop, {}, {}, {})
    specs: Mapping[str, Any] = node.metadata.get("data_keys", {})
    # The table last: arrays and frames of an event are stored before its row, so every row then has them.
    columns: dict[str, np.ndarray] = {}
    frames: dict[str, Any] = {}
    tables: list[Any] = []
    for key, part in _parts(node):
        if key in specs and "external" in specs[key]:
            frames[key] = part
        elif key in specs:
            columns[key] = np.asarray(part.read())
        else:
            tables.append(part)
    rows = _table_columns(tables, specs)
    data = _aligned({**rows, **columns}, stop, start["uid"])
    return RunData(start, stop, _configuration(node), data, frames)


def _parts(node: Any) -> list[tuple[str, Any]]:
    """Children of a stream: arrays, frames, and the tables `internal`, `internal_1`, ... last."""
    return sorted(node.items(), key=lambda item: item[0].startswith("internal"))


def _table_columns(tables: list[Any], specs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    columns: dict[str, np.ndarray] = {}
    for table in tables:
        frame = table.read()
        for key in frame.columns:
            if not key.startswith("ts_"):
                columns[key] = _typed(frame[key].to_numpy(), specs.get(key))
    return columns


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


def _aligned(columns: dict[str, np.ndarray], stop: Any, uid: str) -> dict[str, np.ndarray]:
    lengths = {key: len(values) for key, values in columns.items()}
    if len(set(lengths.values())) > 1 and stop:
        raise ValueError(f"run {uid[:8]}: columns of different lengths: {lengths}")
    shortest = min(lengths.values(), default=0)
    return {key: values[:shortest] for key, values in columns.items()}
