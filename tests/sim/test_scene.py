"""What falls on the virtual camera's chip, compared with what the sample emits."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from sim_bench import make_bench

from cryopl_bluesky.sim.emission import HC_EV_NM, LineModel
from cryopl_bluesky.sim.kymera_optics import KymeraOptics
from cryopl_bluesky.sim.layout import EmitterLayout, SolutionLayout
from cryopl_bluesky.sim.sample import Sample
from cryopl_bluesky.sim.scene import SceneRenderer

IMAGE = {"lines_per_mm": 0.0, "entrance_slit_um": 2500.0}
MAGNIFICATION = 300.0 / 2.87
PIXEL_UM = 6.5


def render(sample="superlattice", temperature_K=5.6, **optics):
    return SceneRenderer(make_bench(sample, temperature_K, **optics)).photons_per_s()


def without_background(name):
    return replace(Sample.named(name), camera_background_per_s=0.0)


def centroid(profile, axis):
    return float(profile @ axis / profile.sum())


def fwhm(profile, step=1.0):
    above = np.flatnonzero(profile >= profile.max() / 2)
    return (above[-1] - above[0] + 1) * step


@pytest.mark.parametrize(
    "change",
    [
        lambda bench: setattr(bench.laser, "mode", "off"),
        lambda bench: setattr(bench.laser, "power_uW", 0.0),
        lambda bench: setattr(bench.optics, "shutter_open", False),
        lambda bench: setattr(bench.optics, "port", "hbt"),
        lambda bench: bench.optics.moving.add("turret"),
        lambda bench: setattr(bench.optics, "entrance_slit_um", 0.0),
    ],
    ids=["laser off", "no power", "shutter closed", "other port", "moving", "slit closed"],
)
def test_dark_states(change):
    bench = make_bench()
    renderer = SceneRenderer(bench)
    assert renderer.photons_per_s().max() > 0
    change(bench)
    dark = renderer.photons_per_s()
    assert dark.shape == (2048, 2048) and dark.dtype == np.float32 and not dark.any()


@pytest.mark.parametrize("temperature_K", [5.6, 77.0, 150.0, 294.0])
def test_peak_of_the_centre_rows_is_the_samples_peak_energy(temperature_K):
    """Counts per pixel -> per nm -> per eV, then the top of the line by a parabola of its logarithm."""
    frame = render(without_background("superlattice"), temperature_K).astype(np.float64)
    axis_nm = KymeraOptics().axis_nm(600.0, 525.0)
    energies_eV = HC_EV_NM / axis_nm
    density = frame[994:1054].sum(axis=0) / np.gradient(axis_nm) * axis_nm**2 / HC_EV_NM
    top = density > 0.5 * density.max()
    curve = np.polynomial.Polynomial.fit(energies_eV[top], np.log(density[top]), 2)
    peak_eV = float(curve.deriv().roots()[0].real)
    assert peak_eV == pytest.approx(make_bench().sample.peak_energy_eV(temperature_K), abs=5e-5)
    sigma_eV = (-1.0 / curve.deriv(2)(peak_eV)) ** 0.5
    assert 2.35482 * sigma_eV == pytest.approx(make_bench().sample.fwhm_eV(temperature_K), rel=0.01)


@pytest.mark.parametrize("name", ["superlattice", "nanocrystal_film", "single_emitter", "rhodamine_6g"])
@pytest.mark.parametrize("relay", [1.0, 4.0])
@pytest.mark.parametrize("l5_in", [False, True])
def test_image_and_spectral_image_hold_the_same_photons(name, relay, l5_in):
    sample = without_background(name)
    common = {"relay_magnification": relay, "entrance_slit_um": 50.0, "l5_in": l5_in}
    stripe = render(sample, lines_per_mm=0.0, **common)
    spectra = render(sample, lines_per_mm=150.0, centre_wavelength_nm=540.0, **common)
    assert spectra.sum(dtype=float) == pytest.approx(stripe.sum(dtype=float), rel=2e-3)
    rows = stripe.sum(axis=1, dtype=float)
    assert spectra.sum(axis=1, dtype=float) == pytest.approx(rows, abs=5e-3 * rows.max())


def test_l5_collects_the_whole_image():
    """A dye film under the focused spot: the light is the integral of the spot, whichever way it comes."""
    sample = without_background("rhodamine_6g")
    spot_um2 = np.pi / 8.0 * 16.5 * 18.0
    expected = spot_um2 * sample.camera_photons_per_s * 0.95 * 0.82
    for optics in ({"l5_in": False}, {"l5_in": True}):
        image = render(sample, l1_in=False, relay_magnification=1.0, **IMAGE, **optics)
        assert image.sum(dtype=float) == pytest.approx(expected, rel=2e-3)


def test_l5_puts_all_light_in_a_narrow_strip_of_rows():
    frame = render(without_background("superlattice"), l5_in=True)
    lit = np.flatnonzero(frame.sum(axis=1))
    assert lit.size * PIXEL_UM == pytest.approx(75.0, abs=2 * PIXEL_UM)
    assert lit.mean() == pytest.approx(1023.5)


@pytest.mark.parametrize("relay", [1.0, 4.0])
def test_rows_are_positions_along_the_slit(relay):
    """The central plate, 4 um and tilted by 0.12, is cut by the slit over 4 um / cos(0.12)."""
    rows = render(relay_magnification=relay).sum(axis=1)
    near = np.abs((np.arange(2048) - 1023.5) * PIXEL_UM / (MAGNIFICATION * relay)) < 2.6
    width_um = fwhm(rows[near], PIXEL_UM / (MAGNIFICATION * relay))
    assert width_um == pytest.approx(4.0 / np.cos(0.12), rel=0.03)


def test_emitters_lie_where_the_layout_puts_them():
    layout = EmitterLayout(density_um2=0.01, extent_um=8.0, seed=5)
    sample = replace(without_background("nanocrystal_film"), layout=layout)
    image = render(sample, relay_magnification=1.0, **IMAGE).astype(float)
    columns_um = (np.arange(2048) - 1023.0) * PIXEL_UM / MAGNIFICATION
    rows_um = (np.arange(2048) - 1023.5) * PIXEL_UM / MAGNIFICATION
    for x_um, y_um, *_ in zip(*layout.emitters(), strict=True):
        patch = np.ix_(np.abs(rows_um - y_um) < 0.7, np.abs(columns_um - x_um) < 0.7)
        assert centroid(image[patch].sum(axis=1), rows_um[np.abs(rows_um - y_um) < 0.7]) == pytest.approx(
            y_um, abs=0.05
        )
        assert centroid(
            image[patch].sum(axis=0), columns_um[np.abs(columns_um - x_um) < 0.7]
        ) == pytest.approx(x_um, abs=0.05)


def test_point_image_has_the_stated_width():
    rows = render(without_background("single_emitter"), **IMAGE).sum(axis=1)
    assert fwhm(rows, PIXEL_UM / (4 * MAGNIFICATION)) == pytest.approx(0.345, abs=0.02)


def test_narrow_slit_with_mirror_shows_only_its_stripe():
    frame = render(without_background("rhodamine_6g"), lines_per_mm=0.0, entrance_slit_um=50.0)
    columns = frame.sum(axis=0)
    assert centroid(columns, np.arange(2048)) == pytest.approx(1023.0, abs=0.05)
    assert fwhm(columns, PIXEL_UM) == pytest.approx(50.0, abs=10.0)
    assert columns[:1000].max() == 0.0 and columns[1046:].max() == 0.0


def test_zero_order_of_a_grating_is_an_image():
    mirror = render(lines_per_mm=0.0, centre_wavelength_nm=0.0)
    zero_order = render(lines_per_mm=600.0, centre_wavelength_nm=0.0)
    assert np.array_equal(mirror, zero_order)


def test_centre_wavelength_falls_on_the_axis_column():
    sample = without_background("single_emitter")
    wavelength_nm = HC_EV_NM / sample.peak_energy_eV(5.6)
    for relay in (1.0, 4.0):
        frame = render(sample, relay_magnification=relay, centre_wavelength_nm=wavelength_nm)
        assert centroid(frame.sum(axis=0, dtype=float), np.arange(2048)) == pytest.approx(1023.0, abs=0.05)


@pytest.mark.parametrize(("slit_um", "width_um"), [(10.0, 40.5), (200.0, 200.0), (1000.0, 1000.0)])
def test_a_sharp_line_shows_the_slit_and_the_spectrographs_point_image(slit_um, width_um):
    sharp = LineModel(
        gap_eV=2.36, expansion_eV_K=0, phonon_coupling_eV=0, width_eV=1e-5, acoustic_eV_K=0, optical_eV=0
    )
    sample = replace(without_background("rhodamine_6g"), line=sharp, layout=SolutionLayout())
    profile = render(sample, entrance_slit_um=slit_um)[1023]
    assert fwhm(profile, PIXEL_UM) == pytest.approx(width_um, abs=PIXEL_UM)


def test_light_is_proportional_to_laser_power():
    bench = make_bench()
    renderer = SceneRenderer(bench)
    nominal = renderer.photons_per_s()
    bench.laser.power_uW *= 16.0
    np.testing.assert_allclose(renderer.photons_per_s(), 16.0 * nominal, rtol=1e-5)


def test_focused_spot_excites_less_area_but_keeps_the_power():
    sample = without_background("rhodamine_6g")
    spots = [render(sample, l1_in=l1_in, relay_magnification=1.0, **IMAGE) for l1_in in (True, False)]
    assert spots[0].sum(dtype=float) == pytest.approx(spots[1].sum(dtype=float), rel=0.02)
    assert spots[1].max() / spots[0].max() == pytest.approx(16.5 * 18.0 / 2.5**2 / 1.1, rel=0.15)


def test_edge_rows_are_bluer_than_the_centre():
    frame = render(without_background("superlattice")).astype(float)
    columns = np.arange(2048)
    centre, edge = (
        centroid(frame[1018:1030].sum(axis=0), columns),
        centroid(frame[1142:1150].sum(axis=0), columns),
    )
    assert 10 < centre - edge < 90


def test_the_same_state_gives_the_same_array_and_a_step_of_temperature_another():
    bench = make_bench()
    renderer = SceneRenderer(bench)
    first = renderer.photons_per_s()
    assert renderer.photons_per_s() is first and not first.flags.writeable
    bench.thermal.sample_K += 0.001
    assert renderer.photons_per_s() is first
    bench.thermal.sample_K += 0.010
    assert renderer.photons_per_s() is not first


def test_threads_share_one_drawing():
    renderer = SceneRenderer(make_bench())
    frames = []
    threads = [threading.Thread(target=lambda: frames.append(renderer.photons_per_s())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(frames) == 4 and all(frame is frames[0] for frame in frames)
