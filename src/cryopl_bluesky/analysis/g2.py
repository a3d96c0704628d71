"""Pulsed g2(0) from a coincidence histogram, with exact intervals, and the closed forms around g2.

Delay is t(SPAD 2) - t(SPAD 1); bin i of n stands for the delay (i - n//2) * binwidth (the Time Tagger's
convention). g2(0) is the area of the central peak over the mean area of the side peaks. The histogram must be
multi-stop (all pairs).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaincinv

from ._checks import AnalysisError, Floats, count_array, fraction, positive
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

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "BackgroundCorrected",
    "PulsedG2",
    "accidentals_per_bin",
    "accidentals_per_peak",
    "correct_background",
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


@dataclass(frozen=True, eq=False)
class PulsedG2:
    """Result of `pulsed_g2`; nothing is background-corrected.

    Attributes:
        g2_0_raw: Central area over mean side area.
        sigma: Poisson standard error g2 sqrt(1/A_0 + 1/sum A_k); for an empty central peak the upper end of
            `ci68`.
        ci68: Exact (Garwood) 68.27 % interval of the central counts, divided by the mean side area.
        ci95: The same at 95 %.
        k: Peak numbers, ascending, all complete windows in the histogram, (n,).
        areas: Counts per peak window, (n,).
        n_central: Counts in the central window, A_0.
        n_side: Counts in all side peaks used.
        side_mean: Mean counts of the side peaks used.
        k_range: Lowest and highest |k| used as side peaks.
        period_ns: Laser period.
        offset_ns: Delay of the central peak.
        window_ns: Width of the window of each peak.
        near_far: Mean area of 1 <= |k| <= 100 over the accidental level; above 1 means blinking. None
            without rates.
        g2_0_rate: Central area over the accidental level; wrong for a blinking source. None without rates.
        method: How it was computed.
        notes: What a reader must know.
    """

    g2_0_raw: float
    sigma: float
    ci68: tuple[float, float]
    ci95: tuple[float, float]
    k: NDArray[np.int64]
    areas: NDArray[np.int64]
    n_central: int
    n_side: int
    side_mean: float
    k_range: tuple[int, int]
    period_ns: float
    offset_ns: float
    window_ns: float
    near_far: float | None
    g2_0_rate: float | None
    method: str
    notes: tuple[str, ...] = ()

    @property
    def single_emitter(self) -> bool:
        """Whether g2(0) < 0.5 may be claimed: the upper end of the exact 95 % interval is below 0.5."""
        return self.ci95[1] < 0.5


def pulsed_g2(
    histogram: ArrayLike,
    binwidth_ps: float,
    period_ns: float,
    *,
    offset_ns: float | None = None,
    side_peaks: int = 50,
    window_ns: float | None = None,
    singles: tuple[float, float] | None = None,
    duration_s: float | None = None,
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
        singles: Counts of SPAD 1 and SPAD 2 during the measurement, for the rate normalisation.
        duration_s: Duration of the measurement, with `singles`.

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
    delay_ns = np.asarray((np.arange(counts.size) - counts.size // 2) * dt_ns, dtype=np.float64)
    notes: list[str] = []
    if offset_ns is None:
        offset_ns = _phase_offset(counts, delay_ns, period, notes)
    k, areas = _peak_areas(counts, delay_ns, dt_ns, period, offset_ns, window_ns)
    used = (k != 0) & (np.abs(k) <= side_peaks)
    if 0 not in k or not used.any():
        raise AnalysisError(
            f"The histogram reaches from {delay_ns[0]:g} to {delay_ns[-1]:g} ns, which holds no complete "
            f"central and side peak of period {period:g} ns around {offset_ns:g} ns; "
            "record at least +-1.5 periods."
        )
    if areas[used].sum() == 0:
        raise AnalysisError("The side peaks hold no pairs; record longer.")
    central, side = int(areas[k == 0][0]), areas[used]
    mean = float(side.mean())
    value, sigma = peak_ratio(central, side)
    ci68, ci95 = (tuple(limit / mean for limit in garwood(central, level)) for level in (0.6827, 0.95))
    accidental = None
    if singles is not None:
        if duration_s is None:
            raise AnalysisError("singles needs duration_s for the rate normalisation.")
        accidental = accidentals_per_peak(*singles, duration_s * 1e9 / period)
    if side.size < 10:
        notes.append(f"only {side.size} side peaks: their error and blinking are poorly known")
    near = areas[(k != 0) & (np.abs(k) <= 100)].mean()
    return PulsedG2(
        g2_0_raw=value,
        sigma=sigma if central else ci68[1],
        ci68=(ci68[0], ci68[1]),
        ci95=(ci95[0], ci95[1]),
        k=k,
        areas=areas,
        n_central=central,
        n_side=int(side.sum()),
        side_mean=mean,
        k_range=(1, int(np.abs(k[used]).max())),
        period_ns=period,
        offset_ns=float(offset_ns),
        window_ns=window_ns if window_ns is not None else period,
        near_far=float(near / accidental) if accidental else None,
        g2_0_rate=float(central / accidental) if accidental else None,
        method="full_period" if window_ns is None else "window",
        notes=tuple(notes),
    )


def peak_ratio(central: float, side: ArrayLike) -> tuple[float, float]:
    """g2(0) = A_0/mean(A_k) and its error g2 sqrt(1/A_0 + 1/sum A_k) (0 for an empty centre)."""
    areas = count_array("side", side)
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


@dataclass(frozen=True)
class BackgroundCorrected:
    """Corrected g2(0), always together with what went in.

    Attributes:
        g2_0_bgcorr: (g2 - (1 - rho1 rho2))/(rho1 rho2).
        sigma: Error propagated from g2 and both signal fractions.
        g2_0_raw: The uncorrected value.
        rho: Signal fractions of SPAD 1 and SPAD 2.
    """

    g2_0_bgcorr: float
    sigma: float
    g2_0_raw: float
    rho: tuple[float, float]


def correct_background(
    g2_0_raw: float,
    sigma: float,
    rho: tuple[float, float],
    rho_err: tuple[float, float] = (0.0, 0.0),
) -> BackgroundCorrected:
    """Remove the pairs with an uncorrelated background photon.

    Args:
        g2_0_raw: Measured value.
        sigma: Its error.
        rho: Signal fraction S/(S + B) per SPAD; B from a dark spot of the same sample with the laser on.
        rho_err: Errors of the signal fractions.

    Raises:
        AnalysisError: A signal fraction outside (0, 1].
    """
    product = fraction("rho[0]", rho[0]) * fraction("rho[1]", rho[1])
    corrected = (g2_0_raw - (1.0 - product)) / product
    slope = (1.0 - g2_0_raw) / product  # d corrected / d ln(product)
    relative = np.hypot(rho_err[0] / rho[0], rho_err[1] / rho[1])
    return BackgroundCorrected(
        float(corrected), float(np.hypot(sigma / product, slope * relative)), g2_0_raw, (rho[0], rho[1])
    )


def _phase_offset(counts: Floats, delay_ns: Floats, period_ns: float, notes: list[str]) -> float:
    """Delay of the peak nearest zero, from the phase of the first harmonic of the laser."""
    # A whole number of periods, else a flat pedestal leaks into the harmonic.
    whole = np.abs(delay_ns) < np.floor(np.abs(delay_ns[0]) / period_ns) * period_ns
    inside = counts[whole] if whole.any() else counts
    phasor = np.sum(inside * np.exp(2j * np.pi * delay_ns[whole if whole.any() else slice(None)] / period_ns))
    total = inside.sum()
    # For Poissonian light without pulses |phasor| exceeds 4 sqrt(N) by chance once in 1e7.
    if total == 0 or np.abs(phasor) < 4.0 * np.sqrt(total):
        raise AnalysisError(
            "The histogram shows no peaks at the laser period, so the delay of the central peak "
            "cannot be found; "
            "check period_ns, or give offset_ns from a calibration."
        )
    offset = float(np.angle(phasor) / (2.0 * np.pi) * period_ns)
    if np.abs(offset) > 0.25 * period_ns:
        notes.append(
            f"offset {offset:.3g} ns is beyond a quarter period: confirm which peak is central by calibration"
        )
    return offset


def _peak_areas(
    counts: Floats,
    delay_ns: Floats,
    dt_ns: float,
    period_ns: float,
    offset_ns: float,
    window_ns: float | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Whole-bin sums around each peak whose full-period window lies inside the histogram."""
    if window_ns is not None and not 2 * dt_ns <= window_ns <= period_ns:
        raise AnalysisError(
            f"window_ns {window_ns:g} must lie between two bins and the period {period_ns:g} ns."
        )
    k_of_bin = np.floor((delay_ns - offset_ns) / period_ns + 0.5).astype(np.int64)
    first = int(np.ceil((delay_ns[0] - offset_ns - 1e-9) / period_ns + 0.5))
    last = int(np.floor((delay_ns[-1] + dt_ns - offset_ns + 1e-9) / period_ns - 0.5))
    if last < first:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    keep = (k_of_bin >= first) & (k_of_bin <= last)
    if window_ns is not None:
        keep &= np.abs(delay_ns - offset_ns - k_of_bin * period_ns) <= window_ns / 2.0
    areas = np.bincount(k_of_bin[keep] - first, weights=counts[keep], minlength=last - first + 1)
    return np.arange(first, last + 1), np.round(areas).astype(np.int64)
