"""The result of a g2(0) analysis: raw value, errors, checks and corrections in one record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ._checks import AnalysisError
from ._g2_blocks import BlockAreas, Bootstrap, block_bootstrap
from ._g2_dead_time import DeadTimeCheck
from ._g2_formulas import without_background
from ._g2_peaks import Counts

LIMIT_OF_ONE_EMITTER = 0.5
CLAIM_REACHES = (20, 50, 100)
"""Ranges of |k| that people normalise by."""
_RECORDED = (
    "g2_0_raw", "sigma_poisson", "sigma_bootstrap", "ci68", "ci95", "n_central", "n_side", "k_range", "window_ns",
    "period_ns", "offset_ns", "near_far", "near_far_err", "g2_0_rate", "rho", "rho_err", "g2_0_bgcorr",
    "sigma_bgcorr", "method", "second_window", "dead_time_ok", "notes",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class PulsedG2:
    """g2(0) of pulsed light, raw, with everything that is known about it.

    Attributes:
        g2_0_raw: Central area over mean side area; nothing is subtracted.
        sigma_poisson: Poisson standard error g2 sqrt(1/A_0 + 1/sum A_k); for an empty central peak the upper end
            of `ci68`.
        ci68: Exact (Garwood) 68.27 % interval of the central counts, divided by the mean side area.
        ci95: The same at 95 %.
        k: Peak numbers, ascending, (n,).
        areas: Pairs per peak window, (n,).
        n_central: Pairs in the central window, A_0.
        n_side: Pairs in all side peaks used.
        side_mean: Mean pairs of the side peaks used.
        k_range: Lowest and highest |k| used as side peaks.
        period_ns: Laser period.
        offset_ns: Delay of the central peak.
        window_ns: Width of the window of each peak.
        method: "full_period" or "window".
        second_window: Another window as a check: its width in ns, its g2(0) and Poisson error; None if not looked at.
        dead_time: Near side peaks against far ones.
        near_far: Mean area of 1 <= |k| <= 100 over the accidental level; above 1 means blinking or drift. None
            without the accidental level.
        near_far_err: Its Poisson error.
        g2_0_rate: Central area over the accidental level; wrong for a blinking source. None without that level.
        bootstrap: Block bootstrap, from `with_bootstrap`.
        rho: Signal fractions of SPAD 1 and SPAD 2, from `with_background`.
        rho_err: Their errors.
        notes: What a reader must know.
    """

    g2_0_raw: float
    sigma_poisson: float
    ci68: tuple[float, float]
    ci95: tuple[float, float]
    k: Counts
    areas: Counts
    n_central: int
    n_side: int
    side_mean: float
    k_range: tuple[int, int]
    period_ns: float
    offset_ns: float
    window_ns: float
    method: str
    dead_time: DeadTimeCheck
    second_window: tuple[float, float, float] | None = None
    near_far: float | None = None
    near_far_err: float | None = None
    g2_0_rate: float | None = None
    bootstrap: Bootstrap | None = None
    rho: tuple[float, float] | None = None
    rho_err: tuple[float, float] = (0.0, 0.0)
    notes: tuple[str, ...] = ()

    @property
    def sigma_bootstrap(self) -> float | None:
        """Error by block bootstrap, or None if there was none."""
        return None if self.bootstrap is None else self.bootstrap.sigma

    @property
    def sigma(self) -> float:
        """The error to quote: the larger of Poisson and bootstrap.

        Blinking only adds to the Poisson error. A bootstrap below it means few blocks or few pairs, not a better
        measurement: on the recorded single emitter of the tests it falls from 0.078 (50 blocks) to 0.048 (13).
        """
        return max(self.sigma_poisson, self.sigma_bootstrap or 0.0)

    @property
    def dead_time_ok(self) -> bool | None:
        """Whether close pairs are all there; None if that cannot be judged (see `dead_time.note`)."""
        return self.dead_time.ok

    @property
    def g2_0_bgcorr(self) -> float | None:
        """g2(0) without pairs that hold an uncorrelated background photon; None without `rho`."""
        return None if self.rho is None else without_background(self.g2_0_raw, self.sigma, self.rho, self.rho_err)[0]

    @property
    def sigma_bgcorr(self) -> float | None:
        """Error of `g2_0_bgcorr`, propagated from `sigma` and `rho_err`."""
        return None if self.rho is None else without_background(self.g2_0_raw, self.sigma, self.rho, self.rho_err)[1]

    @property
    def single_emitter(self) -> bool:
        """Whether g2(0) < 0.5 may be claimed of the raw value.

        The upper end of the exact 95 % interval must be below 0.5 whichever side peaks normalise it (those used,
        or 20, 50, 100 or all on either side: a claim that another choice takes back needs more pairs), that of the
        bootstrap too if there is one, and no pairs may be missing by dead time.
        """
        lowest = self._lowest_side_mean()
        if lowest == 0:  # too few pairs for one of these choices
            return False
        upper = self.ci95[1] * self.side_mean / lowest
        if self.bootstrap is not None:
            upper = max(upper, self.g2_0_raw + 1.96 * self.bootstrap.sigma)
        return upper < LIMIT_OF_ONE_EMITTER and self.dead_time.ok is not False

    def _lowest_side_mean(self) -> float:
        distance = np.abs(self.k)
        reaches = {reach for reach in CLAIM_REACHES if reach <= distance.max()} | {int(distance.max())}
        means = [float(self.areas[(distance > 0) & (distance <= reach)].mean()) for reach in reaches]
        return min(self.side_mean, *means)

    def with_bootstrap(self, blocks: BlockAreas, *, resamples: int = 2000, seed: int = 0) -> PulsedG2:
        """This result with the error by block bootstrap over the same side peaks.

        Raises:
            AnalysisError: As `block_bootstrap`, or blocks that do not reach as far as the side peaks used.
        """
        if np.abs(blocks.k).max(initial=0) < self.k_range[1]:
            raise AnalysisError(
                f"The blocks reach to |k| = {np.abs(blocks.k).max(initial=0)}, the side peaks to "
                f"{self.k_range[1]}; count blocks with peaks={self.k_range[1]}."
            )
        found = block_bootstrap(blocks, self.k_range[1], resamples=resamples, seed=seed)
        return replace(self, bootstrap=found)

    def with_background(
        self, rho: tuple[float, float], rho_err: tuple[float, float] = (0.0, 0.0)
    ) -> PulsedG2:
        """This result with the background-corrected value beside the raw one.

        Args:
            rho: Signal fraction S/(S + B) per SPAD; B from a dark spot of the same sample with the laser on.
            rho_err: Errors of the signal fractions.

        Raises:
            AnalysisError: A signal fraction outside (0, 1], or a bad error.
        """
        without_background(self.g2_0_raw, self.sigma, rho, rho_err)
        return replace(self, rho=(float(rho[0]), float(rho[1])), rho_err=(float(rho_err[0]), float(rho_err[1])))

    def record(self) -> dict[str, Any]:
        """The numbers to store with the uid of the run; plain JSON values, None where something is not known."""
        values = {name: getattr(self, name) for name in _RECORDED}
        bootstrap = None
        if self.bootstrap is not None:
            bootstrap = {name: getattr(self.bootstrap, name) for name in ("blocks", "block_s", "resamples", "seed")}
        return {
            **{name: list(value) if isinstance(value, tuple) else value for name, value in values.items()},
            "bootstrap": bootstrap,
            "dead_time": {"ratio": self.dead_time.ratio, "sigma": self.dead_time.sigma, "note": self.dead_time.note},
        }
