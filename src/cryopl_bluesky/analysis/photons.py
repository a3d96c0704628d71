"""Photon streams: g2, decays, maps and count rates from time tags, chunk by chunk, in whole picoseconds.

A stream is a sequence of chunks `(times_ps, channels)`: int64 times in time order and the channel number of each tag
(negative numbers are falling edges). An accumulator counts each chunk it is given and gives the same counts however
the stream is cut; it keeps only the tags that can still matter, so a file may be longer than the memory.

    >>> import numpy as np
    >>> times_ps = np.array([0, 40, 1_000, 1_030, 2_000], np.int64)
    >>> channels = np.array([1, 2, 1, 2, 1], np.int8)
    >>> g2 = CrossCorrelation(1, 2, binwidth_ps=10, bins=9)
    >>> g2.add(times_ps[:3], channels[:3])
    >>> g2.add(times_ps[3:], channels[3:])
    >>> g2.counts.tolist()
    [0, 0, 0, 0, 0, 0, 0, 1, 1]

* `CrossCorrelation`, `DecayHistogram`: all pairs of two channels;
* `PeriodicDecayHistogram`, `decay_map`: the phase of clicks in the laser period, which may be any fraction;
* `RateTrace`: counts per time bin;
* `within`, `gated`: streams with some of the tags left out;
* `accumulate`: feeds a stream to several accumulators.

The kernels are compiled (numba) where numba is installed, else numpy; both give the same integers.
"""

from __future__ import annotations

from ._photon_pairs import CrossCorrelation, DecayHistogram
from ._photon_phases import PeriodicDecayHistogram, decay_map
from ._photon_rates import RateTrace
from ._photon_selections import Accumulator, accumulate, gated, within
from ._photon_stream import Chunk, Engine

__all__ = [
    "Accumulator",
    "Chunk",
    "CrossCorrelation",
    "DecayHistogram",
    "Engine",
    "PeriodicDecayHistogram",
    "RateTrace",
    "accumulate",
    "decay_map",
    "gated",
    "within",
]
