from pathlib import Path

import numpy as np
import pytest

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.analysis.g2 import correct_background, garwood, pulsed_g2

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
        pulls.append((got.g2_0_raw - truth) / got.sigma)
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
    assert got.g2_0_raw + 2 * got.sigma < 0.5
    assert not got.single_emitter
    assert pulsed_g2(counts * 5, 500, 50.0, offset_ns=0.0).single_emitter


def test_real_single_emitter():
    """HydraHarp file: channel 0 pulse n with channel 1 pulse n + k, numbers from data/README.md."""
    ptufile = pytest.importorskip("ptufile")
    if not PTU.exists():
        pytest.skip("tests/data/picoquant/hydraharp_v10_t3.ptu is not there")
    with ptufile.PtuFile(PTU) as ptu:
        records = ptu.decode_records()
    photon = records[records["channel"] >= 0]
    pulse, channel = photon["time"].astype(np.int64), photon["channel"]
    # Numbering pairs by laser pulse needs no decay time: one bin a period would be too coarse, use 10 bins.
    first, second = pulse[channel == 0], pulse[channel == 1]
    reach = 101
    low, high = np.searchsorted(second, first - reach), np.searchsorted(second, first + reach, "right")
    difference = np.concatenate([second[a:b] - n for n, a, b in zip(first, low, high, strict=True)])
    counts = np.bincount((difference + reach) * 10, minlength=2 * reach * 10 + 1)
    pulses = pulse[-1] - pulse[0] + 1
    got = pulsed_g2(
        counts,
        40_000,
        400.0,
        offset_ns=0.0,
        side_peaks=100,
        singles=(first.size, second.size),
        duration_s=pulses * 4e-7,
    )
    centre = got.k.size // 2
    assert (first.size, second.size) == (48_001, 46_559)
    assert got.areas[centre - 5 : centre + 6].tolist() == [39, 36, 36, 38, 33, 11, 36, 33, 37, 48, 45]
    assert got.side_mean == pytest.approx(39.86, rel=0.01)
    assert got.g2_0_raw == pytest.approx(0.276, rel=0.01)
    assert got.sigma == pytest.approx(0.083, rel=0.02)
    assert got.near_far == pytest.approx(1.338, rel=0.01)
    assert got.g2_0_rate == pytest.approx(0.369, rel=0.01)


def test_empty_centre_has_an_error():
    counts = np.zeros(3001, int)
    counts[1500 + 100 * np.array([-3, -2, -1, 1, 2, 3])] = 50
    got = pulsed_g2(counts[1150:1851], 500, 50.0, offset_ns=0.0)
    assert got.g2_0_raw == 0.0
    assert got.sigma == got.ci68[1] > 0
    assert "only" in got.notes[0]


def test_narrow_window_is_another_method():
    rng = np.random.default_rng(4)
    counts = histogram(rng, 0.4, 500)
    narrow = pulsed_g2(counts, 200, 50.0, window_ns=10)
    assert (narrow.method, narrow.window_ns) == ("window", 10)
    assert narrow.g2_0_raw == pytest.approx(0.4, abs=4 * narrow.sigma)
    assert narrow.n_side < pulsed_g2(counts, 200, 50.0).n_side


def test_background_correction_propagates_the_signal_fractions():
    rng = np.random.default_rng(5)
    drawn = [
        correct_background(g, 0, (a, b)).g2_0_bgcorr
        for g, a, b in zip(
            rng.normal(0.4, 0.03, 4000), rng.normal(0.9, 0.02, 4000), rng.normal(0.8, 0.01, 4000), strict=True
        )
    ]
    got = correct_background(0.4, 0.03, (0.9, 0.8), (0.02, 0.01))
    assert got.sigma == pytest.approx(np.std(drawn), rel=0.05)
    assert got.g2_0_raw == 0.4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"histogram": [np.nan] * 3001}, "NaN"),
        ({"histogram": [-1.0] * 3001}, "negative"),
        ({"histogram": [0.5] * 3001}, "fractions"),
        ({"period_ns": 2.0}, "finer bins"),
        ({"histogram": np.full(3001, 3)}, "no peaks at the laser period"),
        ({"histogram": np.ones(50), "offset_ns": 0.0}, "no complete central"),
        ({"histogram": np.zeros(3001), "offset_ns": 0.0}, "no pairs"),
        ({"offset_ns": 0.0, "singles": (1e4, 1e4)}, "duration_s"),
        ({"offset_ns": 0.0, "window_ns": 80.0}, "window_ns"),
    ],
)
def test_refusals(arguments, message):
    good = {"histogram": np.ones(3001), "binwidth_ps": 500, "period_ns": 50.0}
    with pytest.raises(AnalysisError, match=message):
        pulsed_g2(**(good | arguments))
