"""One picture of a night: a row per temperature, a column per measurement, and the trends below."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import g2, image, spectral, style, trpl
from ._data import G2, Decay, DelayCalibration, Picture, SpectralMap, Temperature, TrplMap
from .channel_delay import draw_channel_delay
from .fits import bright_positions_um, g2_problems
from .g2 import draw_g2
from .image import draw_image
from .run_data import Drawable
from .spectral import draw_spectral_map
from .style import save_figure
from .summary import SummaryRow, summarise
from .trpl import draw_decay, draw_trpl_map

__all__ = [
    "G2",
    "Decay",
    "DelayCalibration",
    "Picture",
    "SpectralMap",
    "SummaryRow",
    "Temperature",
    "TrplMap",
    "draw_channel_delay",
    "draw_decay",
    "draw_g2",
    "draw_image",
    "draw_night",
    "draw_run",
    "draw_spectral_map",
    "draw_trpl_map",
    "save_figure",
    "summarise",
]

COLUMN_WIDTHS = (1.0, 1.15, 1.15, 1.15, 1.15, 1.25)
ROW_HEIGHT_IN, SUMMARY_HEIGHT_IN, WIDTH_IN = 3.6, 4.0, 27.0

_Colour = tuple[float, float, float, float]



def draw_run(kind: str, data: Drawable) -> Figure:
    """Draw one run.

    Args:
        kind: The run's `measurement`: "widefield_image", "spot", "scale", "dark", "spectral_image",
            "total_spectrum", "trpl_map", "decay", "irf", "g2" or "channel_delay".
        data: The plain data that belongs to it.

    Raises:
        ValueError: Unknown kind, or data that do not belong to it.
    """
    drawers: dict[str, tuple[type, Callable[..., Figure]]] = {
        **dict.fromkeys(("widefield_image", "spot", "scale", "dark"), (Picture, draw_image)),
        **dict.fromkeys(("spectral_image", "total_spectrum"), (SpectralMap, draw_spectral_map)),
        **dict.fromkeys(("decay", "irf"), (Decay, draw_decay)),
        "trpl_map": (TrplMap, draw_trpl_map),
        "g2": (G2, draw_g2),
        "channel_delay": (DelayCalibration, draw_channel_delay),
    }
    if kind not in drawers:
        raise ValueError(f"There is no figure for {kind!r}; choose one of {', '.join(sorted(drawers))}.")
    wanted, draw = drawers[kind]
    if not isinstance(data, wanted):
        raise ValueError(
            f"A figure of {kind!r} needs {wanted.__name__}, but it was given {type(data).__name__}."
        )
    return draw(data)


def draw_night(
    temperatures: Sequence[Temperature], title: str = "", rows: Sequence[SummaryRow] | None = None
) -> Figure:
    """Draw all temperatures of a night, coldest first.

    Columns: image with acquisition line, position-wavelength map, spectra with the fitted line, TRPL map,
        decays
    at three wavelengths with fits, g2 histogram. Below: peak energy, width, mean lifetime and g2(0) against
    temperature. A panel without data says why.

    Args:
        temperatures: Plain data, any order.
        title: Above the figure, e.g. sample and recipe.
        rows: `summarise(temperatures)` if already computed, in the order of `temperatures`.

    Returns:
        The figure; write it with `save_figure(figure, path)` (2400 px wide).

    Raises:
        ValueError: No temperatures.
    """
    if not temperatures:
        raise ValueError(
            "There are no temperatures to draw; choose a series that has finished at least one step."
        )
    found = list(rows) if rows is not None else summarise(temperatures)
    pairs = sorted(zip(temperatures, found, strict=True), key=lambda pair: pair[0].setpoint_K)
    data, summary = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    colours = style.temperature_colours([t.setpoint_K for t in data])
    limits_nm = spectral.wavelength_limits_nm([row.line for row in summary])
    with matplotlib.rc_context(style.RC):
        figure = style.new_figure(WIDTH_IN, ROW_HEIGHT_IN * len(data) + SUMMARY_HEIGHT_IN, title)
        parts = figure.subfigures(2, 1, height_ratios=[ROW_HEIGHT_IN * len(data), SUMMARY_HEIGHT_IN])
        upper, lower = np.asarray(parts)
        grid = upper.subplots(len(data), 6, squeeze=False, width_ratios=COLUMN_WIDTHS)
        for axes, temperature, row, colour in zip(grid, data, summary, colours, strict=True):
            _draw_row(axes, temperature, row, colour, limits_nm)
        _draw_summary(lower.subplots(1, 4), summary, colours)
    return figure


def _draw_row(
    axes: np.ndarray,
    data: Temperature,
    row: SummaryRow,
    colour: _Colour,
    limits_nm: tuple[float, float] | None,
) -> None:
    """Fill the six panels of one temperature."""
    if data.picture is not None:
        image.image_panel(axes[0], data.picture)
    else:
        style.say_missing(axes[0], "image", data.why_missing("picture"))
    mean = "" if data.mean_K is None else f"  (mean {data.mean_K:.3f} K)"
    axes[0].set_title(
        f"{data.setpoint_K:g} K{mean}", color=colour, fontweight="bold", fontsize=14, loc="left"
    )
    if data.spectral_map is not None:
        positions = bright_positions_um(data.spectral_map)
        spectral.map_panel(axes[1], data.spectral_map, positions, limits_nm)
        spectral.spectra_panel(axes[2], data.spectral_map, positions, row.line, limits_nm)
        if row.line is None:
            axes[2].set_title(
                "no line fit: " + row.problems["spectral_map"][:60], color="crimson", fontsize=9
            )
    else:
        style.say_missing(axes[1], "spectral image", row.problems["spectral_map"])
        style.say_missing(axes[2], "spectra", row.problems["spectral_map"])
    if data.trpl_map is not None:
        wavelengths = trpl.chosen_wavelengths_nm(data.trpl_map, row.line)
        known = [row.decay if nm == row.tau_nm else None for nm in wavelengths]
        trpl.map_panel(axes[3], data.trpl_map, wavelengths)
        trpl.decays_panel(axes[4], [data.trpl_map.row(nm) for nm in wavelengths], known)
    else:
        style.say_missing(axes[3], "TRPL map", row.problems["trpl_map"])
        style.say_missing(axes[4], "decays", row.problems["trpl_map"])
    if data.g2 is not None and row.g2 is not None:
        g2.g2_panel(axes[5], data.g2, row.g2, colour, lines=g2.numbers(row.g2))
        against = g2_problems(data.g2, row.g2)
        if against:
            more = f" (and {len(against) - 1} more)" if len(against) > 1 else ""
            axes[5].set_title(textwrap.shorten(against[0], 60, placeholder=" ...") + more, color="crimson", fontsize=9)
    else:
        style.say_missing(axes[5], "g2", row.problems["g2"])


def _draw_summary(axes: np.ndarray, rows: Sequence[SummaryRow], colours: Sequence[_Colour]) -> None:
    """Trends against temperature with standard errors; the mean readback is used where there is one."""
    panels = (
        ("peak_eV", "peak_eV_err", 1.0, "peak energy (eV)", "spectral_map"),
        ("fwhm_eV", "fwhm_eV_err", 1e3, "FWHM (meV)", "spectral_map"),
        ("tau_ns", "tau_err_ns", 1.0, "mean lifetime at the peak (ns)", "trpl_map"),
        ("g2_0", "g2_0_err", 1.0, "g²(0), raw", "g2"),
    )
    for ax, (name, error, factor, label, part) in zip(axes, panels, strict=True):
        drawn = 0
        for row, colour in zip(rows, colours, strict=True):
            value, sigma = getattr(row, name), getattr(row, error)
            if value is None:
                continue
            drawn += 1
            x = row.mean_K if row.mean_K is not None else row.setpoint_K
            ax.errorbar(
                x, value * factor, yerr=sigma * factor, fmt="o", color=colour, capsize=4, markersize=7
            )
        if not drawn:
            style.say_missing(ax, label, rows[0].problems.get(part, "no result at any temperature"))
            continue
        ax.set_xlabel("temperature (K)")
        ax.set_ylabel(label)
        ax.set_title(f"{label.split(' (')[0]} against temperature, bars ± 1 σ")
        ax.grid(color="0.9")
        ax.margins(x=0.06, y=0.15)
        if name == "g2_0":
            _reference_lines(ax)


def _reference_lines(ax: Axes) -> None:
    ax.axhline(1.0, color="0.25", linestyle="--", linewidth=1.0, label="1: many emitters")
    ax.axhline(0.5, color="0.25", linestyle=":", linewidth=1.0, label="0.5: limit of one emitter")
    ax.set_ylim(0.0, max(1.6, ax.get_ylim()[1]))
    ax.legend(loc="upper right", ncols=2)
