"""Histograms of the delays between the tags of two channels, all pairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ._checks import AnalysisError
from ._engine import Engine
from ._photon_stream import MAX_BINS, MAX_PS, Bytes, Integers, TagStream, channel_numbers, whole_number

_NO_TAGS = (np.empty(0, np.int64), np.empty(0, np.uint8))


class _PairHistogram:
    """Counts t(stop) - t(start) of all pairs in equal bins from `lowest_ps` on."""

    def __init__(self, start: int, stop: int, binwidth_ps: int, bins: int, lowest_ps: int, engine: Engine):
        if binwidth_ps * bins > MAX_PS:
            raise AnalysisError(f"{bins} bins of {binwidth_ps} ps reach beyond {MAX_PS} ps (13 days); take fewer.")
        self._stream = TagStream([start] if start == stop else [start, stop], engine)
        self._binwidth_ps, self._lowest_ps = binwidth_ps, lowest_ps
        self._reach_ps = max(-lowest_ps, lowest_ps + binwidth_ps * bins - 1)
        self._counts = np.zeros(bins + 1, np.int64)
        self._old: tuple[Integers, Bytes] = _NO_TAGS

    @property
    def counts(self) -> Integers:
        """Pairs per bin up to now, (bins,); a copy."""
        return self._counts[:-1].copy()

    def add(self, times_ps: ArrayLike, channels: ArrayLike) -> None:
        """Count the next chunk of the stream; any chunks give the same counts as all tags at once.

        Args:
            times_ps: int64 in time order, continuing the chunk before, (n,).
            channels: Integers, (n,); tags of other channels are skipped.

        Raises:
            AnalysisError: Wrong types or shapes, or not in time order. What comes before the fault may be counted.
        """
        kernels, start, stop = self._stream.kernels, self._stream.wanted[0], self._stream.wanted[-1]
        for block, all_numbers, _ in self._stream.blocks(times_ps, channels, check_order=False):
            times, numbers = kernels.only(block, all_numbers, start, stop)
            if len(times) < len(block) and not kernels.in_order(block):
                self._stream.refuse_disorder(block)
            if len(times):
                self._old = self._within_reach(int(times[0]), *self._old)
                if not kernels.add_pairs(
                    times, numbers, *self._old, start, stop, self._lowest_ps, self._binwidth_ps, self._counts
                ):
                    self._stream.refuse_disorder(block)
                if int(times[-1]) - int(times[0]) <= self._reach_ps:
                    times, numbers = np.concatenate([self._old[0], times]), np.concatenate([self._old[1], numbers])
                self._old = self._within_reach(int(times[-1]), times, numbers)

    def clear(self) -> None:
        """Forget all tags and begin a new stream."""
        self._stream.clear()
        self._counts[:] = 0
        self._old = _NO_TAGS

    def _within_reach(self, time_ps: int, times: Integers, numbers: Bytes) -> tuple[Integers, Bytes]:
        """Copy of the tags that are not too old for a pair with one at `time_ps`."""
        first = np.searchsorted(times, time_ps - self._reach_ps)
        return times[first:].copy(), numbers[first:].copy()


class CrossCorrelation(_PairHistogram):
    """Delays t(stop) - t(start) of all pairs of two channels (multiple start, multiple stop), for g2.

    Bin i is centred on (i - bins//2) * binwidth and closed on its left, as in the Time Tagger's `Correlation`
    (there channel 1 is the stop). With the same channel twice it is the autocorrelation: every pair of different tags
    counts with both signs.

    Args:
        start_channel: Channel whose tags are the zero of the delays.
        stop_channel: The other channel.
        binwidth_ps: Bin width, whole ps.
        bins: Number of bins.
        engine: "numba", "numpy", or "auto": numba if it can be imported. All give the same integers.

    Raises:
        AnalysisError: A channel, bin width or number of bins that makes no sense.
    """

    def __init__(self, start_channel: int, stop_channel: int, binwidth_ps: int, bins: int, *, engine: Engine = "auto"):
        width_ps, n = whole_number("binwidth_ps", binwidth_ps), whole_number("bins", bins, highest=MAX_BINS)
        (start,) = channel_numbers("start_channel", [start_channel])
        (stop,) = channel_numbers("stop_channel", [stop_channel])
        super().__init__(start, stop, width_ps, n, -(n // 2) * width_ps - width_ps // 2, engine)

    @property
    def delays_ps(self) -> Integers:
        """Centre of each bin, (bins,)."""
        bins = len(self._counts) - 1
        return (np.arange(bins, dtype=np.int64) - bins // 2) * self._binwidth_ps


class DecayHistogram(_PairHistogram):
    """Delays of clicks behind sync tags of the stream (multiple start, multiple stop).

    Bin i covers [i, i + 1) bin widths, as in the Time Tagger's `Histogram`: a click counts once for every sync tag
    that is less than the histogram's length before it, a sync tag of its own time included.

    Args:
        click_channel: Channel of the detector.
        sync_channel: Channel of the laser pulses.
        binwidth_ps: Bin width, whole ps.
        bins: Number of bins.
        engine: "numba", "numpy", or "auto": numba if it can be imported. All give the same integers.

    Raises:
        AnalysisError: A channel, bin width or number of bins that makes no sense.
    """

    def __init__(self, click_channel: int, sync_channel: int, binwidth_ps: int, bins: int, *, engine: Engine = "auto"):
        width_ps, n = whole_number("binwidth_ps", binwidth_ps), whole_number("bins", bins, highest=MAX_BINS)
        (click,) = channel_numbers("click_channel", [click_channel])
        (sync,) = channel_numbers("sync_channel", [sync_channel])
        if click == sync:
            raise AnalysisError(
                f"click_channel and sync_channel are both {click}; for delays within a channel use CrossCorrelation."
            )
        super().__init__(sync, click, width_ps, n, 0, engine)

    @property
    def delays_ps(self) -> Integers:
        """Left edge of each bin, (bins,)."""
        return np.arange(len(self._counts) - 1, dtype=np.int64) * self._binwidth_ps
