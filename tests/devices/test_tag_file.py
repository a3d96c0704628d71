"""Tag files: what goes in comes out, whatever happens to the process or the disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from cryopl_bluesky.catalog.tags import NoTagsError, open_tags
from cryopl_bluesky.devices.tag_file import TIMES, TagFile
from cryopl_bluesky.drivers.errors import InstrumentError
from cryopl_bluesky.drivers.tag_tap import Loss, TagBlock
from cryopl_bluesky.drivers.tagger_setup import ChannelSettings

CHANNELS = {"spad1": ChannelSettings(-1, -0.4, 2_100, 0), "spad2": ChannelSettings(-2, -0.4, 2_100, -1_700),
            "sync": ChannelSettings(-3, -0.4, 2_000, 0)}


def block(first_ps: int, number: int, losses=()) -> TagBlock:
    times = first_ps + np.arange(number, dtype=np.int64) * 12_345
    return TagBlock(times, (-1 - np.arange(number) % 3).astype(np.int8), tuple(losses))


def tag_file(path: Path, **kwargs) -> TagFile:
    return TagFile(path, channels=CHANNELS, settings={"repetition_rate_Hz": 2.5e6}, instrument="hbt", **kwargs)


def test_tags_channels_losses_and_acquisitions_come_back(tmp_path):
    file = tag_file(tmp_path / "a" / "hbt.h5")
    loss = Loss(5_000, 9_000, {-1: 70_000, -3: 2})
    file.begin()
    for first_ps in (10**15, 2 * 10**15):
        file.put(block(first_ps, 40_000, [loss] if first_ps == 10**15 else []))
    assert file.end(begin_ps=10**15, capture_ps=3 * 10**12, overflows=1) == (0, 80_000)
    file.begin()
    file.put(block(3 * 10**15, 5))
    assert file.end(begin_ps=3 * 10**15, capture_ps=10**12, overflows=0) == (80_000, 80_005)
    file.close()
    with open_tags(file.path) as tags:
        assert tags.channels == CHANNELS and tags.number == 80_005
        assert tags.losses == (loss,)
        first, second = tags.acquisitions
        assert (first.first_tag, first.stop_tag, first.capture_s, first.overflows) == (0, 80_000, 3.0, 1)
        assert second.capture_s == 1.0 and tags.interrupted == ()
        times, channels = (np.concatenate(parts) for parts in zip(*tags.chunks(0, size=999), strict=True))
        expected = np.concatenate([block(10**15, 40_000).times_ps, block(2 * 10**15, 40_000).times_ps])
        np.testing.assert_array_equal(times, expected)
        assert times.dtype == np.int64 and channels.dtype == np.int8
        np.testing.assert_array_equal(np.unique(channels), [-3, -2, -1])
        assert sum(len(t) for t, _ in tags.chunks()) == 80_005
        with pytest.raises(NoTagsError, match="acquisition=2 does not exist; there are 2"):
            list(tags.chunks(2))
    with h5py.File(file.path) as plain:
        assert plain.attrs["repetition_rate_Hz"] == 2.5e6
        assert plain["channels/spad2"].attrs["input_delay_ps"] == -1_700


def test_a_growing_file_is_read_up_to_its_last_flush(tmp_path):
    file = tag_file(tmp_path / "hbt.h5", flush_s=1e6)
    file.begin()
    file.put(block(0, 1_000))
    assert (file.tags, file.flushed) == (1_000, 0)
    file.flush()
    file.put(block(10**9, 500))
    assert file.flushed == 1_000
    with open_tags(file.path) as tags:
        assert tags.number >= 1_000
        assert tags.acquisitions == () and tags.interrupted == ((0, tags.number),)
    file.close()


def test_a_full_disk_is_said_and_keeps_what_was_written(tmp_path):
    file = tag_file(tmp_path / "hbt.h5")
    file.begin()
    file.put(block(0, 1_000))
    file.flush()
    file._reserve_bytes = 1 << 60
    with pytest.raises(InstrumentError, match=r"hbt\.h5.*would remain free.*make room.*the 1000 tags before are safe"):
        file.put(block(10**9, 10))
    file.close()
    with open_tags(file.path) as tags:
        assert tags.number == 1_000


def test_an_existing_file_is_never_written_over(tmp_path):
    (tmp_path / "hbt.h5").write_bytes(b"precious")
    with pytest.raises(InstrumentError, match=r"hbt\.h5"):
        tag_file(tmp_path / "hbt.h5")
    assert (tmp_path / "hbt.h5").read_bytes() == b"precious"
    with pytest.raises(NoTagsError, match=r"hbt\.h5 cannot be read"):
        open_tags(tmp_path / "hbt.h5")


def test_another_hdf5_file_is_refused(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["x"] = 1
    with pytest.raises(NoTagsError, match="is not a file of time tags"):
        open_tags(tmp_path / "other.h5")


KILLED = """
import os, signal, sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from devices.test_tag_file import block, tag_file
file = tag_file(Path(sys.argv[1]), flush_s=0.0)
file.begin()
for i in range(200):
    file.put(block(i * 10**9, 1_001))
    if i == 149:
        print(file.flushed, flush=True)
os.kill(os.getpid(), signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
"""


def test_what_was_flushed_survives_a_killed_process(tmp_path):
    path = tmp_path / "hbt.h5"
    process = subprocess.run(
        [sys.executable, "-c", KILLED, str(path), str(Path(__file__).parents[1])], capture_output=True, text=True,
        timeout=60, check=False,
    )
    assert process.returncode != 0 and process.stdout.strip() == str(150 * 1_001), process.stderr
    with open_tags(path) as tags:
        assert tags.number == 200 * 1_001
        times = np.concatenate([t for t, _ in tags.chunks(size=100_000)])
        np.testing.assert_array_equal(times[-1_001:], block(199 * 10**9, 1_001).times_ps)
        assert tags.interrupted == ((0, tags.number),)


def test_chunks_that_are_written_again_and_again_do_not_bloat_the_file(tmp_path):
    """SWMR never reuses the room of a chunk that was written before; at 1 kcps one is written 16 times."""
    file = tag_file(tmp_path / "hbt.h5", flush_s=0.0)
    rng = np.random.default_rng(1)
    file.begin()
    first_ps = 0
    for _ in range(60):
        times = first_ps + np.sort(rng.integers(0, 10**12, 1_000))
        file.put(TagBlock(times, rng.choice(np.array([-1, -2, -3], np.int8), 1_000), ()))
        first_ps += 10**12
    file.end(begin_ps=0, capture_ps=60 * 10**12, overflows=0)
    file.close()
    with h5py.File(file.path) as plain:
        assert len(plain[TIMES]) == 60_000
    assert file.path.stat().st_size < 60_000 * 9 * 8
