"""Compiled pass over a raw frame (engine "numba"); `_frame_numpy` has the same function and gives the same numbers.

Five rows at a time stay in the nearest cache: each raw pixel is read once from memory and only the binned rows are
written. The inner loops have no branches, so that they are compiled to vector instructions.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from ._photon_jit import kernel

_Raw = types.Array(types.uint16, 2, "C", readonly=True)
_Dark = types.Array(types.float32, 2, "C", readonly=True)
_Whole = types.Array(types.int64, 1, "C", readonly=True)
_Values = types.Array(types.float32, 1, "C", readonly=True)
_Sums = types.Array(types.float64, 2, "C")
_Flags = types.Array(types.uint8, 2, "C")
_FoundAt = types.Array(types.int64, 1, "C")
_Found = types.Array(types.float32, 1, "C")
_real, _whole, _truth = types.float32, types.int64, types.boolean


@njit(inline="always")
def _lower(a, b):
    return a if a < b else b


@njit(inline="always")
def _higher(a, b):
    return a if a > b else b


@kernel(
    _whole, _Raw, _Dark, _Whole, _Whole, _Values, _real, _real, _real, _real, _whole, _whole, _truth,
    _Sums, _Flags, _FoundAt, _Found,
)
def clean(
    raw, dark, hot_starts, hot_columns, hot_values, gain, noise, threshold2, contrast, saturation, bin_rows, search,
    electrons, saturated, hits, hit_values,
):
    """Subtract the dark frame, put the values of hot pixels in, find and replace hits, and sum rows.

    Args:
        raw: ADU, (H, W), H at least 5.
        dark: Dark level in ADU, (H, W), or (1, W) for all rows.
        hot_starts: Where the hot pixels of each row start in the next two, (H + 1,).
        hot_columns: Columns of the hot pixels.
        hot_values: Electrons to put there.
        gain: Electrons per ADU.
        noise: Variance of a pixel without any signal plus 3/8, electrons^2 (see `find_hits`).
        threshold2: Square of the threshold, in units of the variance of a pixel.
        contrast: By which part of its neighbours' level the image of a point may exceed it.
        saturation: ADU from which a pixel is saturated.
        bin_rows: Rows to sum, a divisor of H.
        search: Whether to look for hits.
        electrons: (H / bin_rows, W) zeros, filled with the signal.
        saturated: (H / bin_rows, W) zeros, filled with 1 where a summed pixel was saturated.
        hits: Filled with flat indices of hits.
        hit_values: Filled with the electrons that replaced them.

    Returns:
        Number of hits, also of those for which there was no room.
    """
    rows, columns = raw.shape
    ring, row = np.empty((5, columns), np.float32), np.empty(columns, np.float32)
    hit, bright = np.empty(columns, np.uint8), np.empty(columns, np.uint8)
    others = np.empty(4, np.int64)
    zero, skew = np.float32(0), np.float32(0.25) * threshold2
    filled, found = 0, 0
    for r in range(rows):
        while filled < min(max(r + 3, 5), rows):
            source, level, target = raw[filled], dark[filled if len(dark) > 1 else 0], ring[filled % 5]
            for c in range(columns):
                target[c] = (np.float32(source[c]) - level[c]) * gain
            for k in range(hot_starts[filled], hot_starts[filled + 1]):
                target[hot_columns[k]] = hot_values[k]
            filled += 1
        source, centre = raw[r], ring[r % 5]
        for c in range(columns):
            row[c] = centre[c]
            bright[c] = np.uint8(source[c] >= saturation)
        for k in range(hot_starts[r], hot_starts[r + 1]):
            bright[hot_columns[k]] = 0
        if search:
            first, n = min(max(r - 2, 0), rows - 5), 0
            for other in range(first, first + 5):
                if other != r:
                    others[n] = other % 5
                    n += 1
            any_hit = np.uint8(0)
            p, q, s, t = ring[others[0]], ring[others[1]], ring[others[2]], ring[others[3]]
            for c in range(columns):
                second = _higher(
                    _lower(_higher(p[c], q[c]), _higher(s[c], t[c])), _higher(_lower(p[c], q[c]), _lower(s[c], t[c]))
                )
                lit = _higher(second, zero)
                excess = _higher(centre[c] - second - contrast * lit - skew, zero)
                hit[c] = np.uint8(excess * excess > threshold2 * (lit + noise))
                any_hit |= hit[c]
            if any_hit:
                for c in range(columns):
                    if hit[c]:
                        low_1, high_1 = _lower(p[c], q[c]), _higher(p[c], q[c])
                        low_2, high_2 = _lower(s[c], t[c]), _higher(s[c], t[c])
                        middle = _lower(high_1, high_2) + _higher(low_1, low_2)
                        row[c], bright[c] = np.float32(0.5) * middle, 0
                        if found < len(hits):
                            hits[found], hit_values[found] = r * columns + c, row[c]
                        found += 1
        total, flags = electrons[r // bin_rows], saturated[r // bin_rows]
        for c in range(columns):
            total[c] += np.float64(row[c])
            flags[c] |= bright[c]
    return found
