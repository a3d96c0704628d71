"""Start values of decay fits: where the pulse is, and which lifetimes of a grid explain the decay best."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from ._checks import Floats
from ._decay_model import DecayModel, rise_bin

_GROUPS = 120
_GRID = 12
_STARTS = 3


def start_values(
    counts: Floats,
    window: slice,
    dt_ns: float,
    model: DecayModel,
    components: int,
    shift_ns: float | None,
    background: float | None,
    known: tuple[float, float] | None,
) -> Iterator[Floats]:
    """Yield start vectors (N_1.., ln tau_1.., shift, background), the most promising first.

    All combinations of lifetimes from a logarithmic grid are fitted, linearly, to the counts joined to groups of about
    equal counts. That is a search of the whole range, and cheap.

    Args:
        counts: All counts of the histogram, (n,).
        window: Bins to be fitted.
        dt_ns: Bin width.
        model: Shape of one exponential.
        components: Number of exponentials.
        shift_ns: Fixed shift, or None.
        background: Fixed background per bin, or None.
        known: Mean arrival time and shift of an earlier fit with fewer components, or None.
    """
    if known is not None:
        mean_ns, shift = known
    else:
        mean_ns, shift = mean_and_shift(counts, dt_ns, model)
    shift = shift if shift_ns is None else shift_ns
    shortest = max(0.3 * model.irf_fwhm_ns, 0.7 * dt_ns)
    longest = max(min(8.0 * mean_ns, 2.0 * (window.stop - window.start) * dt_ns), 4.0 * shortest)
    grid_ns = np.exp(np.linspace(np.log(shortest), np.log(longest), _GRID))
    n = counts[window]
    edges = _equal_groups(n)
    shapes = model.joined(grid_ns, shift, window.start + edges)
    joined = np.add.reduceat(n, edges[:-1])
    for chosen, weights in _best_combinations(joined, shapes, np.diff(edges), components, background):
        yield np.concatenate([weights[:-1], np.log(grid_ns[chosen]), [shift, weights[-1]]])
    # Nothing on the grid has all components above zero: spread them around the mean.
    level = background if background is not None else 0.1 * float(n.mean())
    share = max(float(n.sum()) - level * n.size, 0.1 * float(n.sum())) / components
    spread = np.geomspace(0.4, 1.6, components) if components > 1 else np.ones(1)
    yield np.concatenate([np.full(components, share), np.log(mean_ns * spread), [shift, level]])


def mean_and_shift(counts: Floats, dt_ns: float, model: DecayModel) -> tuple[float, float]:
    """Mean arrival time after the rise, and the shift at which a decay of that lifetime rises where the counts do."""
    rise_ns, mean_ns = _rise_and_mean(counts, dt_ns, model.irf_fwhm_ns)
    shift = model.shift_for_rise(rise_ns)
    if model.irf_fwhm_ns > 0.0:
        shape = np.maximum(model(mean_ns, shift)[0], 0.0)
        shift += rise_ns - _rise_and_mean(shape, dt_ns, model.irf_fwhm_ns)[0]
    return mean_ns, shift


def _rise_and_mean(counts: Floats, dt_ns: float, irf_fwhm_ns: float) -> tuple[float, float]:
    """Rise of the decay (ns) and its mean arrival time after the rise (ns)."""
    width = max(1, int(0.3 * irf_fwhm_ns / dt_ns))
    rise = rise_bin(uniform_filter1d(counts, width, mode="wrap"))
    rolled = np.roll(counts, counts.size // 20 - int(rise))
    floor = float(rolled[: max(1, counts.size // 40)].mean())
    signal = rolled[counts.size // 20 :] - floor
    t_ns = (np.arange(signal.size) + 0.5) * dt_ns
    mean = float(signal @ t_ns / signal.sum()) if signal.sum() > 0 else 0.1 * counts.size * dt_ns
    return rise * dt_ns, float(np.clip(mean, dt_ns, counts.size * dt_ns))


def _equal_groups(n: Floats) -> NDArray[np.int64]:
    """Edges of groups of bins that hold about the same number of counts; a bin is never split."""
    cumulative = np.cumsum(n)
    edges = np.searchsorted(cumulative, np.linspace(0.0, cumulative[-1], _GROUPS, endpoint=False), side="right")
    edges = np.concatenate([[0], edges, [n.size]]).astype(np.int64)
    return edges[np.diff(edges, prepend=-1) > 0]


def _best_combinations(
    n: Floats, shapes: Floats, bins: NDArray[np.int64], components: int, background: float | None
) -> list[tuple[NDArray[np.intp], Floats]]:
    """Least squares of every combination of shapes (and a background): the best ones with all shares above zero."""
    target = n if background is None else n - background * bins
    weight = 1.0 / np.sqrt(np.maximum(n, 1.0))
    columns = np.vstack([shapes, bins]) * weight
    gram, right = columns @ columns.T, columns @ (target * weight)
    subsets = _subsets(len(shapes), components)
    found: list[tuple[float, NDArray[np.intp], Floats]] = []
    # where the best background is negative it is none
    for level in ("free", "none") if background is None else ("none",):
        used = subsets if level == "none" else np.column_stack([subsets, np.full(len(subsets), len(shapes))])
        squares = gram[used[:, :, None], used[:, None, :]]
        squares = squares + 1e-12 * np.einsum("kii->ki", squares).mean(axis=1)[:, None, None] * np.eye(used.shape[1])
        weights = np.linalg.solve(squares, right[used][:, :, None])[:, :, 0]
        gain = np.where((weights > 0.0).all(axis=1), np.einsum("ki,ki->k", weights, right[used]), -np.inf)
        for k in np.argsort(-gain)[:_STARTS]:
            if np.isfinite(gain[k]):
                # never zero where it is free: the likelihood of a click in a bin of no light is zero
                dark = background if background is not None else 1e-3 * float(n.sum()) / float(bins.sum())
                constant = float(weights[k, -1]) if level == "free" else dark
                found.append((float(gain[k]), subsets[k], np.append(weights[k, :components], constant)))
    found.sort(key=lambda one: -one[0])
    return [(subset, weights) for _, subset, weights in found[:_STARTS]]


@lru_cache(maxsize=8)
def _subsets(size: int, components: int) -> NDArray[np.intp]:
    return np.array(list(combinations(range(size), components)), dtype=np.intp)
