"""The mean lifetime of a measured decay, with the choices that a whole night needs made once and here."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ._checks import count_array
from ._decay_fit import DecayFit
from ._decay_irf import Response
from .lifetimes import fit_decay

MAX_FIT_BINS = 4096
FIT_WINDOW_NS = 70.0
"""Decays are fitted up to this long after their maximum: a SPAD is blind for about 77 ns after a click and then
after-pulses for 200 ns, which no sum of exponentials describes."""


def fit_mean_lifetime(
    counts: ArrayLike, binwidth_ps: float, period_ns: float, *, irf_fwhm_ps: float, irf: Response | None = None
) -> DecayFit:
    """Reconvolution fit of a decay with one or two components (by BIC).

    More than `MAX_FIT_BINS` bins are joined first, as far as they stay below a fifth of the response; the
    model is integrated over the bins, so this costs no accuracy.

    Args:
        counts: raw counts since the laser pulse, (n,).
        binwidth_ps: width of their bins.
        period_ns: laser period.
        irf_fwhm_ps: width of the Gaussian instrument response, used without `irf`.
        irf: measured response with the same bins, background removed, (n,), or an object with its bin width.

    Raises:
        AnalysisError: as `fit_decay`.
    """
    n = count_array("counts", counts)
    if irf is not None:
        window = fit_window_bins(n, binwidth_ps)
        return fit_decay(n, binwidth_ps, period_ns, irf=irf, components="bic", fit_bins=window)
    join = max(1, min(-(-n.size // MAX_FIT_BINS), int(irf_fwhm_ps / 5.0 / binwidth_ps)))
    joined = n[: n.size // join * join].reshape(-1, join).sum(axis=1)
    # The model needs no bins beyond those that are fitted; leaving them out saves most of the time.
    _, stop = fit_window_bins(joined, binwidth_ps * join)
    return fit_decay(joined[:stop], binwidth_ps * join, period_ns, irf_fwhm_ps=irf_fwhm_ps, components="bic")


def fit_window_bins(counts: ArrayLike, binwidth_ps: float) -> tuple[int, int]:
    """First bin and one past the last bin to fit: up to `FIT_WINDOW_NS` after the maximum.

    Args:
        counts: raw counts since the laser pulse, (n,).
        binwidth_ps: width of their bins.
    """
    counts = np.asarray(counts)
    stop = int(np.argmax(counts)) + int(FIT_WINDOW_NS * 1e3 / binwidth_ps)
    return 0, min(stop, counts.size)
