"""When the SPADs are in danger: the decision alone, on counts made up for each case."""

from __future__ import annotations

import numpy as np
import pytest

from cryopl_bluesky.config import GuardSettings
from cryopl_bluesky.drivers.spad_rule import GuardRule, fine_bin_s

LIMITS = GuardSettings()


def counts(rate1_Hz: float, rate2_Hz: float, seconds: float, seed: int | None = None) -> np.ndarray:
    """(2, n) counts in fine bins; exact without a seed, else Poissonian."""
    bins = round(seconds / fine_bin_s(LIMITS))
    expected = np.array([[rate1_Hz], [rate2_Hz]]) * fine_bin_s(LIMITS) * np.ones((2, bins))
    if seed is None:
        return np.rint(expected).astype(np.int64)
    return np.random.default_rng(seed).poisson(expected)


def watching(*pieces: np.ndarray) -> tuple[str, float]:
    """Show the pieces, 10 ms at a time, with the path open; the cause and when it was found."""
    rule = GuardRule(LIMITS)
    rule.path(True)
    step = round(LIMITS.look_s / fine_bin_s(LIMITS))
    series = np.concatenate(pieces, axis=1)
    for first in range(0, series.shape[1], step):
        cause = rule.examine(series[:, first : first + step])
        if cause:
            return cause, (first + step) * fine_bin_s(LIMITS)
    return "", float("inf")


QUIET = counts(20e3, 20e3, 0.5)


@pytest.mark.parametrize(("rate_Hz", "seconds", "limit", "within_s"), [
    (12e6, 0.02, "single_bin_Hz", 0.02),
    (6e6, 0.03, "twice_Hz", 0.03),
    (2.5e6, 0.2, "sustained_Hz", 0.11),
])
@pytest.mark.parametrize("spad", [0, 1])
def test_each_limit_is_found_in_its_time(rate_Hz, seconds, limit, within_s, spad):
    rates_Hz = [20e3, 20e3]
    rates_Hz[spad] = rate_Hz
    cause, found_s = watching(QUIET, counts(*rates_Hz, seconds))
    assert limit in cause and f"SPAD {spad + 1}" in cause
    assert found_s - 0.5 <= within_s + 1e-9


@pytest.mark.parametrize(("rate_Hz", "seconds"), [(9e6, 0.009), (4.5e6, 0.03), (1.9e6, 5.0)])
def test_below_the_limits_nothing_is_found(rate_Hz, seconds):
    assert watching(QUIET, counts(rate_Hz, 20e3, seconds), QUIET)[0] == ""


@pytest.mark.parametrize("rate_Hz", [30.0, 300.0, 20e3, 1e6])
def test_ordinary_light_is_no_danger_in_many_minutes(rate_Hz):
    assert watching(counts(rate_Hz, rate_Hz, 120.0, seed=1))[0] == ""


def test_a_lit_spad_that_falls_silent_while_the_other_counts():
    cause, found_s = watching(QUIET, counts(0.0, 20e3, 0.1))
    assert "SPAD 1 fell silent" in cause and found_s < 0.53


def test_light_that_goes_away_is_no_silence():
    """A laser that is locked leaves the dark counts."""
    assert watching(counts(20e3, 20e3, 1.0, seed=2), counts(30.0, 30.0, 10.0, seed=3))[0] == ""


def test_dark_rates_are_known_after_a_while_in_the_dark():
    rule = GuardRule(LIMITS)
    assert rule.dark_rates_Hz() is None
    for _ in range(100):
        rule.examine(counts(1000.0, 3000.0, 0.01))
    assert rule.dark_rates_Hz() == pytest.approx((1000.0, 3000.0))
    rule.path(True)
    assert rule.dark_rates_Hz() is None
