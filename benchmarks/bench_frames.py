"""Full camera frames to disk: dropped frames, cores, compression, and what a killed process leaves behind."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - registers the decompressor
import numpy as np
import pytest

from cryopl_bluesky.devices.frames import DATASET, FrameWriter

SHAPE = (2048, 2048)
RING_FRAMES = 8
"""Buffers the camera holds before it overwrites frames: being later than this drops one."""


def realistic_frames(number: int) -> list[np.ndarray]:
    """Offset 100, 2 ADU rms, and the light of a spectral image: a line along the slit with shot noise."""
    rng = np.random.default_rng(0)
    rows, columns = np.arange(SHAPE[0])[:, None], np.arange(SHAPE[1])[None]
    light = 60 * np.exp(-((rows - 1000) ** 2) / (2 * 40**2) - (columns - 1000) ** 2 / (2 * 200**2))
    return [(rng.normal(100, 2, SHAPE) + rng.poisson(light)).round().astype("<u2") for _ in range(number)]


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    return realistic_frames(8)


def stream(path: Path, frames: list[np.ndarray], fps: float, seconds: float) -> dict[str, float]:
    writer = FrameWriter(path, SHAPE, instrument="camera", settings={}, columns={"trigger_time_s": "s"})
    number, dropped, latest_s = int(fps * seconds), 0, 0.0
    order, acknowledged = [], []
    cpu_s, start_s = time.process_time(), time.perf_counter()
    for i in range(number):
        due_s = start_s + i / fps
        time.sleep(max(0.0, due_s - time.perf_counter()))
        if time.perf_counter() - due_s > RING_FRAMES / fps:
            dropped += 1
            continue
        acknowledged.append(writer.put(frames[i % len(frames)], {"trigger_time_s": due_s}))
        latest_s = max(latest_s, time.perf_counter() - due_s)
        order.append(i % len(frames))
    for done in acknowledged:
        done.result(60)
    writer.close()
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - start_s
    with h5py.File(path) as f:
        for index in range(0, len(order), 25):
            np.testing.assert_array_equal(f[DATASET][index], frames[order[index]])
        stored = f[DATASET].id.get_storage_size()
    return {
        "frames": number, "dropped": dropped, "cores": cpu_s / wall_s, "wall_s": wall_s,
        "latest_put_ms": latest_s * 1e3, "compression": len(order) * frames[0].nbytes / stored,
    }


@pytest.mark.parametrize(("fps", "seconds"), [(53, 10), (100, 8)])
def bench_full_frames_to_disk(benchmark, tmp_path, frames, fps, seconds):
    path = tmp_path / "frames.h5"
    stream(tmp_path / "warm.h5", frames, fps, 0.5)
    result = benchmark.pedantic(stream, (path, frames, fps, seconds), rounds=1)
    path.unlink()
    benchmark.extra_info.update(result)
    print("\n", fps, "fps:", {name: round(value, 3) for name, value in result.items()})
    assert result["dropped"] == 0


KILLED = """
import sys, time
from pathlib import Path
from bench_frames import SHAPE, realistic_frames
from cryopl_bluesky.devices.frames import FrameWriter
frames = realistic_frames(4)
w = FrameWriter(Path(sys.argv[1]), SHAPE, instrument="camera", settings={}, columns={})
start = time.perf_counter()
i = 0
while True:
    time.sleep(max(0.0, start + i / 53 - time.perf_counter()))
    w.put(frames[i % 4], {}).add_done_callback(lambda done: print(done.result(), flush=True))
    i += 1
"""


def bench_kill_in_the_middle(benchmark, tmp_path):
    path = tmp_path / "frames.h5"

    def kill() -> int:
        command = [sys.executable, "-c", KILLED, str(path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent)
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 100:
                break
        process.kill()
        acknowledged = max([100, *(int(line) for line in process.stdout.read().split())]) + 1
        process.wait()
        return acknowledged

    acknowledged = benchmark.pedantic(kill, rounds=1)
    frames = realistic_frames(4)
    with h5py.File(path, swmr=True) as f:
        readable = f[DATASET].shape[0]
        assert readable >= acknowledged
        for i in range(acknowledged):
            np.testing.assert_array_equal(f[DATASET][i], frames[i % 4])
    path.unlink()
    benchmark.extra_info.update(acknowledged=acknowledged, readable=readable)
    print("\n killed:", acknowledged, "frames acknowledged, all readable;", readable, "in the file")
