"""Recorded photons through the accumulators: the numbers of the sample files, found without this package."""

from pathlib import Path

import numpy as np
import ptufile
import pytest

from cryopl_bluesky.analysis.g2 import garwood, peak_ratio, pulsed_g2
from cryopl_bluesky.analysis.photons import (
    CrossCorrelation,
    DecayHistogram,
    PeriodicDecayHistogram,
    RateTrace,
    accumulate,
    decay_map,
    gated,
    within,
)

DATA = Path(__file__).parents[1] / "data" / "picoquant"
PERIOD_PS = 400_000


def photons(name):
    with ptufile.PtuFile(DATA / name) as ptu:
        records = ptu.decode_records()
        return records[records["channel"] >= 0], ptu


def chunks(times, channels, number=11):
    return list(zip(np.array_split(times, number), np.array_split(channels, number), strict=True))


@pytest.fixture(scope="module")
def emitter():
    """Single emitter, T3: times in ps, pulse numbers, channels."""
    records, ptu = photons("hydraharp_v10_t3.ptu")
    assert ptu.global_resolution == pytest.approx(400e-9, rel=1e-12)
    assert ptu.tcspc_resolution == pytest.approx(128e-12, rel=1e-9)
    pulses = records["time"].astype(np.int64)
    times = pulses * PERIOD_PS + records["dtime"].astype(np.int64) * 128
    order = np.argsort(times, kind="stable")
    return times[order], pulses, records["channel"].astype(np.int8), order


@pytest.fixture(scope="module")
def pair_of_detectors():
    """Poissonian light, T2: times in ps, channels."""
    records, ptu = photons("picoharp_v30_t2.ptu")
    assert ptu.global_resolution == pytest.approx(4e-12, rel=1e-9)
    return records["time"].astype(np.int64) * 4, records["channel"].astype(np.int8)


def test_photons_of_the_emitter(emitter):
    times, _, channels, order = emitter
    trace = RateTrace([0, 1], 10**10)
    accumulate(chunks(times, channels[order]), trace)
    assert trace.counts.sum(axis=1).tolist() == [48_001, 46_559]
    both = trace.counts.sum(axis=0)[:-1]
    assert (both.mean(), both.max()) == (pytest.approx(31.5, abs=0.05), 74)
    assert both.var() / both.mean() == pytest.approx(8.5, abs=0.05)


def test_pairs_of_the_emitter_by_pulse(emitter):
    """Times of the pulses, not of the photons: a delay is a whole number of periods."""
    _, pulses, channels, _ = emitter
    g2 = CrossCorrelation(0, 1, PERIOD_PS, 2001)
    accumulate(chunks(pulses * PERIOD_PS, channels), g2)
    areas = g2.counts
    k = g2.delays_ps // PERIOD_PS
    assert areas[(k >= -5) & (k <= 5)].tolist() == [39, 36, 36, 38, 33, 11, 36, 33, 37, 48, 45]
    central = int(areas[k == 0][0])
    for reach, mean, g2_0, sigma in (
        (50, 40.06, 0.275, 0.083),
        (100, 39.86, 0.276, 0.083),
        (1000, 39.11, 0.281, 0.085),
    ):
        side = areas[(k != 0) & (abs(k) <= reach)]
        assert side.mean() == pytest.approx(mean, abs=0.005)
        assert peak_ratio(central, side) == (pytest.approx(g2_0, rel=0.01), pytest.approx(sigma, rel=0.01))
    assert np.array(garwood(central, 0.6827)) / side.mean() == pytest.approx([0.198, 0.394], abs=5e-4)


def test_decay_of_the_emitter_with_and_without_sync_tags(emitter):
    times, pulses, channels, order = emitter
    decay = PeriodicDecayHistogram([0, 1], PERIOD_PS, 128)
    accumulate(chunks(times, channels[order]), decay)
    both = decay.counts.sum(axis=0)
    assert (len(both), both.sum(), both.argmax(), both.max()) == (3125, 94_560, 31, 549)
    syncs = np.unique(pulses) * PERIOD_PS  # as a conditional filter leaves them
    tags, numbers = np.concatenate([times, syncs]), np.concatenate([channels[order], np.full(len(syncs), -3)])
    sort = np.argsort(tags, kind="stable")
    stream = chunks(tags[sort], numbers[sort])
    with_sync = [DecayHistogram(channel, -3, 128, 3125) for channel in (0, 1)]
    sparse = PeriodicDecayHistogram([0, 1], PERIOD_PS, 128, sync_channel=-3)
    accumulate(stream, *with_sync, sparse)
    np.testing.assert_array_equal([histogram.counts for histogram in with_sync], decay.counts)
    np.testing.assert_array_equal(sparse.counts, decay.counts)


def test_gate_and_map_of_the_emitter(emitter):
    """A gate takes a slice of the decay; the rows of a map by time add up to it."""
    times, _, channels, order = emitter
    numbers = channels[order]
    decay, late = PeriodicDecayHistogram([0, 1], PERIOD_PS, 128), PeriodicDecayHistogram([0, 1], PERIOD_PS, 128)
    accumulate([(times, numbers)], decay)
    accumulate(gated(chunks(times, numbers), [0, 1], 128 * 40, 128 * 500, period_ps=PERIOD_PS), late)
    expected = np.where((np.arange(3125) >= 40) & (np.arange(3125) < 500), decay.counts, 0)
    np.testing.assert_array_equal(late.counts, expected)
    seconds = np.arange(31) * 10**12
    rows = decay_map(times, numbers, np.searchsorted(times, seconds), [0, 1], PERIOD_PS, 128)
    np.testing.assert_array_equal(rows.sum(axis=0), decay.counts)
    third = PeriodicDecayHistogram([0, 1], PERIOD_PS, 128)
    accumulate(within([(times, numbers)], [(2 * 10**12, 3 * 10**12)]), third)
    np.testing.assert_array_equal(rows[2], third.counts)


def test_dead_times_of_the_detectors(pair_of_detectors):
    """The smallest gap within a channel is the first delay of its autocorrelation."""
    times, channels = pair_of_detectors
    assert [np.count_nonzero(channels == c) for c in (0, 1)] == [531_477, 388_700]
    for channel, gap_ns in ((0, 86.25), (1, 86.64)):
        own = CrossCorrelation(channel, channel, 4, 100_001)
        accumulate(chunks(times, channels), own)
        delays = own.delays_ps[own.counts > 0]
        assert delays[delays > 0].min() / 1e3 == pytest.approx(gap_ns, abs=0.005)
        np.testing.assert_array_equal(own.counts, own.counts[::-1])


def test_pairs_period_and_g2_of_poissonian_light(pair_of_detectors):
    g2, coarse = CrossCorrelation(0, 1, 4, 1_100_001), CrossCorrelation(0, 1, 60, 73_333)
    accumulate(chunks(*pair_of_detectors), g2, coarse)
    assert g2.counts[abs(g2.delays_ps) <= 100_000].sum() == 6123
    rates_MHz = np.concatenate([np.arange(78, 81.5, 0.05), np.arange(79.73, 79.77, 0.0005)])
    phasors = np.exp(2j * np.pi * rates_MHz[:, None] * coarse.delays_ps * 1e-6) @ coarse.counts
    best = np.abs(phasors).argmax()
    assert rates_MHz[best] == pytest.approx(79.748, abs=0.003)
    period_ns = 1e3 / rates_MHz[best]
    offset_ns = np.angle(phasors[best]) / (2 * np.pi) * period_ns
    assert offset_ns == pytest.approx(-0.04, abs=0.01)
    got = pulsed_g2(g2.counts, 4, period_ns, offset_ns=offset_ns, side_peaks=150)
    side = got.areas[(got.k != 0) & (abs(got.k) <= 150)]
    assert side.mean() == pytest.approx(385.1, rel=0.001)
    assert side.var() / side.mean() == pytest.approx(1.02, abs=0.03)
    assert got.n_central == pytest.approx(439, abs=1)
    assert (got.g2_0_raw, got.sigma) == (pytest.approx(1.14, rel=0.01), pytest.approx(0.055, rel=0.02))
