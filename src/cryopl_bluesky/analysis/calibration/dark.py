"""Detectors in the dark: offset, read noise and hot pixels of the camera, dark rates of the SPADs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from .._checks import AnalysisError, Floats, finite_array, positive
from ..g2 import garwood

HOT_SIGMAS = 8.0
"""A pixel is hot above the median by this many robust standard deviations of the pixels' means."""
EXACT_BELOW = 20
"""Counts below which the interval of a rate is asymmetric enough to matter."""


@dataclass(frozen=True, eq=False)
class DarkFrames:
    """Statistics of dark frames of one exposure, gain, ROI and binning.

    Attributes:
        offset_adu: Median of the pixels' means.
        offset_err_adu: Its standard error.
        read_noise_adu: Median over pixels of the standard deviation from frame to frame; with one frame, the spread
            from pixel to pixel. It holds the shot noise of the dark current.
        hot_pixels: How many pixels are hot.
        hot: Which, (H, W).
        mean_adu: Mean frame, to be subtracted, (H, W).
        frames: How many frames.
        drift_adu: Last minus first half of the frames, medians; None with fewer than 4.
        notes: What a reader must know.
    """

    offset_adu: float
    offset_err_adu: float
    read_noise_adu: float
    hot_pixels: int
    hot: NDArray[np.bool_]
    mean_adu: Floats
    frames: int
    drift_adu: float | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DarkRate:
    """Dark counts of one SPAD.

    Attributes:
        rate_Hz: Counts over time.
        rate_err_Hz: sqrt(counts) over time.
        ci68_Hz: Exact (Garwood) 68.27 % interval; read it instead of the error below 20 counts.
        counts: Counts.
        duration_s: Time.
        notes: What a reader must know.
    """

    rate_Hz: float
    rate_err_Hz: float
    ci68_Hz: tuple[float, float]
    counts: int
    duration_s: float
    notes: tuple[str, ...] = ()


def dark_frames(frames_adu: ArrayLike, *, hot_sigmas: float = HOT_SIGMAS) -> DarkFrames:
    """Statistics of dark frames.

    Args:
        frames_adu: Raw frames with the shutter closed, (n, H, W); best 10 or more.
        hot_sigmas: Threshold of a hot pixel, in robust standard deviations of the pixels' means.

    Raises:
        AnalysisError: Bad input, or frames that are all alike (no camera noise in them).
    """
    stack = finite_array("frames_adu", frames_adu, 3)
    n = stack.shape[0]
    mean = stack.mean(axis=0)
    offset = float(np.median(mean))
    spread = 1.4826 * float(np.median(np.abs(mean - offset)))
    notes = []
    if n > 1:
        # The median of a chi square of n - 1 degrees of freedom lies below its mean.
        noise = float(np.sqrt(np.median(stack.var(axis=0, ddof=1)) * (n - 1) / chi2.ppf(0.5, n - 1)))
    else:
        noise = spread
        notes.append("one frame: the read noise holds the pixels' own offsets; take 10 frames or more")
    if not noise > 0:
        raise AnalysisError("frames_adu has no noise; are these frames of a camera, and different ones?")
    # Where frames are few, rounding to whole ADU can make the robust spread of the means zero.
    hot = mean > offset + positive("hot_sigmas", hot_sigmas) * max(spread, noise / np.sqrt(n))
    drift = None
    if n >= 4:
        drift = float(np.median(stack[n - n // 2 :].mean(axis=0)) - np.median(stack[: n // 2].mean(axis=0)))
        if abs(drift) > 0.2 * noise:
            notes.append(f"the offset moved by {drift:+.2f} ADU within the frames; let the camera settle")
    error = 1.2533 * max(spread, noise / np.sqrt(n)) / np.sqrt(mean.size)
    return DarkFrames(offset, float(error), float(noise), int(hot.sum()), hot, mean, n, drift, tuple(notes))


def spad_dark_rates(
    counts: Mapping[str, int], duration_s: float, *, baseline_Hz: float | None = None, factor: float = 3.0
) -> dict[str, DarkRate]:
    """Dark rates of SPADs with Poisson errors.

    Args:
        counts: Counts of each SPAD by name.
        duration_s: Time of recording.
        baseline_Hz: Dark rate of a healthy SPAD (the profile's); None: not compared.
        factor: A note is made from this times the baseline on.

    Raises:
        AnalysisError: No SPAD, counts that are negative or no whole number.
    """
    time_s = positive("duration_s", duration_s)
    if not counts:
        raise AnalysisError("counts is empty; give the counts of at least one SPAD.")
    rates = {}
    for name, number in counts.items():
        if not (np.isfinite(number) and number >= 0 and number == int(number)):
            raise AnalysisError(f"counts of {name} is {number!r} but must be a whole number, zero or more.")
        low, high = garwood(int(number), 0.6827)
        rate = number / time_s
        notes = []
        if number < EXACT_BELOW:
            notes.append(f"{int(number)} counts: use the exact interval, or record longer")
        if baseline_Hz is not None and rate > factor * baseline_Hz:
            notes.append(f"{rate:.3g} Hz is above {factor:g} times the baseline of {baseline_Hz:g} Hz: light leak, "
                         "warm detector, or damage by light")
        rates[name] = DarkRate(
            rate, float(np.sqrt(number)) / time_s, (low / time_s, high / time_s), int(number), time_s, tuple(notes)
        )
    return rates
