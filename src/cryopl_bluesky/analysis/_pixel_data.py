"""The pixels of a spectrum as line fits need them: energies ascending, counts, and the noise that is not shot noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d, median_filter

from ._checks import AnalysisError, Floats, count_array, finite_array, same_shape
from .air import Medium, vacuum_axis_nm
from .units import HC_EV_NM

_SMOOTH_PX = 51
"""Pixels over which the noise of dark pixels is taken as equal: read noise is, lines are narrower or wider."""


def pixel_edges(wavelength_nm: ArrayLike) -> Floats:
    """Edges of the pixels, (W + 1,), from their centre wavelengths (half way between neighbours).

    Raises:
        AnalysisError: Fewer than 2 pixels, or an axis that does not rise or fall all the way.
    """
    axis = finite_array("wavelength_nm", wavelength_nm, 1)
    steps = np.diff(axis)
    if axis.size < 2 or not ((steps > 0).all() or (steps < 0).all()):
        raise AnalysisError(
            "wavelength_nm must rise (or fall) from pixel to pixel; read the axis with a grating in."
        )
    middle = 0.5 * (axis[1:] + axis[:-1])
    return np.concatenate([[axis[0] - 0.5 * steps[0]], middle, [axis[-1] + 0.5 * steps[-1]]])


@dataclass(frozen=True, eq=False)
class PixelData:
    """A spectrum to be fitted; all arrays with energies ascending.

    Attributes:
        axis_nm: Wavelengths as given, in the order given, (W,).
        edges: Edges of the pixels in eV, (W + 1,).
        counts: Counts per pixel, (W,).
        noise: Variance that is there without light, (W,), or None if the variance is unknown.
        keep: Pixels to be fitted, (W,).
        descending: Whether energies fall along `axis_nm`.
        medium: What the axis holds.
    """

    axis_nm: Floats
    edges: Floats
    counts: Floats
    noise: Floats | None
    keep: NDArray[np.bool_]
    descending: bool
    medium: Medium

    @classmethod
    def prepare(
        cls,
        wavelength_nm: ArrayLike,
        counts: ArrayLike,
        *,
        variance: ArrayLike | None = None,
        noise_variance: ArrayLike | None = None,
        exclude: NDArray[np.bool_] | None = None,
        medium: Medium = "air, not converted",
    ) -> PixelData:
        """Check a spectrum and put it in order.

        Raises:
            AnalysisError: NaN, wrong shapes, an axis that is not one, negative counts of a pure count spectrum, no
                pixel left.
        """
        axis = finite_array("wavelength_nm", wavelength_nm, 1)
        values = finite_array("counts", counts, 1)
        same_shape("wavelength_nm", axis, "counts", values)
        pixel_edges(axis)
        if axis.min() <= 0:
            raise AnalysisError(f"wavelength_nm must be above zero, but the smallest value is {axis.min():g}.")
        edges = HC_EV_NM / pixel_edges(vacuum_axis_nm(axis, medium))
        noise = _noise(values, variance, noise_variance)
        keep = np.ones(axis.size, bool)
        if exclude is not None:
            excluded = np.asarray(exclude)
            same_shape("counts", values, "exclude", excluded)
            keep = ~excluded.astype(bool)
        if not keep.any():
            raise AnalysisError(f"All {axis.size} pixels are excluded; choose a wider window or a shorter exposure.")
        descending = bool(edges[0] > edges[-1])
        if descending:
            edges, values, keep = edges[::-1], values[::-1], keep[::-1]
            noise = None if noise is None else noise[::-1]
        return cls(axis, edges, values, noise, keep, descending, medium)

    def as_given(self, values: Floats) -> Floats:
        """Values with energies ascending in the order of `axis_nm`."""
        return values[::-1] if self.descending else values

    @property
    def energy(self) -> Floats:
        """Centres of the pixels in eV, (W,)."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    @property
    def width(self) -> Floats:
        """Widths of the pixels in eV, (W,)."""
        return np.diff(self.edges)

    def likelihood_variance(self, expected: Floats) -> Floats:
        """Variance per pixel if `expected` counts are: their shot noise plus the noise without light; 1 if unknown.

        It never falls below a thousandth of its mean, for backgrounds fitted at zero.
        """
        if self.noise is None:
            return np.ones_like(expected)
        variance = np.maximum(expected, 0.0) + self.noise
        lowest = 1e-3 * float(np.mean(np.maximum(self.counts, 0.0) + self.noise))
        return np.maximum(variance, max(lowest, 1e-12))

    def variance_of(self, expected: Floats) -> Floats:
        """The same for the weights of a fit: never below half of what the smoothed counts say.

        A model without light where there is some must not give these pixels the weight of dark ones.
        """
        if self.noise is None:
            return np.ones_like(expected)
        return np.maximum(self.likelihood_variance(expected), 0.5 * self.rough_variance)

    @cached_property
    def rough_variance(self) -> Floats:
        """Variance per pixel from the smoothed counts (from their scatter, if unknown), for start values."""
        if self.noise is None:
            steps = np.diff(self.counts)
            spread = 1.4826 * float(np.median(np.abs(steps - np.median(steps)))) / np.sqrt(2.0)
            return np.full(self.counts.size, max(spread**2, 1e-300))
        return self.likelihood_variance(gaussian_filter1d(self.filled, 3.0))

    @cached_property
    def filled(self) -> Floats:
        """Counts with excluded pixels interpolated from their neighbours, for start values."""
        number = np.arange(self.counts.size)
        return np.interp(number, number[self.keep], self.counts[self.keep])


def _noise(values: Floats, variance: ArrayLike | None, noise_variance: ArrayLike | None) -> Floats | None:
    if variance is not None and noise_variance is not None:
        raise AnalysisError("Give variance (shot noise included) or noise_variance (without it), not both.")
    if noise_variance is not None:
        given = count_array("noise_variance", noise_variance, np.ndim(noise_variance))
        noise = np.full(values.size, float(given)) if given.ndim == 0 else given
        same_shape("counts", values, "noise_variance", noise)
        if not noise.any():
            count_array("counts", values)
        return noise
    if variance is None:
        return None
    spread = finite_array("variance", variance, 1)
    same_shape("counts", values, "variance", spread)
    if not (spread > 0).all():
        raise AnalysisError("variance is zero somewhere; add the read noise, or leave variance out.")
    # What is left without the shot noise. Where the variance was not made from these very counts, that would follow
    # the noise of the counts and bias the fit: it never falls below its running median.
    rest = spread - np.maximum(values, 0.0)
    return np.maximum(np.maximum(rest, median_filter(rest, min(_SMOOTH_PX, values.size), mode="nearest")), 0.0)
