"""Closed forms around lifetimes: averages, precision limits, funnelling, timing."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gamma

from ._checks import AnalysisError, Floats, count_array, finite_array, positive, same_shape
from .units import FWHM_PER_SIGMA


def tau_amp_ns(amplitudes: ArrayLike, lifetimes_ns: ArrayLike) -> float:
    """Amplitude average sum a tau/sum a, with a = amplitudes at t = 0 (for kinetics and quantum yield)."""
    a, tau = _components(amplitudes, lifetimes_ns)
    return float((a * tau).sum() / a.sum())


def tau_int_ns(amplitudes: ArrayLike, lifetimes_ns: ArrayLike) -> float:
    """Intensity average sum a tau^2/sum a tau, the mean arrival time (a = amplitudes at t = 0)."""
    a, tau = _components(amplitudes, lifetimes_ns)
    return float((a * tau**2).sum() / (a * tau).sum())


def stretched_mean_ns(tau_ns: float, beta: float) -> float:
    """Mean of exp(-(t/tau)^beta) by area: (tau/beta) Gamma(1/beta)."""
    return float(positive("tau_ns", tau_ns) / positive("beta", beta) * gamma(1.0 / beta))


def stretched_second_moment_mean_ns(tau_ns: float, beta: float) -> float:
    """Mean arrival time of exp(-(t/tau)^beta): tau Gamma(2/beta)/Gamma(1/beta)."""
    return float(positive("tau_ns", tau_ns) * gamma(2.0 / positive("beta", beta)) / gamma(1.0 / beta))


def periodic_exponential(t_ns: ArrayLike, tau_ns: float, period_ns: float) -> Floats:
    """Steady state of an area-1 exponential excited every `period_ns`, for 0 <= t < period, in 1/ns."""
    t = finite_array("t_ns", t_ns)
    return np.exp(-t / tau_ns) / (-tau_ns * np.expm1(-period_ns / tau_ns))


def lifetime_precision(photons: float, window_ns: float, tau_ns: float) -> float:
    """Smallest possible sigma_tau/tau (Cramer-Rao) of `photons` in a window, no background, known t0."""
    r = positive("window_ns", window_ns) / positive("tau_ns", tau_ns)
    information = 1.0 - r**2 * np.exp(-r) / np.expm1(-r) ** 2
    return float(1.0 / np.sqrt(positive("photons", photons) * information))


def funnelling(
    t_ns: ArrayLike, k_donor: float, k_acceptor: float, k_transfer: float, acceptor_start: float = 1.0
) -> tuple[Floats, Floats]:
    """Donor and acceptor populations with energy transfer at rate `k_transfer` (all rates in 1/ns).

    D = exp(-(kD + kET) t); A = A0 exp(-kA t) + kET/(kD + kET - kA) (exp(-kA t) - exp(-(kD + kET) t)).

    Raises:
        AnalysisError: kD + kET equals kA (the closed form is singular there).
    """
    t = finite_array("t_ns", t_ns)
    k_out = k_donor + k_transfer
    if k_out == k_acceptor:
        raise AnalysisError("k_donor + k_transfer equals k_acceptor; change one of them slightly.")
    donor, own = np.exp(-k_out * t), np.exp(-k_acceptor * t)
    return donor, acceptor_start * own + k_transfer / (k_out - k_acceptor) * (own - donor)


def timing_fwhm_ps(laser_fwhm_ps: float, spad_fwhm_ps: float, tagger_rms_ps: float) -> float:
    """Width of the instrument response: quadrature sum, the tagger's jitter given as rms."""
    return float(np.sqrt(laser_fwhm_ps**2 + spad_fwhm_ps**2 + (FWHM_PER_SIGMA * tagger_rms_ps) ** 2))


def laser_fwhm_for_ps(irf_fwhm_ps: float, spad_fwhm_ps: float, tagger_rms_ps: float) -> float:
    """Laser pulse width that explains a measured response of `irf_fwhm_ps`.

    Raises:
        AnalysisError: The detector and tagger alone are wider than the response.
    """
    rest = irf_fwhm_ps**2 - spad_fwhm_ps**2 - (FWHM_PER_SIGMA * tagger_rms_ps) ** 2
    if rest < 0:
        raise AnalysisError(f"irf_fwhm_ps {irf_fwhm_ps:g} is below the width of detector and tagger alone.")
    return float(np.sqrt(rest))


def _components(amplitudes: ArrayLike, lifetimes_ns: ArrayLike) -> tuple[Floats, Floats]:
    a, tau = count_array("amplitudes", amplitudes), count_array("lifetimes_ns", lifetimes_ns)
    same_shape("amplitudes", a, "lifetimes_ns", tau)
    if a.sum() <= 0 or (tau <= 0).any():
        raise AnalysisError("Give lifetimes above zero and at least one amplitude above zero.")
    return a, tau
