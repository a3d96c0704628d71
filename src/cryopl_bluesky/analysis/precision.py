"""How well a number is known from what was counted so far: what "measure until 2 %" goes by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from .g2 import pulsed_g2
from .mean_lifetime import fit_mean_lifetime


def g2_precision(histogram: ArrayLike, binwidth_ps: float, period_ns: float) -> float:
    """Standard error of g2(0), for deciding when to stop.

    One pair is added to the central peak: who stops when the error is small would stop too early whenever that peak
    happens to be low, most of all while it is empty.

    Args:
        histogram: pair counts, (n,); bin i is the delay (i - n//2) * binwidth.
        binwidth_ps: width of its bins.
        period_ns: laser period.

    Raises:
        AnalysisError: too few pairs to tell.
    """
    result = pulsed_g2(histogram, binwidth_ps, period_ns)
    central = result.n_central + 1
    value = central / result.side_mean
    return float(value * np.sqrt(1.0 / central + 1.0 / result.n_side))


def mean_lifetime_precision(
    decays: Sequence[ArrayLike], binwidth_ps: float, period_ns: float, irf_fwhm_ps: float
) -> float:
    """Relative standard error of the mean lifetime (intensity average), from the decays of all SPADs together.

    Each decay is fitted on its own, because the delays of the SPADs differ.

    Args:
        decays: raw counts since the laser pulse, (n,) for each SPAD.
        binwidth_ps: width of their bins.
        period_ns: laser period.
        irf_fwhm_ps: width of the instrument response.

    Raises:
        AnalysisError: too few photons to tell.
    """
    fits = [fit_mean_lifetime(counts, binwidth_ps, period_ns, irf_fwhm_ps=irf_fwhm_ps) for counts in decays]
    weights = [(fit.tau_int_ns / fit.tau_int_err_ns) ** 2 for fit in fits]
    return float(1.0 / np.sqrt(sum(weights)))
