"""Compiled photon kernels (engine "numba"); `_photon_numpy` has the same functions and gives the same integers.

Each kernel is compiled for one signature and kept on disk when this module is first imported. Times are int64 ps in
time order and span less than 2**62 ps, channels are bytes. Array elements are reached by unsigned numbers: a signed
one costs a test for negative numbers.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit, types

from ._photon_jit import (
    Bytes,
    Integers,
    Times,
    byte,
    flag,
    high_product,
    kernel,
    nothing,
    prefetch,
    trailing_zeros,
    unsigned,
    whole,
)
from ._photon_numba_phases import add_phases, add_rates, elapsed, in_gate

__all__ = ["BLOCK", "add_pairs", "add_phases", "add_rates", "elapsed", "in_gate", "in_order", "only"]

BLOCK = 1 << 18
"""Tags handed to a kernel at once: enough to hide the cost of a call, few enough for the cache."""

_NEAR_BLOCK = 1 << 12
_DENSE = 1.5
"""Tags within reach of a tag from which two pointers beat the walk along the merged stream (measured)."""


@kernel(flag, Times)
def in_order(times):
    """Whether the times never decrease."""
    wrong = False
    for i in range(len(times) - 1):
        wrong |= times[i + 1] < times[i]
    return not wrong


@kernel(flag, Bytes, byte, byte)
def _has_others(channels, first, second):
    others = False
    for channel in channels:
        others |= (channel != first) & (channel != second)
    return others


@kernel(types.Tuple((Integers, types.Array(types.uint8, 1, "C"))), Times, Bytes, byte, byte)
def _selected(times, channels, first, second):
    kept_times, kept = np.empty(len(times) + 1, np.int64), np.empty(len(times) + 1, np.uint8)
    n = np.uint64(0)
    for i in range(len(times)):
        kept_times[n], kept[n] = times[i], channels[i]
        n += np.uint64((channels[i] == first) | (channels[i] == second))
    return kept_times[:n], kept[:n]


def only(times, channels, first, second):
    """The tags of two channels; without a copy if there are no others."""
    return _selected(times, channels, first, second) if _has_others(channels, first, second) else (times, channels)


@njit(inline="always")
def _bin(delay, lowest, magic, shift, outside):
    # floor(2 n magic / 2**(64 + shift)) is n // binwidth for 0 <= n < 2**63 (Granlund and Montgomery 1994,
    # Theorem 4.2). A delay below the lowest bin wraps to a number far above the highest.
    n = np.uint64(delay - lowest) << np.uint64(1)
    return min(high_product(n, magic) >> shift, outside)


_BINNING = (whole, unsigned, unsigned, Integers)


@njit(inline="always")
def _mark_near(times, reach, marks):
    """Set the mark of every tag whose successor is within reach, and say whether the times never decrease."""
    marks[:] = 0
    gaps = np.int64(0)
    for i in range(min(_NEAR_BLOCK, len(times) - 1)):
        gap = times[i + 1] - times[i]
        marks[i] = gap <= reach
        gaps |= gap
    return gaps >= 0


@njit(inline="always")
def _word_of_marks(words, number):
    """64 marks as the bits of a number; the product moves the lowest bits of 8 bytes into its highest byte."""
    word = np.uint64(0)
    for byte_number in range(8):
        eight = (words[8 * number + byte_number] * np.uint64(0x0102040810204080)) >> np.uint64(56)
        word |= eight << np.uint64(8 * byte_number)
    return word


@njit(inline="always")
def _prefetch_next_block(times, channels, number):
    """Ask for the tags one block ahead of 64 tags: their transfer then overlaps with counting."""
    first = _NEAR_BLOCK + 64 * number
    for line in range(8):
        prefetch(times, first + 8 * line)
    prefetch(channels, first)


@kernel(flag, Times, Bytes, byte, byte, whole, *_BINNING)
def _near_pairs(times, channels, differ, later, reach, lowest, magic, shift, counts):
    """Pairs along the merged stream, lag by lag, of the tags that still have a partner within reach.

    Returns:
        False, and the counts are incomplete, if a time decreases.
    """
    outside, one = np.uint64(len(counts) - 1), np.uint64(1)
    near, delays = np.empty(_NEAR_BLOCK + 1, np.uint16), np.empty(_NEAR_BLOCK + 1, np.int64)
    marks = np.empty(_NEAR_BLOCK, np.uint8)
    words = marks.view(np.uint64)
    for begin in range(0, len(times) - 1, _NEAR_BLOCK):
        t, c = times[begin:], channels[begin:]
        if not _mark_near(t, reach, marks):
            return False
        # Lag 1 straight from the marks, further lags from the list of tags that go on: a function for the lines
        # which both have in common would cost two reference counts per pair.
        n, lag, pairs, found = np.uint64(len(t)), one, np.uint64(0), np.uint64(0)
        for number in range(_NEAR_BLOCK // 64):
            _prefetch_next_block(t, c, number)
            word = _word_of_marks(words, number)
            while word:
                i = np.uint64(64 * number) + trailing_zeros(word)
                word &= word - one
                j = i + one
                delays[pairs] = t[j] - t[i] if c[j] == later else t[i] - t[j]
                pairs += np.uint64((c[i] ^ c[j]) == differ)
                near[found] = i
                if j + one < n:
                    found += np.uint64(t[j + one] - t[i] <= reach)
        while True:
            for k in range(pairs):
                counts[_bin(delays[k], lowest, magic, shift, outside)] += 1
            if not found:
                break
            nearer, lag, pairs, found = found, lag + one, np.uint64(0), np.uint64(0)
            for k in range(nearer):
                i = np.uint64(near[k])
                j = i + lag
                delays[pairs] = t[j] - t[i] if c[j] == later else t[i] - t[j]
                pairs += np.uint64((c[i] ^ c[j]) == differ)
                near[found] = near[k]
                if j + one < n:
                    found += np.uint64(t[j + one] - t[i] <= reach)
    return True


@kernel(nothing, Times, Bytes, Times, Bytes, byte, byte, whole, *_BINNING)
def _border_pairs(times, channels, old_times, old_channels, differ, later, reach, lowest, magic, shift, counts):
    """Pairs of a tag of an earlier block and one of this."""
    outside = np.uint64(len(counts) - 1)
    for j in range(len(times)):
        i = len(old_times) - 1
        if times[j] - old_times[i] > reach:
            break
        while i >= 0 and times[j] - old_times[i] <= reach:
            delay = times[j] - old_times[i]
            if (old_channels[i] ^ channels[j]) == differ:
                signed = delay if channels[j] == later else -delay
                counts[_bin(signed, lowest, magic, shift, outside)] += 1
            i -= 1


@kernel(flag, Times, Bytes, byte, byte, whole, *_BINNING)
def _dense_pairs(times, channels, start, stop, width, lowest, magic, shift, counts):
    """Pairs of two channels by two pointers on their separate times; returns as `_near_pairs`."""
    if not in_order(times):
        return False
    outside, one = np.uint64(len(counts) - 1), np.uint64(1)
    starts, stops = np.empty(len(times) + 1, np.int64), np.empty(len(times) + 1, np.int64)
    n_starts, n_stops, first = np.uint64(0), np.uint64(0), np.uint64(0)
    for i in range(len(times)):
        starts[n_starts] = stops[n_stops] = times[i]
        n_starts += np.uint64(channels[i] == start)
        n_stops += np.uint64(channels[i] == stop)
    for i in range(n_starts):
        begin = starts[i] + lowest
        while first < n_stops and stops[first] < begin:
            first += one
        j = first
        while j < n_stops and stops[j] - begin < width:
            counts[_bin(stops[j], begin, magic, shift, outside)] += 1
            j += one
    return True


@lru_cache
def _divider(divisor):
    """Factor and shift of `_bin`."""
    bits = (divisor - 1).bit_length()
    return np.uint64(-(-(1 << (63 + bits)) // divisor)), np.uint64(bits)


def add_pairs(times, channels, old_times, old_channels, start, stop, lowest_ps, binwidth_ps, counts):
    """Add the delays stop - start of all pairs whose later tag is new.

    Args:
        times: int64, at least one, of the two channels only.
        channels: uint8.
        old_times: int64, those of earlier blocks that are within reach of the first new one.
        old_channels: uint8.
        start: channel byte; equal to `stop` for the autocorrelation.
        stop: channel byte.
        lowest_ps: lower edge of bin 0, not above 0.
        binwidth_ps: bin width.
        counts: (bins + 1,) int64, updated; the last entry takes what lies outside.

    Returns:
        False, and the counts are incomplete, if a time decreases.
    """
    width_ps = binwidth_ps * (len(counts) - 1)
    reach_ps = max(-lowest_ps, lowest_ps + width_ps - 1)
    binning = (lowest_ps, *_divider(binwidth_ps), counts)
    # In the autocorrelation a pair counts with both signs: once as if its later tag were the stop, once not.
    laters = [stop] if start != stop else [stop, stop ^ 1]
    if len(old_times):
        for later in laters:
            _border_pairs(times, channels, old_times, old_channels, start ^ stop, later, reach_ps, *binning)
    if start != stop and len(times) * reach_ps > _DENSE * (int(times[-1]) - int(times[0])):
        return _dense_pairs(times, channels, start, stop, width_ps, *binning)
    return all(_near_pairs(times, channels, start ^ stop, later, reach_ps, *binning) for later in laters)
