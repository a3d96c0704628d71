"""When an acquisition has counted enough: after so many photons, or at a wanted precision.

A waiter is asked several times a second with what was counted so far (`drivers.tagger_counting.Until`); the
acquisition's own duration, which the tagger keeps exactly, is the time limit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.drivers.tagger_acquisition import DURATION, Acquisition, RunningAcquisition

log = logging.getLogger(__name__)

Measure = Callable[[Sequence[NDArray[np.int64]], NDArray[np.int64] | None], float]
"""The error of what is measured, from decay and g2 histograms; raises AnalysisError while these hold too little."""

_FEWEST_PHOTONS = 500
_SOONEST, _LATEST = 1.05, 4.0
"""The next look at a precision comes when the photons have grown by a factor between these."""


class Waiter(Protocol):
    """Decides whether enough was counted."""

    def __call__(self, elapsed_s: float, running: RunningAcquisition) -> str:
        """Empty to go on, else the reason to stop."""
        ...


class Photons:
    """So many photons.

    Args:
        photons: clicks of both SPADs together.
    """

    def __init__(self, photons: int):
        self._photons = photons

    def __call__(self, elapsed_s: float, running: RunningAcquisition) -> str:
        """Empty to go on, else "photons"."""
        return "photons" if sum(running.counts()) >= self._photons else ""


class Precision:
    """A wanted standard error.

    Errors fall with the root of the photons, so the next look comes when that law promises the goal: the few looks
    cost little, and a number that is looked at seldom is seldom caught at a lucky moment.

    Args:
        wanted: the error to reach.
        measure: gives the present error.
    """

    def __init__(self, wanted: float, measure: Measure):
        self._wanted, self._measure = wanted, measure
        self._next_photons = float(_FEWEST_PHOTONS)

    def __call__(self, elapsed_s: float, running: RunningAcquisition) -> str:
        """Empty to go on, else "precision"."""
        photons = sum(running.counts())
        if photons < self._next_photons:
            return ""
        try:
            reached = self._measure(running.decays(), running.g2())
        except AnalysisError:
            self._next_photons = photons * 2.0
            return ""
        growth = (reached / self._wanted) ** 2
        self._next_photons = photons * min(max(growth, _SOONEST), _LATEST)
        return "precision" if reached <= self._wanted else ""


class FirstOf:
    """Whichever of several comes first.

    Args:
        waiters: asked in this order.
    """

    def __init__(self, waiters: Sequence[Waiter]):
        self._waiters = list(waiters)

    def __call__(self, elapsed_s: float, running: RunningAcquisition) -> str:
        """Empty to go on, else the reason of the first that is content."""
        return next((reason for waiter in self._waiters if (reason := waiter(elapsed_s, running))), "")


@dataclass(frozen=True)
class StopRule:
    """When one acquisition ends, and what is said about it afterwards.

    Attributes:
        duration_s: its duration, or its time limit when it may end earlier.
        until_s: end after so many seconds; 0 = not used, as for the others.
        until_photons: end after so many photons.
        until_precision: end at this error.
        measure: gives the present error.
    """

    duration_s: float
    until_s: float
    until_photons: int
    until_precision: float
    measure: Measure

    @property
    def limit_s(self) -> float:
        """The longest it can take."""
        return min(self.duration_s, self.until_s or inf)

    def waiter(self) -> Waiter | None:
        """What decides before the limit; None = nothing."""
        waiters: list[Waiter] = [Photons(self.until_photons)] if self.until_photons else []
        waiters += [Precision(self.until_precision, self.measure)] if self.until_precision else []
        return FirstOf(waiters) if waiters else None

    def reason(self, stop_reason: str) -> str:
        """Why it ended, from what the driver says."""
        if stop_reason != DURATION:
            return stop_reason
        if 0 < self.until_s <= self.duration_s:
            return "seconds"
        return "time limit" if self.until_photons or self.until_precision else DURATION

    def reached(self, data: Acquisition) -> float:
        """The error that was reached; 0 if there is too little to tell."""
        decays = [decay for decay in (data.decay_spad1, data.decay_spad2) if decay is not None]
        try:
            return self.measure(decays, data.g2)
        except AnalysisError as error:
            log.warning("the precision that was reached cannot be told: %s", error)
            return 0.0
