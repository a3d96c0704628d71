"""IRF, dark statistics and laser power."""

import doctest

import numpy as np
import pytest
from scipy.stats import exponnorm

from cryopl_bluesky.analysis import AnalysisError, FitError
from cryopl_bluesky.analysis.calibration import irf as irf_module
from cryopl_bluesky.analysis.calibration import power as power_module
from cryopl_bluesky.analysis.calibration.dark import dark_frames, spad_dark_rates
from cryopl_bluesky.analysis.calibration.irf import measure_irf
from cryopl_bluesky.analysis.calibration.power import power_curve
from cryopl_bluesky.analysis.lifetimes import fit_decay, timing_fwhm_ps

FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))


def response(rng, fwhm_ps=200.0, photons=20_000, background=3_000, bin_ps=10, tail=0.0):
    clicks = rng.normal(3_000.0 + rng.uniform(-5, 5), fwhm_ps / FWHM, photons)
    late = rng.random(photons) < tail
    clicks[late] += rng.exponential(300.0, late.sum())
    clicks = np.append(clicks, rng.uniform(0.0, 12_000.0, background))
    return np.histogram(clicks, np.arange(0, 12_001, bin_ps))[0]


def measured(counts, bin_ps=10, **changes):
    settings = {"spad": "SPAD 1", "repetition_rate_Hz": 2.5e6, "duration_s": 60.0} | changes
    return measure_irf(counts, bin_ps, **settings)


@pytest.mark.parametrize(("fwhm_ps", "bin_ps"), [(200, 10), (71, 10), (200, 50)])
def test_irf_width_pulls(fwhm_ps, bin_ps):
    rng = np.random.default_rng(41)
    pulls = []
    for _ in range(200):
        irf = measured(response(rng, fwhm_ps, 50_000, bin_ps=bin_ps), bin_ps=bin_ps)
        assert 0.004 * fwhm_ps < irf.fwhm_err_ps < 0.03 * fwhm_ps
        pulls.append((irf.fwhm_ps - fwhm_ps) / irf.fwhm_err_ps)
    assert abs(np.mean(pulls)) < 0.15
    assert abs(np.std(pulls, ddof=1) - 1.0) < 0.15


def test_a_response_that_is_no_gaussian():
    # Gaussian of 28 ps and exponential of 40 ps: width by direct search on the closed form
    t = np.linspace(-100.0, 400.0, 100_001)
    density = exponnorm.pdf(t, 40.0 / 12.0, scale=12.0)
    wide = t[density > density.max() / 2]
    rng = np.random.default_rng(48)
    clicks = 3_000.0 + rng.normal(0, 12, 200_000) + rng.exponential(40.0, 200_000)
    irf = measured(np.histogram(clicks, np.arange(0, 12_001, 4))[0], bin_ps=4)
    assert irf.fwhm_ps == pytest.approx(np.ptp(wide), abs=4.0 * irf.fwhm_err_ps)
    assert irf.fwhm_err_ps < 0.5


def test_the_paper_s_irf_from_its_parts():
    # a pulse of 197.3 ps, a SPAD of 27 ps and a tagger of 8 ps rms
    rng = np.random.default_rng(42)
    clicks = rng.normal(3_000, 197.3 / FWHM, 60_000) + rng.normal(0, 27 / FWHM, 60_000) + rng.normal(0, 8, 60_000)
    irf = measured(np.histogram(clicks, np.arange(0, 12_001, 10))[0])
    assert irf.fwhm_ps == pytest.approx(200.0, abs=5.0)
    assert irf.fwhm_ps == pytest.approx(timing_fwhm_ps(197.3, 27, 8), abs=4.0 * irf.fwhm_err_ps)
    assert irf.peak_ps == pytest.approx(3_000.0, abs=5.0)


def test_background_goes_and_the_tail_stays():
    rng = np.random.default_rng(43)
    irf = measured(response(rng, photons=100_000, background=12_000, tail=0.05), intensity=443.0)
    assert irf.background_per_bin == pytest.approx(10.0, abs=0.5)
    assert irf.photons == pytest.approx(100_000, rel=0.01)
    first, last = irf.window
    assert irf.counts[:first].any() == irf.counts[last:].any() == False  # noqa: E712
    assert last * 10 > 3_500  # three sigma of the pulse end at 3255 ps: the tail is in
    assert (irf.counts[first:last] < 0).any()  # noise is not clipped
    assert irf.intensity == 443.0 and irf.notes == ()


def test_a_lifetime_fit_takes_it():
    rng = np.random.default_rng(44)
    irf = measured(response(rng, photons=100_000))
    clicks = 3_000 + rng.normal(0, 200 / FWHM, 100_000) + rng.exponential(1_000.0, 100_000)
    clicks = np.append(clicks, rng.uniform(0.0, 12_000.0, 3_000))
    decay = np.histogram(clicks, np.arange(0, 12_001, 10))[0]
    fit = fit_decay(decay, irf.binwidth_ps, None, irf=irf.counts)
    assert fit.tau_int_ns == pytest.approx(1.0, abs=0.02)


def test_pile_up_is_said():
    counts = response(np.random.default_rng(45), photons=60_000)
    assert measured(counts, duration_s=10.0).notes == ()
    text = " ".join(measured(counts, duration_s=1.0).notes)
    assert "SPAD 1 sees 2.5 % of the laser pulses" in text
    assert "above 5 %" in " ".join(measured(counts, duration_s=0.4).notes)


def test_wide_bins_are_said():
    irf = measured(response(np.random.default_rng(46), fwhm_ps=100.0, bin_ps=50), bin_ps=50)
    assert irf.fwhm_err_ps == 50.0
    assert "record finer bins" in irf.notes[0]
    assert abs(irf.fwhm_ps - 100.0) < 50.0


def test_bad_irfs_are_refused():
    good = response(np.random.default_rng(47))
    with pytest.raises(AnalysisError, match="negative"):
        measured(good - 5)
    with pytest.raises(AnalysisError, match="NaN"):
        measured(np.where(good == good.max(), np.nan, good))
    with pytest.raises(AnalysisError, match="below the limit of 1000"):
        measured(np.zeros(1000))
    with pytest.raises(AnalysisError, match="before the pulse"):
        measured(good[285:])
    with pytest.raises(FitError):
        measured(np.random.default_rng(1).poisson(10.0, 1200))
    with pytest.raises(AnalysisError, match="must hold the pulse"):
        measured(good, window_bins=(0, 100))
    with pytest.raises(AnalysisError, match="binwidth_ps"):
        measured(good, bin_ps=0)
    with pytest.raises(FitError, match="ran full"):
        measured(np.minimum(good, good.max() // 3))  # a counter that ran full


def test_dark_frames_pulls_and_hot_pixels():
    rng = np.random.default_rng(51)
    pixel_offsets = rng.normal(100.0, 0.4, (64, 64))
    pixel_offsets[3, 5] += 30.0
    pixel_offsets[60, 1] += 12.0
    truth = np.median(pixel_offsets)
    results = [dark_frames(pixel_offsets + rng.normal(0.0, 2.4, (12, 64, 64))) for _ in range(60)]
    assert np.mean([r.read_noise_adu for r in results]) == pytest.approx(2.4, rel=0.005)
    assert np.mean([r.offset_adu for r in results]) == pytest.approx(truth, abs=0.02)
    assert np.std([r.offset_adu for r in results]) < 1.5 * results[0].offset_err_adu
    assert all(r.hot_pixels == 2 and r.hot[3, 5] and r.hot[60, 1] for r in results)
    assert results[0].notes == () and results[0].frames == 12


def test_few_or_drifting_dark_frames_are_said():
    rng = np.random.default_rng(52)
    frames = rng.normal(100.0, 2.0, (8, 40, 40))
    assert "one frame" in dark_frames(frames[:1]).notes[0]
    moved = dark_frames(frames + np.arange(8.0)[:, None, None])
    assert moved.drift_adu == pytest.approx(4.0, abs=0.3) and "offset moved" in moved.notes[0]
    with pytest.raises(AnalysisError, match="dimension"):
        dark_frames(frames[0])
    with pytest.raises(AnalysisError, match="no noise"):
        dark_frames(np.full((3, 8, 8), 100.0))


def test_dark_rates_have_poisson_errors():
    rates = spad_dark_rates({"SPAD 1": 1800, "SPAD 2": 4}, 60.0, baseline_Hz=40.0)
    assert (rates["SPAD 1"].rate_Hz, rates["SPAD 1"].rate_err_Hz) == pytest.approx((30.0, np.sqrt(1800) / 60))
    assert rates["SPAD 1"].notes == ()
    # exact 68.27 % interval of 4 counts: 2.09 to 7.16
    assert rates["SPAD 2"].ci68_Hz == pytest.approx((2.09 / 60, 7.16 / 60), rel=5e-3)
    assert "exact interval" in rates["SPAD 2"].notes[0]
    assert "light leak" in spad_dark_rates({"a": 60_000}, 60.0, baseline_Hz=40.0)["a"].notes[0]
    for bad in ({}, {"a": -1}, {"a": 1.5}):
        with pytest.raises(AnalysisError):
            spad_dark_rates(bad, 60.0)


SETTINGS = np.linspace(200.0, 800.0, 13)


def true_uW(setting):
    return 20.0 / (1.0 + np.exp(-(np.asarray(setting) - 600.0) / 90.0))


def test_power_pulls():
    rng = np.random.default_rng(61)
    errors = 0.005 + 0.01 * true_uW(SETTINGS)
    at = (350.0, 500.0, 650.0)  # on the points: between them the spline has no error of its own
    pulls = []
    for _ in range(200):
        readings = true_uW(SETTINGS) + errors * rng.normal(size=13)
        curve = power_curve(SETTINGS, readings, errors, repetition_rate_Hz=2.5e6)
        found = [curve.power_uW(s) for s in at]
        pulls.append([(p.value_uW - true_uW(s)) / p.err_uW for p, s in zip(found, at, strict=True)])
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.15
    assert np.abs(np.std(pulls, axis=0, ddof=1) - 1.0).max() < 0.15


def test_power_between_points_is_monotone_and_close():
    curve = power_curve(SETTINGS, true_uW(SETTINGS), np.full(13, 0.05), repetition_rate_Hz=2.5e6, meter_rel_err=0.05)
    fine = np.linspace(200, 800, 301)
    found = np.array([curve.power_uW(s).value_uW for s in fine])
    assert (np.diff(found) >= 0).all()
    assert np.abs(found / true_uW(fine) - 1).max() < 0.01
    power = curve.power_uW(700.0)
    assert power.err_uW == pytest.approx(np.hypot(0.05, 0.05 * power.value_uW))
    assert power.pulse_energy_pJ == pytest.approx(power.value_uW / 2.5)
    assert curve.power_uW(curve.setting_for(7.0)).value_uW == pytest.approx(7.0, rel=1e-3)


def test_the_paper_s_fluence_from_a_power_curve(vectors):
    v = vectors["fluence"]
    power = v["E_pulse_pJ_if_average"] * 2.5  # uW at 2.5 MHz
    curve = power_curve([400, 443, 500], [3.0, power, 6.0], [0.01] * 3, repetition_rate_Hz=2.5e6)
    found = curve.fluence(443, *v["waist_diam_um"])
    assert (found.average_uJ_cm2, found.peak_uJ_cm2) == pytest.approx((0.71, 1.42), rel=1e-9)
    assert found.photons_per_cm2 == pytest.approx(v["photons_per_cm2"], rel=1e-9)


def test_power_refuses_what_it_does_not_know():
    curve = power_curve([600, 300, 300], [10.0, 1.0, 1.2], [0.1] * 3, repetition_rate_Hz=2.5e6)
    assert curve.measured_uW == pytest.approx([1.1, 10.0])
    assert "meter's own error" in curve.notes[-1]
    for outside in (299.0, 601.0, np.nan):
        with pytest.raises(AnalysisError, match="outside of the calibration, 300 to 600"):
            curve.power_uW(outside)
    with pytest.raises(AnalysisError, match="outside of the calibration"):
        curve.setting_for(11.0)
    with pytest.raises(AnalysisError, match="Power falls from 5 uW at 400"):
        power_curve([300, 400, 500], [1.0, 5.0, 3.0], [0.1] * 3, repetition_rate_Hz=2.5e6)
    dip = power_curve([300, 400, 500], [1.0, 5.0, 4.9], [0.1] * 3, repetition_rate_Hz=2.5e6)
    assert (np.diff(dip.fitted_uW) >= 0).all() and "flat there" in dip.notes[0]
    for setting, power, error in (([300], [1.0], [0.1]), ([3, 4], [1.0, -1.0], [0.1, 0.1]),
                                  ([3, 4], [1.0, 2.0], [0.1, 0.0]), ([3, 4, 5], [1.0, 2.0], [0.1, 0.1])):
        with pytest.raises(AnalysisError):
            power_curve(setting, power, error, repetition_rate_Hz=2.5e6)


@pytest.mark.parametrize("module", [irf_module, power_module])
def test_the_examples_in_the_documentation(module):
    assert doctest.testmod(module).failed == 0
