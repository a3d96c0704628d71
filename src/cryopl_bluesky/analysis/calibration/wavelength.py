"""Wavelength axis from lines of known wavelength: a polynomial, or a correction of the axis that is there.

    >>> lines = find_lines(nominal_nm, electrons, variance).lines                                # doctest: +SKIP
    >>> matched = match_lines(lines, [546.0735, 576.9598, 579.0663], tolerance_nm=1.5)           # doctest: +SKIP
    >>> calibration = calibrate_wavelength(matched, nominal_nm, degree=1, medium="air")        # doctest: +SKIP
    >>> calibration.axis_nm, calibration.axis_err_nm                                             # doctest: +SKIP

Positions are columns counted from 0 (Andor's own calibration polynomials count from 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2

from .._checks import AnalysisError, FitError, Floats, finite_array, positive
from .lines import LineSearch, MeasuredLine, find_lines

__all__ = [
    "LineSearch",
    "MatchedLines",
    "MeasuredLine",
    "WavelengthCalibration",
    "calibrate_wavelength",
    "find_lines",
    "match_lines",
]

HIGHEST_DEGREE = 3
UNLIKELY = 1e-3
"""Probability of so large a chi2 by chance, below which the errors are scaled up and a note is made."""


@dataclass(frozen=True)
class MatchedLines:
    """Lines of a spectrum with their reference wavelengths, by position.

    Attributes:
        lines: Measured lines.
        reference_nm: Wavelength of each.
        unmatched_lines_nm: Measured lines without a reference, on the nominal axis.
        unmatched_references_nm: References without a line.
    """

    lines: tuple[MeasuredLine, ...]
    reference_nm: tuple[float, ...]
    unmatched_lines_nm: tuple[float, ...] = ()
    unmatched_references_nm: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class WavelengthCalibration:
    """A calibrated axis.

    Attributes:
        axis_nm: Wavelength of every column, (W,).
        axis_err_nm: Standard error of it, from the lines' errors, (W,).
        coefficients_nm: Of the polynomial in u = (column - (W - 1)/2)/((W - 1)/2), lowest first, (degree + 1,).
        covariance: Of the coefficients, (degree + 1, degree + 1).
        reference_nm: Lines used.
        position_px: Their columns.
        residual_nm: Reference minus axis at each.
        rms_nm: Root mean square of the residuals.
        reduced_chi2: Per degree of freedom; None if there are as many lines as coefficients.
        error_scale: Factor already in the errors.
        medium: "air" or "vacuum", as the references are.
        method: Polynomial or correction, degree, number of lines.
        notes: What a reader must know.
    """

    axis_nm: Floats
    axis_err_nm: Floats
    coefficients_nm: Floats
    covariance: Floats
    reference_nm: Floats
    position_px: Floats
    residual_nm: Floats
    rms_nm: float
    reduced_chi2: float | None
    error_scale: float
    medium: str
    method: str
    notes: tuple[str, ...] = ()


def match_lines(
    lines: Sequence[MeasuredLine], reference_nm: ArrayLike, tolerance_nm: float
) -> MatchedLines:
    """Give each measured line the reference that lies within the tolerance of where the nominal axis has it.

    Args:
        lines: From `find_lines`.
        reference_nm: Known wavelengths, (n,).
        tolerance_nm: Farthest that the nominal axis may be off; less than half the distance of neighbours.

    Raises:
        AnalysisError: No match, or one that is not unique.
    """
    known, limit = np.sort(finite_array("reference_nm", reference_nm, 1)), positive("tolerance_nm", tolerance_nm)
    matched: list[tuple[MeasuredLine, float]] = []
    unmatched: list[float] = []
    for line in sorted(lines, key=lambda line: line.position_px):
        near = known[np.abs(known - line.nominal_nm) <= limit]
        if near.size > 1:
            raise AnalysisError(
                f"The line at {line.nominal_nm:.2f} nm may be {near[0]:.3f} or {near[1]:.3f} nm; lower tolerance_nm "
                f"({limit:g} nm), or leave one of them out."
            )
        if near.size == 1:
            matched.append((line, float(near[0])))
        else:
            unmatched.append(line.nominal_nm)
    used = [reference for _, reference in matched]
    for reference in used:
        if used.count(reference) > 1:
            raise AnalysisError(
                f"{used.count(reference)} lines lie within {limit:g} nm of {reference:.3f} nm; lower tolerance_nm."
            )
    if not matched:
        raise AnalysisError(
            f"No line lies within {limit:g} nm of a reference; wrong lamp, order or centre wavelength? Lines: "
            f"{', '.join(f'{nm:.2f}' for nm in unmatched) or 'none'} nm."
        )
    left = tuple(float(reference) for reference in known if reference not in used)
    return MatchedLines(tuple(line for line, _ in matched), tuple(used), tuple(unmatched), left)


def calibrate_wavelength(
    matched: MatchedLines,
    nominal_nm: ArrayLike | None = None,
    *,
    columns: int | None = None,
    degree: int = 1,
    medium: str = "air",
) -> WavelengthCalibration:
    """Fit the axis to known lines, each weighted by the error of its position.

    Args:
        matched: Lines and references.
        nominal_nm: Axis to be corrected, (W,): the polynomial is added to it. None: the polynomial is the axis.
        columns: Number of columns, if there is no nominal axis.
        degree: Of the polynomial: 0 shifts a nominal axis, 1 also stretches it; 2 or 3 for a whole axis.
        medium: What the references are given in.

    Raises:
        AnalysisError: Too few lines for the degree, or neither axis nor number of columns.
        FitError: The axis does not rise or fall all the way.
    """
    nominal, width = _nominal(nominal_nm, columns)
    position = np.array([line.position_px for line in matched.lines])
    error_px = np.array([positive("position_err_px", line.position_err_px) for line in matched.lines])
    reference = finite_array("reference_nm", matched.reference_nm, 1)
    _check(position, width, degree, whole_axis=nominal is None)
    index = np.arange(width, dtype=np.float64)
    wanted = reference if nominal is None else reference - np.interp(position, index, nominal)
    # The error of a position becomes one of wavelength by the local dispersion.
    slope = np.gradient(np.polyval(np.polyfit(position, reference, 1), index) if nominal is None else nominal)
    weight = 1.0 / (error_px * np.abs(np.interp(position, index, slope)))
    design = _powers(position, width, degree)
    weighted = design * weight[:, None]
    inverse = np.asarray(np.linalg.inv(weighted.T @ weighted), dtype=np.float64)
    coefficients = inverse @ (design.T @ (wanted * weight**2))
    residual = wanted - design @ coefficients
    freedom = position.size - degree - 1
    total = float(((residual * weight) ** 2).sum())
    scale = 1.0
    notes = []
    if freedom == 0:
        notes.append("as many lines as coefficients: nothing checks them against each other; add lines")
    elif chi2.sf(total, freedom) < UNLIKELY:
        scale = float(np.sqrt(total / freedom))
        notes.append(f"reduced chi2 {total / freedom:.1f}: errors scaled up; a blended or wrong line, or a low degree")
    powers = _powers(index, width, degree)
    axis = powers @ coefficients + (0.0 if nominal is None else nominal)
    steps = np.diff(axis)
    if not ((steps > 0).all() or (steps < 0).all()):
        raise FitError(f"The axis of degree {degree} turns round within the detector; lower the degree.")
    covariance = inverse * scale**2
    notes += _outside(position, width, matched)
    return WavelengthCalibration(
        axis_nm=axis,
        axis_err_nm=np.sqrt(np.einsum("ij,jk,ik->i", powers, covariance, powers)),
        coefficients_nm=coefficients,
        covariance=covariance,
        reference_nm=reference,
        position_px=position,
        residual_nm=residual,
        rms_nm=float(np.sqrt((residual**2).mean())),
        reduced_chi2=total / freedom if freedom else None,
        error_scale=scale,
        medium=medium,
        method=f"{'polynomial' if nominal is None else 'correction of the nominal axis'}, degree {degree}, "
        f"{position.size} lines",
        notes=tuple(notes),
    )


def _nominal(nominal_nm: ArrayLike | None, columns: int | None) -> tuple[Floats | None, int]:
    if (nominal_nm is None) == (columns is None):
        raise AnalysisError("Give either nominal_nm (an axis to correct) or columns (to fit a whole axis).")
    if nominal_nm is None:
        assert columns is not None
        return None, int(positive("columns", columns))
    nominal = finite_array("nominal_nm", nominal_nm, 1)
    return nominal, nominal.size


def _check(position: Floats, width: int, degree: int, *, whole_axis: bool) -> None:
    if not (int(whole_axis) <= degree <= HIGHEST_DEGREE):
        raise AnalysisError(f"degree is {degree} but must lie within {int(whole_axis)} and {HIGHEST_DEGREE}.")
    if position.size < degree + 1:
        raise AnalysisError(
            f"{position.size} line(s) cannot determine a polynomial of degree {degree}; "
            f"lower the degree or give {degree + 1} lines."
        )
    if np.unique(position).size != position.size or position.min() < 0 or position.max() > width - 1:
        raise AnalysisError(f"Lines must lie at different columns within 0 and {width - 1}.")


def _powers(column: Floats, width: int, degree: int) -> Floats:
    half = (width - 1) / 2.0
    return np.vander((column - half) / half, degree + 1, increasing=True)


def _outside(position: Floats, width: int, matched: MatchedLines) -> list[str]:
    notes = []
    covered = float(np.ptp(position)) / (width - 1)
    if covered < 0.5:
        notes.append(f"the lines cover {100 * covered:.0f} % of the columns: the rest is extrapolated")
    if matched.unmatched_lines_nm:
        lines = ", ".join(f"{nm:.2f}" for nm in matched.unmatched_lines_nm)
        notes.append(f"lines without a reference, on the nominal axis: {lines} nm")
    return notes
