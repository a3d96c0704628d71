"""Pulsed g2(0) with honest errors: from a delay histogram or from peak areas; and the closed forms around g2.

Delay is t(SPAD 2) - t(SPAD 1); bin i of n stands for the delay (i - n//2) * binwidth (the Time Tagger's
convention). g2(0) is the area of the central peak over the mean area of the side peaks. The histogram must be
multi-stop (all pairs). What each number means and where it ends: docs/g2.md.

    >>> rng = np.random.default_rng(1)
    >>> pairs = np.zeros(2301, int)  # 11 side peaks on either side, 100 bins apart
    >>> pairs[50::100] = rng.poisson([400] * 11 + [100] + [400] * 11)
    >>> result = pulsed_g2(pairs, binwidth_ps=500, period_ns=50.0, offset_ns=0.0)
    >>> abs(result.g2_0_raw - 0.25) < 3 * result.sigma_poisson, result.single_emitter
    (True, True)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaincinv

from ._checks import AnalysisError, count_array, positive
from ._g2_blocks import BlockAreas, Bootstrap, blinking_time_s, block_areas, block_bootstrap
from ._g2_dead_time import DeadTimeCheck, check_dead_time
from ._g2_formulas import (
    accidentals_per_bin,
    accidentals_per_peak,
    jitter_dip,
    n_emitters,
    neighbour_leakage,
    single_stop_factor,
    three_level,
    two_level,
    unequal_emitters,
)
from ._g2_peaks import Counts, delay_axis_ns, peak_areas, phase_offset_ns
from ._g2_result import PulsedG2

__all__ = [
    "BlockAreas",
    "Bootstrap",
    "DeadTimeCheck",
    "PulsedG2",
    "accidentals_per_bin",
    "accidentals_per_peak",
    "blinking_time_s",
    "block_areas",
    "block_bootstrap",
    "check_dead_time",
    "delay_axis_ns",
    "g2_of_areas",
    "garwood",
    "jitter_dip",
    "n_emitters",
    "neighbour_leakage",
    "peak_ratio",
    "pulsed_g2",
    "single_stop_factor",
    "three_level",
    "two_level",
    "unequal_emitters",
]

BUNCHING_REACH = 100
"""`near_far` looks at 1 <= |k| <= 100."""


def pulsed_g2(
    histogram: ArrayLike,
    binwidth_ps: float,
    period_ns: float,
    *,
    offset_ns: float | None = None,
    side_peaks: int = 50,
    window_ns: float | None = None,
    accidentals: float | None = None,
) -> PulsedG2:
    """g2(0) by peak areas; by default the window is the full period around each peak.

    Args:
        histogram: Pair counts, (n,); bin i is the delay (i - n//2) * binwidth.
        binwidth_ps: Bin width.
        period_ns: Laser period.
        offset_ns: Delay of the central peak (cable offset). None: from the phase of the histogram, which is
            known only up to whole periods: the peak nearest to zero is taken.
        side_peaks: Use 1 <= |k| <= side_peaks, as far as complete windows exist.
        window_ns: Narrower window around each peak, as a check; leave None unless the peaks do not overlap.
        accidentals: Pairs per full-period peak expected of uncorrelated light, `accidentals_per_peak`; sums of
            histograms have the sum of their accidentals.

    Returns:
        The raw g2(0) with its errors and all peak areas.

    Raises:
        AnalysisError: Bad counts, bins too coarse for the period, no complete side peak, empty side peaks,
            or no pulsed structure to find the offset from.
    """
    counts = count_array("histogram", histogram)
    if np.any(counts != np.round(counts)):
        raise AnalysisError(
            "histogram holds fractions; give raw pair counts, exact intervals need whole numbers."
        )
    dt_ns = positive("binwidth_ps", binwidth_ps) / 1e3
    period = positive("period_ns", period_ns)
    if period < 8 * dt_ns:
        raise AnalysisError(
            f"binwidth_ps {binwidth_ps:g} is above an eighth of the period {period:g} ns; use finer bins."
        )
    delay_ns = delay_axis_ns(counts.size, dt_ns)
    if offset_ns is not None and not np.isfinite(offset_ns):
        raise AnalysisError(f"offset_ns is {offset_ns!r} but must be finite; leave it out to find it by phase.")
    notes: list[str] = []
    if offset_ns is None:
        offset_ns = phase_offset_ns(counts, delay_ns, period)
        if np.abs(offset_ns) > 0.25 * period:
            notes.append(
                f"offset {offset_ns:.3g} ns is beyond a quarter period: "
                "confirm which peak is central by calibration"
            )
    k, areas = peak_areas(counts, delay_ns, period, offset_ns, window_ns)
    if 0 not in k or k.size < 2:
        raise AnalysisError(
            f"The histogram reaches from {delay_ns[0]:g} to {delay_ns[-1]:g} ns, which holds no complete "
            f"central and side peak of period {period:g} ns around {offset_ns:g} ns; "
            "record at least +-1.5 periods."
        )
    result = g2_of_areas(
        k, areas, period, offset_ns=offset_ns, side_peaks=side_peaks, window_ns=window_ns,
        accidentals=accidentals, notes=notes,
    )  # fmt: skip
    if window_ns is not None:
        return result
    return _compared(result, *peak_areas(counts, delay_ns, period, offset_ns, period / 2.0))


def g2_of_areas(
    k: ArrayLike,
    areas: ArrayLike,
    period_ns: float,
    *,
    offset_ns: float = 0.0,
    side_peaks: int = 50,
    window_ns: float | None = None,
    accidentals: float | None = None,
    notes: Sequence[str] = (),
) -> PulsedG2:
    """g2(0) of pairs that are already counted by peak, for example `block_areas(...).areas.sum(axis=0)`.

    Args:
        k: Peak numbers, 0 = central, (n,).
        areas: Pairs per peak, (n,).
        period_ns: Laser period.
        offset_ns: Delay of the central peak.
        side_peaks: Use 1 <= |k| <= side_peaks, as far as they are there.
        window_ns: Width of the window in which pairs were counted; None = the full period.
        accidentals: As in `pulsed_g2`.
        notes: What is known about the counts already.

    Raises:
        AnalysisError: Bad counts, no central or no side peak, empty side peaks, or accidentals with a window.
    """
    counts, numbers = count_array("areas", areas), np.asarray(k)
    if numbers.shape != counts.shape or not np.issubdtype(numbers.dtype, np.integer):
        raise AnalysisError(f"k must be one whole number per area, but its shape is {numbers.shape}, {numbers.dtype}.")
    if np.any(counts != np.round(counts)):
        raise AnalysisError("areas holds fractions; give raw pair counts, exact intervals need whole numbers.")
    if accidentals is not None and window_ns is not None:
        raise AnalysisError("accidentals counts pairs of full periods; leave window_ns out to compare with it.")
    if side_peaks < 1:
        raise AnalysisError(f"side_peaks is {side_peaks!r} but must be 1 or more.")
    pairs = counts.astype(np.int64)
    used = (numbers != 0) & (np.abs(numbers) <= side_peaks)
    if np.count_nonzero(numbers == 0) != 1 or not used.any():
        raise AnalysisError("The peaks hold no central or no side peak; record at least +-1.5 periods.")
    central, side = int(pairs[numbers == 0][0]), pairs[used]
    if side.sum() == 0:
        raise AnalysisError("The side peaks hold no pairs; record longer.")
    mean = float(side.mean())
    value, sigma = peak_ratio(central, side)
    ci68, ci95 = (tuple(limit / mean for limit in garwood(central, level)) for level in (0.6827, 0.95))
    remarks = list(notes)
    if side.size < 10:
        remarks.append(f"only {side.size} side peaks: their error and blinking are poorly known")
    result = PulsedG2(
        g2_0_raw=value,
        sigma_poisson=sigma if central else ci68[1],
        ci68=(ci68[0], ci68[1]),
        ci95=(ci95[0], ci95[1]),
        k=numbers.astype(np.int64),
        areas=pairs,
        n_central=central,
        n_side=int(side.sum()),
        side_mean=mean,
        k_range=(int(np.abs(numbers[used]).min()), int(np.abs(numbers[used]).max())),
        period_ns=positive("period_ns", period_ns),
        offset_ns=float(offset_ns),
        window_ns=period_ns if window_ns is None else positive("window_ns", window_ns),
        method="full_period" if window_ns is None else "window",
        dead_time=check_dead_time(numbers, pairs, period_ns),
        notes=tuple(remarks),
    )
    return result if accidentals is None else _rate_normalised(result, positive("accidentals", accidentals))


def _compared(result: PulsedG2, k: Counts, narrow: Counts) -> PulsedG2:
    """Put the value of half-period windows beside the one of full periods, and say when they disagree."""
    side = narrow[(k != 0) & (np.abs(k) <= result.k_range[1])]
    if side.sum() == 0:
        return replace(result, notes=(*result.notes, "no side pairs in half-period windows: is offset_ns right?"))
    value, sigma = peak_ratio(int(narrow[k == 0][0]), side)
    notes = result.notes
    # The pairs of the narrow windows are among those of the wide ones: only the others make a difference.
    difference = np.sqrt(abs(sigma**2 - result.sigma_poisson**2))
    if abs(value - result.g2_0_raw) > max(4.0 * difference, 0.01):
        notes += (f"half-period windows give {value:.3f} ± {sigma:.3f}: peaks overlap, or background between them",)
    return replace(result, second_window=(result.period_ns / 2.0, value, sigma), notes=notes)


def _rate_normalised(result: PulsedG2, accidentals: float) -> PulsedG2:
    """Put the normalisation by the rates beside the one by the side peaks; their ratio is the blinking."""
    near = result.areas[(result.k != 0) & (np.abs(result.k) <= BUNCHING_REACH)]
    near_far = float(near.mean() / accidentals)
    error = float(np.sqrt(max(1, near.sum())) / near.size / accidentals)
    notes = result.notes
    if near_far > 1.0 + 5.0 * error:
        notes += ("blinking or drift: the rate-normalised value is too high, errors need a block bootstrap",)
    elif near_far < 1.0 - 5.0 * error:
        notes += ("fewer side pairs than the rates allow: tags or pairs are lost",)
    return replace(
        result, near_far=near_far, near_far_err=error, g2_0_rate=result.n_central / accidentals, notes=notes
    )


def peak_ratio(central: float, side: ArrayLike) -> tuple[float, float]:
    """g2(0) = A_0/mean(A_k) and its error g2 sqrt(1/A_0 + 1/sum A_k) (0 for an empty centre)."""
    areas = count_array("side", side)
    if not (np.isfinite(central) and central >= 0) or areas.sum() == 0:
        raise AnalysisError(f"central is {central!r} and the side peaks hold {areas.sum():g} pairs; record longer.")
    value = central / areas.mean()
    sigma = value * np.sqrt(1.0 / central + 1.0 / areas.sum()) if central else 0.0
    return float(value), float(sigma)


def garwood(counts: int, level: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a Poisson mean from observed `counts` (Garwood 1936).

    Raises:
        AnalysisError: Negative counts, or a level outside (0, 1).
    """
    if counts < 0 or not 0 < level < 1:
        raise AnalysisError(f"counts {counts!r} must be zero or more and level {level!r} between 0 and 1.")
    tail = (1.0 - level) / 2.0
    lower = float(gammaincinv(counts, tail)) if counts else 0.0
    return lower, float(gammaincinv(counts + 1, 1.0 - tail))
