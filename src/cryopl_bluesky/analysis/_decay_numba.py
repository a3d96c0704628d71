"""Compiled decay kernel (engine "numba"); `_decay_numpy` has the same function and gives the same numbers."""

from __future__ import annotations

from numba import types

from ._photon_jit import kernel, nothing

_Reals = types.Array(types.float64, 1, "C")
_Table = types.Array(types.float64, 2, "C")
_real = types.float64


@kernel(nothing, _Reals, _Reals, types.int64, _real, _real, _real, _Table)
def decay_of_pulse(response, slope, lead, r, gain, gain_slope, out):
    """Exponential (x) response by recursion: y[k] = r y[k - 1] + (1 - r) h[k].

    Args:
        response: Response per bin, (N,); bins before `lead` are times before the histogram.
        slope: Its derivative by the shift, (N,).
        lead: Bins of the response before the histogram.
        r: Ratio of the exponential from bin to bin.
        gain: What is left of all earlier pulses at the start, relative to what this pulse leaves at the end; 0 for a
            single pulse.
        gain_slope: d gain / d r.
        out: Written: shape, d shape / d r, d shape / d shift, (3, n).
    """
    share = 1.0 - r
    value, by_r, by_shift = 0.0, 0.0, 0.0
    if gain > 0.0:
        for k in range(response.size):
            by_r = value + r * by_r - response[k]
            value = r * value + share * response[k]
            by_shift = r * by_shift + share * slope[k]
        by_r = gain_slope * value + gain * by_r
        value *= gain
        by_shift *= gain
    for k in range(lead + out.shape[1]):
        by_r = value + r * by_r - response[k]
        value = r * value + share * response[k]
        by_shift = r * by_shift + share * slope[k]
        if k >= lead:
            out[0, k - lead] = value
            out[1, k - lead] = by_r
            out[2, k - lead] = by_shift
