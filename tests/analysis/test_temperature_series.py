import json

import numpy as np
import pytest

from cryopl_bluesky.analysis import AnalysisError, FitError
from cryopl_bluesky.analysis import temperature as law
from cryopl_bluesky.analysis.temperature_series import analyse_temperature_series, compare_branches

UP, DOWN = np.linspace(5.6, 294.0, 15), np.linspace(285.0, 15.0, 14)


def peak(T):
    return law.expansion_one_oscillator_eV(T, 2.345, 1.2e-4, 0.012, 0.02)


def test_equal_branches_agree_and_the_statistics_is_right():
    rng = np.random.default_rng(1)
    sigma_up, sigma_down = np.full(15, 5e-4), np.full(14, 8e-4)
    compared = [
        compare_branches(
            UP, peak(UP) + rng.normal(0, 5e-4, 15), sigma_up, DOWN, peak(DOWN) + rng.normal(0, 8e-4, 14), sigma_down
        )
        for _ in range(200)
    ]
    assert sum(c.agree for c in compared) >= 198
    pulls = np.array([c.mean / c.mean_err for c in compared])
    assert abs(pulls.mean()) < 0.15 and pulls.std() == pytest.approx(1.0, abs=0.15)
    assert np.mean([c.chi2 for c in compared]) == pytest.approx(14, abs=4 * np.sqrt(28 / 200))


def test_a_lag_is_found_and_named():
    """Cooling: the sample is 5 K warmer than the sensor."""
    sigma = np.full(15, 1e-4)
    got = compare_branches(UP, peak(UP), sigma, DOWN, peak(DOWN + 5.0), sigma[:14])
    assert not got.agree
    assert got.lag_K == pytest.approx(5.0, rel=0.1)
    assert "do not merge" in got.notes[0] and "lagged by" in got.notes[0]
    assert compare_branches(UP, peak(UP), sigma, DOWN, peak(DOWN + 5.0), sigma[:14], floor=2e-3).agree


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cooling_K": DOWN + 300.0}, "Only 0 cooling temperatures"),
        ({"heating_K": np.full(15, 20.0)}, "all different"),
        ({"cooling": np.full(14, np.nan)}, "NaN"),
        ({"heating_err": np.zeros(15)}, "above zero"),
        ({"cooling": np.ones(3)}, "must agree"),
    ],
)
def test_branch_refusals(change, message):
    good = {
        "heating_K": UP, "heating": peak(UP), "heating_err": np.full(15, 1e-4),
        "cooling_K": DOWN, "cooling": peak(DOWN), "cooling_err": np.full(14, 1e-4),
    }  # fmt: skip
    with pytest.raises(AnalysisError, match=message):
        compare_branches(**(good | change))


def measured(rng, T):
    """Everything of section 12 with its errors."""
    width, light = law.line_width_eV(T, 0.018, 8e-6, 0.055, 0.018), law.thermal_quenching(T, 1e4, 30.0, 0.06)
    return {
        "peak_eV": (peak(T) + rng.normal(0, 1e-4, T.size), np.full(T.size, 1e-4)),
        "fwhm_eV": (width + rng.normal(0, 3e-4, T.size), np.full(T.size, 3e-4)),
        "intensity": (light * rng.normal(1, 0.02, T.size), 0.01 * light),
        "lifetime_ns": (np.linspace(0.4, 5.0, T.size), np.full(T.size, 0.05)),
    }


def test_a_series_goes_in_a_table_and_laws_come_out():
    data = measured(np.random.default_rng(2), UP)
    data["fwhm_eV"][0][3] = np.nan
    result = analyse_temperature_series(UP, **data)
    truth = {
        "peak_eV": {"A_EP_eV": 0.012, "A_TE_eV_K": 1.2e-4, "hw_eV": 0.02},
        "fwhm_eV": {"G0_eV": 0.018, "g_LO_eV": 0.055, "E_LO_eV": 0.018},
        "intensity": {"I0": 1e4, "a1": 30.0, "Ea1_eV": 0.06},
    }
    for quantity, parameters in truth.items():
        fit = result.laws[quantity]
        assert fit.good
        for name, value in parameters.items():
            assert abs(fit.values[name] - value) < 3 * fit.errors[name]
    assert set(result.table) == {"temperature_K", *(f"{q}{e}" for q in data for e in ("", "_err"))}
    assert result.laws["fwhm_eV"].dof == 11
    assert any("fwhm_eV was not found at" in note for note in result.notes)
    assert json.loads(json.dumps(result.record()))["table"]["fwhm_eV"][3] is None


def test_branches_that_differ_are_not_merged():
    rng = np.random.default_rng(3)
    T = np.concatenate([UP, DOWN])
    branch = ["heating"] * 15 + ["cooling"] * 14
    same = analyse_temperature_series(T, **measured(rng, T), branch=branch)
    assert set(same.laws) == {"peak_eV", "fwhm_eV", "intensity"}
    assert all(comparison.agree for name, comparison in same.branches.items() if name != "lifetime_ns")
    late = measured(rng, T)
    late["peak_eV"] = (peak(T + np.where(np.arange(29) < 15, 0.0, 8.0)), late["peak_eV"][1])
    other = analyse_temperature_series(T, **late, branch=branch)
    assert "peak_eV" not in other.laws and "give one branch" in other.refused["peak_eV"]
    assert "intensity" in other.laws


def test_what_cannot_be_fitted_is_told_and_does_not_stop_the_rest():
    data = measured(np.random.default_rng(4), UP)
    data["intensity"] = (np.full(15, np.nan), np.full(15, np.nan))
    result = analyse_temperature_series(UP, **data, options={"peak_eV": {"model": "varshni"}})
    assert set(result.laws) == {"fwhm_eV"}
    assert "rise with temperature" in result.refused["peak_eV"]
    assert "not found at any temperature" in result.refused["intensity"]


@pytest.mark.parametrize(
    ("temperatures", "arguments", "message"),
    [
        (UP, {}, "at least one of"),
        (UP, {"peak_eV": (peak(UP), np.ones(3))}, "15 temperatures"),
        (UP, {"peak_eV": (peak(UP),)}, "must be a pair"),
        (UP, {"peak_eV": (peak(UP), np.full(15, 1e-4)), "options": {"peak": {}}}, "options names peak"),
        (UP - 10, {"peak_eV": (peak(UP), np.full(15, 1e-4))}, "below 0 K"),
        (np.where(UP > 100, np.nan, UP), {"peak_eV": (peak(UP), np.full(15, 1e-4))}, "temperatures_K holds"),
        (UP, {"peak_eV": (peak(UP), np.full(15, 1e-4)), "branch": ["up"] * 15}, "branch must say"),
    ],
)
def test_series_refusals(temperatures, arguments, message):
    with pytest.raises(AnalysisError, match=message):
        analyse_temperature_series(temperatures, **arguments)


def test_one_oscillator_is_odonnell_chen_in_other_words():
    T = np.linspace(0.0, 300.0, 7)
    S, hw = 3.0, 0.0267
    assert law.one_oscillator_eV(T, 1.521 + S * hw, -S * hw, hw) == pytest.approx(
        law.odonnell_chen_eV(T, 1.521, S, hw), rel=1e-12
    )


def test_a_single_branch_and_few_points():
    few = UP[:3]
    result = analyse_temperature_series(few, peak_eV=(peak(few), np.full(3, 1e-4)), branch=["heating"] * 3)
    assert "4 free parameters" in result.refused["peak_eV"]
    assert issubclass(FitError, AnalysisError)
