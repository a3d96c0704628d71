"""Start values of line fits: what stands out of the known noise, and where an earlier fit leaves light over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ._checks import Floats
from ._line_shapes import HAS_GAUSS, HAS_OTHER
from ._peak_model import PeakModel
from ._peak_solve import Solution
from ._pixel_data import PixelData
from .units import FWHM_PER_SIGMA

Line = tuple[float, float, float]
"""Centre in eV, area in counts, full width at half maximum in eV."""

_SMOOTHINGS_PX = (1.5, 4.0, 10.0, 25.0)
_PROMINENCE = 5.0
"""Standard deviations (of the smoothed data) by which a maximum must stand above its saddle."""


def starts(data: PixelData, model: PeakModel, previous: Solution | None) -> Iterator[Floats]:
    """Start vectors for a model: from maxima of the data, and from a fit with one line less."""
    seen: list[list[Line]] = []
    for lines, background in _maxima(data):
        if len(lines) >= model.peaks:
            chosen = sorted(lines[: model.peaks])
            if not any(_alike(chosen, other) for other in seen):
                seen.append(chosen)
                yield to_vector(data, model, chosen, background)
    if previous is not None:
        yield from _with_one_more(data, model, previous)
    elif not seen:
        lines, background = _brightest(data)
        yield to_vector(data, model, [lines] * model.peaks, background)


def to_vector(data: PixelData, model: PeakModel, lines: Sequence[Line], background: float) -> Floats:
    """Parameter vector of lines of given width: the width is split into those the shape has."""
    both = HAS_GAUSS[model.shape] and HAS_OTHER[model.shape]
    if model.separations_eV is not None:  # lines come by rising energy, the model has the order of its distances
        rank = np.argsort(np.argsort([0.0, *model.separations_eV]))
        lines = [sorted(lines)[k] for k in rank]
    out = []
    for centre, area, fwhm in lines:
        instrument = model.instrument_eV(centre)
        own = np.sqrt(max(fwhm**2 - instrument**2, (0.3 * fwhm) ** 2))
        gauss = (0.7 if both else 1.0) * own if HAS_GAUSS[model.shape] else 0.0
        other = (0.4 if both else 0.9) * own if HAS_OTHER[model.shape] else 0.0
        shift = {"emg_low": other, "emg_high": -other}.get(model.shape, 0.0)
        out.append((centre + 0.7 * shift, area, gauss, other))
    return model.vector(out, background)


def at_energies(data: PixelData, centres_eV: Sequence[float]) -> tuple[list[Line], float]:
    """Lines at given energies, with heights and a common width read off the data."""
    smooth = gaussian_filter1d(data.filled, 1.5)
    background = float(np.quantile(smooth, 0.15))
    centres = np.sort(np.asarray(centres_eV, float))
    gaps = np.diff(centres)
    excess = np.clip(smooth - background, 0.0, None)
    area = float(excess.sum())
    width = float(data.width.mean())
    # the width that makes the light above background as much as lines of these heights
    heights = np.interp(centres, data.energy, excess)
    fwhm = area * width / max(1.06 * float(heights.sum()), 1e-12)
    fwhm = float(np.clip(fwhm, 2.0 * width, 0.7 * gaps.min() if gaps.size else data.edges[-1] - data.edges[0]))
    areas = np.maximum(heights, 1e-6) * 1.06 * fwhm / width
    return [(float(c), float(a), fwhm) for c, a in zip(centres, areas, strict=True)], background


def _maxima(data: PixelData) -> Iterator[tuple[list[Line], float]]:
    """Lines by falling prominence, for several smoothings."""
    from scipy.signal import find_peaks, peak_widths  # half a second: not for everybody who imports the package

    filled, variance = data.filled, data.rough_variance
    for sigma in _SMOOTHINGS_PX:
        if 6.0 * sigma > filled.size:
            break
        smooth = gaussian_filter1d(filled, sigma)
        noise = np.sqrt(gaussian_filter1d(variance, sigma) / (2.0 * np.sqrt(np.pi) * sigma))
        background = float(np.quantile(smooth, 0.15))
        tops, found = find_peaks(smooth, prominence=_PROMINENCE * float(noise.min()))
        strong = found["prominences"] > _PROMINENCE * noise[tops]
        tops, prominences = tops[strong], found["prominences"][strong]
        if not tops.size:
            continue
        pixels = peak_widths(smooth, tops, rel_height=0.5)[0]
        pixels = np.sqrt(np.maximum(pixels**2 - (sigma * FWHM_PER_SIGMA) ** 2, 1.5**2))
        order = np.argsort(-prominences)
        yield [
            _line(data, int(tops[k]), float(max(smooth[tops[k]] - background, prominences[k])), float(pixels[k]))
            for k in order
        ], background


def _line(data: PixelData, top: int, height: float, fwhm_px: float) -> Line:
    return float(data.energy[top]), max(1.06 * height * fwhm_px, 1e-6), fwhm_px * float(data.width[top])


def _brightest(data: PixelData) -> tuple[Line, float]:
    """The highest point of the smoothed spectrum as a line, where nothing stands out of the noise."""
    smooth = gaussian_filter1d(data.filled, max(1.0, data.counts.size / 100))
    background = float(np.quantile(smooth, 0.15))
    top = int(np.argmax(smooth))
    above = smooth > 0.5 * (smooth[top] + background)
    left, right = top, top
    while left > 0 and above[left - 1]:
        left -= 1
    while right < above.size - 1 and above[right + 1]:
        right += 1
    return _line(data, top, float(smooth[top] - background), float(max(right - left, 2))), background


def _with_one_more(data: PixelData, model: PeakModel, previous: Solution) -> Iterator[Floats]:
    """A fit with one line less, and a line where it leaves most light over; or its widest line split in two."""
    theta, before = previous.theta, previous.model
    lines: list[Line] = []
    for k in range(before.peaks):
        centre, area, gauss, other = before.line(theta, k)
        lines.append((centre, area, float(np.hypot(gauss, other))))
    background = float(theta[before.background.start])
    residual = np.where(data.keep, data.counts - previous.expected, 0.0)
    variance = data.rough_variance
    best, extra = 0.0, None
    for sigma in _SMOOTHINGS_PX:
        smooth = gaussian_filter1d(residual, sigma)
        significance = smooth / np.sqrt(gaussian_filter1d(variance, sigma) / (2.0 * np.sqrt(np.pi) * sigma))
        top = int(np.argmax(significance))
        if significance[top] > best:
            best = float(significance[top])
            extra = _line(data, top, np.sqrt(2.0) * float(smooth[top]), sigma * FWHM_PER_SIGMA)
    if extra is not None:
        yield to_vector(data, model, sorted([*lines, extra]), background)
    centre, area, fwhm = max(lines, key=lambda line: line[1])
    rest = [line for line in lines if line != (centre, area, fwhm)]
    for share in (0.5, 0.8, 0.2):
        low = (centre - 0.35 * fwhm, share * area, 0.7 * fwhm)
        high = (centre + 0.35 * fwhm, (1.0 - share) * area, 0.7 * fwhm)
        yield to_vector(data, model, sorted([*rest, low, high]), background)


def _alike(some: Sequence[Line], others: Sequence[Line]) -> bool:
    return len(some) == len(others) and all(
        abs(a[0] - b[0]) < 0.2 * min(a[2], b[2]) and 0.7 < a[2] / b[2] < 1.4 for a, b in zip(some, others, strict=True)
    )
