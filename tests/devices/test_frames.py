"""Frames to disk: lossless, in order, readable while written, after a kill and on a full disk."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import Future
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - registers the decompressor
import numpy as np
import pytest

from cryopl_bluesky.devices.frame_compression import FrameCompressor
from cryopl_bluesky.devices.frames import DATASET, FrameWriter
from cryopl_bluesky.devices.linked_dataset import dated_path
from cryopl_bluesky.drivers.errors import InstrumentError

SHAPE = (64, 48)
COLUMNS = {"trigger_time_s": "s"}


def frame(index: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    noise = np.random.default_rng(index).normal(100, 2, shape)
    return noise.round().astype("<u2") + np.uint16(index)


def writer(path: Path, **changes) -> FrameWriter:
    options = {"instrument": "camera", "settings": {"exposure_s": 0.5, "gain": "16-bit"}, "columns": COLUMNS}
    return FrameWriter(path, SHAPE, **{**options, **changes})


def test_frames_come_back_in_order_with_their_columns_and_description(tmp_path):
    w = writer(tmp_path / "a.h5")
    acknowledged = [w.put(frame(i), {"trigger_time_s": 10.0 + i}) for i in range(40)]
    assert [done.result(20) for done in acknowledged] == list(range(40))
    assert w.close() == 40
    with h5py.File(tmp_path / "a.h5") as f:
        data = f["/entry/data/data"]
        assert data.shape == (40, *SHAPE) and data.dtype == np.dtype("<u2") and data.chunks == (1, *SHAPE)
        for i in range(40):
            np.testing.assert_array_equal(data[i], frame(i))
        np.testing.assert_array_equal(f["/entry/data/trigger_time_s"], 10.0 + np.arange(40))
        assert f["/entry/data/trigger_time_s"].attrs["units"] == "s"
        assert data.attrs["units"] == "adu"
        assert f["/entry/data"].attrs["signal"] == "data"
        assert f["/entry/instrument/camera"].attrs["exposure_s"] == 0.5
        assert f["/entry/instrument/camera"].attrs["gain"] == "16-bit"


@pytest.mark.parametrize("image", [
    np.zeros((7, 5), "u2"), np.full((3, 1), 65535, "u2"), np.arange(65536, dtype="u2").reshape(256, 256),
    np.random.default_rng(0).integers(0, 65536, (33, 65), dtype="u2"),
])
def test_any_image_survives_compression(tmp_path, image):
    w = FrameWriter(tmp_path / "a.h5", image.shape, instrument="camera", settings={}, columns={})
    w.put(image, {}).result(20)
    w.close()
    with h5py.File(tmp_path / "a.h5") as f:
        np.testing.assert_array_equal(f[DATASET][0], image)


def test_a_full_frame_shrinks_by_more_than_three_and_a_half():
    image = np.random.default_rng(1).normal(100, 2, (2048, 2048)).round().astype("<u2")
    assert image.nbytes / len(FrameCompressor(image.shape)(image)) > 3.5


def test_an_unknown_blosc2_is_slower_but_right(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("cryopl_bluesky.devices.frame_compression._CHUNK_LENGTH_AT", 40)
    w = writer(tmp_path / "a.h5")
    w.put(frame(3), {"trigger_time_s": 0.0}).result(20)
    w.close()
    assert "unknown frame format" in caplog.text
    with h5py.File(tmp_path / "a.h5") as f:
        np.testing.assert_array_equal(f[DATASET][0], frame(3))


def test_other_processes_read_each_acknowledged_frame_while_the_file_grows(tmp_path):
    path = tmp_path / "a.h5"
    w = writer(path)
    for i in range(3):
        w.put(frame(i), {"trigger_time_s": float(i)}).result(20)
        script = (
            "import h5py, hdf5plugin, sys\n"
            f"d = h5py.File({str(path)!r}, swmr=True)['/entry/data/data']\n"
            "print(d.shape[0], int(d[-1].astype('u8').sum()))"
        )
        command = [sys.executable, "-c", script]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert out.split() == [str(i + 1), str(int(frame(i).astype("u8").sum()))]
    w.close()


KILLED = """
import sys, numpy as np
from pathlib import Path
from cryopl_bluesky.devices.frames import FrameWriter
w = FrameWriter(Path(sys.argv[1]), (64, 48), instrument="camera", settings={}, columns={})
i = 0
while True:
    done = w.put(np.full((64, 48), i, "u2"), {})
    done.add_done_callback(lambda d: print(d.result(), flush=True))
    i += 1
"""


def test_every_acknowledged_frame_is_readable_after_a_kill(tmp_path):
    path = tmp_path / "a.h5"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 50:
            break
    process.kill()
    rest = [int(line) for line in process.stdout if line.strip().isdigit()]
    process.wait()
    acknowledged = max([50, *rest]) + 1
    with h5py.File(path, swmr=True) as f:
        data = f[DATASET]
        assert data.shape[0] >= acknowledged
        for i in range(acknowledged):
            assert (data[i] == i).all()


def test_a_disk_without_room_is_named_and_the_file_stays_readable(tmp_path):
    w = writer(tmp_path / "a.h5")
    w.put(frame(0), {"trigger_time_s": 0.0}).result(20)
    w._reserve_bytes = 1 << 62
    with pytest.raises(InstrumentError, match=r"frame 1 to .*a\.h5.*would remain free.*make room"):
        w.put(frame(1), {"trigger_time_s": 1.0}).result(20)
    with pytest.raises(InstrumentError, match="cannot write frame 1"):
        w.put(frame(2), {"trigger_time_s": 2.0})
    assert w.close() == 1
    with h5py.File(tmp_path / "a.h5") as f:
        np.testing.assert_array_equal(f[DATASET][:], [frame(0)])


FULL = """
import resource, sys, numpy as np
from pathlib import Path
from cryopl_bluesky.devices.frames import FrameWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
w = FrameWriter(Path(sys.argv[1]), (512, 512), instrument="camera", settings={}, columns={})
rng = np.random.default_rng(0)
for i in range(10):
    try:
        w.put(rng.integers(0, 65536, (512, 512), dtype="u2"), {}).result(20)
    except Exception as error:
        print(type(error).__name__, str(error), "|", i, flush=True)
        break
print(w.close())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are a POSIX facility")
def test_when_the_system_refuses_a_write_the_frames_before_it_survive(tmp_path):
    path = tmp_path / "a.h5"
    run = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, timeout=60)
    first, last = run.stdout.splitlines()[:2]
    assert first.startswith("InstrumentError camera: cannot write frame")
    acknowledged = int(first.split("|")[1])
    assert acknowledged >= 1 and int(last) == acknowledged
    with h5py.File(path, swmr=True) as f:
        expected = np.random.default_rng(0)
        for i in range(acknowledged):
            np.testing.assert_array_equal(f[DATASET][i], expected.integers(0, 65536, (512, 512), dtype="u2"))


def test_put_waits_for_a_slow_disk_and_then_says_so(tmp_path, monkeypatch):
    w = writer(tmp_path / "slow.h5")
    go = threading.Event()
    write = w._write
    monkeypatch.setattr(w, "_write", lambda *a: (go.wait(), write(*a)))
    waiting: list[Future[int]] = [w.put(frame(i), {"trigger_time_s": 0.0}) for i in range(16)]
    with pytest.raises(InstrumentError, match=r"slow\.h5 took no frame for 0\.1 s"):
        w.put(frame(16), {"trigger_time_s": 0.0}, timeout_s=0.1)
    go.set()
    assert [done.result(20) for done in waiting] == list(range(16))
    assert w.close() == 16


def test_wrong_shapes_types_and_times_are_refused(tmp_path):
    w = writer(tmp_path / "a.h5")
    with pytest.raises(ValueError, match="holds"):
        w.put(np.zeros((3, 3), "u2"), {"trigger_time_s": 0.0})
    with pytest.raises(ValueError, match="holds"):
        w.put(np.zeros(SHAPE, "f8"), {"trigger_time_s": 0.0})
    w.close()
    assert w.close() == 0
    with pytest.raises(InstrumentError, match="closed"):
        w.put(frame(0), {"trigger_time_s": 0.0})


def test_an_existing_file_is_never_overwritten(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"precious")
    with pytest.raises(InstrumentError, match=r"a\.h5"):
        writer(tmp_path / "a.h5")
    assert (tmp_path / "a.h5").read_bytes() == b"precious"


def test_files_are_sorted_by_day():
    path = dated_path(Path("data") / "frames", "camera", 1_800_000_000.0, "0123456789ab")
    assert path.name == "camera_01234567.h5"
    assert path.parts[:2] == ("data", "frames") and len(path.parts) == 6
