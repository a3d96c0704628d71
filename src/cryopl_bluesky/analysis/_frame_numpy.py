"""The pass over a raw frame in plain numpy (engine "numpy"), and the neighbouring-row test it consists of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[Any]


def neighbour_levels(frame: Frame) -> tuple[Frame, Frame]:
    """Second highest and median of the four nearest rows at every pixel, both (H, W).

    A hit of up to two rows in one column leaves at least three of the four neighbours clean, so the second highest
    is a level of light only. Whatever is three or more rows high has two neighbours as bright as itself.

    Args:
        frame: (H, W), H at least 5; the first and last rows take their neighbours from inside.
    """
    rows = len(frame)
    first = np.clip(np.arange(rows) - 2, 0, rows - 5)
    others = [first + k + (first + k >= np.arange(rows)) for k in range(4)]
    p, q, s, t = (frame[rows_k] for rows_k in others)
    upper, lower = np.minimum(np.maximum(p, q), np.maximum(s, t)), np.maximum(np.minimum(p, q), np.minimum(s, t))
    half = frame.dtype.type(0.5)
    return np.maximum(upper, lower), half * (upper + lower)


def find_hits(frame: Frame, second: Frame, noise: Any, threshold2: Any, contrast: Any) -> NDArray[np.bool_]:
    """Pixels above their neighbours by more than noise and optics can make, (H, W).

    On the scale 2 sqrt(n + 3/8 + read^2) a Poisson number with read noise has variance 1 at any brightness (Anscombe
    1948). A distance t there is a distance t sqrt(n + 3/8 + read^2) + t^2/4 in electrons: the second part is the long
    tail of few photons.

    Args:
        frame: Electrons, (H, W).
        second: Level of the neighbours, from `neighbour_levels`.
        noise: Variance of a pixel without signal plus 3/8, electrons^2, number or (H, W).
        threshold2: t^2.
        contrast: By which part of `second` the image of a point may exceed it.
    """
    zero, skew = frame.dtype.type(0), frame.dtype.type(0.25) * frame.dtype.type(threshold2)
    lit = np.maximum(second, zero)
    excess = np.maximum(frame - second - contrast * lit - skew, zero)
    return excess * excess > threshold2 * (lit + noise)


def clean(
    raw, dark, hot_starts, hot_columns, hot_values, gain, noise, threshold2, contrast, saturation, bin_rows, search,
    electrons, saturated, hits, hit_values,
):
    """As `_frame_numba.clean`."""
    frame = (raw.astype(np.float32) - dark) * gain
    bright = raw >= saturation
    hot_rows = np.repeat(np.arange(len(raw)), np.diff(hot_starts))
    frame[hot_rows, hot_columns] = hot_values
    bright[hot_rows, hot_columns] = False
    found = np.empty(0, np.int64)
    if search:
        second, middle = neighbour_levels(frame)
        found = np.flatnonzero(find_hits(frame, second, noise, threshold2, contrast))
        stored = found[: len(hits)]
        hits[: len(stored)], hit_values[: len(stored)] = stored, middle.ravel()[stored]
        frame.ravel()[found], bright.ravel()[found] = middle.ravel()[found], False
    shape = (len(raw) // bin_rows, bin_rows, -1)
    frame.reshape(shape).sum(axis=1, dtype=np.float64, out=electrons)
    saturated[:] = bright.reshape(shape).any(axis=1)
    return len(found)
