"""From a raw camera frame to cleaned row spectra: dark frame, hot pixels, cosmic rays, variance, binning.

Nothing here changes a raw frame. What was replaced is counted and its positions are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._checks import AnalysisError, Floats, positive, same_shape
from ._engine import Engine, kernels_of
from .cosmic_rays import (
    ANSCOMBE,
    DEFAULT_IMAGE_ROWS,
    DEFAULT_SIGMA,
    MIN_ROWS,
    REPLACED_BY_ROWS,
    contrast_of,
    threshold_of,
)
from .dark_frames import REPLACED_HOT, DarkReference, HotPixels
from .spectra import Electrons

_MOST_HITS = 0.01
"""More hits than this part of the pixels are refused: then noise or gain are not those of the frame."""

_NO_HOT = np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False, kw_only=True)
class CleanFrame(Electrons):
    """A frame in photo-electrons without hot pixels and cosmic rays, perhaps binned over rows.

    Attributes:
        rows: Centre of each (binned) row in rows of the raw frame, from 0, (H,).
        bin_rows: Rows summed into one.
        cosmic_ray_px: Row and column in the raw frame of each pixel replaced as hit, (n, 2).
        hot_px: Number of hot pixels replaced.
        notes: What a reader must know.
    """

    rows: Floats
    bin_rows: int
    cosmic_ray_px: NDArray[np.int64]
    hot_px: int
    notes: tuple[str, ...] = ()


def clean_frame(
    frame_adu: ArrayLike,
    *,
    gain_e_per_adu: float,
    read_noise_e: float,
    offset_adu: float = 0.0,
    dark: DarkReference | None = None,
    bin_rows: int = 1,
    cosmic_rays: bool = True,
    threshold_sigma: float = DEFAULT_SIGMA,
    image_fwhm_rows: float = DEFAULT_IMAGE_ROWS,
    saturation_adu: float = 65535,
    engine: Engine = "auto",
) -> CleanFrame:
    """Turn a raw frame into photo-electrons with variance, without hot pixels and cosmic rays, in one pass.

    Hot pixels get the mean of the nearest good rows of their column, hits of cosmic rays the median of the nearest
    four rows (see `remove_cosmic_rays`, the same test). Saturated pixels are flagged, not replaced, unless a hit or a
    hot pixel saturated them. The variance is read^2 + signal + dark signal, with the noise of the dark reference.

    Args:
        frame_adu: Raw frame as the camera gave it, whole numbers from 0 to 65535, (H, W).
        gain_e_per_adu: Electrons per ADU.
        read_noise_e: Read noise per pixel, rms electrons.
        offset_adu: Bias level, if there is no `dark`.
        dark: Dark reference of the same settings.
        bin_rows: Rows to sum into one, a divisor of H.
        cosmic_rays: Whether to look for cosmic rays.
        threshold_sigma: Threshold of that search in standard deviations.
        image_fwhm_rows: Height of the image of a point in rows (FWHM); nothing real is smaller.
        saturation_adu: Raw values from here on are saturated.
        engine: "numba", "numpy" (the same numbers, slower), or "auto".

    Raises:
        AnalysisError: Not a raw frame, shapes or settings that do not fit, or so many hits that gain and read noise
            cannot be right.
    """
    raw = _raw_frame(frame_adu)
    gain = positive("gain_e_per_adu", gain_e_per_adu, "It is in the camera's configuration of the run.")
    if not read_noise_e >= 0:
        raise AnalysisError(f"read_noise_e is {read_noise_e!r} but must be zero or more.")
    if bin_rows < 1 or len(raw) % bin_rows:
        raise AnalysisError(
            f"bin_rows is {bin_rows} but must divide the {len(raw)} rows; cut rows off or choose another."
        )
    if cosmic_rays and len(raw) < MIN_ROWS:
        raise AnalysisError(
            f"The search for cosmic rays needs {MIN_ROWS} rows, but the frame has {len(raw)}; set cosmic_rays=False."
        )
    level, hot, noise = _references(raw, gain, read_noise_e, offset_adu, dark)
    hot_values = _hot_values(raw, level, gain, hot)
    shape = (len(raw) // bin_rows, raw.shape[1])
    electrons, saturated = np.zeros(shape), np.zeros(shape, np.uint8)
    room = int(_MOST_HITS * raw.size) + 1
    hits, hit_values = np.empty(room, np.int64), np.empty(room, np.float32)
    found = kernels_of("frame", engine).clean(
        raw, level, hot.starts, hot.columns, hot_values, np.float32(gain), np.float32(noise + ANSCOMBE),
        np.float32(threshold_of(threshold_sigma)), np.float32(contrast_of(image_fwhm_rows)),
        int(np.ceil(saturation_adu)), bin_rows, cosmic_rays, electrons, saturated, hits, hit_values,
    )
    if found > room:
        raise AnalysisError(
            f"{found} of {raw.size} pixels look like cosmic rays; gain_e_per_adu {gain:g} and read_noise_e "
            f"{read_noise_e:g} cannot be those of this frame."
        )
    at = np.stack(np.divmod(hits[:found], raw.shape[1]), axis=1)
    variance = np.full(shape, bin_rows * noise)
    for rows, columns, values, share in (
        (hot.rows, hot.columns, hot_values, REPLACED_HOT),
        (at[:, 0], at[:, 1], hit_values[:found], REPLACED_BY_ROWS),
    ):
        np.add.at(variance, (rows // bin_rows, columns), (share - 1.0) * (np.maximum(values, 0.0) + noise))
    return CleanFrame(
        electrons=electrons,
        variance=np.maximum(electrons, 0.0) + variance,
        saturated=saturated.view(np.bool_),
        noise=variance,
        rows=np.arange(shape[0], dtype=np.float64) * bin_rows + 0.5 * (bin_rows - 1),
        bin_rows=bin_rows,
        cosmic_ray_px=at,
        hot_px=hot.columns.size,
        notes=_notes(found, raw.size, dark),
    )


def _raw_frame(frame_adu: ArrayLike) -> NDArray[np.uint16]:
    frame = np.asarray(frame_adu)
    if frame.ndim != 2 or frame.size == 0:
        raise AnalysisError(f"frame_adu must be one frame (H, W), but its shape is {frame.shape}.")
    if frame.dtype != np.uint16:
        if frame.dtype.kind not in "iu" or frame.min() < 0 or frame.max() > 65535:
            raise AnalysisError(
                f"frame_adu is {frame.dtype}, but a raw frame holds whole numbers from 0 to 65535; "
                "use frame_to_electrons and remove_cosmic_rays for averaged or subtracted frames."
            )
        frame = frame.astype(np.uint16)
    return np.ascontiguousarray(frame)


def _references(
    raw: NDArray[np.uint16], gain: float, read_noise_e: float, offset_adu: float, dark: DarkReference | None
) -> tuple[NDArray[np.float32], HotPixels, float]:
    """Level to subtract, hot pixels, and the variance of a pixel without light."""
    if dark is None:
        level = np.full((1, raw.shape[1]), offset_adu, np.float32)
        return level, HotPixels(np.zeros(len(raw) + 1, np.int64), _NO_HOT, _NO_HOT, _NO_HOT), float(read_noise_e) ** 2
    same_shape("frame_adu", raw, "dark.mean_adu", dark.mean_adu)
    for name, value, of_dark in (
        ("gain_e_per_adu", gain, dark.gain_e_per_adu),
        ("read_noise_e", read_noise_e, dark.read_noise_e),
    ):
        if not np.isclose(value, of_dark, rtol=1e-6):
            raise AnalysisError(
                f"{name} is {value:g} but {of_dark:g} in the dark reference; take dark frames with the same settings."
            )
    return dark.mean_adu, dark.hot_pixels, (read_noise_e**2 + dark.dark_e) * (1.0 + 1.0 / dark.frames)


def _hot_values(
    raw: NDArray[np.uint16], level: NDArray[np.float32], gain: float, hot: HotPixels
) -> NDArray[np.float32]:
    """Electrons to put into the hot pixels: the mean of the nearest good rows."""
    if not hot.columns.size:
        return np.zeros(0, np.float32)
    both = [raw[rows, hot.columns].astype(np.float32) - level[rows, hot.columns] for rows in (hot.above, hot.below)]
    return (np.float32(0.5 * gain) * (both[0] + both[1])).astype(np.float32)


def _notes(found: int, pixels: int, dark: DarkReference | None) -> tuple[str, ...]:
    notes = [] if dark is None else list(dark.notes)
    if found > 1e-3 * pixels:
        notes.append(
            f"{found} of {pixels} pixels look like hits, too many for cosmic rays: check gain and read noise, and "
            "whether something in the image is only one or two rows high"
        )
    return tuple(notes)
