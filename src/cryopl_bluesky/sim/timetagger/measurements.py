"""Counting measurements and the raw tag stream of the virtual tagger."""

from __future__ import annotations

from typing import Any

import numpy as np

from cryopl_bluesky.sim.timetagger import arguments, kernels
from cryopl_bluesky.sim.timetagger.blocks import Block
from cryopl_bluesky.sim.timetagger.enums import TagType
from cryopl_bluesky.sim.timetagger.iterators import IteratorBase, check_tagger
from cryopl_bluesky.sim.timetagger.source import PS_PER_S

_MOST_MISSED = 65535


def counts_of(block: Block, channel: int) -> int:
    """Events of a channel, with those lost in an overflow."""
    missed = sum(loss.missed.get(channel, 0) for loss in block.losses)
    return int(np.count_nonzero(block.channels == channel)) + missed


class Countrate(IteratorBase):
    """Counts and mean rates since the first tag after start or clear."""

    def __init__(self, tagger: Any, channels: Any):
        numbers = arguments.integers(channels, "new_Countrate", 2)
        self._attach(check_tagger(tagger, "Countrate"), numbers)

    def _clear(self) -> None:
        self._counts = np.zeros(len(self._channels), np.int64)
        self._first_ps: int | None = None
        self._latest_ps = 0

    def _process(self, block: Block) -> None:
        if self._first_ps is None:
            own = block.times[np.isin(block.channels, self._channels)]
            lost = [loss.begin_ps for loss in block.losses if loss.missed.keys() & set(self._channels)]
            first = [int(own[0]), *lost] if len(own) else lost
            self._first_ps = min(first, default=None)
        self._counts += [counts_of(block, channel) for channel in self._channels]
        self._latest_ps = block.end_ps

    def getData(self) -> np.ndarray:
        """Rates in Hz, float64 (n_channels,)."""
        with self._latest():
            if self._first_ps is None:
                return np.zeros(len(self._channels))
            return self._counts * (PS_PER_S / max(1, self._latest_ps - self._first_ps))

    def getCountsTotal(self) -> np.ndarray:
        """Counts, int64 (n_channels,)."""
        with self._latest():
            return self._counts.copy()


class CounterData:
    """A snapshot of a `Counter`, complete bins only, oldest first."""

    def __init__(
        self,
        counter: Counter,
        bins: np.ndarray,
        first_bin: int,
        begin_ps: int,
        overflow: np.ndarray,
        dropped_bins: int,
    ):
        self._bins, self._first_bin, self._begin_ps, self._overflow = bins, first_bin, begin_ps, overflow
        self._binwidth_ps, self._channels = counter._binwidth_ps, counter._channels
        self.size = bins.shape[1]
        self.dropped_bins = dropped_bins
        self.overflow = counter._any_lost and bool(overflow.any())

    def getIndex(self) -> np.ndarray:
        """Begin of each bin since the start, int64 ps."""
        return np.arange(self._first_bin, self._first_bin + self.size, dtype=np.int64) * self._binwidth_ps

    def getTime(self) -> np.ndarray:
        """Begin of each bin in device time, int64 ps."""
        return self._begin_ps + self.getIndex()

    def getData(self) -> np.ndarray:
        """Counts, int32 (n_channels, size)."""
        return self._bins.copy()

    def getFrequency(self, time_scale: int = 1_000_000_000_000) -> np.ndarray:
        """Counts per `time_scale` ps, float64."""
        return self._bins * (time_scale / self._binwidth_ps)

    def getDataNormalized(self) -> np.ndarray:
        """Rates in Hz, NaN where tags were lost, float64."""
        rates = self.getFrequency()
        rates[:, self._overflow != 0] = np.nan
        return rates

    def getOverflowMask(self) -> np.ndarray:
        """1 where tags were lost, int8 (size,)."""
        return self._overflow.copy()

    def getChannels(self) -> np.ndarray:
        """Channel numbers, int32."""
        return np.array(self._channels, np.int32)


class Counter(IteratorBase):
    """Counts in a row of time bins."""

    measures = False  # it may be a watchdog's, which always runs

    def __init__(self, tagger: Any, channels: Any, binwidth: int = 1_000_000_000, n_values: int = 1):
        numbers = arguments.integers(channels, "new_Counter", 2)
        self._binwidth_ps = arguments.integer(binwidth, "new_Counter", 3)
        self._n_values = arguments.integer(n_values, "new_Counter", 4, "int32_t")
        valid = check_tagger(tagger, "Counter")
        if self._binwidth_ps < 1 or self._n_values < 1:
            raise ValueError("binwidth and n_values must be at least 1.")
        self._rows = np.array(numbers, np.int32)
        self._attach(valid, numbers)

    def _clear(self) -> None:
        self._ring = np.zeros((len(self._channels), self._n_values + 1), np.int32)
        self._lost = np.zeros(self._n_values + 1, np.int8)
        self._any_lost = False
        self._totals = np.zeros(len(self._channels), np.uint64)
        self._origin_ps: int | None = None
        self._newest = 0
        self._reported = 0

    def _process(self, block: Block) -> None:
        if self._origin_ps is None:
            self._origin_ps = block.begin_ps
        size = self._n_values + 1
        last = max(self._newest, (block.end_ps - self._origin_ps) // self._binwidth_ps)
        kernels.add_counts(
            block.times,
            block.channels,
            self._rows,
            self._origin_ps,
            self._binwidth_ps,
            self._newest,
            last,
            self._ring,
            self._lost,
            self._totals,
        )
        self._newest = last
        for loss in block.losses:
            self._any_lost = True
            for row, channel in enumerate(self._channels):
                self._totals[row] += np.uint64(loss.missed.get(channel, 0))
            first, final = ((t - self._origin_ps) // self._binwidth_ps for t in (loss.begin_ps, loss.end_ps))
            self._lost[np.arange(max(first, last - size + 1), min(final, last) + 1) % size] = 1

    def _complete(self) -> np.ndarray:
        """Numbers of the complete bins that are still stored."""
        return np.arange(max(0, self._newest - self._n_values), self._newest)

    def getIndex(self) -> np.ndarray:
        """Begin of each bin, from 0, int64 ps."""
        return np.arange(self._n_values, dtype=np.int64) * self._binwidth_ps

    def getData(self, rolling: bool = True) -> np.ndarray:
        """Counts, int32 (n_channels, n_values); rolling: newest in the last column."""
        with self._latest():
            return self._arranged(self._ring.astype(np.int32), rolling, 0)

    def getDataNormalized(self, rolling: bool = True) -> np.ndarray:
        """Rates in Hz, float64; NaN for bins not filled and bins with lost tags."""
        with self._latest():
            rates = self._ring * (PS_PER_S / self._binwidth_ps)
            rates[:, self._lost != 0] = np.nan
            return self._arranged(rates, rolling, np.nan)

    def _arranged(self, ring: np.ndarray, rolling: bool, empty: float) -> np.ndarray:
        result = np.full((len(self._channels), self._n_values), empty, ring.dtype)
        numbers = self._complete()
        columns = numbers - self._newest + self._n_values if rolling else numbers % self._n_values
        result[:, columns] = ring[:, numbers % (self._n_values + 1)]
        return result

    def getDataTotalCounts(self) -> np.ndarray:
        """All counts since the start, uint64 (n_channels,)."""
        with self._latest():
            return self._totals.copy()

    def getDataObject(self, remove: bool = False) -> CounterData:
        """A snapshot; with `remove` only the bins since the last one."""
        with self._latest():
            stored = max(0, self._newest - self._n_values)
            first = max(stored, self._reported) if remove else stored
            dropped = max(0, stored - self._reported) if remove else 0
            if remove:
                self._reported = self._newest
            begin, size = first % (self._n_values + 1), self._newest - first
            columns: Any = slice(begin, begin + size)
            if begin + size > self._n_values + 1:
                columns = np.arange(begin, begin + size) % (self._n_values + 1)
            bins, lost = self._ring[:, columns].copy(), self._lost[columns].copy()
            return CounterData(self, bins, first, self._origin_ps or 0, lost, dropped)


class TimeTagStreamBuffer:
    """Tags fetched from a `TimeTagStream`; all arrays are copies."""

    def __init__(self, records: tuple[np.ndarray, ...], start_ps: int, now_ps: int):
        self._times, self._channels, self._types, self._missed = records
        self.size = len(self._times)
        self.hasOverflows = bool((self._types != TagType.TimeTag).any())
        self.tStart, self.tGetData = start_ps, now_ps

    def getTimestamps(self) -> np.ndarray:
        """Times, int64 ps."""
        return self._times.copy()

    def getChannels(self) -> np.ndarray:
        """Channels, int32."""
        return self._channels.copy()

    def getEventTypes(self) -> np.ndarray:
        """Kind of each record (`TagType`), uint8."""
        return self._types.copy()

    def getMissedEvents(self) -> np.ndarray:
        """Number of lost tags of a MissedEvents record, uint16."""
        return self._missed.copy()

    def getOverflows(self) -> np.ndarray:
        """Kind of each record, uint8 (deprecated by the vendor)."""
        return self._types.copy()

    def __enter__(self) -> TimeTagStreamBuffer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Nothing to release."""


def _loss_records(block: Block, channels: list[int]) -> list[tuple[int, int, int, int]]:
    records = []
    for loss in block.losses:
        records.append((loss.begin_ps, 0, TagType.OverflowBegin, 0))
        for channel, number in loss.missed.items():
            while number > 0 and channel in channels:
                part = min(number, _MOST_MISSED)
                records.append((loss.begin_ps, channel, TagType.MissedEvents, part))
                number -= part
        records.append((loss.end_ps, 0, TagType.OverflowEnd, 0))
    return records


class TimeTagStream(IteratorBase):
    """The tags themselves; at most `n_max_events` wait for being fetched, more are dropped."""

    def __init__(self, tagger: Any, n_max_events: int, channels: Any):
        self._n_max = arguments.integer(n_max_events, "new_TimeTagStream", 2, "uint64_t")
        numbers = arguments.integers(channels, "new_TimeTagStream", 3)
        self._attach(check_tagger(tagger, "TimeTagStream"), numbers)

    def _clear(self) -> None:
        self._parts: list[tuple[np.ndarray, ...]] = []
        self._size, self._count, self._start_ps = 0, 0, 0

    def _process(self, block: Block) -> None:
        own = np.isin(block.channels, self._channels)
        times, channels = block.times[own], block.channels[own]
        types, missed = np.zeros(len(times), np.uint8), np.zeros(len(times), np.uint16)
        self._count += len(times)
        if block.losses:
            extra = np.array(_loss_records(block, self._channels), np.int64)
            order = np.argsort(np.concatenate([times, extra[:, 0]]), kind="stable")
            times, channels, types, missed = (
                np.concatenate([old, extra[:, i].astype(old.dtype)])[order]
                for i, old in enumerate((times, channels, types, missed))
            )
        room = self._n_max - self._size
        self._parts.append((times[:room], channels[:room], types[:room], missed[:room]))
        self._size += len(self._parts[-1][0])

    def getData(self) -> TimeTagStreamBuffer:
        """Fetch and remove the waiting tags."""
        with self._latest():
            empty = (
                np.empty(0, np.int64),
                np.empty(0, np.int32),
                np.empty(0, np.uint8),
                np.empty(0, np.uint16),
            )
            records = tuple(np.concatenate(column) for column in zip(empty, *self._parts, strict=True))
            start_ps, now_ps = self._start_ps or self._begin_ps, self._stream.sent_ps
            self._parts, self._size, self._start_ps = [], 0, now_ps
            return TimeTagStreamBuffer(records, start_ps, now_ps)

    def getCounts(self) -> int:
        """Tags received since the start."""
        with self._latest():
            return self._count
