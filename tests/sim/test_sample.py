"""The sample's closed forms against published vectors, and what makes it a truth to test against."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from cryopl_bluesky.sim.emission import HC_EV_NM, LineModel
from cryopl_bluesky.sim.layout import EmitterLayout, PlateLayout
from cryopl_bluesky.sim.sample import Sample

TEMPERATURES_K = (5.6, 77.0, 150.0, 294.0)


def test_peak_follows_thermal_expansion_and_one_oscillator():
    published_eV = [2.345672, 2.3554789026250753, 2.369488904741737, 2.40024463869031]
    peaks_eV = [Sample.superlattice().peak_energy_eV(T) for T in TEMPERATURES_K]
    assert peaks_eV == pytest.approx(published_eV, abs=1e-9)


def test_width_follows_acoustic_and_optical_phonons():
    published_eV = [0.0180448, 0.02252486517646795, 0.03738140053762344, 0.07349367618452297]
    assert [Sample.superlattice().fwhm_eV(T) for T in TEMPERATURES_K] == pytest.approx(published_eV, abs=1e-9)


def test_yield_follows_thermal_quenching():
    published = [1.0, 0.9723882430000195, 0.5200287905916706, 0.26251677116988675]
    assert [Sample.superlattice().quantum_yield(T) for T in (5.6, 100.0, 200.0, 294.0)] == pytest.approx(
        published
    )


def test_line_has_the_jacobian_between_energy_and_wavelength():
    flat = LineModel(
        gap_eV=2.36, expansion_eV_K=0, phonon_coupling_eV=0, width_eV=0.08, acoustic_eV_K=0, optical_eV=0
    )
    sample = replace(Sample.superlattice(), line=flat)

    def minus_density_per_nm(wavelength_nm):
        energy_eV = HC_EV_NM / wavelength_nm
        return -float(sample.photon_density_per_eV(10.0, energy_eV)) * HC_EV_NM / wavelength_nm**2

    peak_nm = minimize_scalar(
        minus_density_per_nm, bounds=(520, 530), method="bounded", options={"xatol": 1e-7}
    ).x
    assert peak_nm == pytest.approx(525.139220015479, abs=1e-4)
    assert quad(lambda E: float(sample.photon_density_per_eV(10.0, E)), 1.9, 2.8)[0] == pytest.approx(1.0)


def test_lifetime_has_the_published_energy_dependence():
    kinetics = replace(Sample.superlattice().kinetics, cold_ns=0.8, warm_ns=0.8)
    sample = replace(Sample.superlattice(), kinetics=kinetics)
    lifetimes_ns = [sample.decay(5.6, HC_EV_NM / nm)[1][0] for nm in (522.0, 527.0, 530.0)]
    assert lifetimes_ns == pytest.approx([0.21, 0.42, 0.55], abs=0.01)


@pytest.mark.parametrize("name", ["superlattice", "multiline_superlattice"])
@pytest.mark.parametrize("temperature_K", TEMPERATURES_K)
def test_blue_side_decays_faster(name, temperature_K):
    sample = Sample.named(name)
    energies_eV = sample.peak_energy_eV(temperature_K) + np.array([-0.02, 0.0, 0.02])
    red, middle, blue = (sample.mean_lifetime_ns(temperature_K, HC_EV_NM / E) for E in energies_eV)
    assert blue < middle < red


def test_warming_makes_the_light_slower_broader_and_weaker():
    sample = Sample.superlattice()
    temperatures_K = np.linspace(4.0, 320.0, 80)
    at_peak_ns = [sample.decay(T, sample.peak_energy_eV(T))[1][0] for T in temperatures_K]
    assert np.all(np.diff(at_peak_ns) > 0)
    assert np.all(np.diff([sample.fwhm_eV(T) for T in temperatures_K]) > 0)
    assert np.all(np.diff([sample.quantum_yield(T) for T in temperatures_K]) <= 0)
    assert 0.2 < at_peak_ns[0] < 0.5
    assert 3.0 < sample.decay(294.0, sample.peak_energy_eV(294.0))[1][0] < 8.0


def test_photon_fractions_sum_to_one_with_a_small_slow_tail():
    fractions, lifetimes_ns = Sample.superlattice().decay(5.6, 2.346)
    assert fractions.sum() == pytest.approx(1.0)
    assert 0.01 <= fractions[1] <= 0.05 and lifetimes_ns[1] == 10.0


def test_mean_lifetime_of_a_band_is_the_mean_over_its_photons():
    sample = Sample.superlattice()
    temperature_K, centre_nm, width_nm = 150.0, 522.0, 3.0

    def photons(nm):
        return float(sample.photon_density_per_eV(temperature_K, HC_EV_NM / nm)) * HC_EV_NM / nm**2

    def weighted_ns(nm):
        fractions, lifetimes_ns = sample.decay(temperature_K, HC_EV_NM / nm)
        return photons(nm) * float(fractions @ lifetimes_ns)

    band = (centre_nm - width_nm / 2, centre_nm + width_nm / 2)
    expected_ns = quad(weighted_ns, *band)[0] / quad(photons, *band)[0]
    assert sample.mean_lifetime_ns(temperature_K, centre_nm, width_nm) == pytest.approx(expected_ns, rel=1e-5)
    narrow_ns = sample.mean_lifetime_ns(temperature_K, centre_nm, 1e-3)
    assert narrow_ns == pytest.approx(sample.mean_lifetime_ns(temperature_K, centre_nm), rel=1e-5)


def test_mean_lifetime_refuses_a_band_without_light():
    with pytest.raises(ValueError, match=r"no light within 1\.0 nm of 700\.0 nm"):
        Sample.superlattice().mean_lifetime_ns(5.6, 700.0, 1.0)


def test_rhodamine_is_the_reference_dye_at_any_temperature():
    sample = Sample.rhodamine_6g()
    for temperature_K in (5.6, 294.0):
        fractions, lifetimes_ns = sample.decay(temperature_K, 2.3)
        assert fractions.tolist() == [1.0] and lifetimes_ns.tolist() == pytest.approx([3.99])
        assert HC_EV_NM / sample.peak_energy_eV(temperature_K) == pytest.approx(555.0)
        assert sample.quantum_yield(temperature_K) == pytest.approx(0.95)


def test_names():
    for name in (
        "superlattice",
        "nanocrystal_film",
        "single_emitter",
        "rhodamine_6g",
        "multiline_superlattice",
    ):
        assert Sample.named(name).name == name
    with pytest.raises(
        ValueError, match=r"sample='quartz' is unknown; choose one of .*single_emitter.*superlattice"
    ):
        Sample.named("quartz")


def test_multiline_superlattice_has_the_three_lines_at_5_6_K():
    lines_nm = [HC_EV_NM / energy_eV for _, energy_eV, _ in Sample.multiline_superlattice().lines(5.6)]
    assert lines_nm == pytest.approx([530.0, 527.0, 522.0], abs=0.3)


def test_central_plate_is_flat_inside_and_bluer_at_its_rim():
    sample = Sample.superlattice()
    inner_um = np.linspace(-0.8, 0.8, 17)
    assert np.all(sample.emission(inner_um, inner_um) == 1.0)
    assert np.all(sample.energy_shift_eV(inner_um, inner_um) == 0.0)
    rim_eV = sample.energy_shift_eV(0.0, [-1.95, 1.95])
    assert np.all(rim_eV > 0.004) and np.all(rim_eV <= 0.010)


def test_geometry_depends_on_the_seed_alone():
    assert PlateLayout(seed=3).plates() == PlateLayout(seed=3).plates() != PlateLayout(seed=4).plates()
    first, second = EmitterLayout(seed=3).emitters(), replace(EmitterLayout(seed=4), seed=3).emitters()
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_plates_do_not_overlap_and_have_the_stated_sizes():
    plates = PlateLayout().plates()
    for i, plate in enumerate(plates):
        assert 1.0 <= plate.side_um <= 5.0
        for other in plates[:i]:
            assert (
                np.hypot(plate.x_um - other.x_um, plate.y_um - other.y_um)
                > (plate.side_um + other.side_um) / 2**0.5
            )


def test_blur_keeps_the_light_of_a_plate_and_of_an_emitter():
    grid_um = np.arange(-4.0, 4.0, 0.02)
    alone = PlateLayout(count=0, central_side_um=4.0, central_angle_rad=0.3)
    assert alone.brightness(grid_um, grid_um, 0.15)[0].sum() * 0.02**2 == pytest.approx(16.0, rel=1e-3)
    emitter = EmitterLayout(density_um2=0.0)
    assert emitter.brightness(grid_um, grid_um, 0.15)[0].sum() * 0.02**2 == pytest.approx(1.0, rel=1e-6)


def test_film_has_the_stated_density():
    x_um, y_um, _, _ = EmitterLayout().emitters()
    inside = (np.abs(x_um) < 50) & (np.abs(y_um) < 50)
    assert inside.sum() == pytest.approx(500, abs=5 * 500**0.5)
