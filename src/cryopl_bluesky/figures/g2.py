"""Coincidence histograms of pulsed light."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis import AnalysisError
from ..analysis.g2 import PulsedG2, garwood
from . import style
from ._data import G2
from .summary import fit_g2

SHOWN_PEAKS = 5


def g2_panel(
    ax: Axes, data: G2, result: PulsedG2, colour: str | tuple[float, ...], peaks: int = SHOWN_PEAKS
) -> None:
    """Draw the histogram (left) and the peak areas over their mean (right), with lines at 1 and 0.5."""
    delay, counts = np.asarray(data.delay_ns, float), np.asarray(data.counts, float)
    reach = min(peaks, int(np.abs(result.k).max())) + 0.5
    keep = np.abs(delay - result.offset_ns) <= reach * result.period_ns
    step = max(1, np.count_nonzero(keep) // 700)
    whole = np.count_nonzero(keep) // step * step
    x = delay[keep][:whole].reshape(-1, step).mean(axis=1)
    y = counts[keep][:whole].reshape(-1, step).sum(axis=1)
    width_ns = float(delay[1] - delay[0]) * step
    ax.fill_between(x, y, step="mid", color=colour, alpha=0.8, linewidth=0)
    ax.set_xlim(x[0], x[-1])
    ax.set_ylim(0.0, 1.5 * max(1.0, float(y.max())))
    ax.set_xlabel("delay SPAD 2 - SPAD 1 (ns)")
    ax.set_ylabel(f"pairs per {width_ns:.3g} ns")
    right = ax.twinx()
    shown = np.abs(result.k) <= peaks
    k, areas = result.k[shown], result.areas[shown]
    limits = np.array([garwood(int(n), 0.6827) for n in areas]).T
    heights = areas / result.side_mean
    right.errorbar(
        k * result.period_ns + result.offset_ns,
        heights,
        yerr=np.abs(limits / result.side_mean - heights),
        fmt="o",
        color="black",
        markersize=4,
        linewidth=1.0,
        label="peak area / side mean",
    )
    right.axhline(1.0, color="0.25", linestyle="--", linewidth=1.0)
    right.axhline(0.5, color="0.25", linestyle=":", linewidth=1.0)
    right.set_ylim(0.0, max(1.9, 1.35 * float((limits[1] / result.side_mean).max())))
    right.set_ylabel("g²(0) = area / mean side area")
    text = f"g²(0) = {result.g2_0_raw:.3f} ± {result.sigma:.3f}"
    text += f"  (95 %: {result.ci95[0]:.2f} to {result.ci95[1]:.2f})"
    right.legend(loc="upper center", title=text, title_fontsize=10.5, ncols=1)


def draw_g2(data: G2) -> Figure:
    """A figure of one histogram: wide range with side peaks, and the centre."""
    with matplotlib.rc_context(style.RC):
        figure = style.new_figure(14.0, 5.2, data.title)
        left, right = figure.subplots(1, 2)
        try:
            result = fit_g2(data)
        except AnalysisError as error:
            style.say_missing(right, "no g2(0)", str(error))
            left.plot(np.asarray(data.delay_ns, float), np.asarray(data.counts), linewidth=0.8)
            left.set_xlabel("delay SPAD 2 - SPAD 1 (ns)")
            left.set_ylabel("pairs per bin")
            return figure
        g2_panel(left, data, result, style.POSITION_COLOURS[0], peaks=15)
        g2_panel(right, data, result, style.POSITION_COLOURS[0], peaks=1)
        notes = f"{result.n_central} central pairs, {result.side_mean:.1f} per side peak"
        notes += f", |k| up to {result.k_range[1]}"
        right.set_title("\n".join([notes, *result.notes]), fontsize=10)
    return figure
