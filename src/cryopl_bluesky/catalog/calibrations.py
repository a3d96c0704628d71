"""Which calibration is valid for a measurement: the newest successful one made under the same conditions.

A calibration says in its start document what it is valid for (`calibration_of`: `kind`, `valid_for`, `reference`). A
newer one of the same kind and conditions supersedes an older one; older ones stay, and measurements go on naming the
one that was the newest when they were taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryopl_bluesky.catalog.queries import newest_runs

if TYPE_CHECKING:
    from tiled.client.container import Container

NEEDED: Mapping[str, tuple[str, ...]] = {
    "widefield_image": ("dark", "scale", "spot", "laser_power"),
    "spectral_image": ("dark", "scale", "wavelength_lines", "spot", "laser_power"),
    "total_spectrum": ("dark", "wavelength_lines", "spot", "laser_power"),
    "decay": ("dark", "irf", "channel_delay", "spot", "laser_power"),
    "trpl_map": ("dark", "irf", "channel_delay", "spot", "laser_power"),
    "g2": ("dark", "irf", "channel_delay", "spot", "laser_power"),
    "irf": ("dark", "channel_delay"),
    "scale": ("dark",),
    "spot": ("dark", "scale"),
    "wavelength_lines": ("dark",),
}
"""Kinds of calibration (names of their plans) that the analysis of each measurement needs."""

KINDS = ("dark", "scale", "spot", "wavelength_lines", "irf", "channel_delay", "laser_power")

NEWEST = 100
"""Runs of a kind that are looked at."""
_SAME = 1e-6
"""Relative difference up to which two numbers are the same setting."""


@dataclass(frozen=True)
class CalibrationRun:
    """A successful calibration run.

    Attributes:
        kind: what was calibrated, the name of the plan.
        uid: of the run.
        scan_id: running number of the data folder, None when the run has none.
        time: start, seconds since the Unix epoch.
        valid_for: conditions that a measurement must share; [lowest, highest] for a range.
        reference: what was known beforehand, for example the diameter of the beads.
    """

    kind: str
    uid: str
    scan_id: int | None
    time: float
    valid_for: Mapping[str, Any]
    reference: Mapping[str, Any]

    def mismatches(self, conditions: Mapping[str, Any]) -> list[str]:
        """Names of the conditions under which it is not valid; what a measurement does not state does not matter."""
        return [
            name for name, valid in self.valid_for.items()
            if name in conditions and not _covers(valid, conditions[name])
        ]

    def age_days(self, now: float) -> float:
        """Days since it was made, at a time in seconds since the epoch."""
        return (now - self.time) / 86_400.0


def calibration_of_start(start: Mapping[str, Any]) -> CalibrationRun | None:
    """The calibration that a run with this start document is; None if it is none."""
    what = start.get("calibration_of")
    if not isinstance(what, Mapping) or "kind" not in what:
        return None
    return CalibrationRun(
        what["kind"], start["uid"], start.get("scan_id"), float(start["time"]), what.get("valid_for") or {},
        what.get("reference") or {},
    )


def calibration_runs(client: Container, kind: str, limit: int = NEWEST) -> list[CalibrationRun]:
    """The successful calibrations of a kind, newest first.

    Args:
        client: Tiled client of the catalog's root.
        kind: name of the plan, for example `irf`.
        limit: how many runs are looked at.
    """
    from tiled.queries import Key

    found: list[CalibrationRun] = []
    for run in newest_runs(client.search(Key("calibration_of.kind") == kind), limit):
        calibration = calibration_of_start(run.metadata["start"])
        if calibration is not None and (run.metadata.get("stop") or {}).get("exit_status") == "success":
            found.append(calibration)
    return found


def newest_calibration(client: Container, kind: str, conditions: Mapping[str, Any]) -> CalibrationRun | None:
    """The newest successful calibration that is valid under `conditions`; None if there is none.

    Args:
        client: Tiled client of the catalog's root.
        kind: name of the plan, for example `irf`.
        conditions: as in the start document of a measurement (`conditions`), or a part of them.
    """
    return newest_valid(calibration_runs(client, kind), conditions)


def newest_valid(runs: Iterable[CalibrationRun], conditions: Mapping[str, Any]) -> CalibrationRun | None:
    """The newest of `runs` that is valid under `conditions`; None if there is none."""
    valid = [run for run in runs if not run.mismatches(conditions)]
    return max(valid, key=lambda run: run.time, default=None)


def version_of(run: CalibrationRun, runs: Iterable[CalibrationRun]) -> int:
    """Which version a calibration is: 1 for the first of its kind and conditions, 2 for the one that superseded it."""
    same = [other for other in runs if other.kind == run.kind and _alike(other.valid_for, run.valid_for)]
    return sum(other.time < run.time for other in same) + 1


@dataclass(frozen=True)
class Finding:
    """What is to be said about one kind of calibration.

    Attributes:
        kind: of calibration.
        what: "missing", "does not match", "old".
        text: the warning.
        key: the same for the same finding under the same conditions.
    """

    kind: str
    what: str
    text: str
    key: tuple[Any, ...]


def choose(
    known: Mapping[str, Sequence[CalibrationRun]], measurement: str, conditions: Mapping[str, Any],
    max_age_days: Mapping[str, float], now: float,
) -> tuple[dict[str, str], list[Finding]]:
    """The calibrations of a measurement, and what is wrong with them.

    A calibration that does not match is not chosen; one that is old is chosen and named.

    Args:
        known: successful calibrations by kind.
        measurement: name of the measurement.
        conditions: of the measurement.
        max_age_days: from which age on a calibration counts as old, by kind.
        now: seconds since the epoch.

    Returns:
        Uids by kind, and the findings.
    """
    chosen: dict[str, str] = {}
    findings: list[Finding] = []
    for kind in NEEDED.get(measurement, ()):
        runs = known.get(kind, ())
        best = newest_valid(runs, conditions)
        if best is None:
            findings.append(_without(kind, runs, conditions))
            continue
        chosen[kind] = best.uid
        limit_days = max_age_days.get(kind, math.inf)
        if best.age_days(now) > limit_days:
            text = (f"{kind}: the calibration of {_name(best)} is {best.age_days(now):.0f} days old, more than "
                    f"max_age_days={limit_days:g}")
            findings.append(Finding(kind, "old", text, (kind, "old", best.uid)))
    return chosen, findings


def _without(kind: str, runs: Sequence[CalibrationRun], conditions: Mapping[str, Any]) -> Finding:
    """No calibration is valid: there is none, or the nearest one differs in something."""
    if not runs:
        return Finding(kind, "missing", f"{kind}: there is no calibration", (kind, "missing"))
    nearest = min(runs, key=lambda run: (len(run.mismatches(conditions)), -run.time))
    differing = nearest.mismatches(conditions)
    compared = ", ".join(
        f"{name}={_shown(nearest.valid_for[name])} instead of {_shown(conditions[name])}" for name in differing
    )
    text = f"{kind}: no calibration matches; that of {_name(nearest)} is for {compared}"
    return Finding(kind, "does not match", text, (kind, "does not match", *(str(conditions[n]) for n in differing)))


def _name(run: CalibrationRun) -> str:
    return f"run {run.uid[:8]}" if run.scan_id is None else f"scan {run.scan_id}"


def _shown(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " to ".join(_shown(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _covers(valid: Any, value: Any) -> bool:
    """Whether a condition's value is the valid one, or lies in the valid range."""
    if isinstance(valid, Sequence) and not isinstance(valid, str):
        low, high = valid
        return low * (1 - _SAME) <= value <= high * (1 + _SAME)
    return _same(valid, value)


def _alike(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two calibrations are for the same conditions."""
    return first.keys() == second.keys() and all(_same(first[name], second[name]) for name in first)


def _same(first: Any, second: Any) -> bool:
    """Whether two values are the same setting; numbers may differ in their last digits."""
    numbers = isinstance(first, int | float) and isinstance(second, int | float)
    return math.isclose(first, second, rel_tol=_SAME) if numbers else first == second
