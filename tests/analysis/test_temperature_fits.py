import json

import numpy as np
import pytest

from cryopl_bluesky.analysis import AnalysisError, FitError
from cryopl_bluesky.analysis import temperature as law
from cryopl_bluesky.analysis.funnelling import apparent_lifetime_ns, fit_apparent_lifetime
from cryopl_bluesky.analysis.temperature_fits import fit_energy_law, fit_intensity_law, fit_width_law

T = np.linspace(5.6, 294.0, 15)
PEROVSKITE = {"E0_eV": 2.345, "A_TE_eV_K": 1.2e-4, "A_EP_eV": 0.012, "hw_eV": 0.02}  # test_vectors.json
RISING = law.expansion_one_oscillator_eV(T, *PEROVSKITE.values())


def energy(model):
    return lambda y, sigma: fit_energy_law(T, y, sigma, model=model, floor_eV=0.0)


def width(y, sigma):
    return fit_width_law(T, y, sigma, floor_eV=0.0)


def intensity(channels):
    return lambda y, sigma: fit_intensity_law(T, y, sigma, channels=channels, relative_floor=0.0)


PULLS = [
    (energy("expansion_one_oscillator"), law.expansion_one_oscillator_eV, PEROVSKITE, 5e-5),
    (energy("varshni"), law.varshni_eV, {"E0_eV": 1.519, "alpha_eV_K": 5.405e-4, "beta_K": 204.0}, 1e-4),
    (width, law.line_width_eV, {"G0_eV": 0.018, "sigma_ac_eV_K": 8e-6, "g_LO_eV": 0.055, "E_LO_eV": 0.018}, 5e-4),
    (intensity(1), law.thermal_quenching, {"I0": 1.0, "a1": 30.0, "Ea1_eV": 0.06}, 0.005),
]
SLOW_PULLS = [
    (energy("mccumber_sturge"), law.mccumber_sturge_eV, {"E0_eV": 1.79, "alpha_eV": -0.05, "debye_K": 760.0}, 1e-5),
    (energy("one_oscillator"), law.one_oscillator_eV, {"E0_eV": 2.3, "A_eV": 0.03, "hw_eV": 0.02}, 1e-4),
    (energy("odonnell_chen"), law.odonnell_chen_eV, {"E0_eV": 1.521, "S": 3.0, "hw_eV": 0.0267}, 1e-4),
    (
        energy("two_oscillators"), law.two_oscillators_eV,
        {"E0_eV": 2.34, "A1_eV": 0.01, "hw1_eV": 0.0065, "A2_eV": -0.03, "hw2_eV": 0.04}, 1e-5,
    ),
    (
        intensity(2), lambda t, i, a, e, b, f: law.thermal_quenching(t, i, (a, b), (e, f)),
        {"I0": 1.0, "a1": 2.0, "Ea1_eV": 0.012, "a2": 2000.0, "Ea2_eV": 0.15}, 2e-4,
    ),
]  # fmt: skip


def assert_pulls(fits, truth, band=0.15):
    for name in fits[0].free:
        if name in truth:
            pulls = np.array([(fit.values[name] - truth[name]) / fit.errors[name] for fit in fits])
            assert abs(pulls.mean()) < band, (name, pulls.mean())
            assert abs(pulls.std() - 1.0) < band, (name, pulls.std())


def check_recovery(fit, function, truth, sigma):
    """200 data sets: the mean of true pulls scatters by 0.07, their width by 0.05."""
    rng = np.random.default_rng(1)
    y, errors = function(T, *truth.values()), np.full(T.size, sigma)
    fits = [fit(y + rng.normal(0, sigma, T.size), errors) for _ in range(200)]
    assert_pulls(fits, truth)
    assert sum(f.good for f in fits) >= 199
    assert np.mean([f.reduced_chi2 for f in fits]) == pytest.approx(1.0, abs=4 * np.sqrt(2 / fits[0].dof / 200))


@pytest.mark.parametrize(("fit", "function", "truth", "sigma"), PULLS)
def test_recovery_and_honest_errors(fit, function, truth, sigma):
    check_recovery(fit, function, truth, sigma)


@pytest.mark.slow
@pytest.mark.parametrize(("fit", "function", "truth", "sigma"), SLOW_PULLS)
def test_recovery_and_honest_errors_of_the_other_laws(fit, function, truth, sigma):
    check_recovery(fit, function, truth, sigma)


def test_fits_return_the_vectors(vectors):
    """Exact data of the closed-form vectors, with as many parameters held as there are points too few."""
    v = vectors["perovskite_TE_plus_one_oscillator"]
    fit = fit_energy_law(v["T"], v["E"], np.full(4, 1e-5), fixed={"hw_eV": v["hw_eV"]})
    assert fit.values["A_EP_eV"] == pytest.approx(v["A_EP"], rel=1e-6)
    assert fit.values["A_TE_eV_K"] == pytest.approx(v["A_TE"], rel=1e-6)
    v = vectors["varshni_GaAs"]
    fit = fit_energy_law(v["T"], v["E"], np.full(3, 1e-5), model="varshni", fixed={"beta_K": v["beta"]})
    assert fit.values["alpha_eV_K"] == pytest.approx(v["alpha"], rel=1e-8)
    v = vectors["linewidth"]
    held = {"sigma_ac_eV_K": v["sigma_ac"]}
    fit = fit_width_law(v["T"], v["FWHM_eV"], np.full(4, 1e-5), fixed=held)
    assert (fit.values["g_LO_eV"], fit.values["E_LO_eV"]) == pytest.approx((v["gLO"], v["ELO"]), rel=1e-6)
    v = vectors["arrhenius"]
    fit = fit_intensity_law(v["T"], v["I"], np.full(4, 1e-5))
    assert (fit.values["a1"], fit.values["Ea1_eV"]) == pytest.approx((v["a"], v["Ea"]), rel=1e-6)


def test_precision_of_the_analysis_notes():
    """Section 6: 15 temperatures, 0.5 meV: A_TE, A_EP and hw are known to 15, 17 and 25 %."""
    errors = np.full(15, 5e-4)
    fit = fit_energy_law(T, RISING, errors, floor_eV=0.0)
    relative = [fit.errors[name] / PEROVSKITE[name] for name in ("A_TE_eV_K", "A_EP_eV", "hw_eV")]
    assert relative == pytest.approx([0.15, 0.17, 0.25], abs=0.005)
    held = fit_energy_law(T, RISING, errors, floor_eV=0.0, fixed={"hw_eV": 0.02})
    i, j = held.free.index("A_TE_eV_K"), held.free.index("A_EP_eV")
    assert held.correlation[i, j] == pytest.approx(-0.98, abs=0.005)
    assert any("A_TE_eV_K and A_EP_eV correlate -0.98" in note for note in held.notes)
    assert any("hw_eV = 0.02 was fixed" in note for note in held.notes)
    warm = T > 80
    high = fit_energy_law(T[warm], RISING[warm], errors[warm], floor_eV=0.0)
    assert set(high.undetermined) == {"A_TE_eV_K", "A_EP_eV", "hw_eV"}
    assert min(high.errors[name] / abs(high.values[name]) for name in high.undetermined) > 1.9
    assert not high.good and any("undetermined" in note and "fix it" in note for note in high.notes)
    widths = law.line_width_eV(T, 0.018, 8e-6, 0.055, 0.018)
    free = fit_width_law(T, widths, errors, floor_eV=0.0, fixed={})
    assert free.undetermined == ("sigma_ac_eV_K",)
    assert free.errors["sigma_ac_eV_K"] / 8e-6 > 2.0
    assert fit_width_law(T, widths, errors, floor_eV=0.0).good


@pytest.mark.slow
def test_errors_cover_what_is_known_of_the_temperature():
    """Independent errors of 2 K, and a common offset of 3 K (standard deviation) between sensor and sample."""
    rng = np.random.default_rng(2)
    held = {"hw_eV": 0.02}
    sigma = np.full(15, 5e-5)
    scattered, shifted = [], []
    for _ in range(200):
        noise = rng.normal(0, 5e-5, 15)
        true_T = np.maximum(T + rng.normal(0, 2.0, 15), 0)
        y = law.expansion_one_oscillator_eV(true_T, *PEROVSKITE.values()) + noise
        scattered.append(fit_energy_law(T, y, sigma, floor_eV=0.0, temperature_err_K=2.0, fixed=held))
        y = law.expansion_one_oscillator_eV(np.maximum(T + rng.normal(0, 1.5), 0), *PEROVSKITE.values()) + noise
        shifted.append(fit_energy_law(T, y, sigma, floor_eV=0.0, sensor_offset_err_K=1.5, fixed=held))
    assert_pulls(scattered, PEROVSKITE)
    assert_pulls(shifted, PEROVSKITE)
    # without these terms the errors would be too small
    plain = fit_energy_law(T, RISING, sigma, floor_eV=0.0, fixed=held)
    assert scattered[0].errors["A_EP_eV"] > 2 * plain.errors["A_EP_eV"]
    assert shifted[0].errors["E0_eV"] > 2 * plain.errors["E0_eV"]


def test_floor_and_known_parameters_enter_the_errors():
    sigma = np.full(15, 1e-6)
    fit = fit_energy_law(T, RISING, sigma, floor_eV=5e-4)
    assert fit.sigma == pytest.approx(np.full(15, 5e-4), rel=1e-4)
    assert fit.errors["A_EP_eV"] / 0.012 == pytest.approx(0.17, abs=0.005)
    assert "floor 0.5 meV" in fit.method
    known = fit_energy_law(T, RISING, sigma, floor_eV=5e-4, known={"hw_eV": (0.02, 0.001)})
    held = fit_energy_law(T, RISING, sigma, floor_eV=5e-4, fixed={"hw_eV": 0.02})
    assert held.errors["A_EP_eV"] < known.errors["A_EP_eV"] < fit.errors["A_EP_eV"]
    widths = law.line_width_eV(T, 0.018, 8e-6, 0.055, 0.018)
    held, known = (
        fit_width_law(T, widths, np.full(15, 1e-4)),
        fit_width_law(T, widths, np.full(15, 1e-4), known={"sigma_ac_eV_K": (8e-6, 8e-6)}),
    )
    assert held.errors["g_LO_eV"] < known.errors["g_LO_eV"]
    assert known.undetermined == ()


def test_profile_interval_is_asymmetric_and_covers():
    rng = np.random.default_rng(3)
    sigma, inside = np.full(15, 5e-4), 0
    for _ in range(60):
        fit = fit_energy_law(T, RISING + rng.normal(0, 5e-4, 15), sigma, floor_eV=0.0)
        low, high = fit.interval("hw_eV")
        inside += low < 0.02 < high
    assert inside == pytest.approx(0.6827 * 60, abs=4 * np.sqrt(60 * 0.68 * 0.32))
    exact = fit_energy_law(T, RISING, sigma, floor_eV=0.0)
    low, high = exact.interval("hw_eV")
    assert high - 0.02 > 1.1 * (0.02 - low)
    assert exact.interval("hw_eV", 0.95)[1] > high
    straight = fit_energy_law(T, RISING, sigma, floor_eV=0.0, fixed={"hw_eV": 0.02})  # linear: symmetric
    assert straight.interval("A_EP_eV") == pytest.approx(
        0.012 + np.array([-1, 1]) * straight.errors["A_EP_eV"], rel=1e-3
    )
    warm = T > 80
    open_end = fit_energy_law(T[warm], RISING[warm], sigma[warm], floor_eV=0.0).interval("hw_eV")
    assert open_end[0] == -np.inf
    with pytest.raises(AnalysisError, match="was not fitted"):
        straight.interval("hw_eV")
    with pytest.raises(AnalysisError, match="between 0 and 1"):
        straight.interval("E0_eV", 1.5)


def test_model_choice_by_bic():
    rng = np.random.default_rng(4)
    sigma = np.full(15, 2e-4)
    found = [fit_energy_law(T, RISING + rng.normal(0, 2e-4, 15), sigma, model="bic", floor_eV=0) for _ in range(10)]
    assert [fit.law for fit in found].count("expansion_one_oscillator") >= 8
    assert "rise with temperature" in str(found[0].compared["varshni"])
    falling = law.varshni_eV(T, 1.519, 5.405e-4, 204)
    fit = fit_energy_law(T, falling + rng.normal(0, 5e-5, 15), np.full(15, 5e-5), model="bic", floor_eV=0)
    assert fit.law == "varshni"
    one = law.thermal_quenching(T, 1.0, 30, 0.06) * rng.normal(1, 0.01, 15)
    assert fit_intensity_law(T, one, 0.01 * one, channels="bic", relative_floor=0.0).law == "quenching_1"
    two = law.thermal_quenching(T, 1.0, (2, 2000), (0.012, 0.15)) * rng.normal(1, 0.005, 15)
    assert fit_intensity_law(T, two, 0.005 * two, channels="bic", relative_floor=0.0).law == "quenching_2"
    # oscillator and O'Donnell-Chen are one formula: nobody can choose
    same = fit_energy_law(
        T, falling, np.full(15, 1e-4), model="bic", candidates=("odonnell_chen", "one_oscillator"), floor_eV=0
    )
    assert "BIC cannot tell" in " ".join(same.notes)


def test_signs_are_stated_and_falling_laws_refuse_rising_gaps():
    sigma = np.full(15, 1e-4)
    for model in ("varshni", "odonnell_chen"):
        with pytest.raises(FitError, match=r"rise with temperature.*perovskites.*expansion_one_oscillator"):
            fit_energy_law(T, RISING, sigma, model=model)
        assert "falls with temperature" in " ".join(
            fit_energy_law(T, law.varshni_eV(T, 1.519, 5.405e-4, 204), np.full(15, 1e-3), model=model).notes
        )
    fit = fit_energy_law(T, RISING, sigma)
    assert fit.values["A_EP_eV"] > 0 and "rises with temperature" in " ".join(fit.notes)
    mirrored = fit_energy_law(T, 4.69 - RISING, sigma)
    assert mirrored.values["A_EP_eV"] == pytest.approx(-0.012, rel=1e-3)


def test_a_law_that_does_not_fit_is_flagged():
    sigma = np.full(15, 5e-5)
    kink = RISING + np.where(T > 150, 2e-3, 0.0)  # a phase transition
    fit = fit_energy_law(T, kink, sigma, floor_eV=0.0)
    assert not fit.good
    note = next(note for note in fit.notes if "too high" in note)
    floor = float(note.split("about ")[1].split(",")[0])
    assert fit_energy_law(T, kink, sigma, floor_eV=floor).reduced_chi2 == pytest.approx(1.0, abs=0.3)


def test_limits_and_flat_data_are_no_numbers():
    sigma = np.full(15, 5e-4)
    straight = 2.345 + 1.2e-4 * T  # no oscillator in it
    with pytest.raises(FitError, match=r"limit|curvature|converge"):
        fit_energy_law(T, straight, sigma, model="two_oscillators")
    constant = np.ones(15)
    with pytest.raises(FitError, match=r"limit|curvature"):
        fit_intensity_law(T, constant, np.full(15, 0.01))


def test_results_can_be_stored_and_drawn():
    fit = fit_energy_law(T, RISING, np.full(15, 1e-4), model="bic")
    assert json.loads(json.dumps(fit.record()))["values"]["A_EP_eV"] == pytest.approx(0.012, rel=1e-3)
    assert fit.predict(T) == pytest.approx(fit.expected)
    assert fit.predict([0.0, 100.0]).shape == (2,)
    assert np.abs(fit.residuals).max() < 1e-3


GOOD = {"temperatures_K": T, "energies_eV": RISING, "errors_eV": np.full(15, 1e-4)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"energies_eV": np.where(T > 200, np.nan, RISING)}, "energies_eV holds .* NaN"),
        ({"temperatures_K": np.where(T > 200, np.nan, T)}, "temperatures_K holds .* NaN"),
        ({"errors_eV": np.full(15, np.inf)}, "errors_eV holds .* infinite"),
        ({"errors_eV": np.zeros(15)}, "errors_eV holds 0 .* above zero"),
        ({"errors_eV": np.full(15, -1e-4)}, "above zero"),
        ({"temperatures_K": T - 10.0}, "below 0 K"),
        ({"energies_eV": RISING[:-1]}, "must agree"),
        ({"energies_eV": RISING[:, None]}, "1 dimension"),
        ({"temperatures_K": [], "energies_eV": [], "errors_eV": []}, "empty"),
        ({name: value[:4] for name, value in GOOD.items()}, "4 free parameters, but there are 4 points"),
        ({"temperatures_K": np.where(T > 100, 100.0, 50.0)}, "at 2 places"),
        ({"model": "debye"}, "There is no law 'debye'"),
        ({"model": "bic", "candidates": ()}, "candidates is empty"),
        ({"fixed": {"hw": 0.02}}, "no parameter 'hw'"),
        ({"fixed": {"hw_eV": 2.0}}, "must lie between"),
        ({"fixed": {"hw_eV": 0.02}, "known": {"hw_eV": (0.02, 0.001)}}, "give it once"),
        ({"known": {"hw_eV": (0.02, 0.0)}}, "without one use fixed"),
        ({"fixed": PEROVSKITE}, "All parameters"),
        ({"floor_eV": -1.0}, "floor_eV"),
        ({"floor_eV": np.nan}, "floor_eV"),
        ({"temperature_err_K": -1.0}, "not negative"),
        ({"temperature_err_K": np.nan}, "NaN"),
        ({"temperature_err_K": [1.0, 2.0]}, "temperature_err_K"),
        ({"sensor_offset_err_K": -1.0}, "sensor_offset_err_K"),
    ],
)
def test_refusals(change, message):
    with pytest.raises(AnalysisError, match=message):
        fit_energy_law(**(GOOD | change))


def test_refusals_of_widths_and_intensities():
    sigma = np.full(15, 1e-4)
    with pytest.raises(AnalysisError, match="a width is above zero"):
        fit_width_law(T, RISING - 2.38, sigma)
    with pytest.raises(AnalysisError, match="no line was found"):
        fit_intensity_law(T, RISING - 2.38, sigma)
    with pytest.raises(AnalysisError, match="choose 1, 2 or 'bic'"):
        fit_intensity_law(T, RISING, sigma, channels=3)


# lifetime against photon energy

E = np.linspace(2.32, 2.40, 17)
TAIL = {"tau_r_ns": 0.8, "E_m_eV": 2.355, "E_0_eV": 0.02}


@pytest.mark.slow
def test_apparent_lifetime_recovers_truth_with_honest_errors():
    rng = np.random.default_rng(5)
    tau = apparent_lifetime_ns(E, *TAIL.values())
    fits = [
        fit_apparent_lifetime(E, tau + rng.normal(0, 0.004, E.size), np.full(E.size, 0.004), relative_floor=0.0)
        for _ in range(200)
    ]
    assert_pulls(fits, TAIL)
    assert "apparent" in fits[0].notes[0]


def test_apparent_lifetime_form():
    """By hand: half of tau_r at E_m, 1/(1 + e) of it one E_0 above; no overflow far to the blue."""
    tau = apparent_lifetime_ns([2.355, 2.375, 2.0, 40.0], *TAIL.values())
    assert tau == pytest.approx([0.4, 0.8 / (1 + np.e), 0.8, 0.0], rel=1e-7, abs=1e-12)


def test_apparent_lifetime_refusals():
    tau = apparent_lifetime_ns(E, *TAIL.values())
    sigma = np.full(E.size, 0.01)
    with pytest.raises(FitError, match="rise towards the blue"):
        fit_apparent_lifetime(E, tau[::-1], sigma)
    with pytest.raises(FitError, match="3 free parameters, but there are 3 points"):
        fit_apparent_lifetime(E[:3], tau[:3], sigma[:3])
    with pytest.raises(AnalysisError, match="a lifetime is above zero"):
        fit_apparent_lifetime(E, tau - 0.1, sigma)
    with pytest.raises(AnalysisError, match="NaN"):
        fit_apparent_lifetime(E, np.full(E.size, np.nan), sigma)
    with pytest.raises(AnalysisError, match="E_0_eV"):
        apparent_lifetime_ns(E, 0.8, 2.355, 0.0)
    # only the exponential tail: tau_r and E_m cannot be told apart
    blue = np.linspace(2.45, 2.50, 9)
    tail = apparent_lifetime_ns(blue, *TAIL.values())
    try:
        fit = fit_apparent_lifetime(blue, tail, 0.05 * tail)
        assert not fit.good
    except FitError as error:
        assert "limit" in str(error) or "curvature" in str(error)
