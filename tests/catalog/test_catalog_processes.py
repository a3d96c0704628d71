"""Several processes on one data folder: watching, measuring together, dying, coming back."""


from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import psutil
import pytest
from catalog_rig import Rig, assert_whole, frame, measure, pause

from cryopl_bluesky.catalog.access import CatalogUnreachableError, open_catalog, read_catalog
from cryopl_bluesky.catalog.journal import Journal
from cryopl_bluesky.catalog.queries import find_run, runs_table
from cryopl_bluesky.catalog.recovery import INTERRUPTED, delivered_list, recover
from cryopl_bluesky.catalog.writer import Feeder

MEASURING = Path(__file__).with_name("measuring_process.py")


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    rig = Rig(tmp_path_factory.mktemp("data"))
    yield rig
    rig.close()


def test_a_second_process_sees_rows_and_frames_of_a_running_measurement(rig, tmp_path):
    """The other process reads through `read_catalog`, this one measures, as in the laboratory."""
    measure(rig, 1)
    assert rig.feeder.wait_until_delivered(20)
    other = subprocess.Popen([sys.executable, "-c", _WATCHER, str(rig.folder.root)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None and other.stdin is not None
    assert other.stdout.readline() == "ready\n"
    delays = []

    @bpp.stage_decorator([rig.camera])
    @bpp.run_decorator(md={})
    def plan():
        assert other.stdin is not None and other.stdout is not None
        yield from bps.null()
        for index in range(3):
            yield from bps.trigger_and_read([rig.camera, rig.tagger])
            written = time.time()
            other.stdin.write(f"{index + 1}\n")
            other.stdin.flush()
            count, value, seen = other.stdout.readline().split()
            assert int(count) == index + 1 and int(value) == frame(index)[2, 3]
            delays.append(float(seen) - written)

    rig.tagger.index, rig.tagger.fraction = 0, 0
    rig.RE(plan())
    rig.tagger.fraction = 0.25
    other.stdin.close()
    assert other.wait(20) == 0
    assert max(delays) < 20.0, delays  # benchmarks/bench_catalog.py says how fast it is


_WATCHER = """
import sys, time, threading
from cryopl_bluesky.catalog.access import read_catalog
from cryopl_bluesky.catalog.load import load_measurement
from cryopl_bluesky.catalog.queries import find_run
catalog = read_catalog(sys.argv[1])
assert catalog.role == "attached" and not catalog.owner
find_run(catalog.client, "last")
print("ready", flush=True)
for line in sys.stdin:
    wanted = int(line)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        run = load_measurement(find_run(catalog.client, "last"))
        frames = run.frames.get("camera_image")
        if run.stop is None and run.num_events >= wanted and frames is not None and len(frames) >= wanted:
            print(run.num_events, frames[wanted - 1, 2, 3], time.time(), flush=True)
            break
        threading.Event().wait(0.2)
"""


def test_two_processes_measure_into_one_folder(rig):
    other = start_measuring(rig.folder.root, 3, 0.0)
    uid = read_line(other)
    mine = [measure(rig, 3) for _ in range(3)]
    while read_line(other) != "done":
        pass
    # The other process waits for us to look: its run is closed in the journal, so it is not "interrupted".
    finish(other)
    assert rig.feeder.wait_until_delivered(20)
    client = rig.catalog.client
    for run in [uid, *mine]:
        assert_whole(client, run, 3)
    scan_ids = [row.scan_id for row in runs_table(client, 100)]
    assert len(set(scan_ids)) == len(scan_ids)


def test_server_gone_in_mid_run_then_back(tmp_path):
    """The plan does not notice; afterwards the run is in the catalog once, and whole, the next day too."""
    rig = Rig(tmp_path)
    slowest = 0.0

    @bpp.stage_decorator([rig.camera])
    @bpp.run_decorator(md={})
    def plan():
        nonlocal slowest
        for index in range(12):
            begin = time.monotonic()
            yield from bps.trigger_and_read([rig.camera, rig.tagger])
            slowest = max(slowest, time.monotonic() - begin)
            if index == 3:
                assert rig.feeder.wait_until_delivered(20)
                closing = threading.Thread(target=rig.catalog.close)
                closing.start()
            pause(0.1)

    rig.RE(plan())
    assert slowest < 1.0
    assert not rig.feeder.wait_until_delivered(0.5)
    assert rig.feeder.status().pending_documents > 0
    uid = rig.journal.directory.glob("*.jsonl").__next__().stem
    rig.catalog.reattach()
    assert rig.feeder.wait_until_delivered(40), rig.feeder.status()
    client = rig.catalog.client
    assert_whole(client, uid, 12)
    assert list(client) == [uid]
    rig.close()
    with pytest.raises(CatalogUnreachableError, match="closed"):
        _ = rig.catalog.client
    with read_catalog(tmp_path) as reading:  # nobody serves any more
        assert reading.role == "reader"
        assert_whole(reading.client, uid, 12)
        with pytest.raises(Exception, match=r"readonly|500"):
            reading.client.create_container("x" * 36, metadata={})


def test_a_server_that_dies_is_replaced_and_nothing_is_missing(rig):
    for points in (2, 3):
        (server,) = serving(os.getpid())
        uid = measure(rig, points)
        server.kill()
        assert rig.feeder.wait_until_delivered(60), rig.feeder.status()
        assert_whole(rig.catalog.client, uid, points)
        assert rig.catalog.owner
        assert not server.is_running()


def test_killed_in_mid_run_then_recovered(tmp_path):
    process = start_measuring(tmp_path, 8, 0.15, "--die")
    uid = read_line(process)
    attached = read_catalog(tmp_path)
    assert attached.role == "attached"
    servers = serving(process.pid)
    assert len(servers) == 1
    assert process.wait(60) != 0
    _, alive = psutil.wait_procs(servers, timeout=10)
    assert not alive  # the server ends with its session
    with pytest.raises(CatalogUnreachableError, match="reattach"):
        _ = attached.client
    attached.close()
    with open_catalog(tmp_path) as catalog:
        known = delivered_list(catalog.folder)
        report = recover(catalog.folder.journal, catalog.client, known=known)
        assert [(item.uid, item.what) for item in report] == [(uid, "closed")]
        assert_whole(catalog.client, uid, 7)
        stop = catalog.client[uid].metadata["stop"]
        assert (stop["exit_status"], stop["reason"]) == ("abort", INTERRUPTED)
        assert recover(catalog.folder.journal, catalog.client, known=known) == []
        assert recover(catalog.folder.journal, catalog.client) == []
        # A run that the catalog never heard of, delivered by the feeder of the new session.
        journal = Journal(catalog.folder.journal)
        journal("start", {"uid": "0" * 36, "time": 1.0})
        journal("stop", {"uid": "s", "run_start": "0" * 36, "time": 2.0, "exit_status": "success",
                         "num_events": {}})
        feeder = Feeder(catalog.folder.journal, catalog.connect)
        feeder.enqueue(["0" * 36])
        assert feeder.wait_until_delivered(20)
        assert feeder.close()
        assert find_run(catalog.client, "-2").metadata["start"]["uid"] == "0" * 36


def start_measuring(folder: Path, points: int, period_s: float, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(MEASURING), str(folder), str(points), str(period_s), *options]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=MEASURING.parent)


def serving(pid: int) -> list[psutil.Process]:
    """The servers of a process that are alive."""
    return [child for child in psutil.Process(pid).children()
            if child.status() != psutil.STATUS_ZOMBIE and "cryopl_bluesky.catalog.serve" in child.cmdline()]


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the process ended"
    return line.strip()


def finish(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.close()
    assert process.wait(60) == 0
