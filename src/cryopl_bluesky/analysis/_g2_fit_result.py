"""Results of fits to delay histograms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from scipy.stats import chi2

from ._checks import AnalysisError, Floats
from ._g2_formulas import without_background
from ._root import root

BAND = (0.7, 1.5)
"""Reduced deviance outside of it (or of four standard deviations of a true model's) makes a fit bad."""
Fit = TypeVar("Fit", bound="G2Fit")


@dataclass(frozen=True, eq=False, kw_only=True)
class G2Fit:
    """What all fits of g2 have in common.

    Attributes:
        g2_0: g2(0) of the fitted model, jitter removed, nothing else corrected.
        g2_0_err: Standard error (Poisson); the upper end of the 68 % interval where `g2_0` is at its bound of 0.
        offset_ns: Delay of the centre.
        offset_err_ns: Standard error.
        reduced_deviance: Deviance per degree of freedom, on bins joined to about 10 expected pairs.
        goodness_dof: Its degrees of freedom.
        bic: Bayesian information criterion, deviance + fitted parameters * ln(bins).
        n_central: Expected pairs of the central peak, or missing in the dip: the statistics behind `g2_0`.
        delay_ns: Bin centres, (n,).
        counts: Pairs per bin, (n,).
        expected: Fitted pairs per bin, (n,).
        method: How it was fitted.
        notes: What a reader must know before quoting the numbers.
        profile: Deviance of the best fit with g2(0) held at a value.
        deviance: Deviance of the fit.
        rho: Signal fractions of SPAD 1 and SPAD 2, from `with_background`.
        rho_err: Their errors.
    """

    g2_0: float
    g2_0_err: float
    offset_ns: float
    offset_err_ns: float
    reduced_deviance: float
    goodness_dof: int
    bic: float
    n_central: float
    delay_ns: Floats
    counts: Floats
    expected: Floats
    method: str
    notes: tuple[str, ...]
    profile: Callable[[float], float] = field(repr=False)
    deviance: float
    rho: tuple[float, float] | None = None
    rho_err: tuple[float, float] = (0.0, 0.0)

    @property
    def good(self) -> bool:
        """Whether the reduced deviance lies in its band; else do not quote g2(0)."""
        return in_band(self.reduced_deviance, self.goodness_dof)

    @property
    def residuals(self) -> Floats:
        """Weighted residuals (counts - expected)/sqrt(expected), (n,)."""
        return (self.counts - self.expected) / np.sqrt(np.maximum(self.expected, 1e-9))

    def interval(self, level: float = 0.6827) -> tuple[float, float]:
        """Profile likelihood interval of g2(0), asymmetric for few pairs.

        Args:
            level: Confidence level, between 0 and 1.

        Returns:
            Lower end, not below 0, and upper end; infinite where the pairs set no limit.

        Raises:
            AnalysisError: A level outside (0, 1).
            FitError: The other parameters cannot be fitted with g2(0) held, as in a histogram without a clear dip.
        """
        return profile_interval(self.profile, self.g2_0, self.g2_0_err, self.deviance, level)

    def with_background(self: Fit, rho: tuple[float, float], rho_err: tuple[float, float] = (0.0, 0.0)) -> Fit:
        """This result with the background-corrected value beside the raw one.

        Args:
            rho: Signal fraction S/(S + B) per SPAD. Pulsed fits: B is only what comes with the pulses, the constant
                background is in the model already. CW fits: B is all background.
            rho_err: Errors of the signal fractions.

        Raises:
            AnalysisError: A signal fraction outside (0, 1], or a bad error.
        """
        without_background(self.g2_0, self.g2_0_err, rho, rho_err)
        return replace(self, rho=(float(rho[0]), float(rho[1])), rho_err=(float(rho_err[0]), float(rho_err[1])))

    @property
    def g2_0_bgcorr(self) -> float | None:
        """g2(0) without pairs that hold an uncorrelated background photon; None without `rho`."""
        return None if self.rho is None else without_background(self.g2_0, self.g2_0_err, self.rho, self.rho_err)[0]

    @property
    def sigma_bgcorr(self) -> float | None:
        """Error of `g2_0_bgcorr`, from `g2_0_err` and `rho_err`."""
        return None if self.rho is None else without_background(self.g2_0, self.g2_0_err, self.rho, self.rho_err)[1]

    def record(self) -> dict[str, Any]:
        """The numbers to store with the uid of the run; plain JSON values, None where something is not known."""
        skipped = {"delay_ns", "counts", "expected", "profile"}
        values = {name: value for name, value in vars(self).items() if name not in skipped}
        values |= {"good": self.good, "g2_0_bgcorr": self.g2_0_bgcorr, "sigma_bgcorr": self.sigma_bgcorr}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


@dataclass(frozen=True, eq=False, kw_only=True)
class PulsedG2Fit(G2Fit):
    """Fit of overlapping peaks. Its g2(0) is A_0 over the side peaks extrapolated to k = 0, A_inf (1 + c).

    Attributes:
        tau_ns: Lifetime of the peaks.
        tau_err_ns: Standard error.
        side_area: Pairs of a side peak, extrapolated to k = 0.
        side_area_err: Standard error.
        c: Bunching, A_k = A_inf (1 + c exp(-|k| T/tau_b)); 0 if none was found.
        c_err: Standard error.
        tau_b_ns: Blinking time; None without bunching.
        tau_b_err_ns: Standard error.
        background_per_bin: Pairs per bin that do not know of the pulses.
        background_err_per_bin: Standard error; 0 if it was given.
        bins_per_period: Laser period over bin width.
    """

    tau_ns: float
    tau_err_ns: float
    side_area: float
    side_area_err: float
    c: float
    c_err: float
    tau_b_ns: float | None
    tau_b_err_ns: float | None
    background_per_bin: float
    background_err_per_bin: float
    bins_per_period: float

    @property
    def g2_0_full_period(self) -> float:
        """The model counted in windows of a full period, constant background included: as `pulsed_g2` counts."""
        flat = self.background_per_bin * self.bins_per_period
        return (self.g2_0 * self.side_area + flat) / (self.side_area + flat)

    def record(self) -> dict[str, Any]:
        """As `G2Fit.record`, with the value that includes the constant background."""
        return {**super().record(), "g2_0_full_period": self.g2_0_full_period}


@dataclass(frozen=True, eq=False, kw_only=True)
class CwG2Fit(G2Fit):
    """Fit of level (g2(0) + (1 - g2(0)) (1 - (1 + a) e^{-|t|/t1} + a e^{-|t|/t2})).

    In the form b + A [1 - ...] of the analysis notes, b = level g2(0) and A = level (1 - g2(0)).

    Attributes:
        level: g2 at long delays: pairs over R1 R2 dt (T_meas - |t|) with rates, pairs per bin without.
        level_err: Standard error.
        t1_ns: Time of the dip.
        t1_err_ns: Standard error.
        a: Bunching by a dark state; 0 for the two-level model.
        a_err: Standard error.
        t2_ns: Time of the bunching; None for the two-level model.
        t2_err_ns: Standard error.
    """

    level: float
    level_err: float
    t1_ns: float
    t1_err_ns: float
    a: float
    a_err: float
    t2_ns: float | None
    t2_err_ns: float | None


def in_band(reduced: float, dof: int) -> bool:
    """Whether a reduced deviance is what a true model gives."""
    chance = 4.0 * float(np.sqrt(2.0 / dof))
    return min(BAND[0], 1.0 - chance) <= reduced <= max(BAND[1], 1.0 + chance)


def profile_interval(
    profile: Callable[[float], float], best: float, sigma: float, deviance: float, level: float
) -> tuple[float, float]:
    """Where the deviance with g2(0) held exceeds the lowest by the quantile of chi square (1 degree of freedom)."""
    if not 0.0 < level < 1.0:
        raise AnalysisError(f"level is {level!r} but must lie between 0 and 1.")
    target = float(chi2.ppf(level, 1))

    def excess(value: float) -> float:
        return profile(value) - deviance - target

    lower = 0.0
    if best > 0.0 and excess(0.0) > 0.0:
        lower = root(excess, 0.0, best, 1e-3 * max(sigma, 1e-3))
    inside, step = best, max(1.1 * np.sqrt(target) * sigma, 1e-3)
    for _ in range(8):  # doubling steps: the last end is 250 standard errors away
        outside = inside + step
        if excess(outside) > 0.0:
            return lower, root(excess, inside, outside, 1e-3 * max(sigma, 1e-3))
        inside, step = outside, 2.0 * step
    return lower, np.inf
