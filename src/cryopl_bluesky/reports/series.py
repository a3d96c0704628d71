"""The report of a series: a table against temperature, and the laws that describe it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.analysis.temperature_series import analyse_temperature_series
from cryopl_bluesky.catalog.load import RunData
from cryopl_bluesky.figures.fits import fit_total_line
from cryopl_bluesky.figures.run_data import temperatures
from cryopl_bluesky.figures.summary import SummaryRow, summarise_one
from cryopl_bluesky.reports.laws import Law, law_of
from cryopl_bluesky.reports.origins import origin_of_series, run_warnings
from cryopl_bluesky.reports.results import Report, Value

METHOD = (
    "line in the middle of the object, Gaussian in photon energy; intensity of the line total; mean lifetime at the "
    "peak by reconvolution; g2(0) by peak areas; laws by weighted least squares with a systematic floor"
)


@dataclass(frozen=True)
class TemperatureRow:
    """The numbers of one temperature; None where there is none (see `problems`).

    Attributes:
        setpoint_K: temperature asked for.
        temperature_K: mean readback of its measurements.
        peak_eV: line in the middle of the object.
        fwhm_eV: its width.
        intensity: light of the line total.
        tau_int_ns: intensity average of the lifetime at `tau_nm`.
        tau_amp_ns: amplitude average there.
        tau_nm: detected wavelength nearest to the peak.
        g2_0_raw: g2(0), nothing subtracted, Poisson error.
        problems: why a number is missing, by measurement.
        notes: what the fits behind the numbers say against them.
    """

    setpoint_K: float
    temperature_K: float | None
    peak_eV: Value | None
    fwhm_eV: Value | None
    intensity: Value | None
    tau_int_ns: Value | None
    tau_amp_ns: Value | None
    tau_nm: float | None
    g2_0_raw: Value | None
    problems: dict[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SeriesReport(Report):
    """A series against temperature.

    Attributes:
        rows: one for each temperature, ascending.
        laws: fitted laws by quantity: "peak_eV", "fwhm_eV", "intensity"; those that cannot be fitted are in `notes`.
    """

    rows: tuple[TemperatureRow, ...]
    laws: dict[str, Law]


def report_series(runs: Sequence[RunData]) -> SeriesReport:
    """Table against temperature and fitted laws.

    Args:
        runs: successful runs of one series, from `load_target`.

    Raises:
        AnalysisError: none of the runs is a measurement with numbers against temperature.
    """
    found = temperatures(runs)
    if not found:
        raise AnalysisError(
            "None of these runs is a wide-field image, spectral image, TRPL map or g2; there is nothing to tabulate."
        )
    exposures_s = _exposures_s(runs)
    warnings = _warnings(runs)
    found.sort(key=lambda part: part.mean_K or part.setpoint_K)
    summaries, rows = [summarise_one(temperature) for temperature in found], []
    for temperature, summary in zip(found, summaries, strict=True):
        intensity = None
        if temperature.spectral_map is not None:
            try:
                total = fit_total_line(temperature.spectral_map)
                seconds = exposures_s[temperature.setpoint_K]
                intensity = Value(total.area / seconds, total.area_err / seconds, "electrons/s")
            except AnalysisError as error:
                summary.problems["intensity"] = str(error)
        rows.append(_row(summary, intensity))
    laws, notes = _laws(rows)
    return SeriesReport(
        measurement="series", origin=origin_of_series(runs), method=METHOD, notes=notes, warnings=tuple(warnings),
        data=found, fit=summaries, rows=tuple(rows), laws=laws,
    )  # fmt: skip


def _warnings(runs: Sequence[RunData]) -> list[str]:
    """What the runs say against their numbers, each sentence once with the temperatures it is said at."""
    where: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        for text in run_warnings(run):
            where.setdefault((run.start["measurement"], text), []).append(f"{run.start['temperature_K']:g}")
    return [f"{measurement} at {', '.join(at)} K: {text}" for (measurement, text), at in where.items()]


def _row(summary: SummaryRow, intensity: Value | None) -> TemperatureRow:
    def value(number: float | None, error: float | None, unit: str) -> Value | None:
        return None if number is None else Value(number, error, unit)

    return TemperatureRow(
        setpoint_K=summary.setpoint_K,
        temperature_K=summary.mean_K,
        peak_eV=value(summary.peak_eV, summary.peak_eV_err, "eV"),
        fwhm_eV=value(summary.fwhm_eV, summary.fwhm_eV_err, "eV"),
        intensity=intensity,
        tau_int_ns=value(summary.tau_ns, summary.tau_err_ns, "ns"),
        tau_amp_ns=value(summary.tau_amp_ns, summary.tau_amp_err_ns, "ns"),
        tau_nm=summary.tau_nm,
        g2_0_raw=value(summary.g2_0, summary.g2_0_err, ""),
        problems=dict(summary.problems),
        notes=_notes(summary),
    )


def _notes(summary: SummaryRow) -> tuple[str, ...]:
    notes = [f"line: {note}" for note in summary.line.notes] if summary.line else []
    if summary.decay is not None and not summary.decay.good:
        notes.append("decay: the fit does not describe it, do not quote its lifetime")
    return (*notes, *([f"decay: {note}" for note in summary.decay.notes] if summary.decay else []))


def _exposures_s(runs: Sequence[RunData]) -> dict[float, float]:
    """Whole exposure of the spectral image by set point; a repeated step replaces the earlier one."""
    return {
        float(run.start["temperature_K"]): float(run.config["camera_exposure_s"]) * run.frames["camera_image"].shape[0]
        for run in runs
        if run.start["measurement"] == "spectral_image" and run.data
    }


def _laws(rows: Sequence[TemperatureRow]) -> tuple[dict[str, Law], tuple[str, ...]]:
    def columns(pick: Callable[[TemperatureRow], Value | None]) -> tuple[list[float], list[float]]:
        values = [pick(row) or Value(np.nan, np.nan, "") for row in rows]
        return [part.value for part in values], [np.nan if part.error is None else part.error for part in values]

    kelvin = [row.setpoint_K if row.temperature_K is None else row.temperature_K for row in rows]
    result = analyse_temperature_series(
        kelvin, peak_eV=columns(lambda row: row.peak_eV), fwhm_eV=columns(lambda row: row.fwhm_eV),
        intensity=columns(lambda row: row.intensity),
    )  # fmt: skip
    return {name: law_of(name, fit) for name, fit in result.laws.items()}, result.notes
