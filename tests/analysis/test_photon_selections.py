"""Detection windows, time gates and count rates, tag by tag against what they promise."""

from fractions import Fraction

import numpy as np
import photon_streams as ps
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.analysis.photons import CrossCorrelation, RateTrace, accumulate, gated, within

FEW = settings(max_examples=150, deadline=None)


def joined(chunks):
    chunks = [chunk for chunk in chunks if len(chunk[0])]
    return [(int(t), int(c)) for times, channels in chunks for t, c in zip(times, channels, strict=True)]


@FEW
@given(ps.streams(), st.lists(st.tuples(st.integers(-5, 300), st.integers(0, 200)), min_size=1, max_size=4))
def test_within_keeps_the_tags_of_the_ranges(stream, spans):
    times, channels, chunks = stream
    first = int(times[0]) if len(times) else 0
    ranges = [(first + begin, first + begin + length) for begin, length in spans]
    kept = joined(within(chunks, ranges))
    inside = [(t, c) for t, c in joined([(times, channels)]) if any(a <= t < b for a, b in ranges)]
    assert kept == inside


@pytest.mark.parametrize("engine", ps.ENGINES)
@FEW
@given(
    ps.streams(),
    st.one_of(st.none(), st.integers(30, 70), st.fractions(25, 90, max_denominator=12)),
    st.sampled_from([0, 3, -11]),
    st.booleans(),
    st.integers(0, 12),
    st.integers(1, 12),
)
def test_gate_keeps_clicks_by_their_phase_and_all_other_tags(
    engine, stream, period, origin, has_sync, start, length
):
    times, channels, chunks = stream
    has_sync, origin = (True, 0) if period is None else (has_sync, origin)
    sync = ps.SYNC if has_sync else None
    clicks = [ps.CLICK, ps.OTHER_CLICK]
    kept = joined(
        gated(
            chunks, clicks, start, start + length,
            period_ps=period, origin_ps=origin, sync_channel=sync, engine=engine,
        )
    )  # fmt: skip
    phase = {click: iter(ps.phases(times, channels, click, period, origin, sync)) for click in clicks}
    expected = []
    for t, c in joined([(times, channels)]):
        p = next(phase[c]) if c in clicks else start
        if p is not None and start <= p < start + length:
            expected.append((t, c))
    # The tag of a sync may wait behind others of its own time, but the order in the stream stays.
    assert kept == expected


@pytest.mark.parametrize("engine", ps.ENGINES)
@FEW
@given(ps.streams(), st.sampled_from([1, 7, 50]), st.sampled_from([None, 0, -3]))
def test_rates_count_every_tag_in_its_bin(engine, stream, binwidth, before):
    times, channels, chunks = stream
    limit = next((i for i, t in enumerate(times) if t - times[0] > 10_000), len(times))
    first = int(times[0]) if len(times) else 0
    origin = first if before is None else first + before
    chunks = [(t[t < first + 10_001], c[t < first + 10_001]) for t, c in chunks]
    trace = RateTrace(
        [ps.SYNC, ps.CLICK], binwidth, origin_ps=None if before is None else origin, engine=engine
    )
    got = ps.add_all(trace, chunks)
    times, channels = times[:limit], channels[:limit]
    bins = (int(times[-1]) - origin) // binwidth + 1 if len(times) else 0
    assert got.shape == (2, bins)
    assert trace.times_ps.tolist() == [origin + i * binwidth for i in range(bins)]
    for row, channel in zip(got, (ps.SYNC, ps.CLICK), strict=True):
        assert row.tolist() == ps.histogram(ps.of(times, channels, channel), binwidth, bins, origin)


@pytest.mark.parametrize("engine", ps.ENGINES)
def test_a_long_trace_has_all_counts(engine):
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.integers(0, 10**7, 400_000)) + 2**62
    channels = rng.integers(0, 4, len(times))
    trace = RateTrace([1, 3], 10**9, engine=engine)
    accumulate(zip(np.array_split(times, 17), np.array_split(channels, 17), strict=True), trace)
    for row, channel in zip(trace.counts, (1, 3), strict=True):
        expected = np.bincount((times[channels == channel] - times[0]) // 10**9, minlength=len(row))
        np.testing.assert_array_equal(row, expected)


def test_selections_combine():
    """g2 of the delayed photons of the first half, the same as cutting the tags out first."""
    rng = np.random.default_rng(8)
    pulses = np.sort(rng.integers(0, 10**6, 50_000))
    delays = rng.integers(0, 400_000, len(pulses))
    order = np.argsort(pulses * 400_000 + delays, kind="stable")
    times, delays = (pulses * 400_000 + delays)[order], delays[order]
    channels = rng.integers(1, 3, len(times))
    half = int(times[-1]) // 2
    chunks = list(zip(np.array_split(times, 9), np.array_split(channels, 9), strict=True))
    g2, whole = CrossCorrelation(1, 2, 100_000, 41), CrossCorrelation(1, 2, 100_000, 41)
    accumulate(gated(within(chunks, [(0, half)]), [1, 2], 1_000, 50_000, period_ps=400_000), g2)
    chosen = (times < half) & (delays >= 1_000) & (delays < 50_000)
    whole.add(times[chosen], channels[chosen])
    assert g2.counts.sum() > 0
    np.testing.assert_array_equal(g2.counts, whole.counts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs sync_channel or period_ps"),
        ({"sync_channel": 3, "origin_ps": 5}, "origin_ps needs period_ps"),
        ({"sync_channel": 1}, "channel of its own"),
        ({"period_ps": 50, "start_ps": -1}, "start_ps is -1"),
        ({"period_ps": 50, "start_ps": 9, "stop_ps": 9}, "stop_ps is 9"),
        ({"period_ps": 50, "stop_ps": 51}, "beyond the period"),
        ({"period_ps": 50.5}, "a float is not exactly"),
    ],
)
def test_gate_refusals_come_before_the_first_chunk(arguments, message):
    good = {"click_channels": [1, 2], "start_ps": 0, "stop_ps": 10}
    with pytest.raises(AnalysisError, match=message):
        gated([], **(good | arguments))


def test_the_last_part_of_a_period_can_be_gated():
    chunk = (np.array([0, 1, 2, 3]), np.array([1, 1, 1, 1]))
    assert joined(gated([chunk], 1, 2, 3, period_ps=Fraction(5, 2))) == [(2, 1)]


@pytest.mark.parametrize(
    ("ranges", "message"),
    [([], "pairs of whole ps"), ([(0.0, 1.0)], "pairs of whole ps"), ([(0, 5), (9, 7)], "ends before it begins")],
)
def test_within_refusals(ranges, message):
    with pytest.raises(AnalysisError, match=message):
        within([], ranges)


def test_trace_refusals():
    with pytest.raises(AnalysisError, match="before origin_ps 50"):
        RateTrace(1, 10, origin_ps=50).add(np.array([49]), np.array([1]))
    with pytest.raises(AnalysisError, match="wider bins"):
        RateTrace(1, 1).add(np.array([0, 10**12]), np.array([1, 1]))
    with pytest.raises(AnalysisError, match="binwidth_ps is 0"):
        RateTrace(1, 0)
