"""The picture of a report, from the data and fits that its numbers came from: nothing is computed twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.figures._data import G2, Decay, DelayCalibration, Picture, PlainSpectrum, SpectralMap, TrplMap
from cryopl_bluesky.reports.results import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_report(report: Report) -> Figure:
    """The picture of a report.

    Args:
        report: from `analyse_run`, `analyse_series` or `analyse_file`; not one that was read from JSON.

    Raises:
        AnalysisError: there is nothing to draw.
    """
    figure = _figure(report)
    origin = report.origin
    at = "" if origin.setpoint_K is None else f" at {origin.setpoint_K:g} K"
    if not isinstance(report.data, list):  # a night has a title of its own
        figure.suptitle(f"{origin.target}{at}")
    return figure


def _figure(report: Report) -> Figure:
    from cryopl_bluesky.figures import night, spectrum

    data, fit = report.data, report.fit
    if isinstance(data, list):
        return night.draw_night(data, f"{report.origin.sample}, {report.origin.target}".lstrip(", "), fit)
    if isinstance(data, G2):
        return night.draw_g2(data, fit)
    if isinstance(data, Decay):
        return night.draw_decay(data, fit)
    if isinstance(data, SpectralMap):
        return night.draw_spectral_map(data, fit[0] if fit else None)
    if isinstance(data, TrplMap):
        return night.draw_trpl_map(data)
    if isinstance(data, Picture):
        return night.draw_image(data)
    if isinstance(data, DelayCalibration):
        return night.draw_channel_delay(data)
    if isinstance(data, PlainSpectrum):
        return spectrum.draw_spectrum(data, fit)
    if isinstance(data, np.ndarray):
        return spectrum.draw_counts(data)
    raise AnalysisError(f"{report.origin.target}: there is nothing to draw.")
