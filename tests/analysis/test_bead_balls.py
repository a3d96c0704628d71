"""Beads that are dyed throughout: the chord of a ball, drawn finely and blurred by numbers, gives its diameter back."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from cryopl_bluesky.analysis.calibration.scale import bead_profile, scale_from_beads

NM_PER_PX, BEAD_UM, SIGMA_PX, FINE = 62.183, 2.11, 2.4, 8
RADIUS_PX = BEAD_UM * 500.0 / NM_PER_PX


def ball_image(height=400.0, background=20.0):
    """One ball in the middle of 101 x 101 pixels, expectation per pixel."""
    size = 101 * FINE
    y, x = (np.indices((size, size)) - (size - 1) / 2.0) / FINE
    chord = np.sqrt(np.clip(1.0 - (x**2 + y**2) / RADIUS_PX**2, 0.0, None))
    blurred = gaussian_filter(chord, SIGMA_PX * FINE, truncate=6.0)
    return background + height * blurred.reshape(101, FINE, 101, FINE).mean(axis=(1, 3))


def test_the_profile_of_a_blurred_ball_is_that_of_its_image():
    image = ball_image(1.0, 0.0)
    r = np.arange(0.0, 45.0)
    assert image[50, 50:95] == pytest.approx(bead_profile(r, RADIUS_PX, SIGMA_PX, "ball"), abs=2e-3)


def test_the_scale_of_balls_is_right_and_that_of_discs_is_a_sixth_off():
    image = np.random.default_rng(1).poisson(ball_image()).astype(float)
    variance = np.maximum(image, 1.0)
    ball = scale_from_beads(image, NM_PER_PX, variance=variance, profile="ball")
    assert abs(ball.nm_per_px / NM_PER_PX - 1.0) < 4.0 * ball.fit_rel_err < 0.01
    assert ball.beads[0].reduced_chi2 == pytest.approx(1.0, abs=0.1)
    disc = scale_from_beads(image, NM_PER_PX, variance=variance, profile="disc")
    assert disc.nm_per_px / NM_PER_PX > 1.1
    bright = np.random.default_rng(1).poisson(ball_image(40_000.0)).astype(float)
    assert "dyed throughout" in scale_from_beads(bright, NM_PER_PX, variance=bright + 1.0).notes[-1]
