"""Time tags to disk in real time, with every live histogram beside them, and back from disk into a kernel."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import numpy as np
import pytest
from tagger_bench import Light, make_bench

from cryopl_bluesky.analysis.photons import CrossCorrelation
from cryopl_bluesky.catalog.tags import ROLES, open_tags
from cryopl_bluesky.devices.hbt import Hbt
from cryopl_bluesky.devices.tag_file import TagFile
from cryopl_bluesky.drivers.tag_tap import TagBlock
from cryopl_bluesky.drivers.tagger_setup import ChannelSettings
from cryopl_bluesky.drivers.timetagger import TimeTagger
from cryopl_bluesky.sim.timetagger import HbtParameters, make_module

LIVE_S = 60.0
RATE_HZ = 2.2e6
"""Photons on both SPADs; of these some 2 x 1 Mcps are counted, the rest falls into the dead time."""
LASER_HZ = 20e6
STORED_TAGS = 20_000_000


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


def bench_stored_tags_into_a_kernel(benchmark, tmp_path):
    """Decoding and correlating a compressed file, one core."""
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.exponential(1e12 / 400e3, STORED_TAGS)).astype(np.int64)
    channels = rng.choice(np.array([-1, -2, -3], np.int8), STORED_TAGS, p=[0.25, 0.25, 0.5])
    settings = {role: ChannelSettings(-number, -0.4, 2_100, 0) for number, role in enumerate(ROLES, 1)}
    file = TagFile(tmp_path / "hbt.h5", channels=settings, settings={}, instrument="hbt")
    file.begin()
    for first in range(0, STORED_TAGS, 100_000):
        file.put(TagBlock(times[first : first + 100_000], channels[first : first + 100_000], ()))
    file.end(begin_ps=0, capture_ps=int(times[-1]), overflows=0)
    file.close()
    best_s = float("inf")

    def correlate() -> int:
        nonlocal best_s
        begin_s = time.process_time()
        pairs = CrossCorrelation(-1, -2, 100, 10_001)
        with open_tags(file.path) as tags:
            for chunk in tags.chunks():
                pairs.add(*chunk)
        best_s = min(best_s, time.process_time() - begin_s)
        return int(pairs.counts.sum())

    found = benchmark.pedantic(correlate, rounds=5, warmup_rounds=1)
    assert found > 0
    benchmark.extra_info["Mtags_per_s"] = STORED_TAGS / best_s / 1e6
    print(f"\n stored tags, decoded and correlated: {STORED_TAGS / best_s / 1e6:.0f} Mtags/s per core, "
          f"{file.path.stat().st_size / STORED_TAGS:.2f} bytes a tag")
