"""Numbers of a decay that need no model: background before the pulse, 1/e time, spectra gated in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import uniform_filter1d

from ._checks import AnalysisError, FitError, Floats, count_array, finite_array, positive
from ._decay_model import rise_bin
from .units import HC_EV_NM

__all__ = ["GatedSpectra", "ModelFreeDecay", "gated_spectra", "model_free_decay"]

_PEAK_COUNTS = 150
"""Bins are averaged until the top holds that many counts, so that its height is known to 8 %."""

_BLOCK_COUNTS = 25
"""Around the crossing about that many counts are joined to one point: enough for a logarithm."""

_LEAD = 0.1


@dataclass(frozen=True)
class ModelFreeDecay:
    """What a decay shows without a model.

    Attributes:
        tau_1e_ns: Time from the top of the decay to where it has fallen to 1/e above the background; the response is
            part of it.
        tau_1e_err_ns: Its standard error from the counts at the top and at the crossing.
        background_per_bin: Mean counts per bin before the rise; the tail of the last pulse is in it.
        background_err_per_bin: Its standard error.
        averaged_ns: Time over which the counts were averaged to find top and crossing.
    """

    tau_1e_ns: float
    tau_1e_err_ns: float
    background_per_bin: float
    background_err_per_bin: float
    averaged_ns: float


def model_free_decay(counts: ArrayLike, binwidth_ps: float, irf_fwhm_ps: float) -> ModelFreeDecay:
    """1/e time and background of one decay, which may lie across the end of the histogram.

    The counts are averaged over the width of the response, or longer where they are few; the crossing is that of a
    straight line through the logarithm of the averages around it.

    Args:
        counts: Raw counts per bin over one period, or more, (n,).
        binwidth_ps: Bin width.
        irf_fwhm_ps: Width of the response.

    Raises:
        AnalysisError: Unusable input.
        FitError: The decay does not fall to 1/e of its top within a quarter of the histogram, or has too few counts.
    """
    n = count_array("counts", counts)
    fwhm = max(1, round(positive("irf_fwhm_ps", irf_fwhm_ps) / positive("binwidth_ps", binwidth_ps)))
    lead = int(_LEAD * n.size)
    rolled = np.roll(n, lead - int(rise_bin(uniform_filter1d(n, fwhm, mode="wrap"))))
    before = rolled[: max(1, lead - 3 * fwhm)]
    floor, floor_variance = float(before.mean()), float(before.sum()) / before.size**2
    signal = rolled - floor
    width = _averaged_bins(signal, fwhm)
    smooth, top, fall = _top_and_fall(signal, width)
    # The highest of many averages is high by chance: where the fall is long, one may be a fifth of it.
    width = max(width, fall // 5)
    smooth, top, fall = _top_and_fall(signal, width)
    level = float(smooth[top])
    if level <= 0.0 or fall < 1 or fall > n.size // 4:
        raise FitError(
            "The decay does not fall to 1/e of its top within a quarter of the histogram, so that it is not over when "
            "the next pulse comes; use a longer laser period, or fit it."
        )
    level_variance = (level + floor) / width
    after, slope, variance = _crossing(rolled, floor, top, fall, float(np.log(level) - 1.0))
    variance += level_variance / level**2 + floor_variance * ((np.e - 1.0) / level) ** 2
    as_high = np.count_nonzero(smooth[max(0, top - 2 * width) : top + 2 * width + 1] > level - np.sqrt(level_variance))
    variance = variance / slope**2 + as_high**2 / 12.0  # the top may lie anywhere among them
    binwidth_ns = binwidth_ps / 1e3
    return ModelFreeDecay(
        after * binwidth_ns,
        float(np.sqrt(variance)) * binwidth_ns,
        floor,
        float(np.sqrt(floor_variance)),
        width * binwidth_ns,
    )


def _averaged_bins(signal: Floats, width: int) -> int:
    """Bins that must be averaged, at least `width`, for the top to hold enough counts."""
    while width < signal.size // 16 and width * uniform_filter1d(signal, width, mode="nearest").max() < _PEAK_COUNTS:
        width += max(1, width // 2)
    return width


def _top_and_fall(signal: Floats, width: int) -> tuple[Floats, int, int]:
    """The averaged signal, its top, and for how many bins it stays above 1/e of it."""
    smooth = uniform_filter1d(signal, width, mode="nearest")
    top = int(np.argmax(smooth))
    # Noise lifts as many bins above the threshold after the crossing as it drops below it before.
    return smooth, top, int(np.count_nonzero(smooth[top:] >= smooth[top] / np.e))


def _crossing(rolled: Floats, floor: float, top: int, fall: int, ln_level: float) -> tuple[float, float, float]:
    """Bins from the top to the crossing, slope of the logarithm there (1/bin), variance of the logarithm there."""
    begin, end = top + min(int(0.7 * fall), fall - 1), min(top + max(int(np.ceil(1.35 * fall)), fall + 2), rolled.size)
    pieces = int(np.clip(rolled[begin:end].sum() / _BLOCK_COUNTS, 2, min(8, end - begin)))
    blocks = np.array_split(np.arange(begin, end), pieces)
    sums = np.array([rolled[block].sum() for block in blocks])
    sizes = np.array([block.size for block in blocks], dtype=np.float64)
    middle = np.array([block.mean() for block in blocks]) - top - fall
    heights = sums / sizes - floor
    usable = heights > 0.0
    if usable.sum() < 2:
        raise FitError("Too few counts where the decay has fallen to 1/e of its top; record longer.")
    weight = (heights**2 * sizes**2 / np.maximum(sums, 1.0))[usable]
    x, y = middle[usable], np.log(heights[usable])
    mean_x, mean_y = np.average(x, weights=weight), np.average(y, weights=weight)
    scatter = float(weight @ (x - mean_x) ** 2)
    slope = float(weight @ ((x - mean_x) * (y - mean_y))) / scatter
    at = float(mean_x + (ln_level - mean_y) / slope) if slope < 0.0 else np.inf
    if not begin <= at + top + fall <= end:
        raise FitError("Too few counts to see the decay fall through 1/e of its top; record longer.")
    return at + fall, -slope, float(1.0 / weight.sum() + (at - mean_x) ** 2 / scatter)


@dataclass(frozen=True, eq=False)
class GatedSpectra:
    """Spectra within gates of delay.

    Attributes:
        wavelength_nm: Wavelengths, (R,).
        gates_ns: Begin and end of the gates on whole bins, as used, (G, 2).
        counts: Raw counts, (G, R).
        counts_err: Their Poisson errors; below about 20 counts take `g2.garwood`, (G, R).
        net: Counts less background; equal to `counts` without background, (G, R).
        net_err: Standard errors, that of the background included, (G, R).
    """

    wavelength_nm: Floats
    gates_ns: Floats
    counts: Floats
    counts_err: Floats
    net: Floats
    net_err: Floats

    def per_eV(self, bandwidth_nm: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """Photon energies (eV, ascending, (R,)), net counts per eV and their errors, (G, R), with the Jacobian.

        Args:
            bandwidth_nm: Bandwidth of the monochromator, a number or one per wavelength.
        """
        width = finite_array("bandwidth_nm", bandwidth_nm)
        if (width <= 0.0).any():
            raise AnalysisError("bandwidth_nm must be above zero; it follows from slit and grating.")
        factor = self.wavelength_nm**2 / HC_EV_NM / width
        order = np.argsort(-self.wavelength_nm)
        return HC_EV_NM / self.wavelength_nm[order], (self.net * factor)[:, order], (self.net_err * factor)[:, order]


def gated_spectra(
    counts: ArrayLike,
    wavelength_nm: ArrayLike,
    binwidth_ps: float,
    gates_ns: ArrayLike,
    *,
    background_per_bin: ArrayLike = 0.0,
    background_err_per_bin: ArrayLike = 0.0,
) -> GatedSpectra:
    """Sum a map over windows of delay.

    Args:
        counts: Raw counts of the map, (R, n).
        wavelength_nm: Wavelengths, (R,).
        binwidth_ps: Bin width.
        gates_ns: Begin and end of each gate in histogram time, (G, 2); rounded to whole bins.
        background_per_bin: Background of each row to subtract, (R,) or a number.
        background_err_per_bin: Its standard error.

    Raises:
        AnalysisError: Bad counts, shapes that do not fit, or a gate that is empty or outside the histogram.
    """
    n = count_array("counts", counts, 2)
    axis = wavelength_axis(wavelength_nm, n.shape[0])
    dt_ns = positive("binwidth_ps", binwidth_ps) / 1e3
    gates = finite_array("gates_ns", gates_ns, 2)
    edges = np.rint(gates / dt_ns).astype(np.int64) if gates.shape[1] == 2 else np.zeros((0, 2), np.int64)
    if len(edges) == 0 or (edges[:, 0] >= edges[:, 1]).any() or edges.min() < 0 or edges.max() > n.shape[1]:
        raise AnalysisError(
            f"gates_ns must be pairs of begin and end, at least one bin of {dt_ns:g} ns long, within 0 and "
            f"{n.shape[1] * dt_ns:g} ns."
        )
    cumulative = np.concatenate([np.zeros((n.shape[0], 1)), np.cumsum(n, axis=1)], axis=1)
    sums = (cumulative[:, edges[:, 1]] - cumulative[:, edges[:, 0]]).T
    bins = (edges[:, 1] - edges[:, 0])[:, None]
    floor, error = (
        np.broadcast_to(finite_array(name, value), axis.shape)
        for name, value in (
            ("background_per_bin", background_per_bin),
            ("background_err_per_bin", background_err_per_bin),
        )
    )
    net, net_err = sums - bins * floor, np.sqrt(sums + (bins * error) ** 2)
    return GatedSpectra(axis, np.asarray(edges * dt_ns, np.float64), sums, np.sqrt(sums), net, net_err)


def wavelength_axis(wavelength_nm: ArrayLike, rows: int) -> Floats:
    """Wavelengths of a map's rows.

    Raises:
        AnalysisError: Not one per row, or not above zero.
    """
    axis = finite_array("wavelength_nm", wavelength_nm, 1)
    if axis.size != rows or (axis <= 0.0).any():
        raise AnalysisError(
            f"wavelength_nm has {axis.size} values for {rows} rows of the map; give one above 0 for each."
        )
    return axis
