"""Tag streams drawn by hypothesis, and photon counting as one would write it down, in Python integers."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
from hypothesis import strategies as st

ENGINES = ("numba", "numpy")
CLICK, OTHER_CLICK, SYNC, UNUSED = -1, 2, -3, 5

# Few distinct gaps, so that ties and delays on the edge of a bin are common; now and then a huge one.
gaps = st.one_of(st.integers(0, 3), st.integers(0, 60), st.sampled_from([0, 5, 10, 25, 1000, 2**33, 2**45]))
origins = st.sampled_from([0, 7, -40, 2**31 - 5, 2**53 + 1, 2**62 - 3, 2**62 + 2**61])
dtypes = st.sampled_from([np.int8, np.int16, np.int32, np.int64])


@st.composite
def streams(draw, max_tags=40):
    """Times, channels, and the chunks they are fed in, some of them empty."""
    steps = draw(st.lists(st.tuples(gaps, st.sampled_from([CLICK, OTHER_CLICK, SYNC, UNUSED])), max_size=max_tags))
    times = draw(origins) + np.cumsum([step[0] for step in steps], dtype=np.int64)
    channels = np.array([step[1] for step in steps], draw(dtypes))
    cuts = sorted(draw(st.lists(st.integers(0, len(steps)), max_size=5)))
    edges = [0, *cuts, len(steps)]
    return times, channels, [(times[a:b], channels[a:b]) for a, b in pairwise(edges)]


def of(times, channels, channel):
    return [int(t) for t, c in zip(times, channels, strict=True) if c == channel]


def histogram(values, binwidth, bins, lowest=0):
    counts = [0] * bins
    for value in values:
        bin_ = (value - lowest) // binwidth
        if 0 <= bin_ < bins:
            counts[bin_] += 1
    return counts


def correlation(times, channels, start, stop, binwidth, bins):
    starts, stops = of(times, channels, start), of(times, channels, stop)
    delays = [b - a for i, a in enumerate(starts) for j, b in enumerate(stops) if start != stop or i != j]
    return histogram(delays, binwidth, bins, -(bins // 2) * binwidth - binwidth // 2)


def decay(times, channels, click, sync, binwidth, bins):
    syncs = of(times, channels, sync)
    return histogram([c - s for c in of(times, channels, click) for s in syncs if s <= c], binwidth, bins)


def phases(times, channels, click, period, origin=0, sync=None):
    """Phase of each click, None before the first sync tag."""
    result = []
    for t in of(times, channels, click):
        before = [s for s in of(times, channels, sync) if s <= t] if sync is not None else [0]
        if not before:
            result.append(None)
            continue
        delay = Fraction(t - max(before) - origin)
        result.append(delay % period if period is not None else delay)
    return result


def add_all(accumulator, chunks):
    for chunk in chunks:
        accumulator.add(*chunk)
    return accumulator.counts
