"""From a checked spectrum and a model to a `PeaksFit`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from ._checks import AnalysisError, FitError, Floats, positive
from ._line_shapes import Shape
from ._peak_model import PeakModel
from ._peak_numbers import Peak, peaks_of
from ._peak_solve import Solution, rough, solve
from ._peak_start import at_energies, starts, to_vector
from ._pixel_data import PixelData
from .air import Medium

MIN_SIGNIFICANCE = 5.0
"""Area of a line over its standard error below which it does not count as found: of some hundred places in a spectrum
one shows 3 or 4 by chance."""


@dataclass(frozen=True, eq=False)
class PeaksFit:
    """Result of `fit_peaks`.

    Attributes:
        shape: Shape of the lines.
        peaks: The lines, by rising energy.
        background: Coefficients of the background in counts per pixel: powers of a position that runs from -1 at the
            lowest energy to 1 at the highest.
        background_err: Standard errors.
        reduced_chi2: Chi square per degree of freedom; None when the variance was unknown.
        good_fit: Whether reduced_chi2 is what noise alone makes (within 5 of its standard deviations, or up to 1.2);
            None when the variance was unknown.
        error_scale: Factor already applied to all errors: sqrt(reduced_chi2) where that is too large for noise (3
            standard deviations), or where the variance was unknown.
        bic: Bayesian information criterion; only differences between fits of the same data mean something.
        pixels: Number of pixels fitted.
        parameter_names: Names of the parameters, (p,).
        parameters: Parameters as fitted, (p,).
        covariance: Their covariance, (p, p), with `error_scale`.
        wavelength_nm: Axis of the fit as given, (W,).
        wavelength_medium: What that axis holds; energies are of vacuum only if this is "air" or "vacuum".
        expected: Fitted counts per pixel, (W,).
        method: How it was fitted.
        notes: What a reader must know.
    """

    shape: Shape
    peaks: tuple[Peak, ...]
    background: Floats
    background_err: Floats
    reduced_chi2: float | None
    good_fit: bool | None
    error_scale: float
    bic: float
    pixels: int
    parameter_names: tuple[str, ...]
    parameters: Floats
    covariance: Floats
    wavelength_nm: Floats
    wavelength_medium: Medium
    expected: Floats
    method: str
    notes: tuple[str, ...] = ()


def model_of(
    shape: Shape,
    peaks: int,
    degree: int,
    share_width: bool,
    instrument_fwhm_nm: float | None,
    separations_eV: Sequence[float] | None = None,
    start_eV: Sequence[float] | None = None,
) -> PeakModel:
    """The model of the arguments of `fit_peaks`.

    Raises:
        AnalysisError: An argument that makes no sense.
    """
    if shape not in get_args(Shape):
        raise AnalysisError(f"shape is {shape!r} but must be one of {', '.join(map(repr, get_args(Shape)))}.")
    if not 1 <= peaks <= 12:
        raise AnalysisError(f"peaks is {peaks} but must be 1 to 12.")
    if not 0 <= degree <= 5:
        raise AnalysisError(f"background_degree is {degree} but must be 0 to 5.")
    for name, given, needed in (("separations_eV", separations_eV, peaks - 1), ("start_eV", start_eV, peaks)):
        if given is not None and len(given) != needed:
            raise AnalysisError(f"{name} has {len(given)} entries, but {peaks} lines need {needed}.")
    instrument = 0.0 if instrument_fwhm_nm is None else positive("instrument_fwhm_nm", instrument_fwhm_nm)
    separations = None if separations_eV is None else tuple(float(s) for s in separations_eV)
    return PeakModel(shape, peaks, degree, share_width, instrument, separations)


def solve_any(
    data: PixelData, model: PeakModel, start_eV: Sequence[float] | None, previous: Solution | None = None
) -> Solution:
    """Fit from the best of the starts; several lines without a start are added one after the other.

    Raises:
        AnalysisError: Fewer pixels than parameters.
        FitError: No start leads to a fit.
    """
    if start_eV is not None:
        begin = [to_vector(data, model, *at_energies(data, start_eV))]
    else:
        if previous is None and model.peaks > 1:
            previous = _one_less(data, model)
        begin = list(starts(data, model, previous))
    tried = sorted((rough(data, model, theta) for theta in begin), key=lambda pair: pair[1])
    problem: FitError | None = None
    for theta, deviance in tried[:3]:
        try:
            return solve(data, model, theta)
        except FitError as error:
            problem = problem or error
        if not np.isfinite(deviance):
            break
    assert problem is not None
    raise problem


def _one_less(data: PixelData, model: PeakModel) -> Solution | None:
    smaller = PeakModel(
        model.shape, model.peaks - 1, model.degree, model.share_width, model.instrument_fwhm_nm,
        None if model.separations_eV is None else model.separations_eV[:-1],
    )
    try:
        return solve_any(data, smaller, None)
    except FitError:
        return None


def result_of(data: PixelData, solution: Solution) -> PeaksFit:
    """Numbers with errors and notes."""
    model, theta = solution.model, solution.theta
    known = data.noise is not None
    reduced = solution.chi2 / solution.dof
    spread = float(np.sqrt(2.0 / solution.dof))
    scale = 1.0 if known and reduced < 1.0 + 3.0 * spread else float(np.sqrt(reduced))
    covariance = solution.covariance * scale**2
    good = abs(reduced - 1.0) < max(5.0 * spread, 0.2) if known else None
    notes = []
    if known and not good and reduced > 1.0:
        notes.append(f"reduced chi2 {reduced:.1f}: the lines do not have this shape, errors were scaled up")
    elif known and not good:
        notes.append(f"reduced chi2 {reduced:.2f}: the variance given is too large, so are the errors")
    if not data.keep.all():
        notes.append(f"{int((~data.keep).sum())} of {data.keep.size} pixels were excluded")
    if data.medium == "air, not converted":
        notes.append(
            "wavelengths were taken as they are: if they are of air, energies are 0.66 meV too high at 525 nm; "
            "wavelength_medium='air' converts them"
        )
    errors = np.sqrt(np.diag(covariance))
    return PeaksFit(
        shape=model.shape,
        peaks=tuple(sorted(peaks_of(model, theta, covariance), key=lambda peak: peak.centre_eV)),
        background=theta[model.background],
        background_err=errors[model.background],
        reduced_chi2=reduced if known else None,
        good_fit=good,
        error_scale=scale,
        bic=solution.bic,
        pixels=solution.pixels,
        parameter_names=model.names,
        parameters=theta,
        covariance=covariance,
        wavelength_nm=data.axis_nm,
        wavelength_medium=data.medium,
        expected=data.as_given(solution.expected),
        method="quasi-likelihood, variance of the fitted line" if known else "unweighted least squares",
        notes=tuple(notes),
    )


def insignificant(fit: PeaksFit, data: PixelData) -> str:
    """Why not all of the lines can be believed, or ""."""
    for peak in fit.peaks:
        if not peak.area > MIN_SIGNIFICANCE * peak.area_err:
            return (
                f"No line found at {peak.centre_eV:.4f} eV: its area is {peak.area:.3g} +- {peak.area_err:.2g} counts; "
                "expose longer, check the laser, or fit fewer lines."
            )
        if not data.edges[0] < peak.centre_eV < data.edges[-1]:
            return f"The line at {peak.centre_eV:.4f} eV lies outside of the spectrum; move the centre wavelength."
    return ""
