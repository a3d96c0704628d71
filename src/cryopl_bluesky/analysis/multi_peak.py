"""Fits of one or several lines with a polynomial background, and the choice of their number and shape by BIC.

Lines are functions of photon energy (S_E), integrated over each pixel: the Jacobian from wavelength to energy is exact
and the counts keep their statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

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


@dataclass(frozen=True)
class Candidate:
    """One model that was tried.

    Attributes:
        shape: Shape of the lines.
        peaks: Number of lines.
        bic: Its criterion, or None if it could not be fitted.
        problem: Why not, or "".
    """

    shape: Shape
    peaks: int
    bic: float | None
    problem: str = ""


@dataclass(frozen=True, eq=False)
class ModelChoice:
    """Result of `choose_model`.

    Attributes:
        best: The fit with the smallest BIC whose lines are all significant.
        candidates: All that were tried, best first.
        lead: BIC of the best other candidate minus that of the best; None if there is no other.
        decided: Whether `lead` is above 6 ("strong" evidence, Kass and Raftery 1995) or there is no other.
    """

    best: PeaksFit
    candidates: tuple[Candidate, ...]
    lead: float | None
    decided: bool


def fit_peaks(
    wavelength_nm: ArrayLike,
    counts: ArrayLike,
    variance: ArrayLike | None = None,
    *,
    peaks: int = 1,
    shape: Shape = "gaussian",
    noise_variance: ArrayLike | None = None,
    background_degree: int = 0,
    share_width: bool = False,
    instrument_fwhm_nm: float | None = None,
    start_eV: Sequence[float] | None = None,
    separations_eV: Sequence[float] | None = None,
    exclude: NDArray[np.bool_] | None = None,
    wavelength_medium: Medium = "air, not converted",
) -> PeaksFit:
    """Fit a sum of lines plus a polynomial background.

    Args:
        wavelength_nm: Pixel centres, rising or falling, (W,).
        counts: Photo-electrons per pixel, (W,); may be negative where there is only noise.
        variance: Variance per pixel, shot noise of the counts included, (W,), as `sum_rows` gives it. The shot noise
            is replaced by that of the fitted lines.
        peaks: Number of lines.
        shape: "gaussian", "lorentzian", "voigt", or an exponentially modified Gaussian with its tail to low
            ("emg_low") or high energy ("emg_high").
        noise_variance: Instead of `variance`: only what is there without light (read noise squared times rows, dark
            signal), number or (W,). Zero for pure photon counts. With neither, errors come from the scatter.
        background_degree: Degree of the background polynomial, 0 to 5.
        share_width: All lines have one Gaussian width, e.g. that of the instrument (Lorentzian lines: one width).
        instrument_fwhm_nm: Known Gaussian width of the instrument; widths are then without it.
        start_eV: Centres to start from, one per line; None finds them.
        separations_eV: Fixed distances of the second, third, ... line from the first: for a weak line next to a strong
            one, from a neighbour spectrum or a model.
        exclude: Pixels not to be fitted (saturated, defective), (W,).
        wavelength_medium: "air" converts the axis to vacuum before energies are made; "vacuum" says that it is.

    Raises:
        AnalysisError: Bad input.
        FitError: The data do not support these lines.
    """
    model = _model(
        shape, peaks, background_degree, share_width, instrument_fwhm_nm, separations_eV, start_eV
    )
    data = PixelData.prepare(
        wavelength_nm, counts, variance=variance, noise_variance=noise_variance, exclude=exclude,
        medium=wavelength_medium,
    )
    solution = _solve_any(data, model, start_eV)
    fit = _result(data, solution)
    problem = _insignificant(fit, data)
    if problem:
        raise FitError(problem)
    return fit


def choose_model(
    wavelength_nm: ArrayLike,
    counts: ArrayLike,
    variance: ArrayLike | None = None,
    *,
    shapes: Sequence[Shape] = ("gaussian", "lorentzian", "voigt"),
    max_peaks: int = 4,
    noise_variance: ArrayLike | None = None,
    background_degree: int = 0,
    share_width: bool = False,
    instrument_fwhm_nm: float | None = None,
    exclude: NDArray[np.bool_] | None = None,
    wavelength_medium: Medium = "air, not converted",
) -> ModelChoice:
    """Choose number and shape of the lines by the Bayesian information criterion.

    For each shape lines are added until BIC rises. A line whose area is below 5 standard errors does not count:
    BIC alone does not know in how many places noise was looked for a line.

    Args:
        wavelength_nm: As `fit_peaks`.
        counts: As `fit_peaks`.
        variance: As `fit_peaks`.
        shapes: Shapes to try.
        max_peaks: Largest number of lines to try.
        noise_variance: As `fit_peaks`.
        background_degree: As `fit_peaks`.
        share_width: As `fit_peaks`.
        instrument_fwhm_nm: As `fit_peaks`.
        exclude: As `fit_peaks`.
        wavelength_medium: As `fit_peaks`.

    Raises:
        AnalysisError: Bad input.
        FitError: No line with any shape.
    """
    if max_peaks < 1 or not shapes:
        raise AnalysisError("max_peaks must be 1 or more and shapes must name at least one shape.")
    data = PixelData.prepare(
        wavelength_nm, counts, variance=variance, noise_variance=noise_variance, exclude=exclude,
        medium=wavelength_medium,
    )
    tried: list[tuple[Candidate, PeaksFit | None]] = []
    for shape in shapes:
        previous: Solution | None = None
        for peaks in range(1, max_peaks + 1):
            model = _model(shape, peaks, background_degree, share_width, instrument_fwhm_nm, None, None)
            candidate, solution, fit = _try(data, model, previous)
            tried.append((candidate, fit))
            if solution is None or (previous is not None and solution.bic > previous.bic):
                break
            previous = solution
    tried.sort(key=lambda pair: np.inf if pair[0].bic is None else pair[0].bic)
    fitted = [(candidate, fit) for candidate, fit in tried if fit is not None]
    if not fitted:
        raise FitError("; ".join(f"{c.shape} x {c.peaks}: {c.problem}" for c, _ in tried))
    lead = fitted[1][1].bic - fitted[0][1].bic if len(fitted) > 1 else None
    return ModelChoice(fitted[0][1], tuple(c for c, _ in tried), lead, lead is None or lead > 6.0)


def _try(
    data: PixelData, model: PeakModel, previous: Solution | None
) -> tuple[Candidate, Solution | None, PeaksFit | None]:
    try:
        solution = _solve_any(data, model, None, previous)
    except FitError as error:
        return Candidate(model.shape, model.peaks, None, str(error)), None, None
    fit = _result(data, solution)
    problem = _insignificant(fit, data)
    candidate = Candidate(model.shape, model.peaks, None if problem else solution.bic, problem)
    return candidate, solution, None if problem else fit


def _model(
    shape: Shape,
    peaks: int,
    degree: int,
    share_width: bool,
    instrument_fwhm_nm: float | None,
    separations_eV: Sequence[float] | None,
    start_eV: Sequence[float] | None,
) -> PeakModel:
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


def _solve_any(
    data: PixelData, model: PeakModel, start_eV: Sequence[float] | None, previous: Solution | None = None
) -> Solution:
    """Fit from the best of the starts; several lines without a start are added one after the other."""
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
        return _solve_any(data, smaller, None)
    except FitError:
        return None


def _result(data: PixelData, solution: Solution) -> PeaksFit:
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


def _insignificant(fit: PeaksFit, data: PixelData) -> str:
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
