"""The photons of the virtual tagger: rates, lifetimes, antibunching, dead time, filter, real photons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tagger_bench import PERIOD_PS, Light, make_bench, make_tagger, run_for

from cryopl_bluesky.sim.timetagger import HbtParameters

PTU = Path(__file__).parents[1] / "data" / "picoquant" / "hydraharp_v10_t3.ptu"
CLEAN = HbtParameters(dark_Hz=0.0, afterpulsing=0.0)


def stream_of(module, tagger, channels, seconds):
    group = module.SynchronizedMeasurements(tagger)
    stream = module.TimeTagStream(group.getTagger(), 10**8, channels)
    run_for(group, seconds)
    buffer = stream.getData()
    return buffer.getTimestamps(), buffer.getChannels()


def pulsed_g2(module, tagger, seconds, side=100, channels=(-2, -1)):
    group = module.SynchronizedMeasurements(tagger)
    g2 = module.Correlation(group.getTagger(), *channels, PERIOD_PS, 2 * side + 1)
    run_for(group, seconds)
    pairs = g2.getData().astype(int)
    centre, sides = pairs[side], np.delete(pairs, side)
    value = centre / sides.mean()
    return value, value * np.sqrt(1 / max(1, centre) + 1 / sides.sum())


@pytest.mark.parametrize(
    ("g2_0", "rate_Hz"), [(1.0, 40e3), (0.26, 40e3), (0.0, 40e3), (1.7, 40e3), (0.4, 400e3)]
)
def test_pulsed_g2_is_what_was_set(g2_0, rate_Hz):
    # No cable difference, so that whole-period windows are centred on the pulses; no dead time, because it
    # hides the second photon of a pulse on the same SPAD and so lowers the side peaks by g2 <n>/2.
    parameters = HbtParameters(
        dark_Hz=0.0, afterpulsing=0.0, cable2_ps=0, dead_time_ps=0, tagger_dead_time_ps=0
    )
    module, tagger, _ = make_tagger(Light(g2_0=g2_0, rate_Hz=rate_Hz), parameters=parameters)
    value, sigma = pulsed_g2(module, tagger, 60.0 if rate_Hz < 1e5 else 5.0)
    assert abs(value - g2_0) < 3 * max(sigma, 0.003)
    assert sigma < 0.05


def test_background_raises_g2_by_the_signal_fraction():
    light = Light(g2_0=0.26, rate_Hz=36e3, background_Hz=2e3)  # signal fraction 0.9 on each SPAD
    module, tagger, _ = make_tagger(
        light, parameters=HbtParameters(dark_Hz=0.0, afterpulsing=0.0, cable2_ps=0)
    )
    value, sigma = pulsed_g2(module, tagger, 60.0)
    assert abs(value - (1 - 0.9**2 * (1 - 0.26))) < 3 * sigma


def test_constant_excitation_dips_with_the_lifetime():
    light = Light(g2_0=0.2, rate_Hz=2e5, lifetimes_ns=(30.0,), repetition_rate_Hz=None)
    parameters = HbtParameters(dark_Hz=0.0, afterpulsing=0.0, cable2_ps=0)
    module, tagger, bench = make_tagger(light, parameters=parameters, filtered=False)
    bench.laser.mode = "cw"
    group = module.SynchronizedMeasurements(tagger)
    g2 = module.Correlation(group.getTagger(), -2, -1, 10_000, 101)
    run_for(group, 60.0)
    tau_ns = g2.getIndex() / 1e3
    # Mean of the model over each 10 ns bin.
    fine = tau_ns[:, None] + np.linspace(-4.5, 4.5, 10)
    model = (1 - 0.8 * np.exp(-np.abs(fine) / 30.0)).mean(axis=1)
    counts = g2.getData()
    expected = model * counts.sum() / model.sum()
    assert ((counts - expected) ** 2 / expected).sum() < 101 + 5 * np.sqrt(2 * 101)


def test_decay_has_the_mean_lifetime_and_all_photons():
    light = Light(fractions=(0.9, 0.1), lifetimes_ns=(3.0, 20.0), rate_Hz=100e3)
    module, tagger, _ = make_tagger(light, parameters=CLEAN)
    group = module.SynchronizedMeasurements(tagger)
    proxy = group.getTagger()
    decays = [module.Histogram(proxy, c, -3, 16, PERIOD_PS // 16) for c in (-1, -2)]
    counts = module.Countrate(proxy, [-1, -2])
    run_for(group, 10.0)
    for decay, total, delay_ns in zip(decays, counts.getCountsTotal(), (3.0, 4.7), strict=True):
        data = decay.getData()
        assert data.dtype == np.int32
        assert abs(int(data.sum()) - total) <= 2
        time_ns = (decay.getIndex() + 8) / 1e3
        mean_ns = (data @ time_ns) / data.sum()
        spread_ns = np.sqrt(data @ (time_ns - mean_ns) ** 2 / data.sum())
        # The dead time after a click of the same pulse hides nothing here; the tail of 1 % x 0.3 ns counts.
        assert abs(mean_ns - (delay_ns + 0.9 * 3.0 + 0.1 * 20.0 + 0.003)) < 4 * spread_ns / np.sqrt(total)


def test_rates_dead_time_and_darks():
    module, tagger, _ = make_tagger(
        Light(rate_Hz=2e6, repetition_rate_Hz=None), parameters=CLEAN, filtered=False
    )
    times, channels = stream_of(module, tagger, [-1, -2], 2.0)
    for channel in (-1, -2):
        own = times[channels == channel]
        assert np.diff(own).min() >= 77_000 - 6_000  # jitter and tail of both clicks
        expected = 1e6 / (1 + 1e6 * 77e-9)
        assert abs(len(own) / 2.0 - expected) < 5 * np.sqrt(expected / 2.0)
    module, tagger, _ = make_tagger(Light(rate_Hz=0.0), parameters=HbtParameters(afterpulsing=0.0))
    times, channels = stream_of(module, tagger, [-1, -2], 100.0)
    assert abs(len(times) - 6000) < 5 * np.sqrt(6000)


def test_splitting_and_afterpulses():
    module, tagger, _ = make_tagger(Light(rate_Hz=20e3), parameters=HbtParameters(dark_Hz=0.0))
    times, channels = stream_of(module, tagger, [-1, -2], 20.0)
    first = times[channels == -1]
    assert abs(len(first) / len(times) - 0.5) < 5 * 0.5 / np.sqrt(len(times))
    close = np.count_nonzero(np.diff(first) < 500_000)
    accidental = len(first) * 10e3 * (500e-9 - 77e-9)
    assert abs(close - accidental - 0.01 * len(first)) < 5 * np.sqrt(close)


def test_conditional_filter_keeps_the_next_pulse_once():
    module, tagger, _ = make_tagger(Light(rate_Hz=1e6), parameters=CLEAN)
    tagger.setDelaySoftware(-3, 0)
    times, channels = stream_of(module, tagger, [-1, -2, -3], 0.2)
    syncs, clicks = times[channels == -3], times[channels != -3]
    # Each click is followed by a sync within one period (plus jitter), and no sync comes without a click.
    following = np.searchsorted(syncs, clicks[:-10])
    assert ((syncs[following] - clicks[:-10]) <= PERIOD_PS + 100).all()
    before = np.searchsorted(clicks, syncs[10:]) - 1
    assert ((syncs[10:] - clicks[before]) <= PERIOD_PS + 100).all()
    assert np.diff(syncs).min() > PERIOD_PS - 200
    assert len(syncs) < len(clicks)


def test_unfiltered_sync_and_divider():
    module, tagger, _ = make_tagger(Light(rate_Hz=0.0), filtered=False)
    times, _ = stream_of(module, tagger, [-3], 0.1)
    assert abs(len(times) - 250_000) <= 1
    assert abs(np.diff(times).mean() - PERIOD_PS) < 1
    tagger.setEventDivider(-3, 250)
    times, _ = stream_of(module, tagger, [-3], 0.1)
    assert abs(len(times) - 1_000) <= 1


def test_trigger_level_beyond_the_pulse_gives_nothing():
    module, tagger, _ = make_tagger(Light(), parameters=CLEAN)
    tagger.setTriggerLevel(-1, -1.2)
    _, channels = stream_of(module, tagger, [-1, -2], 0.1)
    assert set(channels.tolist()) == {-2}


def test_light_changes_cut_the_stream():
    light, bench = Light(rate_Hz=0.0), make_bench()
    module, tagger, _ = make_tagger(light, bench, CLEAN)
    counter = module.Counter(tagger, [-1, -2], 10**10, 100)
    counter.startFor(10**12)
    bench.clock.sleep(0.4)
    light.rate_Hz = 1e5
    bench.changed()
    changed_s = bench.clock.monotonic()
    bench.clock.sleep(0.3)
    light.rate_Hz = 0.0
    bench.changed()
    counter.waitUntilFinished()
    counts = counter.getData().sum(axis=0)
    assert changed_s > 0.4
    assert counts[:38].sum() == 0
    assert abs(counts.sum() - 0.3e5) < 0.15e5
    assert counts[-1] == 0


def test_the_same_seed_gives_the_same_photons():
    runs = [stream_of(*make_tagger(Light(), make_bench())[:2], [-1, -2], 0.5)[0] for _ in range(2)]
    n = min(len(runs[0]), len(runs[1]), 1000)
    assert n > 500
    assert abs(len(runs[0]) - len(runs[1])) < 600


class TestRecordedPhotons:
    @pytest.fixture
    def replaying(self):
        bench = make_bench()
        bench.replay = PTU
        return make_tagger(Light(rate_Hz=0.0), bench, HbtParameters(cable2_ps=0))

    def test_every_photon_and_its_pulse_come_back(self, replaying):
        module, tagger, _ = replaying
        times, channels = stream_of(module, tagger, [-1, -2, -3], 32.0)
        assert (channels == -1).sum() == 48_001
        assert (channels == -2).sum() == 46_559
        syncs = times[channels == -3]
        pulses = [
            np.rint(
                (syncs[np.searchsorted(syncs, times[channels == c] + 40, side="right") - 1] - syncs[0])
                / PERIOD_PS
            )
            for c in (-1, -2)
        ]
        lags = np.arange(-1000, 1001)
        ones = [np.bincount(p.astype(int), minlength=76_000_000) for p in pulses]
        pairs = [int(ones[1][pulses[0].astype(int)[pulses[0] + k >= 0] + k].sum()) for k in range(-5, 6)]
        assert pairs == [39, 36, 36, 38, 33, 11, 36, 33, 37, 48, 45]
        side = [int(ones[1][pulses[0].astype(int)[pulses[0] + k >= 0] + k].sum()) for k in lags if k]
        assert np.mean(side) == pytest.approx(39.11, abs=0.05)

    def test_g2_of_the_single_emitter(self, replaying):
        module, tagger, _ = replaying
        value, _ = pulsed_g2(module, tagger, 31.0, side=1000)
        assert value == pytest.approx(0.281, abs=0.085)

    def test_silence_after_the_end_and_darks_behind_a_closed_shutter(self, replaying):
        module, tagger, bench = replaying
        stream_of(module, tagger, [-1], 31.0)
        assert len(stream_of(module, tagger, [-1], 5.0)[0]) == 0
        bench.optics.shutter_open = False
        bench.changed()
        assert 60 < len(stream_of(module, tagger, [-1], 5.0)[0]) < 300
