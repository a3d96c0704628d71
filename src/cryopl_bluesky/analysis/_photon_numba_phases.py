"""Compiled kernels of phases, gates and rates: part of the engine "numba"."""

from __future__ import annotations

import numpy as np
from numba import njit

from ._photon_jit import Bytes, Flags, Integers, Rows, Times, byte, flag, float_of_bits, kernel, nothing, whole

_BLOCK = 1 << 11
_EXACT = float(1 << 49)
_TWO_52 = float(1 << 52)
_BITS_OF_TWO_52 = 0x433 << 52


@kernel(Integers, Times, Bytes, byte, whole)
def elapsed(times, channels, sync, newest):
    """Time since the newest sync tag that is not later, int64 ps.

    Args:
        times: int64.
        channels: uint8.
        sync: channel byte.
        newest: sync tag before the block.
    """
    result = np.empty(len(times), np.int64)
    tied = False
    for i in range(len(times)):
        before = max(i - 1, 0)
        newest = times[i] if channels[i] == sync else newest
        result[i] = times[i] - newest
        tied |= (channels[i] == sync) & (times[before] == times[i]) & (result[before] != 0)
    if tied:  # a sync tag among tags of its own time serves those before it in the stream, too
        for i in range(len(times) - 1, 0, -1):
            if result[i] == 0 and times[i - 1] == times[i]:
                result[i - 1] = 0
    return result


@njit(inline="always")
def _phase(rest, parts, per):
    """(rest * parts) mod per for 0 <= rest < per: a float guesses the quotient, off by one at most."""
    phase = rest * parts - np.int64(rest * (parts / per)) * per  # wraps around 2**64 and back: the result is small
    if phase < 0:
        phase += per
    return phase - per if phase >= per else phase


@kernel(nothing, Times, Bytes, Bytes, flag, whole, whole, whole, whole, Rows)
def add_phases(values, channels, clicks, ordered, origin, parts, per, per_bin, counts):
    """Add the bins ((value - origin) * parts mod per) // per_bin of each click channel to its row.

    In the fast branch floats only say in which bin the phase r + 1/2 lies, r the integer phase in 1/parts ps. It is
    never closer than 1/2 to the edge of a bin, and roundings put it wrong by at most 6 * 2**-53 times
    ((value - base) * parts + per), which is below 0.38: the bin is that of the integer r.

    Args:
        values: int64 times, or times since a sync (then `ordered` is False, all >= 0, and `origin` 0).
        channels: uint8.
        clicks: channel bytes.
        ordered: whether the values never decrease.
        origin: phase zero, 0 <= origin < per.
        parts: the period is per/parts ps.
        per: see there.
        per_bin: parts * bin width.
        counts: (1 + clicks, bins + 1) int64, updated; row 0 takes the other channels, the last column the phases
            beyond the bins.
    """
    row_length, flat = counts.shape[1], counts.ravel()
    indices = np.empty(_BLOCK, np.int32)
    last = float(row_length - 1)
    inverse, half, scale = parts / per, 0.5 / per, per / per_bin
    for begin in range(0, len(values), _BLOCK):
        v, c = values[begin : begin + _BLOCK], channels[begin : begin + _BLOCK]
        base = v[0] - (v[0] - origin) % per if ordered else np.int64(0)
        top = v[len(v) - 1]
        if not ordered:
            for value in v:
                top = max(top, value)
        if np.float64(np.uint64(top - base)) * parts + per < _EXACT:
            shift = _BITS_OF_TWO_52 - base
            for i in range(len(v)):
                # An integer below 2**52 added to the bits of 2.0**52 makes that float plus the integer.
                periods = (float_of_bits(v[i] + shift) - _TWO_52) * inverse + half
                bin_ = (periods - np.floor(periods)) * scale
                indices[i] = np.int32(bin_ if bin_ < last else last)
        else:
            for i in range(len(v)):
                indices[i] = min(_phase((v[i] - origin) % per, parts, per) // per_bin, row_length - 1)
        for row in range(len(clicks)):
            step, click = np.int32((row + 1) * row_length), clicks[row]
            for i in range(len(v)):
                indices[i] += step if c[i] == click else np.int32(0)
        for i in range(len(v)):
            flat[np.uint32(indices[i])] += 1


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
