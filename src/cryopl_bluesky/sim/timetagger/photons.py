"""Photon generator: compiled loops over the photons that are really detected, never over empty laser pulses.

Arrivals are int64 keys `2*time_ps + spad` (spad 0 or 1), so that one sort orders both detectors.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def _photons_in_pulse(rng, poissonian, mean, one, two):
    """Number of photons of a pulse that is not empty."""
    if not poissonian:
        return 2 if rng.random() * (one + two) < two else 1
    number = 1
    chance = mean * np.exp(-mean) / (1.0 - np.exp(-mean))
    draw = rng.random()
    while draw > chance and number < 64:
        draw -= chance
        number += 1
        chance *= mean / number
    return number


@njit(cache=True, nogil=True)
def emit_pulsed(
    rng,
    origin_ps,
    fraction_ps,
    period_ps,
    n_pulses,
    mean,
    g2_0,
    cumulative,
    lifetimes_ps,
    sigma_ps,
    splitting,
):
    """Detected photons of `n_pulses` laser pulses, as unsorted keys.

    The number n per pulse is Poissonian for g2_0 = 1. Otherwise it is 0, 1 or 2 with
    P(2) = g2_0 mean^2 / 2 and P(1) = mean - 2 P(2), so that <n> = mean and <n(n-1)>/<n>^2 = g2_0 exactly.
    Empty pulses are skipped by a geometric draw.

    Args:
        rng: numpy Generator.
        origin_ps: int time of the first pulse; `fraction_ps` is added to it.
        fraction_ps: float below 1.
        period_ps: float pulse period.
        n_pulses: number of pulses.
        mean: mean number of detected photons per pulse, both detectors together.
        g2_0: pulsed g2(0) of the light.
        cumulative: (n,) cumulated photon fractions of the decay components, the last one 1.
        lifetimes_ps: (n,) their lifetimes.
        sigma_ps: Gaussian width (standard deviation) of the laser pulse.
        splitting: fraction that goes to detector 0.

    Returns:
        int64 keys.
    """
    poissonian = abs(g2_0 - 1.0) < 1e-9
    two = 0.5 * g2_0 * mean * mean
    one = mean - 2.0 * two
    any_photon = 1.0 - np.exp(-mean) if poissonian else one + two
    keys = np.empty(int(n_pulses * mean * 1.1) + 64, np.int64)
    count = 0
    if any_photon <= 0.0:
        return keys[:0]
    log_empty = np.log1p(-any_photon) if any_photon < 1.0 else -np.inf
    pulse = -1.0
    while True:
        pulse += 1.0 + np.floor(np.log1p(-rng.random()) / log_empty)
        if pulse >= n_pulses:
            break
        for _ in range(_photons_in_pulse(rng, poissonian, mean, one, two)):
            draw = rng.random()
            component = 0
            while component < len(cumulative) - 1 and draw > cumulative[component]:
                component += 1
            late_ps = sigma_ps * rng.standard_normal() - lifetimes_ps[component] * np.log1p(-rng.random())
            time_ps = origin_ps + np.int64(np.rint(fraction_ps + pulse * period_ps + late_ps))
            if count == len(keys):
                grown = np.empty(2 * len(keys), np.int64)
                grown[:count] = keys
                keys = grown
            keys[count] = 2 * time_ps + (0 if rng.random() < splitting else 1)
            count += 1
    return keys[:count]


@njit(cache=True, nogil=True)
def emit_renewal(rng, start_ps, stop_ps, rate_a, rate_b, splitting):
    """Antibunched light of constant excitation: the gap between photons is the sum of two exponential waits.

    With rates a and b this process has the mean rate ab/(a+b) and g2(tau) = 1 - exp(-(a+b)|tau|) exactly
    (Laplace transform of its renewal density).

    Args:
        rng: numpy Generator.
        start_ps: int begin.
        stop_ps: int end.
        rate_a: rate of the first wait, 1/ps.
        rate_b: rate of the second wait, 1/ps.
        splitting: fraction that goes to detector 0.

    Returns:
        int64 keys in time order.
    """
    duration_ps = float(stop_ps - start_ps)
    keys = np.empty(int(duration_ps * rate_a * rate_b / (rate_a + rate_b) * 1.1) + 64, np.int64)
    count = 0
    time_ps = -np.log1p(-rng.random()) / rate_b
    while time_ps < duration_ps:
        if count == len(keys):
            grown = np.empty(2 * len(keys), np.int64)
            grown[:count] = keys
            keys = grown
        keys[count] = 2 * (start_ps + np.int64(time_ps)) + (0 if rng.random() < splitting else 1)
        count += 1
        time_ps -= np.log1p(-rng.random()) / rate_a + np.log1p(-rng.random()) / rate_b
    return keys[:count]


@njit(cache=True, nogil=True)
def sort_nearly_sorted(values):
    """Insertion sort in place: fast because photons are out of order by a few neighbours only.

    Args:
        values: int64 array.
    """
    for i in range(1, len(values)):
        value = values[i]
        j = i - 1
        while j >= 0 and values[j] > value:
            values[j + 1] = values[j]
            j -= 1
        values[j + 1] = value


@njit(cache=True, nogil=True)
def merge_sorted(first, second):
    """One sorted array from two.

    Args:
        first: sorted int64.
        second: sorted int64.

    Returns:
        Sorted int64 array of all values.
    """
    merged = np.empty(len(first) + len(second), np.int64)
    i = j = 0
    for k in range(len(merged)):
        if j >= len(second) or (i < len(first) and first[i] <= second[j]):
            merged[k] = first[i]
            i += 1
        else:
            merged[k] = second[j]
            j += 1
    return merged


@njit(cache=True, nogil=True)
def detect(
    rng,
    keys,
    limit_ps,
    last_ps,
    afterpulse_ps,
    dead_time_ps,
    paralysable,
    chance,
    tau_ps,
    sigma_ps,
    tail,
    tail_ps,
    out,
):
    """Clicks of two SPADs: dead time, after-pulses, timing jitter.

    Args:
        rng: numpy Generator.
        keys: int64 sorted arrivals before `limit_ps`.
        limit_ps: time up to which everything is decided.
        last_ps: (2,) int64 time of the last click (or of what prolonged its dead time), updated.
        afterpulse_ps: (2,) int64 time of the pending after-pulse (a huge number for none), updated.
        dead_time_ps: dead time.
        paralysable: whether arrivals in the dead time prolong it.
        chance: after-pulsing probability.
        tau_ps: time constant of after-pulses.
        sigma_ps: Gaussian jitter (standard deviation).
        tail: fraction of late clicks.
        tail_ps: their time constant.
        out: (2, n) int64 array that receives the clicks in time order.

    Returns:
        Number of clicks of SPAD 0 and 1.
    """
    never = np.int64(2**62)
    counts = np.zeros(2, np.int64)
    for i in range(len(keys) + 2):
        if i < len(keys):
            spad, arrival_ps = keys[i] & 1, keys[i] >> 1
        else:
            spad, arrival_ps = i - len(keys), limit_ps
        while True:
            own = afterpulse_ps[spad] < arrival_ps
            if not own and i >= len(keys):
                break
            time_ps = afterpulse_ps[spad] if own else arrival_ps
            if own:
                afterpulse_ps[spad] = never
            if time_ps - last_ps[spad] >= dead_time_ps and counts[spad] < out.shape[1]:
                last_ps[spad] = time_ps
                late_ps = sigma_ps * rng.standard_normal()
                if rng.random() < tail:
                    late_ps -= tail_ps * np.log1p(-rng.random())
                out[spad, counts[spad]] = time_ps + np.int64(np.rint(late_ps))
                counts[spad] += 1
                if rng.random() < chance:
                    wait_ps = dead_time_ps + np.int64(-tau_ps * np.log1p(-rng.random()))
                    afterpulse_ps[spad] = time_ps + wait_ps
            elif paralysable and not own and i < len(keys):
                last_ps[spad] = max(last_ps[spad], time_ps)
            if not own:
                break
    return counts


@njit(cache=True, nogil=True)
def apply_dead_time(times_ps, last_ps, dead_time_ps):
    """Which events a tagger input with a dead time keeps.

    Args:
        times_ps: int64 in time order.
        last_ps: time of the last event kept before.
        dead_time_ps: dead time.

    Returns:
        bool array, and the time of the last event kept.
    """
    keep = np.empty(len(times_ps), np.bool_)
    for i in range(len(times_ps)):
        keep[i] = times_ps[i] - last_ps >= dead_time_ps
        if keep[i]:
            last_ps = times_ps[i]
    return keep, last_ps


@njit(cache=True, nogil=True)
def next_pulses(triggers_ps, origin_ps, fraction_ps, period_ps, last_ps):
    """The first laser pulse after each trigger, each pulse once: what the conditional filter lets through.

    Args:
        triggers_ps: int64 in time order.
        origin_ps: int time of one pulse; `fraction_ps` is added to it.
        fraction_ps: float below 1.
        period_ps: float pulse period.
        last_ps: time of the last pulse let through before.

    Returns:
        int64 pulse times without jitter, and the time of the last one.
    """
    pulses = np.empty(len(triggers_ps), np.int64)
    count = 0
    for trigger_ps in triggers_ps:
        index = np.floor((trigger_ps - origin_ps - fraction_ps) / period_ps) + 1.0
        pulse_ps = origin_ps + np.int64(np.rint(fraction_ps + index * period_ps))
        if pulse_ps > last_ps + period_ps / 2:
            pulses[count] = pulse_ps
            count += 1
            last_ps = pulse_ps
    return pulses[:count], last_ps
