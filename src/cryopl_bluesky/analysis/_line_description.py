"""Numbers of the strongest line of a spectrum without any model of its shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import uniform_filter1d

from ._checks import AnalysisError, Floats, count_array, same_shape
from ._pixel_data import PixelData
from .air import Medium
from .units import FWHM_PER_SIGMA

_REACH = 2.5
"""Half width of the window of the area, in full widths at half maximum; beyond it is background."""

_RESAMPLES = 60


@dataclass(frozen=True)
class LineDescription:
    """Model-free description of a line, from its density S_E.

    Attributes:
        maximum_eV: Top of the parabola through all points above 80 % of the maximum.
        centroid_eV: First moment of what lies above half maximum.
        fwhm_eV: Distance of the flanks at half maximum (each a straight line between 30 and 70 %), the smoothing
            removed in quadrature.
        area: Counts above background within 2.5 widths of the maximum (all of a Gaussian, 87 % of a Lorentzian).
        background: Counts per pixel: median beyond that window, or the darkest 15 % if little lies beyond it.
        maximum_eV_err: Standard error by resampling, or None if the variance is unknown.
        centroid_eV_err: The same.
        fwhm_eV_err: The same.
        area_err: The same.
        notes: What a reader must know.
    """

    maximum_eV: float
    centroid_eV: float
    fwhm_eV: float
    area: float
    background: float
    maximum_eV_err: float | None = None
    centroid_eV_err: float | None = None
    fwhm_eV_err: float | None = None
    area_err: float | None = None
    notes: tuple[str, ...] = ()


def describe_line(
    wavelength_nm: ArrayLike,
    counts: ArrayLike,
    smooth_px: int = 5,
    *,
    variance: ArrayLike | None = None,
    wavelength_medium: Medium = "air, not converted",
) -> LineDescription:
    """Describe the strongest line without a model; the half-maximum crossings are those of a running mean.

    Args:
        wavelength_nm: Pixel centres, rising or falling, (W,).
        counts: Counts per pixel, (W,).
        smooth_px: Pixels of the running mean.
        variance: Variance per pixel, (W,), for errors: the numbers are found again 60 times with noise added.
        wavelength_medium: "air" converts the axis to vacuum before energies are made.

    Raises:
        AnalysisError: Bad input, no maximum inside of the range, or a line that does not fall to half on both sides.
    """
    if not 1 <= smooth_px <= np.size(counts):
        raise AnalysisError(f"smooth_px is {smooth_px} but must be 1 to the number of pixels, {np.size(counts)}.")
    data = PixelData.prepare(wavelength_nm, counts, medium=wavelength_medium)
    numbers, notes = _describe(data, data.counts, smooth_px)
    if variance is None:
        return LineDescription(*numbers, notes=notes)
    spread = count_array("variance", variance)
    same_shape("counts", data.counts, "variance", spread)
    sigma = np.sqrt(data.as_given(spread))
    rng = np.random.default_rng(0)
    again = [_describe(data, data.counts + rng.normal(0.0, sigma), smooth_px)[0] for _ in range(_RESAMPLES)]
    errors = np.std(again, axis=0, ddof=1)
    return LineDescription(*numbers, *(float(error) for error in errors[:4]), notes=notes)


def _describe(
    data: PixelData, counts: Floats, smooth_px: int
) -> tuple[tuple[float, float, float, float, float], tuple[str, ...]]:
    """Maximum, centroid, width, area and background."""
    energy, width, notes = data.energy, data.width, []
    smooth = uniform_filter1d(counts, smooth_px, mode="nearest")
    background = float(np.quantile(smooth, 0.15))
    maximum, left, right = _outline(energy, (counts - background) / width, (smooth - background) / width)
    outside = np.abs(energy - maximum) > _REACH * (right - left)
    if outside.sum() >= max(20, counts.size // 20):
        background = float(np.median(counts[outside]))
        maximum, left, right = _outline(energy, (counts - background) / width, (smooth - background) / width)
    else:
        notes.append("little beyond the line: the background is that of the darkest pixels, the width may be too small")
    fwhm = right - left
    blur = FWHM_PER_SIGMA * np.sqrt((smooth_px**2 - 1) / 12.0) * float(np.interp(maximum, energy, width))
    if fwhm < 3.0 * blur:
        notes.append(f"the line is hardly wider than the running mean of {smooth_px} pixels; use a smaller smooth_px")
    inside = (energy > left) & (energy < right)
    inside[np.argmin(np.abs(energy - maximum))] = True
    excess = np.where(inside, (smooth - background) / width, 0.0)
    excess = np.maximum(excess - 0.5 * excess.max(), 0.0) * width
    return (
        maximum,
        float((energy * excess).sum() / excess.sum()),
        float(np.sqrt(max(fwhm**2 - blur**2, 0.0))),
        float((counts - background)[np.abs(energy - maximum) <= _REACH * fwhm].sum()),
        background,
    ), tuple(notes)


def _outline(energy: Floats, density: Floats, smooth: Floats) -> tuple[float, float, float]:
    """Maximum by a parabola, and the energies of both flanks at half of its height."""
    top = int(np.argmax(smooth))
    if not smooth[top] > 0:
        raise AnalysisError("The spectrum is flat: there is no line to describe; expose longer or check the laser.")
    maximum, height = _parabola_top(energy, density, smooth, top)
    return maximum, _flank(energy, smooth, top, -1, height), _flank(energy, smooth, top, 1, height)


def _flank(energy: Floats, smooth: Floats, top: int, side: int, height: float) -> float:
    """Energy at which one flank falls to half of the height."""
    walk = np.arange(top, -1, -1) if side < 0 else np.arange(top, smooth.size)
    low = np.flatnonzero(smooth[walk] < 0.3 * height)
    if not low.size:
        raise AnalysisError(
            "The highest point lies at the edge of the spectrum, or the line does not fall to 30 % on both sides; "
            "move the centre wavelength."
        )
    walk = walk[: low[0] + 1]
    steep = walk[smooth[walk] < 0.7 * height]
    # a flank too steep for a line through it: its last point above and its first below
    steep = steep[:-1] if steep.size > 3 else walk[-2:]
    slope, level = np.polyfit(energy[steep] - energy[top], smooth[steep], 1)
    return float(energy[top] + (0.5 * height - level) / slope)


def _parabola_top(energy: Floats, density: Floats, smooth: Floats, top: int) -> tuple[float, float]:
    """Top of the least-squares parabola through the points around the maximum that exceed 80 % of it."""
    high = smooth > 0.8 * smooth[top]
    first, last = top, top
    while first > 0 and high[first - 1]:
        first -= 1
    while last < high.size - 1 and high[last + 1]:
        last += 1
    first, last = max(min(first, top - 1), 0), min(max(last, top + 1), high.size - 1)
    x = energy[first : last + 1] - energy[top]
    scale = float(np.abs(x).max())
    a, b, c = np.polyfit(x / scale, density[first : last + 1], 2)
    if x.size < 3 or a >= 0 or abs(b) > -2.0 * a:  # so few points or so much noise that they do not bend down here
        return float(energy[top]), float(smooth[top])
    return float(energy[top] - b / (2.0 * a) * scale), float(c - b**2 / (4.0 * a))
