"""Rows of a spectral image and positions at the sample; spectra at positions; sums of frames and pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ._checks import AnalysisError, Floats, finite_array, positive, same_shape
from .spectra import Electrons, Spectrum, rows_at, sum_rows


@dataclass(frozen=True)
class RowScale:
    """Positions at the sample of the rows of a frame: (row - row0) pixel_um vbin / magnification.

    Attributes:
        magnification: From sample to chip, from the length-scale calibration.
        row0: Row that is position 0; may be a fraction.
        pixel_um: Pixel pitch of the camera.
        vbin: Pixels per row of the raw frame (the camera's own binning).
        relative_error: Relative standard error of the scale. It is common to all lengths: ratios do not carry it.
        flipped: True if position falls with the row.
    """

    magnification: float
    row0: float
    pixel_um: float = 6.5
    vbin: int = 1
    relative_error: float = 0.0
    flipped: bool = False

    @property
    def um_per_row(self) -> float:
        """Length at the sample of one row.

        Raises:
            AnalysisError: A magnification, pitch or binning that is not above zero.
        """
        pitch = positive("pixel_um", self.pixel_um) * positive("vbin", self.vbin)
        return pitch / positive("magnification", self.magnification)

    def position_um(self, row: ArrayLike) -> Floats:
        """Positions of rows of the raw frame (for a binned frame: its `rows`); same shape."""
        steps = finite_array("row", row) - self.row0
        return (-steps if self.flipped else steps) * self.um_per_row

    def position_err_um(self, row: ArrayLike) -> Floats:
        """Standard error of the distance from position 0, by the scale."""
        return np.abs(self.position_um(row)) * self.relative_error

    def row(self, position_um: ArrayLike) -> Floats:
        """Rows of positions, as fractions; the inverse of `position_um`."""
        steps = finite_array("position_um", position_um) / self.um_per_row
        return self.row0 + (-steps if self.flipped else steps)


def spectra_at(
    frame: Electrons,
    position_um: ArrayLike,
    centres_um: Sequence[float],
    half_width_rows: int,
    background_rows: slice | None = None,
) -> tuple[Spectrum, ...]:
    """Spectra at chosen positions, each summed over +- `half_width_rows` rows of the frame.

    Args:
        frame: Electrons, (H, W).
        position_um: Position of each row of `frame`, (H,).
        centres_um: Positions at which spectra are wanted.
        half_width_rows: Rows to add on both sides of the nearest row.
        background_rows: Rows without light whose mean is subtracted per summed row.

    Raises:
        AnalysisError: A position outside of the frame, or an axis of another length.
    """
    axis = finite_array("position_um", position_um, 1)
    if axis.size != len(frame.electrons):
        raise AnalysisError(f"position_um has {axis.size} entries but the frame {len(frame.electrons)} rows.")
    return tuple(
        sum_rows(frame, rows_at(axis, centre, half_width_rows), background_rows) for centre in centres_um
    )


def line_total_spectrum(frame: Electrons, background_rows: slice | None = None) -> Spectrum:
    """Sum of all rows: the spectrum along the acquisition line (not `image_total_spectrum`, which needs L5 in)."""
    return sum_rows(frame, None, background_rows)


def bin_frame(frame: Electrons, rows: int = 1, columns: int = 1) -> Electrons:
    """Sum blocks of pixels; a block with a saturated pixel is saturated.

    Raises:
        AnalysisError: A binning that does not divide the frame.
    """
    height, width = frame.electrons.shape
    if rows < 1 or columns < 1 or height % rows or width % columns:
        raise AnalysisError(
            f"A binning of {rows} rows x {columns} columns does not divide a frame of {height} x {width}; cut it first."
        )
    shape = (height // rows, rows, width // columns, columns)
    electrons = frame.electrons.reshape(shape).sum(axis=(1, 3))
    saturated = np.asarray(frame.saturated.reshape(shape).any(axis=(1, 3)))
    if frame.noise is None:
        return Electrons(electrons, frame.variance.reshape(shape).sum(axis=(1, 3)), saturated)
    noise = frame.noise.reshape(shape).sum(axis=(1, 3))
    return Electrons(electrons, np.maximum(electrons, 0.0) + noise, saturated, noise)


def sum_frames(frames: Sequence[Electrons]) -> Electrons:
    """Sum frames of the same scene, for instance after `remove_cosmic_rays_between`.

    Raises:
        AnalysisError: No frame, or different shapes.
    """
    if not frames:
        raise AnalysisError("Give at least one frame to sum.")
    for i, frame in enumerate(frames):
        same_shape("frames[0]", frames[0].electrons, f"frames[{i}]", frame.electrons)
    electrons = np.sum([frame.electrons for frame in frames], axis=0)
    noise = np.sum([frame.noise_without_light for frame in frames], axis=0)
    saturated = np.any([frame.saturated for frame in frames], axis=0)
    return Electrons(electrons, np.maximum(electrons, 0.0) + noise, saturated, noise)


def bin_axis(axis: ArrayLike, pixels: int) -> Floats:
    """Centres of blocks of `pixels` neighbouring pixels (wavelength or row axis), for `bin_frame`.

    Raises:
        AnalysisError: A binning that does not divide the axis.
    """
    values = finite_array("axis", axis, 1)
    if pixels < 1 or values.size % pixels:
        raise AnalysisError(f"Blocks of {pixels} pixels do not divide an axis of {values.size}; cut it first.")
    return values.reshape(-1, pixels).mean(axis=1)
