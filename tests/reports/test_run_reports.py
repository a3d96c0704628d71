"""Reports of runs with known truth: the numbers, their errors, units, origin and warnings."""

import dataclasses
import json

import made_runs as made
import numpy as np
import pytest

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.analysis.temperature import expansion_one_oscillator_eV, line_width_eV
from cryopl_bluesky.reports import Value, analyse_run, analyse_series
from cryopl_bluesky.reports.pictures import draw_report
from cryopl_bluesky.reports.results import plain


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def agrees(value, truth, sigmas=4.0):
    assert value.error > 0
    assert abs(value.value - truth) < sigmas * value.error, (value, truth)


def values(part):
    """All numbers with error and unit in a report's JSON."""
    if isinstance(part, dict) and set(part) == {"value", "error", "unit"}:
        yield part
    elif isinstance(part, dict | list):
        for item in part.values() if isinstance(part, dict) else part:
            yield from values(item)


def check_json(report):
    text = json.dumps(report.to_dict(), allow_nan=False)
    found = json.loads(text)
    assert all(isinstance(value["unit"], str) for value in values(found))
    assert found["origin"]["runs"] and found["origin"]["calibration"] == {"scale": "abc-uid"}
    assert {"cryopl_bluesky", "numpy", "scipy"} <= set(found["origin"]["analysed_with"])
    assert "data" not in found and "fit" not in found
    return found


def test_spectral_image(rng):
    report = analyse_run(made.spectral_image(rng))
    assert [line.where for line in report.lines[:2]] == ["centre of the object", "line total"]
    assert len(report.lines) == 5
    for line in report.lines:
        agrees(line.peak_eV, made.PEAK_EV)
        agrees(line.fwhm_eV, made.FWHM_EV)
        assert line.peak_nm.value * line.peak_eV.value == pytest.approx(1239.841984, rel=1e-8)
        assert line.fwhm_nm.error / line.fwhm_nm.value == pytest.approx(line.fwhm_eV.error / line.fwhm_eV.value)
        agrees(line.maximum_eV, made.PEAK_EV, 5.0)
    agrees(report.lines[1].intensity, 4e6 / 0.5)
    assert (report.model.shape, len(report.model.peaks), report.model.good) == ("gaussian", 1, True)
    agrees(report.model.peaks[0].peak_eV, made.PEAK_EV)
    assert report.line is report.lines[0]
    assert not report.warnings
    found = check_json(report)
    assert found["origin"]["sample"] == "A3"
    assert found["origin"]["temperature_K"]["value"] == pytest.approx(8.002)


def test_two_lines_are_told_from_one(rng):
    one, other = made.spectral_image(rng), made.spectral_image(rng, peak_eV=made.PEAK_EV + 0.05, light=1e6)
    both = one.frames["camera_image"].astype(int) + other.frames["camera_image"] - int(made.BASELINE)
    one.frames["camera_image"] = both.astype(np.uint16)
    report = analyse_run(one)
    model = report.model
    assert len(model.peaks) == 2 and model.decided
    assert any("the data prefer 2 lines" in text for text in report.warnings)
    agrees(model.peaks[0].peak_eV, made.PEAK_EV)
    agrees(model.peaks[1].peak_eV, made.PEAK_EV + 0.05)


def test_a_dark_spectrum_has_no_line_and_says_why(rng):
    run = made.made_run("total_spectrum", {"spectrograph_wavelength_nm": np.linspace(500, 550, 400)[None, :]},
                        made.camera_frames(rng, np.zeros((50, 400))))  # fmt: skip
    report = analyse_run(run)
    assert report.lines == ()
    assert report.warnings[0].startswith("image total: No line found")
    with pytest.raises(AnalysisError, match="no line was found"):
        _ = report.line


def test_image(rng):
    y, x = np.mgrid[:256, :256]
    electrons = np.where(np.hypot(x - 100, y - 140) < 20, 400.0, 0.0) + np.where(
        (abs(x - 200) < 10) & (abs(y - 60) < 10), 350.0, 0.0) + 5.0  # fmt: skip
    report = analyse_run(made.made_run("widefield_image", {"camera_saturated_px": [0]},
                                       made.camera_frames(rng, electrons, 2)))  # fmt: skip
    first, second = report.objects
    agrees(first.diameter_um, 40 * made.NM_PER_PX * 1e-3)
    assert first.diameter_um.error > 0.05 * first.diameter_um.value  # that of the scale
    agrees(first.x_um, 100 * made.NM_PER_PX * 1e-3)
    agrees(second.y_um, 60 * made.NM_PER_PX * 1e-3)
    truth = (electrons - 5.0).sum() / 0.5
    agrees(report.brightness, truth)
    assert report.brightness.error < 0.01 * truth
    assert report.peak.value == pytest.approx(400 / 0.5, rel=0.1)
    check_json(report)


def test_an_empty_image_has_no_objects(rng):
    frames = made.camera_frames(rng, np.full((128, 128), 20.0))
    report = analyse_run(made.made_run("widefield_image", {"camera_saturated_px": [0]}, frames))
    assert report.objects == ()
    assert "no objects" in report.notes[0]
    assert abs(report.brightness.value) < 4 * report.brightness.error


def test_dark(rng):
    frames = made.camera_frames(rng, np.zeros((128, 128)), 10)
    frames[:, 3, 4] += 500
    report = analyse_run(made.made_run("dark", made.spad_data(300, 10.0, 10) | {"camera_saturated_px": np.zeros(10)},
                                       frames))  # fmt: skip
    assert report.level_adu.value == pytest.approx(made.BASELINE, abs=0.1)
    assert report.read_noise_e.value == pytest.approx(made.READ_NOISE, rel=0.02)
    assert report.hot_px == 1
    agrees(report.spad_dark_Hz["spad1"], 30.0)
    assert not report.warnings
    shifted = analyse_run(made.made_run("dark", {"camera_saturated_px": np.zeros(10)}, frames + 20))
    assert "dark level is 120" in shifted.warnings[0]
    assert shifted.spad_dark_Hz == {}


def test_decay(rng):
    report = analyse_run(made.decay(rng))
    assert report.decay.good
    agrees(report.decay.tau_int_ns, 4.0)
    agrees(report.decay.tau_amp_ns, 4.0)
    agrees(report.by_spad["spad1"].tau_int_ns, 4.0)
    assert len(report.decay.components) == 1
    assert not report.warnings
    assert report.fit.residuals.size > 100  # the whole fit is at hand, but not in the JSON
    check_json(report)


def test_decay_of_spads_that_disagree_and_of_a_bright_source(rng):
    report = analyse_run(made.decay(rng, other_ns=3.0))
    assert any("spad1 and spad2 disagree" in text for text in report.warnings)
    run = made.decay(rng)
    run.data["hbt_spad1_rate_Hz"][:] = 3e5
    assert any("spad1 sees 3 % of the laser pulses" in text for text in analyse_run(run).warnings)


@pytest.mark.parametrize(("red_ns", "sign"), [(4.0, True), (1.0, False), (2.0, None)])
def test_trpl_map(rng, red_ns, sign):
    wavelengths = np.arange(515.0, 536.0, 3.0)
    lifetimes = np.linspace(2.0, red_ns, len(wavelengths))
    run = made.trpl_map(rng, lifetimes, wavelengths[::-1])
    run.data["hbt_decay_spad1"][:] = run.data["hbt_decay_spad1"][::-1]  # measured from red to blue
    run.data["hbt_decay_spad1"][0] = made.decay_counts(rng, 100, 2.0)
    report = analyse_run(run)
    assert [row.wavelength_nm for row in report.rows] == wavelengths.tolist()
    assert report.blue_is_faster is sign
    agrees(report.slope_ns_per_nm, (red_ns - 2.0) / 18.0 if red_ns != 2.0 else 0.0)
    for row, truth in zip(report.rows[:-1], lifetimes, strict=False):
        agrees(row.tau_int_ns, truth)
    assert report.rows[-1].tau_int_ns is None
    assert "photons, below the limit of 500" in report.rows[-1].problem
    check_json(report)


def test_g2(rng):
    run = made.g2(rng, central=0.3)
    report = analyse_run(run, rho=(0.9, 0.9), rho_err=(0.01, 0.01))
    agrees(report.g2.g2_0_raw, 0.3)
    assert report.g2.ci95[0] < report.g2.ci68[0] < report.g2.g2_0_raw.value < report.g2.ci95[1]
    assert report.g2.single_emitter
    assert "holds at 95 %" in report.g2.verdict
    raw = report.g2.g2_0_raw.value
    assert report.g2.g2_0_bgcorr.value == pytest.approx((raw - 0.19) / 0.81)
    assert report.g2.near_peaks[0] == report.g2.n_central
    check_json(report)
    assert analyse_run(run).g2.g2_0_bgcorr is None
    many = analyse_run(made.g2(rng))
    agrees(many.g2.g2_0_raw, 1.0)
    assert "cannot be claimed" in many.g2.verdict
    dark = made.g2(rng)
    dark.data["hbt_g2_histogram"][:] = 0
    none = analyse_run(dark)
    assert none.g2 is None
    assert any("no g2(0)" in text for text in none.warnings)


def test_channel_delay(rng):
    report = analyse_run(made.g2(rng, pairs=2000, measurement="channel_delay"))
    agrees(report.delay_ps, 1700.0)
    assert report.input_delays_ps == (0, -1700 - round(report.delay_ps.value), 0)
    check_json(report)


def series(rng, kelvin=(8, 40, 80, 120, 160, 220, 290)):
    runs = []
    for T in kelvin:
        peak = float(expansion_one_oscillator_eV(T, 2.345, 1.2e-4, 0.012, 0.02))
        width = float(line_width_eV(T, 0.018, 8e-6, 0.055, 0.018))
        runs.append(made.spectral_image(rng, float(T), peak, width))
    return runs


def test_series(rng):
    runs = series(rng)
    runs[2].stop["exit_status"] = "abort"
    report = analyse_series(runs)
    assert [row.setpoint_K for row in report.rows] == [8, 40, 80, 120, 160, 220, 290]
    law = report.laws["peak_eV"]
    for name, truth in {"E0_eV": 2.345, "A_TE_eV_K": 1.2e-4, "A_EP_eV": 0.012, "hw_eV": 0.02}.items():
        agrees(law.parameters[name], truth, 3.0)
    assert law.parameters["A_TE_eV_K"].unit == "eV/K"
    width = report.laws["fwhm_eV"]
    agrees(width.parameters["G0_eV"], 0.018, 3.0)
    assert width.parameters["sigma_ac_eV_K"].error is None  # held
    assert report.rows[0].problems["trpl_map"] == "not measured"
    assert any("spectral_image at 80 K: the run ended with abort" in text for text in report.warnings)
    assert len(report.origin.runs) == 7
    check_json(report)


def test_a_series_says_where_the_line_is_none(rng):
    one, other = made.spectral_image(rng), made.spectral_image(rng, peak_eV=made.PEAK_EV + 0.02, light=1e6)
    both = one.frames["camera_image"] + other.frames["camera_image"] - int(made.BASELINE)
    one.frames["camera_image"] = both.astype(np.uint16)
    (row,) = analyse_series([one]).rows
    assert any("not a single Gaussian" in note for note in row.notes)


def test_a_short_series_has_a_table_and_says_that_there_is_no_law(rng):
    report = analyse_series(series(rng, (8, 290)))
    assert len(report.rows) == 2
    assert "peak_eV" not in report.laws
    assert any("no law for peak_eV" in note for note in report.notes)


def test_what_runs_say_against_themselves(rng):
    run = dataclasses.replace(made.decay(rng), stop=None)
    run.data["cryostat_in_band"] = np.array([False])
    run.data["hbt_overflows"][:] = 3
    run.start["calibration_warnings"] = ["irf: there is no calibration", "spot: there is no calibration", "dark: old"]
    warnings = " | ".join(analyse_run(run).warnings)
    for text in ("still going on", "left its band", "overflowed 3 times", "no calibration of irf, spot", "dark: old"):
        assert text in warnings


@pytest.mark.parametrize(
    ("run", "arguments", "message"),
    [
        (made.made_run("settle", {"x": [1]}), {}, "no standard analysis of 'settle'"),
        (made.made_run("decay", {"x": np.empty(0)}), {}, "holds no events"),
        (made.made_run("dark", {"x": [1]}), {"rho": (0.9, 0.9)}, "belong to a g2 run"),
    ],
)
def test_refusals(run, arguments, message):
    with pytest.raises(AnalysisError, match=message):
        analyse_run(run, **arguments)


def test_pictures_show_the_fits_that_the_numbers_are_from(rng):
    for run in (made.spectral_image(rng), made.decay(rng), made.g2(rng)):
        report = analyse_run(run)
        figure = draw_report(report)
        assert run.start["uid"][:8] in figure.get_suptitle()
    assert f"{report.g2.g2_0_raw.value:.3f}" in "".join(
        text.get_text() for text in figure.findobj(lambda part: hasattr(part, "get_text")))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Value(2.345678, 0.00012, "eV"), "2.34568 ± 0.00012 eV"),
        (Value(0.281, 0.0849, ""), "0.281 ± 0.085"),
        (Value(12345.0, 210.0, "Hz"), "12345 ± 210 Hz"),
        (Value(4.9e8, 1.2e5, "1/s"), "4.9e+08 ± 1.2e+05 1/s"),
        (Value(3.6087, None, "ns"), "3.6087 ns"),
    ],
)
def test_values_as_text(value, text):
    assert str(value) == text


def test_plain_values_hold_no_nan():
    found = plain({1: np.float64("nan"), "b": (np.int64(3), float("inf"), np.True_), "c": Value(1.0, None, "K")})
    assert found == {"1": None, "b": [3, None, True], "c": {"value": 1.0, "error": None, "unit": "K"}}
