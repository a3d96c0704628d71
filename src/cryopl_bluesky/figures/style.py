"""What all figures share: type sizes, colours by temperature, scale bars, thinning of data, saving."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

RC: dict[Any, Any] = {
    "font.size": 11.0,
    "axes.titlesize": 11.5,
    "axes.labelsize": 11.0,
    "legend.fontsize": 9.0,
    "legend.framealpha": 0.75,
    "xtick.labelsize": 10.0,
    "ytick.labelsize": 10.0,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.3,
    "savefig.facecolor": "white",
}
"""Settings for `matplotlib.rc_context` while a figure is drawn."""

POSITION_COLOURS = ("#0072b2", "#d55e00", "#009e73")
"""Colours of positions along the slit and of detection wavelengths (distinct for colour-blind readers)."""

IMAGE_MAP = "inferno"
COUNT_MAP = "viridis"


def temperature_colours(temperatures_K: Sequence[float]) -> list[tuple[float, float, float, float]]:
    """One colour per temperature, cold blue to warm orange by rank."""
    order = np.argsort(np.argsort(temperatures_K, kind="stable"), kind="stable")
    scale = np.linspace(0.0, 0.82, max(len(temperatures_K), 2))
    return [tuple(matplotlib.colormaps["plasma"](scale[rank])) for rank in order]


def say_missing(ax: Axes, what: str, why: str) -> None:
    """Fill an empty panel with what is missing and why."""
    ax.set_xticks([])
    ax.set_yticks([])
    for side in ax.spines.values():
        side.set_color("0.8")
    words, lines = f"{what}:\n{why}".replace("\n", " \n ").split(" "), [""]
    for word in words:
        if word == "\n" or len(lines[-1]) + len(word) > 34:
            lines.append("")
        if word != "\n":
            lines[-1] += word + " "
    ax.text(
        0.5, 0.5, "\n".join(lines), ha="center", va="center", color="0.4", transform=ax.transAxes, fontsize=10
    )


def block_mean(image: ArrayLike, limit: tuple[int, int]) -> NDArray[np.float64]:
    """Mean over blocks so that the result has at most about `limit` rows and columns (for drawing only)."""
    array = np.asarray(image)
    step_y, step_x = (max(1, -(-size // most)) for size, most in zip(array.shape, limit, strict=True))
    rows, columns = array.shape[0] // step_y * step_y, array.shape[1] // step_x * step_x
    # two reductions along one axis each are far faster than one over a four-dimensional view
    part = np.add.reduceat(array[:rows, :columns], np.arange(0, rows, step_y), axis=0, dtype=np.float64)
    return np.add.reduceat(part, np.arange(0, columns, step_x), axis=1) / (step_y * step_x)


def block_axis(axis: ArrayLike, limit: int) -> NDArray[np.float64]:
    """Centres of the blocks that `block_mean` makes of an axis."""
    values = np.asarray(axis, float)
    step = max(1, -(-values.size // limit))
    whole = values.size // step * step
    return values[:whole].reshape(-1, step).mean(axis=1)


def joined(
    x: NDArray[np.float64], y: NDArray[np.generic], most: int
) -> tuple[NDArray[np.float64], NDArray[np.generic], float]:
    """A histogram of at most about `most` bins, neighbours added up: centres, counts, bin width."""
    step = max(1, x.size // most)
    whole = x.size // step * step
    width = float(x[1] - x[0]) * step
    return x[:whole].reshape(-1, step).mean(axis=1), y[:whole].reshape(-1, step).sum(axis=1), width


def nice_length(most: float) -> float:
    """Largest of 1, 2, 5 times a power of ten that is not above `most`."""
    decade = 10.0 ** np.floor(np.log10(most))
    return float(max(step * decade for step in (1.0, 2.0, 5.0) if step * decade <= most * (1 + 1e-9)))


def energy_axis_on_top(ax: Axes) -> None:
    """Add a photon-energy axis in eV above a wavelength axis in nm."""
    from ..analysis.units import HC_EV_NM

    def flip(values: ArrayLike) -> NDArray[np.float64]:
        return HC_EV_NM / np.maximum(np.asarray(values, float), 1e-9)

    top = ax.secondary_xaxis("top", functions=(flip, flip))
    top.set_xlabel("photon energy (eV)", labelpad=3)
    top.xaxis.set_major_locator(MaxNLocator(5))


def rounded(value: float, error: float) -> str:
    """A value with as many decimals as two digits of its error deserve, at most 6."""
    decimals = 6 if not error > 0 else int(np.clip(1 - np.floor(np.log10(error)), 0, 6))
    return f"{value:.{decimals}f}"


def new_figure(width_in: float, height_in: float, title: str = "") -> Figure:
    """A figure with a layout that keeps labels apart; 100 px per inch."""
    layout = ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.06, wspace=0.02)
    figure = Figure(figsize=(width_in, height_in), dpi=100, layout=layout)
    if title:
        figure.suptitle(title, fontsize=15)
    return figure


def save_figure(figure: Figure, path: str | Path, width_px: int = 2400) -> Path:
    """Write a PNG of the given width; returns the path."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(RC):
        figure.set_dpi(width_px / figure.get_figwidth())
        if (layout := figure.get_layout_engine()) is not None:
            layout.execute(figure)
            figure.set_layout_engine("none")
        FigureCanvasAgg(figure).print_png(target)  # `savefig` would lay out and draw once more before it draws
    return target
