"""Sharp lines of a lamp or laser in a spectrum: where they are, to a fraction of a pixel, with errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import find_peaks, peak_widths

from .._checks import AnalysisError, FitError, Floats, count_array, finite_array, positive, same_shape
from .._line_fit import LineFit, fit_line
from ..units import FWHM_PER_SIGMA, HC_EV_NM

FEWEST_PIXELS = 12
"""Pixels of the window of a line: four parameters and enough background to tell it from the line."""
NEIGHBOUR_PART = 0.01
"""Part of a line's height that a neighbour may add at the edge of its window."""


@dataclass(frozen=True)
class MeasuredLine:
    """One line.

    Attributes:
        position_px: Centre; columns counted from 0.
        position_err_px: Standard error.
        nominal_nm: Where the axis that is to be calibrated has it.
        fwhm_px: Full width at half maximum.
        area: Counts in the line.
        notes: What a reader must know.
    """

    position_px: float
    position_err_px: float
    nominal_nm: float
    fwhm_px: float
    area: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LineSearch:
    """What a search found.

    Attributes:
        lines: Lines with a good fit, by position.
        refused: Peaks that are no such line, with the reason.
    """

    lines: tuple[MeasuredLine, ...]
    refused: tuple[str, ...]


def find_lines(
    axis_nm: ArrayLike,
    counts: ArrayLike,
    variance: ArrayLike | None = None,
    *,
    min_snr: float = 10.0,
    exclude: NDArray[np.bool_] | None = None,
) -> LineSearch:
    """Find the sharp lines of a spectrum and fit each (`analysis.spectra.fit_line`) in a window of its own.

    Args:
        axis_nm: Axis that is to be calibrated (of the vendor or by the grating's geometry), (W,).
        counts: Photo-electrons per column, (W,).
        variance: Their variance (shot noise and the rest), (W,); None if unknown: errors from the residuals.
        min_snr: Prominence of a peak over the noise of neighbouring columns.
        exclude: Columns not to be fitted (saturated, defective), (W,); a line at whose top lies one is refused.

    Returns:
        Lines and refused peaks.

    Raises:
        AnalysisError: Bad input, or no peak above the noise.
    """
    axis, values = finite_array("axis_nm", axis_nm, 1), finite_array("counts", counts, 1)
    same_shape("axis_nm", axis, "counts", values)
    spread = None if variance is None else count_array("variance", variance)
    if spread is not None:
        same_shape("counts", values, "variance", spread)
    bad = np.zeros(values.size, bool) if exclude is None else np.asarray(exclude, bool)
    same_shape("counts", values, "exclude", bad)
    noise = _noise(values, spread)
    peaks, shape = find_peaks(values, prominence=positive("min_snr", min_snr) * noise[0])
    high = shape["prominences"] > min_snr * noise[peaks]
    peaks, prominences = peaks[high], shape["prominences"][high]
    if peaks.size == 0:
        raise AnalysisError(f"counts has no peak above {min_snr:g} times its noise; expose longer, or open the lamp.")
    peaks = _separate(peaks, prominences, peak_widths(values, peaks)[0])
    widths, heights = peak_widths(values, peaks)[0], values[peaks] - np.median(values)
    found: list[MeasuredLine] = []
    refused: list[str] = []
    for number, peak in enumerate(peaks):
        try:
            window = _window(number, peaks, heights, widths, values.size)
            found.append(_fit(axis, values, spread, bad, window, int(peak), float(widths[number])))
        except AnalysisError as error:
            refused.append(f"peak at column {peak} ({axis[peak]:.2f} nm): {error}")
    return LineSearch(tuple(found), tuple(refused))


def _noise(values: Floats, spread: Floats | None) -> Floats:
    """Standard deviation of every column; from neighbouring differences when the variance is unknown."""
    if spread is not None:
        return np.sqrt(spread)
    differences = np.diff(values)
    sigma = 1.4826 * float(np.median(np.abs(differences - np.median(differences)))) / np.sqrt(2.0)
    return np.full(values.size, max(sigma, 1e-12))


def _separate(peaks: NDArray[np.intp], prominences: Floats, widths: Floats) -> NDArray[np.intp]:
    """Drop noise on the flanks of a line: of peaks within one line's width only the most prominent stays."""
    kept: list[int] = []
    for index in np.argsort(-prominences):
        if all(abs(peaks[index] - peaks[other]) > 1.5 * widths[other] for other in kept):
            kept.append(int(index))
    return np.sort(peaks[kept])


def _window(number: int, peaks: NDArray[np.intp], heights: Floats, widths: Floats, columns: int) -> slice:
    """Columns about a line: four widths on either side, but no neighbour may add more than 1 % of the line's height.

    Raises:
        AnalysisError: A neighbour is so near that too little of the line is left.
    """
    peak, width = int(peaks[number]), float(widths[number])
    reach = max(4.0 * width, FEWEST_PIXELS / 2)
    low, high = peak - reach, peak + reach
    for other in (number - 1, number + 1):
        if not 0 <= other < peaks.size:
            continue
        # Where the neighbour, a Gaussian, has fallen to 1 % of this line's height.
        ratio = max(float(heights[other] / heights[number]) / NEIGHBOUR_PART, 1.0)
        away = float(widths[other]) * np.sqrt(np.log(ratio) / (4.0 * np.log(2.0)))
        edge = peaks[other] + (away if other < number else -away)
        if abs(edge - peak) < 1.2 * width or (edge > peak) != (other > number):
            raise AnalysisError(f"a neighbour at column {peaks[other]} is too near; narrow the slit, or leave it out")
        low, high = (max(low, edge), high) if other < number else (low, min(high, edge))
    return slice(max(0, int(np.ceil(low))), min(columns, int(high) + 1))


def _fit(
    axis: Floats, values: Floats, spread: Floats | None, bad: NDArray[np.bool_], window: slice, peak: int, width: float
) -> MeasuredLine:
    if window.stop - window.start < FEWEST_PIXELS:
        raise AnalysisError(f"only {window.stop - window.start} columns to its neighbours, {FEWEST_PIXELS} are needed")
    if bad[max(0, peak - 1) : peak + 2].any():
        raise FitError("its top is saturated or defective; expose shorter")
    line = fit_line(
        axis[window], values[window], None if spread is None else spread[window], exclude=bad[window]
    )
    measured = _measured(line, axis)
    if abs(measured.position_px - peak) > width + 1.0:
        raise FitError(f"the fit ran away to column {measured.position_px:.1f}")
    return measured


def _measured(line: LineFit, axis: Floats) -> MeasuredLine:
    """From photon energy, in which lines are fitted, back to columns."""
    columns = np.arange(axis.size, dtype=np.float64)
    order = np.argsort(axis)
    position = float(np.interp(line.peak_nm, axis[order], columns[order]))
    per_column_nm = float(np.interp(position, columns, np.abs(np.gradient(axis))))
    per_column_eV = per_column_nm * line.peak_eV**2 / HC_EV_NM
    fwhm_px = line.fwhm_eV / per_column_eV
    notes = line.notes
    if fwhm_px / FWHM_PER_SIGMA < 0.5:
        notes += ("the line is narrower than a column: its centre depends on where in the column it falls",)
    return MeasuredLine(position, line.peak_eV_err / per_column_eV, line.peak_nm, fwhm_px, line.area, notes)
