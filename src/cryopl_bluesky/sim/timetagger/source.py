"""From light to clicks: laser pulses, photons, two SPADs."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf, sqrt
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cryopl_bluesky.sim.timetagger import photons
from cryopl_bluesky.sim.timetagger.parameters import HbtParameters

PS_PER_S = 1e12
FWHM_PER_SIGMA = 2.0 * sqrt(2.0 * np.log(2.0))
# Arrivals this close to the end of a block wait for the next one: a neighbour could still precede them.
SETTLE_PS = 2_000
_NEVER_PS = 2**62

Times = NDArray[np.int64]


class LightLike(Protocol):
    """What reaches the interferometer (`sim/light.py`, `SpadLight`)."""

    @property
    def rate_Hz(self) -> float:
        """Photons detected per second, both SPADs together, before dead time."""
        ...

    @property
    def fractions(self) -> object:
        """Photon fractions of the decay components."""
        ...

    @property
    def lifetimes_ns(self) -> object:
        """Lifetimes of the decay components."""
        ...

    @property
    def g2_0(self) -> float:
        """Pulsed g2(0); 1 for Poissonian light."""
        ...

    @property
    def repetition_rate_Hz(self) -> float | None:
        """Pulse rate, None for constant excitation."""
        ...

    @property
    def pulse_fwhm_ps(self) -> float:
        """Width of the laser pulse."""
        ...

    @property
    def background_Hz(self) -> float:
        """Uncorrelated detections per SPAD, beside its dark counts."""
        ...


@dataclass(frozen=True)
class Darkness:
    """No light at all."""

    rate_Hz: float = 0.0
    fractions: tuple[float, ...] = ()
    lifetimes_ns: tuple[float, ...] = ()
    g2_0: float = 1.0
    repetition_rate_Hz: float | None = None
    pulse_fwhm_ps: float = 0.0
    background_Hz: float = 0.0


@dataclass
class PulseTrain:
    """A periodic train of laser pulses whose phase stays exact over days (int origin + float remainder).

    Attributes:
        origin_ps: time of one pulse, without its fraction.
        period_ps: period.
        fraction_ps: added to the origin.
    """

    origin_ps: int
    period_ps: float
    fraction_ps: float = 0.0

    def pulses(self, start_ps: int, stop_ps: int) -> int:
        """Move the origin to the first pulse at or after `start_ps`.

        Returns:
            Number of pulses from there to before `stop_ps`.
        """
        index = ceil((start_ps - self.origin_ps - self.fraction_ps) / self.period_ps)
        shift_ps = self.fraction_ps + index * self.period_ps
        whole = int(np.floor(shift_ps))
        self.origin_ps, self.fraction_ps = self.origin_ps + whole, shift_ps - whole
        return max(0, ceil((stop_ps - self.origin_ps - self.fraction_ps) / self.period_ps))


class PhotonSource:
    """Clicks of both SPADs, block after block.

    Args:
        parameters: the interferometer.
        rng: its random numbers.
    """

    def __init__(self, parameters: HbtParameters, rng: np.random.Generator):
        self._parameters, self._rng = parameters, rng
        self._waiting = np.empty(0, np.int64)
        self._last_ps = np.full(2, -_NEVER_PS // 2, np.int64)
        self._afterpulse_ps = np.full(2, _NEVER_PS, np.int64)

    def clear(self) -> None:
        """Forget photons that are on their way (the time that follows is not connected)."""
        self._waiting = self._waiting[:0]
        self._afterpulse_ps[:] = _NEVER_PS

    def forget_after(self, at_ps: int) -> None:
        """Take back the clicks from `at_ps` on; a SPAD that had clicked since is dead at that moment."""
        self.clear()
        np.minimum(self._last_ps, at_ps, out=self._last_ps)

    def clicks(
        self,
        start_ps: int,
        stop_ps: int,
        light: LightLike,
        train: PulseTrain | None,
        n_pulses: int,
        *,
        dark_Hz: float,
        paralysable: bool = False,
    ) -> tuple[Times, Times]:
        """Clicks between two times, in time order, at the SPADs' outputs (before cables).

        Args:
            start_ps: begin of the block, the end of the one before.
            stop_ps: end; the last 2 ns are left to the next block.
            light: what reaches the interferometer meanwhile.
            train: laser pulses, positioned at the first of the block; None for constant excitation.
            n_pulses: laser pulses of the block.
            dark_Hz: dark counts per SPAD.
            paralysable: photons that arrive in the dead time prolong it.

        Returns:
            int64 times of SPAD 1 and of SPAD 2.
        """
        uncorrelated = self._uncorrelated(start_ps, stop_ps, dark_Hz + light.background_Hz)
        merged = photons.merge_sorted(self._waiting, np.sort(uncorrelated))
        if light.rate_Hz > 0:
            signal = self._signal(start_ps, stop_ps, light, train, n_pulses)
            photons.sort_nearly_sorted(signal)
            merged = photons.merge_sorted(merged, signal)
        limit_ps = stop_ps - SETTLE_PS
        split = np.searchsorted(merged, 2 * limit_ps)
        self._waiting = merged[split:]
        p = self._parameters
        out = np.empty((2, int(1.2 * split) + 64), np.int64)
        counts = photons.detect(
            self._rng,
            merged[:split],
            limit_ps,
            self._last_ps,
            self._afterpulse_ps,
            p.dead_time_ps,
            paralysable,
            p.afterpulsing,
            p.afterpulse_ps,
            p.jitter_fwhm_ps / FWHM_PER_SIGMA,
            p.tail_fraction,
            p.tail_ps,
            out,
        )
        return out[0, : counts[0]], out[1, : counts[1]]

    def _uncorrelated(self, start_ps: int, stop_ps: int, rate_Hz: float) -> Times:
        number = self._rng.poisson(2.0 * rate_Hz * (stop_ps - start_ps) / PS_PER_S)
        times = self._rng.integers(start_ps, stop_ps, number)
        return 2 * times + self._rng.integers(0, 2, number)

    def _signal(
        self, start_ps: int, stop_ps: int, light: LightLike, train: PulseTrain | None, n_pulses: int
    ) -> Times:
        fractions = np.asarray(light.fractions, float)
        lifetimes_ps = np.asarray(light.lifetimes_ns, float) * 1e3
        if len(fractions) == 0:
            fractions, lifetimes_ps = np.ones(1), np.zeros(1)
        if train is None:
            return self._constant(start_ps, stop_ps, light, float(fractions @ lifetimes_ps))
        mean = light.rate_Hz * train.period_ps / PS_PER_S
        if light.g2_0 != 1.0:
            # A single emitter gives one photon per pulse and no more; a bunched source is cut at P(1) = 0.
            mean = min(mean, 1.0 / max(1.0, light.g2_0))
        cumulative = np.cumsum(fractions) / fractions.sum()
        return photons.emit_pulsed(
            self._rng,
            train.origin_ps + self._parameters.path_delay_ps,
            train.fraction_ps,
            train.period_ps,
            n_pulses,
            mean,
            light.g2_0,
            cumulative,
            lifetimes_ps,
            light.pulse_fwhm_ps / FWHM_PER_SIGMA,
            self._parameters.splitting,
        )

    def _constant(self, start_ps: int, stop_ps: int, light: LightLike, lifetime_ps: float) -> Times:
        """Constant excitation: a mixture of antibunched and Poissonian light with the wanted g2(0).

        g2_0 above 1 is not modelled for constant excitation and gives Poissonian light.
        """
        share = sqrt(max(0.0, 1.0 - light.g2_0)) if lifetime_ps > 0 else 0.0
        rate = light.rate_Hz * share / PS_PER_S
        decay = 1.0 / lifetime_ps if lifetime_ps > 0 else inf
        if share > 0 and 4.0 * rate > decay:
            raise ValueError(
                f"a single emitter of {lifetime_ps:g} ps lifetime cannot give {light.rate_Hz:g} cps"
            )
        number = self._rng.poisson(light.rate_Hz * (1.0 - share) * (stop_ps - start_ps) / PS_PER_S)
        to_second = self._rng.random(number) >= self._parameters.splitting
        keys = np.sort(2 * self._rng.integers(start_ps, stop_ps, number) + to_second)
        if share == 0:
            return keys
        root = sqrt(decay * decay - 4.0 * rate * decay)
        bunchless = photons.emit_renewal(
            self._rng,
            start_ps,
            stop_ps,
            (decay - root) / 2.0,
            (decay + root) / 2.0,
            self._parameters.splitting,
        )
        return photons.merge_sorted(keys, bunchless)
