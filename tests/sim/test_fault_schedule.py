"""Faults that strike by themselves."""

from __future__ import annotations

import pytest

from cryopl_bluesky.bench_settings import BenchSettings, FaultSettings, RandomFaultSettings
from cryopl_bluesky.settings_file import parse_toml
from cryopl_bluesky.sim.bench import Bench
from cryopl_bluesky.sim.clock import BenchClock
from cryopl_bluesky.sim.fault_schedule import NIGHT_FAULTS, FaultSchedule, draw_faults
from cryopl_bluesky.sim.sample import Sample
from cryopl_bluesky.sim.thermal import ThermalModel


@pytest.fixture
def bench():
    return Bench(clock=BenchClock(1000.0), sample=Sample.named("superlattice"), thermal=ThermalModel(8.0))


def test_a_fault_comes_and_goes_at_its_time(bench):
    schedule = FaultSchedule(bench, [
        FaultSettings(name="camera.no_frames", at_s=10.0, lasts_s=20.0),
        FaultSettings(name="cryostat.stall", at_s=40.0, value=5.0),
    ])
    try:
        seen = []
        for _ in range(6):
            bench.clock.sleep(10.0)
            bench.clock.sleep(2.0)
            seen.append(dict(bench.faults))
    finally:
        schedule.stop()
    assert seen[0] == seen[1] == {"camera.no_frames": 1.0}  # after 12 and 24 s
    assert seen[2] == {}  # 36 s
    assert seen[3] == seen[5] == {"cryostat.stall": 5.0}


def test_a_seed_gives_the_same_faults_again():
    settings = RandomFaultSettings(seed=3, number=40, within_s=500.0)
    faults = draw_faults(settings)
    assert faults == draw_faults(settings) != draw_faults(settings.model_copy(update={"seed": 4}))
    assert [fault.at_s for fault in faults] == sorted(fault.at_s for fault in faults)
    for fault in faults:
        kind = NIGHT_FAULTS[fault.name]
        assert fault.value in kind.values and 0 <= fault.lasts_s <= kind.longest_s and fault.at_s < 500.0


def test_the_example_of_the_reference_is_valid():
    settings = parse_toml("""
        faults = [{name = "camera.no_frames", at_s = 600, lasts_s = 60}]
        random_faults = {seed = 3, number = 6, within_s = 3600}
    """, BenchSettings, "bench")
    assert settings.faults[0].lasts_s == 60 and settings.random_faults is not None
