"""Pair histograms against counting by hand, engine against engine, and against the Time Tagger look-alike."""

import sys
from pathlib import Path

import numpy as np
import photon_streams as ps
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryopl_bluesky.analysis.photons import CrossCorrelation, DecayHistogram

sys.path.insert(0, str(Path(__file__).parents[1] / "sim"))
from tagger_bench import PERIOD_PS, Light, make_tagger

from cryopl_bluesky.sim.timetagger import HbtParameters

FEW = settings(max_examples=150, deadline=None)
binwidths, numbers_of_bins = st.sampled_from([1, 2, 3, 5, 10, 64, 2**34 + 1]), st.integers(1, 14)


@pytest.mark.parametrize("engine", ps.ENGINES)
@FEW
@given(ps.streams(), binwidths, numbers_of_bins)
def test_correlation_counts_all_pairs_however_the_stream_is_cut(engine, stream, binwidth, bins):
    times, channels, chunks = stream
    for start, stop in ((ps.CLICK, ps.OTHER_CLICK), (ps.OTHER_CLICK, ps.CLICK), (ps.CLICK, ps.CLICK)):
        got = ps.add_all(CrossCorrelation(start, stop, binwidth, bins, engine=engine), chunks)
        assert got.dtype == np.int64
        assert got.tolist() == ps.correlation(times, channels, start, stop, binwidth, bins)


@pytest.mark.parametrize("engine", ps.ENGINES)
@FEW
@given(ps.streams(), binwidths, numbers_of_bins)
def test_decay_counts_every_sync_before_a_click(engine, stream, binwidth, bins):
    times, channels, chunks = stream
    got = ps.add_all(DecayHistogram(ps.CLICK, ps.SYNC, binwidth, bins, engine=engine), chunks)
    assert got.tolist() == ps.decay(times, channels, ps.CLICK, ps.SYNC, binwidth, bins)


@pytest.mark.parametrize("engine", ps.ENGINES)
def test_edges_and_ties(engine):
    """Even width: [-5, 5); odd width: [-2, 3); a tie counts at zero whichever tag comes first in the stream."""
    for binwidth, lowest, highest in ((10, -5, 4), (5, -2, 2)):
        for delay in range(-12, 13):
            starts, stops = [100], [100 + delay]
            order = np.argsort(starts + stops, kind="stable")
            for o in (order, order[::-1]) if delay == 0 else (order,):
                times, channels = np.array(starts + stops)[o], np.array([1, 2])[o]
                g2 = CrossCorrelation(1, 2, binwidth, 3, engine=engine)
                g2.add(times, channels)
                assert g2.counts[1] == (lowest <= delay <= highest)
                decay = DecayHistogram(2, 1, binwidth, 1, engine=engine)
                decay.add(times[:1], channels[:1])
                decay.add(times[1:], channels[1:])
                assert decay.counts[0] == (0 <= delay < binwidth)
    assert CrossCorrelation(1, 2, 10, 3).delays_ps.tolist() == [-10, 0, 10]
    assert DecayHistogram(1, 2, 10, 3).delays_ps.tolist() == [0, 10, 20]


def random_tags(rng, n, mean_gap_ps, channels=(1, 2), share=None):
    times = np.cumsum(rng.exponential(mean_gap_ps, n)).astype(np.int64) + 2**61
    return times, rng.choice(np.array(channels, np.int8), n, p=share)


def by_search(starts, stops, lowest, binwidth, bins):
    first, last = np.searchsorted(stops, starts + lowest), np.searchsorted(stops, starts + lowest + binwidth * bins)
    delays = np.concatenate([stops[a:b] - s for s, a, b in zip(starts, first, last, strict=True)])
    return np.bincount((delays - lowest) // binwidth, minlength=bins)


@pytest.mark.parametrize("mean_gap_ps", [5_000_000, 500_000, 100_000, 20_000])
@pytest.mark.parametrize("others", [False, True])
def test_every_density_and_many_blocks(mean_gap_ps, others):
    """From one neighbour in ten tags to 25 within reach: along the stream, by two pointers, with other channels."""
    rng = np.random.default_rng(3)
    channels, share = ((1, 2, 3), (0.2, 0.2, 0.6)) if others else ((1, 2), None)
    times, numbers = random_tags(rng, 300_000, mean_gap_ps, channels, share)
    expected = by_search(times[numbers == 1], times[numbers == 2], -500_050, 100, 10_000)
    for engine in ps.ENGINES:
        whole, parts = (CrossCorrelation(1, 2, 100, 10_000, engine=engine) for _ in range(2))
        whole.add(times, numbers)
        for piece in np.split(np.arange(len(times)), np.sort(rng.integers(0, len(times), 12))):
            parts.add(times[piece], numbers[piece])
        np.testing.assert_array_equal(whole.counts, expected)
        np.testing.assert_array_equal(parts.counts, expected)


def test_bins_equal_those_of_the_time_tagger():
    """The same tags through the look-alike's measurements and through these accumulators."""
    module, tagger, bench = make_tagger(
        Light(rate_Hz=200e3, g2_0=0.5), parameters=HbtParameters(dark_Hz=1000.0, cable2_ps=3_000)
    )
    group = module.SynchronizedMeasurements(tagger)
    proxy = group.getTagger()
    stream = module.TimeTagStream(proxy, 10**7, [-1, -2, -3])
    g2 = module.Correlation(proxy, -2, -1, 100, 20_001)
    coarse = module.Correlation(proxy, -2, -1, 3_001, 1_000)
    own = module.Correlation(proxy, -2, binwidth=50_000, n_bins=41)
    decays = [module.Histogram(proxy, channel, -3, 16, PERIOD_PS // 16) for channel in (-1, -2)]
    group.startFor(100 * 10**9)
    chunks = []
    while group.isRunning():
        bench.clock.sleep(0.011)
        data = stream.getData()
        chunks.append((data.getTimestamps(), data.getChannels()))
    data = stream.getData()
    chunks.append((data.getTimestamps(), data.getChannels()))
    assert sum(len(times) for times, _ in chunks) > 30_000
    for engine in ps.ENGINES:
        for ours, theirs in (
            (CrossCorrelation(-1, -2, 100, 20_001, engine=engine), g2),
            (CrossCorrelation(-1, -2, 3_001, 1_000, engine=engine), coarse),
            (CrossCorrelation(-2, -2, 50_000, 41, engine=engine), own),
            (DecayHistogram(-1, -3, 16, PERIOD_PS // 16, engine=engine), decays[0]),
            (DecayHistogram(-2, -3, 16, PERIOD_PS // 16, engine=engine), decays[1]),
        ):
            np.testing.assert_array_equal(ps.add_all(ours, chunks), theirs.getData())
            np.testing.assert_array_equal(ours.delays_ps, theirs.getIndex())
        assert g2.getData().sum() > 1000
