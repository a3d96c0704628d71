import json
from pathlib import Path

import numpy as np
import ptufile
import pytest

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.analysis.g2 import accidentals_per_peak, block_areas, g2_of_areas, garwood, pulsed_g2

PTU = Path(__file__).parents[1] / "data" / "picoquant" / "hydraharp_v10_t3.ptu"


def histogram(
    rng, g2_0, mean_pairs, *, offset_ns=0.0, period_ns=50.0, tau_ns=2.0, bins=6001, binwidth_ns=0.2
):
    """Pairs of pulsed light: two-sided exponential peaks at every period, the central one reduced."""
    half = bins // 2 * binwidth_ns
    delays = []
    for k in range(-int(half / period_ns) - 1, int(half / period_ns) + 2):
        n = rng.poisson(mean_pairs * (g2_0 if k == 0 else 1.0))
        delays.append(k * period_ns + offset_ns + rng.laplace(0, tau_ns, n))
    edges = (np.arange(bins + 1) - bins // 2) * binwidth_ns
    return np.histogram(np.concatenate(delays), edges)[0]


@pytest.mark.parametrize(("truth", "offset"), [(1.0, 0.0), (0.4, 3.3), (0.1, -11.7)])
def test_recovery_and_honest_errors(truth, offset):
    rng = np.random.default_rng(1)
    pulls, inside = [], 0
    for _ in range(100):
        got = pulsed_g2(histogram(rng, truth, 200, offset_ns=offset), 200, 50.0)
        assert got.offset_ns == pytest.approx(offset, abs=0.4)
        pulls.append((got.g2_0_raw - truth) / got.sigma_poisson)
        inside += got.ci95[0] <= truth <= got.ci95[1]
    assert abs(np.mean(pulls)) < 0.4
    assert np.std(pulls) == pytest.approx(1.0, abs=0.28)
    assert inside >= 88  # 95 of 100 expected, 3 sigma below


def test_garwood_of_the_supplied_file():
    """11 central pairs, mean side peak 39.11: data/README.md."""
    assert np.array(garwood(11, 0.6827)) / 39.11 == pytest.approx([0.198, 0.394], abs=5e-4)
    assert np.array(garwood(11)) / 39.11 == pytest.approx([0.140, 0.503], abs=5e-4)
    assert garwood(0)[0] == 0.0
    assert garwood(0)[1] == pytest.approx(-np.log(0.025))


def test_claim_of_a_single_emitter_needs_the_exact_interval():
    """0.281 + 2 sigma is below 0.5, the exact interval is not: no claim."""
    counts = np.zeros(3001, int)
    for k in range(-14, 15):
        counts[1500 + 100 * k] = 11 if k == 0 else 39
    got = pulsed_g2(counts, 500, 50.0, offset_ns=0.0)
    assert got.g2_0_raw + 2 * got.sigma_poisson < 0.5
    assert not got.single_emitter
    assert pulsed_g2(counts * 5, 500, 50.0, offset_ns=0.0).single_emitter


@pytest.fixture(scope="module")
def real():
    """HydraHarp file as clicks on a grid of laser pulses: channel 0 and 1, in units of 400 ns = 400 000 ps."""
    with ptufile.PtuFile(PTU) as ptu:
        records = ptu.decode_records()
    photon = records[records["channel"] >= 0]
    pulse, channel = photon["time"].astype(np.int64), photon["channel"]
    return pulse[channel == 0], pulse[channel == 1], int(pulse[-1] - pulse[0] + 1)


def real_result(real, side_peaks):
    first, second, pulses = real
    blocks = block_areas(first * 400_000, second * 400_000, 400_000, block_s=0.59, peaks=side_peaks)
    return blocks, g2_of_areas(
        blocks.k, blocks.areas.sum(axis=0), 400.0, side_peaks=side_peaks,
        accidentals=accidentals_per_peak(first.size, second.size, pulses),
    )  # fmt: skip


def test_real_single_emitter(real):
    """Numbers from data/README.md."""
    assert (real[0].size, real[1].size) == (48_001, 46_559)
    table = ((50, 40.06, 0.275, 0.083), (100, 39.86, 0.276, 0.083), (1000, 39.11, 0.281, 0.085))
    for reach, mean, value, sigma in table:
        _, got = real_result(real, reach)
        centre = got.k.size // 2
        assert got.areas[centre - 5 : centre + 6].tolist() == [39, 36, 36, 38, 33, 11, 36, 33, 37, 48, 45]
        assert got.side_mean == pytest.approx(mean, rel=0.01)
        assert got.g2_0_raw == pytest.approx(value, rel=0.01)
        assert got.sigma_poisson == pytest.approx(sigma, rel=0.02)
        assert got.near_far == pytest.approx(1.338, rel=0.01)
        assert got.g2_0_rate == pytest.approx(0.369, rel=0.01)
        assert any("blinking" in note for note in got.notes)
        assert got.dead_time_ok is True
    # the last one: 11 pairs do not prove a single emitter
    assert np.array(got.ci95) == pytest.approx([0.140, 0.503], abs=1e-3)
    assert not got.single_emitter


def test_eleven_pairs_are_no_claim_whatever_the_side_peaks(real):
    """By the interval alone the choice of side peaks would decide: 0.509, 0.491, 0.494 and 0.503."""
    claims = {reach: real_result(real, reach)[1] for reach in (20, 50, 100, 1000)}
    assert [got.ci95[1] < 0.5 for got in claims.values()] == [False, True, True, False]
    assert not any(got.single_emitter for got in claims.values())
    for got in claims.values():
        assert got.n_central == 11
        assert got.ci95[1] == pytest.approx(0.5, abs=0.012)


def test_block_bootstrap_of_the_real_single_emitter(real):
    blocks, got = real_result(real, 50)
    assert blocks.areas.shape == (50, 101)
    sigmas = [got.with_bootstrap(blocks, seed=seed).sigma_bootstrap for seed in range(20)]
    assert np.mean(sigmas) == pytest.approx(0.078, abs=0.005)
    assert max(sigmas) - min(sigmas) < 0.01
    again = got.with_bootstrap(blocks, seed=3)
    assert again.sigma_bootstrap == sigmas[3]
    assert again.sigma == again.sigma_poisson > sigmas[3]  # a bootstrap below Poisson is no better measurement
    assert (again.bootstrap.blocks, again.bootstrap.seed) == (50, 3)
    assert again.bootstrap.block_s == pytest.approx(0.6, rel=0.01)


def test_few_long_blocks_do_not_make_the_error_smaller(real):
    """Ten blinking times a block leave 13 blocks for 11 pairs: their bootstrap would be 0.05."""
    first, second, _ = real
    _, got = real_result(real, 50)
    with pytest.raises(AnalysisError, match="13 blocks"):
        got.with_bootstrap(block_areas(first * 400_000, second * 400_000, 400_000, block_s=2.3, peaks=50))
    for block_s in (0.1, 0.3, 1.0, 1.4):
        blocks = block_areas(first * 400_000, second * 400_000, 400_000, block_s=block_s, peaks=50)
        quoted = got.with_bootstrap(blocks)
        assert quoted.sigma >= got.sigma_poisson
        assert quoted.with_background((0.9, 0.9)).sigma_bgcorr >= got.with_background((0.9, 0.9)).sigma_bgcorr


def test_the_histogram_and_the_clicks_give_the_same(real):
    """A histogram of 10 bins a period around the pulses has the areas that the clicks have."""
    first, second, _ = real
    _, got = real_result(real, 50)
    reach = 51
    low, high = np.searchsorted(second, first - reach), np.searchsorted(second, first + reach, "right")
    difference = np.concatenate([second[a:b] - n for n, a, b in zip(first, low, high, strict=True)])
    counts = np.bincount((difference + reach) * 10, minlength=2 * reach * 10 + 1)
    other = pulsed_g2(counts, 40_000, 400.0, offset_ns=0.0)
    assert other.areas.tolist() == got.areas.tolist()
    assert other.record()["g2_0_raw"] == got.g2_0_raw


def test_empty_centre_has_an_error():
    counts = np.zeros(3001, int)
    counts[1500 + 100 * np.array([-3, -2, -1, 1, 2, 3])] = 50
    got = pulsed_g2(counts[1150:1851], 500, 50.0, offset_ns=0.0)
    assert got.g2_0_raw == 0.0
    assert got.sigma_poisson == got.ci68[1] > 0
    assert "only" in got.notes[0]


def test_narrow_window_is_another_method():
    rng = np.random.default_rng(4)
    counts = histogram(rng, 0.4, 500)
    narrow = pulsed_g2(counts, 200, 50.0, window_ns=10)
    assert (narrow.method, narrow.window_ns) == ("window", 10)
    assert narrow.g2_0_raw == pytest.approx(0.4, abs=4 * narrow.sigma_poisson)
    assert narrow.n_side < pulsed_g2(counts, 200, 50.0).n_side


def test_background_correction_propagates_the_signal_fractions():
    rng = np.random.default_rng(5)
    made = g2_of_areas(np.arange(-50, 51), [400] * 50 + [160] + [400] * 50, 50.0)
    corrected = made.with_background((0.9, 0.8), (0.02, 0.01))
    assert (corrected.g2_0_raw, corrected.rho) == (0.4, (0.9, 0.8))
    drawn = []
    for g, a, b in zip(
        rng.normal(0.4, made.sigma, 4000), rng.normal(0.9, 0.02, 4000), rng.normal(0.8, 0.01, 4000), strict=True
    ):
        drawn.append((g - (1 - a * b)) / (a * b))
    assert corrected.sigma_bgcorr == pytest.approx(np.std(drawn), rel=0.05)
    assert made.g2_0_bgcorr is None and made.sigma_bgcorr is None


def test_the_record_is_plain_json_and_holds_the_raw_value_always():
    made = g2_of_areas(np.arange(-20, 21), [400] * 20 + [160] + [400] * 20, 50.0, accidentals=390.0)
    for result in (made, made.with_background((0.9, 0.9))):
        record = json.loads(json.dumps(result.record()))
        assert {
            "g2_0_raw", "sigma_poisson", "sigma_bootstrap", "ci68", "ci95", "n_central", "n_side", "k_range",
            "window_ns", "period_ns", "offset_ns", "near_far", "rho", "g2_0_bgcorr", "method", "dead_time_ok",
        } <= set(record)  # fmt: skip
        assert record["g2_0_raw"] == 0.4
        assert (record["g2_0_bgcorr"] is None) == (record["rho"] is None)


def missing_near(rng, lost, mean=300, reach=30):
    """Poissonian peaks of which the nearest have lost a part."""
    k = np.arange(-reach, reach + 1)
    return k, rng.poisson(mean * np.where(np.abs(k) <= 2, 1.0 - lost, 1.0))


def test_missing_close_pairs_are_an_artefact_and_no_single_emitter():
    rng = np.random.default_rng(6)
    for _ in range(20):
        got = g2_of_areas(*missing_near(rng, 1.0), 25.0)
        assert got.g2_0_raw == 0.0
        assert got.dead_time_ok is False
        assert not got.single_emitter
        assert "artefact" in got.dead_time.note


def test_light_without_artefact_passes():
    rng = np.random.default_rng(7)
    ratios = [g2_of_areas(*missing_near(rng, 0.0), 25.0).dead_time for _ in range(200)]
    assert sum(check.ok is True for check in ratios) >= 195  # 3 sigma on both sides: 0.5 of 200 fail
    pulls = [(check.ratio - 1) / check.sigma for check in ratios]
    assert abs(np.mean(pulls)) < 0.25
    assert np.std(pulls) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize(
    ("k", "areas", "why"),
    [
        (np.arange(-8, 9), [300] * 17, "no side peaks beyond"),
        (np.arange(-30, 31), [3] * 61, "too few pairs"),
        (np.arange(-30, 31), np.where(np.abs(np.arange(-30, 31)) < 4, 400, 300), "bunching"),
    ],
)
def test_dead_time_that_cannot_be_judged(k, areas, why):
    check = g2_of_areas(k, areas, 25.0).dead_time
    assert check.ok is None
    assert why in check.note


def test_overlapping_peaks_or_background_show_in_the_second_window():
    rng = np.random.default_rng(8)
    clean = pulsed_g2(histogram(rng, 0.3, 5000), 200, 50.0)
    assert clean.second_window[0] == 25.0
    assert clean.second_window[1] == pytest.approx(0.3, abs=4 * clean.second_window[2])
    assert not clean.notes
    spread = pulsed_g2(histogram(rng, 0.3, 5000, tau_ns=15.0), 200, 50.0)
    assert any("half-period windows" in note for note in spread.notes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"histogram": [np.nan] * 3001}, "NaN"),
        ({"histogram": [-1.0] * 3001}, "negative"),
        ({"histogram": [0.5] * 3001}, "fractions"),
        ({"histogram": []}, "empty"),
        ({"histogram": np.ones((2, 3001))}, "dimension"),
        ({"period_ns": 2.0}, "finer bins"),
        ({"period_ns": np.nan}, "period_ns"),
        ({"binwidth_ps": -1.0}, "binwidth_ps"),
        ({"histogram": np.full(3001, 3)}, "no peaks at the laser period"),
        ({"histogram": np.ones(50), "offset_ns": 0.0}, "no complete central"),
        ({"histogram": np.zeros(3001), "offset_ns": 0.0}, "no pairs"),
        ({"offset_ns": np.nan}, "offset_ns"),
        ({"offset_ns": 0.0, "accidentals": 0.0}, "accidentals"),
        ({"offset_ns": 0.0, "accidentals": 50.0, "window_ns": 10.0}, "full periods"),
        ({"offset_ns": 0.0, "window_ns": 80.0}, "window_ns"),
        ({"offset_ns": 0.0, "side_peaks": 0}, "side_peaks"),
    ],
)
def test_refusals(arguments, message):
    good = {"histogram": np.ones(3001), "binwidth_ps": 500, "period_ns": 50.0}
    with pytest.raises(AnalysisError, match=message):
        pulsed_g2(**(good | arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": [0, 1]}, "one whole number per area"),
        ({"k": [-1.0, 0.0, 1.0]}, "one whole number per area"),
        ({"k": [1, 2, 3]}, "no central"),
        ({"areas": [1, np.nan, 1]}, "NaN"),
        ({"areas": [1, -1, 1]}, "negative"),
        ({"areas": [1.5, 1, 1]}, "fractions"),
        ({"period_ns": 0.0}, "period_ns"),
    ],
)
def test_refusals_of_areas(arguments, message):
    good = {"k": [-1, 0, 1], "areas": [10, 4, 10], "period_ns": 50.0}
    with pytest.raises(AnalysisError, match=message):
        g2_of_areas(**(good | arguments))


@pytest.mark.parametrize(
    ("rho", "rho_err"), [((0.0, 0.9), (0, 0)), ((0.9, 1.1), (0, 0)), ((np.nan, 1), (0, 0)), ((0.9, 0.9), (-0.1, 0))]
)
def test_signal_fractions_that_cannot_be(rho, rho_err):
    with pytest.raises(AnalysisError, match="rho"):
        g2_of_areas([-1, 0, 1], [10, 4, 10], 50.0).with_background(rho, rho_err)
