"""Compiled decay kernels (engine "numba"); `_decay_numpy` has the same functions and gives the same numbers."""

from __future__ import annotations

import numpy as np
from numba import types

from ._photon_jit import kernel, nothing

_Reals = types.Array(types.float64, 1, "C")
_Table = types.Array(types.float64, 2, "C")
_Integers = types.Array(types.int64, 1, "C")
_real = types.float64


@kernel(nothing, _Reals, _Reals, types.int64, types.int64, _real, _real, _real, _Table)
def decay_of_pulse(response, slope, lead, remembered, r, gain, gain_slope, out):
    """Exponential (x) response by recursion: y[k] = r y[k - 1] + (1 - r) h[k].

    Args:
        response: Response per bin, (N,); bins before `lead` are times before the histogram.
        slope: Its derivative by the shift, (N,).
        lead: Bins of the response before the histogram.
        remembered: Bins after which nothing is left of the exponential: earlier ones do not matter for later pulses.
        r: Ratio of the exponential from bin to bin.
        gain: What is left of all earlier pulses at the start, relative to what this pulse leaves at the end; 0 for a
            single pulse.
        gain_slope: d gain / d r.
        out: Written: shape, d shape / d r, d shape / d shift, (3, n).
    """
    share = 1.0 - r
    value, by_r, by_shift = 0.0, 0.0, 0.0
    if gain > 0.0:
        for k in range(max(0, response.size - remembered), response.size):
            by_r = (value - response[k]) + r * by_r
            value = r * value + share * response[k]
            by_shift = r * by_shift + share * slope[k]
        by_r = gain_slope * value + gain * by_r
        value *= gain
        by_shift *= gain
    for k in range(lead + out.shape[1]):
        by_r = (value - response[k]) + r * by_r
        value = r * value + share * response[k]
        by_shift = r * by_shift + share * slope[k]
        if k >= lead:
            out[0, k - lead] = value
            out[1, k - lead] = by_r
            out[2, k - lead] = by_shift


@kernel(nothing, _Reals, types.int64, _Reals, _Reals, _Integers, _Table)
def joined_decays(response, lead, r, gain, edges, out):
    """Exponentials (x) response as `decay_of_pulse`, for several lifetimes at once, summed over groups of bins.

    Args:
        response: Response per bin, (N,).
        lead: Bins of the response before the histogram.
        r: Ratios of the exponentials from bin to bin, (c,).
        gain: What is left of all earlier pulses, (c,).
        edges: First bins of the groups and the bin after the last group, (g + 1,).
        out: Added to: sums over the groups, (g, c).
    """
    value, share = np.zeros(r.size), 1.0 - r
    if gain.max() > 0.0:
        for k in range(response.size):
            for i in range(r.size):
                value[i] = r[i] * value[i] + share[i] * response[k]
        for i in range(r.size):
            value[i] *= gain[i]
    for k in range(lead + edges[0]):
        for i in range(r.size):
            value[i] = r[i] * value[i] + share[i] * response[k]
    for group in range(edges.size - 1):
        for k in range(lead + edges[group], lead + edges[group + 1]):
            for i in range(r.size):
                value[i] = r[i] * value[i] + share[i] * response[k]
                out[group, i] += value[i]
