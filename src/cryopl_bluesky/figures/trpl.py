"""TRPL maps and decays with their reconvolution fits."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..analysis import AnalysisError
from ..analysis.lifetimes import DecayFit
from ..analysis.spectra import LineFit
from ..analysis.units import HC_EV_NM
from . import style
from ._data import Decay, TrplMap
from .fits import decay_wavelength_nm, fit_decay_data

MAP_BINS = 260
LEAD = 0.06
"""Share of the period drawn before the pulse: what the end of the histogram holds belongs there."""


def chosen_wavelengths_nm(data: TrplMap, line: LineFit | None) -> list[float]:
    """Measured wavelengths nearest to the peak and half a width to either side, ascending."""
    axis = np.asarray(data.wavelength_nm, float)
    centre = decay_wavelength_nm(data, line)
    if line is not None and axis.min() <= line.peak_nm <= axis.max():
        half_nm = 0.5 * line.fwhm_eV * centre**2 / HC_EV_NM
    else:
        half_nm = 0.1 * float(np.ptp(axis))
    step = float(np.median(np.diff(np.unique(axis)))) if axis.size > 1 else 0.0
    half_nm = max(half_nm, step)
    wanted = (centre - half_nm, centre, centre + half_nm)
    return sorted({float(axis[np.argmin(np.abs(axis - w))]) for w in wanted})


def map_panel(ax: Axes, data: TrplMap, wavelengths_nm: Sequence[float]) -> None:
    """Draw wavelength against delay with logarithmic colour, lines at the chosen wavelengths."""
    axis = np.asarray(data.wavelength_nm, float)
    order = np.argsort(axis)
    counts = np.asarray(data.counts)[order]
    delay, rolled = _unwrap(np.asarray(data.delay_ns, float), counts)
    until = _visible_until(delay, rolled.sum(axis=0))
    keep = (delay >= _visible_from(delay, rolled.sum(axis=0), until)) & (delay <= until)
    thin = style.block_mean(rolled[:, keep], (max(1, axis.size), MAP_BINS))
    time = style.block_axis(delay[keep], MAP_BINS)
    top = float(thin.max()) or 1.0
    floor = max(top * 1e-4, float(np.quantile(thin[thin > 0], 0.02)) if (thin > 0).any() else 1e-3)
    shown = ax.pcolormesh(
        axis[order],
        time,
        np.maximum(thin, floor).T,
        cmap=style.COUNT_MAP,
        norm=LogNorm(floor, max(top, floor * 1.01)),
        rasterized=True,
    )
    ax.figure.colorbar(shown, ax=ax, fraction=0.046, pad=0.02).set_label("counts per bin (mean)")
    for wavelength, colour in zip(wavelengths_nm, style.POSITION_COLOURS, strict=False):
        ax.axvline(wavelength, color="white", linewidth=2.2)
        ax.axvline(wavelength, color=colour, linewidth=1.2)
    ax.set_xlabel("wavelength (nm)")
    ax.set_ylabel("time after pulse (ns)")
    style.energy_axis_on_top(ax)
    if data.title:
        ax.set_title(data.title)


def decays_panel(ax: Axes, decays: Sequence[Decay], known: Sequence[DecayFit | None] | None = None) -> None:
    """Draw decays (dots) with fits (lines), logarithmic counts.

    Args:
        ax: Axes to draw into.
        decays: What to draw; fitted here unless `known` holds the fit.
        known: Fits already made, in the order of `decays`.
    """
    begin, until, low, high = np.inf, -np.inf, np.inf, 0.0
    for i, decay in enumerate(decays):
        colour = style.POSITION_COLOURS[i % len(style.POSITION_COLOURS)]
        fit = known[i] if known is not None else None
        text = decay.label
        try:
            fit = fit if fit is not None else fit_decay_data(decay)
            text += f": {style.rounded(fit.tau_int_ns, fit.tau_int_err_ns)} ± {fit.tau_int_err_ns:.2g} ns"
            text += f" ({fit.components} exp.)" if fit.good else " (poor fit)"
            source_delay, source = fit.delay_ns, fit.counts
        except AnalysisError:
            text += ": no fit"
            source_delay, source = np.asarray(decay.delay_ns, float), np.asarray(decay.counts, float)
        delay, counts = _unwrap(source_delay, source[None, :])
        until = max(until, _visible_until(delay, counts[0]))
        begin = min(begin, _visible_from(delay, counts[0], until))
        step = max(1, int(np.count_nonzero(delay <= until)) // 250)
        x, y = _thin(delay, counts[0], step)
        ax.semilogy(x, np.where(y > 0, y, np.nan), ".", color=colour, markersize=3.0, alpha=0.6)
        ax.plot([], [], color=colour, label=text)
        if fit is not None:
            model = _unwrap(fit.delay_ns, fit.expected[None, :], like=fit.counts)[1][0]
            ax.plot(delay, model, color=colour, linewidth=1.2)
        positive = y[y > 0]
        if positive.size:
            low, high = min(low, float(np.quantile(positive, 0.02))), max(high, float(positive.max()))
    ax.set_xlim(begin, until)
    if high > 0:
        bottom = max(low * 0.5, high * 1e-5)
        ax.set_ylim(bottom, high * (high / bottom) ** 0.6)  # room for the legend
    ax.set_xlabel("time after pulse (ns)")
    ax.set_ylabel("counts per bin")
    ax.legend(loc="upper right", title="mean lifetime (intensity average)", title_fontsize=9)


def _unwrap(
    delay_ns: NDArray[np.float64], counts: NDArray[np.generic], like: NDArray[np.generic] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Move the end of the period before the pulse, so that a rise across the end is drawn in one piece."""
    total = np.asarray(counts if like is None else like[None, :], float).sum(axis=0)
    step = float(delay_ns[1] - delay_ns[0])
    lead = max(1, int(LEAD * total.size))
    start = int(np.argmax(total)) - lead
    if start >= 0:
        return delay_ns, np.asarray(counts, float)
    rolled = np.roll(np.asarray(counts, float), -start, axis=1)
    return delay_ns + start * step, rolled


def _visible_until(delay_ns: NDArray[np.float64], counts: NDArray[np.float64]) -> float:
    """Time at which the decay has vanished in its own tail, with a margin."""
    parts = np.array_split(counts, min(100, counts.size))
    level = np.array([part.mean() for part in parts])
    floor = float(np.quantile(level, 0.1))
    noise = 6.0 * np.sqrt(max(float(np.median(level)), 1.0 / parts[0].size) / parts[0].size)
    top = int(np.argmax(level))
    dark = np.flatnonzero(level[top:] <= floor + max(noise, 3e-4 * (level.max() - floor)))
    last = (top + int(dark.min()) + 1) / len(parts) if dark.size else 1.0
    span = float(delay_ns[-1] - delay_ns[0])
    return float(delay_ns[0]) + span * min(1.0, max(1.25 * last, 0.1))


def _visible_from(delay_ns: NDArray[np.float64], counts: NDArray[np.float64], until_ns: float) -> float:
    """Time from which to draw: a tenth of the drawn decay before its top, at least 0.5 ns."""
    top_ns = float(delay_ns[np.argmax(counts)])
    return max(float(delay_ns[0]), top_ns - max(0.1 * (until_ns - top_ns), 0.5))


def _thin(
    x: NDArray[np.float64], y: NDArray[np.float64], step: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Every point near the top, means of `step` bins in the tail."""
    top = int(np.argmax(y))
    split = min(y.size, top + 40 * step // 10 + 40)
    whole = (y.size - split) // step * step
    tail_x, tail_y = (v[split : split + whole].reshape(-1, step).mean(axis=1) for v in (x, y))
    return np.concatenate([x[:split], tail_x]), np.concatenate([y[:split], tail_y])


def draw_decay(data: Decay, fit: DecayFit | None = None) -> Figure:
    """A figure of one decay: fit and weighted residuals.

    Args:
        data: The decay.
        fit: A fit already made of it; None: `fit_decay_data`.
    """
    problem = ""
    try:
        fit = fit_decay_data(data) if fit is None else fit
    except AnalysisError as error:
        problem = str(error)
    with matplotlib.rc_context(style.RC):
        figure = style.new_figure(9.0, 6.6)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        decays_panel(upper, [data], [fit])
        upper.set_xlabel("")
        if fit is None:
            style.say_missing(lower, "no fit", problem)
            return figure
        delay, residuals = _unwrap(fit.delay_ns, fit.residuals[None, :], like=fit.counts)
        lower.plot(delay, residuals[0], ".", color="0.4", markersize=2)
        lower.axhline(0.0, color="black", linewidth=0.8)
        lower.set_ylabel("residuals (σ)")
        lower.set_xlabel("time after pulse (ns)")
        parts = ", ".join(
            f"{tau:.3g} ± {error:.2g} ns ({100 * share:.0f} %)"
            for tau, error, share in zip(fit.lifetimes_ns, fit.lifetimes_err_ns, fit.amplitudes, strict=True)
        )
        note = f"{parts}; reduced deviance {fit.reduced_deviance:.2f}; {fit.n_photons} photons"
        upper.set_title("\n".join([note, *fit.notes]), fontsize=10)
    return figure


def draw_trpl_map(data: TrplMap, line: LineFit | None = None) -> Figure:
    """A figure of one TRPL map: map, and decays at three wavelengths."""
    wavelengths = chosen_wavelengths_nm(data, line)
    with matplotlib.rc_context(style.RC):
        figure = style.new_figure(14.0, 5.6)
        left, right = figure.subplots(1, 2)
        map_panel(left, data, wavelengths)
        decays_panel(right, [data.row(wavelength) for wavelength in wavelengths])
    return figure
