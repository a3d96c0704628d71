import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import ptufile
import pytest

from cryopl_bluesky.analysis import AnalysisError, FitError
from cryopl_bluesky.analysis._g2_shapes import PulsedPeaks, smeared_exponential
from cryopl_bluesky.analysis.g2 import jitter_dip, neighbour_leakage, peak_ratio, pulsed_g2, three_level
from cryopl_bluesky.analysis.g2_models import fit_cw_g2, fit_pulsed_g2

PTU = Path(__file__).parents[1] / "data" / "picoquant" / "hydraharp_v10_t3.ptu"
SIGMA_NS = 0.1


def pulsed(
    rng, g2_0, side, *, period=40.0, tau=8.0, bins=801, binwidth=1.0, c=0.0, tau_b=1.0, background=0.0, offset=0.0
):
    """Histogram of simulated pairs; `side` is the area of the side peaks at k = 0."""
    reach = int(bins * binwidth / 2 / period) + 3 + int(15 * tau / period)
    k = np.arange(-reach, reach + 1)
    mean = side / (1 + c) * (1 + c * np.exp(-np.abs(k) * period / tau_b))
    mean[k == 0] = side * g2_0
    delay = np.repeat(k * period + offset, rng.poisson(mean))
    delay = delay + rng.laplace(0, tau, delay.size) + rng.normal(0, SIGMA_NS, delay.size)
    edges = (np.arange(bins + 1) - bins // 2 - 0.5) * binwidth
    return np.histogram(delay, edges)[0] + rng.poisson(background, bins)


def cw_mean(g2_0, level, t1, *, a=0.0, t2=1.0, bins=401, binwidth=0.5, sigma=0.3, offset=0.0):
    """Expected pairs by brute force: the formula on a 40 times finer grid, smeared and summed."""
    t = ((np.arange(bins * 40) + 0.5) / 40 - bins // 2 - 0.5) * binwidth
    g = three_level(t - offset, a, t1, t2)
    steps = np.arange(-int(320 * sigma / binwidth), int(320 * sigma / binwidth) + 1) * binwidth / 40
    kernel = np.exp(-0.5 * (steps / sigma) ** 2)
    g = np.convolve(np.pad(g, steps.size, mode="edge"), kernel / kernel.sum(), "same")[steps.size : -steps.size]
    return level * (g2_0 + (1 - g2_0) * g.reshape(bins, 40).mean(axis=1))


def assert_pulls(histograms, fit, truth, band=0.15):
    """Pulls over all data sets: mean 0 and width 1 within `band`."""
    fits = [fit(histogram) for histogram in histograms]
    for name, (value, error) in truth.items():
        pulls = np.array([(getattr(f, name) - value) / getattr(f, error) for f in fits])
        assert abs(pulls.mean()) < band, (name, pulls.mean())
        assert abs(pulls.std() - 1.0) < band, (name, pulls.std())
    return fits


# 200 data sets each: the mean of true pulls scatters by 0.07, their width by 0.05


@pytest.mark.slow
def test_overlapping_peaks_recover_truth_with_honest_errors():
    rng = np.random.default_rng(1)
    truth = {
        "g2_0": (0.4, "g2_0_err"), "tau_ns": (8.0, "tau_err_ns"), "side_area": (2000.0, "side_area_err"),
        "offset_ns": (1.3, "offset_err_ns"), "background_per_bin": (10.0, "background_err_per_bin"),
    }  # fmt: skip
    sample = [pulsed(rng, 0.4, 2000, bins=501, background=10.0, offset=1.3) for _ in range(200)]
    fits = assert_pulls(sample, lambda h: fit_pulsed_g2(h, 1000, 40.0, pair_sigma_ps=100, blinking=False), truth)
    assert sum(not f.good for f in fits) <= 2
    # what windows of a full period would say: neighbours and background reach into the central peak
    assert np.mean([pulsed_g2(h, 1000, 40.0).g2_0_raw for h in sample]) > 0.5


@pytest.mark.slow
def test_blinking_recovers_truth_with_honest_errors():
    rng = np.random.default_rng(2)
    truth = {"g2_0": (0.4, "g2_0_err"), "c": (0.8, "c_err"), "tau_b_ns": (120.0, "tau_b_err_ns")}
    sample = [pulsed(rng, 0.4, 10_000, tau=5.0, c=0.8, tau_b=120.0, background=1.0) for _ in range(200)]
    assert_pulls(sample, lambda h: fit_pulsed_g2(h, 1000, 40.0, pair_sigma_ps=100, blinking=True), truth)


@pytest.mark.slow
def test_known_background_saves_peaks_that_overlap_strongly():
    """Lifetime 0.4 periods: shape and background can hardly be told apart; with the background given they can."""
    rng = np.random.default_rng(3)
    truth = {"g2_0": (0.3, "g2_0_err"), "tau_ns": (16.0, "tau_err_ns")}
    sample = [pulsed(rng, 0.3, 3000, tau=16.0, bins=401, background=5.0) for _ in range(200)]
    fit = partial(fit_pulsed_g2, binwidth_ps=1000, period_ns=40.0, pair_sigma_ps=100, blinking=False)
    fits = assert_pulls(sample, lambda h: fit(h, background_per_bin=5.0), truth)
    assert "below 5 lifetimes" in " ".join(fits[0].notes)
    free = fit(sample[0])
    assert free.g2_0_err > 1.5 * fits[0].g2_0_err
    assert "give background_per_bin" in " ".join(free.notes)


def test_two_level_dip_recovers_truth_with_honest_errors():
    rng = np.random.default_rng(4)
    mean = cw_mean(0.2, 300.0, 4.0, sigma=0.5, offset=1.0)
    truth = {
        "g2_0": (0.2, "g2_0_err"), "t1_ns": (4.0, "t1_err_ns"), "level": (300.0, "level_err"),
        "offset_ns": (1.0, "offset_err_ns"),
    }  # fmt: skip
    fit = partial(fit_cw_g2, binwidth_ps=500, pair_sigma_ps=500, model="two_level")
    assert_pulls(rng.poisson(mean, (200, mean.size)), fit, truth)


@pytest.mark.slow
def test_three_level_dip_recovers_truth_with_honest_errors():
    rng = np.random.default_rng(5)
    mean = cw_mean(0.2, 4000.0, 2.0, a=0.5, t2=20.0)
    truth = {
        "g2_0": (0.2, "g2_0_err"), "t1_ns": (2.0, "t1_err_ns"), "a": (0.5, "a_err"), "t2_ns": (20.0, "t2_err_ns"),
        "level": (4000.0, "level_err"),
    }  # fmt: skip
    fit = partial(fit_cw_g2, binwidth_ps=500, pair_sigma_ps=300, model="three_level")
    assert_pulls(rng.poisson(mean, (200, mean.size)), fit, truth)


def test_number_of_levels_and_blinking_by_bic():
    rng = np.random.default_rng(6)
    two, three = cw_mean(0.2, 300.0, 4.0), cw_mean(0.2, 300.0, 2.0, a=0.5, t2=20.0)
    found = [fit_cw_g2(rng.poisson(two), 500, pair_sigma_ps=300).t2_ns for _ in range(10)]
    assert found.count(None) >= 9
    assert all(fit_cw_g2(rng.poisson(three), 500, pair_sigma_ps=300).t2_ns for _ in range(5))
    steady = [fit_pulsed_g2(pulsed(rng, 0.4, 1000, tau=5.0), 1000, 40.0, pair_sigma_ps=100).c for _ in range(5)]
    assert steady.count(0.0) >= 4
    bunched = fit_pulsed_g2(pulsed(rng, 0.4, 1000, tau=5.0, c=0.8, tau_b=200.0), 1000, 40.0, pair_sigma_ps=100)
    assert bunched.c == pytest.approx(0.8, abs=4 * bunched.c_err)
    assert "block bootstrap" in " ".join(bunched.notes)


def blinking_emitter(rng, pulses, on, off):
    """Photon numbers per pulse on two SPADs of an emitter that is on or dark for geometric times (in pulses).

    On, a pulse gives 0, 1 or 2 photons with mean 0.3 and <n(n-1)> = 0.4 x 0.3^2: g2(0) of the emitter is 0.4.
    """
    lengths = np.stack([rng.geometric(1 / on, pulses // on), rng.geometric(1 / off, pulses // on)], axis=1).ravel()
    bright = np.repeat(np.tile([True, False], lengths.size // 2), lengths)[:pulses]
    two = 0.5 * 0.4 * 0.3**2
    n = rng.choice(3, bright.size, p=[1 - (0.3 - 2 * two) - two, 0.3 - 2 * two, two]) * bright
    first = rng.binomial(n, 0.5)
    return first, n - first


def test_true_g2_of_a_blinking_emitter_is_recovered():
    """0.40 +- 0.05 (minimum recovery set), photon by photon; the normalisation by rates would say 0.8."""
    rng = np.random.default_rng(7)
    period, tau, bins = 40.0, 4.0, 1601
    values = []
    for _ in range(5):
        first, second = blinking_emitter(rng, 400_000, on=10, off=10)
        counts = np.zeros(bins)
        for k in range(-21, 22):
            a, b = (first[: first.size - k], second[k:]) if k >= 0 else (first[-k:], second[:k])
            pairs = int((a * b).sum())
            # arrival times of both photons, each exponential after its pulse
            delay = k * period + rng.exponential(tau, pairs) - rng.exponential(tau, pairs)
            counts += np.histogram(delay, np.arange(bins + 1) - bins // 2 - 0.5)[0]
        fit = fit_pulsed_g2(counts, 1000, period, pair_sigma_ps=100)
        # the correlation falls by 1 - 1/on - 1/off per pulse, and half of the time is dark
        assert fit.tau_b_ns == pytest.approx(-period / np.log(0.8), abs=4 * fit.tau_b_err_ns)
        assert fit.c == pytest.approx(1.0, abs=4 * fit.c_err)
        assert fit.g2_0 == pytest.approx(0.4, abs=0.05)
        values.append((fit.g2_0 - 0.4) / fit.g2_0_err)
    assert abs(np.mean(values)) < 4 / np.sqrt(5)


@pytest.mark.parametrize("side", [2000.0, 20.0])
def test_background_corrected_value_is_unbiased(side):
    """Emitter of 0.1 with signal fraction 0.9 on each SPAD, rho known to 1 %; down to 5 central pairs."""
    rng = np.random.default_rng(8)
    rho, rho_err, truth, n_side = 0.9, 0.01, 0.1, 40
    measured = rho**2 * truth + 1 - rho**2
    corrected, pulls = [], []
    fit = fit_pulsed_g2(pulsed(rng, 0.3, 100), 1000, 40.0, pair_sigma_ps=100, blinking=False)
    for _ in range(2000):
        value, sigma = peak_ratio(rng.poisson(side * measured), rng.poisson(side, n_side))
        seen = rng.normal(rho, rho_err, 2)
        sample = replace(fit, g2_0=value, g2_0_err=sigma).with_background((seen[0], seen[1]), (rho_err, rho_err))
        corrected.append(sample.g2_0_bgcorr)
        if sigma:
            pulls.append((sample.g2_0_bgcorr - truth) / sample.sigma_bgcorr)
    error = np.std(corrected) / np.sqrt(len(corrected))
    assert abs(np.mean(corrected) - truth) < 3 * error
    if side > 100:
        assert np.std(pulls) == pytest.approx(1.0, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("side", [400.0, 30.0])
def test_background_corrected_fits_are_unbiased(side):
    """The same through whole fits: pulsed background in the peaks, constant background below them."""
    rng = np.random.default_rng(9)
    measured = 0.81 * 0.1 + 0.19
    values = []
    for _ in range(200):
        counts = pulsed(rng, measured, side, period=60.0, tau=6.0, bins=601, background=0.002 * side)
        fit = fit_pulsed_g2(counts, 1000, 60.0, pair_sigma_ps=100, offset_ns=0.0, blinking=False)
        values.append(fit.with_background((0.9, 0.9)).g2_0_bgcorr)
    assert abs(np.mean(values) - 0.1) < 3 * np.std(values) / np.sqrt(200)


def test_closed_form_vectors(vectors):
    v = vectors["g2"]
    for case in v["jitter_dip"]["cases"]:
        # a bin of no width at the centre of the dip
        depth = smeared_exponential(np.zeros(1), 1e-5, case["tau_ns"], case["s_ns"])[0]
        assert 1 - depth == pytest.approx(case["g0"], abs=1e-6)
        assert jitter_dip(case["s_ns"], case["tau_ns"]) == pytest.approx(case["g0"], rel=1e-9)
    o = v["pulsed_overlap"]
    assert neighbour_leakage(o["T"], o["tau"]) == pytest.approx(o["leak"], rel=1e-9)
    # neighbours of an absent central peak, relative to the height of a peak alone
    peaks = PulsedPeaks(np.linspace(-1.0, 1.0, 2001), 0.001, o["T"], 1e-4, 0.0)
    pairs = peaks.spread(o["tau"], 0.0)
    own, others = pairs(1.0 * (peaks.k == 0))[1000], pairs(1.0 * (peaks.k != 0))[1000]
    assert others * 2 * o["tau"] / 0.001 == pytest.approx(o["leak"], rel=1e-6)
    assert own * 2 * o["tau"] / 0.001 == pytest.approx(1.0, rel=1e-4)  # jitter and half a bin round the tip
    b = v["background"]
    fit = fit_cw_g2(np.round(cw_mean(b["g2_meas0"], 5000.0, 4.0)), 500, pair_sigma_ps=300, model="two_level")
    assert fit.with_background((b["rho"], b["rho"])).g2_0_bgcorr == pytest.approx(b["g2_true0"], abs=2e-3)
    t = v["three_level"]
    assert three_level(t["t"], t["a"], t["t1"], t["t2"]) == pytest.approx(t["g"], rel=1e-9)


def test_normalisation_by_rates(vectors):
    """R1 R2 dt T pairs per bin at level 1 (vector); twice of that is bunching and said."""
    n = vectors["g2"]["cw_norm_example"]
    rates, duration = (n["R1"], n["R2"]), n["T_s"]
    mean = cw_mean(0.2, n["expected_per_bin"], 4.0, binwidth=1.0)
    rng = np.random.default_rng(10)
    arguments = {"binwidth_ps": 1000 * n["dt_ns"], "pair_sigma_ps": 300, "rates_Hz": rates, "duration_s": duration}
    one = fit_cw_g2(rng.poisson(mean), **arguments)
    assert one.level == pytest.approx(1.0, abs=4 * one.level_err)
    assert not one.notes
    two = fit_cw_g2(rng.poisson(2 * mean), **arguments)
    assert "bunching" in " ".join(two.notes)
    assert two.g2_0 == pytest.approx(0.2, abs=4 * two.g2_0_err)


def test_intervals_of_few_pairs_are_asymmetric_and_cover():
    rng = np.random.default_rng(11)
    inside = 0
    for _ in range(10):
        counts = pulsed(rng, 0.2, 40, period=60.0, tau=6.0, bins=601, background=0.05)
        fit = fit_pulsed_g2(counts, 1000, 60.0, pair_sigma_ps=100, offset_ns=0.0, blinking=False)
        low, high = fit.interval(0.95)
        assert high - fit.g2_0 > fit.g2_0 - low
        inside += low <= 0.2 <= high
    assert inside >= 7  # 9.5 of 10 expected, 3.6 sigma below
    empty = fit_pulsed_g2(pulsed(rng, 0.0, 40, period=100.0, tau=8.0, bins=1001), 1000, 100.0, pair_sigma_ps=100)
    assert empty.g2_0 < 0.02 and 0 < empty.g2_0_err < 0.1
    assert "interval()" in " ".join(empty.notes)


@pytest.fixture(scope="module")
def real_histogram():
    """Pairs of the supplied single emitter within 20 periods, by sync count and dtime (400 ns, 128 ps)."""
    with ptufile.PtuFile(PTU) as ptu:
        records = ptu.decode_records()
    photon = records[records["channel"] >= 0]
    time_ps = photon["time"].astype(np.int64) * 400_000 + photon["dtime"].astype(np.int64) * 128
    first, second = (time_ps[photon["channel"] == i] for i in (0, 1))
    reach = 20.5 * 400_000
    begin, end = np.searchsorted(second, first - reach), np.searchsorted(second, first + reach)
    delays = np.concatenate([second[b:e] - t for t, b, e in zip(first, begin, end, strict=True) if e > b])
    bins = 2 * 2050 + 1
    return np.histogram(delays, (np.arange(bins + 1) - bins // 2 - 0.5) * 4000)[0]


def test_real_single_emitter(real_histogram):
    """data/README.md: 0.28 +- 0.085 by areas of full periods, which count the constant background as signal.

    A model without a background must find the same; with one, g2(0) is lower, and its full-period value is again
    that of the windows.
    """
    fit = fit_pulsed_g2(real_histogram, 4000, 400.0, pair_sigma_ps=300)
    windows = pulsed_g2(real_histogram, 4000, 400.0)
    assert fit.good
    assert fit.g2_0_full_period == pytest.approx(windows.g2_0_raw, abs=0.2 * windows.sigma_poisson)
    assert fit.g2_0_full_period == pytest.approx(0.28, abs=0.085)
    assert fit.background_per_bin > 3 * fit.background_err_per_bin
    assert fit.g2_0 + 2 * fit.g2_0_err < windows.g2_0_raw
    flat = fit_pulsed_g2(real_histogram, 4000, 400.0, pair_sigma_ps=300, background_per_bin=0.0)
    assert flat.g2_0 == pytest.approx(windows.g2_0_raw, abs=windows.sigma_poisson)
    assert "fewer than 20 central pairs" in " ".join(fit.notes)
    json.dumps(fit.record())


def test_bad_shape_is_said():
    """Rectangular peaks on both sides are no exponentials."""
    counts = np.zeros(1001)
    for k in range(-9, 10):
        counts[500 + 50 * k - 8 : 500 + 50 * k + 9] = 400
    fit = fit_pulsed_g2(counts, 1000, 50.0, pair_sigma_ps=100, blinking=False)
    assert not fit.good and any("reduced deviance" in note for note in fit.notes)


def test_caveats_of_windows_apply_to_fits_too():
    rng = np.random.default_rng(13)
    counts = pulsed(rng, 0.1, 400, tau=4.0, bins=1201)
    delay = np.arange(1201) - 600
    hole = np.abs(delay) < 140  # 140 ns in which no second click is taken, three side peaks wide
    lost = fit_pulsed_g2(rng.binomial(counts, np.where(hole, 0.3, 1.0)), 1000, 40.0, pair_sigma_ps=100, blinking=False)
    assert any("dead-time artefact" in note for note in lost.notes)
    far = fit_pulsed_g2(pulsed(rng, 0.1, 400, tau=4.0, offset=12.0), 1000, 40.0, pair_sigma_ps=100, blinking=False)
    assert far.offset_ns == pytest.approx(12.0, abs=0.5)
    assert any("beyond a quarter period" in note for note in far.notes)


def test_flat_light_has_no_dip():
    flat = np.random.default_rng(12).poisson(300.0, 401)
    with pytest.raises(FitError, match="dip"):
        fit_cw_g2(flat, 500, pair_sigma_ps=300)
    with pytest.raises(FitError, match="bunching"):
        fit_pulsed_g2(pulsed(np.random.default_rng(0), 0.4, 300, tau=4.0), 1000, 40.0, pair_sigma_ps=100, blinking=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"histogram": np.full(801, np.nan)}, "NaN"),
        ({"histogram": np.full(801, -1.0)}, "negative at index"),
        ({"histogram": np.ones((8, 100))}, "1 dimension"),
        ({"histogram": np.zeros(801)}, "below the limit of 100"),
        ({"histogram": np.full(801, 1.5)}, "fractions"),
        ({"histogram": []}, "empty"),
        ({"binwidth_ps": 10_000}, "finer bins"),
        ({"pair_sigma_ps": 4000}, "jitter"),
        ({"pair_sigma_ps": 0}, "pair_sigma_ps"),
        ({"period_ns": 400.0}, "record a wider one"),
        ({"background_per_bin": -1.0}, "background_per_bin"),
    ],
)
def test_pulsed_refusals(change, message):
    good = {"histogram": np.ones(801), "binwidth_ps": 1000, "period_ns": 40.0, "pair_sigma_ps": 100, "offset_ns": 0.0}
    with pytest.raises(AnalysisError, match=message):
        fit_pulsed_g2(**(good | change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"histogram": np.full(801, np.nan)}, "NaN"),
        ({"histogram": np.full(801, -1.0)}, "negative at index"),
        ({"histogram": np.full(10, 100)}, "at least 20"),
        ({"model": "four_level"}, "choose"),
        ({"rates_Hz": (1e3, 1e3)}, "together"),
        ({"rates_Hz": (1e3, 0.0), "duration_s": 10.0}, "rates_Hz"),
        ({"rates_Hz": (1e3, 1e3), "duration_s": 1e-8}, "shorter than the delays"),
        ({"offset_ns": 1e4}, "around offset_ns"),
    ],
)
def test_cw_refusals(change, message):
    good = {"histogram": np.ones(801), "binwidth_ps": 1000, "pair_sigma_ps": 100}
    with pytest.raises(AnalysisError, match=message):
        fit_cw_g2(**(good | change))
