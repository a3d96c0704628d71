"""What reaches the virtual SPADs, compared with brute-force sums over slit, point image and spectrum."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtr
from sim_bench import make_bench

from cryopl_bluesky.sim.emission import HC_EV_NM
from cryopl_bluesky.sim.kymera_optics import KymeraOptics
from cryopl_bluesky.sim.layout import EmitterLayout
from cryopl_bluesky.sim.light import expected_raw_g2_0, spad_light
from cryopl_bluesky.sim.sample import Sample

SIGMA_UM = 40.0 / 2.354820045
HBT = {"port": "hbt", "l5_in": True}
NM_PER_UM = KymeraOptics().nm_per_um(600.0, 555.0)


def light_of(sample="superlattice", temperature_K=5.6, **optics):
    return spad_light(make_bench(sample, temperature_K, **{**HBT, **optics}))


def through_exit(image_um, exit_um):
    """Fraction of an evenly lit slit image, blurred by the spectrograph, that lies within the exit slit."""
    at_um = np.linspace(-image_um / 2, image_um / 2, 2001)
    return float(np.mean(ndtr((exit_um / 2 - at_um) / SIGMA_UM) - ndtr((-exit_um / 2 - at_um) / SIGMA_UM)))


def peak_nm(name, temperature_K):
    return HC_EV_NM / Sample.named(name).peak_energy_eV(temperature_K)


@pytest.mark.parametrize(("entrance_um", "exit_um"), [(50.0, 100.0), (200.0, 30.0), (20.0, 20.0)])
def test_band_of_the_slits_against_a_sum_over_photons(entrance_um, exit_um):
    """Photons drawn at random: place in the entrance slit, blur, wavelength; count who passes."""
    sample = Sample.rhodamine_6g()
    optics = {"entrance_slit_um": entrance_um, "exit_slit_um": exit_um, "centre_wavelength_nm": 555.0}
    rng = np.random.default_rng(1)
    n = 4_000_000
    energies_eV = rng.normal(sample.peak_energy_eV(294.0), sample.fwhm_eV(294.0) / 2.354820045, n)
    at_um = (HC_EV_NM / energies_eV - 555.0) / NM_PER_UM
    image_um = min(entrance_um, 75.0)
    at_um += rng.uniform(-image_um / 2, image_um / 2, n) + rng.normal(0.0, SIGMA_UM, n)
    passed = np.count_nonzero(np.abs(at_um) < min(exit_um, 75.0) / 2)
    all_of_it = light_of(sample, 294.0, lines_per_mm=0.0, entrance_slit_um=image_um, exit_slit_um=1e4)
    expected_Hz = all_of_it.rate_Hz / through_exit(image_um, 75.0) * passed / n
    assert light_of(sample, 294.0, **optics).rate_Hz == pytest.approx(expected_Hz, rel=4 / passed**0.5)


def test_a_map_over_the_whole_line_adds_up_to_the_light_of_the_mirror():
    exit_um = 60.0
    optics = {"exit_slit_um": exit_um, "entrance_slit_um": 50.0}
    mirror_Hz = light_of(lines_per_mm=0.0, **optics).rate_Hz
    step_nm = 0.25
    wavelengths_nm = np.arange(505.0, 550.0, step_nm)
    sums = 0.0
    for wavelength_nm in wavelengths_nm:
        band_nm = exit_um * KymeraOptics().nm_per_um(600.0, wavelength_nm)
        sums += light_of(centre_wavelength_nm=wavelength_nm, **optics).rate_Hz * step_nm / band_nm
    assert sums == pytest.approx(mirror_Hz / through_exit(50.0, exit_um), rel=2e-3)


def test_an_exit_slit_wider_than_the_image_of_the_spad_gains_nothing():
    at_75 = light_of(exit_slit_um=75.0).rate_Hz
    assert light_of(exit_slit_um=300.0).rate_Hz == at_75 > light_of(exit_slit_um=50.0).rate_Hz


def test_reference_rates():
    """Settings, not measurements: some 20 kcps per SPAD of a superlattice, 2 kcps of one emitter."""
    for name, rate_Hz in (("superlattice", 20e3), ("single_emitter", 2e3)):
        light = light_of(name, centre_wavelength_nm=peak_nm(name, 5.6), exit_slit_um=100.0)
        assert 0.7 * rate_Hz < light.rate_Hz / 2 < 1.4 * rate_Hz


@pytest.mark.parametrize(
    "change",
    [
        lambda bench: setattr(bench.laser, "mode", "off"),
        lambda bench: setattr(bench.optics, "shutter_open", False),
        lambda bench: setattr(bench.optics, "port", "camera"),
        lambda bench: bench.optics.moving.add("l5"),
        lambda bench: setattr(bench.optics, "entrance_slit_um", 0.0),
        lambda bench: setattr(bench.optics, "exit_slit_um", 0.0),
    ],
    ids=["laser off", "shutter closed", "other port", "moving", "entrance closed", "exit closed"],
)
def test_dark_states(change):
    bench = make_bench(**HBT)
    assert spad_light(bench).rate_Hz > 0
    change(bench)
    dark = spad_light(bench)
    assert dark.rate_Hz == 0.0 and dark.background_Hz == 0.0


def test_room_light_enters_while_the_path_is_open_and_the_laser_off():
    bench = make_bench(**HBT)
    bench.laser.mode, bench.room_light_Hz = "off", 5000.0
    assert (spad_light(bench).rate_Hz, spad_light(bench).background_Hz) == (0.0, 5000.0)
    bench.optics.shutter_open = False
    assert spad_light(bench).background_Hz == 0.0


def test_without_l5_little_of_the_image_reaches_the_spads():
    with_l5 = light_of().rate_Hz
    assert 0.0 < light_of(l5_in=False).rate_Hz < 0.02 * with_l5


def test_lifetimes_of_a_band_are_those_of_the_sample():
    sample = Sample.superlattice()
    for temperature_K in (5.6, 150.0, 294.0):
        centre_nm = peak_nm("superlattice", temperature_K)
        light = light_of(temperature_K=temperature_K, centre_wavelength_nm=centre_nm)
        expected_ns = sample.mean_lifetime_ns(temperature_K, centre_nm, 0.4)
        assert sum(light.fractions) == pytest.approx(1.0)
        assert light.mean_lifetime_ns == pytest.approx(expected_ns, rel=2e-3)


def test_order_of_the_lifetimes_at_522_527_and_530_nm():
    for name in ("superlattice", "multiline_superlattice"):
        lifetimes_ns = [
            light_of(name, centre_wavelength_nm=nm).mean_lifetime_ns for nm in (522.0, 527.0, 530.0)
        ]
        assert lifetimes_ns == sorted(lifetimes_ns) and lifetimes_ns[0] < lifetimes_ns[2]


def test_mirror_light_has_the_mean_lifetime_of_all_photons():
    light = light_of("rhodamine_6g", lines_per_mm=0.0)
    assert (light.fractions, light.lifetimes_ns) == ((1.0,), pytest.approx((3.99,)))
    one_plate = replace(
        Sample.superlattice(), layout=replace(Sample.superlattice().layout, count=0, edge_shift_eV=0.0)
    )
    whole = light_of(one_plate, lines_per_mm=0.0)
    expected_ns = one_plate.mean_lifetime_ns(5.6, peak_nm("superlattice", 5.6), 30.0)
    assert whole.mean_lifetime_ns == pytest.approx(expected_ns, rel=2e-3)


def test_raw_g2_of_the_single_emitter_is_near_the_papers_value():
    light = light_of("single_emitter", centre_wavelength_nm=peak_nm("single_emitter", 5.6))
    assert light.g2_0 == pytest.approx(0.26)
    signal_Hz = light.rate_Hz / 2
    rho = signal_Hz / (signal_Hz + light.background_Hz + 30.0)
    raw = expected_raw_g2_0(light, 30.0)
    assert (raw - (1 - rho**2)) / rho**2 == pytest.approx(0.26)
    assert raw == pytest.approx(0.40, abs=0.02)


def test_raw_g2_formula_at_nine_tenths_signal():
    light = replace(light_of("single_emitter"), rate_Hz=1800.0, background_Hz=70.0, g2_0=0.0)
    assert expected_raw_g2_0(light, 30.0) == pytest.approx(0.19)
    assert expected_raw_g2_0(replace(light, g2_0=0.25925925925925924), 30.0) == pytest.approx(0.40)
    assert expected_raw_g2_0(replace(light, rate_Hz=0.0, background_Hz=0.0), 0.0) == 1.0


def test_more_emitters_more_g2_and_superlattices_are_poissonian():
    assert light_of("superlattice").g2_0 == 1.0
    equal = EmitterLayout(density_um2=0.02, extent_um=5.0, energy_fwhm_eV=0.0, strength_spread=0.0)
    perfect = replace(Sample.nanocrystal_film(), layout=equal, emitter_g2_0=0.0)
    light = light_of(perfect, lines_per_mm=0.0)
    n = equal.emitters()[0].size
    assert 1.0 - 1.0 / n <= light.g2_0 + 0.05 and light.g2_0 <= 1.0 - 1.0 / n + 1e-9


def test_continuous_excitation_has_no_repetition_rate():
    bench = make_bench(**HBT)
    assert spad_light(bench).repetition_rate_Hz == 2.5e6
    bench.laser.mode = "cw"
    assert spad_light(bench).repetition_rate_Hz is None and spad_light(bench).rate_Hz > 0


def test_rate_is_proportional_to_power_and_yield():
    bench = make_bench("rhodamine_6g", **HBT)
    nominal_Hz = spad_light(bench).rate_Hz
    bench.laser.power_uW *= 3.0
    assert spad_light(bench).rate_Hz == pytest.approx(3.0 * nominal_Hz)
