"""A full raw frame to cleaned row spectra, and line fits, on one core."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cryopl_bluesky.analysis.dark_frames import dark_reference
from cryopl_bluesky.analysis.frames import clean_frame
from cryopl_bluesky.analysis.multi_peak import choose_model, fit_peaks

SHAPE = (2048, 2048)
GAIN, READ_E, OFFSET = 0.45, 1.31, 100
CAMERA = {"gain_e_per_adu": GAIN, "read_noise_e": READ_E}
LIMIT_MS = 25.0


def expose(rng: np.random.Generator, electrons: np.ndarray) -> np.ndarray:
    counts = (rng.poisson(electrons) + rng.normal(0, READ_E, SHAPE)) / GAIN + OFFSET
    return np.clip(counts, 0, 65535).round().astype(np.uint16)


@pytest.fixture(scope="module")
def spectral_image() -> tuple[np.ndarray, Any]:
    """A line along the slit, one hot pixel in 5000, 300 hits of cosmic rays; and a dark reference of four frames."""
    rng = np.random.default_rng(0)
    rows, columns = np.arange(SHAPE[0])[:, None], np.arange(SHAPE[1])
    dark_e = np.full(SHAPE, 0.1)
    dark_e.ravel()[rng.choice(dark_e.size, dark_e.size // 5000, replace=False)] = 500
    light = 900 * np.exp(-(((rows - 1000) / 40) ** 2) - ((columns - 1000) / 200) ** 2) + 1.0
    raw = expose(rng, light + dark_e)
    raw[rng.integers(0, SHAPE[0], 300), rng.integers(0, SHAPE[1], 300)] += 3000
    return raw, dark_reference([expose(rng, dark_e) for _ in range(4)], **CAMERA, offset_adu=OFFSET)


def cpu_ms(function: Callable[[], object], rounds: int) -> float:
    """Median CPU time of this thread: other programs on the machine do not count, more threads would not help."""
    times = []
    for _ in range(rounds):
        start = time.thread_time()
        function()
        times.append(1e3 * (time.thread_time() - start))
    return float(np.median(times))


@pytest.mark.parametrize("bin_rows", [8, 1])
def bench_raw_frame_to_cleaned_rows(benchmark, spectral_image, bin_rows):
    raw, dark = spectral_image
    result = clean_frame(raw, **CAMERA, dark=dark, bin_rows=bin_rows)
    assert result.hot_px == dark.hot.sum() > 800
    assert 280 < len(result.cosmic_ray_px) < 310
    median_ms = benchmark.pedantic(
        lambda: cpu_ms(lambda: clean_frame(raw, **CAMERA, dark=dark, bin_rows=bin_rows), 21), rounds=1
    )
    numpy_ms = cpu_ms(lambda: clean_frame(raw, **CAMERA, dark=dark, bin_rows=bin_rows, engine="numpy"), 3)
    benchmark.extra_info.update(numba_ms=median_ms, numpy_ms=numpy_ms)
    print(f"\n frame of 2048 x 2048, binned by {bin_rows}: numba {median_ms:.1f} ms, numpy {numpy_ms:.0f} ms (CPU)")
    if bin_rows == 8:
        assert median_ms <= LIMIT_MS


def bench_line_fits(benchmark):
    """2048 pixels; no limit, for the reader."""
    rng = np.random.default_rng(1)
    axis = 525 + 0.03 * (np.arange(2048) - 1024)
    expected = 20 + 300 * np.exp(-0.5 * ((axis - 520) / 2) ** 2) + 100 * np.exp(-0.5 * ((axis - 532) / 2) ** 2)
    counts = rng.poisson(expected)
    tasks: dict[str, Callable[[], object]] = {
        "1 Gaussian": lambda: fit_peaks(axis, counts, noise_variance=4.0),
        "2 Gaussians": lambda: fit_peaks(axis, counts, noise_variance=4.0, peaks=2),
        "2 Voigts, shared instrument": lambda: fit_peaks(
            axis, counts, noise_variance=4.0, peaks=2, shape="lorentzian", instrument_fwhm_nm=0.2
        ),
        "choice of 1-4 Gaussians": lambda: choose_model(axis, counts, noise_variance=4.0, shapes=("gaussian",)),
    }
    times = benchmark.pedantic(lambda: {name: cpu_ms(task, 5) for name, task in tasks.items()}, rounds=1)
    benchmark.extra_info.update(times)
    print("\n line fits:", ", ".join(f"{name} {ms:.0f} ms" for name, ms in times.items()), "(CPU)")
