"""Two exponentials by unweighted least squares, as many programs fit decays: to compare with their numbers.

Not for results: the many counts at the top decide alone, so the components and the average depend on the response
there, and there is no honest error. `lifetimes.fit_decay` uses the Poisson likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.fft import irfft, next_fast_len, rfft
from scipy.optimize import least_squares

from ._checks import AnalysisError, FitError, Floats, count_array, finite_array, positive, same_shape
from ._lifetime_formulas import tau_amp_ns, tau_int_ns


@dataclass(frozen=True)
class UnweightedFit:
    """Two exponentials by unweighted least squares.

    Attributes:
        lifetimes_ns: shortest first.
        amplitudes: their shares at t = 0.
        tau_int_ns: intensity average.
        tau_amp_ns: amplitude average.
    """

    lifetimes_ns: tuple[float, float]
    amplitudes: tuple[float, float]
    tau_int_ns: float
    tau_amp_ns: float


def fit_unweighted(
    counts: ArrayLike, binwidth_ps: float, irf: ArrayLike, *, fit_bins: tuple[int, int] | None = None
) -> UnweightedFit:
    """Fit two exponentials, convolved with a measured response of free shift, plus a constant.

    Args:
        counts: raw counts of a single pulse's decay, (n,).
        binwidth_ps: bin width.
        irf: measured response with the same bins, (n,).
        fit_bins: first bin and one past the last bin to fit; all bins by default.

    Raises:
        AnalysisError: bad counts or shapes.
        FitError: no convergence, or a component that is negative or vanished.
    """
    n, response = count_array("counts", counts), finite_array("irf", irf, 1)
    same_shape("counts", n, "irf", response)
    dt_ns = positive("binwidth_ps", binwidth_ps) / 1e3
    if response.sum() <= 0 or n.sum() <= 0:
        raise AnalysisError("irf and counts must hold counts.")
    first, stop = fit_bins or (0, n.size)
    window = slice(first, stop)
    size = int(next_fast_len(2 * n.size, real=True) or 2 * n.size)
    spectrum = np.asarray(rfft(response / response.sum(), size))
    i_omega = 2j * np.pi * np.arange(spectrum.size) / size
    bins = np.arange(n.size)

    def shapes(theta: Floats) -> Floats:
        moved = spectrum * np.exp(-i_omega * theta[2])
        decays = [np.asarray(irfft(moved * rfft(np.exp(-bins * dt_ns / np.exp(t)), size), size)) for t in theta[:2]]
        return np.stack([*(decay[: n.size][window] for decay in decays), np.ones(n[window].size)], axis=1)

    def residuals(theta: Floats) -> Floats:
        columns = shapes(theta)
        return columns @ np.linalg.lstsq(columns, n[window], rcond=None)[0] - n[window]

    mean_ns = float((n * bins).sum() / n.sum() - (response * bins).sum() / response.sum()) * dt_ns
    start = np.array([np.log(max(0.3 * mean_ns, dt_ns)), np.log(max(1.3 * mean_ns, 2.0 * dt_ns)), 0.0])
    found = least_squares(residuals, start, x_scale=(0.1, 0.1, 0.5), diff_step=1e-5)
    weights = np.linalg.lstsq(shapes(found.x), n[window], rcond=None)[0][:2]
    if not found.success or (weights <= 0).any():
        raise FitError("Unweighted least squares found no two exponentials; use the Poisson fit.")
    order = np.argsort(found.x[:2])
    tau, share = np.exp(found.x[:2][order]), (weights / weights.sum())[order]
    return UnweightedFit(
        (float(tau[0]), float(tau[1])), (float(share[0]), float(share[1])), tau_int_ns(share, tau),
        tau_amp_ns(share, tau),
    )  # fmt: skip
