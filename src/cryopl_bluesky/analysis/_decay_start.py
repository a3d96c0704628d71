"""Start values of decay fits: where the pulse is, how long the decay lasts, how many photons are in it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.ndimage import uniform_filter1d

from ._checks import Floats
from ._decay_model import DecayModel, _rise_bin
from ._poisson_fit import poisson_deviance

_SPLITS = {1: ((1.0,),), 2: ((0.35, 1.5), (0.1, 1.1), (0.8, 4.0))}
"""Start lifetimes in units of the mean arrival time."""


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
    """Yield start vectors (N_1.., ln tau_1.., shift, background), the most promising shift for each split.

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
    rise_ns, mean_ns, floor = _rise_and_mean(counts, dt_ns, model.irf_fwhm_ns)
    shift = model.shift_for_rise(rise_ns)
    if known is not None:
        mean_ns, shift = known
    shifts = (
        [shift + f * model.irf_fwhm_ns for f in (-0.5, -0.25, 0.0, 0.25)] if shift_ns is None else [shift_ns]
    )
    pedestal = floor if background is None else background
    scales = (1.0,) if known is not None else (0.3, 1.0)
    for split in _SPLITS[components]:
        trials = [
            _linear_start(
                counts[window], model, window, np.array(split) * mean_ns * scale, s, pedestal, background
            )
            for s in shifts
            for scale in scales
        ]
        yield min(trials, key=lambda trial: trial[0])[1]


def _rise_and_mean(counts: Floats, dt_ns: float, irf_fwhm_ns: float) -> tuple[float, float, float]:
    """Rise of the decay (ns), its mean arrival time after the rise (ns), and the level before the rise."""
    width = max(1, int(0.3 * irf_fwhm_ns / dt_ns))
    smooth = uniform_filter1d(counts, width, mode="wrap")
    rise = _rise_bin(smooth)
    rolled = np.roll(counts, counts.size // 20 - int(rise))
    before = rolled[: max(1, counts.size // 40)]
    floor = float(before.mean())
    signal = rolled[counts.size // 20 :] - floor
    t_ns = (np.arange(signal.size) + 0.5) * dt_ns
    mean = float((signal * t_ns).sum() / signal.sum()) if signal.sum() > 0 else 0.1 * counts.size * dt_ns
    return rise * dt_ns, float(np.clip(mean, dt_ns, counts.size * dt_ns)), floor


def _linear_start(
    n: Floats,
    model: DecayModel,
    window: slice,
    taus_ns: Floats,
    shift_ns: float,
    pedestal: float,
    background: float | None,
) -> tuple[float, Floats]:
    """Photons per component (and background) for given lifetimes by the EM iteration; with the deviance."""
    shapes = np.stack([model(float(tau), shift_ns)[0][window] for tau in taus_ns] + [np.ones(n.size)], axis=1)
    shapes = np.maximum(shapes, 0.0)
    level = max(pedestal, 1e-3 * n.mean()) if background is None else background
    weights = np.append(
        np.full(taus_ns.size, max(n.sum() - level * n.size, 0.1 * n.sum()) / taus_ns.size), level
    )
    norm = np.maximum(shapes.sum(axis=0), 1e-300)
    for _ in range(12):
        expected = np.maximum(shapes @ weights, 1e-9)
        update = weights * (shapes.T @ (n / expected)) / norm
        weights[: taus_ns.size] = update[:-1]
        if background is None:
            weights[-1] = update[-1]
    deviance = poisson_deviance(n, shapes @ weights)
    return deviance, np.concatenate([weights[:-1], np.log(taus_ns), [shift_ns, weights[-1]]])
