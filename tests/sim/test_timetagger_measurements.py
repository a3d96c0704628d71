"""Measurements of the virtual tagger on a known stream: bins, signs, types, overflow, life cycle."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from tagger_bench import Light, make_tagger, run_for

from cryopl_bluesky.sim.timetagger import HbtParameters


@pytest.fixture
def lab():
    return make_tagger(Light(rate_Hz=200e3, g2_0=0.5), parameters=HbtParameters(dark_Hz=1000.0))


def brute_histogram(starts, clicks, binwidth, n_bins):
    counts = np.zeros(n_bins, int)
    for click in clicks:
        delays = click - starts[(starts <= click) & (starts > click - binwidth * n_bins)]
        np.add.at(counts, delays // binwidth, 1)
    return counts


def test_histograms_equal_a_brute_force_count_of_the_same_tags(lab):
    module, tagger, _ = lab
    group = module.SynchronizedMeasurements(tagger)
    proxy = group.getTagger()
    tags = module.TimeTagStream(proxy, 10**7, [-1, -2, -3])
    decay = module.Histogram(proxy, -1, -3, 1000, 900)
    auto = module.Histogram(proxy, -1, binwidth=50_000, n_bins=40)
    g2 = module.Correlation(proxy, -2, -1, 3_001, 1_000)
    auto_g2 = module.Correlation(proxy, -2, binwidth=50_000, n_bins=41)
    logs = module.HistogramLogBins(proxy, -2, -1, -7, -4, 30)
    rates = module.Countrate(proxy, [-1, -2, -3])
    group.startFor(30 * 10**9)
    while group.isRunning():  # many small blocks: borders must not matter
        lab[2].clock.sleep(0.0007)
    data = tags.getData()
    times, channels = data.getTimestamps(), data.getChannels()
    one, two, sync = (times[channels == c] for c in (-1, -2, -3))
    assert (np.diff(times) >= 0).all()
    assert rates.getCountsTotal().tolist() == [len(one), len(two), len(sync)]
    np.testing.assert_array_equal(decay.getData(), brute_histogram(sync, one, 1000, 900))
    delays = one[None, :] - one[:, None]
    np.testing.assert_array_equal(
        auto.getData(), np.histogram(delays[delays > 0], np.arange(41) * 50_000)[0] - 0
    )
    pairs = (two[:, None] - one[None, :]).ravel()
    edges = (np.arange(1_001) - 500) * 3_001 - 1_500
    inside = pairs[(pairs >= edges[0]) & (pairs < edges[-1])]
    np.testing.assert_array_equal(g2.getData(), np.bincount((inside - edges[0]) // 3_001, minlength=1000))
    own = (two[:, None] - two[None, :])[~np.eye(len(two), dtype=bool)]
    edges = (np.arange(42) - 20) * 50_000 - 25_000
    inside = own[(own >= edges[0]) & (own < edges[-1])]
    np.testing.assert_array_equal(auto_g2.getData(), np.bincount((inside - edges[0]) // 50_000, minlength=41))
    edges = logs.getBinEdges()
    inside = pairs[pairs < edges[-1]]  # numpy counts the last edge as well
    np.testing.assert_array_equal(logs.getData(), np.histogram(inside, edges)[0])


def test_types_and_shapes(lab):
    module, tagger, _ = lab
    for measurement, method, dtype, shape in (
        (module.Countrate(tagger, [-1, -2]), "getData", "f8", (2,)),
        (module.Countrate(tagger, [-1, -2]), "getCountsTotal", "i8", (2,)),
        (module.Counter(tagger, [-1], 10**9, 7), "getData", "i4", (1, 7)),
        (module.Counter(tagger, [-1], 10**9, 7), "getDataNormalized", "f8", (1, 7)),
        (module.Counter(tagger, [-1], 10**9, 7), "getDataTotalCounts", "u8", (1,)),
        (module.Counter(tagger, [-1], 10**9, 7), "getIndex", "i8", (7,)),
        (module.Histogram(tagger, -1, -3), "getData", "i4", (1000,)),
        (module.Correlation(tagger, -1, -2), "getData", "i4", (1000,)),
        (module.Correlation(tagger, -1, -2), "getDataNormalized", "f8", (1000,)),
        (module.HistogramLogBins(tagger, -1, -2, -9, -3, 12), "getData", "u8", (12,)),
        (module.HistogramLogBins(tagger, -1, -2, -9, -3, 12), "getBinEdges", "i8", (13,)),
    ):
        data = getattr(measurement, method)()
        assert (data.dtype.str[1:], data.shape) == (dtype, shape), (type(measurement).__name__, method)
    assert module.StartStop(tagger, -1, -3).getData().shape[1] == 2


def test_sign_and_centre_of_the_correlation():
    parameters = HbtParameters(dark_Hz=0, afterpulsing=0, cable2_ps=50_000)
    module, tagger, _ = make_tagger(Light(rate_Hz=1e6, lifetimes_ns=(0.1,)), parameters=parameters)
    g2 = module.Correlation(tagger, -2, -1, 1000, 201)
    run_for(g2, 2.0)
    assert g2.getIndex()[np.argmax(g2.getData())] == pytest.approx(50_000, abs=1000)
    tagger.setInputDelay(-2, -50_000)
    run_for(g2, 2.0)
    assert g2.getIndex()[np.argmax(g2.getData())] == pytest.approx(0, abs=1000)


def test_counter_rolls_and_keeps_totals(lab):
    module, tagger, bench = lab
    counter = module.Counter(tagger, [-1, -2], 10**10, 10)
    assert np.isnan(counter.getDataNormalized()).any()
    bench.clock.sleep(0.35)
    data = counter.getDataObject()
    assert data.size == 10
    assert data.getData().shape == (2, 10)
    assert np.abs(counter.getData() - 1000).max() < 6 * np.sqrt(1000)
    total = counter.getDataTotalCounts().sum()
    assert total > 10 * counter.getData().sum() / 4


def test_synchronised_measurements_see_identical_tags_and_stop_by_data_time(lab):
    module, tagger, bench = lab
    group = module.SynchronizedMeasurements(tagger)
    rates = [module.Countrate(group.getTagger(), [-1, -2]) for _ in range(2)]
    assert not group.isRunning()
    assert rates[0].getCountsTotal().sum() == 0
    group.startFor(10**11)
    bench.clock.sleep(5.0)
    assert not group.isRunning()
    assert rates[0].getCaptureDuration() == rates[1].getCaptureDuration() == 10**11
    assert rates[0].getCountsTotal().tolist() == rates[1].getCountsTotal().tolist()
    assert rates[0].getCountsTotal().sum() > 10_000


def test_stop_timeout_and_restart(lab):
    module, tagger, bench = lab
    rates = module.Countrate(tagger, [-1])
    assert rates.isRunning()
    rates.startFor(10**13)
    assert rates.waitUntilFinished(timeout=100) is False
    rates.stop()
    counts = rates.getCountsTotal()
    bench.clock.sleep(1.0)
    assert rates.getCountsTotal() == counts
    rates.startFor(10**10, clear=False)
    rates.waitUntilFinished()
    assert rates.getCountsTotal() > counts


def test_virtual_channels(lab):
    module, tagger, _ = lab
    either = module.Combiner(tagger, [-1, -2])
    late = module.DelayedChannel(tagger, -1, 5_000)
    group = module.SynchronizedMeasurements(tagger)
    proxy = group.getTagger()
    rates = module.Countrate(proxy, [-1, -2, either.getChannel(), late.getChannel()])
    delay = module.Histogram(proxy, late.getChannel(), -1, 1000, 10)
    run_for(group, 0.1)
    one, two, both, copied = rates.getCountsTotal().tolist()
    assert both == one + two
    assert abs(copied - one) <= 1
    assert delay.getData()[5] == copied


def test_overflow_is_counted_and_marked(lab):
    module, tagger, bench = lab
    bench.faults["hbt.overflow"] = 0.02
    group = module.SynchronizedMeasurements(tagger)
    proxy = group.getTagger()
    rates = module.Countrate(proxy, [-1])
    counter = module.Counter(proxy, [-1], 10**10, 50)
    tags = module.TimeTagStream(proxy, 10**7, [-1])
    run_for(group, 0.5)
    assert tagger.getOverflows() == 1
    buffer = tags.getData()
    assert buffer.hasOverflows
    missed = int(buffer.getMissedEvents().sum())
    assert missed > 1000
    seen = int((buffer.getEventTypes() == module.TagType.TimeTag).sum())
    assert rates.getCountsTotal()[0] == seen + missed
    assert np.isnan(counter.getDataNormalized()).sum() >= 2
    assert tagger.getOverflowsAndClear() == 1
    assert tagger.getOverflows() == 0


def test_a_collected_measurement_does_not_keep_the_stream_busy(lab):
    module, tagger, _ = lab
    rates = module.Countrate(tagger, [-1])
    assert tagger._stream._running()
    del rates
    assert not tagger._stream._running()


def test_only_one_tagger_and_only_licensed_channels(lab):
    module, tagger, _ = lab
    assert tagger.getChannelList() == (1, 2, 3, 4, -1, -2, -3, -4)
    assert tagger.getChannelList(module.ChannelEdge.Falling) == (-1, -2, -3, -4)
    with pytest.raises(RuntimeError, match="already in use"):
        module.createTimeTagger()
    with pytest.raises(ValueError, match="17"):
        module.Countrate(tagger, [17])
    module.freeTimeTagger(tagger)
    with pytest.raises(RuntimeError, match="not a valid"):
        module.createTimeTagger("1234")
    again = module.createTimeTagger()
    assert again.getConditionalFilterFiltered() == ()


def test_changes_from_another_thread_while_measuring():
    light = Light(rate_Hz=150e3)
    module, tagger, bench = make_tagger(light)
    rates = module.Countrate(tagger, [-1, -2])
    rates.startFor(2 * 10**12)
    done = threading.Event()

    def change():
        while not done.is_set():
            with bench.lock:
                light.rate_Hz = 400e3 - light.rate_Hz
                bench.changed()
            time.sleep(0.0005)

    worker = threading.Thread(target=change)
    worker.start()
    try:
        while rates.isRunning():
            bench.clock.sleep(0.01)
    finally:
        done.set()
        worker.join()
    assert 2 * 150e3 * 0.9 < rates.getCountsTotal().sum() < 2 * 250e3 * 1.1
