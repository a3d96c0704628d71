"""Dark reference of a camera: mean dark frame, typical dark signal, and the map of hot (defective) pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._checks import AnalysisError, Floats, finite_array, positive
from .cosmic_rays import DEFAULT_SIGMA_BETWEEN, hits_between

Singles = NDArray[np.float32]
Whole = NDArray[np.int64]

REPLACED_HOT = 2.5
"""Variance of a pixel replaced by the mean of two neighbours, relative to a measured one, with which sums over rows
are right: var(mean) + 2 cov(mean, sum of the neighbours) = 1/2 + 2."""

_NOISY_FRAMES = 8
"""Dark frames from which the noise of single pixels is judged."""

_BLOCK_ROWS = 128
"""Rows averaged at a time: full frames as floating point numbers would take gigabytes."""

_MOST_HOT = 0.05
"""More hot pixels than this part are refused: then the dark frames hold light or differ."""


@dataclass(frozen=True, eq=False)
class HotPixels:
    """Hot pixels by row, and the nearest good rows of their column.

    Attributes:
        starts: Where each row starts in the other arrays, (H + 1,).
        columns: Columns, (n,).
        above: Nearest good row before, or after if there is none before, (n,).
        below: Nearest good row after, or before if there is none after, (n,).
    """

    starts: Whole
    columns: Whole
    above: Whole
    below: Whole

    @property
    def rows(self) -> Whole:
        """Rows, (n,)."""
        return np.repeat(np.arange(self.starts.size - 1), np.diff(self.starts))

    @classmethod
    def of(cls, hot: NDArray[np.bool_]) -> HotPixels:
        """List the hot pixels of a map, (H, W).

        Raises:
            AnalysisError: A column without any good pixel.
        """
        if hot.all(axis=0).any():
            column = int(np.flatnonzero(hot.all(axis=0))[0])
            raise AnalysisError(f"Column {column} has hot pixels only; cut it off.")
        number = np.arange(len(hot))[:, None]
        before = np.maximum.accumulate(np.where(hot, -1, number), axis=0)
        after = np.minimum.accumulate(np.where(hot, len(hot), number)[::-1], axis=0)[::-1]
        rows, columns = np.nonzero(hot)
        above, below = before[rows, columns], after[rows, columns]
        return cls(
            np.searchsorted(rows, np.arange(len(hot) + 1)).astype(np.int64),
            columns.astype(np.int64),
            np.where(above < 0, below, above).astype(np.int64),
            np.where(below == len(hot), above, below).astype(np.int64),
        )


@dataclass(frozen=True, eq=False)
class DarkReference:
    """Result of `dark_reference`.

    Attributes:
        mean_adu: Mean dark frame, (H, W).
        frames: Number of frames averaged.
        hot: True where a pixel is hot or noisy and must be replaced, (H, W).
        hot_pixels: The same as lists.
        dark_e: Dark signal of the typical pixel in one exposure, electrons.
        gain_e_per_adu: Electrons per ADU used.
        read_noise_e: Read noise used, electrons rms per pixel.
        offset_adu: Bias level used.
        cosmic_ray_px: Pixels replaced in single dark frames before averaging.
        notes: What a reader must know.
    """

    mean_adu: Singles
    frames: int
    hot: NDArray[np.bool_]
    hot_pixels: HotPixels
    dark_e: float
    gain_e_per_adu: float
    read_noise_e: float
    offset_adu: float
    cosmic_ray_px: int
    notes: tuple[str, ...] = ()


def dark_reference(
    frames_adu: ArrayLike,
    *,
    gain_e_per_adu: float,
    read_noise_e: float,
    offset_adu: float | None = None,
    hot_sigma: float = 8.0,
    noisy_factor: float = 3.0,
) -> DarkReference:
    """Average dark frames and find hot pixels.

    A pixel is hot if its mean differs from the median of the frame by more than `hot_sigma` of the pixel-to-pixel
    spread (from the median absolute deviation, at least what the read noise makes), or noisy if it scatters from
    frame to frame `noisy_factor` times more than the typical pixel (needs 8 frames). Hits of cosmic rays in one of
    several dark frames are replaced before averaging.

    Args:
        frames_adu: Dark frames of the same exposure, temperature, ROI and binning as the data, (N, H, W) or (H, W).
        gain_e_per_adu: Electrons per ADU.
        read_noise_e: Read noise per pixel, rms electrons.
        offset_adu: Bias level. None: the median of the dark frame; the dark signal then counts as zero.
        hot_sigma: Threshold for hot pixels.
        noisy_factor: Threshold for noisy pixels.

    Raises:
        AnalysisError: NaN, wrong shapes, or so many hot pixels that these are no dark frames of one kind.
    """
    given = np.asarray(frames_adu)
    stack = given[None] if given.ndim == 2 else given
    if stack.ndim != 3 or not stack.size:
        raise AnalysisError(f"frames_adu must be dark frames, (N, H, W) or (H, W), but its shape is {given.shape}.")
    gain = positive("gain_e_per_adu", gain_e_per_adu)
    if not read_noise_e >= 0:
        raise AnalysisError(f"read_noise_e is {read_noise_e!r} but must be zero or more.")
    n = len(stack)
    notes = ["one dark frame: a cosmic ray in it counts as hot pixel, and its noise is added in full"] if n == 1 else []
    mean, scatter, replaced = _average(stack, gain, float(read_noise_e) ** 2, offset_adu)
    offset = float(np.median(mean)) if offset_adu is None else float(offset_adu)
    middle = float(np.median(mean))
    spread = max(1.4826 * float(np.median(np.abs(mean - middle))), read_noise_e / gain / np.sqrt(n))
    hot = np.abs(mean - middle) > hot_sigma * max(spread, 1e-6)
    if n >= _NOISY_FRAMES:
        hot |= scatter > noisy_factor * float(np.median(scatter))
    if hot.mean() > _MOST_HOT:
        raise AnalysisError(
            f"{hot.mean():.0%} of the pixels look hot; were these dark frames taken with the shutter closed and the "
            "same settings?"
        )
    return DarkReference(
        mean_adu=mean.astype(np.float32),
        frames=n,
        hot=hot,
        hot_pixels=HotPixels.of(hot),
        dark_e=max(0.0, float((mean[~hot].mean() - offset) * gain)),
        gain_e_per_adu=gain,
        read_noise_e=float(read_noise_e),
        offset_adu=offset,
        cosmic_ray_px=replaced,
        notes=tuple(notes),
    )


def _average(
    stack: NDArray[Any], gain: float, read_variance: float, offset_adu: float | None
) -> tuple[Floats, Floats, int]:
    """Mean and scatter of every pixel over the frames without hits of cosmic rays, and the number of hits."""
    mean, scatter, replaced = np.empty(stack.shape[1:]), np.zeros(stack.shape[1:]), 0
    level = float(np.median(stack[0])) if offset_adu is None else offset_adu
    for first in range(0, stack.shape[1], _BLOCK_ROWS):
        rows = slice(first, first + _BLOCK_ROWS)
        block = finite_array("frames_adu", stack[:, rows], 3)
        if len(block) > 1:
            hits = hits_between((block - level) * gain, read_variance, DEFAULT_SIGMA_BETWEEN, 0.0)
            others = np.where(hits, 0.0, block).sum(axis=0) / (~hits).sum(axis=0)
            block = np.where(hits, others, block)
            scatter[rows] = block.std(axis=0, ddof=1)
            replaced += int(hits.sum())
        mean[rows] = block.mean(axis=0)
    return mean, scatter, replaced
