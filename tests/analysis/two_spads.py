"""Clicks of two SPADs behind a splitter, for sources whose g2(0) is known exactly."""

import numpy as np

PERIOD_PS = 400_000


def telegraph(rng, pulses, mean_pulses):
    """A two-state source, 0 or 1 per pulse: exponential dwell times of the same mean, started anywhere."""
    dwell = rng.exponential(mean_pulses, int(2 * pulses / mean_pulses) + 50).astype(int) + 1
    return np.repeat((np.arange(dwell.size) + rng.integers(2)) % 2, dwell)[dwell[0] // 2 :][:pulses]


def clicks(rng, mean, g2_0, background=0.0):
    """Clicks of SPAD 1 and 2 in ps, in time order.

    Args:
        rng: numpy Generator.
        mean: photons per pulse of both SPADs together, (pulses,).
        g2_0: of each pulse, (pulses,): P(2) = g2 mean^2/2, P(1) = mean - 2 P(2).
        background: uncorrelated clicks per pulse and SPAD.
    """
    two = g2_0 * mean**2 / 2
    draw = rng.random(mean.size)
    photons = np.where(draw < two, 2, np.where(draw < mean - two, 1, 0))
    late_ps = rng.exponential(5_000, photons.sum()).astype(np.int64)
    times = np.repeat(np.arange(mean.size), photons) * PERIOD_PS + late_ps
    second = rng.random(times.size) < 0.5
    extra = [rng.integers(0, mean.size * PERIOD_PS, rng.poisson(background * mean.size)) for _ in range(2)]
    return tuple(np.sort(np.concatenate([times[second == one], extra[one]])) for one in (0, 1))
