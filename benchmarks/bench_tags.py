"""Time tags to disk in real time, with every live histogram beside them, and back from disk into a kernel."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import pytest
from tagger_bench import Light, make_bench

from cryopl_bluesky.catalog.tags import open_tags
from cryopl_bluesky.devices.hbt import Hbt
from cryopl_bluesky.drivers.timetagger import TimeTagger
from cryopl_bluesky.sim.timetagger import HbtParameters, make_module

LIVE_S = 60.0
RATE_HZ = 2.2e6
"""Photons on both SPADs; of these some 2 x 1 Mcps are counted, the rest falls into the dead time."""
LASER_HZ = 20e6


@pytest.fixture
def hbt(tmp_path):
    bench = make_bench(speed=1.0)
    bench.laser.repetition_rate_Hz = LASER_HZ
    light = Light(rate_Hz=RATE_HZ, repetition_rate_Hz=LASER_HZ)
    driver = TimeTagger(make_module(bench, lambda: light, HbtParameters()), bench.clock, repetition_rate_Hz=LASER_HZ)
    driver.open()
    device = Hbt(driver, name="hbt", clock=bench.clock, data_dir=tmp_path)
    device.refresh()
    for name, value in {"record": "decay+g2", "decay_binwidth_ps": 16, "g2_binwidth_ps": 100, "g2_bins": 10_001,
                        "store_tags": True}.items():
        getattr(device, name).set(value).wait(10)
    yield device
    device.shutdown()


def count(hbt: Hbt, seconds: float) -> dict[str, object]:
    hbt.duration_s.set(seconds).wait(10)
    hbt.trigger().wait(2 * seconds + 60)
    return {key: reading["value"] for key, reading in hbt.read().items()}


def bench_live_recording(benchmark, hbt):
    count(hbt, 1.0)  # kernels compile
    cpu_s = time.process_time()
    data = benchmark.pedantic(count, (hbt, LIVE_S), rounds=1)
    cpu_s = time.process_time() - cpu_s
    hbt.tags.close()
    with open_tags(data["hbt_tag_file"]) as tags:
        stored = tags.acquisitions[-1].stop_tag - tags.acquisitions[-1].first_tag
        size = Path(data["hbt_tag_file"]).stat().st_size / tags.number
        assert not tags.losses
    photons = data["hbt_spad1_counts"] + data["hbt_spad2_counts"]
    assert data["hbt_overflows"] == 0
    assert photons / LIVE_S > 1.9e6 and stored > photons
    benchmark.extra_info.update(tags=stored, cores=cpu_s / LIVE_S)
    print(f"\n {LIVE_S:g} s live: {photons / LIVE_S / 1e6:.2f} Mcps + sync = {stored / LIVE_S / 1e6:.2f} Mtags/s "
          f"on disk, 0 lost of {stored}, {size:.2f} bytes a tag, {cpu_s / LIVE_S:.2f} cores with the bench's own "
          f"photons, {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
