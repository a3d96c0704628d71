"""Fit of one emission line: a Gaussian in photon energy over each pixel, plus a flat background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._checks import Floats
from .multi_peak import fit_peaks
from .units import HC_EV_NM, interval_nm_to_eV


@dataclass(frozen=True, eq=False)
class LineFit:
    """Result of `fit_line`.

    Attributes:
        peak_eV: Centre of the Gaussian in S_E.
        peak_eV_err: Standard error.
        fwhm_eV: Full width at half maximum as measured.
        fwhm_eV_err: Standard error.
        area: Counts in the line.
        area_err: Standard error.
        background: Counts per pixel below the line.
        background_err: Standard error.
        reduced_chi2: Chi square per degree of freedom; None when the variance was unknown.
        error_scale: Factor already applied to all errors: sqrt(reduced_chi2) where that is above 1 by more
            than noise makes (the line is not exactly a Gaussian) or where the variance was unknown.
        intrinsic_fwhm_eV: Width with the instrument's removed in quadrature; None if no instrument width was
            given or the line is not wider than it.
        intrinsic_fwhm_eV_err: Its standard error, or None.
        wavelength_nm: Axis of the fit, (W,).
        expected: Fitted counts per pixel, (W,).
        notes: What a reader must know.
    """

    peak_eV: float
    peak_eV_err: float
    fwhm_eV: float
    fwhm_eV_err: float
    area: float
    area_err: float
    background: float
    background_err: float
    reduced_chi2: float | None
    error_scale: float
    intrinsic_fwhm_eV: float | None
    intrinsic_fwhm_eV_err: float | None
    wavelength_nm: Floats
    expected: Floats
    notes: tuple[str, ...] = ()

    @property
    def peak_nm(self) -> float:
        """Wavelength of the peak energy (not the maximum of S_lambda, which lies slightly to the blue)."""
        return HC_EV_NM / self.peak_eV


def fit_line(
    wavelength_nm: ArrayLike,
    counts: ArrayLike,
    variance: ArrayLike | None = None,
    *,
    instrument_fwhm_nm: float | None = None,
    exclude: NDArray[np.bool_] | None = None,
) -> LineFit:
    """Fit a Gaussian in photon energy plus a constant per pixel to the strongest line of a spectrum.

    Args:
        wavelength_nm: Pixel centres, rising or falling, (W,).
        counts: Photo-electrons per pixel, (W,); may be negative where there is only noise.
        variance: Variance per pixel, (W,): shot noise of the counts plus the rest. The shot noise is
            replaced by that of the fitted line, since weights from the noisy counts themselves would bias
            the fit. None if unknown (units unclear): the errors then come from the scatter of the
            residuals.
        instrument_fwhm_nm: Width of the instrument function (slit image), to be removed in quadrature.
        exclude: Pixels not to be fitted (saturated, defective), (W,).

    Returns:
        The fitted line.

    Raises:
        AnalysisError: Bad input.
        FitError: No line above the noise, a line outside of the range, or no convergence.
    """
    fit = fit_peaks(wavelength_nm, counts, variance, exclude=exclude)
    peak = fit.peaks[0]
    span = abs(HC_EV_NM / fit.wavelength_nm[0] - HC_EV_NM / fit.wavelength_nm[-1])
    notes = []
    if peak.fwhm_eV > span:
        notes.append("the line is wider than the spectrum: width and background cannot be told apart")
    if fit.reduced_chi2 is not None and fit.reduced_chi2 > 2.0:
        notes.append(
            f"reduced chi2 {fit.reduced_chi2:.1f}: the line is not a single Gaussian, errors were scaled up"
        )
    intrinsic, intrinsic_err = _remove_instrument(
        peak.centre_eV, peak.fwhm_eV, peak.fwhm_eV_err, instrument_fwhm_nm, notes
    )
    return LineFit(
        peak_eV=peak.centre_eV,
        peak_eV_err=peak.centre_eV_err,
        fwhm_eV=peak.fwhm_eV,
        fwhm_eV_err=peak.fwhm_eV_err,
        area=peak.area,
        area_err=peak.area_err,
        background=float(fit.background[0]),
        background_err=float(fit.background_err[0]),
        reduced_chi2=fit.reduced_chi2,
        error_scale=fit.error_scale,
        intrinsic_fwhm_eV=intrinsic,
        intrinsic_fwhm_eV_err=intrinsic_err,
        wavelength_nm=fit.wavelength_nm,
        expected=fit.expected,
        notes=tuple(notes),
    )


def _remove_instrument(
    peak_eV: float, fwhm_eV: float, fwhm_err_eV: float, instrument_fwhm_nm: float | None, notes: list[str]
) -> tuple[float | None, float | None]:
    if instrument_fwhm_nm is None:
        return None, None
    instrument = interval_nm_to_eV(HC_EV_NM / peak_eV, instrument_fwhm_nm)
    if fwhm_eV <= instrument:
        notes.append(
            f"the line ({fwhm_eV * 1e3:.2f} meV) is not wider "
            f"than the instrument ({instrument * 1e3:.2f} meV)"
        )
        return None, None
    intrinsic = float(np.sqrt(fwhm_eV**2 - instrument**2))
    return intrinsic, fwhm_eV / intrinsic * fwhm_err_eV
