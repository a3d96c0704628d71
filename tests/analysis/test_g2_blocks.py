"""Errors by block bootstrap against sources whose scatter is known, and peak areas against brute force."""

import numpy as np
import pytest
from two_spads import PERIOD_PS, clicks, telegraph

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.analysis.g2 import (
    BlockAreas,
    accidentals_per_peak,
    blinking_time_s,
    block_areas,
    block_bootstrap,
    g2_of_areas,
)


def measured(first, second, pulses, block_pulses, peaks):
    blocks = block_areas(first, second, PERIOD_PS, block_s=block_pulses * PERIOD_PS * 1e-12, peaks=peaks)
    expected = accidentals_per_peak(first.size, second.size, pulses)
    return blocks, g2_of_areas(blocks.k, blocks.areas.sum(axis=0), PERIOD_PS / 1e3, accidentals=expected)


def test_areas_are_those_of_all_pairs_counted_one_by_one():
    rng = np.random.default_rng(1)
    first, second = (np.sort(rng.integers(0, 10**8, 300)) for _ in range(2))
    period, offset = 12_539.25, -731.5
    blocks = block_areas(first, second, period, block_s=9e-6, offset_ps=offset, peaks=7)
    edges = np.linspace(min(first[0], second[0]), max(first[-1], second[-1]), 12)
    wanted = np.zeros((11, 15), int)
    for a in first:
        for b in second:
            k = int(np.floor((b - a - offset) / period + 0.5))
            if -7 <= k <= 7:
                wanted[min(10, np.searchsorted(edges, a, "right") - 1), k + 7] += 1
    assert blocks.areas.tolist() == wanted.tolist()
    assert blocks.k.tolist() == list(range(-7, 8))
    assert blocks.block_s * 11 == pytest.approx((edges[-1] - edges[0]) * 1e-12)


def test_areas_do_not_depend_on_how_long_ago_the_epoch_was():
    rng = np.random.default_rng(2)
    first, second = clicks(rng, np.full(20_000, 0.3), np.ones(20_000))
    late = 4 * 10**18  # beyond what a float holds to the picosecond
    args = {"period_ps": PERIOD_PS, "block_s": 1e-3, "peaks": 5}
    early, later = block_areas(first, second, **args), block_areas(first + late, second + late, **args)
    assert early.areas.sum(axis=0).tolist() == later.areas.sum(axis=0).tolist()


def test_an_ensemble_has_one_within_poisson_errors():
    pulls = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        first, second = clicks(rng, np.full(200_000, 0.1), np.ones(200_000))
        blocks, got = measured(first, second, 200_000, 4_000, 10)
        pulls.append((got.g2_0_raw - 1) / got.sigma_poisson)
        assert got.near_far == pytest.approx(1.0, abs=4.5 * got.near_far_err)
        assert got.with_bootstrap(blocks).sigma_bootstrap == pytest.approx(got.sigma_poisson, rel=0.4)
    assert abs(np.mean(pulls)) < 3 / np.sqrt(40)
    assert np.std(pulls) == pytest.approx(1.0, abs=3 / np.sqrt(80))


def test_states_of_different_g2_need_the_bootstrap():
    """A bright single emitter with a grey state of Poissonian light: how long each lasted decides the mean."""
    mean, purity = np.array([0.06, 0.1]), np.array([1.0, 0.1])
    truth = (purity * mean**2).sum() / (mean**2).sum()
    pulls, naive, ratios = [], [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        state = telegraph(rng, 1_000_000, 4_000)
        first, second = clicks(rng, mean[state], purity[state])
        blocks, got = measured(first, second, 1_000_000, 20_000, 10)
        got = got.with_bootstrap(blocks, seed=seed)
        pulls.append((got.g2_0_raw - truth) / got.sigma_bootstrap)
        naive.append((got.g2_0_raw - truth) / got.sigma_poisson)
        ratios.append(got.sigma_bootstrap / got.sigma_poisson)
    assert min(ratios) > 1.0
    assert np.mean(ratios) > 1.4
    assert abs(np.mean(pulls)) < 3 / np.sqrt(40)
    assert np.std(pulls) == pytest.approx(1.0, abs=3 / np.sqrt(80))
    assert np.std(naive) > 1.4


def test_blinking_to_dark_spoils_the_rates_but_not_the_side_peaks():
    pulls, rates = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        state = telegraph(rng, 500_000, 5_000)
        first, second = clicks(rng, 0.1 * state, np.full(state.size, 0.3))
        _, got = measured(first, second, 500_000, 20_000, 10)
        pulls.append((got.g2_0_raw - 0.3) / got.sigma_poisson)
        rates.append(got.g2_0_rate)
        assert got.near_far == pytest.approx(2.0, rel=0.25)
        assert got.g2_0_rate / got.g2_0_raw == pytest.approx(got.near_far, rel=1e-9)
        assert any("blinking" in note for note in got.notes)
    assert abs(np.mean(pulls)) < 3 / np.sqrt(20)
    assert np.mean(rates) == pytest.approx(0.6, rel=0.1)


def test_the_corrected_value_is_unbiased():
    """Signal fraction 0.9 on both SPADs, g2(0) of the emitter 0.26 (analysis notes, section 12)."""
    pulls, raw = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        first, second = clicks(rng, np.full(300_000, 0.09), np.full(300_000, 0.26), background=0.005)
        _, got = measured(first, second, 300_000, 10_000, 50)
        got = got.with_background((0.9, 0.9))
        pulls.append((got.g2_0_bgcorr - 0.26) / got.sigma_bgcorr)
        raw.append(got.g2_0_raw)
    assert np.mean(raw) == pytest.approx(0.4, abs=0.015)
    assert abs(np.mean(pulls)) < 3 / np.sqrt(40)
    assert np.std(pulls) == pytest.approx(1.0, abs=3 / np.sqrt(80))


def test_no_claim_when_the_blocks_scatter_too_much():
    """The exact interval alone would allow it."""
    k = np.arange(-20, 21)
    areas = np.full((20, 41), 100)
    areas[:, 20] = 0
    areas[:5, 20] = 160
    got = g2_of_areas(k, areas.sum(axis=0), 50.0)
    assert got.single_emitter
    scattered = got.with_bootstrap(BlockAreas(k, areas, 1.0))
    assert scattered.g2_0_raw + 1.96 * scattered.sigma_bootstrap > 0.5
    assert not scattered.single_emitter


def test_blinking_time():
    """Dwell times of mean m in both states: the intensity correlation falls with m/2."""
    times = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        state = telegraph(rng, 1_000_000, 10_000)
        times.append(blinking_time_s(*clicks(rng, 0.1 * state, np.ones(state.size)), bin_s=2e-4))
    truth_s = 5_000 * PERIOD_PS * 1e-12
    assert np.mean(times) == pytest.approx(truth_s, abs=3 * np.std(times) / np.sqrt(20))
    assert np.std(times) < 0.5 * truth_s
    steady = clicks(np.random.default_rng(0), np.full(500_000, 0.1), np.ones(500_000))
    assert blinking_time_s(*steady, bin_s=2e-4) == 0.0


CLICKS = {"spad1_ps": np.arange(0, 10**9, 10**5), "spad2_ps": np.arange(7, 10**9, 10**5)}
GOOD = CLICKS | {"period_ps": 1e5, "block_s": 1e-4, "peaks": 3}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spad1_ps": []}, "whole numbers"),
        ({"spad1_ps": np.array([1.0, np.nan])}, "whole numbers"),
        ({"spad2_ps": np.ones((2, 2), int)}, "whole numbers"),
        ({"spad2_ps": GOOD["spad2_ps"][::-1]}, "time order"),
        ({"period_ps": -1.0}, "period_ps"),
        ({"period_ps": np.nan}, "period_ps"),
        ({"block_s": 0.0}, "block_s"),
        ({"block_s": 1e-3}, "shorter blocks"),
        ({"block_s": 1e-7}, "longer blocks"),
        ({"peaks": 0}, "peaks"),
        ({"offset_ps": np.inf}, "offset_ps"),
    ],
)
def test_refusals_of_blocks(arguments, message):
    with pytest.raises(AnalysisError, match=message):
        block_areas(**(GOOD | arguments))


@pytest.mark.parametrize(
    ("areas", "options", "message"),
    [
        (np.ones((20, 3)), {}, "whole numbers"),
        (np.ones((20, 4), int), {}, "one k per peak"),
        (np.ones(3, int), {}, "n_blocks"),
        (-np.ones((20, 3), int), {}, "negative"),
        (np.ones((19, 3), int), {}, "too few"),
        (np.ones((20, 3), int), {"resamples": 10}, "too few"),
        (np.ones((20, 3), int), {"side_peaks": 0}, "side pairs"),
        (np.ones((20, 3), int) * np.array([1, 0, 1]), {}, "0 central"),
        (np.eye(20, 3, dtype=int), {}, "Some resamples"),
    ],
)
def test_refusals_of_the_bootstrap(areas, options, message):
    with pytest.raises(AnalysisError, match=message):
        block_bootstrap(BlockAreas(np.arange(-1, 2), areas, 1.0), **options)


def test_blocks_must_hold_the_side_peaks_of_the_result():
    got = g2_of_areas(np.arange(-20, 21), np.full(41, 50), 50.0)
    with pytest.raises(AnalysisError, match="peaks=20"):
        got.with_bootstrap(BlockAreas(np.arange(-1, 2), np.ones((20, 3), int), 1.0))


def test_refusals_of_the_blinking_time():
    with pytest.raises(AnalysisError, match="hundredth"):
        blinking_time_s(**CLICKS)
