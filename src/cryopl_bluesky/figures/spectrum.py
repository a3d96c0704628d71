"""Single spectra, as files of other programs hold them, and images without a scale."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ..analysis.spectra import LineFit
from . import style
from ._data import PlainSpectrum

LINE_WIDTHS = 8.0
"""The right panel shows the line and this many widths around it."""


def draw_spectrum(data: PlainSpectrum, line: LineFit | None = None) -> Figure:
    """A figure of one spectrum: the whole range, and the fitted line if there is one.

    Args:
        data: The spectrum.
        line: The fit of its strongest line.
    """
    axis, counts = np.asarray(data.wavelength_nm, float), np.asarray(data.counts, float)
    with matplotlib.rc_context(style.RC):
        figure = style.new_figure(14.0 if line is not None else 9.0, 5.4, data.title)
        axes = np.atleast_1d(figure.subplots(1, 2 if line is not None else 1))
        axes[0].plot(axis, counts, color=style.POSITION_COLOURS[0], linewidth=1.0)
        axes[0].set_xlim(axis.min(), axis.max())
        if line is not None:
            half_nm = 0.5 * LINE_WIDTHS * line.fwhm_eV * line.peak_nm / line.peak_eV
            near = np.abs(axis - line.peak_nm) <= half_nm
            axes[1].plot(axis[near], counts[near], ".", color=style.POSITION_COLOURS[0], markersize=5)
            axes[1].plot(axis[near], line.expected[near], color="crimson")
            axes[1].set_title(
                f"peak {style.rounded(line.peak_eV, line.peak_eV_err)} ± {line.peak_eV_err:.2g} eV, FWHM "
                f"{style.rounded(1e3 * line.fwhm_eV, 1e3 * line.fwhm_eV_err)} ± {1e3 * line.fwhm_eV_err:.2g} meV"
            )
        for ax in axes:
            ax.set_xlabel("wavelength (nm)")
            ax.set_ylabel("counts per pixel")
            style.energy_axis_on_top(ax)
    return figure


def draw_counts(image: ArrayLike, title: str = "") -> Figure:
    """A figure of an image in counts, without a scale: axes in pixels.

    Args:
        image: Counts, (H, W).
        title: Above it.
    """
    counts = np.asarray(image, float)
    height, width = counts.shape
    with matplotlib.rc_context(style.RC):
        figure = style.new_figure(8.0, 7.0, title)
        ax = figure.subplots()
        small = style.block_mean(counts, (1024, 1024))
        low, high = np.quantile(small, [0.02, 0.9995])
        shown = ax.imshow(
            small, extent=(-0.5, width - 0.5, height - 0.5, -0.5), cmap=style.IMAGE_MAP, vmin=float(low),
            vmax=float(max(high, low + 1e-9)), interpolation="nearest",
        )  # fmt: skip
        figure.colorbar(shown, ax=ax, fraction=0.046, pad=0.02).set_label("counts")
        ax.set_xlabel("column (px)")
        ax.set_ylabel("row (px)")
    return figure
