"""Position-wavelength maps and the spectra in them."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..analysis import AnalysisError
from ..analysis.spectra import LineFit, per_eV
from ..analysis.units import HC_EV_NM
from . import style
from ._data import SpectralMap
from .fits import bright_positions_um, fit_total_line, half_rows, rows_around, spectrum_of


def position_limits_um(data: SpectralMap) -> tuple[float, float]:
    """Range of positions with light, with a margin: what is worth drawing of a long slit."""
    axis = np.asarray(data.position_um, float)
    profile = np.asarray(data.counts).mean(axis=1, dtype=np.float64)
    profile = profile - np.quantile(profile, 0.2)
    lit = np.flatnonzero(profile > 0.08 * profile.max())
    if lit.size == 0:  # no light at all
        return float(axis.min()), float(axis.max())
    low, high = sorted((axis[lit.min()], axis[lit.max()]))
    margin = 0.35 * (high - low) + 0.02 * np.ptp(axis)
    return max(float(axis.min()), low - margin), min(float(axis.max()), high + margin)


def wavelength_limits_nm(lines: Sequence[LineFit | None]) -> tuple[float, float] | None:
    """Range that shows all lines with 2.5 widths on both sides; None without any line."""
    known = [line for line in lines if line is not None]
    if not known:
        return None
    low_eV = min(line.peak_eV - 2.5 * line.fwhm_eV for line in known)
    high_eV = max(line.peak_eV + 2.5 * line.fwhm_eV for line in known)
    return HC_EV_NM / high_eV, HC_EV_NM / max(low_eV, 0.1)


def map_panel(
    ax: Axes, data: SpectralMap, positions_um: Sequence[float], limits_nm: tuple[float, float] | None = None
) -> None:
    """Draw position against wavelength, with a second axis in eV and dots at the chosen positions."""
    # a range that follows the lines of all temperatures, but never beyond this spectrum
    axis = np.asarray(data.wavelength_nm, float)
    low, high = _clip_limits(axis, limits_nm)
    inside = np.flatnonzero((axis >= low) & (axis <= high))
    columns = slice(int(inside.min()), int(inside.max()) + 1)
    counts = style.block_mean(np.asarray(data.counts)[:, columns], (700, 400)) - data.offset_adu
    x = style.block_axis(axis[columns], 400)
    y = style.block_axis(data.position_um, 700)
    vmin, vmax = np.quantile(counts, [0.05, 0.9998])
    shown = ax.pcolormesh(
        x, y, counts, cmap=style.IMAGE_MAP, vmin=vmin, vmax=max(vmax, vmin + 1e-9), rasterized=True
    )
    ax.figure.colorbar(shown, ax=ax, fraction=0.046, pad=0.02).set_label("counts (ADU)")
    ax.set_ylim(*position_limits_um(data))
    ax.set_xlabel("wavelength (nm)")
    ax.set_ylabel("position (µm)")
    for position, colour in zip(positions_um, style.POSITION_COLOURS, strict=False):
        ax.plot(
            x[0] + 0.03 * (x[-1] - x[0]), position, "o", color=colour, markeredgecolor="white", markersize=8
        )
    style.energy_axis_on_top(ax)
    if data.title:
        ax.set_title(data.title)


def spectra_panel(
    ax: Axes,
    data: SpectralMap,
    positions_um: Sequence[float],
    line: LineFit | None,
    limits_nm: tuple[float, float] | None = None,
) -> None:
    """Draw the line-total spectrum (black, dashed), a fitted line, and spectra at positions, in photon energy.

    All are drawn with maximum 1, so the fit may belong to the total or to some of its rows.
    """
    axis = np.asarray(data.wavelength_nm, float)
    energy, density = _normalised(axis, spectrum_of(data).counts)
    ax.plot(energy, density, "--", color="black", label="line total")
    if line is not None:
        peak_meV, peak_meV_err = 1e3 * line.peak_eV, 1e3 * line.peak_eV_err
        text = f"peak {peak_meV:.3f} ± {peak_meV_err:.3f} meV, "
        ax.set_title(text + f"FWHM {1e3 * line.fwhm_eV:.3f} ± {1e3 * line.fwhm_eV_err:.3f} meV", fontsize=10)
        ax.plot(*_normalised(axis, line.expected), color="crimson", label="fit", linewidth=1.1)
    for i, (position, colour) in enumerate(zip(positions_um, style.POSITION_COLOURS, strict=False)):
        x, y = _normalised(axis, spectrum_of(data, rows_around(data, position)).counts)
        ax.plot(x, y + 0.4 * (i + 1), color=colour, linewidth=1.0, label=f"{round(position, 1) + 0.0:.1f} µm")
    low, high = _clip_limits(axis, limits_nm)
    ax.set_xlim(HC_EV_NM / high, HC_EV_NM / low)
    ax.set_ylim(-0.12, 1.25 + 0.4 * len(positions_um) + 0.85)
    ax.set_yticks([])
    ax.set_xlabel("photon energy (eV)")
    ax.set_ylabel("PL per eV (norm., offset)")
    title = f"positions ± {half_rows(data)} rows"
    ax.legend(loc="upper center", ncols=3, title=title, title_fontsize=9, columnspacing=1.0, handlelength=1.4)


def _clip_limits(axis: NDArray[np.float64], limits_nm: tuple[float, float] | None) -> tuple[float, float]:
    whole = float(axis.min()), float(axis.max())
    if limits_nm is None:
        return whole
    low, high = max(whole[0], limits_nm[0]), min(whole[1], limits_nm[1])
    return (low, high) if high - low > 0.02 * (whole[1] - whole[0]) else whole


def _normalised(
    axis: NDArray[np.float64], counts: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Energy and density with maximum 1, thinned for drawing."""
    background = float(np.quantile(counts, 0.15))
    spectrum = per_eV(axis, counts - background)
    x, y = style.block_axis(spectrum.energy_eV, 512), style.block_axis(spectrum.density, 512)
    top = float(np.quantile(y, 0.995)) or 1.0
    return x, y / top


def draw_spectral_map(data: SpectralMap, line: LineFit | None = None) -> Figure:
    """A figure of one spectral image: map, and spectra with the fitted line (or why there is none).

    Args:
        data: The map.
        line: A fit already made of some of its rows; None: the line total is fitted.
    """
    problem = ""
    try:
        line = fit_total_line(data) if line is None else line
    except AnalysisError as error:
        problem = str(error)
    limits = wavelength_limits_nm([line])
    positions = bright_positions_um(data)
    with matplotlib.rc_context(style.RC):
        figure = style.new_figure(14.0, 5.6)
        left, right = figure.subplots(1, 2)
        map_panel(left, data, positions, limits)
        spectra_panel(right, data, positions, line, limits)
        if problem:
            right.set_title(f"no line fit: {problem}", color="crimson", fontsize=9, wrap=True)
    return figure
