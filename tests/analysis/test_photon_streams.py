"""What all accumulators take and refuse, which kernels they use, and how much memory they need."""

import json
import subprocess
import sys

import numpy as np
import photon_streams as ps
import pytest

from cryopl_bluesky.analysis import AnalysisError, _photon_numpy
from cryopl_bluesky.analysis.photons import (
    CrossCorrelation,
    DecayHistogram,
    PeriodicDecayHistogram,
    RateTrace,
)

RECORD = np.dtype([("type", "u1"), ("missed", "u2"), ("channel", "i4"), ("time", "i8")], align=True)


def accumulators(engine="auto"):
    return [
        CrossCorrelation(1, 2, 100, 50, engine=engine),
        DecayHistogram(1, 3, 100, 50, engine=engine),
        PeriodicDecayHistogram([1, 2], 1000, 10, engine=engine),
        PeriodicDecayHistogram([1, 2], 1000, 10, sync_channel=3, engine=engine),
        RateTrace([1, 2], 5000, engine=engine),
    ]


def tags(n=600):
    rng = np.random.default_rng(0)
    return np.cumsum(rng.integers(0, 300, n)), rng.integers(1, 4, n)


@pytest.mark.parametrize("engine", ps.ENGINES)
def test_types_layouts_and_cuts_make_no_difference(engine, monkeypatch):
    """Strided records, big-endian and read-only arrays, small integers, mixed types, blocks of 7 tags."""
    times, channels = tags()
    records = np.zeros(len(times), RECORD)
    records["time"], records["channel"] = times, channels
    locked = times.astype(np.int64), channels.astype(np.int8)
    for array in locked:
        array.setflags(write=False)
    versions = [
        [locked],
        [(records["time"], records["channel"])],
        [(times.astype(">i8"), channels.astype(np.uint8))],
        [(times.astype(np.uint32), channels.astype(np.uint64))],
        [(times[:200], channels[:200].astype(np.int8)), (times[200:].astype(np.int32), channels[200:])],
        [(times[::-1][::-1], channels.astype(np.int16))],
        [([], []), (times.tolist(), channels.tolist()), (times[:0], channels[:0])],
    ]
    reference = []
    for accumulator in accumulators(engine):
        accumulator.add(times, channels)
        reference.append(accumulator.counts)
        assert reference[-1].sum() > 100
    for block in (1 << 20, 7):
        monkeypatch.setattr(accumulators(engine)[0]._stream.kernels, "BLOCK", block)
        for chunks in versions:
            for accumulator, expected in zip(accumulators(engine), reference, strict=True):
                np.testing.assert_array_equal(ps.add_all(accumulator, chunks), expected)


@pytest.mark.parametrize("engine", ps.ENGINES)
def test_virtual_channel_numbers(engine):
    """Numbers beyond one byte, which end in the byte of another channel."""
    times, channels = tags()
    other = np.where(channels == 1, 1001, np.where(channels == 2, -2, 233))  # 1001 % 256 == 233
    assert 1001 % 256 == 233
    expected, got = CrossCorrelation(1, 2, 100, 50, engine=engine), CrossCorrelation(1001, -2, 100, 50, engine=engine)
    expected.add(times, channels)
    got.add(times, other)
    np.testing.assert_array_equal(got.counts, expected.counts)
    falling = CrossCorrelation(-23, 233, 100, 50, engine=engine)  # the same byte, but no tag of channel -23
    falling.add(times, other.astype(np.uint16))
    assert falling.counts.sum() == 0
    unsigned = CrossCorrelation(-23, 1, 100, 50, engine=engine)
    unsigned.add(times, np.where(channels == 1, 233, 1).astype(np.uint8))
    assert unsigned.counts.sum() == 0


@pytest.mark.parametrize("accumulator", accumulators(), ids=lambda a: type(a).__name__)
@pytest.mark.parametrize(
    ("times", "channels", "message"),
    [
        ([5, 4], [1, 1], "4 ps at index 1 comes after 5 ps"),
        ([0.0, 1.0], [1, 1], "times_ps is float64"),
        ([0.0, np.nan], [1, 1], "NaN"),
        (np.array([1, 2], np.uint64), [1, 1], "times_ps is uint64"),
        ([1, 2], [1.0, 1.0], "channels is float64"),
        ([1, 2], [True, False], "channels is bool"),
        ([1, 2], [1], "same length"),
        ([[1, 2]], [[1, 2]], "1-D"),
        ([0, 2**62], [1, 1], "53 days"),
        ([-(2**62)], [1], "53 days"),
    ],
)
def test_refused_tags(accumulator, times, channels, message):
    fresh = accumulators()[[type(a) for a in accumulators()].index(type(accumulator))]
    with pytest.raises(AnalysisError, match=message):
        fresh.add(np.asarray(times), np.asarray(channels))
    assert fresh.counts.sum() == 0


@pytest.mark.parametrize("engine", ps.ENGINES)
def test_a_chunk_may_not_begin_before_the_end_of_the_last(engine):
    for accumulator in accumulators(engine):
        accumulator.add(np.array([10, 20]), np.array([1, 2]))
        before = accumulator.counts
        with pytest.raises(AnalysisError, match="19 ps at index 0 comes after 20 ps"):
            accumulator.add(np.array([19, 30]), np.array([1, 2]))
        np.testing.assert_array_equal(accumulator.counts, before)


@pytest.mark.parametrize("engine", ps.ENGINES)
def test_cleared_accumulators_are_as_new(engine):
    times, channels = tags()
    for used, new in zip(accumulators(engine), accumulators(engine), strict=True):
        used.add(times + 12_345, channels)
        used.clear()
        assert used.counts.sum() == 0
        for accumulator in (used, new):
            accumulator.add(times, channels)
        np.testing.assert_array_equal(used.counts, new.counts)


@pytest.mark.parametrize("engine", ps.ENGINES)
@pytest.mark.parametrize("gap_ps", [1_000, 100_000])
@pytest.mark.parametrize("index", [1, 2, 100, 16_383, 16_384, 16_385, 299_999])
def test_disorder_is_found_at_every_place(engine, gap_ps, index):
    """Dense and sparse tags, of the channels that are counted and of others."""
    times = np.arange(300_000) * gap_ps
    times[index] = times[index - 1] - 1
    for channels in (np.ones(300_000, np.int8), np.full(300_000, 3), np.arange(300_000) % 3):
        for accumulator in accumulators(engine):
            with pytest.raises(AnalysisError, match=f"at index {index} "):
                accumulator.add(times, channels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"binwidth_ps": 0}, "binwidth_ps is 0"),
        ({"binwidth_ps": 0.5}, "binwidth_ps is 0.5"),
        ({"binwidth_ps": float("nan")}, "binwidth_ps is nan"),
        ({"binwidth_ps": float("inf")}, "binwidth_ps is inf"),
        ({"binwidth_ps": "16"}, "binwidth_ps is '16'"),
        ({"binwidth_ps": True}, "binwidth_ps is True"),
        ({"bins": 0}, "bins is 0"),
        ({"bins": 2**28}, "bins is"),
        ({"binwidth_ps": 2**59, "bins": 3}, "13 days"),
        ({"engine": "cuda"}, "must be 'auto', 'numba' or 'numpy'"),
        ({"start_channel": 1.5}, "start_channel is"),
        ({"stop_channel": None}, "stop_channel is"),
    ],
)
def test_refused_arguments(arguments, message):
    good = {"start_channel": 1, "stop_channel": 2, "binwidth_ps": 100, "bins": 50}
    with pytest.raises(AnalysisError, match=message):
        CrossCorrelation(**(good | arguments))


def test_decay_of_a_channel_behind_itself_is_refused():
    with pytest.raises(AnalysisError, match="use CrossCorrelation"):
        DecayHistogram(1, 1, 100, 50)


def test_whole_floats_and_numpy_integers_are_whole_numbers():
    assert CrossCorrelation(np.int8(1), np.int64(-2), 1e3, np.int32(3)).delays_ps.tolist() == [-1000, 0, 1000]


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_importing_the_module_loads_no_compiler():
    loaded = run(
        "import sys, json, cryopl_bluesky.analysis.photons as p; p.CrossCorrelation(1, 2, 100, 50, engine='numpy');"
        "print(json.dumps([name for name in ('numba', 'llvmlite', 'scipy') if name in sys.modules]))"
    )
    assert loaded == []


def test_without_numba_auto_is_numpy_and_numba_says_why():
    used, message = run(
        "import sys, json; sys.modules['numba'] = None\n"
        "from cryopl_bluesky.analysis.photons import CrossCorrelation as C\n"
        "used = C(1, 2, 100, 50)._stream.kernels.__name__\n"
        "try: C(1, 2, 100, 50, engine='numba')\n"
        "except ValueError as error: print(json.dumps([used, str(error)]))"
    )
    assert used == _photon_numpy.__name__
    assert "install numba, or use engine 'numpy'" in message


MEMORY = """
import json, threading
import numpy as np, psutil
from cryopl_bluesky.analysis.photons import *

rng = np.random.default_rng(0)
times, channels = np.cumsum(rng.integers(0, 10_000_000, 1_000_000)), rng.integers(1, 4, 1_000_000).astype(np.int8)
accumulators = [
    CrossCorrelation(1, 2, 100, 10_000), PeriodicDecayHistogram([1, 2], 50_000, 16),
    PeriodicDecayHistogram([1, 2], 50_000, 16, sync_channel=3), RateTrace([1, 2], 10**10),
]

def chunks():
    for _ in range(50):
        yield times, channels
        np.add(times, times[-1] - times[0] + 10, out=times)

memory, done = psutil.Process(), threading.Event()
base = peak = memory.memory_info().rss

def watch():
    global peak
    while not done.wait(0.001):
        peak = max(peak, memory.memory_info().rss)

watcher = threading.Thread(target=watch)
watcher.start()
accumulate(gated(within(chunks(), [(0, 2**61)]), [1, 2], 0, 25_000, period_ps=50_000), *accumulators)
done.set()
watcher.join()
print(json.dumps([base / 2**20, peak / 2**20, int(accumulators[1].counts.sum())]))
"""


def test_any_number_of_tags_stays_within_50_MB():
    """5e7 tags in chunks of 1e6 through a window, a gate and four accumulators, against before the first tag."""
    base_MB, peak_MB, clicks = run(MEMORY)
    assert clicks == pytest.approx(5e7 * 2 / 3 / 2, rel=1e-3)
    assert peak_MB - base_MB < 50, f"{base_MB:.0f} MB before, {peak_MB:.0f} MB at most"
