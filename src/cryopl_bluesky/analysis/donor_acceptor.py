"""Donor and acceptor decays of energy funnelling, fitted together with the Poisson likelihood.

The donor decays with k_D + k_ET. The acceptor emits the photons of what the laser excited in it, and those of what the
donor fed it, which come as exp(-k_A t) - exp(-(k_D + k_ET) t): that is the closed form of `lifetimes.funnelling`, split
into two parts of positive photon numbers. Of the two photon numbers follows k_ET/A0; k_ET itself needs A0, the
acceptor's own excitation relative to the donor's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ._checks import AnalysisError, FitError, Floats, count_array, positive, same_shape
from ._decay_fit import DecayTask
from ._decay_irf import Response
from ._decay_result import FitProblem, FittedDecay, Quantity, fitted_fields, parameter, response_notes
from .lifetimes import MINIMUM_PHOTONS, decay_task

__all__ = ["FunnellingFit", "fit_donor_acceptor"]

_TRANSFER = "transfer_per_start_per_ns"
_APART = 1e-4
"""Lifetimes closer than this (relative) are moved apart by it: the difference of two equal exponentials is
0/0, and closer together rounding would be seen in the derivatives."""


@dataclass(frozen=True, eq=False, kw_only=True)
class FunnellingFit(FittedDecay):
    """Result of `fit_donor_acceptor`; see `FittedDecay` for the rest.

    `counts`, `expected` and `delay_ns` hold the donor's bins and then the acceptor's; `background_per_bin` is the
    acceptor's.

    Attributes:
        tau_donor_ns: 1/(k_D + k_ET).
        tau_donor_err_ns: Its standard error.
        tau_acceptor_ns: 1/k_A.
        tau_acceptor_err_ns: Its standard error.
        fed_share: Share of the acceptor's photons that came through the donor; 0 if no rise was asked for.
        fed_share_err: Its standard error.
        transfer_per_start_per_ns: k_ET/A0, A0 = the acceptor's own excitation in units of the donor's; infinite if
            the acceptor has none.
        transfer_per_start_err_per_ns: Its standard error.
        donor_background_per_bin: Background of the donor's decay.
        donor_background_err_per_bin: Its standard error.
        rise: Whether a rise was asked for.
    """

    tau_donor_ns: float
    tau_donor_err_ns: float
    tau_acceptor_ns: float
    tau_acceptor_err_ns: float
    fed_share: float
    fed_share_err: float
    transfer_per_start_per_ns: float
    transfer_per_start_err_per_ns: float
    donor_background_per_bin: float
    donor_background_err_per_bin: float
    rise: bool

    def rates(self, acceptor_start: float) -> tuple[float, float]:
        """Transfer rate k_ET and the donor's own rate k_D in 1/ns.

        Args:
            acceptor_start: A0, what the laser excites in the acceptor relative to the donor; from absorption, it
                cannot be had from decays.

        Raises:
            AnalysisError: A rate below zero comes out: A0 is too large, or the model is wrong.
        """
        transfer = self.transfer_per_start_per_ns * positive("acceptor_start", acceptor_start)
        own = 1.0 / self.tau_donor_ns - transfer
        if own < 0.0:
            raise AnalysisError(
                f"acceptor_start {acceptor_start:g} gives k_ET = {transfer:.3g}/ns, more than the donor's whole rate "
                f"of {1.0 / self.tau_donor_ns:.3g}/ns; it must be smaller, or the acceptor has another feed."
            )
        return transfer, own


def fit_donor_acceptor(
    donor: ArrayLike,
    acceptor: ArrayLike,
    binwidth_ps: float,
    period_ns: float | None,
    *,
    irf_fwhm_ps: float | None = None,
    irf: Response | None = None,
    rise: bool = False,
    fit_bins: tuple[int, int] | None = None,
    shift_ns: float | None = None,
    donor_background_per_bin: float | None = None,
    acceptor_background_per_bin: float | None = None,
) -> FunnellingFit:
    """Fit the decays on the blue (donor) and the red side (acceptor) with one shift and one donor lifetime.

    A rise and a shift of the acceptor alone look alike, therefore the shift is common: both decays must come from the
    same SPAD.

    Args:
        donor: Raw counts of the donor, (n,).
        acceptor: Raw counts of the acceptor, (n,).
        binwidth_ps: Bin width.
        period_ns: Laser period, or None for a single pulse.
        irf_fwhm_ps: Width of a Gaussian response; give this or `irf`.
        irf: Measured response, as in `lifetimes.fit_decay`.
        rise: Let the donor feed the acceptor; otherwise both are single exponentials.
        fit_bins: First bin and one past the last bin to fit; all by default.
        shift_ns: Fixed shift; free by default.
        donor_background_per_bin: Fixed background; free by default.
        acceptor_background_per_bin: Likewise.

    Raises:
        AnalysisError: Unusable input, as `lifetimes.fit_decay`.
        FitError: No convergence, no curvature (lifetimes too close together to tell who is fed), a lifetime on its
            bound, or an acceptor without photons.
    """
    both = count_array("donor", donor), count_array("acceptor", acceptor)
    same_shape("donor", both[0], "acceptor", both[1])
    levels = donor_background_per_bin, acceptor_background_per_bin
    tasks = [
        decay_task(n, binwidth_ps, period_ns, irf_fwhm_ps, irf, fit_bins, shift_ns, level)
        for n, level in zip(both, levels, strict=True)
    ]
    for name, task in zip(("donor", "acceptor"), tasks, strict=True):
        photons = float(task.counts[task.window].sum())
        if photons < MINIMUM_PHOTONS:
            raise AnalysisError(f"{name} holds {photons:g} photons, below the limit of {MINIMUM_PHOTONS}.")
    pair = _Pair(tasks[0], tasks[1])
    problem = pair.solve(rise)
    if problem.optimum.at_bound[3:5].any():
        raise FitError("A lifetime ran to its bound; check period, bin width and response.")
    return pair.result(problem, rise)


@dataclass(frozen=True, eq=False)
class _Pair:
    """theta = (N_donor, N_own, N_fed, ln tau_donor, ln tau_acceptor, shift, donor background, background)."""

    donor: DecayTask
    acceptor: DecayTask

    def evaluate(self, theta: Floats) -> tuple[Floats, Floats]:
        """Expected counts of donor and acceptor, one after the other, and the Jacobian."""
        tau_d, tau_a = np.exp(theta[3]), np.exp(theta[4])
        if abs(tau_a / tau_d - 1.0) < _APART:
            tau_a = tau_d * (1.0 + _APART)
        model, window, shift = self.donor.model, self.donor.window, float(theta[5])
        d, d_tau, d_shift = (part[window] for part in model(float(tau_d), shift))
        a, a_tau, a_shift = (part[window] for part in model(float(tau_a), shift))
        apart = tau_a - tau_d
        fed = (tau_a * a - tau_d * d) / apart
        fed_by_a = (a + tau_a * a_tau - fed) / apart
        fed_by_d = (fed - d - tau_d * d_tau) / apart
        n_donor, n_own, n_fed = theta[:3]
        bins = d.size
        rows = np.zeros((8, 2 * bins))
        first, second = rows[:, :bins], rows[:, bins:]
        first[0], second[1], second[2] = d, a, fed
        first[3], second[3] = n_donor * tau_d * d_tau, n_fed * tau_d * fed_by_d
        second[4] = tau_a * (n_own * a_tau + n_fed * fed_by_a)
        first[5] = n_donor * d_shift
        second[5] = n_own * a_shift + n_fed * (tau_a * a_shift - tau_d * d_shift) / apart
        first[6], second[7] = 1.0, 1.0
        linear = np.array([0, 1, 2, 6, 7])
        return theta[linear] @ rows[linear], rows.T

    def solve(self, rise: bool) -> FitProblem:
        """Fit from several starts; the best one counts."""
        counts = np.concatenate([task.counts[task.window] for task in (self.donor, self.acceptor)])
        alone = self.donor.fit(1)
        span_ns = 100.0 * max(self.donor.counts.size * self.donor.dt_ns, self.donor.period_ns or 0.0)
        shortest = np.log(self.donor.dt_ns / 50.0)
        lower = np.array([0.0, 0.0, 0.0, shortest, shortest, -np.inf, 0.0, 0.0])
        upper = np.array([np.inf] * 3 + [np.log(span_ns)] * 2 + [np.inf] * 3)
        tasks = self.donor, self.acceptor
        free = np.array(
            [True, True, rise, True, True, self.donor.shift_ns is None, *(task.background is None for task in tasks)]
        )
        red = self.acceptor.at_shift(alone.shift_ns).fit(1)
        found: list[FitProblem] = []
        trouble: FitError | None = None
        for share, factor in ((0.5, 0.7), (0.2, 0.9), (0.8, 0.5)) if rise else ((0.0, 1.0),):
            photons = alone.photons[0], (1.0 - share) * red.photons[0], share * red.photons[0]
            lifetimes_ns = np.array([alone.lifetimes_ns[0], factor * red.lifetimes_ns[0]])
            levels = alone.background_per_bin, red.background_per_bin
            start = np.array([*photons, *np.log(lifetimes_ns), alone.shift_ns, *levels])
            try:
                found.append(FitProblem.solve(counts, self.evaluate, start, free, (lower, upper), _quantities(rise)))
            except FitError as error:
                trouble = error
        if not found:
            raise trouble or FitError("No start value led to a fit.")
        return min(found, key=lambda one: one.optimum.deviance)

    def result(self, problem: FitProblem, rise: bool) -> FunnellingFit:
        """The numbers by name."""
        task, theta = self.donor, problem.optimum.theta
        own, fed = theta[1:3]
        quantities = [name for name in problem.quantities if own > 0.0 or name != _TRANSFER]
        named = {_TRANSFER: (np.inf if rise else 0.0,) * 2} | {name: problem.value(name) for name in quantities}
        ratio = named[_TRANSFER]
        notes = response_notes(task.model, problem)
        if rise and own <= 0.0:
            notes.append("no photons of the acceptor's own excitation were found: all of it is fed by the donor")
        if rise and fed <= 0.0:
            notes.append("no rise was found: fed_share lies on its bound of zero")
        for name in ("tau_donor_ns", "tau_acceptor_ns"):
            if named[name][0] < 0.5 * task.model.irf_fwhm_ns:
                notes.append(
                    f"{name} {named[name][0]:.3g} ns is below half of the response ({task.model.irf_fwhm_ns:.3g} ns): "
                    "an upper limit unless the response was measured the same day"
                )
        bins = np.arange(task.window.start, task.window.stop) + 0.5
        longest = max(named["tau_donor_ns"][0], named["tau_acceptor_ns"][0])
        window_ns = bins.size * task.dt_ns
        method = f"{task.method}, {'donor feeds acceptor' if rise else 'donor and acceptor, no rise'}"
        return FunnellingFit(
            tau_donor_ns=named["tau_donor_ns"][0],
            tau_donor_err_ns=named["tau_donor_ns"][1],
            tau_acceptor_ns=named["tau_acceptor_ns"][0],
            tau_acceptor_err_ns=named["tau_acceptor_ns"][1],
            fed_share=float(fed / (own + fed)),
            fed_share_err=named["fed_share"][1] if rise else 0.0,
            transfer_per_start_per_ns=float(ratio[0]),
            transfer_per_start_err_per_ns=float(ratio[1]),
            donor_background_per_bin=named["donor_background_per_bin"][0],
            donor_background_err_per_bin=named["donor_background_per_bin"][1],
            rise=rise,
            **fitted_fields(problem, np.tile(bins * task.dt_ns, 2), window_ns, longest, method, notes),
        )


def _quantities(rise: bool) -> dict[str, Quantity]:
    common = {
        "tau_donor_ns": parameter(3, exponential=True),
        "tau_acceptor_ns": parameter(4, exponential=True),
        "shift_ns": parameter(5),
        "donor_background_per_bin": parameter(6),
        "background_per_bin": parameter(7),
    }
    return common | ({"fed_share": _fed_share, _TRANSFER: _transfer_per_start} if rise else {})


def _fed_share(theta: Floats) -> tuple[float, Floats]:
    own, fed = theta[1:3]
    total = max(own + fed, 1e-300)
    gradient = np.zeros(theta.size)
    gradient[1], gradient[2] = -fed / total**2, own / total**2
    return float(fed / total), gradient


def _transfer_per_start(theta: Floats) -> tuple[float, Floats]:
    """k_ET/A0: fed photons k_ET tau_donor tau_acceptor, own photons A0 tau_acceptor."""
    own, fed, tau = max(theta[1], 1e-300), theta[2], float(np.exp(theta[3]))
    value = float(fed / own / tau)
    gradient = np.zeros(theta.size)
    gradient[1], gradient[2], gradient[3] = -value / own, 1.0 / own / tau, -value
    return value, gradient
