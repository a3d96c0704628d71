"""Bin-integrated decays (x) instrument response, with derivatives in closed form.

A model is called with lifetimes and a shift (ns) and returns, for each lifetime, the probability per bin of a
photon of that component and its derivatives. The sum over a whole laser period is 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.special import erfc, erfcx, ndtr

from . import _decay_numpy
from ._checks import AnalysisError, Floats, finite_array
from ._photon_stream import Engine
from .units import FWHM_PER_SIGMA


class DecayModel(Protocol):
    """Shape of one exponential seen through the instrument."""

    n_bins: int
    irf_fwhm_ns: float

    def __call__(self, tau_ns: float, shift_ns: float) -> tuple[Floats, Floats, Floats]:
        """Return (probability, d/d tau, d/d shift) per bin, each of shape (n_bins,)."""
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

    def shift_for_rise(self, rise_ns: float) -> float:
        """The centre of a Gaussian is half a width after its half height."""
        return rise_ns + 0.5 * self.irf_fwhm_ns

    def __call__(self, tau_ns: float, shift_ns: float) -> tuple[Floats, Floats, Floats]:
        """Sum the pulse, those neighbours that touch the window, and all older pulses as a geometric series."""
        if self.period_ns is None:
            cdf, d_tau, density = self._cumulative(self._edges - shift_ns, tau_ns)
        else:
            T = self.period_ns
            shift = shift_ns % T
            # A Gaussian is nothing 10 widths away: a pulse that far off is not there yet, or a pure exponential.
            reach = 10.0 * self.irf_fwhm_ns
            oldest = -1 if self._edges[0] - shift + T < reach else 0
            newest = 1 if self._edges[-1] - shift - T > -reach else 0
            cdf, d_tau, density = self._old_pulses(self._edges - shift - (oldest - 1) * T, tau_ns, T)
            for n in range(oldest, newest + 1):
                parts = self._cumulative(self._edges - shift - n * T, tau_ns)
                cdf, d_tau, density = cdf + parts[0], d_tau + parts[1], density + parts[2]
        return np.diff(cdf), np.diff(d_tau), -np.diff(density)

    def _cumulative(self, t: Floats, tau: float) -> tuple[Floats, Floats, Floats]:
        """Cumulative distribution of one pulse, its derivative by tau, and the density."""
        sigma = self.irf_fwhm_ns / FWHM_PER_SIGMA
        density = exp_conv_gauss(t, tau, sigma)
        cdf = ndtr(t / sigma) - tau * density
        gauss = np.exp(-0.5 * (t / sigma) ** 2) / (sigma * np.sqrt(2.0 * np.pi))
        d_density = density * (t / tau**2 - 1.0 / tau - sigma**2 / tau**3) + sigma**2 / tau**3 * gauss
        return cdf, -density - tau * d_density, density

    def _old_pulses(self, t: Floats, tau: float, T: float) -> tuple[Floats, Floats, Floats]:
        """A pulse at 0 and all before it: pure exponentials at `t`, summed in closed form."""
        sigma = self.irf_fwhm_ns / FWHM_PER_SIGMA
        wrap = np.exp(-T / tau)
        tail = np.exp(0.5 * (sigma / tau) ** 2 - t / tau) / (1.0 - wrap)
        d_ln = t / tau**2 - sigma**2 / tau**3 + wrap / (1.0 - wrap) * T / tau**2
        return -tail, -tail * d_ln, tail / tau


class SampledModel:
    """Exponential (x) measured response, by recursion from bin to bin, in the periodic steady state.

    The shift moves the response by Fourier interpolation, circularly over one period (rounded to whole bins; what
    earlier pulses have left is exact for any period), or without wrap when there is no period. At shift 0 the light
    arrives as the response was recorded.

    Attributes:
        n_bins: Bins of the histogram.
        period_ns: Laser period, or None.
        irf_fwhm_ns: Full width at half maximum of the response, in whole bins.
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
        self._size = whole if self._period_bins is not None else int(next_fast_len(2 * n_bins, real=True) or 2 * n_bins)
        self.grid_bins = self.lead + n_bins if self._period_bins is None else self._size
        placed = np.zeros(self._size)
        placed[self.lead : self.lead + n_bins] = irf / irf.sum()
        self._irf_ft = np.asarray(rfft(placed))
        self._i_omega = 2j * np.pi * np.arange(self._irf_ft.size) / self._size
        self._moved: tuple[float, Floats, Floats] = (np.nan, placed, placed)
        self._decay_of_pulse = _kernel(engine)
        self.irf_fwhm_ns = _fwhm_bins(irf) * binwidth_ns
        self._rise_ns = _rise_bin(irf) * binwidth_ns

    def shift_for_rise(self, rise_ns: float) -> float:
        """Distance of the wanted rise from the rise of the response as recorded."""
        return rise_ns - self._rise_ns

    def moved(self, shift_ns: float) -> tuple[Floats, Floats]:
        """The response moved by `shift_ns` and its derivative by the shift (1/ns), over the whole period."""
        if shift_ns != self._moved[0]:
            # A response at bin j and an exponential at bin k, both known to a bin, meet half a bin later than j + k.
            turned = self._irf_ft * np.exp(self._i_omega * (-shift_ns / self._dt - 0.5))
            both = np.asarray(irfft(np.stack([turned, self._i_omega * turned]), self._size, axis=1))
            both[1] /= -self._dt
            self._moved = (shift_ns, both[0], both[1])
        return self._moved[1:]

    def __call__(self, tau_ns: float, shift_ns: float) -> tuple[Floats, Floats, Floats]:
        """Filter the moved response; earlier pulses set the state in which the filter begins."""
        response, slope = self.moved(shift_ns)
        r = float(np.exp(-self._dt / tau_ns))
        out = np.empty((3, self.n_bins))
        self._decay_of_pulse(response, slope, self.lead, r, *self._earlier_pulses(r), out)
        out[1] *= r * self._dt / tau_ns**2  # d r / d tau
        return out[0], out[1], out[2]

    def _earlier_pulses(self, r: float) -> tuple[float, float]:
        """Gain r^(P - N)/(1 - r^P) of a period of P bins on a grid of N, and its derivative by r."""
        P = self._period_bins
        if P is None or r**P < 1e-18:
            return 0.0, 0.0
        gain = r ** (P - self._size) / (1.0 - r**P)
        return gain, gain * ((P - self._size) / r + P * r ** (P - 1.0) / (1.0 - r**P))


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


@lru_cache(maxsize=3)
def _kernel(engine: Engine) -> Callable[..., None]:
    """The recursion, compiled where numba can be imported."""
    if engine == "numpy":
        return _decay_numpy.decay_of_pulse
    try:
        from . import _decay_numba
    except ImportError:
        if engine == "numba":
            raise AnalysisError("engine 'numba' cannot be imported; install numba, or use engine 'numpy'.") from None
        return _decay_numpy.decay_of_pulse
    return _decay_numba.decay_of_pulse


def gaussian_response(n_bins: int, binwidth_ns: float, fwhm_ns: float) -> tuple[Floats, float]:
    """A Gaussian integrated over bins, and the time of its centre, early in the histogram."""
    edges = np.arange(n_bins + 1) * binwidth_ns
    centre_ns = min(4.0 * fwhm_ns, 0.25 * n_bins * binwidth_ns)
    return np.diff(ndtr((edges - centre_ns) * FWHM_PER_SIGMA / fwhm_ns)), centre_ns


def _fwhm_bins(irf: Floats) -> float:
    return float(max(1, np.count_nonzero(irf >= 0.5 * irf.max())))


def _rise_bin(counts: Floats) -> float:
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
