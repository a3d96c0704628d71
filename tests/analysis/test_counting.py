"""Dead time and pile-up against clicks of a detector that is really blind after each of them."""

import numpy as np
import pytest

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.analysis.counting import (
    CountLimits,
    blind_fraction,
    check_count_rates,
    coates_correction,
    detections_per_pulse,
    live_time_correction,
    true_rate_Hz,
)

CYCLES = 400_000


def spad(rng, mean, period_ns, lifetime_ns, dead_time_ns, cycles=CYCLES):
    """Click times of a SPAD with a dead time that is not extended, pulses at 5 ns of each period."""
    photons = rng.poisson(mean * cycles)
    arrival = np.sort(rng.integers(0, cycles, photons) * period_ns + 5.0 + rng.exponential(lifetime_ns, photons))
    clicks, free = [], -np.inf
    for time in arrival.tolist():
        if time >= free:
            clicks.append(time)
            free = time + dead_time_ns
    return np.array(clicks)


def decay(clicks, period_ns, binwidth_ns=0.1):
    edges = np.arange(round(period_ns / binwidth_ns) + 1) * binwidth_ns
    return np.histogram(clicks % period_ns, edges)[0], edges[:-1] + binwidth_ns / 2


def test_rates_of_the_fact_sheet():
    assert true_rate_Hz(0.1e6) / 0.1e6 == pytest.approx(1.008, abs=5e-4)
    assert blind_fraction(0.65e6) == pytest.approx(0.05, abs=1e-3)
    assert detections_per_pulse(25e3, 2.5e6) == pytest.approx(0.01)


def test_the_true_rate_comes_back():
    rng = np.random.default_rng(1)
    for rate_Hz in (1e5, 1e6, 5e6):
        clicks = spad(rng, rate_Hz * 1e-6, 1000.0, 1e5, 77.0, cycles=100_000)  # hardly pulsed: constant light
        measured = clicks.size / 0.1
        # Dead time narrows the counts, so that Poisson errors are on the safe side.
        error = np.sqrt(rate_Hz / 0.1) / (1 - measured * 77e-9)
        assert true_rate_Hz(measured, 77.0) == pytest.approx(rate_Hz, abs=4 * error)


@pytest.mark.parametrize(
    ("period_ns", "lifetime_ns", "mean"), [(400.0, 4.0, 0.2), (100.0, 4.0, 0.2), (25.0, 4.0, 0.3), (400.0, 60.0, 0.3)]
)
def test_live_time_gives_back_photons_and_arrival_at_any_period(period_ns, lifetime_ns, mean):
    pulls, lost = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        counts, time_ns = decay(spad(rng, mean, period_ns, lifetime_ns, 77.0, cycles=40_000), period_ns)
        got = live_time_correction(counts, 40_000, binwidth_ps=100, period_ns=period_ns, dead_time_ns=77.0)
        arrival = (5.0 + rng.exponential(lifetime_ns, 1_000_000)) % period_ns
        error = arrival.std() / np.sqrt(counts.sum())
        pulls.append(((got * time_ns).sum() / got.sum() - arrival.mean()) / error)
        lost.append(((counts * time_ns).sum() / counts.sum() - arrival.mean()) / error)
        assert got.sum() == pytest.approx(mean, abs=5 * np.sqrt(mean / 40_000) / (1 - mean))
    assert abs(np.mean(pulls)) < 4 / np.sqrt(20)
    assert np.std(pulls) < 1.7
    if (period_ns, lifetime_ns) == (400.0, 4.0):
        assert np.mean(lost) < -1.5  # without correction the arrival is early


def test_coates_agrees_where_it_holds():
    counts, time_ns = decay(spad(np.random.default_rng(3), 0.2, 400.0, 4.0, 77.0), 400.0)
    coates = coates_correction(counts, CYCLES, period_ns=400.0, lifetime_ns=4.0)
    live = live_time_correction(counts, CYCLES, binwidth_ps=100, period_ns=400.0)
    assert coates.sum() == pytest.approx(live.sum(), rel=1e-4)
    assert (coates * time_ns).sum() == pytest.approx((live * time_ns).sum(), rel=1e-4)
    raw = (counts * time_ns).sum() / counts.sum()
    # first-photon statistics: the mean arrival of an exponential is early by mu/4 to first order
    assert (raw - 5.0) / ((coates * time_ns).sum() / coates.sum() - 5.0) - 1 == pytest.approx(-0.05, abs=0.008)


@pytest.mark.parametrize(
    ("period_ns", "lifetime_ns"), [(25.0, 1.0), (76.0, 1.0), (80.0, 4.0), (400.0, 60.0), (100.0, 10.0)]
)
def test_coates_is_refused_where_a_spad_clicks_twice_or_sleeps_into_the_next_pulse(period_ns, lifetime_ns):
    with pytest.raises(AnalysisError, match=r"one click per cycle.*live_time_correction"):
        coates_correction([10, 5], 1e4, period_ns=period_ns, lifetime_ns=lifetime_ns, dead_time_ns=77.0)


def findings(rates_Hz, repetition_rate_Hz=2.5e6, measurement="decay", **options):
    found = check_count_rates(rates_Hz, repetition_rate_Hz, measurement=measurement, **options)
    return [(f.level, f.name, f.quantity) for f in found]


def test_limits_of_the_fact_sheets():
    """picoquant.md, section 12: 2.5 MHz 25/125 kcps, 10 MHz 100/500 kcps, 40 MHz 400 kcps/2 Mcps for lifetimes."""
    for rate_Hz, warning, error in ((2.5e6, 25e3, 125e3), (10e6, 100e3, 500e3), (40e6, 400e3, 2e6)):
        assert findings({"a": 0.99 * warning}, rate_Hz) == []
        assert findings({"a": 1.01 * warning}, rate_Hz)[0] == ("warning", "a", "pile_up")
        assert findings({"a": 0.99 * error}, rate_Hz)[0] == ("warning", "a", "pile_up")
        assert findings({"a": 1.01 * error}, rate_Hz)[0] == ("error", "a", "pile_up")
    assert findings({"a": 640e3}, 80e6) == []
    assert findings({"a": 660e3}, 80e6) == [("warning", "a", "blind_fraction")]
    assert findings({"a": 1.1e6}, None) == [("warning", "a", "blind_fraction"), ("warning", "a", "sustained_rate")]
    assert findings({"a": 1.0}, None, other_tags_Hz=29e6) == []
    assert findings({"a": 1.0}, None, other_tags_Hz=31e6) == [("warning", "tagger", "tag_rate")]
    assert findings({"a": 1.0}, None, other_tags_Hz=51e6) == [("error", "tagger", "tag_rate")]


def test_g2_stands_more_pile_up_than_a_lifetime_and_rates_stand_all():
    assert findings({"a": 120e3, "b": 130e3}, measurement="g2") == [("warning", "b", "pile_up")]
    assert findings({"a": 120e3, "b": 130e3}, measurement="rates") == []


def test_limits_are_settings():
    assert findings({"a": 20e3}, limits=CountLimits(pile_up_warning=0.005)) == [("warning", "a", "pile_up")]
    assert findings({"a": 640e3}, None, dead_time_ns=100.0) == [("warning", "a", "blind_fraction")]
    with pytest.raises(AnalysisError, match="sustained_Hz"):
        CountLimits(sustained_Hz=0.0)


def test_a_finding_names_thing_value_limit_and_remedy():
    (found,) = check_count_rates({"SPAD 1": 60e3, "SPAD 2": 9e3}, 2.5e6, measurement="decay")
    assert (found.value, found.limit) == (0.024, 0.01)
    for part in ("SPAD 1", "2.4 %", "1 %", "0.6 %", "attenuate"):
        assert part in found.text
    (found,) = check_count_rates({"SPAD 1": 1.0}, None, measurement="rates", other_tags_Hz=40e6)
    for part in ("tagger", "4e+07", "3e+07 Hz", "filter the sync"):
        assert part in found.text


COATES = {"counts": [10, 5], "cycles": 1e4, "period_ns": 400.0, "lifetime_ns": 4.0}
LIVE = {"counts": np.ones(100), "cycles": 1e4, "binwidth_ps": 1000.0, "period_ns": 100.3}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: true_rate_Hz(-1.0), "measured_Hz"),
        (lambda: true_rate_Hz(np.nan), "measured_Hz"),
        (lambda: true_rate_Hz(1.3e7), "saturation"),
        (lambda: true_rate_Hz(1e5, 0.0), "dead_time_ns"),
        (lambda: detections_per_pulse(1e5, 0.0), "repetition_rate_Hz"),
        (lambda: check_count_rates({}, 1e6, measurement="g2"), "empty"),
        (lambda: check_count_rates({"a": np.inf}, 1e6, measurement="g2"), "finite rate"),
        (lambda: check_count_rates({"a": 1.0}, 1e6, measurement="g2", other_tags_Hz=-1.0), "other_tags_Hz"),
        (lambda: coates_correction(**COATES | {"counts": []}), "empty"),
        (lambda: coates_correction(**COATES | {"counts": [np.nan]}), "NaN"),
        (lambda: coates_correction(**COATES | {"counts": [-1.0]}), "negative"),
        (lambda: coates_correction(**COATES | {"counts": [[1.0]]}), "dimension"),
        (lambda: coates_correction(**COATES | {"cycles": 12}), "laser cycles"),
        (lambda: coates_correction(**COATES | {"lifetime_ns": 0.0}), "lifetime_ns"),
        (lambda: live_time_correction(**LIVE | {"counts": [np.nan] * 100}), "NaN"),
        (lambda: live_time_correction(**LIVE | {"counts": np.ones(99)}), "one period"),
        (lambda: live_time_correction(**LIVE | {"counts": np.ones(101)}), "one period"),
        (lambda: live_time_correction(**LIVE | {"cycles": 50}), "do not fit"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(AnalysisError, match=message):
        call()


def test_live_time_of_a_period_that_is_no_whole_number_of_bins():
    assert live_time_correction(**LIVE).shape == (100,)
