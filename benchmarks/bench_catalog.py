"""How soon a second process sees the rows and frames of a measurement that is going on."""

from __future__ import annotations

import subprocess
import sys
import time

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from catalog_rig import Rig, frame, measure
from test_catalog_processes import _WATCHER

EVENTS = 10


def bench_second_process(benchmark, tmp_path):
    rig = Rig(tmp_path)
    measure(rig, 1)
    assert rig.feeder.wait_until_delivered(20)
    other = subprocess.Popen([sys.executable, "-c", _WATCHER, str(rig.folder.root)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdin is not None and other.stdout is not None and other.stdout.readline() == "ready\n"
    delays_s: list[float] = []

    @bpp.stage_decorator([rig.camera])
    @bpp.run_decorator(md={})
    def plan():
        for index in range(EVENTS):
            yield from bps.trigger_and_read([rig.camera, rig.tagger])
            written = time.time()
            other.stdin.write(f"{index + 1}\n")
            other.stdin.flush()
            _, value, seen = other.stdout.readline().split()
            assert int(value) == frame(index)[2, 3]
            delays_s.append(float(seen) - written)

    rig.tagger.index = rig.tagger.fraction = 0
    benchmark.pedantic(rig.RE, (plan(),), rounds=1)
    other.stdin.close()
    other.wait(20)
    rig.close()
    benchmark.extra_info["slowest_s"] = max(delays_s)
    print(f"\n a second process sees an event after {min(delays_s):.2f} to {max(delays_s):.2f} s ({EVENTS} events)")
    assert max(delays_s) < 2.0, delays_s
