"""Peak areas in blocks of time, and the error of g2(0) by resampling them.

Two pairs that share the same bright or dark time of a blinking source are not independent, so that Poisson errors
may be too small. Blocks longer than the blinking are: drawing them again with replacement (block bootstrap)
repeats the measurement.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import correlate

from ._checks import AnalysisError, Floats, positive
from ._g2_peaks import Counts

PS_PER_S = 1e12
FEWEST_BLOCKS = 20
"""With fewer the bootstrap error is known to worse than 16 %, and tends to come out too small."""
_CLICKS_AT_ONCE = 1 << 16


@dataclass(frozen=True, eq=False)
class BlockAreas:
    """Pair counts per peak in successive blocks of time.

    Attributes:
        k: Peak numbers, (n_peaks,).
        areas: Pairs whose SPAD 1 click lies in the block, (n_blocks, n_peaks).
        block_s: Length of one block.
    """

    k: Counts
    areas: Counts
    block_s: float


@dataclass(frozen=True)
class Bootstrap:
    """Error of g2(0) by block bootstrap.

    Attributes:
        sigma: Standard deviation of g2(0) over the resamples.
        blocks: Number of blocks; sigma is known to a relative 1/sqrt(2 (blocks - 1)).
        block_s: Length of one block.
        resamples: Number of resamples.
        seed: Seed of the random numbers.
    """

    sigma: float
    blocks: int
    block_s: float
    resamples: int
    seed: int


def block_areas(
    spad1_ps: ArrayLike,
    spad2_ps: ArrayLike,
    period_ps: float,
    *,
    block_s: float,
    offset_ps: float = 0.0,
    peaks: int = 100,
) -> BlockAreas:
    """Count all pairs by peak and block: peak k holds delays t2 - t1 nearest to offset + k period.

    The time between the first and the last click is cut into equal blocks at least `block_s` long. A pair belongs
    to the block of its SPAD 1 click, so the sum over blocks is the areas of the whole measurement.

    Args:
        spad1_ps: Click times of SPAD 1 in time order, integer, (n1,).
        spad2_ps: Click times of SPAD 2 in time order, integer, (n2,).
        period_ps: Laser period.
        block_s: Shortest length of a block; choose it well above `blinking_time_s`.
        offset_ps: Delay of the central peak.
        peaks: Count 0 <= |k| <= peaks.

    Raises:
        AnalysisError: No or unordered clicks, times that are not whole numbers, or less than 2 blocks.
    """
    first, second = _times("spad1_ps", spad1_ps), _times("spad2_ps", spad2_ps)
    period, block_ps = positive("period_ps", period_ps), positive("block_s", block_s) * PS_PER_S
    if peaks < 1 or not np.isfinite(offset_ps):
        raise AnalysisError(f"peaks {peaks!r} must be 1 or more and offset_ps {offset_ps!r} finite.")
    begin, end = min(first[0], second[0]), max(first[-1], second[-1])
    blocks = int((end - begin) // block_ps)
    if blocks < 2:
        raise AnalysisError(
            f"block_s {block_s:g} s leaves {blocks} block(s) of {(end - begin) / PS_PER_S:g} s; "
            "give shorter blocks or record longer."
        )
    if block_ps < (2 * peaks + 1) * period:
        raise AnalysisError(
            f"block_s {block_s:g} s is shorter than the {2 * peaks + 1} periods of the peaks; give longer blocks."
        )
    # The division by the period decides; these limits only keep the search short.
    low, high = int(offset_ps - (peaks + 1) * period), int(offset_ps + (peaks + 1) * period)
    edges = np.linspace(begin, end, blocks + 1)[1:-1]
    areas = np.zeros(blocks * (2 * peaks + 1), np.int64)
    for start in range(0, first.size, _CLICKS_AT_ONCE):
        click = first[start : start + _CLICKS_AT_ONCE]
        begins, ends = np.searchsorted(second, click + low), np.searchsorted(second, click + high, "right")
        partners = ends - begins
        rank = np.arange(partners.sum()) - np.repeat(np.cumsum(partners) - partners, partners)
        delay = second[np.repeat(begins, partners) + rank] - np.repeat(click, partners)
        k = np.floor((delay - offset_ps) / period + 0.5).astype(np.int64) + peaks
        block = np.searchsorted(edges, click, "right")
        keep = (k >= 0) & (k <= 2 * peaks)
        index = np.repeat(block, partners)[keep] * (2 * peaks + 1) + k[keep]
        areas += np.bincount(index, minlength=areas.size)
    return BlockAreas(
        np.arange(-peaks, peaks + 1), areas.reshape(blocks, -1), float((end - begin) / blocks / PS_PER_S)
    )


def block_bootstrap(
    blocks: BlockAreas, side_peaks: int = 50, *, resamples: int = 2000, seed: int = 0
) -> Bootstrap:
    """Standard error of g2(0) = A_0 / mean(A_k), 1 <= |k| <= side_peaks, by drawing blocks with replacement.

    Args:
        blocks: Areas per block.
        side_peaks: The side peaks that normalise.
        resamples: How often the measurement is repeated.
        seed: Of the random numbers; the same seed gives the same error.

    Raises:
        AnalysisError: Wrong shapes, negative areas, too few blocks or resamples, no side peaks, or no pairs.
    """
    k, areas = np.asarray(blocks.k), np.asarray(blocks.areas)
    if areas.ndim != 2 or k.shape != areas.shape[1:] or not np.issubdtype(areas.dtype, np.integer):
        raise AnalysisError(
            f"areas must be whole numbers of shape (n_blocks, n_peaks) with one k per peak, but it is {areas.dtype} "
            f"of shape {areas.shape} with {k.shape} for k."
        )
    if (areas < 0).any():
        raise AnalysisError("areas holds negative pair counts; give raw counts.")
    if areas.shape[0] < FEWEST_BLOCKS or resamples < 100:
        raise AnalysisError(
            f"{areas.shape[0]} blocks and {resamples} resamples are too few for an error; "
            f"give at least {FEWEST_BLOCKS} blocks and 100 resamples."
        )
    used = (k != 0) & (np.abs(k) <= side_peaks)
    central, side = areas[:, k == 0].sum(axis=1), areas[:, used].sum(axis=1)
    if not used.any() or central.sum() == 0 or side.sum() == 0:
        raise AnalysisError(
            f"{central.sum()} central and {side.sum()} side pairs: drawing blocks again cannot tell an error; "
            "record longer, or use the exact interval."
        )
    drawn = np.random.default_rng(seed).multinomial(
        areas.shape[0], np.full(areas.shape[0], 1.0 / areas.shape[0]), size=resamples
    )
    drawn_side = drawn @ side
    if (drawn_side == 0).any():
        raise AnalysisError("Some resamples hold no side pairs at all; give longer blocks.")
    values = (drawn @ central) * np.count_nonzero(used) / drawn_side
    return Bootstrap(float(values.std(ddof=1)), areas.shape[0], blocks.block_s, resamples, seed)


def blinking_time_s(spad1_ps: ArrayLike, spad2_ps: ArrayLike, bin_s: float = 1e-3) -> float:
    """Correlation time of the intensity: the integral of its normalised correlation over positive delays.

    SPAD 1 is correlated with SPAD 2, which removes shot noise and after-pulses. For exponential blinking it is the
    blinking time; for other sources it depends on the length of the measurement.

    Args:
        spad1_ps: Click times of SPAD 1 in time order, integer, (n1,).
        spad2_ps: Click times of SPAD 2 in time order, integer, (n2,).
        bin_s: Bin of the intensity trace; blinking much faster than this is not seen.

    Returns:
        Seconds; 0 if the intensity does not fluctuate beyond shot noise (3 sigma).

    Raises:
        AnalysisError: No or unordered clicks, or less than 100 bins.
    """
    first, second = _times("spad1_ps", spad1_ps), _times("spad2_ps", spad2_ps)
    bin_ps = round(positive("bin_s", bin_s) * PS_PER_S)
    begin = min(first[0], second[0])
    bins = int((min(first[-1], second[-1]) - begin) // bin_ps)
    if bins < 100:
        raise AnalysisError(f"bin_s {bin_s:g} s gives {bins} bins; give at most a hundredth of the measurement.")
    traces = [np.bincount((t - begin) // bin_ps, minlength=bins)[:bins].astype(np.float64) for t in (first, second)]
    product = _covariance(*traces)
    noise = np.sqrt(traces[0].mean() * traces[1].mean() / bins)
    if product[0] < 3.0 * noise:
        return 0.0
    times = bin_s * (np.cumsum(product / product[0]) - 0.5)
    # Stop where the sum has seen six correlation times: beyond, it only collects noise (Sokal's window).
    enough = np.flatnonzero(np.arange(times.size) * bin_s >= 6.0 * times)
    return float(times[enough[0]] if enough.size else times[-1])


def _covariance(first: Floats, second: Floats) -> Floats:
    """Covariance of two traces, mean of both directions, for lags up to a quarter of their length."""
    n = first.size
    both = correlate(first - first.mean(), second - second.mean(), mode="full", method="fft")
    lags = np.arange(n // 4)
    return (both[n - 1 + lags] + both[n - 1 - lags]) / (2.0 * (n - lags))


def _times(name: str, values: ArrayLike) -> NDArray[np.int64]:
    times = np.asarray(values)
    if times.ndim != 1 or times.size < 2 or not np.issubdtype(times.dtype, np.integer):
        raise AnalysisError(
            f"{name} must be two or more whole numbers of picoseconds, (n,), but it is {times.dtype} "
            f"of shape {times.shape}."
        )
    times = times.astype(np.int64, copy=False)
    if (np.diff(times) < 0).any():
        raise AnalysisError(f"{name} is not in time order; sort the clicks.")
    return times
