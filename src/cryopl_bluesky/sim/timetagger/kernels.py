"""Compiled histogram loops of the virtual tagger's measurements; exact across block borders."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def add_histogram(starts_ps, clicks_ps, binwidth_ps, histogram):
    """Add all delays click - start >= 0 (multiple start, multiple stop), bin i = [i, i+1) bin widths.

    Args:
        starts_ps: int64 in time order, including those of earlier blocks that can still matter.
        clicks_ps: int64 in time order.
        binwidth_ps: bin width.
        histogram: (n_bins,) int32, updated.
    """
    range_ps = binwidth_ps * len(histogram)
    first = 0
    for click_ps in clicks_ps:
        while first < len(starts_ps) and click_ps - starts_ps[first] >= range_ps:
            first += 1
        i = first
        while i < len(starts_ps) and starts_ps[i] <= click_ps:
            histogram[(click_ps - starts_ps[i]) // binwidth_ps] += 1
            i += 1


@njit(cache=True, nogil=True)
def add_autohistogram(times_ps, n_old, binwidth_ps, histogram):
    """Add all delays > 0 between events of one channel whose later event is new.

    Args:
        times_ps: int64 in time order; the first `n_old` come from earlier blocks.
        n_old: number of events that are not new.
        binwidth_ps: bin width.
        histogram: (n_bins,) int32, updated.
    """
    range_ps = binwidth_ps * len(histogram)
    for j in range(n_old, len(times_ps)):
        i = j - 1
        while i >= 0 and times_ps[j] - times_ps[i] < range_ps:
            histogram[(times_ps[j] - times_ps[i]) // binwidth_ps] += 1
            i -= 1


@njit(cache=True, nogil=True)
def add_correlation(times_ps, is_stop, n_old, both, binwidth_ps, lowest_ps, histogram):
    """Add the delays stop - reference of all pairs whose later event is new.

    Args:
        times_ps: int64 times of both channels in time order; the first `n_old` come from earlier blocks.
        is_stop: bool, True for events of channel 1.
        n_old: number of events that are not new.
        both: True for the autocorrelation: every event is stop and reference.
        binwidth_ps: bin width.
        lowest_ps: lower edge of bin 0.
        histogram: (n_bins,) int32, updated.
    """
    n_bins = len(histogram)
    reach_ps = max(-lowest_ps, lowest_ps + n_bins * binwidth_ps)
    for j in range(n_old, len(times_ps)):
        i = j - 1
        while i >= 0:
            delay_ps = times_ps[j] - times_ps[i]
            if delay_ps > reach_ps:
                break
            if both or is_stop[i] != is_stop[j]:
                signed_ps = delay_ps if (both or is_stop[j]) else -delay_ps
                bin_ = (signed_ps - lowest_ps) // binwidth_ps
                if 0 <= bin_ < n_bins:
                    histogram[bin_] += 1
                if both:
                    bin_ = (-delay_ps - lowest_ps) // binwidth_ps
                    if 0 <= bin_ < n_bins:
                        histogram[bin_] += 1
            i -= 1


@njit(cache=True)  # mostly called for a few tags: to hand over the interpreter would cost more
def add_counts(times_ps, channels, rows, origin_ps, binwidth_ps, newest, last, ring, lost, totals):
    """Count the tags of some channels in time bins that are stored in a ring.

    The bins behind `newest` are emptied first. `newest` itself may go on; bins that left the ring are dropped.

    Args:
        times_ps: int64 tags, from `origin_ps` on.
        channels: int32 channel of each tag.
        rows: (n,) int32 channel of each row.
        origin_ps: begin of bin 0.
        binwidth_ps: bin width.
        newest: number of the last bin of the tags before.
        last: number of the last bin of these tags.
        ring: (n, size) int32, bin i in column i modulo size, updated.
        lost: (size,) int8, bins in which tags were lost, updated.
        totals: (n,) uint64, updated.
    """
    size = ring.shape[1]
    oldest = last - size + 1
    for bin_ in range(max(newest + 1, oldest), last + 1):
        ring[:, bin_ % size] = 0
        lost[bin_ % size] = 0
    for i in range(len(times_ps)):
        for row in range(len(rows)):
            if channels[i] == rows[row]:
                totals[row] += np.uint64(1)
                bin_ = (times_ps[i] - origin_ps) // binwidth_ps
                if bin_ >= oldest:
                    ring[row, bin_ % size] += 1


@njit(cache=True, nogil=True)
def first_clicks(times_ps, is_start, pending_ps):
    """Delays from each start to the first click after it.

    Args:
        times_ps: int64 times of both channels in time order, starts before clicks of the same time.
        is_start: bool.
        pending_ps: start of an earlier block that still waits, or -1.

    Returns:
        int64 delays, and the start that still waits or -1.
    """
    delays = np.empty(len(times_ps), np.int64)
    count = 0
    for i in range(len(times_ps)):
        if is_start[i]:
            pending_ps = times_ps[i]
        elif pending_ps >= 0:
            delays[count] = times_ps[i] - pending_ps
            count += 1
            pending_ps = np.int64(-1)
    return delays[:count], pending_ps
