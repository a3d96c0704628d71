"""Wide-field images with scale bar and acquisition line."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import style
from ._data import Picture


def image_panel(ax: Axes, data: Picture, line: bool = True) -> None:
    """Draw an image with its scale bar and, dashed, the line that the slit cuts out.

    Args:
        ax: Axes to draw into.
        data: The image.
        line: Whether to draw the acquisition line.
    """
    image = np.asarray(data.image)
    height_um, width_um = (size * data.nm_per_px * 1e-3 for size in image.shape)
    small = style.block_mean(image, (512, 512))
    low, high = np.quantile(small, [0.02, 0.9995])
    shown = ax.imshow(
        small,
        extent=(0.0, width_um, height_um, 0.0),
        cmap=style.IMAGE_MAP,
        vmin=float(low),
        vmax=float(max(high, low + 1e-9)),
        interpolation="nearest",
    )
    bar = ax.figure.colorbar(shown, ax=ax, fraction=0.046, pad=0.02)
    bar.set_label("counts (ADU)")
    ax.set_xticks([])
    ax.set_yticks([])
    if line:
        _acquisition_line(ax, data, width_um)
    _scale_bar(ax, data, width_um, height_um)
    if data.title:
        ax.set_title(data.title)


def _acquisition_line(ax: Axes, data: Picture, width_um: float) -> None:
    known = data.slit_column_px is not None
    x_um = (data.slit_column_px or 0.0) * data.nm_per_px * 1e-3 if known else width_um / 2.0
    label = "acquisition line" if known else "slit (column not calibrated)"
    ax.axvline(x_um, color="white", linestyle="--", linewidth=1.2, label=label)
    ax.legend(loc="upper left", labelcolor="white", facecolor="black", framealpha=0.5, edgecolor="none")


def _scale_bar(ax: Axes, data: Picture, width_um: float, height_um: float) -> None:
    length_um = style.nice_length(0.25 * width_um)
    left, y = 0.06 * width_um, 0.93 * height_um
    ax.plot([left, left + length_um], [y, y], color="white", linewidth=4.0, solid_capstyle="butt")
    error = "" if data.scale_rel_err is None else f" ± {100 * data.scale_rel_err:.0f} %"
    text = f"{length_um:g} µm{error}"
    ax.text(left, y - 0.025 * height_um, text, color="white", va="bottom", ha="left", fontweight="bold")


def draw_image(data: Picture) -> Figure:
    """A figure of one wide-field image."""
    with matplotlib.rc_context(style.RC):
        figure = style.new_figure(8.0, 7.0)
        image_panel(figure.subplots(), data)
    return figure
