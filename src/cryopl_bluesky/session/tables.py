"""Tables that the `cryopl` command prints."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime

from rich.box import SIMPLE_HEAD
from rich.table import Table

from cryopl_bluesky.catalog.calibrations import CalibrationRun, version_of
from cryopl_bluesky.catalog.series import SeriesRecord


def series_table(series: Sequence[SeriesRecord]) -> Table:
    """One line a series, the newest last."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("series", "started", "recipe", "sample"):
        table.add_column(column, no_wrap=True)
    for column in ("steps", "done", "failed", "missing"):
        table.add_column(column, justify="right", no_wrap=True)
    for record in reversed(series):
        table.add_row(
            record.uid[:8], f"{datetime.fromtimestamp(record.time):%m-%d %H:%M}", record.recipe, record.sample,
            str(len(record.steps)), *(str(record.count(state)) for state in ("done", "failed", "missing")),
        )
    return table


def steps_table(record: SeriesRecord) -> Table:
    """One line a step, with what went wrong."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=f"{record.recipe} {record.uid[:8]}, {record.sample}")
    table.add_column("K", justify="right", no_wrap=True)
    for column in ("step", "state", "scan"):
        table.add_column(column, no_wrap=True)
    table.add_column("why")
    unsettled = dict(record.unsettled)
    for step in record.steps:
        reason = step.reason or (unsettled.get(step.temperature_K, "") if step.state == "missing" else "")
        table.add_row(f"{step.temperature_K:g}", step.plan, step.state,
                      "" if step.scan_id is None else str(step.scan_id), reason)
    return table


def calibrations_table(runs: Sequence[CalibrationRun]) -> Table:
    """One line a calibration, in the order given, with what it is valid for."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("kind", "version", "scan", "uid", "made", "days old"):
        table.add_column(column, justify="right" if column in ("version", "days old") else "left", no_wrap=True)
    table.add_column("valid for")
    now = time.time()
    for run in runs:
        conditions = ", ".join(f"{name}={value}" for name, value in run.valid_for.items())
        table.add_row(
            run.kind, str(version_of(run, runs)), "" if run.scan_id is None else str(run.scan_id), run.uid[:8],
            f"{datetime.fromtimestamp(run.time):%m-%d %H:%M}", f"{run.age_days(now):.1f}", conditions,
        )
    return table
