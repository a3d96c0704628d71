"""Every fit function refuses what it cannot use, and says which input is wrong, before it gives a number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.analysis.calibration import find_lines, fit_spot, measure_irf, power_curve, scale_from_beads
from cryopl_bluesky.analysis.channel_delay import channel_delay
from cryopl_bluesky.analysis.donor_acceptor import fit_donor_acceptor
from cryopl_bluesky.analysis.funnelling import apparent_lifetime_ns, fit_apparent_lifetime
from cryopl_bluesky.analysis.g2 import pulsed_g2
from cryopl_bluesky.analysis.g2_models import fit_cw_g2, fit_pulsed_g2
from cryopl_bluesky.analysis.lifetime_map import fit_lifetime_map
from cryopl_bluesky.analysis.lifetimes import fit_decay
from cryopl_bluesky.analysis.mean_lifetime import fit_mean_lifetime
from cryopl_bluesky.analysis.multi_peak import choose_model, fit_peaks
from cryopl_bluesky.analysis.spectra import fit_line
from cryopl_bluesky.analysis.stretched_decay import fit_stretched_decay
from cryopl_bluesky.analysis.temperature import expansion_one_oscillator_eV, line_width_eV, thermal_quenching
from cryopl_bluesky.analysis.temperature_fits import fit_energy_law, fit_intensity_law, fit_width_law

RNG = np.random.default_rng(7)
BINWIDTH_PS, PERIOD_NS = 50.0, 50.0
ARRIVALS_NS = (RNG.exponential(4.0, 50_000) + RNG.normal(2.0, 0.1, 50_000)) % PERIOD_NS
DECAY = np.histogram(ARRIVALS_NS, np.arange(0, PERIOD_NS + 0.01, 0.05))[0].astype(float) + 5
NM = np.linspace(515.0, 535.0, 400)
SPECTRUM = RNG.poisson(20 + 2000 * np.exp(-((NM - 525) ** 2) / 8)).astype(float)
DELAYS_NS = (np.arange(4001) - 2000) * 0.1
PAIRS = RNG.poisson(2 + 100 * np.exp(-np.abs((DELAYS_NS + 6.25) % 12.5 - 6.25))).astype(float)
DIP = RNG.poisson(200 * (1 - 0.8 * np.exp(-np.abs(np.arange(-200, 201)) / 20))).astype(float)
T_K = np.linspace(10.0, 290.0, 12)
IMAGE = RNG.poisson(
    50 + 3000 * np.exp(-2 * ((np.arange(80)[:, None] - 40) ** 2 / 400 + (np.arange(90)[None] - 45) ** 2 / 500))
).astype(float)
IRF = np.histogram(RNG.normal(5.0, 0.1, 100_000), np.arange(0, 50.01, 0.05))[0].astype(float) + 1


@dataclass
class Fit:
    """A fit function with an input that it accepts; `at` is the argument that is spoiled."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    at: int = 0
    counts: bool = True

    def with_input(self, spoiled: np.ndarray) -> Any:
        arguments = list(self.arguments)
        arguments[self.at] = spoiled
        return self.function(*arguments)


FITS = {
    "fit_decay": Fit(partial(fit_decay, irf_fwhm_ps=235), (DECAY, BINWIDTH_PS, PERIOD_NS)),
    "fit_mean_lifetime": Fit(partial(fit_mean_lifetime, irf_fwhm_ps=235), (DECAY, BINWIDTH_PS, PERIOD_NS)),
    "fit_stretched_decay": Fit(partial(fit_stretched_decay, irf_fwhm_ps=235), (DECAY, BINWIDTH_PS, PERIOD_NS)),
    "fit_donor_acceptor": Fit(
        partial(fit_donor_acceptor, irf_fwhm_ps=235), (DECAY, DECAY.copy(), BINWIDTH_PS, PERIOD_NS), at=1),
    "fit_lifetime_map": Fit(
        partial(fit_lifetime_map, irf_fwhm_ps=235),
        (np.tile(DECAY, (3, 1)), [520.0, 521.0, 522.0], BINWIDTH_PS, PERIOD_NS)),
    "fit_line": Fit(fit_line, (NM, SPECTRUM, SPECTRUM + 4), at=1, counts=False),
    "fit_peaks": Fit(fit_peaks, (NM, SPECTRUM, SPECTRUM + 4), at=1, counts=False),
    "choose_model": Fit(choose_model, (NM, SPECTRUM, SPECTRUM + 4), at=1, counts=False),
    "find_lines": Fit(find_lines, (NM, SPECTRUM, SPECTRUM + 4), at=1, counts=False),
    "pulsed_g2": Fit(partial(pulsed_g2, side_peaks=5), (PAIRS, 100.0, 12.5)),
    "fit_pulsed_g2": Fit(partial(fit_pulsed_g2, pair_sigma_ps=50.0), (PAIRS, 100.0, 12.5)),
    "fit_cw_g2": Fit(partial(fit_cw_g2, pair_sigma_ps=50.0), (DIP, 100.0)),
    "channel_delay": Fit(channel_delay, (PAIRS, 100.0, 50.0, (1e4, 1e4))),
    "fit_energy_law": Fit(
        fit_energy_law,
        (T_K, expansion_one_oscillator_eV(T_K, 2.345, 1.2e-4, 0.012, 0.02), np.full(12, 3e-4)), at=1, counts=False),
    "fit_width_law": Fit(
        fit_width_law, (T_K, line_width_eV(T_K, 0.018, 8e-6, 0.055, 0.018), np.full(12, 3e-4)), at=1, counts=False),
    "fit_intensity_law": Fit(
        fit_intensity_law, (T_K, thermal_quenching(T_K, 1.0, 30.0, 0.06), np.full(12, 0.01)), at=1, counts=False),
    "fit_apparent_lifetime": Fit(
        fit_apparent_lifetime,
        (np.linspace(2.32, 2.40, 12), apparent_lifetime_ns(np.linspace(2.32, 2.40, 12), 0.8, 2.355, 0.02),
         np.full(12, 0.01)), at=1, counts=False),
    "scale_from_beads": Fit(scale_from_beads, (IMAGE, 62.0), counts=False),
    "fit_spot": Fit(fit_spot, (IMAGE, 62.0), counts=False),
    "measure_irf": Fit(
        partial(measure_irf, spad="spad1", repetition_rate_Hz=20e6, duration_s=100.0), (IRF, BINWIDTH_PS)),
    "power_curve": Fit(
        partial(power_curve, repetition_rate_Hz=2.5e6),
        ([400.0, 500.0, 600.0], [1.0, 2.0, 3.0], [0.1, 0.1, 0.1]), at=1),
}


def good_input(fit: Fit) -> np.ndarray:
    return np.array(fit.arguments[fit.at], dtype=float)


@pytest.mark.parametrize("name", FITS)
def test_nan_is_refused(name):
    fit = FITS[name]
    spoiled = good_input(fit)
    spoiled.flat[spoiled.size // 2] = np.nan
    with pytest.raises(AnalysisError, match=r"(?i)nan|finite"):
        fit.with_input(spoiled)


@pytest.mark.parametrize("name", [name for name, fit in FITS.items() if fit.counts])
def test_negative_counts_are_refused(name):
    fit = FITS[name]
    spoiled = good_input(fit)
    spoiled.flat[spoiled.size // 2] = -3.0
    with pytest.raises(AnalysisError, match=r"(?i)negative|below 0|above zero|must not|increase|rise|0 or more"):
        fit.with_input(spoiled)


@pytest.mark.parametrize("name", FITS)
def test_a_wrong_shape_is_refused(name):
    fit = FITS[name]
    with pytest.raises(AnalysisError, match=r"(?i)shape|dimension|length|1-D|2-D|values|points|entries"):
        fit.with_input(np.stack([good_input(fit)] * 2))


@pytest.mark.parametrize("name", FITS)
def test_nothing_is_refused(name):
    fit = FITS[name]
    with pytest.raises(AnalysisError):
        fit.with_input(good_input(fit)[:0])


@pytest.mark.parametrize("window", [(10, 10), (20, 10), (-5, 50), (0, 10**6)])
@pytest.mark.parametrize("function", [fit_decay, fit_stretched_decay])
def test_an_empty_window_is_refused(function, window):
    with pytest.raises(AnalysisError, match="fit_bins"):
        function(DECAY, BINWIDTH_PS, PERIOD_NS, irf_fwhm_ps=235, fit_bins=window)


@pytest.mark.parametrize("function", [fit_decay, fit_stretched_decay])
def test_a_response_of_another_bin_width_is_refused(function):
    response = measure_irf(IRF, 2 * BINWIDTH_PS, spad="spad1", repetition_rate_Hz=10e6, duration_s=100.0)
    with pytest.raises(AnalysisError, match=r"100.*50|bin"):
        function(DECAY, BINWIDTH_PS, PERIOD_NS, irf=response)


def test_the_inputs_are_good_as_they_are():
    """Otherwise the refusals above would prove nothing."""
    for name in FITS.keys() - {"find_lines", "scale_from_beads", "fit_donor_acceptor", "channel_delay"}:
        fit = FITS[name]
        fit.with_input(good_input(fit))
