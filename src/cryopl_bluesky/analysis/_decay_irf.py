"""The instrument response as decay fits take it: a bare array, or an object that knows its bin width."""

from __future__ import annotations

from typing import Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike

from ._checks import AnalysisError, Floats, finite_array


class MeasuredIrf(Protocol):
    """A measured response; what the IRF calibration stores is one."""

    @property
    def counts(self) -> ArrayLike:
        """Response per bin, background removed (see `prepare_irf`), (m,)."""
        ...

    @property
    def binwidth_ps(self) -> float:
        """Its bin width."""
        ...


Response: TypeAlias = ArrayLike | MeasuredIrf


def response_bins(irf: Response, n_bins: int, binwidth_ps: float) -> Floats:
    """The response on the bins of a decay.

    Args:
        irf: An array with the bins of the decay, or a `MeasuredIrf`, which may end earlier than the decay.
        n_bins: Bins of the decay.
        binwidth_ps: Their width.

    Raises:
        AnalysisError: Another bin width, or more or fewer bins than the decay.
    """
    if not hasattr(irf, "binwidth_ps"):
        return finite_array("irf", cast(ArrayLike, irf), 1)
    irf = cast(MeasuredIrf, irf)
    if not np.isclose(irf.binwidth_ps, binwidth_ps, rtol=1e-4, atol=0.0):
        raise AnalysisError(
            f"irf has bins of {irf.binwidth_ps:g} ps but the decay has bins of {binwidth_ps:g} ps; measure it again "
            "with the decay's bin width, or join the bins of the finer one."
        )
    counts = finite_array("irf", irf.counts, 1)
    if counts.size > n_bins:
        raise AnalysisError(
            f"irf has {counts.size} bins but the decay has {n_bins}; cut it to the range of the decay around its pulse."
        )
    return np.append(counts, np.zeros(n_bins - counts.size))
