"""Expected pairs per delay bin: overlapping peaks of pulsed light, dips of CW light, both with timing jitter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import ndtr

from ._checks import Floats
from ._decay_model import exp_conv_gauss

_REACH = 40.0  # exp(-40) of a peak is nothing


def laplace_share(low_ns: Floats, high_ns: Floats, tau_ns: float, sigma_ns: float) -> Floats:
    """Share of an area-1 peak exp(-|t|/tau)/(2 tau), smeared by a Gaussian, between two delays."""
    return _laplace_cdf(high_ns, tau_ns, sigma_ns) - _laplace_cdf(low_ns, tau_ns, sigma_ns)


def _laplace_cdf(t_ns: Floats, tau_ns: float, sigma_ns: float) -> Floats:
    both = exp_conv_gauss(t_ns, tau_ns, sigma_ns) - exp_conv_gauss(-t_ns, tau_ns, sigma_ns)
    return ndtr(t_ns / sigma_ns) - 0.5 * tau_ns * both


class PulsedPeaks:
    """Peaks exp(-|t - kT|/tau), smeared by jitter, each reaching into its neighbours' periods.

    A bin belongs to the peak k nearest to it. That peak is evaluated exactly; all others are so far away that jitter
    only raises their tails by exp(sigma^2/2 tau^2), so that all of them together are one exponential from the left
    and one from the right.
    """

    def __init__(
        self, delay_ns: Floats, binwidth_ns: float, period_ns: float, sigma_ns: float, offset_ns: float
    ) -> None:
        """Prepare for bins around `delay_ns` (n,), lifetimes up to 2 periods, offsets within one of `offset_ns`."""
        self._delay, self._half, self._period, self._sigma = delay_ns, 0.5 * binwidth_ns, period_ns, sigma_ns
        nearest = np.floor((delay_ns[[0, -1]] - offset_ns) / period_ns + 0.5).astype(np.int64)
        self._own = np.arange(nearest[0] - 1, nearest[1] + 2)
        reach = 2 * round(_REACH)
        self.k = np.arange(self._own[0] - reach, self._own[-1] + reach + 1)
        """Numbers of all peaks that matter, (m,)."""
        self._distance = self._own[:, None] - self.k[None, :]

    def spread(self, tau_ns: float, offset_ns: float) -> Callable[[Floats], Floats]:
        """Where the pairs go: a linear map from the areas of all peaks `k` (m,) to pairs per bin (n,)."""
        T = self._period
        moved = self._delay - offset_ns
        nearest = np.floor(moved / T + 0.5).astype(np.int64)
        u, index = moved - nearest * T, nearest - self._own[0]
        share = laplace_share(u - self._half, u + self._half, tau_ns, self._sigma)
        # distances count from the border of the bin's period: nothing overflows for short lifetimes
        decay = np.exp(-(np.abs(self._distance) - 0.5) * T / tau_ns)
        # exp(-u/tau)/(2 tau), integrated over a bin, with what jitter adds to a tail
        gain = np.exp(0.5 * (self._sigma / tau_ns) ** 2) * np.sinh(self._half / tau_ns)
        from_left, from_right = gain * np.exp(-(u + 0.5 * T) / tau_ns), gain * np.exp((u - 0.5 * T) / tau_ns)
        left, right = decay * (self._distance > 0), decay * (self._distance < 0)
        first = self._own[0] - self.k[0]

        def pairs(areas: Floats) -> Floats:
            own = areas[first : first + self._own.size]
            return own[index] * share + (left @ areas)[index] * from_left + (right @ areas)[index] * from_right

        return pairs


def smeared_exponential(delay_ns: Floats, binwidth_ns: float, tau_ns: float, sigma_ns: float) -> Floats:
    """Mean of exp(-|t|/tau), smeared by a Gaussian, over bins around `delay_ns`."""
    half = 0.5 * binwidth_ns
    return 2.0 * tau_ns / binwidth_ns * laplace_share(delay_ns - half, delay_ns + half, tau_ns, sigma_ns)
