"""Coincidence histograms of pulsed light."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis import AnalysisError
from ..analysis.g2 import PulsedG2, garwood
from . import style
from ._data import G2
from .fits import fit_g2, g2_problems, g2_verdict

SHOWN_PEAKS = 5


def g2_panel(
    ax: Axes,
    data: G2,
    result: PulsedG2,
    colour: str | tuple[float, ...],
    peaks: int = SHOWN_PEAKS,
    lines: Sequence[str] = (),
) -> None:
    """Draw the histogram (left) and the peak areas over their mean (right), with lines at 1 and 0.5.

    Args:
        ax: Where.
        data: The histogram.
        result: Its analysis.
        colour: Of the histogram.
        peaks: Side peaks shown on either side.
        lines: Text above the peaks.
    """
    delay, counts = np.asarray(data.delay_ns, float), np.asarray(data.counts, float)
    reach = min(peaks, int(np.abs(result.k).max())) + 0.5
    keep = np.abs(delay - result.offset_ns) <= reach * result.period_ns
    x, y, width_ns = style.joined(delay[keep], counts[keep], 700)
    ax.fill_between(x, y, step="mid", color=colour, alpha=0.8, linewidth=0)
    ax.set_xlim(x[0], x[-1])
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
    right.set_ylabel("g²(0) = area / mean side area")
    room = 1.3 + 0.2 * len(lines)
    ax.set_ylim(0.0, (room - 0.2) * max(1.0, float(y.max())))
    right.set_ylim(0.0, max(room + 0.2, room * float((limits[1] / result.side_mean).max()) - 0.2))
    right.legend(loc="upper center", title="\n".join(lines), title_fontsize=10.5, ncols=1)


def numbers(result: PulsedG2) -> list[str]:
    """The values of a result, one line each: raw always first, then what is known besides."""
    blocks = "" if result.sigma_bootstrap is None else f" (± {result.sigma_bootstrap:.3f} by blocks)"
    lines = [
        f"g²(0) = {result.g2_0_raw:.3f} ± {result.sigma_poisson:.3f}{blocks}  "
        f"(95 %: {result.ci95[0]:.2f} to {result.ci95[1]:.2f})"
    ]
    if result.g2_0_rate is not None:
        lines.append(
            f"by the rates {result.g2_0_rate:.3f}, near/far {result.near_far:.3f} ± {result.near_far_err:.3f}"
        )
    if result.rho is not None:
        lines.append(
            f"without background {result.g2_0_bgcorr:.3f} ± {result.sigma_bgcorr:.3f}  "
            f"(signal {result.rho[0]:.2f}, {result.rho[1]:.2f})"
        )
    return lines


def draw_g2(data: G2, result: PulsedG2 | None = None) -> Figure:
    """A figure of one histogram: wide range with side peaks, and the centre.

    Args:
        data: The histogram.
        result: Its analysis, for example with bootstrap and background; None: `fit_g2`.
    """
    with matplotlib.rc_context(style.RC):
        figure = style.new_figure(14.0, 5.6, data.title)
        left, right = figure.subplots(1, 2)
        try:
            result = fit_g2(data) if result is None else result
        except AnalysisError as error:
            style.say_missing(right, "no g2(0)", str(error))
            left.plot(np.asarray(data.delay_ns, float), np.asarray(data.counts), linewidth=0.8)
            left.set_xlabel("delay SPAD 2 - SPAD 1 (ns)")
            left.set_ylabel("pairs per bin")
            return figure
        g2_panel(left, data, result, style.POSITION_COLOURS[0], peaks=15)
        g2_panel(right, data, result, style.POSITION_COLOURS[0], peaks=1, lines=[*numbers(result), g2_verdict(result)])
        pairs = f"{result.n_central} central pairs, {result.side_mean:.1f} per side peak, |k| up to {result.k_range[1]}"
        lines = [pairs, *([] if result.dead_time_ok is False else [result.dead_time.note])]
        right.set_title(_wrapped(lines), fontsize=10, loc="left")
        left.set_title(_wrapped(g2_problems(data, result)), fontsize=10, loc="left", color="crimson")
    return figure


def _wrapped(lines: list[str]) -> str:
    return "\n".join(textwrap.fill(line, 78) for line in lines)
