"""Photon kernels in plain numpy (engine "numpy"): the functions of `_photon_numba`, the same integers."""

from __future__ import annotations

import numpy as np

BLOCK = 1 << 18
"""Tags handed to a kernel at once: enough to hide the cost of the calls, few enough for the cache."""

_EXACT = float(1 << 49)


def in_order(times):
    """Whether the times never decrease."""
    return bool((times[1:] >= times[:-1]).all())


def only(times, channels, first, second):
    """The tags of two channels; without a copy if there are no others."""
    wanted = (channels == first) | (channels == second)
    if wanted.all():
        return times, channels
    kept = np.flatnonzero(wanted)
    return times.take(kept), channels.take(kept)


def add_pairs(times, channels, old_times, old_channels, start, stop, lowest_ps, binwidth_ps, counts):
    """Add the delays stop - start of all pairs whose later tag is new, lag by lag; arguments as in `_photon_numba`.

    `take(flatnonzero(...))` is several times faster than indexing by a mask, and products are than `where`.
    """
    outside, n_old = len(counts) - 1, len(old_times)
    reach = max(-lowest_ps, lowest_ps + binwidth_ps * outside - 1)
    if n_old:
        times, channels = np.concatenate([old_times, times]), np.concatenate([old_channels, channels])
    is_stop, gaps = channels == stop, times[1:] - times[:-1]
    if gaps.min(initial=0) < 0:
        return False
    near, lag = np.flatnonzero(gaps <= reach), 1
    while len(near):
        partner = near + lag
        wanted = partner >= n_old if n_old else np.True_
        if start != stop:
            wanted = wanted & (is_stop.take(near) != is_stop.take(partner))
        i = near.take(np.flatnonzero(np.broadcast_to(wanted, near.shape)))
        delay = times.take(i + lag) - times.take(i)
        if start == stop:
            delay = np.concatenate([delay, -delay])
        else:
            delay *= is_stop.take(i + lag) * np.int64(2) - 1
        # A delay below the lowest bin wraps to a number far above the highest.
        bins = (delay - lowest_ps).view(np.uint64) // np.uint64(binwidth_ps)
        np.add.at(counts, np.minimum(bins, np.uint64(outside)).view(np.int64), 1)
        lag += 1
        near = near[: np.searchsorted(near, len(times) - lag)]
        near = near.take(np.flatnonzero(times.take(near + lag) - times.take(near) <= reach))
    return True


def elapsed(times, channels, sync, newest, result):
    """Write the time of each tag since the newest sync tag that is not later; arguments as in `_photon_numba`."""
    is_sync = channels == sync
    latest = np.full(len(times), newest, np.int64)
    np.copyto(latest, times, where=is_sync)
    np.maximum.accumulate(latest, out=latest)
    if (is_sync[1:] & (times[1:] == times[:-1])).any():
        # A sync tag among tags of its own time serves those before it in the stream, too.
        latest = latest.take(np.searchsorted(times, times, side="right") - 1)
    np.subtract(times, latest, out=result)
    return int(latest[-1]) if len(latest) else newest


def _phases(values, origin, parts, per):
    """(value - origin) * parts mod per, exact: the float guess of the quotient is off by one at most."""
    whole = (values - origin) % per
    rest = whole * parts - (whole * (parts / per)).astype(np.int64) * per  # wraps around 2**64 and back
    rest[rest < 0] += per
    rest[rest >= per] -= per
    return rest


def add_phases(values, channels, clicks, ordered, origin, parts, per, per_bin, counts):
    """Add the phases of each click channel to its row; arguments as in `_photon_numba`."""
    if ordered and not in_order(values):
        return False
    row_length = counts.shape[1]
    base = values[0] - (values[0] - origin) % per if ordered else origin
    top = values[-1] if ordered else values.max()
    if (int(top) - int(base)) * parts + per < _EXACT:
        periods = (values - base).astype(np.float64)
        periods *= parts / per
        periods += 0.5 / per
        periods -= np.floor(periods)
        periods *= per / per_bin
        np.minimum(periods, row_length - 1, out=periods)
        bins = periods.astype(np.int64)
    else:
        bins = np.minimum(_phases(values, origin, parts, per) // per_bin, row_length - 1)
    row_begin = np.zeros(256, np.int64)
    row_begin[clicks] = np.arange(1, len(clicks) + 1) * row_length
    bins += row_begin[channels]
    flat = counts.reshape(-1)
    flat += np.bincount(bins, minlength=len(flat))
    return True


def in_gate(values, channels, clicks, origin, parts, per, begin, end):
    """Whether to keep each tag; arguments as in `_photon_numba`."""
    phases = _phases(values, origin, parts, per) if per else values
    is_click = np.zeros(256, np.bool_)
    is_click[clicks] = True
    return ~is_click[channels] | ((phases >= begin) & (phases < end))


def add_rates(times, channels, wanted, begin, binwidth, counts):
    """Count the tags of each channel per time bin; arguments as in `_photon_numba`."""
    bins = (times - begin) // binwidth
    for row, channel in enumerate(wanted):
        own = bins.take(np.flatnonzero(channels == channel))
        if len(own):
            filled = np.bincount(own - own[0])
            counts[row, own[0] : own[0] + len(filled)] += filled
