"""Removal of cosmic rays from frames: within one frame by its rows, and between frames of the same scene.

Both replace, count and report; the raw frame is never changed. A replaced pixel gets a variance with which sums over
rows (or over frames) have the right error, although it carries no information of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._checks import AnalysisError, Floats, finite_array, positive, same_shape
from ._frame_numpy import find_hits, neighbour_levels
from .spectra import Electrons

DEFAULT_SIGMA = 5.0
"""Threshold of the neighbouring-row test: noise gets there in less than 3e-7 of the pixels at any brightness."""

DEFAULT_SIGMA_BETWEEN = 6.0
"""Threshold between frames: noise gets there in less than 1e-6 of the pixels, most at some 10 electrons (at 5 sigma in
1e-5: the square root does not make a few photons quite Gaussian)."""

DEFAULT_IMAGE_ROWS = 2.5
"""Smallest height of the image of a point in rows (FWHM). By the optics it is 5.5 pixels in the 1x and 22 in the 4x
relay, so 2.75 rows with the binnings 2 and 8 that suit them: safe for all of these."""

REPLACED_BY_ROWS = 2.3
"""Variance of a pixel that was replaced by the median of its four neighbours, relative to a measured pixel, with which
sums over rows are right: var(median) + 2 cov(median, sum of the neighbours) = 0.30 + 2."""

ANSCOMBE = 0.375
"""What is added to a Poisson number before the square root that makes its variance constant."""

MIN_ROWS = 5
"""Rows that the neighbouring-row test needs."""


@dataclass(frozen=True, eq=False)
class CosmicRays:
    """A frame without its hits.

    Attributes:
        frame: The cleaned frame.
        hits: True where a pixel was replaced, (H, W).
        replaced: Number of pixels replaced.
        method: "neighbouring rows" or "between frames".
        notes: What a reader must know.
    """

    frame: Electrons
    hits: NDArray[np.bool_]
    replaced: int
    method: str
    notes: tuple[str, ...] = ()


def contrast_of(image_fwhm_rows: float) -> float:
    """By which part a row of a point's image exceeds the second highest of its neighbours at most.

    That is when the point lies between two rows: exp(-0.5^2/2s^2)/exp(-1.5^2/2s^2) - 1 = exp(8 ln 2/FWHM^2) - 1.
    """
    return float(np.expm1(8.0 * np.log(2.0) / positive("image_fwhm_rows", image_fwhm_rows) ** 2))


def remove_cosmic_rays(
    frame: Electrons, *, threshold_sigma: float = DEFAULT_SIGMA, image_fwhm_rows: float = DEFAULT_IMAGE_ROWS
) -> CosmicRays:
    """Replace hits of up to two rows in a column, found by comparing each pixel with the nearest four rows.

    A pixel is a hit if it exceeds the second highest of these four by more than the image of a point can and than
    `threshold_sigma` of the noise: some 20 electrons where it is dark, 300 at 2000 electrons. Only rows of the same
    column are compared, so a spectral line may be as narrow as it likes. A track of three or more rows in one column
    stays: use `remove_cosmic_rays_between` against those.

    Args:
        frame: Electrons with variance, at least 5 rows, not binned over rows.
        threshold_sigma: Threshold in standard deviations of a pixel.
        image_fwhm_rows: Height of the image of a point in rows. Smaller is more careful with point-like emitters.

    Raises:
        AnalysisError: Too few rows, NaN, or a threshold that makes no sense.
    """
    electrons = finite_array("frame.electrons", frame.electrons, 2)
    if len(electrons) < MIN_ROWS:
        raise AnalysisError(
            f"The neighbouring-row test needs {MIN_ROWS} rows, but the frame has {len(electrons)}; "
            "take two frames and use remove_cosmic_rays_between."
        )
    threshold2 = threshold_of(threshold_sigma)
    noise = frame.noise_without_light
    second, median = neighbour_levels(electrons)
    hits = find_hits(electrons, second, noise + ANSCOMBE, threshold2, contrast_of(image_fwhm_rows))
    return _replaced(frame, hits, median, noise, REPLACED_BY_ROWS, "neighbouring rows")


def threshold_of(threshold_sigma: float) -> float:
    """Square of the threshold in units of the variance of one pixel; the neighbours' level adds 0.3 of that.

    Raises:
        AnalysisError: Below 3: shot noise would be removed.
    """
    if not threshold_sigma >= 3.0:
        raise AnalysisError(
            f"threshold_sigma is {threshold_sigma!r} but must be 3 or more: below that noise is removed, not hits."
        )
    return 1.3 * threshold_sigma**2


def remove_cosmic_rays_between(
    frames: Sequence[Electrons], *, threshold_sigma: float = DEFAULT_SIGMA_BETWEEN, brightness_tolerance: float = 0.05
) -> tuple[CosmicRays, ...]:
    """Replace hits in two or more frames of the same scene, found by comparing the frames pixel by pixel.

    The reference is the median frame (of two: the darker). A pixel is a hit if it exceeds the reference by more than
    `threshold_sigma` of the difference of two Poisson numbers with read noise, judged on the scale
    2 sqrt(n + 3/8 + read^2) on which that difference has variance 2 at any brightness (Anscombe 1948; Murtagh, Starck
    and Bijaoui 1995). Hits get the mean of the frames that were not hit there.

    Args:
        frames: At least two, same scene, exposure and shape.
        threshold_sigma: Threshold in standard deviations.
        brightness_tolerance: Relative change of brightness between frames that is no hit (laser drift, blinking).

    Returns:
        One result per frame, in order.

    Raises:
        AnalysisError: Fewer than two frames, different shapes, NaN.
    """
    if len(frames) < 2:
        raise AnalysisError("Give at least two frames of the same scene, or use remove_cosmic_rays on one.")
    threshold_of(threshold_sigma)
    if not brightness_tolerance >= 0:
        raise AnalysisError(f"brightness_tolerance is {brightness_tolerance!r} but must be zero or more.")
    for i, frame in enumerate(frames):
        finite_array(f"frames[{i}].electrons", frame.electrons, 2)
        same_shape("frames[0]", frames[0].electrons, f"frames[{i}]", frame.electrons)
    noises = [frame.noise_without_light for frame in frames]
    stack = np.stack([frame.electrons for frame in frames])
    hits = hits_between(stack, np.mean(noises, axis=0), threshold_sigma, brightness_tolerance)
    clean_frames = (~hits).sum(axis=0)
    mean = np.where(hits, 0.0, stack).sum(axis=0) / clean_frames
    # n - k frames carry the sum of n: the k replaced ones must bring the variance of the sum to n^2/(n - k)
    n, k = float(len(frames)), np.maximum(len(frames) - clean_frames, 1)
    share = (n**2 / (n - k) - (n - k)) / k
    return tuple(
        _replaced(frame, hit, mean, noise, share, "between frames")
        for frame, hit, noise in zip(frames, hits, noises, strict=True)
    )


def hits_between(stack: Floats, noise: Floats | float, threshold_sigma: float, tolerance: float) -> NDArray[np.bool_]:
    """Pixels of a stack of frames in electrons, (N, H, W), that stand out of the other frames.

    At least one frame, the reference, is never hit.
    """
    middle = (len(stack) - 1) // 2
    reference = np.partition(stack, middle, axis=0)[middle]
    allowed = _stabilised(np.maximum(reference, 0.0) * (1.0 + tolerance) + np.minimum(reference, 0.0), noise)
    allowed += threshold_sigma * np.sqrt(2.0)
    return np.stack([_stabilised(frame, noise) > allowed for frame in stack])


def _stabilised(electrons: Floats, noise: Floats | float) -> Floats:
    return 2.0 * np.sqrt(np.maximum(electrons + ANSCOMBE + noise, 0.0))


def _replaced(
    frame: Electrons, hits: NDArray[np.bool_], values: Floats, noise: Floats, share: Floats | float, method: str
) -> CosmicRays:
    electrons = np.where(hits, values, frame.electrons)
    lit = np.maximum(electrons, 0.0)
    new_noise = np.where(hits, share * (lit + noise) - lit, noise)
    cleaned = Electrons(electrons, lit + new_noise, frame.saturated & ~hits, new_noise)
    count = int(hits.sum())
    notes = []
    if count > 1e-3 * hits.size:
        notes.append(
            f"{count} of {hits.size} pixels look like hits, too many for cosmic rays: check gain and read noise, "
            "and whether something in the image is only one or two rows high"
        )
    return CosmicRays(cleaned, hits, count, method, tuple(notes))
