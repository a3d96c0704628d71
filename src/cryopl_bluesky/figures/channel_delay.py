"""The pair histogram of a channel-delay calibration and the delay that it gives."""

from __future__ import annotations

import textwrap

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis import AnalysisError
from ..analysis.channel_delay import ChannelDelay
from ..analysis.channel_delay import channel_delay as find_delay
from ..analysis.g2 import delay_axis_ns
from . import style
from ._data import DelayCalibration

SHOWN_WIDTHS = 5.0
SHOWN_PERIODS = 2.6


def draw_channel_delay(data: DelayCalibration) -> Figure:
    """A figure of the peaks (left) and of all of them laid upon each other, with the delay (right)."""
    histogram = np.asarray(data.histogram)
    delay_ns = delay_axis_ns(histogram.size, data.binwidth_ps / 1e3)
    with matplotlib.rc_context(style.RC):
        figure = style.new_figure(14.0, 5.2, data.title)
        left, right = figure.subplots(1, 2)
        near = np.abs(delay_ns) < SHOWN_PERIODS * data.period_ns
        _filled(left, *style.joined(delay_ns[near], histogram[near], 1500))
        left.set_xlabel("delay SPAD 2 - SPAD 1 (ns)")
        left.set_xlim(delay_ns[near][0], delay_ns[near][-1])
        try:
            found = find_delay(histogram, data.binwidth_ps, data.period_ns, data.singles)
        except AnalysisError as error:
            style.say_missing(right, "no delay", str(error))
            return figure
        _centre(right, delay_ns, histogram, found)
        advice, applied = list(found.input_delays_ps(data.applied_ps)), list(data.applied_ps)
        lines = [f"in the profile: [hbt] input_delays_ps = {advice}   (now {applied})", *data.warnings, *found.notes]
        left.set_title("\n".join(textwrap.fill(line, 90) for line in lines), fontsize=10, loc="left")
    return figure


def _centre(ax: Axes, delay_ns: np.ndarray, histogram: np.ndarray, found: ChannelDelay) -> None:
    """All peaks laid upon each other, around the delay."""
    reach_ps, period_ps = SHOWN_WIDTHS * found.width_ps, found.period_ps
    away_ps = (delay_ns * 1e3 - found.delay_ps + period_ps / 2.0) % period_ps - period_ps / 2.0
    step_ps = max(2.0 * reach_ps / 200.0, float(delay_ns[1] - delay_ns[0]) * 1e3)
    edges_ps = np.arange(-reach_ps, reach_ps + step_ps / 2.0, step_ps)
    folded = np.histogram(away_ps, edges_ps, weights=histogram)[0]
    x = (edges_ps[:-1] + step_ps / 2.0 + found.delay_ps) / 1e3
    _filled(ax, x, folded, step_ps / 1e3)
    ax.set_xlim(x[0], x[-1])
    ax.set_ylim(0.0, 1.35 * max(1.0, float(folded.max())))
    ax.axvline(found.delay_ps / 1e3, color="black", linewidth=1.2)
    ax.axvspan(*((found.delay_ps + sign * found.sigma_ps) / 1e3 for sign in (-1, 1)), color="black", alpha=0.2)
    ax.set_xlabel("delay SPAD 2 - SPAD 1 (ns), all peaks laid upon the central one")
    ax.text(
        0.03, 0.96, f"delay = {style.rounded(found.delay_ps, found.sigma_ps)} ± {found.sigma_ps:.2g} ps\n"
        f"{found.pairs} pairs", ha="left", va="top", transform=ax.transAxes, fontsize=13,
    )  # fmt: skip


def _filled(ax: Axes, x: np.ndarray, y: np.ndarray, width_ns: float) -> None:
    ax.fill_between(x, y, step="mid", color=style.POSITION_COLOURS[0], alpha=0.8, linewidth=0)
    ax.set_ylim(bottom=0.0)
    ax.set_ylabel(f"pairs per {width_ns:.3g} ns")
