"""Histogram measurements of the virtual tagger.

Conventions that cannot be checked without a device [est, `facts/swabian.md` section 4]: histogram bins are
left-closed; a correlation counts stop - start (positive when channel 1 is later), its bins are centred on the
index and bin n//2 is at 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cryopl_bluesky.sim.timetagger import arguments, kernels
from cryopl_bluesky.sim.timetagger.blocks import Block
from cryopl_bluesky.sim.timetagger.enums import CHANNEL_UNUSED
from cryopl_bluesky.sim.timetagger.inputs import merge
from cryopl_bluesky.sim.timetagger.iterators import IteratorBase, check_tagger
from cryopl_bluesky.sim.timetagger.source import PS_PER_S, Times

_NONE = np.empty(0, np.int64)


def _channels(first: Any, second: Any, function: str) -> list[int]:
    return [arguments.integer(first, function, 2, "int"), arguments.integer(second, function, 3, "int")]


class _Histogramming(IteratorBase):
    """Bin width and bin number of a histogram, and its int32 counts."""

    def _set_bins(self, tagger: Any, channels: list[int], binwidth: Any, n_bins: Any) -> None:
        name = type(self).__name__
        self._binwidth_ps = arguments.integer(binwidth, f"new_{name}", 4)
        self._n_bins = arguments.integer(n_bins, f"new_{name}", 5, "int32_t")
        valid = check_tagger(tagger, name)
        if self._binwidth_ps < 1 or self._n_bins < 1:
            raise ValueError("binwidth and n_bins must be at least 1.")
        self._click, self._start = channels
        self._attach(valid, [c for c in channels if c != CHANNEL_UNUSED])

    def _clear(self) -> None:
        self._counts = np.zeros(self._n_bins, np.int32)
        self._old: Times = _NONE
        self._old_is_click = np.empty(0, np.bool_)

    def getData(self) -> np.ndarray:
        """Counts, int32 (n_bins,)."""
        with self._latest():
            return self._counts.copy()

    def _keep(self, times: Times, is_click: np.ndarray, reach_ps: int, end_ps: int) -> None:
        first = np.searchsorted(times, end_ps - reach_ps)
        self._old, self._old_is_click = times[first:], is_click[first:]


class Histogram(_Histogramming):
    """Delays of clicks behind starts, multiple start and multiple stop."""

    def __init__(
        self,
        tagger: Any,
        click_channel: int,
        start_channel: int = CHANNEL_UNUSED,
        binwidth: int = 1000,
        n_bins: int = 1000,
    ):
        self._set_bins(tagger, _channels(click_channel, start_channel, "new_Histogram"), binwidth, n_bins)

    def _process(self, block: Block) -> None:
        starts_again = self._start in (CHANNEL_UNUSED, self._click)
        times = np.concatenate([self._old, block.of(self._click if starts_again else self._start)])
        if starts_again:
            kernels.add_autohistogram(times, len(self._old), self._binwidth_ps, self._counts)
        else:
            kernels.add_histogram(times, block.of(self._click), self._binwidth_ps, self._counts)
        self._keep(times, np.empty(len(times), np.bool_), self._binwidth_ps * self._n_bins, block.end_ps)

    def getIndex(self) -> np.ndarray:
        """Left edge of each bin, int64 ps."""
        return np.arange(self._n_bins, dtype=np.int64) * self._binwidth_ps


class Correlation(_Histogramming):
    """Delays channel 1 - channel 2 of all pairs; without channel 2 the autocorrelation."""

    def __init__(
        self,
        tagger: Any,
        channel_1: int,
        channel_2: int = CHANNEL_UNUSED,
        binwidth: int = 1000,
        n_bins: int = 1000,
    ):
        self._set_bins(tagger, _channels(channel_1, channel_2, "new_Correlation"), binwidth, n_bins)

    def _clear(self) -> None:
        super()._clear()
        self._n_first = self._n_second = 0

    def _process(self, block: Block) -> None:
        alone = self._start in (CHANNEL_UNUSED, self._click)
        own = block.channels == self._click
        self._n_first += int(np.count_nonzero(own))
        self._n_second += int(np.count_nonzero(block.channels == (self._click if alone else self._start)))
        if not alone:
            own |= block.channels == self._start
        times = np.concatenate([self._old, block.times[own]])
        is_click = np.concatenate([self._old_is_click, block.channels[own] == self._click])
        lowest_ps = -(self._n_bins // 2) * self._binwidth_ps - self._binwidth_ps // 2
        kernels.add_correlation(
            times, is_click, len(self._old), alone, self._binwidth_ps, lowest_ps, self._counts
        )
        reach_ps = self._binwidth_ps * (self._n_bins // 2 + 1)
        self._keep(times, is_click, reach_ps, block.end_ps)

    def getIndex(self) -> np.ndarray:
        """Centre of each bin, int64 ps."""
        return (np.arange(self._n_bins, dtype=np.int64) - self._n_bins // 2) * self._binwidth_ps

    def getDataNormalized(self) -> np.ndarray:
        """g2 = counts * capture duration / (bin width * N1 * N2), float64."""
        with self._latest():
            pairs = float(self._n_first) * self._n_second
            if pairs == 0:
                return np.full(self._n_bins, np.nan)
            return self._counts * (self._captured_ps / (self._binwidth_ps * pairs))


class StartStop(IteratorBase):
    """Delay from each start to the first click after it; only bins that are not empty."""

    def __init__(
        self, tagger: Any, click_channel: int, start_channel: int = CHANNEL_UNUSED, binwidth: int = 1000
    ):
        self._click, self._start = _channels(click_channel, start_channel, "new_StartStop")
        self._binwidth_ps = arguments.integer(binwidth, "new_StartStop", 4)
        valid = check_tagger(tagger, "StartStop")
        if self._start == CHANNEL_UNUSED:
            self._start = self._click
        self._attach(valid, [self._click, self._start])

    def _clear(self) -> None:
        self._delays: dict[int, int] = {}
        self._pending_ps = -1

    def _process(self, block: Block) -> None:
        # A channel against itself: every event ends one delay and starts the next.
        parts = [(block.of(self._click), 0), (block.of(self._start), 1)]
        times, is_start = merge(parts if self._start == self._click else parts[::-1])
        delays, pending_ps = kernels.first_clicks(times, is_start == 1, np.int64(self._pending_ps))
        self._pending_ps = int(pending_ps)
        bins, counts = np.unique(delays // self._binwidth_ps, return_counts=True)
        for bin_, count in zip(bins.tolist(), counts.tolist(), strict=True):
            self._delays[bin_] = self._delays.get(bin_, 0) + count

    def getData(self) -> np.ndarray:
        """Delay in ps and counts, int64 (n, 2)."""
        with self._latest():
            rows = [(bin_ * self._binwidth_ps, count) for bin_, count in sorted(self._delays.items())]
            return np.array(rows, np.int64).reshape(-1, 2)


class HistogramLogBinsData:
    """A snapshot of `HistogramLogBins`."""

    def __init__(self, counts: np.ndarray, normalization: np.ndarray, captured_ps: int):
        self._counts, self._normalization = counts, normalization
        self.capture_duration = self.accumulation_time_start = self.accumulation_time_click = captured_ps

    def getCounts(self) -> np.ndarray:
        """Counts, uint64 (n_bins,)."""
        return self._counts.copy()

    def getG2Normalization(self) -> np.ndarray:
        """Counts that uncorrelated light would give, float64 (n_bins,)."""
        return self._normalization.copy()

    def getG2(self) -> np.ndarray:
        """g2, float64 (n_bins,)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self._counts / self._normalization


class HistogramLogBins(IteratorBase):
    """Delays of clicks behind starts in logarithmic bins; gates are not modelled."""

    def __init__(
        self,
        tagger: Any,
        click_channel: int,
        start_channel: int,
        exp_start: float,
        exp_stop: float,
        n_bins: int,
        click_gate: Any = None,
        start_gate: Any = None,
    ):
        name = "new_HistogramLogBins"
        self._click, self._start = _channels(click_channel, start_channel, name)
        exponents = (arguments.number(exp_start, name, 4), arguments.number(exp_stop, name, 5))
        self._n_bins = arguments.integer(n_bins, name, 6, "int32_t")
        valid = check_tagger(tagger, "HistogramLogBins")
        if click_gate is not None or start_gate is not None:
            raise NotImplementedError("the virtual tagger has no gates")
        edges_s = np.logspace(*exponents, self._n_bins + 1)
        self._edges_ps = np.rint(edges_s * PS_PER_S).astype(np.int64)
        self._attach(valid, [self._click, self._start])

    def _clear(self) -> None:
        self._counts = np.zeros(self._n_bins, np.uint64)
        self._old: Times = _NONE
        self._n_starts = self._n_clicks = 0

    def _process(self, block: Block) -> None:
        clicks, fresh = block.of(self._click), block.of(self._start)
        starts = np.concatenate([self._old, fresh])
        self._n_clicks += len(clicks)
        self._n_starts += len(fresh)
        # Starts at least as old as each edge, summed over the clicks; differences are the bins.
        older = [int(np.searchsorted(starts, clicks - edge, side="right").sum()) for edge in self._edges_ps]
        self._counts += (-np.diff(older)).astype(np.uint64)
        self._old = starts[np.searchsorted(starts, block.end_ps - self._edges_ps[-1]) :]

    def getBinEdges(self) -> np.ndarray:
        """Edges, int64 ps (n_bins + 1,)."""
        return self._edges_ps.copy()

    def getDataObject(self) -> HistogramLogBinsData:
        """A snapshot with counts and normalisation."""
        with self._latest():
            normalization = np.diff(self._edges_ps) * float(self._n_starts) * self._n_clicks
            normalization /= max(1, self._captured_ps)
            return HistogramLogBinsData(self._counts.copy(), normalization, self._captured_ps)

    def getData(self) -> np.ndarray:
        """Counts, uint64 (n_bins,)."""
        return self.getDataObject().getCounts()

    def getDataNormalizedG2(self) -> np.ndarray:
        """g2, float64 (n_bins,)."""
        return self.getDataObject().getG2()

    def getDataNormalizedCountsPerPs(self) -> np.ndarray:
        """Counts per ps of bin width, float64 (n_bins,)."""
        return self.getData() / np.diff(self._edges_ps)
