"""Where the numbers of a report are from, and what the runs themselves say against them."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

import cryopl_bluesky
from cryopl_bluesky.catalog.load import RunData
from cryopl_bluesky.files import FileFacts
from cryopl_bluesky.reports.results import FileOrigin, Origin, Value

_MISSING = ": there is no calibration"


def origin_of_run(run: RunData, applied: Sequence[str] = ()) -> Origin:
    """Uid, calibrations (and which of them were applied), sample and temperature of a run."""
    start = run.start
    setpoint_K = start.get("temperature_K")
    return Origin(
        target=f"{_kind(start)}, scan {start.get('scan_id', '?')}, run {start['uid'][:8]}",
        runs=(start["uid"],),
        calibration=dict(start.get("calibration") or {}),
        calibration_applied=tuple(applied),
        sample=_sample(start),
        setpoint_K=None if setpoint_K is None else float(setpoint_K),
        temperature_K=mean_temperature(run),
        measured_with=dict(start.get("versions") or {}),
        analysed_with=analysed_with(),
    )


def origin_of_series(runs: Sequence[RunData]) -> Origin:
    """Uids and calibrations of the runs of a series; a calibration that changed on the way is named once per run."""
    start = runs[0].start
    calibration: dict[str, str] = {}
    for run in runs:
        for kind, uid in (run.start.get("calibration") or {}).items():
            key = kind if calibration.get(kind, uid) == uid else f"{kind} (run {run.start['uid'][:8]})"
            calibration[key] = uid
    series = start.get("series") or {}
    return Origin(
        target=f"series {series.get('recipe', '')} {series.get('uid', '')[:8]}, {len(runs)} runs",
        runs=tuple(run.start["uid"] for run in runs),
        calibration=calibration,
        sample=_sample(start),
        measured_with=dict(start.get("versions") or {}),
        analysed_with=analysed_with(),
    )


def origin_of_files(*facts: FileFacts) -> Origin:
    """The files that a report was made of; the first one is the measurement."""
    return Origin(
        target=f"file {facts[0].name}",
        files=tuple(FileOrigin(part.name, part.sha256, part.reader, part.header, part.missing) for part in facts),
        analysed_with=analysed_with(),
    )


def analysed_with() -> dict[str, str]:
    """Versions of what computes the numbers."""
    names = ("numpy", "scipy")
    return {
        "cryopl_bluesky": cryopl_bluesky.__version__, **{name: version(name) for name in names},
        "python": platform.python_version(),
    }  # fmt: skip


def mean_temperature(run: RunData) -> Value | None:
    """Mean of the sample sensor over all exposures; its error is the scatter during and between them."""
    readings = run.data.get("cryostat_temperature_K")
    if readings is None or not len(readings):
        return None
    within = np.asarray(run.data.get("cryostat_temperature_std_K", np.zeros(len(readings))))
    scatter = float(np.sqrt(np.mean(within**2) + np.var(readings)))
    return Value(float(np.mean(readings)), scatter, "K")


def run_warnings(run: RunData) -> tuple[str, ...]:
    """What the run itself says against its numbers."""
    found = []
    if run.stop is None:
        found.append("the run is still going on: the numbers are those of its events so far")
    elif run.stop["exit_status"] != "success":
        reason = run.stop.get("reason") or "no reason given"
        found.append(f"the run ended with {run.stop['exit_status']} ({reason}): the numbers are those of its events")
    found += _calibration_warnings(run.start)
    if "cryostat_in_band" in run.data and not run.data["cryostat_in_band"].all():
        found.append("the temperature left its band during an exposure")
    saturated = int(run.data["camera_saturated_px"].max()) if "camera_saturated_px" in run.data else 0
    if saturated:
        found.append(f"{saturated} pixels of a frame are saturated; they are left out of line fits, not of sums")
    overflows = int(run.data["hbt_overflows"].sum()) if "hbt_overflows" in run.data else 0
    if overflows:
        found.append(f"the tagger's buffer overflowed {overflows} times: tags are lost")
    return tuple(found)


def _calibration_warnings(start: Mapping[str, Any]) -> list[str]:
    """What the start document says against the calibrations; those that are missing in one sentence."""
    said = list(start.get("calibration_warnings") or ())
    missing = [text.removesuffix(_MISSING) for text in said if text.endswith(_MISSING)]
    others = [text for text in said if not text.endswith(_MISSING)]
    return [*others, *([f"there is no calibration of {', '.join(missing)} (docs/calibrating.md)"] if missing else [])]


def _kind(start: Mapping[str, Any]) -> str:
    return str(start.get("measurement") or start.get("plan_name", "run"))


def _sample(start: Mapping[str, Any]) -> str:
    sample = start.get("sample") or {}
    return str(sample.get("name", "")) if isinstance(sample, Mapping) else str(sample)
