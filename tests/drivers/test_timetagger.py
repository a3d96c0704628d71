"""The interferometer's driver on the virtual tagger: truth comes back, and what is wrong is said."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "sim"))
from tagger_bench import Light, make_bench

from cryopl_bluesky.drivers.errors import InstrumentError, LimitError, NotConnectedError
from cryopl_bluesky.drivers.tagger_acquisition import AcquisitionSettings
from cryopl_bluesky.drivers.timetagger import TimeTagger
from cryopl_bluesky.sim.timetagger import HbtParameters, make_module

PTU = Path(__file__).parents[1] / "data" / "picoquant" / "hydraharp_v10_t3.ptu"
QUIET = HbtParameters(dark_Hz=0.0, afterpulsing=0.0)
BOTH = frozenset({"rates", "decay", "g2"})


def connect(light=None, bench=None, parameters=QUIET, **settings):
    bench = bench or make_bench()
    light = light or Light()
    driver = TimeTagger(make_module(bench, lambda: light, parameters), bench.clock, **settings)
    driver.open()
    return driver, bench


def g2_at_zero(histogram, bins_per_period, periods):
    """Central peak over the mean side peak, full-period windows."""
    centre = len(histogram) // 2
    shift = centre - bins_per_period // 2
    peaks = {
        k: int(histogram[shift + k * bins_per_period :][:bins_per_period].sum())
        for k in range(-periods, periods + 1)
    }
    side = np.array([n for k, n in peaks.items() if k])
    value = peaks[0] / side.mean()
    return value, value * np.sqrt(1 / max(1, peaks[0]) + 1 / side.sum())


@pytest.mark.parametrize("g2_0", [1.0, 0.26])
def test_g2_and_lifetime_come_back(g2_0):
    driver, _ = connect(Light(g2_0=g2_0), input_delays_ps=(0, -1_700, 0))
    data = driver.acquire(
        AcquisitionSettings(60.0, decay_bins=25_000, g2_binwidth_ps=4_000, g2_bins=100 * 81 + 1, kinds=BOTH)
    )
    value, sigma = g2_at_zero(data.g2, 100, 40)
    assert abs(value - g2_0) < 3 * sigma
    assert sigma < 0.03
    assert data.g2.dtype == data.decay_spad1.dtype == np.int64
    for decay, counts in ((data.decay_spad1, data.spad1_counts), (data.decay_spad2, data.spad2_counts)):
        assert abs(decay.sum() - counts) <= 2
        mean_ns = decay @ ((np.arange(25_000) + 0.5) * 0.016) / decay.sum()
        assert abs(mean_ns - (3.0 + 4.0 + 0.003)) < 4 * 4.0 / np.sqrt(counts)
    assert data.spad1_rate_Hz == data.spad1_counts / data.capture_duration_s
    assert abs(data.spad1_rate_Hz - 20e3) < 100
    assert data.sync_rate_Hz == pytest.approx(2.5e6, rel=1e-4)
    assert data.capture_duration_s == 60.0
    assert data.overflows == 0


def test_real_photons_give_the_published_g2():
    bench = make_bench()
    bench.replay = PTU
    driver, _ = connect(Light(rate_Hz=0.0), bench, HbtParameters(), input_delays_ps=(0, -1_700, 0))
    data = driver.acquire(AcquisitionSettings(30.0, g2_binwidth_ps=4_000, g2_bins=100 * 2001 + 1, kinds=BOTH))
    value, _ = g2_at_zero(data.g2, 100, 1000)
    assert value == pytest.approx(0.281, abs=0.085)
    assert abs(data.spad1_counts - 48_001) < 10
    assert abs(data.spad2_counts - 46_559) < 10


def test_settings_are_read_back():
    driver, _ = connect(input_delays_ps=(0, -1_700, 25))
    assert driver.channels["spad1"].trigger_level_V == pytest.approx(-0.4, abs=2e-3)
    assert driver.channels["spad2"].input_delay_ps == -1_700
    assert driver.serial == HbtParameters().serial
    assert driver.set_repetition_rate(20e6) == 20e6
    state = driver.configuration()["inputs"][2]
    assert state["delay software"][1] == -50_000
    assert state["conditional filter filtered"] == [False, True]
    assert state["event divider"] == [200, 1]


def test_dark_counts_need_no_laser_and_light_does():
    driver, bench = connect(Light(rate_Hz=0.0, repetition_rate_Hz=None), parameters=HbtParameters())
    bench.laser.mode = "off"
    bench.changed()
    dark = driver.count_rates(100.0)
    assert abs(dark.spad1_counts - 3030) < 5 * np.sqrt(3030)
    assert dark.sync_rate_Hz == 0.0
    assert dark.decay_spad1 is None
    with pytest.raises(InstrumentError, match="no laser sync"):
        driver.acquire(AcquisitionSettings(600.0, kinds=frozenset({"decay"})))
    assert bench.clock.monotonic() < 110.0  # found at the beginning, not after ten minutes
    assert not driver.is_running()


def test_a_wrong_laser_rate_is_found():
    driver, _ = connect(repetition_rate_Hz=5e6)
    with pytest.raises(InstrumentError, match=r"runs at 2\.5\d*e\+06 Hz, not at 5e\+06 Hz"):
        driver.acquire(AcquisitionSettings(10.0, kinds=BOTH))


def test_lost_tags_fail_unless_allowed():
    driver, bench = connect()
    bench.faults["hbt.overflow"] = 0.01
    with pytest.raises(InstrumentError, match=r"1 buffer overflow\(s\)"):
        driver.acquire(AcquisitionSettings(0.5, kinds=BOTH))
    data = driver.acquire(AcquisitionSettings(0.5, kinds=BOTH, allow_overflows=True, g2_bins=101))
    assert data.overflows >= 0


def test_missing_sync_cable():
    driver, bench = connect()
    bench.faults["hbt.no_sync"] = 1.0
    with pytest.raises(InstrumentError, match="no laser sync"):
        driver.acquire(AcquisitionSettings(1.0, kinds=frozenset({"decay"})))


def test_stop_from_another_thread():
    bench = make_bench(speed=1.0)
    driver, _ = connect(bench=bench)
    threading.Timer(0.3, driver.stop).start()
    with pytest.raises(InstrumentError, match="stopped"):
        driver.acquire(AcquisitionSettings(60.0))
    assert driver.acquire(AcquisitionSettings(0.05)).capture_duration_s == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("duration_s", 0.0),
        ("decay_bins", 0),
        ("g2_binwidth_ps", -1),
        ("decay_binwidth_ps", 0),
        ("kinds", frozenset({"spectrum"})),
    ],
)
def test_bad_settings_are_refused_by_name(setting, value):
    driver, _ = connect()
    with pytest.raises(LimitError, match=setting):
        driver.start(AcquisitionSettings(**{"duration_s": 1.0, setting: value}))
    assert not driver.is_running()
    with pytest.raises(LimitError, match="repetition_rate_Hz"):
        driver.set_repetition_rate(0.0)


def test_connection_errors_say_what_to_do():
    bench = make_bench()
    bench.faults["hbt.missing"] = 1.0
    driver = TimeTagger(make_module(bench, Light), bench.clock)
    with pytest.raises(NotConnectedError, match="USB cable"):
        driver.open()
    bench.faults.clear()
    with pytest.raises(InstrumentError, match="channel -9"):
        TimeTagger(driver._vendor, bench.clock, spad1=-9).open()
    with driver:
        with pytest.raises(NotConnectedError, match="already in use"):
            TimeTagger(driver._vendor, bench.clock).open()
        with pytest.raises(InstrumentError, match="no acquisition"):
            driver.result()
    with pytest.raises(NotConnectedError, match="not open"):
        driver.acquire(AcquisitionSettings(1.0))


def test_a_full_histogram_bin_is_an_error():
    driver, bench = connect()
    driver.start(AcquisitionSettings(0.05, kinds=frozenset({"decay"})))
    bench.clock.sleep(0.1)
    assert not driver.is_running()
    driver._running._decays[0]._counts[3] = 2**31 - 1
    with pytest.raises(InstrumentError, match="full"):
        driver.result()
