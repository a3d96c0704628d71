"""What calibrations see on the virtual bench: beads, an even film, a lamp, and laser light without its filter."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sim_bench import make_bench

from cryopl_bluesky.bench_settings import BenchSettings
from cryopl_bluesky.sim.kymera_optics import KymeraOptics
from cryopl_bluesky.sim.lab import VirtualLab
from cryopl_bluesky.sim.lamp import LAMPS
from cryopl_bluesky.sim.layout import BeadLayout
from cryopl_bluesky.sim.light import spad_light
from cryopl_bluesky.sim.scene import SceneRenderer

IMAGE = {"lines_per_mm": 0.0, "entrance_slit_um": 2500.0}
SPECTRUM = {"lines_per_mm": 600.0, "centre_wavelength_nm": 560.0, "entrance_slit_um": 20.0}


def test_beads_are_balls_that_do_not_touch():
    layout = BeadLayout()
    centres_um = layout.centres_um()
    apart_um = np.hypot(*(centres_um[:, None] - centres_um[None, :]).T) + 1e3 * np.eye(len(centres_um))
    assert centres_um[0].tolist() == [0.0, 0.0] and len(centres_um) > 200
    assert apart_um.min() >= layout.distance_um > layout.diameter_um
    x_um = np.linspace(-2.0, 2.0, 401)
    chord, shift_eV = layout.brightness(x_um, np.zeros(1))
    assert chord[0] == pytest.approx(np.sqrt(np.clip(1.0 - (x_um / 1.055) ** 2, 0.0, None)), abs=0.02)
    assert not shift_eV.any()


def test_the_blur_of_a_bead_is_that_of_a_gaussian():
    layout, step_um, sigma_um = BeadLayout(count=0), 0.01, 0.15
    at_um = np.arange(-2.0, 2.0, step_um)
    blurred = gaussian_filter(layout.brightness(at_um, at_um)[0], sigma_um / step_um, truncate=6.0)
    np.testing.assert_allclose(layout.brightness(at_um, at_um, sigma_um)[0], blurred, atol=2e-3)


@pytest.mark.parametrize("name", ["Hg", "HeNe"])
def test_the_lamp_shines_without_the_laser_where_the_grating_sends_its_lines(name):
    bench = make_bench(**SPECTRUM)
    bench.laser.mode, bench.lamp = "off", name
    row = SceneRenderer(bench).photons_per_s()[700]
    axis_nm = KymeraOptics().axis_nm(600.0, 560.0)
    in_window = [line_nm for line_nm, _ in LAMPS[name] if axis_nm[20] < line_nm < axis_nm[-20]]
    assert in_window
    for line_nm in in_window:
        near = np.abs(axis_nm - line_nm) < 1.0
        assert (row * axis_nm)[near].sum() / row[near].sum() == pytest.approx(line_nm, abs=2e-3)
    away = np.min(np.abs(axis_nm[:, None] - np.array(in_window)), axis=1) > 1.5
    assert row[away].max() < 1e-6 * row.max()


def test_a_lamp_that_was_left_on_adds_to_the_image_and_lights_the_spads():
    bench = make_bench(**IMAGE)
    renderer = SceneRenderer(bench)
    alone = renderer.photons_per_s().copy()
    bench.lamp = "Hg"
    both = renderer.photons_per_s()
    bench.laser.mode = "off"
    lamp = renderer.photons_per_s()
    assert lamp.max() > 0
    np.testing.assert_allclose(both, alone + lamp, rtol=1e-5)
    bench.optics.port, bench.optics.l5_in = "hbt", True
    assert spad_light(bench).background_Hz == 2e5


def test_laser_light_reaches_the_spads_only_without_the_long_pass_and_at_its_wavelength():
    bench = make_bench(port="hbt", l5_in=True, lines_per_mm=600.0, centre_wavelength_nm=405.0, entrance_slit_um=100.0)
    filtered = spad_light(bench)
    bench.optics.long_pass_in = False
    light = spad_light(bench)
    assert light.rate_Hz > 1e3 > filtered.rate_Hz
    assert light.lifetimes_ns[-1] == 0.0 and light.fractions[-1] > 0.999 and sum(light.fractions) == pytest.approx(1.0)
    half_uW = bench.laser.power_uW / 2.0
    bench.laser.power_uW = half_uW
    assert spad_light(bench).rate_Hz == pytest.approx(light.rate_Hz / 2.0, rel=1e-3)
    bench.optics.centre_wavelength_nm = 525.0
    with_laser = spad_light(bench)
    bench.optics.long_pass_in = True
    assert with_laser.rate_Hz == pytest.approx(spad_light(bench).rate_Hz)
    bench.optics.long_pass_in, bench.laser.mode = False, "off"
    assert spad_light(bench).rate_Hz == 0.0


def test_the_profile_says_what_is_on_the_bench():
    bench = VirtualLab(BenchSettings(sample="beads", lamp="Ne", relay="1x", long_pass="out")).bench
    assert (bench.sample.name, bench.lamp) == ("beads", "Ne")
    assert (bench.optics.relay_magnification, bench.optics.long_pass_in) == (1.0, False)
    with pytest.raises(ValueError, match="lamp='Xe' is unknown; choose one of Hg, Ne, HeNe"):
        VirtualLab(BenchSettings(lamp="Xe"))
