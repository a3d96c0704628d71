"""The interferometer as a Bluesky device, through a RunEngine."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky import plan_stubs as bps
from bluesky.plans import count
from event_model import DocumentNames, schema_validators

sys.path.insert(0, str(Path(__file__).parents[1] / "sim"))
from tagger_bench import Light, make_bench

from cryopl_bluesky.devices.hbt import Hbt
from cryopl_bluesky.drivers.errors import LimitError
from cryopl_bluesky.drivers.timetagger import TimeTagger
from cryopl_bluesky.sim.timetagger import make_module


@pytest.fixture
def hbt(tmp_path):
    bench = make_bench()
    light = Light()
    driver = TimeTagger(make_module(bench, lambda: light), bench.clock)
    driver.open()
    device = Hbt(driver, name="hbt", clock=bench.clock, data_dir=tmp_path)
    device.refresh()
    yield device
    device.shutdown()


@pytest.fixture
def RE():
    return RunEngine({}, call_returns_result=True)


def run(RE, plan):
    documents = []
    RE(plan, lambda name, document: documents.append((name, document)))
    for name, document in documents:
        schema_validators[DocumentNames[name]].validate(document)
    descriptor = next(d for n, d in documents if n == "descriptor")
    return descriptor, [d["data"] for n, d in documents if n == "event"]


def test_decay_and_g2_arrive_in_the_event(hbt, RE):
    def plan():
        yield from bps.mv(
            hbt.record, "decay+g2", hbt.duration_s, 2.0, hbt.g2_binwidth_ps, 400_000, hbt.g2_bins, 21
        )
        yield from count([hbt])

    descriptor, (data,) = run(RE, plan())
    keys = descriptor["data_keys"]
    assert keys["hbt_decay_spad1"]["shape"] == [25_000]
    assert keys["hbt_decay_spad1"]["dtype_numpy"] == keys["hbt_g2_histogram"]["dtype_numpy"] == "<i8"
    assert keys["hbt_g2_histogram"]["shape"] == [21]
    assert data["hbt_decay_spad1"].dtype == np.int64
    assert abs(data["hbt_decay_spad1"].sum() - data["hbt_spad1_counts"]) <= 2
    assert data["hbt_g2_histogram"].sum() > 1000
    assert data["hbt_spad1_rate_Hz"] == pytest.approx(20e3, rel=0.05)
    assert data["hbt_sync_rate_Hz"] == pytest.approx(2.5e6, rel=1e-3)
    assert data["hbt_capture_duration_s"] == 2.0
    assert data["hbt_overflows"] == 0
    configuration = descriptor["configuration"]["hbt"]["data"]
    assert configuration["hbt_decay_binwidth_ps"] == 16
    assert configuration["hbt_spad1_trigger_level_V"] == pytest.approx(-0.4, abs=2e-3)
    assert descriptor["hints"]["hbt"]["fields"] == ["hbt_spad1_rate_Hz", "hbt_spad2_rate_Hz"]


def test_only_what_is_recorded_is_in_the_event(hbt, RE):
    def plan(record):
        yield from bps.mv(hbt.record, record, hbt.duration_s, 0.1)
        yield from count([hbt])

    for record, has_decay, has_g2 in (("rates", False, False), ("g2", False, True), ("decay", True, False)):
        descriptor, (data,) = run(RE, plan(record))
        assert ("hbt_decay_spad1" in data, "hbt_g2_histogram" in data) == (has_decay, has_g2)
        assert set(data) == set(descriptor["data_keys"])


def test_decay_histogram_covers_one_period(hbt):
    assert hbt.decay_bins.get() == 25_000
    hbt.repetition_rate_Hz.set(40e6).wait(5)
    assert hbt.decay_bins.get() == 1562
    hbt.decay_binwidth_ps.set(50).wait(5)
    assert hbt.decay_bins.get() == 500
    hbt.decay_bins.set(100).wait(5)
    assert hbt.describe()["hbt_decay_spad1"]["shape"] == [100]
    with pytest.raises(LimitError, match="decay_binwidth_ps"):
        hbt.decay_binwidth_ps.set(0)
    with pytest.raises(LimitError, match="record"):
        hbt.record.set("spectrum")


def test_stop_ends_the_acquisition(hbt):
    hbt.duration_s.set(1e5).wait(5)
    status = hbt.trigger()
    hbt.make_safe()
    deadline = 50
    while not status.done and deadline:
        hbt.stop()
        deadline -= 1
        __import__("time").sleep(0.05)
    with pytest.raises(Exception, match="stopped"):
        status.wait(1)
    hbt.duration_s.set(0.1).wait(5)
    hbt.trigger().wait(20)
    assert hbt.spad1_counts.get() > 1000
