"""Results of an analysis, kept as runs that name the runs they come from.

A result is a run without events: `plan_name` is "analysis", `sources` are uids of runs, `result` holds the numbers.
It goes the way of all runs: into the journal first, from there into the catalog.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import cryopl_bluesky
from cryopl_bluesky.catalog.access import open_catalog
from cryopl_bluesky.catalog.delivery import RunDelivery
from cryopl_bluesky.catalog.folder import DataFolder
from cryopl_bluesky.catalog.journal import Journal
from cryopl_bluesky.catalog.recovery import delivered_list

if TYPE_CHECKING:
    from pathlib import Path

    from tiled.client.container import Container

ANALYSIS = "analysis"

#: Takes (name, document), as a Journal does.
Emit = Callable[[str, Mapping[str, Any]], None]


class NotStorableError(ValueError):
    """A result that cannot be kept as it is; the text names the entry."""


def store_result(
    emit: Emit, analysis: str, result: Any, sources: Sequence[str], *, scan_id: int | None = None,
    md: Mapping[str, Any] | None = None,
) -> str:
    """Keep a result as a run that is linked to its sources.

    Args:
        emit: takes the documents, typically the `Journal` of a session.
        analysis: name of the analysis, for example `line_fit`.
        result: dict or dataclass of values, errors and units; numbers must be finite, names without "." and "/".
        sources: uids of the runs that the result comes from, at least one.
        scan_id: running number of the data folder, None for none.
        md: more keys for the start document, for example `sample` and `temperature_K`.

    Returns:
        Uid of the run.

    Raises:
        NotStorableError: no sources, or a value that JSON does not know; nothing is written.
    """
    if not sources or not all(isinstance(source, str) and source for source in sources):
        raise NotStorableError(f"sources={list(sources)!r}: name the uids of the runs that the result comes from")
    uid = str(uuid.uuid4())
    start: dict[str, Any] = {
        **(md or {}), "uid": uid, "time": time.time(), "plan_name": ANALYSIS, "measurement": ANALYSIS,
        "analysis": analysis, "sources": list(sources), "result": _storable(result, "result"),
        "versions": {"cryopl_bluesky": cryopl_bluesky.__version__, "numpy": np.__version__},
    }
    if scan_id is not None:
        start["scan_id"] = scan_id
    emit("start", start)
    emit("stop", {
        "uid": str(uuid.uuid4()), "run_start": uid, "time": time.time(), "exit_status": "success", "reason": "",
        "num_events": {},
    })
    return uid


def store_result_in(folder: str | Path | DataFolder, analysis: str, result: Any, sources: Sequence[str],
                    md: Mapping[str, Any] | None = None) -> str:
    """As `store_result`, without a session: into the journal of a data folder, and then into its catalog.

    Works beside a session that has the folder open. If the catalog cannot be reached, the result is in the journal,
    and the next session brings it into the catalog.

    Args:
        folder: the data folder.
        analysis: name of the analysis.
        result: see `store_result`.
        sources: see `store_result`.
        md: see `store_result`.

    Returns:
        Uid of the run.

    Raises:
        NotStorableError: see `store_result`.
        CatalogUnreachableError: the result is in the journal only.
    """
    place = DataFolder.at(folder).create()
    journal = Journal(place.journal)
    uid = store_result(journal, analysis, result, sources, md=md)
    with open_catalog(place) as catalog:
        RunDelivery(journal.path(uid), replaces=False).advance(catalog.client, period_s=1.0)
        delivered_list(place).add(uid)
    return uid


def results_of(client: Container, source: str, analysis: str = "") -> list[dict[str, Any]]:
    """Start documents of the stored results that come from a run, newest first.

    Args:
        client: Tiled client of the catalog's root.
        source: uid of the run.
        analysis: only results of this analysis; "" for all.
    """
    from tiled.queries import Contains, Key

    found = client.search(Key("plan_name") == ANALYSIS).search(Contains("sources", source))
    if analysis:
        found = found.search(Key("analysis") == analysis)
    return [dict(run.metadata["start"]) for run in found.sort(("start.time", -1)).values()]


def _storable(value: Any, where: str) -> Any:
    """The value as plain JSON; numpy numbers and arrays and dataclasses are accepted.

    Raises:
        NotStorableError: names the entry.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        for name in value:
            if not isinstance(name, str) or "." in name or "/" in name:
                raise NotStorableError(f"{where}: {name!r} is no name for an entry (text without '.' and '/')")
        return {name: _storable(part, f"{where}.{name}") for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(part, f"{where}[{index}]") for index, part in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise NotStorableError(f"{where} is {value}: leave it out, or say in words why there is no number")
    try:
        json.dumps(value)
    except TypeError as error:
        raise NotStorableError(f"{where} is of type {type(value).__name__}, which cannot be stored") from error
    return value
