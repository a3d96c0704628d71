"""Excitation spot and bead scale: recovery of simulated images, photon by photon."""

import doctest
from types import SimpleNamespace

import numpy as np
import pytest

from cryopl_bluesky.analysis import AnalysisError, FitError
from cryopl_bluesky.analysis.calibration import spot as spot_module
from cryopl_bluesky.analysis.calibration.scale import disc_profile, fit_bead, scale_from_beads, scale_relative_error
from cryopl_bluesky.analysis.calibration.spot import compare_with_calculated, fit_spot
from cryopl_bluesky.analysis.optics import gaussian_fwhm_um
from cryopl_bluesky.clock import SystemClock
from cryopl_bluesky.sim.bench import Bench, LaserState, OpticsState
from cryopl_bluesky.sim.sample import Sample
from cryopl_bluesky.sim.scene import SceneRenderer

READ_NOISE_E = 1.5


def exposed(expected, rng):
    electrons = rng.poisson(expected) + rng.normal(0.0, READ_NOISE_E, expected.shape)
    return electrons, np.maximum(electrons, 0.0) + READ_NOISE_E**2


def pixels(side, fine):
    """Coordinates (y, x) of `fine` points per pixel along each axis; pixel centres are whole numbers."""
    along = (np.arange(side * fine) + 0.5) / fine - 0.5
    return np.meshgrid(along, along, indexing="ij")


def averaged(values, fine):
    side = values.shape[0] // fine
    return values.reshape(side, fine, side, fine).mean(axis=(1, 3))


def gaussian_spot(side, um_per_px, major_um, minor_um, angle_deg, height=300.0, background=5.0, fine=4, fringes=0.0):
    y, x = pixels(side, fine)
    dx, dy = (x - side / 2 + 0.3) * um_per_px, (y - side / 2 - 0.2) * um_per_px
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    u, v = dx * c + dy * s, -dx * s + dy * c
    light = height * np.exp(-2 * (2 * u / major_um) ** 2 - 2 * (2 * v / minor_um) ** 2)
    return averaged(light * (1 + fringes * np.sin(2.0 * u)) + background, fine)


def test_spot_pulls():
    rng = np.random.default_rng(21)
    expected = gaussian_spot(28, 1.0, 18.0, 16.5, 30.0)
    pulls = []
    for _ in range(200):
        image, variance = exposed(expected, rng)
        fit = fit_spot(image, 1000.0, variance=variance)
        pulls.append([
            (fit.diameter_major_um - 18.0) / fit.diameter_major_err_um,
            (fit.diameter_minor_um - 16.5) / fit.diameter_minor_err_um,
            (fit.ellipticity - 16.5 / 18.0) / fit.ellipticity_err,
        ])  # fmt: skip
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.15
    assert np.abs(np.std(pulls, axis=0, ddof=1) - 1.0).max() < 0.15


@pytest.mark.parametrize("fringes", [0.0, 0.1])
def test_the_paper_s_spot_is_recovered_within_one_percent(fringes):
    # 1x relay, 62.18 nm/px; 10 % interference structure as in the virtual lab
    image, variance = exposed(
        gaussian_spot(420, 0.06218, 18.0, 16.5, 90.0, fine=1, fringes=fringes), np.random.default_rng(22)
    )
    fit = fit_spot(image, 62.18, variance=variance, scale_rel_err=0.11)
    assert fit.diameter_x_um == pytest.approx(16.5, rel=0.01)
    assert fit.diameter_y_um == pytest.approx(18.0, rel=0.01)
    assert fit.ellipticity == pytest.approx(0.917, abs=0.005)
    assert abs(fit.angle_deg) == pytest.approx(90.0, abs=2.0)
    assert fit.fwhm_um == pytest.approx((10.597, 9.714), rel=0.01)
    assert fit.total_err_um(fit.diameter_x_um, fit.diameter_minor_err_um) == pytest.approx(0.11 * 16.5, rel=0.02)
    notes = " ".join(fit.notes)
    assert ("not an exact Gaussian" in notes) is (fringes > 0)
    assert fit.residual_rms == pytest.approx(0.1 * 0.52 / 2**0.5 if fringes else 0.0, abs=0.02)


def test_the_virtual_lab_s_spot_on_a_dye_film():
    """Its optics know nothing of this fit: 16.5 x 18 um with 10 % interference structure, as in the publication."""
    sample = Sample.named("rhodamine_6g")
    laser = LaserState(mode="pulsed", repetition_rate_Hz=2.5e6, power_uW=sample.reference_power_uW)
    optics = OpticsState(shutter_open=True, l1_in=True, relay_magnification=1.0, lines_per_mm=0.0,
                         entrance_slit_um=15_000.0)
    bench = Bench(SystemClock(), sample, SimpleNamespace(sample_K=294.0, advance_to=lambda now_s: None), laser, optics)
    light = SceneRenderer(bench).photons_per_s().astype(float)
    image, variance = exposed(light * 300.0 / light.max(), np.random.default_rng(26))
    fit = fit_spot(image, 62.183, variance=variance)
    assert (fit.diameter_x_um, fit.diameter_y_um) == pytest.approx((16.5, 18.0), rel=0.01)


def test_measured_beside_calculated_spot():
    x, y = (compare_with_calculated(d, 0.11, 13.732) for d in (16.5, 18.0))
    assert (x.ratio, y.ratio) == pytest.approx((1.20, 1.31), abs=0.005)
    assert (x.sigma, y.sigma) == pytest.approx((1.5, 2.2), abs=0.05)
    assert gaussian_fwhm_um(16.5) == pytest.approx(9.714, abs=5e-4)


def test_a_round_spot_has_no_angle_and_a_cut_one_says_so():
    rng = np.random.default_rng(23)
    image, variance = exposed(gaussian_spot(40, 1.0, 15.0, 15.0, 0.0), rng)
    assert any("angle says nothing" in note for note in fit_spot(image, 1000.0, variance=variance).notes)
    image, variance = exposed(gaussian_spot(24, 1.0, 26.0, 20.0, 0.0), rng)
    assert any("whole spot" in note for note in fit_spot(image, 1000.0, variance=variance).notes)


def test_excluded_pixels_do_not_count():
    image, variance = exposed(gaussian_spot(40, 1.0, 18.0, 14.0, 20.0), np.random.default_rng(24))
    image[20:22, 18:21], variance[20:22, 18:21] = 60_000.0, 60_000.0
    bad = image > 50_000.0
    fit = fit_spot(image, 1000.0, variance=variance, exclude=bad)
    assert fit.diameter_major_um == pytest.approx(18.0, abs=4.0 * fit.diameter_major_err_um)


def test_bad_spots_are_refused():
    flat = np.random.default_rng(25).poisson(20.0, (40, 40)).astype(float)
    with pytest.raises(FitError):
        fit_spot(flat, 1000.0)
    with pytest.raises(FitError, match="flat"):
        fit_spot(np.full((40, 40), 7.0), 1000.0)
    holes = flat.copy()
    holes[3, 4] = np.nan
    with pytest.raises(AnalysisError, match="NaN"):
        fit_spot(holes, 1000.0)
    with pytest.raises(AnalysisError, match="nm_per_px"):
        fit_spot(flat, 0.0)
    with pytest.raises(AnalysisError, match="shape"):
        fit_spot(flat, 1000.0, variance=np.ones((3, 3)))
    with pytest.raises(AnalysisError, match="zero somewhere"):
        fit_spot(flat, 1000.0, variance=np.zeros((40, 40)))
    with pytest.raises(AnalysisError, match="scale_rel_err"):
        fit_spot(flat, 1000.0, scale_rel_err=-0.1)
    with pytest.raises(AnalysisError, match="exclude leaves"):
        fit_spot(gaussian_spot(40, 1.0, 18.0, 14.0, 20.0), 1000.0, exclude=np.arange(1600).reshape(40, 40) > 10)
    narrow = np.zeros((40, 40))
    narrow[20, 20] = 1e4
    with pytest.raises(FitError):
        fit_spot(narrow + flat, 1000.0)


def bead_image(diameter, sigma, grid, rng, height=300.0, background=8.0, fine=3, spread=0.0):
    """A grid x grid of beads at random places within their cells; all dark between."""
    cell = int(2.4 * diameter) + 8
    expected = np.full((grid * cell, grid * cell), background)
    y, x = pixels(cell, fine)
    for row in range(grid):
        for column in range(grid):
            x0, y0 = cell / 2 + rng.uniform(-1, 1, 2)
            own = diameter * (1.0 + spread * rng.normal())
            disc = averaged(disc_profile(np.hypot(x - x0, y - y0), own / 2, sigma), fine)
            expected[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] += height * disc
    return exposed(expected, rng)


def test_the_disc_profile_is_a_disc_convolved_with_a_gaussian():
    # direct sum over the disc's points
    y, x = pixels(41, 8)
    inside = np.hypot(x - 20, y - 20) < 9.0
    for distance in (0.0, 4.0, 9.0, 12.0):
        weight = np.exp(-0.5 * ((x - 20 - distance) ** 2 + (y - 20) ** 2) / 2.0**2) / (2 * np.pi * 2.0**2) / 64
        assert disc_profile(distance, 9.0, 2.0) == pytest.approx(weight[inside].sum(), abs=2e-3)


def test_bead_pulls():
    # one image of 196 beads is 196 data sets
    image, variance = bead_image(9.0, 1.8, 14, np.random.default_rng(31), height=150.0)
    scale = scale_from_beads(image, 2110.0 / 9.0, variance=variance)
    assert len(scale.beads) == 196 and scale.refused == ()
    pulls = [(bead.diameter_px - 9.0) / bead.diameter_err_px for bead in scale.beads]
    assert abs(np.mean(pulls)) < 0.15
    assert abs(np.std(pulls, ddof=1) - 1.0) < 0.15
    # all beads alike: scatter and fit errors are two estimates of the same
    assert scale.scatter_rel_err == pytest.approx(scale.fit_rel_err, rel=0.2)


def test_the_scale_and_its_error(vectors):
    v = vectors["scale_calibration"]
    # 2.11 um at 100 nm/px, beads that differ by 5 %
    image, variance = bead_image(21.1, 2.3, 4, np.random.default_rng(32), spread=0.05)
    scale = scale_from_beads(image, 103.0, bead_um=v["bead_um"], bead_err_um=v["bead_err_um"], variance=variance)
    assert scale.bead_rel_err == pytest.approx(v["rel_bead"], rel=1e-9)
    assert scale.nm_per_px == pytest.approx(100.0, rel=4.0 * scale.scatter_rel_err)
    assert scale.scatter_rel_err == pytest.approx(0.05 / 4, rel=0.6)
    assert scale.rel_err == pytest.approx(np.sqrt(v["rel_bead"] ** 2 + scale.scatter_rel_err**2), rel=1e-3)
    assert scale.psf_fwhm_px == pytest.approx(2.3 * 2.35482, rel=0.05)
    # the same image said to be binned by 2: half the length per sensor pixel
    binned = scale_from_beads(image, 51.5, variance=variance, binning=2)
    assert binned.nm_per_px == pytest.approx(scale.nm_per_px / 2, rel=1e-6)
    assert scale_relative_error(v["rel_bead"], v["other_rel_implied"], 0.0) == pytest.approx(v["total_rel_paper"])


def test_touching_saturated_and_cut_beads_are_refused():
    rng = np.random.default_rng(33)
    image, variance = bead_image(12.0, 1.8, 3, rng, height=400.0)
    cell = image.shape[0] // 3
    for array in (image, variance):  # the middle bead gets a twin at its side
        array[cell : 2 * cell, cell + 9 : 2 * cell] += array[cell : 2 * cell, cell : 2 * cell - 9] - 8.0
    full = np.zeros(image.shape, bool)
    full[cell // 2, cell // 2] = True
    scale = scale_from_beads(image, 2110 / 12.0, variance=np.maximum(variance, 1.0), saturated=full)
    assert len(scale.beads) == 7
    assert sorted(reason.split(": ")[1][:9] for reason in scale.refused) == ["its area ", "saturated"]
    with pytest.raises(FitError, match="None of 9 bright regions"):
        scale_from_beads(image, 2110 / 40.0)
    with pytest.raises(AnalysisError, match="less binning"):
        scale_from_beads(image, 2110 / 12.0, binning=4)


def test_one_bead_lacks_its_scatter():
    image, variance = bead_image(14.0, 2.0, 1, np.random.default_rng(34))
    scale = scale_from_beads(image, 2110 / 14.0, variance=variance)
    assert any("scatter is not known" in note for note in scale.notes)
    with pytest.raises(FitError, match="flat"):
        fit_bead(np.full((30, 30), 5.0), 14.0)
    with pytest.raises(AnalysisError, match="NaN"):
        scale_from_beads(np.full((30, 30), np.nan), 150.0)


def test_the_example_in_the_documentation():
    assert doctest.testmod(spot_module).failed == 0
