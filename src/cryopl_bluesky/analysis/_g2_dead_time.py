"""Does the electronics lose pairs that are close in time? Near side peaks against far ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._g2_peaks import Counts

NEAR_PEAKS = 3
FAR_PEAKS = 10
SIGNIFICANCE = 3.0
COARSEST = 1.0 / (2.0 * SIGNIFICANCE)
"""Largest error of the ratio at which the loss of half the pairs would still be seen."""


@dataclass(frozen=True)
class DeadTimeCheck:
    """Whether pairs a few laser periods apart are missing, as one-board routers and shared electronics do it.

    Attributes:
        ok: True: the near side peaks equal the far ones within 3 sigma. False: they are lower. None: it cannot
            be judged.
        ratio: Mean area of 1 <= |k| <= 3 over that of |k| > 10, or None.
        sigma: Its Poisson error if nothing is missing, or None.
        note: The judgement in words, with what it does not cover.
    """

    ok: bool | None
    ratio: float | None
    sigma: float | None
    note: str


def check_dead_time(k: Counts, areas: Counts, period_ns: float) -> DeadTimeCheck:
    """Compare the side peaks next to the centre with those far away.

    Args:
        k: Peak numbers, (n,).
        areas: Pairs per peak, (n,).
        period_ns: Laser period.
    """
    near, far = areas[(k != 0) & (np.abs(k) <= NEAR_PEAKS)], areas[np.abs(k) > FAR_PEAKS]
    if near.size == 0 or far.size == 0:
        return DeadTimeCheck(
            None, None, None,
            f"dead time not judged: no side peaks beyond |k| = {FAR_PEAKS}; record more periods",
        )
    if far.sum() == 0:
        return DeadTimeCheck(None, None, None, "dead time not judged: the far side peaks are empty")
    expected = far.mean() * near.size
    ratio, sigma = float(near.sum() / expected), float(np.sqrt(1.0 / expected + 1.0 / far.sum()))
    numbers = f"side peaks |k| <= {NEAR_PEAKS} over |k| > {FAR_PEAKS}: {ratio:.3f} ± {sigma:.3f}"
    if sigma > COARSEST:
        return DeadTimeCheck(
            None, ratio, sigma, f"dead time not judged, too few pairs to see half of them missing; {numbers}"
        )
    if ratio < 1.0 - SIGNIFICANCE * sigma:
        return DeadTimeCheck(
            False, ratio, sigma,
            f"dead-time artefact: close pairs are missing, the dip at zero is not the sample's; {numbers}",
        )
    if ratio > 1.0 + SIGNIFICANCE * sigma:
        return DeadTimeCheck(
            None, ratio, sigma,
            f"dead time not judged: bunching within some periods could hide missing pairs; {numbers}",
        )
    return DeadTimeCheck(
        True, ratio, sigma,
        f"no dead time of {period_ns:g} ns or more; {numbers}. A shorter one would hide in the central peak: "
        "attenuated laser light must give 1",
    )
