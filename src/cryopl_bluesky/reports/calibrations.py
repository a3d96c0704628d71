"""Reports of calibrations: response, length scale, excitation spot, wavelength axis, laser power."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.analysis.calibration import (
    calibrate_wavelength,
    find_lines,
    fit_spot,
    match_lines,
    measure_irf,
    power_curve,
    scale_from_beads,
)
from cryopl_bluesky.analysis.spectra import Electrons, frame_to_electrons, sum_rows
from cryopl_bluesky.catalog.load import RunData
from cryopl_bluesky.figures._data import PlainSpectrum
from cryopl_bluesky.figures.run_data import SPADS, mean_frame, picture
from cryopl_bluesky.reports.origins import origin_of_run, run_warnings
from cryopl_bluesky.reports.results import Report, Value

MATCH_NM = 1.0
"""Setting: farthest that the present axis may be off from a lamp line."""


@dataclass(frozen=True)
class SpadResponse:
    """Instrument response of one SPAD.

    Attributes:
        fwhm_ps: full width at half maximum.
        peak_ps: its top, from the beginning of the histogram.
        background_per_bin: what was subtracted.
        photons: above the background.
        notes: what a reader must know.
    """

    fwhm_ps: Value
    peak_ps: float
    background_per_bin: float
    photons: float
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class IrfReport(Report):
    """Instrument response by SPAD.

    Attributes:
        by_spad: of each SPAD, by name; `fit` holds them with their curves.
        repetition_rate_Hz: laser rate.
        intensity_permille: laser intensity.
    """

    by_spad: dict[str, SpadResponse]
    repetition_rate_Hz: float
    intensity_permille: float


@dataclass(frozen=True, kw_only=True)
class ScaleReport(Report):
    """Length scale from beads.

    Attributes:
        nm_per_px: length at the sample of one unbinned pixel; the error holds beads, scatter and fits. None if there
            is no bead (see `warnings`).
        rel_err: relative error.
        beads: how many were fitted.
        refused: bright regions that were not.
        lens_nm_per_px: what the focal lengths say.
    """

    nm_per_px: Value | None
    rel_err: float | None
    beads: int
    refused: tuple[str, ...]
    lens_nm_per_px: float


@dataclass(frozen=True, kw_only=True)
class SpotReport(Report):
    """Excitation spot; widths are 1/e2 diameters, their errors hold that of the scale.

    Attributes:
        diameter_major_um: along the longer axis; None without a fit.
        diameter_minor_um: along the shorter axis.
        diameter_x_um: along the columns' axis.
        diameter_y_um: along the rows' axis.
        angle_deg: of the major axis.
        ellipticity: minor over major diameter.
    """

    diameter_major_um: Value | None
    diameter_minor_um: Value | None
    diameter_x_um: float | None
    diameter_y_um: float | None
    angle_deg: Value | None
    ellipticity: Value | None


@dataclass(frozen=True)
class LampFrame:
    """The axis of one centre wavelength against the lamp.

    Attributes:
        centre_nm: centre wavelength read back.
        lines: lines that were matched.
        shift_nm: correction of the axis in the middle of the detector.
        rms_nm: scatter of the lines around the corrected axis.
        unmatched_references_nm: lamp lines that were not found.
        notes: what a reader must know.
    """

    centre_nm: float
    lines: int
    shift_nm: Value
    rms_nm: float
    unmatched_references_nm: tuple[float, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class WavelengthReport(Report):
    """Known lines against the axis.

    Attributes:
        frames: one for each centre wavelength that shows a known line.
        medium: "air" or "vacuum", as the references are.
    """

    frames: tuple[LampFrame, ...]
    medium: str


@dataclass(frozen=True)
class PowerPoint:
    """Power at one setting.

    Attributes:
        intensity_permille: setting.
        power_uW: reading, with the meter's error.
        pulse_energy_pJ: of one pulse.
    """

    intensity_permille: float
    power_uW: Value
    pulse_energy_pJ: Value


@dataclass(frozen=True, kw_only=True)
class PowerReport(Report):
    """Laser power against setting.

    Attributes:
        points: in the order of the settings.
        repetition_rate_Hz: laser rate; power at other rates is not known from this.
    """

    points: tuple[PowerPoint, ...]
    repetition_rate_Hz: float


def report_irf(run: RunData) -> IrfReport:
    """Width of the response of each SPAD."""
    excitation, warnings = run.start["excitation"], list(run_warnings(run))
    rate_Hz, permille = float(excitation["repetition_rate_Hz"]), float(excitation["intensity_permille"])
    found, by_spad = {}, {}
    for spad in SPADS:
        try:
            irf = measure_irf(
                run.data[f"hbt_decay_{spad}"].sum(axis=0), float(run.config["hbt_decay_binwidth_ps"]), spad=spad,
                repetition_rate_Hz=rate_Hz, duration_s=float(run.data["hbt_capture_duration_s"].sum()),
                intensity=permille,
            )  # fmt: skip
        except AnalysisError as error:
            warnings.append(f"{spad}: {error}")
            continue
        found[spad] = irf
        by_spad[spad] = SpadResponse(
            Value(irf.fwhm_ps, irf.fwhm_err_ps, "ps"), irf.peak_ps, irf.background_per_bin, irf.photons, irf.notes
        )
    return IrfReport(
        measurement="irf", origin=origin_of_run(run), warnings=tuple(warnings), fit=found, by_spad=by_spad,
        method=next((irf.method for irf in found.values()), ""), repetition_rate_Hz=rate_Hz,
        intensity_permille=permille,
    )  # fmt: skip


def report_scale(run: RunData) -> ScaleReport:
    """Length scale from the beads of an image."""
    reference, warnings = _reference(run), list(run_warnings(run))
    lens, binning = float(run.start["optics"]["scale_nm_per_px"]), int(run.config["camera_binning"])
    image, variance, saturated = _electrons(run)
    found = None
    try:
        found = scale_from_beads(
            image, lens, bead_um=reference["bead_diameter_um"], bead_err_um=reference["bead_diameter_err_um"],
            variance=variance, saturated=saturated, binning=binning, profile=reference.get("bead_profile", "disc"),
        )  # fmt: skip
    except AnalysisError as error:
        warnings.append(f"no scale: {error}")
    return ScaleReport(
        measurement="scale", origin=origin_of_run(run), method=found.method if found else "",
        notes=found.notes if found else (), warnings=tuple(warnings), data=picture(run), fit=found,
        nm_per_px=Value(found.nm_per_px, found.nm_per_px_err, "nm") if found else None,
        rel_err=found.rel_err if found else None, beads=len(found.beads) if found else 0,
        refused=found.refused if found else (), lens_nm_per_px=lens,
    )  # fmt: skip


def report_spot(run: RunData) -> SpotReport:
    """Diameters of the excitation spot."""
    warnings, found = list(run_warnings(run)), None
    image, variance, saturated = _electrons(run)
    data = picture(run)
    try:
        found = fit_spot(image, data.nm_per_px, scale_rel_err=data.scale_rel_err or 0.0, variance=variance,
                         exclude=saturated)  # fmt: skip
    except AnalysisError as error:
        warnings.append(f"no spot: {error}")

    def diameter(side: str) -> Value | None:
        if found is None:
            return None
        value, error = getattr(found, f"diameter_{side}_um"), getattr(found, f"diameter_{side}_err_um")
        return Value(value, found.total_err_um(value, error), "um")

    return SpotReport(
        measurement="spot", origin=origin_of_run(run), method=found.method if found else "",
        notes=found.notes if found else (), warnings=tuple(warnings), data=data, fit=found,
        diameter_major_um=diameter("major"), diameter_minor_um=diameter("minor"),
        diameter_x_um=found.diameter_x_um if found else None, diameter_y_um=found.diameter_y_um if found else None,
        angle_deg=Value(found.angle_deg, found.angle_err_deg, "deg") if found else None,
        ellipticity=Value(found.ellipticity, found.ellipticity_err, "") if found else None,
    )  # fmt: skip


def report_wavelength_lines(run: RunData) -> WavelengthReport:
    """How far the wavelength axis is off the known lines, for each centre wavelength."""
    reference, warnings = _reference(run), list(run_warnings(run))
    centres = run.data["spectrograph_centre_wavelength_nm"]
    frames, spectra = [], []
    for event in range(run.num_events):
        axis = np.asarray(run.data["spectrograph_wavelength_nm"][event], float)
        electrons = _frame_electrons(run, np.asarray(run.frames["camera_image"][event], float))
        total = sum_rows(electrons)
        spectra.append(PlainSpectrum(axis, total.counts, f"{reference.get('source', 'lamp')}"))
        inside = [nm for nm in reference["lines_nm"] if axis.min() + MATCH_NM < nm < axis.max() - MATCH_NM]
        try:
            if not inside:
                raise AnalysisError("none of the known lines lies on the detector.")
            lines = find_lines(axis, total.counts, total.variance, exclude=total.saturated)
            matched = match_lines(lines.lines, inside, MATCH_NM)
            degree = min(1, len(matched.lines) - 1)
            axis_fit = calibrate_wavelength(matched, axis, degree=degree, medium=reference.get("medium", "air"))
        except AnalysisError as error:
            warnings.append(f"centre {centres[event]:.2f} nm: {error}")
            continue
        middle = axis.size // 2
        frames.append(LampFrame(
            float(centres[event]), len(matched.lines),
            Value(float(axis_fit.axis_nm[middle] - axis[middle]), float(axis_fit.axis_err_nm[middle]), "nm"),
            axis_fit.rms_nm, matched.unmatched_references_nm, (*axis_fit.notes, *lines.refused),
        ))  # fmt: skip
    return WavelengthReport(
        measurement="wavelength_lines", origin=origin_of_run(run),
        method="line fits, matched to the references, correction of the axis by a constant or a straight line",
        warnings=tuple(warnings), data=spectra[0], frames=tuple(frames), medium=str(reference.get("medium", "air")),
    )  # fmt: skip


def report_laser_power(run: RunData) -> PowerReport:
    """Power and pulse energy at each setting."""
    rate_Hz = float(run.start["excitation"]["repetition_rate_Hz"])
    meter_rel_err = float(_reference(run)["meter_rel_err"])
    readings_uW = np.asarray(run.data["power_meter_power_uW"], float)
    # A meter shows three digits: that is how far two readings of one power may differ.
    errors_uW = np.maximum(5e-3 * readings_uW, 1e-6)
    curve = power_curve(
        run.data["laser_intensity_permille"], readings_uW, errors_uW, repetition_rate_Hz=rate_Hz,
        meter_rel_err=meter_rel_err,
    )  # fmt: skip
    points = []
    for permille in curve.setting:
        power = curve.power_uW(float(permille))
        points.append(PowerPoint(float(permille), Value(power.value_uW, power.err_uW, "uW"),
                                 Value(power.pulse_energy_pJ, power.pulse_energy_err_pJ, "pJ")))  # fmt: skip
    return PowerReport(
        measurement="laser_power", origin=origin_of_run(run), method="readings of the meter, never falling",
        notes=curve.notes, warnings=run_warnings(run), fit=curve, points=tuple(points), repetition_rate_Hz=rate_Hz,
    )  # fmt: skip


def _reference(run: RunData) -> dict[str, Any]:
    """What was known beforehand."""
    return dict((run.start.get("calibration_of") or {}).get("reference") or {})


def _electrons(run: RunData) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean frame in electrons, its variance, and its saturated pixels."""
    frames = int(run.frames["camera_image"].shape[0])
    found = _frame_electrons(run, np.asarray(mean_frame(run), float))
    return found.electrons, found.variance / frames, found.saturated


def _frame_electrons(run: RunData, frame_adu: np.ndarray) -> Electrons:
    return frame_to_electrons(
        frame_adu, gain_e_per_adu=float(run.config["camera_gain_e_per_adu"]),
        read_noise_e=float(run.config["camera_read_noise_e"]), offset_adu=float(run.config["camera_baseline_adu"]),
    )  # fmt: skip
