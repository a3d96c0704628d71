"""Compiled kernels of phases, gates and rates: part of the engine "numba"."""

from __future__ import annotations

import numpy as np
from numba import njit

from ._photon_jit import (
    Bytes,
    Flags,
    Integers,
    Rows,
    Times,
    byte,
    flag,
    float_of_bits,
    kernel,
    nothing,
    prefetch,
    whole,
)

_BLOCK = 1 << 11
_LINE = 8
_EXACT = float(1 << 49)
_TWO_52 = float(1 << 52)
_BITS_OF_TWO_52 = 0x433 << 52


@kernel(whole, Times, Bytes, byte, whole, Integers)
def elapsed(times, channels, sync, newest, result):
    """Write the time of each tag since the newest sync tag that is not later; of a sync tag anything from 0 on.

    Args:
        times: int64.
        channels: uint8.
        sync: channel byte.
        newest: sync tag before the block.
        result: int64, written; as long as `times`.

    Returns:
        The newest sync tag of the block, or else `newest`.
    """
    tied = False
    for i in range(len(times)):
        is_sync, before = channels[i] == sync, max(i - 1, 0)
        newest = times[i] if is_sync else newest
        # Sync tags get different values, because to raise one and the same count at each of them is slow.
        result[i] = (i & 255) << 8 if is_sync else times[i] - newest
        tied |= is_sync & (times[before] == times[i]) & (channels[before] != sync)
    if tied:  # a sync tag among tags of its own time serves those before it in the stream, too
        later = newest + 1
        for i in range(len(times) - 1, -1, -1):
            later = times[i] if channels[i] == sync else later
            if times[i] == later and channels[i] != sync:
                result[i] = 0
    return newest


@njit(inline="always")
def _phase(rest, parts, per):
    """(rest * parts) mod per for 0 <= rest < per: a float guesses the quotient, off by one at most."""
    phase = rest * parts - np.int64(rest * (parts / per)) * per  # wraps around 2**64 and back: the result is small
    if phase < 0:
        phase += per
    return phase - per if phase >= per else phase


@kernel(flag, Times, Bytes, Bytes, flag, whole, whole, whole, whole, Rows)
def add_phases(values, channels, clicks, ordered, origin, parts, per, per_bin, counts):
    """Add the bins ((value - origin) * parts mod per) // per_bin of each click channel to its row.

    In the fast branch floats only say in which bin the phase r + 1/2 lies, r the integer phase in 1/parts ps. It is
    never closer than 1/2 to the edge of a bin, and roundings put it wrong by at most 6 * 2**-53 times
    ((value - base) * parts + per), which is below 0.38: the bin is that of the integer r.

    Args:
        values: int64 times, or times since a sync (then `ordered` is False).
        channels: uint8.
        clicks: channel bytes.
        ordered: whether the values are times and may not decrease.
        origin: phase zero, 0 <= origin < per for times, -per < origin <= 0 for times since a sync.
        parts: the period is per/parts ps.
        per: see there.
        per_bin: parts * bin width.
        counts: (1 + clicks, bins + 1) int64, updated; row 0 takes the other channels, the last column the phases
            beyond the bins.

    Returns:
        False, and the counts are incomplete, if a time decreases.
    """
    row_length, flat = counts.shape[1], counts.ravel()
    indices = np.empty(_BLOCK, np.int32)
    last = float(row_length - 1)
    inverse, half, scale = parts / per, 0.5 / per, per / per_bin
    for begin in range(0, len(values), _BLOCK):
        v, c = values[begin : begin + _BLOCK], channels[begin : begin + _BLOCK]
        after = values[begin + 1 : begin + _BLOCK + 1]
        base = v[0] - (v[0] - origin) % per if ordered else origin
        top = v[len(v) - 1]
        if not ordered:
            for value in v:
                top |= value  # not below the highest of them, and faster to find
        done, gaps = 0, np.int64(0)
        if np.float64(np.uint64(top - base)) * parts + per < _EXACT:
            done, shift = len(after), _BITS_OF_TWO_52 - base
            for i in range(done):
                # An integer below 2**52 added to the bits of 2.0**52 makes that float plus the integer.
                periods = (float_of_bits(v[i] + shift) - _TWO_52) * inverse + half
                bin_ = (periods - np.floor(periods)) * scale
                indices[i] = np.int32(bin_ if bin_ < last else last)
                gaps |= after[i] - v[i]
        for i in range(done, len(v)):
            indices[i] = min(_phase((v[i] - origin) % per, parts, per) // per_bin, row_length - 1)
            if i < len(after):
                gaps |= after[i] - v[i]
        if ordered and gaps < 0:
            return False
        for row in range(len(clicks)):
            step, click = np.int32((row + 1) * row_length), clicks[row]
            for i in range(len(v)):
                indices[i] += step if c[i] == click else np.int32(0)
        for i in range(len(v)):
            if i % _LINE == 0:  # the next block comes from the memory while this one is counted
                prefetch(values, begin + _BLOCK + i)
            flat[np.uint32(indices[i])] += 1
    return True


@kernel(Flags, Times, Bytes, Bytes, whole, whole, whole, whole, whole)
def in_gate(values, channels, clicks, origin, parts, per, begin, end):
    """Whether to keep each tag: all but clicks whose phase is outside the gate.

    Args:
        values: int64 times, or times since a sync.
        channels: uint8.
        clicks: channel bytes.
        origin: phase zero, 0 <= origin < per; 0 behind a sync.
        parts: the period is per/parts ps.
        per: see there; 0: the value itself is the phase.
        begin: lowest phase to keep, in 1/parts ps.
        end: first phase beyond the gate.
    """
    keep = np.ones(len(values), np.bool_)
    for i in range(len(values)):
        is_click = False
        for click in clicks:
            is_click |= channels[i] == click
        if is_click:
            phase = _phase((values[i] - origin) % per, parts, per) if per else values[i]
            keep[i] = begin <= phase < end
    return keep


@kernel(nothing, Times, Bytes, Bytes, whole, whole, Rows)
def add_rates(times, channels, wanted, begin, binwidth, counts):
    """Count the tags of each channel per time bin.

    Args:
        times: int64, none before `begin`.
        channels: uint8.
        wanted: channel byte of each row.
        begin: lower edge of bin 0.
        binwidth: bin width.
        counts: (channels, bins) int64, updated; the bins reach beyond the last time.
    """
    row_of = np.full(256, -1, np.int64)
    for row in range(len(wanted)):
        row_of[wanted[row]] = row
    bin_, edge = np.int64(-1), begin
    for i in range(len(times)):
        if bin_ < 0 or times[i] - edge >= binwidth:
            bin_ = (times[i] - begin) // binwidth
            edge = begin + bin_ * binwidth
        row = row_of[channels[i]]
        if row >= 0:
            counts[row, bin_] += 1
