"""Decay kernels without compiler (engine "numpy"); `_decay_numba` has the same functions and gives the same numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from ._checks import Floats


def decay_of_pulse(
    response: Floats,
    slope: Floats,
    lead: int,
    remembered: int,
    r: float,
    gain: float,
    gain_slope: float,
    out: Floats,
) -> None:
    """Exponential (x) response by recursion; arguments as in `_decay_numba.decay_of_pulse`."""
    start = np.zeros(3)
    if gain > 0.0:
        latest = _recursions(response[-remembered:], slope[-remembered:], r, start)
        value, by_r, by_shift = (states[-1] for states in latest)
        start = np.array([gain * value, gain_slope * value + gain * by_r, gain * by_shift])
    stop = lead + out.shape[1]
    for row, states in zip(out, _recursions(response[:stop], slope[:stop], r, start), strict=True):
        row[:] = states[lead:]


def joined_decays(
    response: Floats, lead: int, r: Floats, gain: Floats, edges: NDArray[np.int64], out: Floats
) -> None:
    """Several lifetimes summed over groups of bins; arguments as in `_decay_numba.joined_decays`."""
    for i in range(r.size):
        before = gain[i] * _filter(1.0 - r[i], r[i], response, 0.0)[-1] if gain[i] > 0.0 else 0.0
        values = _filter(1.0 - r[i], r[i], response, before)[lead + edges[0] : lead + edges[-1]]
        out[:, i] += np.add.reduceat(values, edges[:-1] - edges[0])


def _recursions(response: Floats, slope: Floats, r: float, start: Floats) -> tuple[Floats, Floats, Floats]:
    value = _filter(1.0 - r, r, response, start[0])
    by_r = _filter(1.0, r, np.append(start[0], value[:-1]) - response, start[1])
    return value, by_r, _filter(1.0 - r, r, slope, start[2])


def _filter(weight: float, r: float, signal: Floats, before: float) -> Floats:
    """Return y[k] = r y[k - 1] + weight signal[k], with y[-1] = before."""
    return np.asarray(lfilter([weight], [1.0, -r], signal, zi=[r * before])[0])
