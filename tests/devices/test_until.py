"""Stop on statistics: the number that comes out is as good as it says, and nothing is counted for longer."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

sys.path.insert(0, str(Path(__file__).parents[1] / "sim"))
from tagger_bench import Light, make_bench

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.analysis.g2 import pulsed_g2
from cryopl_bluesky.analysis.mean_lifetime import fit_mean_lifetime
from cryopl_bluesky.devices.hbt import Hbt
from cryopl_bluesky.devices.waiters import FirstOf, Photons, Precision
from cryopl_bluesky.drivers.timetagger import TimeTagger
from cryopl_bluesky.sim.timetagger import HbtParameters, make_module

G2_ACQUISITIONS, DECAY_ACQUISITIONS = 400, 60
ONE_SIGMA = 0.6827
PULSE_FWHM_PS = 197.3
BINWIDTH_PS = 200


def make_hbt(tmp_path: Path, light: Light) -> Hbt:
    bench = make_bench()
    quiet = HbtParameters(dark_Hz=0.0, afterpulsing=0.0, cable2_ps=0)
    driver = TimeTagger(make_module(bench, lambda: light, quiet), bench.clock)
    driver.open()
    device = Hbt(driver, name="hbt", clock=bench.clock, data_dir=tmp_path, irf_fwhm_ps=PULSE_FWHM_PS)
    device.refresh()
    return device


def count(hbt: Hbt) -> dict[str, object]:
    hbt.trigger().wait(60)
    return {key: reading["value"] for key, reading in hbt.read().items()}


def set_all(hbt: Hbt, **values: object) -> None:
    for name, value in values.items():
        getattr(hbt, name).set(value).wait(10)


def assert_honest(values: np.ndarray, sigmas: np.ndarray, truth: float) -> None:
    """As often within one standard error as a normal number, and scattered as the error says (within 20 %)."""
    within = int((np.abs(values - truth) < sigmas).sum())
    assert binomtest(within, len(values), ONE_SIGMA).pvalue > 1e-3, (within, len(values))
    spread = np.std(values, ddof=1) / np.sqrt(np.mean(sigmas**2))
    chance = 3 / np.sqrt(2 * len(values))  # the spread of so many numbers is itself known to this only
    assert 0.8 - chance < spread < 1.2 + chance, spread
    if len(values) >= 400:
        assert 0.8 < spread < 1.2, spread


@pytest.mark.slow
@pytest.mark.parametrize(("g2_0", "precision"), [(1.0, 0.08), (0.3, 0.06)])
def test_g2_stops_at_the_precision_that_was_asked_for(tmp_path, g2_0, precision):
    hbt = make_hbt(tmp_path, Light(g2_0=g2_0))
    set_all(hbt, record="g2", g2_binwidth_ps=4_000, g2_bins=100 * 41 + 1, duration_s=1_000.0,
            until_precision=precision)
    results = []
    for _ in range(G2_ACQUISITIONS):
        data = count(hbt)
        assert data["hbt_stop_reason"] == "precision"
        assert data["hbt_precision"] <= precision * 1.1
        assert data["hbt_capture_duration_s"] < 60
        results.append(pulsed_g2(data["hbt_g2_histogram"], 4_000, 400.0))
    hbt.shutdown()
    assert_honest(np.array([r.g2_0_raw for r in results]), np.array([r.sigma for r in results]), g2_0)


@pytest.mark.slow
def test_a_decay_stops_at_the_precision_of_its_mean_lifetime(tmp_path):
    hbt = make_hbt(tmp_path, Light(lifetimes_ns=(4.0,)))
    set_all(hbt, record="decay", decay_binwidth_ps=BINWIDTH_PS, duration_s=1_000.0, until_precision=0.02)
    values, sigmas = [], []
    for _ in range(DECAY_ACQUISITIONS):
        data = count(hbt)
        assert data["hbt_stop_reason"] == "precision" and data["hbt_precision"] <= 0.02
        fits = [fit_mean_lifetime(data[f"hbt_decay_{spad}"], BINWIDTH_PS, 400.0, irf_fwhm_ps=PULSE_FWHM_PS)
                for spad in ("spad1", "spad2")]
        weights = np.array([1 / fit.tau_int_err_ns**2 for fit in fits])
        values.append(sum(w * fit.tau_int_ns for w, fit in zip(weights, fits, strict=True)) / weights.sum())
        sigmas.append(weights.sum() ** -0.5)
        assert data["hbt_precision"] == pytest.approx(sigmas[-1] / values[-1], rel=0.05)
    hbt.shutdown()
    assert_honest(np.array(values), np.array(sigmas), 4.0)


def test_photons_seconds_and_the_time_limit(tmp_path):
    hbt = make_hbt(tmp_path, Light(rate_Hz=40e3))
    set_all(hbt, record="decay", duration_s=100.0, until_photons=20_000)
    data = count(hbt)
    assert data["hbt_stop_reason"] == "photons"
    assert 20_000 <= data["hbt_spad1_counts"] + data["hbt_spad2_counts"] < 60_000
    set_all(hbt, until_s=0.25)
    data = count(hbt)
    assert (data["hbt_stop_reason"], data["hbt_capture_duration_s"]) == ("seconds", 0.25)
    set_all(hbt, until_s=0.0, duration_s=0.3)
    data = count(hbt)
    assert (data["hbt_stop_reason"], data["hbt_capture_duration_s"]) == ("time limit", 0.3)
    set_all(hbt, until_photons=0)
    assert count(hbt)["hbt_stop_reason"] == "duration"
    hbt.shutdown()


def test_a_precision_that_cannot_be_told_is_zero_and_never_reached(tmp_path):
    hbt = make_hbt(tmp_path, Light(rate_Hz=20.0))
    set_all(hbt, record="decay", duration_s=2.0, until_precision=0.5, expect_sync=False)
    data = count(hbt)
    assert (data["hbt_stop_reason"], data["hbt_precision"]) == ("time limit", 0.0)
    hbt.shutdown()


class Counted:
    """An acquisition of so many photons."""

    def __init__(self, photons: int):
        self.photons = photons

    def counts(self):
        return self.photons, 0

    def decays(self):
        return []

    def g2(self):
        return None


def test_a_precision_is_looked_at_seldom_and_when_it_may_be_reached():
    looks: list[float] = []
    now = 0

    def measure(decays, g2):
        looks.append(now)
        if now < 2_000:
            raise AnalysisError("too few")
        return now**-0.5

    waiter = Precision(0.01, measure)
    for now in range(100, 20_000, 100):
        if waiter(1.0, Counted(now)):
            break
    assert 10_000 <= now <= 10_500 and looks[-1] == now
    assert len(looks) <= 7


def test_the_first_that_is_content_gives_the_reason():
    waiter = FirstOf([Photons(10), Precision(0.5, lambda decays, g2: 1.0)])
    assert waiter(0.0, Counted(9)) == ""
    assert waiter(0.0, Counted(10)) == "photons"
