"""Streams of chunks with some of the tags left out, and the loop that feeds accumulators."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._checks import AnalysisError
from ._engine import Engine
from ._photon_phases import SyncClock, exact_period, with_sync
from ._photon_stream import MAX_PS, Bytes, Chunk, Integers, TagStream, channel_numbers, whole_number


class Accumulator(Protocol):
    """What counts tags chunk by chunk."""

    def add(self, times_ps: ArrayLike, channels: ArrayLike) -> None:
        """Count the next chunk."""
        ...


def accumulate(chunks: Iterable[Chunk], *accumulators: Accumulator) -> None:
    """Feed every chunk of a stream to every accumulator.

    Args:
        chunks: Times in ps and channels of consecutive pieces of one stream.
        accumulators: For example `CrossCorrelation` and `RateTrace`.
    """
    for times_ps, channels in chunks:
        for accumulator in accumulators:
            accumulator.add(times_ps, channels)


def within(chunks: Iterable[Chunk], ranges_ps: Sequence[tuple[int, int]] | NDArray[np.integer]) -> Iterator[Chunk]:
    """The tags whose time lies in one of the ranges (detection window).

    Args:
        chunks: Times in ps and channels of consecutive pieces of one stream.
        ranges_ps: Begin and end of each range, [begin, end), in any order; they may overlap.

    Returns:
        The same stream with the other tags left out.

    Raises:
        AnalysisError: No range, a range that ends before it begins, or no whole picoseconds.
    """
    ranges = np.asarray(ranges_ps)
    if ranges.ndim != 2 or ranges.shape[1:] != (2,) or ranges.dtype.kind not in "iu":
        raise AnalysisError(f"ranges_ps has shape {ranges.shape} and type {ranges.dtype}; give pairs of whole ps.")
    if (ranges[:, 0] > ranges[:, 1]).any():
        raise AnalysisError(f"ranges_ps holds {ranges[ranges[:, 0] > ranges[:, 1]][0]}, which ends before it begins.")
    ranges = ranges[np.argsort(ranges[:, 0], kind="stable")].astype(np.int64)
    # A range goes on where an earlier one has not ended yet.
    ends = np.maximum.accumulate(ranges[:, 1])
    begins = np.maximum(ranges[:, 0], np.concatenate([ranges[:1, 0], ends[:-1]]))
    return _within(chunks, np.stack([begins, ends], axis=1).ravel())


def _within(chunks: Iterable[Chunk], edges_ps: Integers) -> Iterator[Chunk]:
    for times_ps, channels in chunks:
        times, numbers = np.asarray(times_ps), np.asarray(channels)
        cuts = np.searchsorted(times, edges_ps).reshape(-1, 2)
        pieces = [slice(begin, end) for begin, end in cuts.tolist() if begin < end]
        if len(pieces) == 1:
            yield times[pieces[0]], numbers[pieces[0]]
        elif pieces:
            yield np.concatenate([times[p] for p in pieces]), np.concatenate([numbers[p] for p in pieces])


def gated(
    chunks: Iterable[Chunk],
    click_channels: int | Sequence[int],
    start_ps: int,
    stop_ps: int,
    *,
    period_ps: int | Fraction | None = None,
    origin_ps: int = 0,
    sync_channel: int | None = None,
    engine: Engine = "auto",
) -> Iterator[Chunk]:
    """Leave out the clicks whose delay behind their laser pulse is not in [start, stop) (time gate).

    The delay is counted as in `PeriodicDecayHistogram`; with a sync channel and no period it is the time since the
    newest sync tag that is not later. Clicks before the first sync tag are left out, tags of other channels stay.

    Args:
        chunks: Times in ps and channels of consecutive pieces of one stream.
        click_channels: Channel of the detector, or several.
        start_ps: Shortest delay to keep, whole ps.
        stop_ps: First delay beyond the gate.
        period_ps: Laser period, exact: int or Fraction; None: every laser pulse has a sync tag.
        origin_ps: Time of phase zero; with a sync channel its delay behind the sync tag. Needs a period.
        sync_channel: Channel of the laser pulses; None: the laser runs on the tagger's clock.
        engine: "numba", "numpy" or "auto".

    Returns:
        The same stream without those clicks.

    Raises:
        AnalysisError: A gate, channel or period that makes no sense; while iterating: as the accumulators.
    """
    if period_ps is None and (sync_channel is None or origin_ps):
        raise AnalysisError("gated needs sync_channel or period_ps (or both), and origin_ps needs period_ps.")
    clicks = channel_numbers("click_channels", click_channels)
    period = None if period_ps is None else exact_period(period_ps)
    start = whole_number("start_ps", start_ps, lowest=0)
    stop = whole_number("stop_ps", stop_ps, lowest=start + 1)
    if period is not None and stop >= period + 1:
        raise AnalysisError(f"stop_ps is {stop}, beyond the period of {float(period):g} ps; end the gate with it.")
    origin = whole_number("origin_ps", origin_ps, lowest=-MAX_PS)
    stream = TagStream(clicks if sync_channel is None else with_sync(clicks, sync_channel), engine)
    gate = _Gate(stream, stream.wanted[: len(clicks)], start, stop, period, origin)
    return gate.by_clock(chunks) if sync_channel is None else gate.by_sync(chunks)


def _taken(times: Integers, channels: NDArray[Any], keep: NDArray[np.bool_]) -> Chunk:
    kept = np.flatnonzero(keep)  # several times faster than indexing with the flags
    return times.take(kept), channels.take(kept)


class _Gate:
    """The gate of one stream."""

    def __init__(
        self, stream: TagStream, clicks: Bytes, start_ps: int, stop_ps: int, period: Fraction | None, origin_ps: int
    ):
        self._stream, self._clicks = stream, clicks
        self._parts, self._per = (period.denominator, period.numerator) if period else (1, 0)
        self._gate = (start_ps * self._parts, stop_ps * self._parts)
        self._origin_ps = origin_ps % self._per if self._per else 0

    def _keep(self, values: Integers, numbers: Bytes) -> NDArray[np.bool_]:
        return self._stream.kernels.in_gate(
            values, numbers, self._clicks, self._origin_ps, self._parts, self._per, *self._gate
        )

    def by_clock(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            for times, numbers, channels in self._stream.blocks(*chunk):
                yield _taken(times, channels, self._keep(times, numbers))

    def by_sync(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        clock = SyncClock(self._stream, self._stream.wanted[-1])
        for chunk in chunks:
            for block in self._stream.blocks(*chunk):
                for ready in clock.complete(*block):
                    yield self._behind(clock, *ready)
        if clock.waiting:
            yield self._behind(clock, *clock.waiting)

    def _behind(self, clock: SyncClock, times: Integers, numbers: Bytes, channels: NDArray[Any]) -> Chunk:
        first, elapsed = clock.elapsed(times, numbers)
        keep = ~np.isin(numbers, self._clicks)
        keep[first:] = self._keep(elapsed, numbers[first:])
        return _taken(times, channels, keep)
