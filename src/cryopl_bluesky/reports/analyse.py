"""The standard analysis of a run or a series: what `cryopl analyse` prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.catalog.load import RunData, load_measurement
from cryopl_bluesky.catalog.queries import RunNotFoundError, find_run, series_runs
from cryopl_bluesky.catalog.results import ANALYSIS, store_result_in
from cryopl_bluesky.reports.calibrated import Calibrations
from cryopl_bluesky.reports.calibrations import (
    report_irf,
    report_laser_power,
    report_scale,
    report_spot,
    report_wavelength_lines,
)
from cryopl_bluesky.reports.correlations import SignalFractions, report_channel_delay, report_g2
from cryopl_bluesky.reports.decays import report_decay, report_trpl_map
from cryopl_bluesky.reports.images import report_dark, report_image
from cryopl_bluesky.reports.lines import report_spectral_image, report_total_spectrum
from cryopl_bluesky.reports.results import Report
from cryopl_bluesky.reports.series import SeriesReport, report_series

if TYPE_CHECKING:
    from tiled.client.container import Container

_MEASUREMENTS: Mapping[str, Callable[[RunData, Calibrations], Report]] = {
    "widefield_image": report_image,
    "spectral_image": report_spectral_image,
    "total_spectrum": report_total_spectrum,
    "decay": report_decay,
    "trpl_map": report_trpl_map,
    "g2": report_g2,
}
_CALIBRATIONS: Mapping[str, Callable[[RunData], Report]] = {
    "dark": report_dark,
    "channel_delay": report_channel_delay,
    "irf": report_irf,
    "scale": report_scale,
    "spot": report_spot,
    "wavelength_lines": report_wavelength_lines,
    "laser_power": report_laser_power,
}


def analyse_run(
    run: RunData,
    *,
    calibrations: Mapping[str, RunData] | None = None,
    rho: SignalFractions | None = None,
    rho_err: SignalFractions = (0.0, 0.0),
) -> Report:
    """The standard analysis of one run.

    Args:
        run: from `catalog.load.load_measurement`.
        calibrations: the runs that it names, from `load_calibrations`; without them the profile's values are used.
        rho: signal fractions of the SPADs, for g2 runs only.
        rho_err: their errors.

    Returns:
        The report of its measurement, for example a `DecayReport`.

    Raises:
        AnalysisError: there is no standard analysis of this measurement, the run holds no events, or `rho` was given
            for something else than a g2 run.
    """
    measurement = run.start.get("measurement", run.start.get("plan_name", ""))
    if measurement not in _MEASUREMENTS and measurement not in _CALIBRATIONS:
        known = ", ".join((*_MEASUREMENTS, *_CALIBRATIONS))
        raise AnalysisError(f"There is no standard analysis of {measurement!r}; there is one of {known} and of series.")
    if not run.num_events:
        raise AnalysisError(f"Run {run.start['uid'][:8]} ({measurement}) holds no events.")
    if rho is not None and measurement != "g2":
        raise AnalysisError(f"Signal fractions (rho) belong to a g2 run, this is a {measurement}.")
    if measurement in _CALIBRATIONS:
        return _CALIBRATIONS[measurement](run)
    applied = Calibrations(calibrations or {})
    if measurement == "g2":
        return report_g2(run, applied, rho=rho, rho_err=rho_err)
    return _MEASUREMENTS[measurement](run, applied)


def analyse_series(runs: Sequence[RunData]) -> SeriesReport:
    """Table against temperature and fitted laws of a series; see `report_series`."""
    return report_series(runs)


def save_report(folder: str | Path, report: Report) -> str:
    """Keep a report as a run that is linked to the runs it was made of.

    Args:
        folder: the data folder that these runs are in.
        report: from `analyse_run` or `analyse_series`.

    Returns:
        Uid of the new run; `catalog.results.results_of` finds it from its sources.

    Raises:
        AnalysisError: the report was made of a file, which is in no catalog.
        CatalogUnreachableError: it is in the journal only; the next session delivers it.
    """
    origin = report.origin
    if not origin.runs:
        raise AnalysisError(f"{origin.target} is in no catalog, so its report cannot be linked to a run; use --json.")
    md: dict[str, Any] = {"sample": {"name": origin.sample}} if origin.sample else {}
    if origin.setpoint_K is not None:
        md["temperature_K"] = origin.setpoint_K
    return store_result_in(folder, report.measurement, report.to_dict(), origin.runs, md)


def load_for_analysis(client: Container, text: str) -> tuple[list[RunData], bool]:
    """Read what the user means, and whether it is a series.

    Args:
        client: Tiled client of the catalog's root.
        text: a run as for `find_run`; else a series as for `series_runs`. A stored result means its sources.

    Returns:
        The runs, and whether they are a series: one run, or the successful ones of the series in the recipe's order.

    Raises:
        RunNotFoundError: neither a run nor a series is called like this, or no run of the series succeeded.
    """
    try:
        found = find_run(client, text)
    except RunNotFoundError:
        found = None
    if found is not None and found.metadata["start"].get("plan_name") == ANALYSIS:
        sources = found.metadata["start"]["sources"]
        return [load_measurement(find_run(client, uid)) for uid in sources], len(sources) > 1
    if found is not None:
        return [load_measurement(found)], False
    runs = [load_measurement(run) for run in series_runs(client, text)]
    done = [run for run in runs if run.stop is not None and run.stop["exit_status"] == "success"]
    if not done:
        raise RunNotFoundError(f"no run of series {text!r} succeeded; `cryopl series {text}` says why")
    return done, True
