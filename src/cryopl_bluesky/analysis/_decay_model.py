"""Bin-integrated decays (x) instrument response, with derivatives in closed form.

A model is called with lifetimes and a shift (ns) and returns, for each lifetime, the probability per bin of a
photon of that component and its derivatives. The sum over a whole laser period is 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc, erfcx, ndtr

from ._checks import Floats
from .units import FWHM_PER_SIGMA


class DecayModel(Protocol):
    """Shape of one exponential seen through the instrument."""

    n_bins: int
    irf_fwhm_ns: float

    def __call__(self, tau_ns: float, shift_ns: float) -> tuple[Floats, Floats, Floats]:
        """Return (probability, d/d tau, d/d shift) per bin, each of shape (n_bins,)."""
        ...

    def joined(self, lifetimes_ns: Floats, shift_ns: float, edges: NDArray[np.int64]) -> Floats:
        """Return the probability of each lifetime per group of bins, (lifetimes, groups)."""
        ...

    def shift_for_rise(self, rise_ns: float) -> float:
        """Return the shift at which the instrument response rises through half height at `rise_ns`."""
        ...


def exp_conv_gauss(t_ns: Floats, tau_ns: float, sigma_ns: float) -> Floats:
    """Area-1 exponential convolved with an area-1 Gaussian of standard deviation `sigma_ns`, in 1/ns.

    (1/2 tau) exp(s^2/2 tau^2 - t/tau) erfc((s/tau - t/s)/sqrt2), written so that nothing overflows.
    """
    t = np.asarray(t_ns, dtype=np.float64)
    z = (sigma_ns / tau_ns - t / sigma_ns) / np.sqrt(2.0)
    out = np.empty_like(t)
    late = z < -6.0  # erfc is 2 there to double precision
    rise = z > 0.0
    middle = ~late & ~rise
    decay = 0.5 * (sigma_ns / tau_ns) ** 2 - t / tau_ns
    out[late] = np.exp(decay[late]) / tau_ns
    out[middle] = np.exp(decay[middle]) * erfc(z[middle]) / (2.0 * tau_ns)
    # exp(s^2/2tau^2 - t/tau) erfc(z) = exp(-t^2/2s^2) erfcx(z)
    out[rise] = np.exp(-0.5 * (t[rise] / sigma_ns) ** 2) * erfcx(z[rise]) / (2.0 * tau_ns)
    return out


@dataclass
class GaussianModel:
    """Exponential (x) Gaussian response, analytic, in the periodic steady state.

    Exact for any ratio of period and bin width. The shift is the time of the Gaussian's centre.

    Attributes:
        n_bins: Bins of the histogram; bin k covers [k, k + 1) times `binwidth_ns`.
        binwidth_ns: Bin width.
        period_ns: Laser period, or None for a single pulse.
        irf_fwhm_ns: Full width at half maximum of the response.
    """

    n_bins: int
    binwidth_ns: float
    period_ns: float | None
    irf_fwhm_ns: float
    _edges: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._edges = np.asarray(np.arange(self.n_bins + 1) * self.binwidth_ns, dtype=np.float64)

    def joined(self, lifetimes_ns: Floats, shift_ns: float, edges: NDArray[np.int64]) -> Floats:
        """Shapes of many lifetimes summed over groups of bins."""
        return _joined(self, lifetimes_ns, shift_ns, edges)

    def shift_for_rise(self, rise_ns: float) -> float:
        """The centre of a Gaussian is half a width after its half height."""
        return rise_ns + 0.5 * self.irf_fwhm_ns

    def __call__(self, tau_ns: float, shift_ns: float) -> tuple[Floats, Floats, Floats]:
        """Sum the pulses near each bin edge, and all older ones as a geometric series of pure exponentials."""
        # A Gaussian is nothing 10 widths away: a pulse that far off is not there yet, or a pure exponential.
        reach = 10.0 * self.irf_fwhm_ns
        if self.period_ns is None:
            shift, period, pulses = shift_ns, 0.0, range(1)
        else:
            shift, period = shift_ns % self.period_ns, self.period_ns
            first = int((self._edges[0] - shift - reach) // period)
            pulses = range(first, int((self._edges[-1] - shift + reach) // period) + 1)
        centres = [shift + n * period for n in pulses]
        near = [slice(*np.searchsorted(self._edges, (centre - reach, centre + reach))) for centre in centres]
        over = np.full(self._edges.size, pulses[0] - 1.0)  # the last pulse that is long over at each edge
        for n, part in zip(pulses, near, strict=True):
            over[part.stop :] = n
        cdf, d_tau, density = self._old_pulses(self._edges - shift - over * period, tau_ns)
        cdf += over
        if self.period_ns is None:
            for early in (cdf, d_tau, density):
                early[over < 0.0] = 0.0
            cdf[over == 0.0] += 1.0
        for centre, part in zip(centres, near, strict=True):
            values = self._cumulative(self._edges[part] - centre, tau_ns)
            cdf[part] += values[0]
            d_tau[part] += values[1]
            density[part] += values[2]
        return np.diff(cdf), np.diff(d_tau), -np.diff(density)

    def _cumulative(self, t: Floats, tau: float) -> tuple[Floats, Floats, Floats]:
        """Cumulative distribution of one pulse, its derivative by tau, and the density."""
        sigma = self.irf_fwhm_ns / FWHM_PER_SIGMA
        density = exp_conv_gauss(t, tau, sigma)
        cdf = ndtr(t / sigma) - tau * density
        gauss = np.exp(-0.5 * (t / sigma) ** 2) / (sigma * np.sqrt(2.0 * np.pi))
        d_density = density * (t / tau**2 - 1.0 / tau - sigma**2 / tau**3) + sigma**2 / tau**3 * gauss
        return cdf, -density - tau * d_density, density

    def _old_pulses(self, t: Floats, tau: float) -> tuple[Floats, Floats, Floats]:
        """A pulse at 0 and all before it: pure exponentials at `t`, summed in closed form."""
        sigma, T = self.irf_fwhm_ns / FWHM_PER_SIGMA, self.period_ns or 0.0
        wrap = np.exp(-T / tau) if T > 0.0 else 0.0
        exponent = 0.5 * (sigma / tau) ** 2 - t / tau
        # A lifetime far below the response: ten widths later nothing is left, and this form does not hold.
        exponent[exponent > 0.0] = -np.inf
        tail = np.exp(exponent) / (1.0 - wrap)
        d_ln = t / tau**2 - sigma**2 / tau**3 + wrap / (1.0 - wrap) * T / tau**2
        return -tail, -tail * d_ln, tail / tau


@dataclass
class TailModel:
    """Pure exponential from bin `start` on, when the response is over; there is no shift.

    Earlier pulses only add to the same exponential, up to the next pulse.

    Attributes:
        n_bins: Bins of the histogram.
        binwidth_ns: Bin width.
        start: First bin of the tail.
    """

    n_bins: int
    binwidth_ns: float
    start: int
    irf_fwhm_ns: float = 0.0

    def joined(self, lifetimes_ns: Floats, shift_ns: float, edges: NDArray[np.int64]) -> Floats:
        """Shapes of many lifetimes summed over groups of bins."""
        return _joined(self, lifetimes_ns, shift_ns, edges)

    def shift_for_rise(self, rise_ns: float) -> float:
        """A tail has no rise."""
        return 0.0

    def __call__(self, tau_ns: float, shift_ns: float) -> tuple[Floats, Floats, Floats]:
        """Photons per bin of one photon after the start."""
        edges = np.arange(self.n_bins - self.start + 1) * self.binwidth_ns
        left = np.exp(-edges / tau_ns)
        out = np.zeros((3, self.n_bins))
        out[0, self.start :] = -np.diff(left)
        out[1, self.start :] = -np.diff(left * edges) / tau_ns**2
        return out[0], out[1], out[2]


def _joined(model: DecayModel, lifetimes_ns: Floats, shift_ns: float, edges: NDArray[np.int64]) -> Floats:
    window = slice(int(edges[0]), int(edges[-1]))
    shapes = [model(float(tau), shift_ns)[0][window] for tau in lifetimes_ns]
    return np.add.reduceat(np.stack(shapes), edges[:-1] - edges[0], axis=1)


def rise_bin(counts: Floats) -> float:
    """Position (in bins, fractional) where counts rise through half of the maximum, looking back from it."""
    top = int(np.argmax(counts))
    rolled = np.roll(counts, counts.size // 2 - top)
    half = 0.5 * counts[top]
    centre = counts.size // 2
    below = np.flatnonzero(rolled[:centre] < half)
    if below.size == 0:
        return float(top)
    k = int(below[-1])
    step = rolled[k + 1] - rolled[k]
    inside = (half - rolled[k]) / step if step > 0 else 0.5
    # bin centres sit at k + 1/2
    return float(k + 0.5 + inside - (centre - top))
