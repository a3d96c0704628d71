"""Photon kernels side by side in one run: this package, plain numpy as one writes it first, and tttrlib.

Every round runs all contestants of a workload in turn; the figure is the best CPU time of one core. All of them must
give the same counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import tttrlib

from cryopl_bluesky.analysis.photons import CrossCorrelation, PeriodicDecayHistogram, accumulate, decay_map

PERIOD_PS, LIFETIME_PS = 50_000, 4_000
G2_BINWIDTH_PS, G2_BINS = 100, 10_000
LOWEST_PS = -(G2_BINS // 2) * G2_BINWIDTH_PS - G2_BINWIDTH_PS // 2
TCSPC_BINWIDTH_PS, TCSPC_BINS = 16, 3125
ROWS, TAGS_PER_ROW = 81, 400_000
CHUNK = 1_000_000
ROUNDS = 15

Counts = np.ndarray
table: list[tuple[str, dict[str, float], str]] = []


def chunks(times: np.ndarray, channels: np.ndarray):
    for begin in range(0, len(times), CHUNK):
        yield times[begin : begin + CHUNK], channels[begin : begin + CHUNK]


def pulsed(rate_Hz: float, tags: int) -> tuple[np.ndarray, np.ndarray]:
    """Two detectors of the same rate behind a 20 MHz laser."""
    rng = np.random.default_rng(1)
    pulses = np.cumsum(rng.exponential(1e12 / (2 * rate_Hz * PERIOD_PS), tags)).astype(np.int64)
    times = pulses * PERIOD_PS + rng.exponential(LIFETIME_PS, tags).astype(np.int64)
    return np.sort(times), rng.integers(1, 3, tags).astype(np.int8)


def continuous(rate_Hz: float, tags: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    times = np.cumsum(rng.exponential(1e12 / (2 * rate_Hz), tags)).astype(np.int64)
    return times, rng.integers(1, 3, tags).astype(np.int8)


def race(
    benchmark: Any,
    name: str,
    tags: int,
    target: str,
    contestants: dict[str, Callable[[], Any]],
    finish: dict[str, Callable[[Any], Counts]] | None = None,
) -> None:
    """Time all contestants in turn, compare their counts, and print a line.

    `finish` makes counts of what a contestant returned, and is not timed.
    """
    best = dict.fromkeys(contestants, np.inf)
    results: dict[str, Counts] = {}

    def one_round() -> None:
        for who, count in contestants.items():
            start_s = time.process_time()
            returned = count()
            best[who] = min(best[who], time.process_time() - start_s)
            results[who] = (finish or {}).get(who, np.asarray)(returned)

    one_round()  # compiles, touches the memory
    best.update(dict.fromkeys(contestants, np.inf))
    benchmark.pedantic(one_round, rounds=ROUNDS)
    expected = results["plain numpy"]
    assert expected.sum() > 1000
    for who, counts in results.items():
        np.testing.assert_array_equal(counts, expected, err_msg=who)
    speeds = {who: tags / seconds / 1e6 for who, seconds in best.items()}
    table.append((name, speeds, target))
    benchmark.extra_info.update({f"{who}_Mtags_per_s": speed for who, speed in speeds.items()}, tags=tags)
    print(f"\n {name}:", ", ".join(f"{who} {speed:.0f} Mtags/s ({best[who]:.3f} s)" for who, speed in speeds.items()))


@pytest.fixture(scope="module", autouse=True)
def summary():
    yield
    columns = ("numba", "numpy", "plain numpy", "tttrlib")
    print("\n\n| Mtags/s per core | " + " | ".join(columns) + " | target |\n|---|" + "---|" * 5)
    for name, speeds, target in table:
        cells = [f"{speeds[who]:.0f}" if who in speeds else "-" for who in columns]
        print(f"| {name} | " + " | ".join(cells) + f" | {target} |")


def plain_g2(times: np.ndarray, channels: np.ndarray) -> Counts:
    """Split by mask, search the window of every start, take all differences."""
    starts, stops = times[channels == 1], times[channels == 2]
    first = np.searchsorted(stops, starts + LOWEST_PS)
    last = np.searchsorted(stops, starts + LOWEST_PS + G2_BINWIDTH_PS * G2_BINS)
    number = last - first
    which = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    delays = stops[np.repeat(first, number) + which] - np.repeat(starts, number)
    return np.bincount((delays - LOWEST_PS) // G2_BINWIDTH_PS, minlength=G2_BINS)


class TttrlibCorrelator:
    """Its fastest correlator ("felekyan"), one lag per ps: exact. Lag 0 is the lowest delay.

    Not timed: splitting the channels, making the correlator and its axis (about 1 s), summing the lags to bins.
    """

    def __init__(self, times: np.ndarray, channels: np.ndarray):
        self.starts, self.stops = times[channels == 1].astype(np.uint64), times[channels == 2].astype(np.uint64)
        self.stops -= np.uint64(LOWEST_PS & (2**64 - 1))
        self.weights = np.ones(len(self.starts)), np.ones(len(self.stops))
        self.correlator = tttrlib.Correlator(method="felekyan", n_bins=G2_BINWIDTH_PS * G2_BINS, n_casc=1)

    def run(self) -> tuple[np.ndarray, np.ndarray]:
        self.correlator.set_events(self.starts, self.weights[0], self.stops, self.weights[1])
        return self.correlator.get_x_axis(), self.correlator.get_corr()

    @staticmethod
    def binned(lags_and_pairs: tuple[np.ndarray, np.ndarray]) -> Counts:
        lags_ps, pairs = lags_and_pairs
        bins = np.rint(lags_ps).astype(np.int64) // G2_BINWIDTH_PS
        return np.bincount(bins, weights=pairs, minlength=G2_BINS)[:G2_BINS].astype(np.int64)


def g2(engine: Any, times: np.ndarray, channels: np.ndarray) -> Counts:
    correlation = CrossCorrelation(1, 2, G2_BINWIDTH_PS, G2_BINS, engine=engine)
    accumulate(chunks(times, channels), correlation)
    return correlation.counts


@pytest.mark.parametrize(
    ("name", "make", "rate_Hz", "tags", "target"),
    [
        ("g2, 2 x 100 kcps, 20 MHz", pulsed, 100e3, 4 * CHUNK, "450 and 15 x tttrlib; numpy 150"),
        ("g2, 2 x 1 Mcps, CW", continuous, 1e6, 4 * CHUNK, "150 and 6 x tttrlib; numpy 30"),
        ("g2, 2 x 10 Mcps, CW", continuous, 10e6, CHUNK, "-"),
    ],
    ids=["pulsed 100 kcps", "CW 1 Mcps", "CW 10 Mcps"],
)
def bench_g2(benchmark, name, make, rate_Hz, tags, target):
    """All pairs within +-500 ns in bins of 100 ps."""
    times, channels = make(rate_Hz, tags)
    peer = TttrlibCorrelator(times, channels)
    contestants = {
        "numba": lambda: g2("numba", times, channels),
        "numpy": lambda: g2("numpy", times, channels),
        "plain numpy": lambda: plain_g2(times, channels),
        "tttrlib": peer.run,
    }
    race(benchmark, name, len(times), target, contestants, {"tttrlib": peer.binned})


def decays(engine: Any, times: np.ndarray, channels: np.ndarray, **options: Any) -> Counts:
    decay = PeriodicDecayHistogram([1, 2], PERIOD_PS, TCSPC_BINWIDTH_PS, engine=engine, **options)
    accumulate(chunks(times, channels), decay)
    return decay.counts


def plain_decays(times: np.ndarray, channels: np.ndarray) -> Counts:
    bins = [times[channels == channel] % PERIOD_PS // TCSPC_BINWIDTH_PS for channel in (1, 2)]
    return np.array([np.bincount(own, minlength=TCSPC_BINS) for own in bins])


def bench_tcspc(benchmark):
    """Decays of two detectors, bins of 16 ps; tttrlib gets the micro times ready-made and only counts them."""
    times, channels = pulsed(100e3, 8 * CHUNK)
    micro = (times % PERIOD_PS // TCSPC_BINWIDTH_PS).astype(np.uint16)
    events = tttrlib.TTTR(times.astype(np.uint64), micro, channels, np.zeros(len(times), np.int8))

    def peer() -> Counts:
        # Without a minimum length it ends the interpreter.
        return np.array([events.get_microtime_histogram(1, [channel], TCSPC_BINS)[0] for channel in (1, 2)])

    contestants = {
        "numba": lambda: decays("numba", times, channels),
        "numpy": lambda: decays("numpy", times, channels),
        "plain numpy": lambda: plain_decays(times, channels),
        "tttrlib": peer,
    }
    race(benchmark, "TCSPC, 20 MHz, 16 ps", len(times), "800; numpy 100", contestants)


def bench_tcspc_behind_a_divided_sync(benchmark):
    """The same behind every 64th sync tag, which are part of the stream."""
    times, channels = pulsed(100e3, 4 * CHUNK)
    times = times[: np.searchsorted(times, times[-1] - LIFETIME_PS * 1000)]
    syncs = np.arange(times[0] // (64 * PERIOD_PS), times[-1] // (64 * PERIOD_PS) + 1) * (64 * PERIOD_PS)
    both = np.concatenate([times, syncs]), np.concatenate([channels[: len(times)], np.full(len(syncs), 3, np.int8)])
    order = np.argsort(both[0], kind="stable")
    tags, numbers = both[0][order], both[1][order]
    contestants = {
        "numba": lambda: decays("numba", tags, numbers, sync_channel=3),
        "numpy": lambda: decays("numpy", tags, numbers, sync_channel=3),
        "plain numpy": lambda: plain_divided(tags, numbers),
    }
    race(benchmark, "TCSPC behind every 64th sync", len(tags), "-", contestants)


def plain_divided(tags: np.ndarray, numbers: np.ndarray) -> Counts:
    syncs, rows = tags[numbers == 3], []
    for channel in (1, 2):
        own = tags[numbers == channel]
        delays = (own - syncs[np.searchsorted(syncs, own, side="right") - 1]) % PERIOD_PS
        rows.append(np.bincount(delays // TCSPC_BINWIDTH_PS, minlength=TCSPC_BINS))
    return np.array(rows)


def plain_map(times: np.ndarray, channels: np.ndarray, edges: np.ndarray) -> Counts:
    """A histogram per wavelength and detector."""
    bins, rows = np.arange(TCSPC_BINS + 1) * TCSPC_BINWIDTH_PS, []
    for begin, end in pairwise(edges):
        phases, own = times[begin:end] % PERIOD_PS, channels[begin:end]
        rows.append([np.histogram(phases[own == channel], bins)[0] for channel in (1, 2)])
    return np.array(rows)


def bench_trpl_map(benchmark):
    """Decays of two detectors at 81 wavelengths, 3.2e7 tags."""
    times, channels = pulsed(100e3, ROWS * TAGS_PER_ROW)
    edges = np.arange(ROWS + 1) * TAGS_PER_ROW
    contestants: dict[str, Callable[[], Counts]] = {
        engine: partial(decay_map, times, channels, edges, [1, 2], PERIOD_PS, TCSPC_BINWIDTH_PS, engine=engine)
        for engine in ("numba", "numpy")
    }
    contestants["plain numpy"] = lambda: plain_map(times, channels, edges)
    race(benchmark, "TRPL map, 81 x 400k tags", len(times), "540 (0.06 s)", contestants)
