"""Compiled part of the virtual camera: photons and noise of 4 million pixels in some 60 ms."""

from __future__ import annotations

from math import exp, floor, lgamma, log, sqrt

import numpy as np
from numba import njit
from numpy.typing import NDArray

NORMAL_TABLE_SIZE = 4096  # two draws of 12 bits make one normal deviate


@njit(cache=True, nogil=True, inline="always")
def _next(s0, s1):
    """64 random bits and the next state (xoroshiro128+, Blackman and Vigna 2018)."""
    result = s0 + s1
    s1 ^= s0
    s0 = ((s0 << np.uint64(24)) | (s0 >> np.uint64(40))) ^ s1 ^ (s1 << np.uint64(16))
    return result, s0, (s1 << np.uint64(37)) | (s1 >> np.uint64(27))


@njit(cache=True, nogil=True, inline="always")
def _poisson_small(mean, u):
    """Inversion by sequential search, for means below 10; `u` is uniform in [0, 1)."""
    if mean < 0.2:  # series instead of exp: seven times faster, wrong by less than 1e-7
        p = 1.0 - mean * (1.0 - mean * (0.5 - mean * (1.0 / 6.0 - mean * (1.0 / 24.0 - mean / 120.0))))
    else:
        p = exp(-mean)
    k = 0.0
    while u > p and k < 200.0:
        u -= p
        k += 1.0
        p *= mean / k
    return k


@njit(cache=True, nogil=True)
def _poisson_large(mean, s0, s1):
    """Transformed rejection with squeeze (PTRS, Hoermann 1993), exact for means of 10 and more."""
    root = sqrt(mean)
    b = 0.931 + 2.53 * root
    a = -0.059 + 0.02483 * b
    v_r = 0.9277 - 3.6224 / (b - 2.0)
    while True:
        bits, s0, s1 = _next(s0, s1)
        u = float(bits >> np.uint64(32)) * 2.0**-32 - 0.5
        v = (float(bits & np.uint64(0xFFFFFFFF)) + 0.5) * 2.0**-32
        us = 0.5 - abs(u)
        if us <= 0.0:
            continue
        k = floor((2.0 * a / us + b) * u + mean + 0.43)
        if us >= 0.07 and v <= v_r:
            return k, s0, s1
        if k < 0.0 or (us < 0.013 and v > us):
            continue
        inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
        if log(v) + log(inverse_alpha) - log(a / (us * us) + b) <= -mean + k * log(mean) - lgamma(k + 1.0):
            return k, s0, s1


@njit(cache=True, nogil=True)
def expose(
    scene: NDArray[np.float32], efficiency: NDArray[np.float32], dark: NDArray[np.float32],
    noise: NDArray[np.float32], top: int, left: int, binning: int, width: int, exposure_s: float,
    dark_e: float, read_noise_e: float, gain_e_per_adu: float, baseline_adu: float, ceiling_adu: float,
    normals: NDArray[np.float32], state: NDArray[np.uint64], out: NDArray[np.uint16],
) -> None:
    """Fill `out` with one digitised exposure.

    Each (binned) pixel gets Poisson(photo-electrons + dark electrons), Gaussian read noise of every sensor
    pixel in it (an sCMOS sensor reads each pixel before it bins), the gain, the baseline, rounding and
    clipping.

    Args:
        scene: photo-electrons per second and sensor pixel, (rows, columns).
        efficiency: pixel response non-uniformity around 1, (rows, columns).
        dark: dark current of each pixel relative to the typical one, (rows, columns).
        noise: read noise of each pixel relative to the typical one, (rows, columns).
        top: first sensor row.
        left: first sensor column.
        binning: sensor pixels per image pixel along each axis.
        width: image columns to fill; further columns of `out` are padding.
        exposure_s: exposure time.
        dark_e: typical dark electrons per pixel in this exposure.
        read_noise_e: typical read noise in electrons rms.
        gain_e_per_adu: electrons per count.
        baseline_adu: counts without any electrons.
        ceiling_adu: largest count.
        normals: table of `NORMAL_TABLE_SIZE` equally probable normal deviates.
        state: two 64-bit words of the random generator, updated.
        out: image, (height, at least width).
    """
    low_bits = np.uint64(NORMAL_TABLE_SIZE - 1)
    s0, s1 = state[0], state[1]
    read_noise_e *= sqrt(0.5)  # two table values are added
    adu_per_e = 1.0 / gain_e_per_adu
    for row in range(out.shape[0]):
        for column in range(width):
            if binning == 1:
                y, x = top + row, left + column
                mean = scene[y, x] * efficiency[y, x] * exposure_s + dark[y, x] * dark_e
                sigma = noise[y, x] * read_noise_e
            else:
                mean = variance = 0.0
                for y in range(top + row * binning, top + (row + 1) * binning):
                    for x in range(left + column * binning, left + (column + 1) * binning):
                        mean += scene[y, x] * efficiency[y, x] * exposure_s + dark[y, x] * dark_e
                        variance += noise[y, x] * noise[y, x]
                sigma = read_noise_e * sqrt(variance)
            bits, s0, s1 = _next(s0, s1)
            if mean < 10.0:
                electrons = _poisson_small(mean, float(np.int64(bits >> np.uint64(24))) * 2.0**-40)
            else:
                electrons, s0, s1 = _poisson_large(mean, s0, s1)
            deviate = normals[np.int64(bits & low_bits)]
            deviate += normals[np.int64((bits >> np.uint64(12)) & low_bits)]
            count = (electrons + sigma * deviate) * adu_per_e + baseline_adu + 0.5
            out[row, column] = np.uint16(np.int64(min(max(count, 0.0), ceiling_adu)))
    state[0], state[1] = s0, s1


@njit(cache=True, nogil=True)
def pack_12_bit(image: NDArray[np.uint16], width: int, out: NDArray[np.uint8]) -> None:
    """Pack two 12-bit pixels into three bytes (Mono12Packed).

    Args:
        image: counts below 4096, (height, at least width).
        width: columns to pack.
        out: bytes, (height, stride) with stride >= 1.5 width.
    """
    for row in range(image.shape[0]):
        for pair in range((width + 1) // 2):
            first = image[row, 2 * pair]
            second = image[row, 2 * pair + 1] if 2 * pair + 1 < width else np.uint16(0)
            out[row, 3 * pair] = first >> 4
            out[row, 3 * pair + 1] = (first & 15) | ((second & 15) << 4)
            if 3 * pair + 2 < out.shape[1]:
                out[row, 3 * pair + 2] = second >> 4
