"""A watchdog's counter beside the measurements: it disturbs nothing, sees every change in time, and costs little."""

from __future__ import annotations

import numpy as np
import pytest
from tagger_bench import Light, make_bench, make_tagger, run_for

from cryopl_bluesky.sim.timetagger import HbtParameters

FINE_PS = 10**9


@pytest.fixture
def watched():
    light = Light(rate_Hz=200e3, g2_0=0.5)
    module, tagger, bench = make_tagger(light, parameters=HbtParameters(dark_Hz=1000.0))
    tagger.setStreamBlockSize(131_072, 2)
    return module, tagger, bench, light


def look_until(bench, counter, running, step_s):
    """Begin of each bin in device time, and counts (2, n), that the watchdog saw."""
    times, counts, more = [], [], True
    while more:
        bench.clock.sleep(step_s)
        more = running()
        data = counter.getDataObject(remove=True)
        times.append(data.getTime())
        counts.append(data.getData())
    return np.concatenate(times), np.concatenate(counts, axis=1)


def test_measurements_end_at_their_time_and_see_what_the_watchdog_sees(watched):
    module, tagger, bench, _ = watched
    counter = module.Counter(tagger, [-1, -2], FINE_PS, 5000)
    bench.clock.sleep(0.3)
    group = module.SynchronizedMeasurements(tagger)
    proxy = group.getTagger()
    tags = module.TimeTagStream(proxy, 10**7, [-1, -2, -3])
    decay = module.Histogram(proxy, -1, -3, 1000, 400)
    g2 = module.Correlation(proxy, -2, -1, 3_001, 101)
    rates = module.Countrate(proxy, [-1, -2, -3])
    run_for(group, 0.001)  # what is compiled at the first call would last longer than the capture
    counter.getDataObject(remove=True)
    group.startFor(5 * 10**10)
    begins, seen = look_until(bench, counter, group.isRunning, 0.0071)
    assert rates.getCaptureDuration() == 5 * 10**10
    buffer = tags.getData()
    times, channels = buffer.getTimestamps(), buffer.getChannels()
    assert (np.diff(times) >= 0).all()
    assert times[-1] - times[0] < 5 * 10**10
    one, two, sync = (times[channels == c] for c in (-1, -2, -3))
    assert rates.getCountsTotal().tolist() == [len(one), len(two), len(sync)]
    delays = one[:, None] - sync[None, :]
    expected = np.histogram(delays, np.arange(401) * 1000)[0]
    np.testing.assert_array_equal(decay.getData()[:-1], expected[:-1])  # numpy closes the last bin on both sides
    pairs = (two[:, None] - one[None, :]).ravel()
    edges = (np.arange(102) - 50) * 3_001 - 1_500
    inside = pairs[(pairs >= edges[0]) & (pairs < edges[-1])]
    np.testing.assert_array_equal(g2.getData(), np.bincount((inside - edges[0]) // 3_001, minlength=101))
    whole = (begins >= times[0]) & (begins + FINE_PS <= times[-1])
    assert whole.sum() >= 48
    for spad, clicks in enumerate((one, two)):
        bins = np.bincount((clicks - begins[0]) // FINE_PS, minlength=len(begins))[: len(begins)]
        np.testing.assert_array_equal(seen[spad][whole], bins[whole])


def test_no_bin_is_seen_twice_or_missed(watched):
    module, tagger, bench, _ = watched
    counter = module.Counter(tagger, [-1, -2], FINE_PS, 5000)
    starts = []
    for step_s in (0.001, 0.03, 0.0004, 0.2, 0.011) * 3:
        bench.clock.sleep(step_s)
        data = counter.getDataObject(remove=True)
        starts.append(data.getIndex())
    index = np.concatenate(starts)
    assert (np.diff(index) == FINE_PS).all()
    assert counter.getDataTotalCounts()[0] == pytest.approx(100e3 * index.size * 1e-3, rel=0.1)


def test_a_change_is_seen_at_its_time_although_tags_are_made_ahead(watched):
    module, tagger, bench, light = watched
    light.rate_Hz = 1e5
    counter = module.Counter(tagger, [-1, -2], FINE_PS, 5000)
    begin_s = bench.clock.monotonic()
    bench.clock.sleep(0.1)
    seen = [counter.getDataObject(remove=True).getData().sum(axis=0)]
    changes_s = []
    for rate_Hz in (2e6, 1e5, 2e6, 1e5):
        with bench.clock.held():
            light.rate_Hz = rate_Hz
            bench.changed()
            changes_s.append(bench.clock.monotonic() - begin_s)
        for _ in range(5):
            bench.clock.sleep(0.0053)
            seen.append(counter.getDataObject(remove=True).getData().sum(axis=0))
    counts = np.concatenate(seen)
    bright = counts > 500
    edges_ms = np.flatnonzero(np.diff(bright.astype(int))) + 1
    assert edges_ms == pytest.approx([1e3 * s for s in changes_s], abs=1.5)


def test_dead_time_and_divided_sync_survive_what_is_taken_back(watched):
    module, tagger, bench, light = watched
    tagger.setEventDivider(3, 25)
    group = module.SynchronizedMeasurements(tagger)
    stream = module.TimeTagStream(group.getTagger(), 10**7, [-1, -2, 3])
    counter = module.Counter(tagger, [-1, -2], FINE_PS, 5000)
    light.repetition_rate_Hz = 2.5e6
    light.rate_Hz = 1e6
    group.startFor(10**11)
    while group.isRunning():
        bench.clock.sleep(0.0031)
        counter.getDataObject(remove=True)
        light.rate_Hz = 1.9e6 - light.rate_Hz
        bench.changed()
    data = stream.getData()
    times, channels = data.getTimestamps(), data.getChannels()
    assert (np.diff(times) >= 0).all()
    for channel in (-1, -2):
        assert np.diff(times[channels == channel]).min() >= 77_000 - 6_000
    monitor = times[channels == 3]
    assert abs(len(monitor) - 10_000) <= 1
    assert np.abs(np.diff(monitor) - 25 * 400_000).max() < 200


def test_a_frozen_tagger_sends_nothing_more(watched):
    module, tagger, bench, _ = watched
    counter = module.Counter(tagger, [-1, -2], FINE_PS, 5000)
    bench.clock.sleep(0.1)
    assert counter.getDataObject(remove=True).size > 90
    bench.set_fault("hbt.freeze")
    counter.getDataObject(remove=True)
    bench.clock.sleep(1.0)
    assert counter.getDataObject(remove=True).size == 0


def test_spad_faults(watched):
    module, tagger, bench, _ = watched
    rates = module.Countrate(tagger, [-1, -2])

    def counts(fault, parameter=1.0):
        bench.set_fault(fault, parameter)
        run_for(rates, 1.0)
        bench.clear_fault(fault)
        return rates.getCountsTotal()

    assert counts("hbt.stuck_zero").tolist() == [0, 0]
    first, second = counts("hbt.dead_spad", 2)
    assert first > 90e3 and second == 0
    first, second = counts("hbt.dark_Hz", 50e3)
    assert first == pytest.approx(149e3, rel=0.03) and second == pytest.approx(149e3, rel=0.03)


def test_too_much_light_folds_over():
    light = Light(rate_Hz=0.0, background_Hz=1e8, repetition_rate_Hz=None)
    module, tagger, bench = make_tagger(light, make_bench(100.0), filtered=False)
    bench.laser.mode = "off"
    rates = module.Countrate(tagger, [-1, -2])
    run_for(rates, 0.01)
    straight = rates.getCountsTotal()[0] / 0.01
    assert straight == pytest.approx(1e8 / (1 + 1e8 * 77e-9), rel=0.03)
    bench.set_fault("hbt.fold_over")
    run_for(rates, 0.01)
    folded = rates.getCountsTotal()[0] / 0.01
    assert folded == pytest.approx(1e8 * np.exp(-1e8 * 77e-9), rel=0.2)


def test_the_stream_block_size_is_kept_and_delays_the_tags(watched):
    module, tagger, bench, _ = watched
    tagger.setStreamBlockSize(max_events=8192, max_latency=50)
    assert tagger.getConfiguration()["stream block size events"] == 8192
    assert tagger.getConfiguration()["stream block size latency"] == 50
    with pytest.raises(ValueError, match="out of range"):
        tagger.setStreamBlockSize(8192, 0)
    counter = module.Counter(tagger, [-1, -2], FINE_PS, 5000)
    sizes = []
    for _ in range(20):
        bench.clock.sleep(0.01)
        sizes.append(counter.getDataObject(remove=True).size)
    assert sizes.count(0) >= 14
    assert max(sizes) >= 45
