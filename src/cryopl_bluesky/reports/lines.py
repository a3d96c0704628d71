"""Reports of spectra: where the line is, how wide, how strong; at positions and in total."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.analysis.multi_peak import choose_model
from cryopl_bluesky.analysis.spectra import LineFit, Spectrum, describe_line
from cryopl_bluesky.analysis.units import HC_EV_NM
from cryopl_bluesky.catalog.load import RunData
from cryopl_bluesky.figures._data import SpectralMap
from cryopl_bluesky.figures.fits import bright_positions_um, centre_rows, fit_spectrum, rows_around, spectrum_of
from cryopl_bluesky.figures.run_data import spectral_map
from cryopl_bluesky.reports.calibrated import Calibrations
from cryopl_bluesky.reports.origins import origin_of_run, run_warnings
from cryopl_bluesky.reports.results import Report, Value

METHOD = "Gaussian in photon energy over each pixel plus a constant, weighted least squares"
MOST_PEAKS = 4
NARROW_PX = 2.0
"""A line narrower than so many pixels is a hot pixel or a cosmic ray: no light makes it."""
STATISTICAL = "errors are statistical: that of the wavelength axis (its calibration, air or vacuum) comes on top"


@dataclass(frozen=True)
class Line:
    """One emission line.

    Attributes:
        where: part of the frame: "centre of the object", "line total", "position 1.2 um", ...
        peak_eV: centre in photon energy.
        peak_nm: wavelength of that energy.
        fwhm_eV: width as measured, the instrument's in it.
        fwhm_nm: the same in wavelength.
        intensity: light in the line.
        background: level below it, per pixel.
        intrinsic_fwhm_eV: width without the instrument's; None if that is not known.
        reduced_chi2: of the fit; None where the variance of the counts is not known.
        maximum_eV: top of the line without a model; None at the edge of the spectrum. Its error is None where the
            variance of the counts is not known.
        notes: what a reader must know.
    """

    where: str
    peak_eV: Value
    peak_nm: Value
    fwhm_eV: Value
    fwhm_nm: Value
    intensity: Value
    background: Value
    intrinsic_fwhm_eV: Value | None
    reduced_chi2: float | None
    maximum_eV: Value | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class PeakOfModel:
    """One of the lines of a spectrum that was fitted with several.

    Attributes:
        peak_eV: energy of its maximum.
        fwhm_eV: width.
        intensity: light in it.
    """

    peak_eV: Value
    fwhm_eV: Value
    intensity: Value


@dataclass(frozen=True)
class ChosenModel:
    """Number and shape of the lines that the data prefer (BIC), of the first spectrum of a report.

    Attributes:
        shape: "gaussian", "lorentzian" or "voigt".
        peaks: by rising energy, without those narrower than 2 pixels.
        decided: whether the next best model is clearly worse.
        reduced_chi2: of the fit.
        good: whether that is what noise alone makes; None where the variance is not known.
        notes: what a reader must know.
    """

    shape: str
    peaks: tuple[PeakOfModel, ...]
    decided: bool
    reduced_chi2: float | None
    good: bool | None
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SpectrumReport(Report):
    """Lines of a spectral image or of a total spectrum.

    Attributes:
        lines: the first one is the one to quote; empty if there is no line (see `warnings`). `fit` holds their fits.
        model: number and shape of the lines by BIC; None where nothing could be fitted.
    """

    lines: tuple[Line, ...] = ()
    model: ChosenModel | None = None

    @property
    def line(self) -> Line:
        """The line to quote.

        Raises:
            AnalysisError: no line was found.
        """
        if not self.lines:
            raise AnalysisError(f"{self.origin.target}: no line was found; {'; '.join(self.warnings)}")
        return self.lines[0]


def line_of(
    fit: LineFit,
    counts: NDArray[np.float64],
    where: str,
    unit: str,
    per: float = 1.0,
    variance: NDArray[np.float64] | None = None,
) -> Line:
    """A fitted line as values.

    Args:
        fit: the fit.
        counts: the spectrum that was fitted, for the maximum without a model, (W,).
        where: part of the frame.
        unit: of the intensity.
        per: counts per unit of intensity, for example the exposure in s.
        variance: of the counts, (W,), for the error of that maximum.
    """
    nm_per_eV = HC_EV_NM / fit.peak_eV**2
    intrinsic = None
    if fit.intrinsic_fwhm_eV is not None:
        intrinsic = Value(fit.intrinsic_fwhm_eV, fit.intrinsic_fwhm_eV_err, "eV")
    return Line(
        where=where,
        peak_eV=Value(fit.peak_eV, fit.peak_eV_err, "eV"),
        peak_nm=Value(fit.peak_nm, fit.peak_eV_err * nm_per_eV, "nm"),
        fwhm_eV=Value(fit.fwhm_eV, fit.fwhm_eV_err, "eV"),
        fwhm_nm=Value(fit.fwhm_eV * nm_per_eV, fit.fwhm_eV_err * nm_per_eV, "nm"),
        intensity=Value(fit.area / per, fit.area_err / per, unit),
        background=Value(fit.background / per, fit.background_err / per, f"{unit} per pixel"),
        intrinsic_fwhm_eV=intrinsic,
        reduced_chi2=fit.reduced_chi2,
        maximum_eV=_maximum_eV(fit, counts, variance),
        notes=fit.notes,
    )


def _maximum_eV(
    fit: LineFit, counts: NDArray[np.float64], variance: NDArray[np.float64] | None
) -> Value | None:
    try:
        found = describe_line(fit.wavelength_nm, counts, variance=variance)
        return Value(found.maximum_eV, found.maximum_eV_err, "eV")
    except AnalysisError:  # it lies at the edge: the fit says so as well
        return None


def report_spectral_image(run: RunData, calibrations: Calibrations | None = None) -> SpectrumReport:
    """Lines in the middle of the brightest object, of the line total, and at the bright positions of the slit."""
    known = calibrations or Calibrations()
    data = known.with_dark(spectral_map(run))
    parts: list[tuple[str, slice | None]] = [("centre of the object", centre_rows(data)), ("line total", None)]
    for position_um in sorted(set(bright_positions_um(data))):
        parts.append((f"position {position_um:.2f} um", rows_around(data, position_um)))
    return _report(run, data, parts, known)


def report_total_spectrum(run: RunData, calibrations: Calibrations | None = None) -> SpectrumReport:
    """The line of the light of the whole image; rows are no positions here."""
    known = calibrations or Calibrations()
    return _report(run, known.with_dark(spectral_map(run)), [("image total", None)], known)


def _report(
    run: RunData, data: SpectralMap, parts: Sequence[tuple[str, slice | None]], known: Calibrations
) -> SpectrumReport:
    exposure_s = float(run.config["camera_exposure_s"]) * data.frames
    lines, fits, model, warnings = [], [], None, list(run_warnings(run))
    for number, (where, rows) in enumerate(parts):
        spectrum = spectrum_of(data, rows)
        try:
            fits.append(fit_spectrum(data, spectrum))
            lines.append(line_of(fits[-1], spectrum.counts, where, "electrons/s", exposure_s, spectrum.variance))
            if number == 0:
                model = _chosen(data, spectrum, exposure_s)
        except AnalysisError as error:
            warnings.append(f"{where}: {error}")
    if model is not None and model.decided and len(model.peaks) > 1:
        warnings.append(f"the data prefer {len(model.peaks)} lines: quote those of `model`, not the single ones")
    return SpectrumReport(
        measurement=run.start["measurement"], origin=origin_of_run(run, known.used), method=METHOD,
        notes=(*known.notes, STATISTICAL),
        warnings=tuple(warnings), data=data, fit=tuple(fits), lines=tuple(lines), model=model,
    )  # fmt: skip


def _chosen(data: SpectralMap, spectrum: Spectrum, exposure_s: float) -> ChosenModel | None:
    axis = np.asarray(data.wavelength_nm, float)
    try:
        choice = choose_model(
            axis, spectrum.counts, spectrum.variance, max_peaks=MOST_PEAKS, exclude=spectrum.saturated,
            instrument_fwhm_nm=data.instrument_fwhm_nm,
        )  # fmt: skip
    except AnalysisError:  # the fit of one line has said what is wrong
        return None
    best, notes = choice.best, list(choice.best.notes)
    pixel_eV = float(np.median(np.abs(np.diff(HC_EV_NM / axis))))
    narrow = [peak for peak in best.peaks if peak.fwhm_eV < NARROW_PX * pixel_eV]
    for peak in narrow:
        notes.append(f"left out: a hot pixel at {peak.maximum_eV:.4f} eV, narrower than {NARROW_PX:g} pixels")
    peaks = tuple(
        PeakOfModel(Value(peak.maximum_eV, peak.maximum_eV_err, "eV"), Value(peak.fwhm_eV, peak.fwhm_eV_err, "eV"),
                    Value(peak.area / exposure_s, peak.area_err / exposure_s, "electrons/s"))
        for peak in best.peaks
        if peak not in narrow
    )  # fmt: skip
    return ChosenModel(best.shape, peaks, choice.decided, best.reduced_chi2, best.good_fit, tuple(notes))
