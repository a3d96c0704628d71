"""The fit of a CW dip: parameters, start values, and the step from an optimum to a result."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ._checks import FitError, Floats
from ._g2_fit_result import CwG2Fit, in_band, profile_interval
from ._g2_shapes import smeared_exponential
from ._poisson_fit import PoissonFit, fit_poisson, poisson_deviance, reduced_deviance

LEVEL, G2_0, LN_T1, OFFSET, A, LN_T2 = range(6)
_STEP = 1e-4
FLAT = 16.0
"""Noise alone lowers the deviance by more than this once in a thousand flat histograms (3 more parameters)."""


@dataclass(frozen=True, eq=False)
class CwTask:
    """One histogram, ready to be fitted with two or three levels; theta is ordered as the names above."""

    counts: Floats
    delay_ns: Floats
    binwidth_ns: float
    sigma_ns: float
    offset_ns: float
    accidentals: Floats | None

    @property
    def scale(self) -> Floats:
        """Pairs per bin at level 1, (n,)."""
        return np.ones_like(self.counts) if self.accidentals is None else self.accidentals

    def evaluate(self, theta: Floats, levels: int) -> tuple[Floats, Floats]:
        """Expected pairs and Jacobian.

        The shape is 1 - (1 + a) f(t1) + a f(t2), f the smeared exponential; g2 is level (g + (1 - g) shape).
        """
        level, g, a = float(theta[LEVEL]), float(theta[G2_0]), float(theta[A])
        fast, d_fast, fast_moved = self._exponential(theta, LN_T1)
        slow, d_slow, slow_moved = self._exponential(theta, LN_T2) if levels == 3 else (np.zeros_like(fast),) * 3
        shape = 1.0 - (1.0 + a) * fast + a * slow
        per_shape = self.scale * level * (1.0 - g)
        columns = [
            self.scale * (g + (1.0 - g) * shape),
            self.scale * level * (1.0 - shape),
            per_shape * -(1.0 + a) * d_fast,
            per_shape * (a * slow_moved - (1.0 + a) * fast_moved),
            per_shape * (slow - fast),
            per_shape * a * d_slow,
        ]
        return level * columns[LEVEL], np.stack(columns, axis=1)

    def _exponential(self, theta: Floats, time: int) -> tuple[Floats, Floats, Floats]:
        """Smeared exponential and its derivatives by ln t and by the offset."""
        t, moved, step = float(np.exp(theta[time])), self.delay_ns - theta[OFFSET], _STEP * self.binwidth_ns

        def value(delay_ns: Floats, tau_ns: float) -> Floats:
            return smeared_exponential(delay_ns, self.binwidth_ns, tau_ns, self.sigma_ns)

        by_time = (value(moved, t * (1 + _STEP)) - value(moved, t * (1 - _STEP))) / (2.0 * _STEP)
        by_offset = (value(moved - step, t) - value(moved + step, t)) / (2.0 * step)
        return value(moved, t), by_time, by_offset

    def fit(self, levels: int) -> CwG2Fit:
        """Fit, with the result's notes.

        Raises:
            FitError: No convergence, no curvature, no dip, or a time on its bound.
        """
        free = np.array([True, True, True, True, levels == 3, levels == 3])
        best = self._optimum(self._start(levels), free)
        self._refuse(best, levels)
        return self._result(best, free, levels)

    def _optimum(self, start: Floats, free: NDArray[np.bool_]) -> PoissonFit:
        span = float(np.ptp(self.delay_ns))
        shortest, longest = np.log(0.05 * min(self.binwidth_ns, self.sigma_ns)), np.log(2.0 * span)
        low, high = self.offset_ns - span / 8, self.offset_ns + span / 8
        lower = np.array([1e-9, 0.0, shortest, low, 0.0, shortest])
        upper = np.array([np.inf, 10.0, longest, high, 1e4, longest])
        levels = 3 if free[A] else 2
        return fit_poisson(
            self.counts, lambda theta: self.evaluate(theta, levels), start, free=free, lower=lower, upper=upper
        )

    def _start(self, levels: int) -> Floats:
        """Best times on a grid; level, depth and bunching follow by linear least squares."""
        span = float(np.ptp(self.delay_ns))
        times = np.geomspace(max(self.binwidth_ns, 0.5 * self.sigma_ns), span / 3, 16)
        moved = self.delay_ns - self.offset_ns
        dips = [smeared_exponential(moved, self.binwidth_ns, float(t), self.sigma_ns) for t in times]
        weight = 1.0 / np.sqrt(np.maximum(self.counts, 1.0))
        best = (np.inf, np.zeros(5))
        for pair in combinations(range(times.size), levels - 1):
            columns = np.stack([np.ones_like(moved), *(dips[i] for i in pair)], axis=1) * self.scale[:, None]
            solution = np.linalg.lstsq(columns * weight[:, None], self.counts * weight, rcond=None)[0]
            chi2 = float((((columns @ solution - self.counts) * weight) ** 2).sum())
            if chi2 < best[0] and solution[0] > 0 and solution[1] < 0 and (levels == 2 or solution[2] > 0):
                slow = (solution[2], times[pair[1]]) if levels == 3 else (0.0, span)
                best = (chi2, np.array([solution[0], -solution[1], times[pair[0]], *slow]))
        if best[0] == np.inf:
            raise FitError(
                f"The histogram shows no dip{' within a bunching' if levels == 3 else ''} at {self.offset_ns:g} ns; "
                "check offset_ns and the range of the histogram."
            )
        # level - dip + bunching at t = 0 is level g2(0)
        level, dip, t1, slow, t2 = best[1]
        depth = min(max(dip - slow, 0.02 * level), level)
        return np.array([level, 1.0 - 0.98 * depth / level, np.log(t1), self.offset_ns, slow / depth, np.log(t2)])

    def _result(self, best: PoissonFit, free: NDArray[np.bool_], levels: int) -> CwG2Fit:
        theta, sigma = best.theta, np.sqrt(np.diag(best.covariance))
        goodness, dof = reduced_deviance(self.counts, best.expected, int(free.sum()))
        held = free.copy()
        held[G2_0] = False

        def profile(value: float) -> float:
            trial = theta.copy()
            trial[G2_0] = value
            return self._optimum(trial, held).deviance

        t1, t2 = float(np.exp(theta[LN_T1])), float(np.exp(theta[LN_T2]))
        g2_err = float(sigma[G2_0])
        if best.at_bound[G2_0]:
            g2_err = profile_interval(profile, 0.0, 0.01, best.deviance, 0.6827)[1]
        three = levels == 3
        return CwG2Fit(
            g2_0=float(theta[G2_0]),
            g2_0_err=g2_err,
            offset_ns=float(theta[OFFSET]),
            offset_err_ns=float(sigma[OFFSET]),
            reduced_deviance=goodness,
            goodness_dof=dof,
            bic=best.deviance + float(free.sum() * np.log(self.counts.size)),
            n_central=float((theta[LEVEL] * self.scale * (1.0 + theta[A]) - best.expected).clip(0.0).sum()),
            delay_ns=self.delay_ns,
            counts=self.counts,
            expected=best.expected,
            method=f"CW {'three' if three else 'two'}-level fit, Poisson, "
            + f"jitter of the pair {self.sigma_ns * 1e3:g} ps, "
            + ("normalised by rates" if self.accidentals is not None else "normalised to long delays"),
            notes=self._notes(best, (goodness, dof), three),
            profile=profile,
            deviance=best.deviance,
            level=float(theta[LEVEL]),
            level_err=float(sigma[LEVEL]),
            t1_ns=t1,
            t1_err_ns=float(t1 * sigma[LN_T1]),
            a=float(theta[A]),
            a_err=float(sigma[A]),
            t2_ns=t2 if three else None,
            t2_err_ns=float(t2 * sigma[LN_T2]) if three else None,
        )

    def _notes(self, best: PoissonFit, goodness: tuple[float, int], three: bool) -> tuple[str, ...]:
        notes = []
        t1, level, error = float(np.exp(best.theta[LN_T1])), best.theta[LEVEL], np.sqrt(best.covariance[LEVEL, LEVEL])
        if not in_band(*goodness):
            notes.append(f"reduced deviance {goodness[0]:.2f}: the model does not describe the histogram")
        if self.sigma_ns > t1:
            notes.append(
                f"the jitter ({self.sigma_ns:.3g} ns) is above the time of the dip ({t1:.3g} ns): g2(0) rests on it"
            )
        slowest = float(np.exp(best.theta[LN_T2])) if three else t1
        if 0.5 * float(np.ptp(self.delay_ns)) < 4.0 * slowest:
            notes.append("the histogram is shorter than 4 times the slowest time: its level, and g2(0), are uncertain")
        if self.accidentals is not None and abs(level - 1.0) > 5.0 * error:
            cause = "slow bunching (blinking) or drift" if level > 1.0 else "lost pairs"
            notes.append(f"level at long delays {level:.3f} ± {error:.2g} by the rates: {cause}; g2(0) is relative")
        return tuple(notes)

    def _refuse(self, fit: PoissonFit, levels: int) -> None:
        """A g2(0) of zero is a result; a time on its limit, or no dip at all, is none."""
        if fit.at_bound[[LN_T1, OFFSET]].any() or fit.at_bound[LEVEL]:
            raise FitError(
                f"The time of the dip ({np.exp(fit.theta[LN_T1]):.3g} ns) or its place ({fit.theta[OFFSET]:.3g} ns) "
                "ran to its limit: there is no dip to fit; check offset_ns and the range of the histogram."
            )
        flat = poisson_deviance(self.counts, self.scale * (self.counts.sum() / self.scale.sum()))
        if flat - fit.deviance < FLAT or (fit.at_bound[G2_0] and fit.theta[G2_0] > 1.0):
            raise FitError(
                "The histogram shows no dip beyond its noise (a flat one fits as well): record longer, or call it "
                "uncorrelated light."
            )
        if levels == 3 and (fit.at_bound[[A, LN_T2]].any() or fit.theta[LN_T2] < fit.theta[LN_T1]):
            raise FitError("The counts do not hold a second time; use model='two_level'.")
