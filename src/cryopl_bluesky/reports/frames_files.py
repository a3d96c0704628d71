"""Reports of a camera's files: spectra with their strongest line, images with their statistics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.analysis.spectra import fit_line
from cryopl_bluesky.figures._data import PlainSpectrum
from cryopl_bluesky.files import FramesFile
from cryopl_bluesky.reports.lines import Line, line_of
from cryopl_bluesky.reports.origins import origin_of_files
from cryopl_bluesky.reports.results import Report


@dataclass(frozen=True, kw_only=True)
class FramesFileReport(Report):
    """Frames of a camera.

    Attributes:
        frames: how many.
        rows: of a frame.
        columns: of a frame.
        counts_sum: all counts of all frames.
        counts_mean: per pixel.
        counts_std: scatter of the pixels.
        counts_min: lowest pixel.
        counts_max: highest pixel.
        max_at: its frame, row and column, from 0.
        brightest_column: column of the highest sum over rows and frames, from 0.
        brightest_nm: its wavelength; None without a wavelength axis.
        axis_nm: wavelength of the first and of the last column; None without a wavelength axis.
        line: strongest line of the mean spectrum; None for images, or if there is none (see `notes`).
    """

    frames: int
    rows: int
    columns: int
    counts_sum: float
    counts_mean: float
    counts_std: float
    counts_min: float
    counts_max: float
    max_at: tuple[int, int, int]
    brightest_column: int
    brightest_nm: float | None
    axis_nm: tuple[float, float] | None
    line: Line | None


def report_frames_file(data: FramesFile) -> FramesFileReport:
    """Statistics of the frames, and the strongest line of their mean spectrum.

    Counts are those of the file: the electrons per count are not known, so the errors of the line are those of the
    scatter around the fit.
    """
    frames, axis = data.frames, data.wavelength_nm
    notes, warnings, line, fit = [], list(data.facts.warnings), None, None
    if axis is not None and axis.ndim == 2:
        warnings.append("every frame has its own wavelength axis: the spectrum is that of the first frame alone")
        frames, axis = frames[:1], axis[0]
    spectrum: NDArray[np.float64] = frames.mean(axis=0).sum(axis=0)
    brightest = int(np.argmax(spectrum))
    frame, row, column = (int(index) for index in np.unravel_index(int(data.frames.argmax()), data.frames.shape))
    if axis is not None:
        notes.append("the strongest line only; its errors are those of the scatter around the fit")
        try:
            fit = fit_line(axis, spectrum)
            line = line_of(fit, spectrum, f"mean of {len(frames)} frame(s), all rows", "counts")
        except AnalysisError as error:
            notes.append(f"no line: {error}")
    return FramesFileReport(
        measurement="spectrum" if axis is not None else "image", origin=origin_of_files(data.facts),
        method="sum over rows, mean over frames" if axis is not None else "all pixels", notes=tuple(notes),
        warnings=tuple(warnings), fit=fit,
        data=data.frames.mean(axis=0) if axis is None else PlainSpectrum(axis, spectrum, data.facts.name),
        frames=data.frames.shape[0], rows=data.frames.shape[1], columns=data.frames.shape[2],
        counts_sum=float(data.frames.sum()), counts_mean=float(data.frames.mean()),
        counts_std=float(data.frames.std()), counts_min=float(data.frames.min()), counts_max=float(data.frames.max()),
        max_at=(frame, row, column),
        brightest_column=brightest, brightest_nm=None if axis is None else float(axis[brightest]),
        axis_nm=None if axis is None else (float(axis[0]), float(axis[-1])), line=line,
    )  # fmt: skip
