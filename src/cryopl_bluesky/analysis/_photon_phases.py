"""Decays of clicks by their phase in the laser period: from a known rate, or from sparse sync tags of known period."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from numbers import Rational
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._checks import AnalysisError
from ._engine import Engine
from ._photon_stream import (
    MAX_BINS,
    MAX_PS,
    Bytes,
    Integers,
    TagStream,
    channel_numbers,
    whole_number,
)

_MAX_PARTS = 1 << 40


def exact_period(period_ps: int | Fraction) -> Fraction:
    """Return the period as a fraction.

    Raises:
        AnalysisError: Not above zero, a float with a fractional part, or too long a fraction.
    """
    is_whole = isinstance(period_ps, float) and period_ps.is_integer()
    if not (isinstance(period_ps, Rational) or is_whole) or isinstance(period_ps, bool) or not period_ps > 0:
        raise AnalysisError(
            f"period_ps is {period_ps!r} but must be an int or a Fraction above zero, for example "
            "Fraction(10**12, rate_Hz) or Fraction('12539.5'): a float is not exactly the period that is meant."
        )
    period = Fraction(period_ps)
    if period.numerator > MAX_PS or period.denominator > _MAX_PARTS:
        raise AnalysisError(
            f"period_ps {period} is too long a fraction (numerator up to 2**60, denominator up to 2**40); shorten it, "
            "for example with limit_denominator(10**6)."
        )
    return period


class SyncClock:
    """Time since the newest sync tag that is not later.

    Tags of the newest time wait for the next block, because a sync tag of the same time may follow. So the order of
    tags of the same time does not matter, nor where the stream is cut.

    Args:
        stream: The stream.
        sync: Byte of the sync channel.

    Attributes:
        waiting: Arrays of the tags that wait, times first; empty at the start.
    """

    def __init__(self, stream: TagStream, sync: int):
        self._kernels, self._sync = stream.kernels, sync
        self._newest_ps: int | None = None
        self._scratch = np.empty(0, np.int64)
        self.waiting: tuple[Any, ...] = ()

    def complete(self, *arrays: NDArray[Any]) -> Iterator[tuple[Any, ...]]:
        """Take times and what belongs to them; give those that wait for nothing more, and keep the others."""
        if self.waiting and self.waiting[0][0] < arrays[0][0]:
            yield self.waiting
        elif self.waiting:
            arrays = tuple(np.concatenate(both) for both in zip(self.waiting, arrays, strict=True))
        end = np.searchsorted(arrays[0], arrays[0][-1])
        self.waiting = tuple(array[end:].copy() for array in arrays)
        if end:
            yield tuple(array[:end] for array in arrays)

    def clear(self) -> None:
        """Begin a new stream."""
        self._newest_ps, self.waiting = None, ()

    def elapsed(self, times: Integers, numbers: Bytes, *, go_on: bool = True) -> tuple[int, Integers]:
        """Times of a piece of the stream since their sync tag.

        Args:
            times: int64, (n,).
            numbers: Channel bytes, (n,).
            go_on: False: the piece comes again.

        Returns:
            How many tags come before the first sync tag of the stream, and the time since the sync of all others;
            it is valid until the next call.
        """
        first, newest_ps = 0, self._newest_ps
        if newest_ps is None:
            syncs = np.flatnonzero(numbers == self._sync)
            if not len(syncs):
                return len(times), times[:0]
            newest_ps = int(times[syncs[0]])
            first = int(np.searchsorted(times, newest_ps))
        if len(times) > len(self._scratch):
            self._scratch = np.empty(len(times), np.int64)
        result = self._scratch[: len(times) - first]
        newest_ps = self._kernels.elapsed(times[first:], numbers[first:], self._sync, newest_ps, result)
        if go_on:
            self._newest_ps = int(newest_ps)
        return first, result


class PeriodicDecayHistogram:
    """Decay histogram of clicks by their phase in the laser period; no start-stop.

    The phase of a click is its time since `origin_ps`, modulo the period. With a sync channel it is the time since
    the newest sync tag that is not later (plus `-origin_ps`), modulo the period: the sync may be divided or filtered.
    Clicks before the first sync tag are left out. Bin i covers [i, i + 1) bin widths of the phase. Whole numbers
    throughout: the period may be any fraction of a picosecond and the times any int64.

    Args:
        click_channels: Channel of the detector, or several.
        period_ps: Laser period, exact: int or Fraction, for example Fraction(10**12, 79_748_000).
        binwidth_ps: Bin width, whole ps.
        bins: Number of bins; None: as many as cover the period, the last one perhaps partly.
        origin_ps: Time of phase zero; with a sync channel its delay behind the sync tag.
        sync_channel: Channel of the laser pulses; None: the laser runs on the tagger's clock.
        engine: "numba", "numpy", or "auto": numba if it can be imported. All give the same integers.

    Raises:
        AnalysisError: A channel, period, bin width or number of bins that makes no sense.
    """

    def __init__(
        self,
        click_channels: int | Sequence[int],
        period_ps: int | Fraction,
        binwidth_ps: int,
        bins: int | None = None,
        *,
        origin_ps: int = 0,
        sync_channel: int | None = None,
        engine: Engine = "auto",
    ):
        clicks, self._period = channel_numbers("click_channels", click_channels), exact_period(period_ps)
        self._binwidth_ps = whole_number("binwidth_ps", binwidth_ps, highest=MAX_PS // self._period.denominator)
        period_bins = -(-self._period // self._binwidth_ps)
        n = whole_number("bins", period_bins if bins is None else bins, highest=MAX_BINS // (len(clicks) + 1) - 1)
        self._origin_ps = whole_number("origin_ps", origin_ps, lowest=-MAX_PS) % self._period.numerator
        self._stream = TagStream(clicks if sync_channel is None else with_sync(clicks, sync_channel), engine)
        self._clicks = self._stream.wanted[: len(clicks)]
        self._clock = None if sync_channel is None else SyncClock(self._stream, self._stream.wanted[-1])
        self._counts = np.zeros((len(clicks) + 1, n + 1), np.int64)

    @property
    def delays_ps(self) -> Integers:
        """Left edge of each bin, (bins,)."""
        return np.arange(self._counts.shape[1] - 1, dtype=np.int64) * self._binwidth_ps

    @property
    def counts(self) -> Integers:
        """Clicks per bin up to now, (click channels, bins); a copy."""
        counts = self._counts.copy()
        if self._clock is not None and self._clock.waiting:
            times, numbers = self._clock.waiting
            first, elapsed = self._clock.elapsed(times, numbers, go_on=False)
            self._add(elapsed, numbers[first:], False, counts)
        return counts[1:, :-1].copy()

    def add(self, times_ps: ArrayLike, channels: ArrayLike) -> None:
        """Count the next chunk of the stream; any chunks give the same counts as all tags at once.

        Args:
            times_ps: int64 in time order, continuing the chunk before, (n,).
            channels: Integers, (n,); tags of other channels are skipped.

        Raises:
            AnalysisError: Wrong types or shapes, or not in time order. What comes before the fault may be counted.
        """
        if self._clock is None:
            for times, numbers, _ in self._stream.blocks(times_ps, channels, check_order=False):
                if not self._add(times, numbers, True, self._counts):
                    self._stream.refuse_disorder(times)
            return
        for block, block_numbers, _ in self._stream.blocks(times_ps, channels):
            for times, numbers in self._clock.complete(block, block_numbers):
                first, elapsed = self._clock.elapsed(times, numbers)
                self._add(elapsed, numbers[first:], False, self._counts)

    def clear(self) -> None:
        """Forget all tags and begin a new stream."""
        self._stream.clear()
        self._counts[:] = 0
        if self._clock is not None:
            self._clock.clear()

    def _add(self, values: Integers, numbers: Bytes, is_times: bool, counts: Integers) -> bool:
        if not len(values):
            return True
        parts, per = self._period.denominator, self._period.numerator
        # The numerator is a whole number of periods. A time since a sync may not be less than the origin.
        origin_ps = self._origin_ps if is_times or not self._origin_ps else self._origin_ps - per
        return self._stream.kernels.add_phases(
            values, numbers, self._clicks, is_times, origin_ps, parts, per, parts * self._binwidth_ps, counts
        )


def with_sync(clicks: list[int], sync_channel: int) -> list[int]:
    """The channels with the sync channel as the last.

    Raises:
        AnalysisError: The sync channel is one of the clicks.
    """
    (sync,) = channel_numbers("sync_channel", [sync_channel])
    if sync in clicks:
        raise AnalysisError(f"sync_channel {sync} is also a click channel; the sync must be a channel of its own.")
    return [*clicks, sync]


def decay_map(
    times_ps: ArrayLike,
    channels: ArrayLike,
    boundaries: Sequence[int] | NDArray[np.integer],
    click_channels: int | Sequence[int],
    period_ps: int | Fraction,
    binwidth_ps: int,
    bins: int | None = None,
    *,
    origin_ps: int = 0,
    sync_channel: int | None = None,
    engine: Engine = "auto",
) -> Integers:
    """Decay histograms of many acquisitions, for example of a TRPL map, one `PeriodicDecayHistogram` each.

    Args:
        times_ps: int64, the tags of all acquisitions behind each other, (n,); in time order within each.
        channels: Integers, (n,).
        boundaries: Number of the first tag of each acquisition, and the end of the last one, (rows + 1,).
        click_channels: Channel of the detector, or several.
        period_ps: Laser period, exact: int or Fraction.
        binwidth_ps: Bin width, whole ps.
        bins: Number of bins; None: as many as cover the period.
        origin_ps: Time of phase zero; with a sync channel its delay behind the sync tag.
        sync_channel: Channel of the laser pulses; None: the laser runs on the tagger's clock.
        engine: "numba", "numpy" or "auto".

    Returns:
        Counts, int64 (rows, click channels, bins).

    Raises:
        AnalysisError: As `PeriodicDecayHistogram`, or boundaries that decrease or leave the tags.
    """
    times, numbers, edges = np.asarray(times_ps), np.asarray(channels), np.asarray(boundaries)
    is_list = edges.ndim == 1 and edges.dtype.kind in "iu" and len(edges) > 1
    if not is_list or edges[0] < 0 or edges[-1] > len(times) or (edges[1:] < edges[:-1]).any():
        raise AnalysisError(
            f"boundaries must be ascending tag numbers from 0 to {len(times)}, one more than acquisitions; "
            "they are for example np.concatenate([[0], np.cumsum(tags_per_acquisition)])."
        )
    decay = PeriodicDecayHistogram(
        click_channels, period_ps, binwidth_ps, bins, origin_ps=origin_ps, sync_channel=sync_channel, engine=engine
    )
    rows = np.empty((len(edges) - 1, *decay.counts.shape), np.int64)
    for row, (begin, end) in enumerate(pairwise(edges.tolist())):
        decay.add(times[begin:end], numbers[begin:end])
        rows[row] = decay.counts
        decay.clear()
    return rows
