"""Decay fits side by side in one run: this package, and the same fit in plain lmfit as one writes it first.

Every round runs both in turn; the figures are CPU times of one core. Both maximise the same likelihood of the same
model and must end at the same place.
"""

from __future__ import annotations

import time
from typing import Any

import lmfit
import numpy as np
import pytest

from cryopl_bluesky.analysis.lifetime_map import fit_lifetime_map
from cryopl_bluesky.analysis.lifetimes import DecayFit, fit_decay

PERIOD_NS, BINWIDTH_PS, BINS = 50.0, 16.0, 3125
PHOTONS, IRF_PHOTONS = 200_000, 300_000
BINWIDTH_NS = BINWIDTH_PS / 1e3
EDGES_NS = np.arange(BINS + 1) * BINWIDTH_NS
ROUNDS = 25
ROWS, ROW_PHOTONS = 81, 20_000


def response(rng: np.random.Generator, photons: int) -> np.ndarray:
    """Arrival times behind a pulse of 200 ps with the exponential tail of a SPAD."""
    times = rng.normal(3.0, 0.085, photons)
    times[: photons // 100] += rng.exponential(0.3, photons // 100)
    return times


def histogram(times_ns: np.ndarray) -> np.ndarray:
    return np.histogram(times_ns % PERIOD_NS, EDGES_NS)[0].astype(np.float64)


def decay(
    rng: np.random.Generator, photons: float, lifetimes_ns: tuple[float, float], share: float, dark_per_bin: float
) -> np.ndarray:
    """Two exponentials, 37 ps later than the response; `share` is that of the first in photons."""
    n = rng.poisson(photons)
    lifetimes = np.where(rng.random(n) < share, *lifetimes_ns)
    times = 0.037 + response(rng, n) + rng.exponential(1.0, n)[rng.permutation(n)] * lifetimes
    dark = rng.uniform(0.0, PERIOD_NS, rng.poisson(dark_per_bin * BINS))
    return histogram(np.concatenate([times, dark]))


class LmfitDecay:
    """FFT, cubic interpolation of the response, signed roots of the deviance as residuals, Levenberg-Marquardt."""

    def __init__(self, irf: np.ndarray):
        # a sum of exponentials at the start of bins lacks the variance of a bin
        wider = irf + (np.roll(irf, 1) - 2.0 * irf + np.roll(irf, -1)) / 24.0
        self.irf = wider / wider.sum()
        self.k = np.arange(BINS)

    def model(self, p: Any) -> np.ndarray:
        total = 0.0
        for i in (1, 2):
            r = np.exp(-BINWIDTH_NS / p[f"tau{i}"])
            total = total + p[f"N{i}"] * r**self.k * (1.0 - r) / (1.0 - r**BINS)
        bins = int(np.floor(p["shift"] / BINWIDTH_NS))
        t = p["shift"] / BINWIDTH_NS - bins
        cubic = (
            -0.5 * t**3 + t**2 - 0.5 * t,
            1.5 * t**3 - 2.5 * t**2 + 1.0,
            -1.5 * t**3 + 2.0 * t**2 + 0.5 * t,
            0.5 * t**3 - 0.5 * t**2,
        )
        moved = sum(weight * np.roll(self.irf, bins - 1 + i) for i, weight in enumerate(cubic))
        return np.fft.irfft(np.fft.rfft(total) * np.fft.rfft(moved), BINS) + p["background"]

    def residual(self, parameters: lmfit.Parameters, counts: np.ndarray) -> np.ndarray:
        m = np.maximum(self.model(parameters.valuesdict()), 1e-9)
        with np.errstate(divide="ignore", invalid="ignore"):
            part = np.where(counts > 0, counts * np.log(counts / m), 0.0)
        return np.sign(counts - m) * np.sqrt(np.maximum(2.0 * (m - counts + part), 0.0))

    def fit(self, counts: np.ndarray) -> Any:
        parameters = lmfit.Parameters()
        for i, tau in ((1, 1.0), (2, 5.0)):
            parameters.add(f"N{i}", 0.5 * counts.sum(), min=0.0)
            parameters.add(f"tau{i}", tau, min=0.001, max=500.0)
        parameters.add("shift", 0.0)
        parameters.add("background", max(float(counts[:100].mean()), 0.1), min=0.0)
        return lmfit.minimize(self.residual, parameters, args=(counts,))


def agree(own: DecayFit, peer: Any) -> None:
    """The same optimum, and the same numbers there."""
    p = peer.params.valuesdict()
    N, tau = np.array([p["N1"], p["N2"]]), np.array([p["tau1"], p["tau2"]])
    assert own.deviance == pytest.approx(peer.chisqr, abs=1e-2)
    assert own.tau_int_ns == pytest.approx((N @ tau) / N.sum(), abs=0.05 * own.tau_int_err_ns)
    assert own.tau_amp_ns == pytest.approx(N.sum() / (N / tau).sum(), abs=0.05 * own.tau_amp_err_ns)
    # exponentials from the start of the bins meet the response half a bin early
    assert own.shift_ns == pytest.approx(p["shift"] - 0.5 * BINWIDTH_NS, abs=0.05 * own.shift_err_ns)


def bench_biexponential_fit(benchmark):
    """Two exponentials, measured response, free shift and background: 3,125 bins, 2e5 photons."""
    rng = np.random.default_rng(1)
    irf = histogram(response(rng, IRF_PHOTONS))
    sets = [decay(rng, PHOTONS, (0.5, 4.0), 0.5, 2.0) for _ in range(ROUNDS + 1)]
    peer = LmfitDecay(irf)
    seconds: dict[str, list[float]] = {"own": [], "lmfit": []}

    def one_round() -> None:
        counts = sets[len(seconds["own"]) % len(sets)]
        start_s = time.process_time()
        own = fit_decay(counts, BINWIDTH_PS, PERIOD_NS, irf=irf, components=2)
        middle_s = time.process_time()
        theirs = peer.fit(counts)
        seconds["own"].append(middle_s - start_s)
        seconds["lmfit"].append(time.process_time() - middle_s)
        agree(own, theirs)

    one_round()  # loads the compiled recursion
    for times in seconds.values():
        times.clear()
    benchmark.pedantic(one_round, rounds=ROUNDS)
    own_ms, lmfit_ms = (1e3 * float(np.median(times)) for times in seconds.values())
    benchmark.extra_info.update(own_ms=own_ms, lmfit_ms=lmfit_ms, ratio=lmfit_ms / own_ms)
    print(
        f"\n bi-exponential fit, {BINS} bins, {PHOTONS} photons: {own_ms:.2f} ms (limit 3), lmfit {lmfit_ms:.1f} ms, "
        f"{lmfit_ms / own_ms:.1f} x (limit 3)"
    )
    assert lmfit_ms > 3.0 * own_ms


@pytest.mark.parametrize("components", [1, 2, "bic"])
def bench_map(benchmark, components):
    """81 wavelengths of 3,125 bins with one measured response and one shift; the blue side decays faster."""
    rng = np.random.default_rng(2)
    irf = histogram(response(rng, IRF_PHOTONS))
    wavelength_nm = np.linspace(510.0, 540.0, ROWS)
    fast_ns = 0.8 / (1.0 + np.exp((1239.842 / wavelength_nm - 2.355) / 0.02))
    photons = ROW_PHOTONS * np.exp(-0.5 * ((wavelength_nm - 526.0) / 8.0) ** 2)
    counts = np.array([decay(rng, n, (tau, 10.0), 0.9, 0.05) for n, tau in zip(photons, fast_ns, strict=True)])
    seconds = []

    def one_round() -> None:
        start_s = time.process_time()
        result = fit_lifetime_map(
            counts, wavelength_nm, BINWIDTH_PS, PERIOD_NS, irf=irf, components=components, irf_same_day=True
        )
        seconds.append(time.process_time() - start_s)
        if components == 2:
            assert result.shift_ns == pytest.approx(0.037, abs=0.002)
            bright = np.flatnonzero(result.good & (photons > 5000))
            pulls = (result.tau_int_ns - 0.9 * fast_ns - 1.0)[bright] / result.tau_int_err_ns[bright]
            assert bright.size > 40 and abs(pulls.mean()) < 0.6 and 0.7 < pulls.std() < 1.3

    one_round()
    seconds.clear()
    benchmark.pedantic(one_round, rounds=5)
    median_s = float(np.median(seconds))
    benchmark.extra_info.update(seconds=median_s, components=str(components))
    print(f"\n map of {ROWS} x {BINS} bins, components {components!r}: {median_s:.2f} s (limit 0.5)")
