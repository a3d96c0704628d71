"""An exponential behind a measured response, by a recursive filter that is compiled where numba can be imported."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from ._checks import AnalysisError, Floats, finite_array
from ._decay_model import rise_bin
from ._engine import Engine, kernels_of
from .units import FWHM_PER_SIGMA

_FORGOTTEN = 42.0
"""After that many lifetimes an exponential is below the rounding of what it was."""


_CORRECTED_BINS = 3
"""A response of fewer bins is not known well enough for its width to be corrected."""


class SampledModel:
    """Exponential (x) measured response, by recursion from bin to bin, in the periodic steady state.

    The shift moves the response by cubic interpolation (local: the noise of the response does not ring through the
    dark before the pulse), circularly over one period (rounded to whole bins; what
    earlier pulses have left is exact for any period), or without wrap when there is no period. At shift 0 the light
    arrives as the response was recorded.

    Attributes:
        n_bins: Bins of the histogram.
        period_ns: Laser period, or None.
        irf_fwhm_ns: Full width at half maximum of the response, in whole bins.
        photons: Counts of the response as given.
        lead: Bins kept before the histogram.
        grid_bins: Bins from the first of those to the end of the histogram or of the period.
    """

    def __init__(
        self, irf: Floats, n_bins: int, binwidth_ns: float, period_ns: float | None, engine: Engine = "auto"
    ) -> None:
        irf = finite_array("irf", irf, 1)
        if irf.size != n_bins:
            raise AnalysisError(
                f"irf has {irf.size} bins but the decay has {n_bins}; "
                "record both with the same bin width and range."
            )
        if irf.sum() <= 0:
            raise AnalysisError("irf has no counts; record it again or give irf_fwhm_ps.")
        self.n_bins, self._dt, self.period_ns = n_bins, binwidth_ns, period_ns
        self._period_bins = None if period_ns is None else period_ns / binwidth_ns
        # Without period, room for half the range on both sides keeps a shifted response from coming back.
        self.lead = n_bins // 2 if period_ns is None else 0
        whole = n_bins if self._period_bins is None else max(n_bins, round(self._period_bins))
        self._size = 2 * n_bins if self._period_bins is None else whole
        self.grid_bins = self.lead + n_bins if self._period_bins is None else self._size
        placed = np.zeros(self._size)
        placed[self.lead : self.lead + n_bins] = irf / irf.sum()
        self.irf_fwhm_ns = _fwhm_bins(irf) * binwidth_ns
        if self.irf_fwhm_ns >= _CORRECTED_BINS * binwidth_ns:
            placed = _one_bin_wider(placed)
        self._response = placed
        self._moved: tuple[float, Floats, Floats] = (np.nan, placed, placed)
        self._kernels = kernels_of("decay", engine)
        self.photons = float(irf.sum())
        self._rise_ns = rise_bin(irf) * binwidth_ns

    def shift_for_rise(self, rise_ns: float) -> float:
        """Distance of the wanted rise from the rise of the response as recorded."""
        return rise_ns - self._rise_ns

    def moved(self, shift_ns: float) -> tuple[Floats, Floats]:
        """The response moved by `shift_ns` and its derivative by the shift (1/ns), over the whole grid."""
        if shift_ns != self._moved[0]:
            # A response at bin j and an exponential at bin k, both known to a bin, meet half a bin later than j + k.
            bins = shift_ns / self._dt + 0.5
            whole = int(np.floor(bins))
            weights, slopes = _cubic(bins - whole)
            near = np.roll(self._response, whole - 1)
            near = np.concatenate([near[-3:], near])
            value, slope = np.convolve(near, weights, "valid"), np.convolve(near, slopes / self._dt, "valid")
            # Between two bins that are not negative no light is negative either.
            below = (value < 0.0) & (near[1:-2] >= 0.0) & (near[2:-1] >= 0.0)
            value[below], slope[below] = 0.0, 0.0
            self._moved = (shift_ns, value, slope)
        return self._moved[1:]

    def __call__(self, tau_ns: float, shift_ns: float) -> tuple[Floats, Floats, Floats]:
        """Filter the moved response; earlier pulses set the state in which the filter begins."""
        response, slope = self.moved(shift_ns)
        r = float(np.exp(-self._dt / tau_ns))
        out = np.empty((3, self.n_bins))
        remembered = min(self._size, 2 + int(_FORGOTTEN * tau_ns / self._dt))
        self._kernels.decay_of_pulse(response, slope, self.lead, remembered, r, *self._earlier_pulses(r), out)
        out[1] *= r * self._dt / tau_ns**2  # d r / d tau
        return out[0], out[1], out[2]

    def joined(self, lifetimes_ns: Floats, shift_ns: float, edges: NDArray[np.int64]) -> Floats:
        """Shapes of many lifetimes summed over groups of bins, in one pass."""
        r = np.exp(-self._dt / lifetimes_ns)
        gain = np.array([self._earlier_pulses(float(one))[0] for one in r])
        out = np.zeros((edges.size - 1, r.size))
        self._kernels.joined_decays(self.moved(shift_ns)[0], self.lead, r, gain, edges, out)
        return out.T

    def _earlier_pulses(self, r: float) -> tuple[float, float]:
        """Gain r^(P - N)/(1 - r^P) of a period of P bins on a grid of N, and its derivative by r."""
        P = self._period_bins
        if P is None:
            return 0.0, 0.0
        gain = r ** (P - self._size) / (1.0 - r**P)
        return gain, gain * ((P - self._size) / r + P * r ** (P - 1.0) / (1.0 - r**P))


def gaussian_response(n_bins: int, binwidth_ns: float, fwhm_ns: float) -> tuple[Floats, float]:
    """A Gaussian integrated over bins, and the time of its centre, early in the histogram."""
    edges = np.arange(n_bins + 1) * binwidth_ns
    centre_ns = min(4.0 * fwhm_ns, 0.25 * n_bins * binwidth_ns)
    return np.diff(ndtr((edges - centre_ns) * FWHM_PER_SIGMA / fwhm_ns)), centre_ns


def _cubic(t: float) -> tuple[Floats, Floats]:
    """Weights of four neighbours for a delay of t bins (0 to 1), and their derivatives (Keys 1981, a = -1/2).

    It keeps area, position and width of what it moves.
    """
    weights = [((-0.5 * t + 1.0) * t - 0.5) * t, (1.5 * t - 2.5) * t * t + 1.0,
               ((-1.5 * t + 2.0) * t + 0.5) * t, (0.5 * t - 0.5) * t * t]  # fmt: skip
    slopes = [(-1.5 * t + 2.0) * t - 0.5, (4.5 * t - 5.0) * t, (-4.5 * t + 4.0) * t + 0.5, (1.5 * t - 1.0) * t]
    return np.array(weights), np.array(slopes)


def _one_bin_wider(response: Floats) -> Floats:
    """Widen a response by the variance of one bin, dt^2/12.

    An exponential summed over bins, exp(-k dt/tau), has a variance of tau^2 - dt^2/12, which undoes that of the bins in
    which the response was recorded; but the decay was recorded in bins too. At a response of four bins and 1e5 photons
    the shift would be wrong by half of its error without this.
    """
    return response + (np.roll(response, 1) - 2.0 * response + np.roll(response, -1)) / 24.0


def _fwhm_bins(irf: Floats) -> float:
    return float(max(1, np.count_nonzero(irf >= 0.5 * irf.max())))
