"""Every closed form against `test_vectors.json` (30-digit arithmetic)."""

import dataclasses

import numpy as np
import pytest

from cryopl_bluesky.analysis import AnalysisError, counting, g2, lifetimes, optics, spectra, temperature, units

close = pytest.approx


def test_nm_to_eV(vectors):
    for nm, eV in vectors["nm_eV"].items():
        assert units.nm_to_eV(float(nm)) == close(eV, rel=1e-9)
        assert units.eV_to_nm(eV) == close(float(nm), rel=1e-9)
    with pytest.raises(AnalysisError, match="above zero"):
        units.nm_to_eV([525.0, 0.0])


@pytest.mark.parametrize("a_mm", [0.01, 0.7, 2.87, 30.0, 1e4])
def test_equations_1_to_3_are_identities(a_mm, vectors):
    f, d, f1 = 2.87, 600.0, 125.4
    b = optics.conjugate_mm(a_mm, f)
    assert 1 / (f + a_mm) + 1 / (f + b) == close(1 / f, rel=1e-9)
    # equation 3 for every a: d_spot = 2 a tan(alpha)
    assert 2e3 * a_mm * optics.tan_alpha(a_mm, f, d, f1) == close(vectors["optics"]["d_spot_um"], rel=1e-9)


def test_microscope_numbers(vectors):
    v = vectors["optics"]
    near, far = optics.imaging(2.87, 300), optics.imaging(2.87, 300, (50, 200))
    assert optics.spot_diameter_um(600, 2.87, 125.4) == close(v["d_spot_um"], rel=1e-9)
    assert (near.magnification, far.magnification) == close((v["M_x1"], v["M_x4"]), rel=1e-9)
    assert (near.nm_per_px, far.nm_per_px) == close((v["px_sample_nm_x1"], v["px_sample_nm_x4"]), rel=1e-9)
    assert (near.field_um, far.field_um) == close((v["fov_um_x1"], v["fov_um_x4"]), rel=1e-9)
    assert near.at_sample_um(50) == close(v["slit50_sample_um_x1"], rel=1e-9)
    assert optics.rayleigh_radius_um(0.55, 0.82) == close(v["fwhm_0p61_550_um"], rel=1e-9)
    assert optics.optimal_magnification(6.5, 0.4) == close(v["M_opt_6p5um_0p4um"])
    s = vectors["scale_calibration"]
    assert optics.other_relative_error(s["total_rel_paper"], s["rel_bead"]) == close(
        s["other_rel_implied"], rel=1e-9
    )
    for lines, dispersion in vectors["dispersion"]["nm_per_mm"].items():
        assert optics.dispersion_nm_mm(float(lines), 328) == close(dispersion, rel=1e-9)


def test_fluence(vectors):
    v = vectors["fluence"]
    dx, dy = v["waist_diam_um"]
    assert optics.ellipse_area_cm2(dx, dy) == close(v["area_pi_wx_wy_cm2"], rel=1e-9)
    assert optics.pulse_energy_pJ(0.71, dx, dy) == close(v["E_pulse_pJ_if_average"], rel=1e-9)
    assert optics.pulse_energy_pJ(0.71, dx, dy, "peak") == close(v["E_pulse_pJ_if_peak"], rel=1e-9)
    assert optics.photon_energy_J(405) == close(v["photon_energy_J"], rel=1e-9)
    assert [optics.gaussian_fwhm_um(d) for d in (dx, dy)] == close(v["fwhm_um"], rel=1e-9)
    assert close(v["fraction_inside_waist_ellipse"], rel=1e-9) == optics.FRACTION_INSIDE_1E2_ELLIPSE
    got = optics.fluence(v["E_pulse_pJ_if_average"] * 1e-6 * 2.5e6, 2.5e6, dx, dy)
    assert (got.average_uJ_cm2, got.peak_uJ_cm2) == close((0.71, 1.42), rel=1e-9)
    assert got.photons_per_cm2 == close(v["photons_per_cm2"], rel=1e-9)


def test_spectral_forms(vectors):
    j = vectors["jacobian"]
    assert spectra.jacobian_peak_eV(j["E0"], j["fwhm_eV"]) == close(j["E_star"], rel=1e-9)
    assert units.interval_nm_to_eV(525, 0.2) * 1e3 == close(j["width_0p2nm_at_525_meV"], rel=1e-9)
    voigt = vectors["voigt_fwhm_olivero"]
    assert spectra.voigt_fwhm(voigt["fL"], voigt["fG"]) == close(voigt["approx"], rel=1e-9)


def test_temperature_models(vectors):
    v = vectors["varshni_GaAs"]
    assert temperature.varshni_eV(v["T"], v["E0"], v["alpha"], v["beta"]) == close(v["E"], rel=1e-9)
    v = vectors["odonnell_chen_GaAs"]
    assert temperature.odonnell_chen_eV(v["T"], v["E0"], v["S"], v["hw_eV"]) == close(v["E"], rel=1e-8)
    v = vectors["perovskite_TE_plus_one_oscillator"]
    got = temperature.expansion_one_oscillator_eV(v["T"], v["E0"], v["A_TE"], v["A_EP"], v["hw_eV"])
    assert got == close(v["E"], rel=1e-8)
    v = vectors["two_oscillator"]
    got = temperature.two_oscillators_eV(v["T"], v["E0"], v["A1"], v["hw1"], v["A2"], v["hw2"])
    assert got == close(v["E"], rel=1e-8)
    v = vectors["linewidth"]
    assert temperature.line_width_eV(v["T"], v["G0"], v["sigma_ac"], v["gLO"], v["ELO"]) == close(
        v["FWHM_eV"], rel=1e-8
    )
    v = vectors["arrhenius"]
    assert temperature.thermal_quenching(v["T"], v["I0"], v["a"], v["Ea"]) == close(v["I"], rel=1e-7)
    v = vectors["mccumber_sturge_integral"]
    assert temperature.mccumber_sturge_integral(v["T"], v["TD"]) == close(v["I"], rel=1e-6)


def test_zero_kelvin_is_a_limit_not_a_nan():
    assert temperature.bose_einstein(0.02, 0.0) == 0.0
    assert temperature.thermal_quenching(0.0, 1.0, 30, 0.06) == 1.0
    assert temperature.mccumber_sturge_integral(0.0, 760) == 0.0
    with pytest.raises(AnalysisError, match="kelvin"):
        temperature.bose_einstein(0.02, [-5.0])


def test_lifetime_forms(vectors):
    v = vectors["avg_lifetime"]
    assert lifetimes.tau_amp_ns(v["A"], v["tau"]) == close(v["amplitude_weighted"])
    assert lifetimes.tau_int_ns(v["A"], v["tau"]) == close(v["intensity_weighted"])
    s = v["stretched"]
    assert lifetimes.stretched_mean_ns(s["tau"], s["beta"]) == close(s["mean"], rel=1e-9)
    assert lifetimes.stretched_second_moment_mean_ns(s["tau"], s["beta"]) == close(
        s["second_moment_mean"], rel=1e-9
    )
    v = vectors["exp_conv_gauss"]
    for tau, values in v["values"].items():
        got = lifetimes.exp_conv_gauss(np.array(v["t_ns"]), float(tau), v["sigma_ns"])
        assert got == close(values, rel=1e-9)
    v = vectors["periodic_exp"]
    assert lifetimes.periodic_exponential(0.0, v["tau"], v["T"]) == close(v["at0"], rel=1e-9)
    v = vectors["crlb_tau"]
    assert [lifetimes.lifetime_precision(1e4, r, 1.0) for r in v["r"]] == close(v["rel_err_N1e4"], rel=1e-9)
    v = vectors["pileup"]["example"]
    assert counting.first_photon_histogram(v["p"], v["mu"]) == close(v["P"], rel=1e-9)
    counts = np.array(v["P"]) * 1e6
    got = counting.coates_correction(counts, 1e6, period_ns=400, lifetime_ns=4)
    assert got == close(np.array(v["p"]) * v["mu"], rel=1e-9)
    v = vectors["timing"]
    q = v["quadrature_ps"]
    assert lifetimes.timing_fwhm_ps(q["laser_fwhm"], q["spad_fwhm"], q["tt_rms"]) == close(
        q["total_fwhm"], rel=1e-6
    )
    assert lifetimes.laser_fwhm_for_ps(200, 27, 8) == close(v["laser_fwhm_needed_for_200ps"], rel=1e-6)
    v = vectors["rate_model_funnelling"]
    donor, acceptor = lifetimes.funnelling(v["t"], v["kD"], v["kA"], v["kET"])
    assert donor == close(v["D"], rel=1e-9)
    assert acceptor == close(v["A_A0_1"], rel=1e-9)


def test_g2_forms(vectors):
    v = vectors["g2"]
    for case in v["jitter_dip"]["cases"]:
        assert g2.jitter_dip(case["s_ns"], case["tau_ns"]) == close(case["g0"], rel=1e-9)
    for n, value in v["n_emitters"].items():
        assert g2.n_emitters(int(n)) == close(value)
    assert g2.unequal_emitters(v["two_unequal"]["I"]) == close(v["two_unequal"]["g0"], rel=1e-9)
    t = v["three_level"]
    assert g2.three_level(t["t"], t["a"], t["t1"], t["t2"]) == close(t["g"], rel=1e-9)
    e = v["cw_norm_example"]
    assert g2.accidentals_per_bin(e["R1"], e["R2"], e["dt_ns"] * 1e3, e["T_s"]) == close(
        e["expected_per_bin"]
    )
    assert g2.single_stop_factor(1e6, 100) == close(v["startstop_factor"], rel=1e-9)
    p = v["pulsed"]
    assert g2.peak_ratio(p["A0"], p["A_k"]) == close((p["g2"], p["sigma"]), rel=1e-9)
    o = v["pulsed_overlap"]
    assert g2.neighbour_leakage(o["T"], o["tau"]) == close(o["leak"], rel=1e-9)
    b = v["background"]
    for raw, corrected in ((b["g2_meas0"], 0.0), (0.4, b["paper_0p4_to_true_if_rho_0p9"])):
        result = dataclasses.replace(g2.g2_of_areas([0, 1], [1, 1], 50.0), g2_0_raw=raw).with_background((0.9, 0.9))
        assert result.g2_0_bgcorr == close(corrected, rel=1e-9, abs=1e-12)


def test_ruby(vectors):
    v = vectors["ruby"]
    assert temperature.ruby_R1_per_cm(v["T"]) == close(np.array(v["R1"]), rel=1e-9)


def test_slit_and_jacobian_remarks(vectors):
    v = vectors["dispersion"]
    for lines, slit_um in v["slit_um_for_0p2nm"].items():
        assert 0.2 / optics.dispersion_nm_mm(float(lines), v["f_mm"]) * 1e3 == close(slit_um, rel=1e-9)
    v = vectors["jacobian"]
    assert units.eV_to_nm(v["E0"]) == close(v["lambda_of_E0_nm"], rel=1e-9)
    assert 1e3 * (spectra.jacobian_peak_eV(v["E0"], v["fwhm_eV"]) - v["E0"]) == close(v["shift_meV"], rel=1e-6)
    v = vectors["periodic_exp"]
    at_period = lifetimes.periodic_exponential(np.array([0.0]), v["tau"], v["T"])[0] * v["tau"]
    assert 1.0 - 1.0 / at_period == close(v["wrap_fraction"], rel=1e-9)
