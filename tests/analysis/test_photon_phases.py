"""Decays by the phase in the laser period, against exact fractions."""

from fractions import Fraction

import numpy as np
import photon_streams as ps
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.analysis.photons import PeriodicDecayHistogram, decay_map

FEW = settings(max_examples=150, deadline=None)
periods = st.one_of(
    st.integers(1, 70),
    st.fractions(Fraction(1, 3), 90, max_denominator=12),
    st.sampled_from([50_000, Fraction("12539.4871"), Fraction(10**12, 79_748_123), Fraction(2**59 + 1, 2**39 + 3)]),
)
origins = st.sampled_from([0, 3, -11, 10**15 + 1])


@pytest.mark.parametrize("engine", ps.ENGINES)
@FEW
@given(ps.streams(), periods, st.sampled_from([1, 2, 7, 16]), st.integers(1, 20), origins, st.booleans())
def test_phases_are_exact_however_the_stream_is_cut(engine, stream, period, binwidth, bins, origin, has_sync):
    times, channels, chunks = stream
    sync = ps.SYNC if has_sync else None
    clicks = (ps.OTHER_CLICK, ps.CLICK)
    decay = PeriodicDecayHistogram(
        clicks, period, binwidth, bins, origin_ps=origin, sync_channel=sync, engine=engine
    )
    got = ps.add_all(decay, chunks)
    assert got.shape == (2, bins)
    assert got.dtype == np.int64
    for row, click in zip(got, clicks, strict=True):
        expected = ps.phases(times, channels, click, period, origin, sync)
        assert row.tolist() == ps.histogram([p for p in expected if p is not None], binwidth, bins)


@pytest.mark.parametrize("engine", ps.ENGINES)
@pytest.mark.parametrize("period", [50_000, Fraction("12539.4871"), Fraction(25_000_001, 2), 2**47 + 1])
@pytest.mark.parametrize("span_ps", [2 * 10**8, 2**48, 2**51, 2**54, 2**61])
def test_every_phase_lands_in_its_bin(engine, period, span_ps):
    """Around the wrap of the period and the edges of bins, where a rounding would show, at short and long times.

    The kernels compute in floats as long as (span of a block) * denominator + numerator stays below 2**49.
    """
    rng = np.random.default_rng(1)
    binwidth = max(1, int(period) // 3000)
    spots, edges = rng.integers(0, span_ps, 3000).tolist(), rng.integers(0, int(period) // binwidth + 1, 3000).tolist()
    spots = [int(t // period * period) + edge * binwidth for t, edge in zip(spots, edges, strict=True)]
    times = np.sort(np.array([t + d for t in spots for d in (76, 77, 78)], np.int64)) + 2**61
    decay = PeriodicDecayHistogram(1, period, binwidth, origin_ps=77, engine=engine)
    decay.add(times, np.ones(len(times), np.int8))
    exact = [int((t - 77) % period // binwidth) for t in times.tolist()]
    assert decay.counts.sum() == len(times)
    np.testing.assert_array_equal(decay.counts[0], np.bincount(exact, minlength=len(decay.delays_ps)))
    assert decay.delays_ps[-1] < period <= decay.delays_ps[-1] + binwidth


@pytest.mark.parametrize("engine", ps.ENGINES)
def test_divided_sync_gives_the_decay_of_the_full_sync(engine):
    """Every 64th pulse has a tag; the clicks come up to 63 periods later."""
    rng = np.random.default_rng(2)
    pulses = rng.integers(64, 64 * 5000, 200_000)
    delays = rng.exponential(4000, len(pulses)).astype(np.int64) % 50_000
    syncs = np.arange(64 * 5001, step=64) * 50_000 + 123
    times = np.concatenate([pulses * 50_000 + 123 + delays, syncs])
    channels = np.concatenate([np.full(len(pulses), -1), np.full(len(syncs), -3)])
    order = np.argsort(times, kind="stable")
    decay = PeriodicDecayHistogram(-1, 50_000, 16, sync_channel=-3, engine=engine)
    decay.add(times[order], channels[order])
    np.testing.assert_array_equal(decay.counts[0], np.bincount(delays // 16, minlength=3125))


def test_the_order_of_a_tie_and_of_reading_do_not_matter():
    """The sync tag of the click's own time may come in the next chunk; looking in between changes nothing."""
    for engine in ps.ENGINES:
        decay = PeriodicDecayHistogram(1, 1000, 1, sync_channel=3, engine=engine)
        decay.add(np.array([5, 10, 35]), np.array([1, 3, 1]))
        assert np.flatnonzero(decay.counts[0]).tolist() == [25]
        decay.add(np.array([35, 36]), np.array([3, 1]))
        assert np.flatnonzero(decay.counts[0]).tolist() == [0, 1]


@pytest.mark.parametrize("engine", ps.ENGINES)
@pytest.mark.parametrize("sync", [None, 3])
def test_map_rows_are_the_decays_of_the_acquisitions(engine, sync):
    rng = np.random.default_rng(5)
    lengths = [4000, 0, 1, 300_000, 7]
    edges = np.concatenate([[0], np.cumsum(lengths)])
    times = np.concatenate([np.cumsum(rng.integers(0, 10**5, n)) for n in lengths])
    channels = rng.integers(1, 4, len(times)).astype(np.int8)
    got = decay_map(times, channels, edges, [1, 2], 12_500, 32, origin_ps=99, sync_channel=sync, engine=engine)
    assert got.shape == (5, 2, 391)
    for row, begin, end in zip(got, edges[:-1], edges[1:], strict=True):
        decay = PeriodicDecayHistogram([1, 2], 12_500, 32, origin_ps=99, sync_channel=sync, engine=engine)
        decay.add(times[begin:end], channels[begin:end])
        np.testing.assert_array_equal(row, decay.counts)
    if sync is None:
        first = (times[:4000][channels[:4000] == 2] - 99) % 12_500 // 32
        np.testing.assert_array_equal(got[0, 1], np.bincount(first, minlength=391))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"period_ps": 12_539.5}, "a float is not exactly"),
        ({"period_ps": float("nan")}, "period_ps is nan"),
        ({"period_ps": 0}, "above zero"),
        ({"period_ps": Fraction(2**62, 3)}, "limit_denominator"),
        ({"binwidth_ps": 0.5}, "binwidth_ps is 0.5"),
        ({"binwidth_ps": float("nan")}, "binwidth_ps is nan"),
        ({"bins": 0}, "bins is 0"),
        ({"bins": 2**30}, "bins is"),
        ({"click_channels": [1, 1]}, "twice"),
        ({"click_channels": []}, "1 to 200"),
        ({"sync_channel": 1}, "channel of its own"),
        ({"origin_ps": 0.1}, "origin_ps is 0.1"),
        ({"period_ps": 10**15, "bins": None}, "bins is"),
    ],
)
def test_refusals(arguments, message):
    good = {"click_channels": 1, "period_ps": 50_000, "binwidth_ps": 16, "bins": 100}
    with pytest.raises(AnalysisError, match=message):
        PeriodicDecayHistogram(**(good | arguments))


@pytest.mark.parametrize("boundaries", [[0], [0, 5, 3], [0, 11], [-1, 5], [0.0, 5.0], [[0, 5]]])
def test_map_refuses_boundaries_that_leave_the_tags(boundaries):
    with pytest.raises(AnalysisError, match="boundaries must be"):
        decay_map(np.arange(10), np.ones(10, np.int8), boundaries, 1, 1000, 10)
