"""The delay between two SPADs, from pairs made with a known one (the virtual tagger: tests/sim)."""

import numpy as np
import pytest

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.analysis.channel_delay import channel_delay


def pair_histogram(first, second, bins, binwidth_ps):
    """All pairs by delay, bin i at (i - n//2) bin widths."""
    reach = (bins // 2 + 1) * binwidth_ps
    begins, ends = np.searchsorted(second, first - reach), np.searchsorted(second, first + reach)
    delay = np.concatenate([second[a:b] - t for t, a, b in zip(first, begins, ends, strict=True)])
    index = np.floor(delay / binwidth_ps + 0.5).astype(int) + bins // 2
    return np.bincount(index[(index >= 0) & (index < bins)], minlength=bins)


def clicks(rng, *, pulses, mean, period_ps, lifetime_ps, later_ps=0.0, background=0.0, afterpulsing=0.0):
    number = rng.poisson(mean * pulses)
    times = rng.integers(0, pulses, number) * period_ps + rng.exponential(lifetime_ps, number) + later_ps
    again = times[rng.random(number) < afterpulsing]
    again = again + 77_000 + rng.exponential(40_000, again.size)
    flat = rng.uniform(0, pulses * period_ps, rng.poisson(mean * pulses * background))
    return np.sort(np.concatenate([times, again, flat]) + rng.normal(0, 15, number + again.size + flat.size))


def measured(rng, delay_ps, *, mean=0.02, peaks=4, binwidth_ps=100, pulses=100_000, period_ps=400_000,
             lifetime_ps=4_000, **second):  # fmt: skip
    common = {"pulses": pulses, "mean": mean, "period_ps": period_ps, "lifetime_ps": lifetime_ps}
    a, b = clicks(rng, **common), clicks(rng, later_ps=delay_ps, **common, **second)
    bins = 2 * round((peaks + 0.5) * period_ps / binwidth_ps) + 1
    histogram = pair_histogram(a, b, bins, binwidth_ps)
    return channel_delay(histogram, binwidth_ps, period_ps / 1e3, (a.size, b.size))


@pytest.mark.parametrize(
    ("delay_ps", "options"),
    [
        (1_700.0, {}),
        (-43_210.0, {"period_ps": 100_000, "lifetime_ps": 500, "binwidth_ps": 25}),
        (1_700.0, {"background": 0.3, "mean": 0.03}),
        # every click in some eight pairs: the error is that of the clicks, not of the pairs
        (1_700.0, {"mean": 0.2, "peaks": 20, "pulses": 20_000}),
    ],
)
def test_recovery_and_honest_errors(delay_ps, options):
    found = [measured(np.random.default_rng(seed), delay_ps, **options) for seed in range(40)]
    pulls = [(one.delay_ps - delay_ps) / one.sigma_ps for one in found]
    assert abs(np.mean(pulls)) < 3 / np.sqrt(40)
    assert 0.6 < np.std(pulls) < 1.25  # the error is an upper bound when clicks are shared
    assert all("whole laser periods" in one.notes[0] for one in found)


def test_after_pulses_of_one_spad_do_not_pull_the_delay():
    """Their mean is 117 ns late: the mean or the phase of all pairs would be off by 1 ns."""
    found = [measured(np.random.default_rng(seed), 0.0, afterpulsing=0.02) for seed in range(20)]
    mean = np.mean([one.delay_ps for one in found])
    assert abs(mean) < 4 * np.mean([one.sigma_ps for one in found]) / np.sqrt(20)
    assert abs(mean) < 200


def test_a_delay_is_known_up_to_whole_periods_and_says_so():
    found = measured(np.random.default_rng(1), 403_000.0, peaks=6)
    assert found.delay_ps == pytest.approx(3_000, abs=4 * found.sigma_ps)
    beyond = measured(np.random.default_rng(1), 150_000.0)
    assert beyond.delay_ps == pytest.approx(150_000, abs=4 * beyond.sigma_ps)
    assert any("quarter period" in note for note in beyond.notes)


def test_what_to_write_into_the_profile():
    found = measured(np.random.default_rng(2), 1_700.0)
    late = round(found.delay_ps)
    assert found.input_delays_ps((0, 0, 0)) == (0, -late, 0)
    assert found.input_delays_ps((100, -200, 300)) == (100, -200 - late, 300)


def peaks(bins=2201, every=200, each=100):
    counts = np.zeros(bins)
    counts[bins // 2 % every :: every] = each
    return counts


GOOD = {"histogram": peaks(), "binwidth_ps": 500, "period_ns": 100.0, "singles": (1e5, 1e5)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"histogram": []}, "empty"),
        ({"histogram": np.full(2201, np.nan)}, "NaN"),
        ({"histogram": np.full(2201, -1.0)}, "negative"),
        ({"histogram": np.ones((3, 2201))}, "dimension"),
        ({"histogram": np.zeros(2201)}, "no peaks"),
        ({"histogram": np.full(2201, 50.0)}, "no peaks"),
        ({"histogram": peaks(each=3)}, "record longer"),
        ({"histogram": peaks()}, "finer bins"),
        ({"binwidth_ps": 0.0}, "binwidth_ps"),
        ({"binwidth_ps": 20_000.0}, "8 bins"),
        ({"period_ns": 500.0}, "three periods"),
        ({"period_ns": np.nan}, "period_ns"),
        ({"singles": (0, 1e5)}, r"singles\[0\]"),
        ({"singles": (1e5, np.inf)}, r"singles\[1\]"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(AnalysisError, match=message):
        channel_delay(**(GOOD | arguments))
