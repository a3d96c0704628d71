"""What a wide-field image shows without a model: how bright it is, and the objects in it with their sizes.

Counts are photo-electrons above the camera's offset; sizes are in pixels.

    >>> y, x = np.mgrid[:200, :200]
    >>> image = np.where(np.hypot(x - 90, y - 120) < 20, 500.0, 0.0) + 3.0
    >>> found = describe_image(np.random.default_rng(1).poisson(image), read_noise=1.5)
    >>> len(found.objects), round(found.objects[0].diameter_px)
    (1, 40)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from ._checks import AnalysisError, Floats, finite_array

SMOOTH_PX = 3
"""Objects are found in a running mean over this many pixels squared."""
FEWEST_PX = 9
"""Smaller regions are noise."""
CLIP = 4.0
"""Pixels further from the median than this many standard deviations are no background."""
SIGNIFICANT = 5.0
"""The brightest object must stand out of the background by this many standard deviations of a smoothed pixel."""


@dataclass(frozen=True)
class BrightObject:
    """A region above half of the image's maximum.

    Attributes:
        x_px: Column of its centroid.
        y_px: Row of its centroid.
        diameter_px: Of a disc of the same area.
        diameter_err_px: What noise and the pixels at its rim leave open.
        counts: Counts inside above the background.
        counts_err: Standard error.
        peak: Highest smoothed pixel above the background.
    """

    x_px: float
    y_px: float
    diameter_px: float
    diameter_err_px: float
    counts: float
    counts_err: float
    peak: float


@dataclass(frozen=True)
class ImageDescription:
    """Brightness and objects of an image.

    Attributes:
        counts: All counts above the background.
        counts_err: Standard error, that of the background level included.
        peak: Highest smoothed pixel above the background.
        peak_err: Standard error.
        background: Level where there is nothing: mean of the pixels that are not far from the median. Objects must
            fill less than half of the image.
        background_err: Standard error.
        objects: Regions above half of `peak`, the brightest first.
        method: How they were found.
        notes: What a reader must know.
    """

    counts: float
    counts_err: float
    peak: float
    peak_err: float
    background: float
    background_err: float
    objects: tuple[BrightObject, ...]
    method: str
    notes: tuple[str, ...]


def describe_image(image: ArrayLike, *, read_noise: float = 0.0, frames: int = 1, most: int = 20) -> ImageDescription:
    """Brightness of an image and the objects in it.

    Args:
        image: Photo-electrons per pixel, mean of `frames` frames, offset subtracted, (H, W).
        read_noise: Of one frame, rms electrons per pixel.
        frames: How many frames were averaged.
        most: Most objects to describe.

    Raises:
        AnalysisError: NaN, not two-dimensional, a negative noise, or less than 16 pixels a side.
    """
    values = finite_array("image", image, 2)
    if min(values.shape) < 16:
        raise AnalysisError(f"image has {values.shape} pixels, but at least 16 a side are needed.")
    if not (np.isfinite(read_noise) and read_noise >= 0 and frames >= 1):
        raise AnalysisError(f"read_noise {read_noise!r} must be zero or more and frames {frames!r} 1 or more.")
    variance = (np.maximum(values, 0.0) + read_noise**2) / frames
    # the scatter of the image below its median: noise that nobody told us of is in it
    middle = float(np.median(values))
    scatter = middle - float(np.quantile(values, 0.1587))
    # the mean, not the median: that of few electrons per pixel lies a fraction of an electron beside it
    nothing = values[np.abs(values - middle) <= CLIP * scatter]
    level, level_err = float(nothing.mean()), float(nothing.std() / np.sqrt(nothing.size))
    smooth = ndimage.uniform_filter(values - level, SMOOTH_PX)
    top = np.unravel_index(int(np.argmax(smooth)), smooth.shape)
    peak = float(smooth[top])
    peak_err = float(np.sqrt(ndimage.uniform_filter(variance, SMOOTH_PX)[top])) / SMOOTH_PX
    notes = []
    objects: list[BrightObject] = []
    if peak > SIGNIFICANT * max(scatter / SMOOTH_PX, peak_err):
        objects = _objects(values - level, smooth, variance, peak, peak_err)
        if len(objects) > most:
            notes.append(f"{len(objects)} objects; the {most} brightest are described")
    else:
        notes.append("nothing stands out of the background: no objects")
    return ImageDescription(
        counts=float((values - level).sum()),
        counts_err=float(np.hypot(np.sqrt(variance.sum()), level_err * values.size)),
        peak=peak,
        peak_err=peak_err,
        background=level,
        background_err=level_err,
        objects=tuple(objects[:most]),
        method=f"background near the median; regions above half of the maximum of a {SMOOTH_PX} px running mean",
        notes=tuple(notes),
    )


def _objects(above: Floats, smooth: Floats, variance: Floats, peak: float, peak_err: float) -> list[BrightObject]:
    labels = np.asarray(ndimage.label(smooth > 0.5 * peak)[0])  # pyright: ignore
    found = []
    for index, box in enumerate(ndimage.find_objects(labels), start=1):
        inside = labels[box] == index
        area = int(inside.sum())
        if area < FEWEST_PX:
            continue
        counts = float(above[box][inside].sum())
        rows, columns = np.nonzero(inside)
        found.append(BrightObject(
            x_px=float(columns.mean() + box[1].start),
            y_px=float(rows.mean() + box[0].start),
            diameter_px=2.0 * float(np.sqrt(area / np.pi)),
            diameter_err_px=_rim_error(smooth[box], inside, 0.5 * peak, peak_err),
            counts=counts,
            counts_err=float(np.sqrt(variance[box][inside].sum())),
            peak=float(smooth[box][inside].max()),
        ))  # fmt: skip
    return sorted(found, key=lambda part: part.counts, reverse=True)


def _rim_error(smooth: Floats, inside: np.ndarray, threshold: float, noise: float) -> float:
    """Pixels whose membership the noise could change, as a change of the diameter; at least that of the grid."""
    rim = inside & np.logical_not(ndimage.binary_erosion(inside))
    open_pixels = np.count_nonzero(np.abs(smooth[inside] - threshold) < noise)
    area, boundary = float(inside.sum()), float(rim.sum())
    # each pixel of the rim is cut at random: variance 1/12 of a pixel
    area_err = np.hypot(open_pixels, np.sqrt(boundary / 12.0))
    return float(area_err / np.sqrt(np.pi * area))
