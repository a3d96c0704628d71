"""Time tags on their way out of the tagger: all of them, in order, with what was lost."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "sim"))
from tagger_bench import Light, make_bench

from cryopl_bluesky.drivers.errors import InstrumentError
from cryopl_bluesky.drivers.tag_tap import TagBlock
from cryopl_bluesky.drivers.tagger_acquisition import AcquisitionSettings
from cryopl_bluesky.drivers.timetagger import TimeTagger
from cryopl_bluesky.sim.timetagger import make_module

RECORDING = frozenset({"rates", "decay", "g2", "tags"})


@pytest.fixture
def tagger():
    bench = make_bench()
    with TimeTagger(make_module(bench, lambda: Light()), bench.clock) as opened:
        opened.bench = bench
        yield opened


def acquire(tagger, until=None, **settings) -> tuple[object, list[TagBlock]]:
    blocks: list[TagBlock] = []
    data = tagger.acquire(AcquisitionSettings(**{"duration_s": 2.0, "kinds": RECORDING, **settings}),
                          blocks.append, until)
    return data, blocks


def joined(blocks):
    return np.concatenate([b.times_ps for b in blocks]), np.concatenate([b.channels for b in blocks])


def test_the_tags_are_those_that_were_counted(tagger):
    data, blocks = acquire(tagger)
    times, channels = joined(blocks)
    assert len(blocks) >= 5
    assert times.dtype == np.int64 and channels.dtype == np.int8
    assert (np.diff(times) >= 0).all()
    assert (channels == -1).sum() == data.spad1_counts and (channels == -2).sum() == data.spad2_counts
    assert data.begin_ps <= times[0] and times[-1] < data.begin_ps + data.capture_duration_s * 1e12
    assert data.stop_reason == "duration"


def test_an_overflow_is_recorded_with_its_missed_events(tagger):
    tagger.bench.set_fault("hbt.overflow", 0.05)
    data, blocks = acquire(tagger, duration_s=3.0, allow_overflows=True)
    tagger.bench.clear_fault("hbt.overflow")
    times, channels = joined(blocks)
    losses = [loss for block in blocks for loss in block.losses]
    lost_ps = sum(loss.end_ps - loss.begin_ps for loss in losses)
    assert data.overflows >= 2
    # The first and the last may lie across the ends of the acquisition.
    assert (data.overflows - 2) * 5 * 10**10 <= lost_ps <= data.overflows * 5 * 10**10
    for loss in losses:
        assert not ((times >= loss.begin_ps) & (times < loss.end_ps)).any()
    missed = sum(loss.missed.get(-1, 0) for loss in losses)
    assert missed == pytest.approx(lost_ps / 1e12 * 20e3, rel=0.2)
    assert (channels == -1).sum() + missed == data.spad1_counts


def test_dropped_tags_fail_the_acquisition(tagger):
    with pytest.raises(InstrumentError, match=r"were counted but \d+ arrived.*raise tag_buffer"):
        acquire(tagger, duration_s=1.0, tag_buffer=10_000)


def test_a_stopped_acquisition_hands_over_its_tags(tagger):
    blocks: list[TagBlock] = []
    arrived = threading.Event()

    def take(block: TagBlock) -> None:
        blocks.append(block)
        arrived.set()

    def stop() -> None:
        arrived.wait(10)
        tagger.stop()

    stopping = threading.Thread(target=stop)
    stopping.start()
    with pytest.raises(InstrumentError, match="stopped before its end"):
        tagger.acquire(AcquisitionSettings(3_000.0, kinds=RECORDING), take)
    stopping.join()
    assert len(joined(blocks)[0]) > 5_000


def test_what_the_disk_says_ends_the_acquisition(tagger):
    def full(block: TagBlock) -> None:
        raise InstrumentError("hbt", "no room")

    with pytest.raises(InstrumentError, match="no room"):
        tagger.acquire(AcquisitionSettings(100.0, kinds=RECORDING), full)
    assert not tagger.is_running()


def test_until_ends_it_early_with_its_reason(tagger):
    data, _ = acquire(tagger, lambda elapsed_s, running: "enough" if sum(running.counts()) > 5_000 else "",
                      duration_s=1_000.0)
    assert data.stop_reason == "enough"
    assert 5_000 < data.spad1_counts + data.spad2_counts < 30_000
    assert data.decay_spad1.sum() > 2_000
    assert data.capture_duration_s < 1.0


def test_the_vendors_own_file(tagger, tmp_path):
    path = tmp_path / "hbt_1.ttbin"
    _, blocks = acquire(tagger, duration_s=0.5, ttbin_path=str(path))
    times, _ = joined(blocks)
    assert path.stat().st_size == 16 * len(times) > 0
