"""Fits of one or several lines with a polynomial background, and the choice of their number and shape by BIC.

Lines are functions of photon energy (S_E), integrated over each pixel: the Jacobian from wavelength to energy is exact
and the counts keep their statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._checks import AnalysisError, FitError
from ._line_shapes import Shape
from ._peak_fit import PeaksFit, insignificant, model_of, result_of, solve_any
from ._peak_model import PeakModel
from ._peak_numbers import Peak
from ._peak_solve import Solution
from ._pixel_data import PixelData
from .air import Medium

__all__ = ["Candidate", "ModelChoice", "Peak", "PeaksFit", "Shape", "choose_model", "fit_peaks"]


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
        notes: What a reader must know.
    """

    best: PeaksFit
    candidates: tuple[Candidate, ...]
    lead: float | None
    decided: bool
    notes: tuple[str, ...] = ()


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
    model = model_of(
        shape, peaks, background_degree, share_width, instrument_fwhm_nm, separations_eV, start_eV
    )
    data = PixelData.prepare(
        wavelength_nm, counts, variance=variance, noise_variance=noise_variance, exclude=exclude,
        medium=wavelength_medium,
    )
    solution = solve_any(data, model, start_eV)
    fit = result_of(data, solution)
    problem = insignificant(fit, data)
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
            model = model_of(shape, peaks, background_degree, share_width, instrument_fwhm_nm)
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
    notes = _choice_notes(fitted, lead, max_peaks)
    return ModelChoice(fitted[0][1], tuple(c for c, _ in tried), lead, lead is None or lead > 6.0, notes)


def _choice_notes(
    fitted: list[tuple[Candidate, PeaksFit]], lead: float | None, max_peaks: int
) -> tuple[str, ...]:
    notes = []
    best = fitted[0][0]
    if best.peaks == max_peaks > 1:
        notes.append(f"{max_peaks} lines are the most that were tried: there may be more, raise max_peaks")
    if lead is not None and lead <= 6.0:
        other = fitted[1][0]
        notes.append(f"{other.shape} x {other.peaks} describes the data nearly as well (BIC larger by {lead:.1f} only)")
    if fitted[0][1].good_fit is False:
        notes.append("the best of these models does not describe the data either (reduced chi2)")
    return tuple(notes)


def _try(
    data: PixelData, model: PeakModel, previous: Solution | None
) -> tuple[Candidate, Solution | None, PeaksFit | None]:
    try:
        solution = solve_any(data, model, None, previous)
    except FitError as error:
        return Candidate(model.shape, model.peaks, None, str(error)), None, None
    fit = result_of(data, solution)
    problem = insignificant(fit, data)
    candidate = Candidate(model.shape, model.peaks, None if problem else solution.bic, problem)
    return candidate, solution, None if problem else fit
