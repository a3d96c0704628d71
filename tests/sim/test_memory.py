"""The bench outlives its process: laser and light path are found as they were left."""

import json

import pytest

from cryopl_bluesky.bench_settings import BenchSettings
from cryopl_bluesky.drivers.sepia2 import Sepia2Laser
from cryopl_bluesky.sim.bench import Bench, OpticsState
from cryopl_bluesky.sim.clock import BenchClock
from cryopl_bluesky.sim.lab import VirtualLab
from cryopl_bluesky.sim.memory import Memory
from cryopl_bluesky.sim.sample import Sample
from cryopl_bluesky.sim.sepia2 import Sepia2Library
from cryopl_bluesky.sim.thermal import ThermalModel


def bench_at(path):
    """A bench as a process that has just started finds it."""
    return Bench(BenchClock(speed=1000.0), Sample.named("superlattice"), ThermalModel(5.6), memory=Memory(path))


def laser_on(bench):
    driver = Sepia2Laser(Sepia2Library(bench), bench.clock)
    driver.open()
    return driver


def test_a_laser_that_was_left_on_is_on(tmp_path):
    path = tmp_path / "bench.json"
    bench = bench_at(path)
    laser = laser_on(bench)
    laser.set_repetition_rate(10e6)
    laser.set_intensity(600)
    laser.switch_on()
    left = bench.laser
    assert left.mode == "pulsed"

    found = bench_at(path)
    again = laser_on(found)
    assert found.laser == left
    assert (again.is_locked(), again.repetition_rate_Hz(), again.intensity_permille()) == (False, 10e6, 600)
    again.emergency_off()
    assert bench_at(path).memory.recall("laser", json.loads(path.read_text())["laser"])["soft_lock"] is True


def test_the_light_path_is_found_as_it_was_left(tmp_path):
    path = tmp_path / "bench.json"
    bench = bench_at(path)
    bench.optics.l1_in, bench.optics.l5_in, bench.optics.port, bench.optics.shutter_open = False, True, "hbt", True
    bench.changed()
    optics = bench_at(path).optics
    assert (optics.l1_in, optics.l5_in, optics.port, optics.shutter_open) == (False, True, "hbt", True)


def test_it_is_written_only_when_something_has_changed(tmp_path):
    path = tmp_path / "bench.json"
    bench = bench_at(path)
    bench.optics.shutter_open = True
    bench.changed()
    path.unlink()
    bench.changed()
    assert not path.exists()
    bench.optics.shutter_open = False
    bench.changed()
    assert path.exists()


@pytest.mark.parametrize("content", [
    b"", b"\xff\xfe", b"[1]", b"{", b"3", b'{"optics": 3, "laser": []}', b'{"optics": {"l1_in": 0}}',
    b'{"optics": {"l1_in": false, "l5_in": true, "port": 7, "shutter_open": true}, "laser": {"permille": 600}}',
])
def test_a_file_that_makes_no_sense_is_a_new_bench(tmp_path, caplog, content):
    path = tmp_path / "bench.json"
    path.write_bytes(content)
    bench = bench_at(path)
    assert bench.optics == OpticsState()
    assert laser_on(bench).is_locked()
    assert str(path) in caplog.text


def test_the_sample_is_as_warm_as_it_was_left_and_goes_where_it_was_sent(tmp_path):
    settings = BenchSettings(speed=1000.0, initial_temperature_K=80.0)
    lab = VirtualLab(settings, tmp_path / "bench.json")
    lab.bench.thermal.sample_loop.setpoint_K = 10.0
    lab.clock.sleep(120.0)
    left_K = lab.bench.sample_temperature_K()
    assert 10.0 < left_K < 79.0
    lab.uninstall()
    thermal = VirtualLab(settings, tmp_path / "bench.json").bench.thermal
    assert thermal.sample_K == pytest.approx(left_K, abs=1.0)
    assert (thermal.sample_loop.setpoint_K, thermal.sample_loop.mode) == (10.0, "closed")


def test_without_a_file_nothing_is_kept():
    bench = bench_at(None)
    bench.optics.shutter_open = True
    bench.changed()
    assert not bench_at(None).optics.shutter_open
