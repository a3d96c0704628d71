"""What `cryopl analyse` means by its target."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.files import SUFFIXES, FileReadError
from cryopl_bluesky.reports import (
    Report,
    analyse_file,
    analyse_run,
    analyse_series,
    load_calibrations,
    load_for_analysis,
)
from cryopl_bluesky.reports.correlations import SignalFractions


def analyse_target(
    target: str,
    folder: Callable[[], Path],
    *,
    irf: Path | None = None,
    period_ns: float | None = None,
    rho: SignalFractions | None = None,
    recover: bool = False,
) -> Report:
    """Analyse a file if there is one of that name, else a run or a series of the catalog.

    Args:
        target: what the user typed.
        folder: gives the data folder; asked only for runs and series.
        irf: for decay files.
        period_ns: for decay and T2 files.
        rho: for g2.
        recover: for files that end too early.

    Raises:
        FileReadError: a file that cannot be read, or is not there.
        AnalysisError: there is no standard analysis, or an option does not belong to the target.
        RunNotFoundError: no run and no series is called like this.
    """
    if Path(target).is_file():
        return analyse_file(target, irf=irf, period_ns=period_ns, rho=rho, recover=recover)
    if Path(target).suffix.lower() in SUFFIXES:
        raise FileReadError(f"there is no file {target}")
    if irf is not None or period_ns is not None or recover:
        raise AnalysisError("--irf, --period-ns and --recover belong to files; runs know their own.")
    from cryopl_bluesky.catalog.access import read_catalog

    with read_catalog(folder()) as catalog:
        runs, is_series = load_for_analysis(catalog.client, target)
        if not is_series:
            return analyse_run(runs[0], calibrations=load_calibrations(catalog.client, runs[0]), rho=rho)
        if rho is not None:
            raise AnalysisError("--rho belongs to one g2 run, this is a series.")
        return analyse_series(runs)
