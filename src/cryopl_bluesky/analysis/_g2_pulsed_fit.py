"""The fit of overlapping peaks: parameters, start values, and the step from an optimum to a result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._checks import FitError, Floats
from ._g2_dead_time import check_dead_time
from ._g2_fit_result import PulsedG2Fit, in_band, profile_interval
from ._g2_peaks import Counts, peak_areas
from ._g2_shapes import PulsedPeaks
from ._poisson_fit import PoissonFit, fit_poisson, reduced_deviance

SIDE, G2_0, LN_TAU, OFFSET, BACKGROUND, B, LN_TAU_B = range(7)
NO_BUNCHING = "The side peaks show no bunching that decays within the histogram; use blinking=False."
_STEP = 1e-4


@dataclass(frozen=True, eq=False)
class PulsedTask:
    """One histogram, ready to be fitted with or without blinking; theta is ordered as the names above.

    b = c/(1 + c) is the share of the near side peaks that is bunching.
    """

    counts: Floats
    delay_ns: Floats
    binwidth_ns: float
    period_ns: float
    sigma_ns: float
    offset_ns: float
    background: float | None
    peaks: PulsedPeaks

    @property
    def shortest_ns(self) -> float:
        """Shortest lifetime a fit may take: below, neither bins nor jitter let it be seen."""
        return 0.1 * max(self.binwidth_ns, self.sigma_ns)

    def evaluate(self, theta: Floats) -> tuple[Floats, Floats]:
        """Expected pairs and Jacobian."""
        tau, offset = float(np.exp(theta[LN_TAU])), float(theta[OFFSET])
        areas = self._areas(theta)
        pairs = self.peaks.spread(tau, offset)
        expected = pairs(areas)
        jacobian = np.empty((self.counts.size, theta.size))
        jacobian[:, SIDE] = expected / theta[SIDE]
        jacobian[:, G2_0] = pairs(theta[SIDE] * (self.peaks.k == 0))
        step = _STEP * self.binwidth_ns
        jacobian[:, LN_TAU] = (
            self.peaks.spread(tau * (1 + _STEP), offset)(areas) - self.peaks.spread(tau * (1 - _STEP), offset)(areas)
        ) / (2.0 * _STEP)
        jacobian[:, OFFSET] = (
            self.peaks.spread(tau, offset + step)(areas) - self.peaks.spread(tau, offset - step)(areas)
        ) / (2.0 * step)
        jacobian[:, BACKGROUND] = 1.0
        x = np.abs(self.peaks.k) * self.period_ns / np.exp(theta[LN_TAU_B])
        away = self.peaks.k != 0
        jacobian[:, B] = pairs(theta[SIDE] * np.expm1(-x) * away)
        jacobian[:, LN_TAU_B] = pairs(theta[SIDE] * theta[B] * x * np.exp(-x) * away)
        return expected + theta[BACKGROUND], jacobian

    def fit(self, blinking: bool) -> PulsedG2Fit:
        """Fit, with the result's notes.

        Raises:
            FitError: No convergence, no curvature, or a time on its bound.
        """
        start = self._start(blinking)
        free = np.array([True, True, True, True, self.background is None, blinking, blinking])
        try:
            best = self._optimum(start, free)
        except FitError as error:
            raise FitError(f"{NO_BUNCHING if blinking else 'The peaks cannot be fitted:'} {error}") from error
        _refuse_bounds(best, blinking)
        return self._result(best, free, blinking)

    def _optimum(self, start: Floats, free: NDArray[np.bool_]) -> PoissonFit:
        T, reach = self.period_ns, float(np.abs(self.delay_ns).max())
        quarter = 0.25 * T
        lower = np.array([1e-6, 0.0, np.log(self.shortest_ns), self.offset_ns - quarter, 0.0, 0.0, np.log(T / 3)])
        upper = np.array([np.inf, np.inf, np.log(2 * T), self.offset_ns + quarter, np.inf, 1.0, np.log(3 * reach)])
        return fit_poisson(self.counts, self.evaluate, start, free=free, lower=lower, upper=upper)

    def _areas(self, theta: Floats) -> Floats:
        k = self.peaks.k
        areas = theta[SIDE] * (1.0 + theta[B] * np.expm1(-np.abs(k) * self.period_ns / np.exp(theta[LN_TAU_B])))
        areas[k == 0] = theta[SIDE] * theta[G2_0]
        return areas

    def _start(self, blinking: bool) -> Floats:
        """Lifetime from a grid with linear areas and background; bunching from the areas of the peaks."""
        k = self.peaks.k
        best = (np.inf, 0.0, np.zeros(3))
        weight = 1.0 / np.sqrt(np.maximum(self.counts, 1.0))
        for tau in np.geomspace(max(self.shortest_ns, 0.002 * self.period_ns), 0.7 * self.period_ns, 14):
            pairs = self.peaks.spread(float(tau), self.offset_ns)
            columns = np.stack([pairs(1.0 * (k == 0)), pairs(1.0 * (k != 0)), np.ones_like(self.counts)], axis=1)
            solution = np.linalg.lstsq(columns * weight[:, None], self.counts * weight, rcond=None)[0]
            chi2 = float((((columns @ solution - self.counts) * weight) ** 2).sum())
            if chi2 < best[0] and solution[1] > 0:
                best = (chi2, float(tau), solution)
        if best[1] == 0.0:
            raise FitError("The histogram shows no peaks at the laser period; check period_ns and offset_ns.")
        central, side, background = best[2]
        side, b, tau_b = self._bunching(side) if blinking else (side, 0.0, 10.0 * self.period_ns)
        if self.background is not None:
            background = self.background
        return np.array(
            [side, max(central / side, 0.01), np.log(best[1]), self.offset_ns, max(background, 1e-6), b, np.log(tau_b)]
        )

    def _areas_of_windows(self) -> tuple[Counts, Counts]:
        return peak_areas(self.counts, self.delay_ns, self.period_ns, self.offset_ns, None)

    def _bunching(self, side: float) -> tuple[float, float, float]:
        """Side area at k = 0, bunching share and time that describe the peak areas best, from a grid of times."""
        k, areas = self._areas_of_windows()
        distance, pairs = np.abs(k[k != 0]) * self.period_ns, areas[k != 0]
        best = (np.inf, side, 0.1, 10.0 * self.period_ns)
        for tau_b in np.geomspace(self.period_ns, max(float(distance.max()), 2 * self.period_ns), 12):
            columns = np.stack([np.ones_like(distance), np.exp(-distance / tau_b)], axis=1)
            flat, excess = np.linalg.lstsq(columns, pairs, rcond=None)[0]
            chi2 = float(((columns @ np.array([flat, excess]) - pairs) ** 2).sum())
            if chi2 < best[0] and flat > 0 and excess > 0:
                share = excess / (flat + excess)
                best = (chi2, side * (flat + excess) / pairs.mean(), share, float(tau_b))
        return best[1:]

    def _result(self, best: PoissonFit, free: NDArray[np.bool_], blinking: bool) -> PulsedG2Fit:
        covariance = self._covariance(best, free)
        theta, sigma = best.theta, np.sqrt(np.diag(covariance))
        goodness, dof = reduced_deviance(self.counts, best.expected, int(free.sum()))
        held = free.copy()
        held[G2_0] = False

        def profile(value: float) -> float:
            trial = theta.copy()
            trial[G2_0] = value
            return self._optimum(trial, held).deviance

        g2_err = float(sigma[G2_0])
        if best.at_bound[G2_0]:
            g2_err = profile_interval(profile, 0.0, 1.0 / max(theta[SIDE], 1.0), best.deviance, 0.6827)[1]
        tau, tau_b, c = float(np.exp(theta[LN_TAU])), float(np.exp(theta[LN_TAU_B])), theta[B] / (1.0 - theta[B])
        return PulsedG2Fit(
            g2_0=float(theta[G2_0]),
            g2_0_err=g2_err,
            offset_ns=float(theta[OFFSET]),
            offset_err_ns=float(sigma[OFFSET]),
            reduced_deviance=goodness,
            goodness_dof=dof,
            bic=best.deviance + float(free.sum() * np.log(self.counts.size)),
            n_central=float(theta[G2_0] * theta[SIDE]),
            delay_ns=self.delay_ns,
            counts=self.counts,
            expected=best.expected,
            method=f"peak_fit, Poisson, jitter of the pair {self.sigma_ns * 1e3:g} ps, constant background "
            + ("fitted" if self.background is None else "given") + (", blinking" if blinking else ""),
            notes=self._notes(best, covariance, (goodness, dof), blinking),
            profile=profile,
            deviance=best.deviance,
            tau_ns=tau,
            tau_err_ns=float(tau * sigma[LN_TAU]),
            side_area=float(theta[SIDE]),
            side_area_err=float(sigma[SIDE]),
            c=float(c) if blinking else 0.0,
            c_err=float(sigma[B] / (1.0 - theta[B]) ** 2) if blinking else 0.0,
            tau_b_ns=tau_b if blinking else None,
            tau_b_err_ns=float(tau_b * sigma[LN_TAU_B]) if blinking else None,
            background_per_bin=float(theta[BACKGROUND]),
            background_err_per_bin=float(sigma[BACKGROUND]),
            bins_per_period=self.period_ns / self.binwidth_ns,
        )  # fmt: skip

    def _covariance(self, best: PoissonFit, free: NDArray[np.bool_]) -> Floats:
        """Inverse Fisher information. A background at 0 counts as free: it is only not known to be above 0."""
        counted = free & ~(best.at_bound & (np.arange(free.size) != BACKGROUND))
        jacobian = self.evaluate(best.theta)[1][:, counted] / np.sqrt(np.maximum(best.expected, 1e-9))[:, None]
        norm = np.sqrt((jacobian**2).sum(axis=0))
        scaled = jacobian / norm
        covariance = np.zeros((free.size, free.size))
        covariance[np.ix_(counted, counted)] = np.linalg.pinv(scaled.T @ scaled, 1e-12, True) / np.outer(norm, norm)
        return covariance

    def _notes(
        self, best: PoissonFit, covariance: Floats, goodness: tuple[float, int], blinking: bool
    ) -> tuple[str, ...]:
        notes = []
        dead_time = check_dead_time(*self._areas_of_windows(), self.period_ns)
        if dead_time.ok is not True:
            notes.append(dead_time.note)
        if abs(best.theta[OFFSET]) > 0.25 * self.period_ns:
            notes.append(
                f"offset {best.theta[OFFSET]:.3g} ns is beyond a quarter period: confirm which peak is central by "
                "calibration"
            )
        tau = float(np.exp(best.theta[LN_TAU]))
        if not in_band(*goodness):
            notes.append(
                f"reduced deviance {goodness[0]:.2f}: these are not peaks exp(-|t|/tau) on a constant background"
            )
        if best.theta[G2_0] * best.theta[SIDE] < 20:
            notes.append("fewer than 20 central pairs: quote interval(), not the symmetric error")
        if self.period_ns < 5.0 * tau:
            notes.append(
                f"period {self.period_ns:g} ns is below 5 lifetimes ({tau:.3g} ns): peaks overlap, g2(0) rests on "
                "their shape"
            )
        variance = covariance[SIDE, SIDE] * covariance[BACKGROUND, BACKGROUND]
        if variance > 0 and abs(covariance[SIDE, BACKGROUND]) > 0.95 * np.sqrt(variance):
            notes.append("overlapping peaks and background can hardly be told apart: give background_per_bin")
        if blinking:
            notes.append(
                "blinking: g2(0) is normalised to the side peaks at k = 0; where the states differ in g2(0) the error "
                "needs a block bootstrap over blocks longer than tau_b"
            )
        return tuple(notes)


def _refuse_bounds(fit: PoissonFit, blinking: bool) -> None:
    """A background or a g2(0) of zero is a result; a time on its limit is none."""
    if fit.at_bound[LN_TAU] or fit.at_bound[OFFSET]:
        raise FitError(
            f"The lifetime ({np.exp(fit.theta[LN_TAU]):.3g} ns) or offset ({fit.theta[OFFSET]:.3g} ns) ran to its "
            "limit; check period_ns, pair_sigma_ps and offset_ns."
        )
    if blinking and (fit.at_bound[B] or fit.at_bound[LN_TAU_B]):
        raise FitError(NO_BUNCHING)
