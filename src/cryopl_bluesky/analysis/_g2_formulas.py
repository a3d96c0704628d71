"""Closed forms of photon correlations (analysis notes, section 3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erfcx

from ._checks import AnalysisError, Floats, count_array, finite_array, fraction, positive


def two_level(delay_ns: ArrayLike, tau_ns: float) -> Floats:
    """g2 of one two-level emitter under CW light: 1 - exp(-|t|/tau)."""
    return -np.expm1(-np.abs(finite_array("delay_ns", delay_ns)) / positive("tau_ns", tau_ns))


def three_level(delay_ns: ArrayLike, a: float, t1_ns: float, t2_ns: float) -> Floats:
    """g2 with a dark state: 1 - (1 + a) exp(-|t|/t1) + a exp(-|t|/t2)."""
    t = np.abs(finite_array("delay_ns", delay_ns))
    return 1.0 - (1.0 + a) * np.exp(-t / positive("t1_ns", t1_ns)) + a * np.exp(-t / positive("t2_ns", t2_ns))


def jitter_dip(pair_sigma_ns: float, tau_ns: float) -> float:
    """Measured g2(0) of a two-level dip with timing jitter: 1 - exp(s^2/2 tau^2) erfc(s/(sqrt2 tau)).

    `pair_sigma_ns` is the jitter of the pair, sqrt(2) times that of one detector.
    """
    return float(1.0 - erfcx(pair_sigma_ns / (np.sqrt(2.0) * positive("tau_ns", tau_ns))))


def n_emitters(n: int) -> float:
    """g2(0) of n equal single emitters: 1 - 1/n."""
    return 1.0 - 1.0 / positive("n", n)


def unequal_emitters(intensities: ArrayLike) -> float:
    """g2(0) of single emitters of different brightness: 1 - sum I^2/(sum I)^2."""
    values = count_array("intensities", intensities)
    if values.sum() == 0:
        raise AnalysisError("intensities are all zero; give at least one above zero.")
    return float(1.0 - (values**2).sum() / values.sum() ** 2)


def accidentals_per_bin(rate1_Hz: float, rate2_Hz: float, binwidth_ps: float, duration_s: float) -> float:
    """Expected pairs per bin of uncorrelated CW light at delays much below the duration: R1 R2 dt T."""
    return rate1_Hz * rate2_Hz * binwidth_ps * 1e-12 * duration_s


def accidentals_per_peak(counts1: float, counts2: float, pulses: float) -> float:
    """Expected pairs per peak of uncorrelated pulsed light: N1 N2/N_pulses."""
    return positive("counts1", counts1) * positive("counts2", counts2) / positive("pulses", pulses)


def without_background(
    g2: float, sigma: float, rho: tuple[float, float], rho_err: tuple[float, float]
) -> tuple[float, float]:
    """g2 of the signal alone, (g2 - (1 - rho1 rho2))/(rho1 rho2), and its error from g2 and both fractions.

    Raises:
        AnalysisError: A signal fraction outside (0, 1], or an error that is negative or not finite.
    """
    product = fraction("rho[0]", rho[0]) * fraction("rho[1]", rho[1])
    if not all(np.isfinite(e) and e >= 0 for e in rho_err):
        raise AnalysisError(f"rho_err is {rho_err!r} but both errors must be finite and not negative.")
    slope = (1.0 - g2) / product  # d corrected / d ln(product)
    relative = np.hypot(rho_err[0] / rho[0], rho_err[1] / rho[1])
    return (g2 - (1.0 - product)) / product, float(np.hypot(sigma / product, slope * relative))


def single_stop_factor(rate_Hz: float, delay_ns: float) -> float:
    """Loss of a single-stop histogram at a delay: exp(-R tau)."""
    return float(np.exp(-rate_Hz * delay_ns * 1e-9))


def neighbour_leakage(period_ns: float, tau_ns: float) -> float:
    """Height at t = 0 of all other peaks exp(-|t - kT|/tau): 2 x/(1 - x), x = exp(-T/tau)."""
    x = np.exp(-positive("period_ns", period_ns) / positive("tau_ns", tau_ns))
    return float(2.0 * x / (1.0 - x))
