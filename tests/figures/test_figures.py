"""Figures from plain data with known truth; the pictures themselves were looked at by a person."""

import dataclasses

import numpy as np
import pytest
from matplotlib.image import imread
from night_data import TRUTH, night

from cryopl_bluesky.analysis.channel_delay import channel_delay
from cryopl_bluesky.analysis.g2 import Bootstrap
from cryopl_bluesky.analysis.units import HC_EV_NM
from cryopl_bluesky.figures.night import (
    Decay,
    DelayCalibration,
    Temperature,
    draw_g2,
    draw_night,
    draw_run,
    save_figure,
    summarise,
)
from cryopl_bluesky.figures.style import block_axis, block_mean, nice_length
from cryopl_bluesky.figures.summary import fit_g2


@pytest.fixture(scope="module")
def data():
    return night()


@pytest.fixture(scope="module")
def rows(data):
    return summarise(data)


def test_truth_comes_back(rows):
    for row in rows:
        peak, fwhm, tau = TRUTH[row.setpoint_K]
        assert row.problems == {}
        assert abs(row.peak_eV - peak) < 4 * row.peak_eV_err
        assert row.peak_eV == pytest.approx(peak, abs=1e-4)
        assert abs(row.fwhm_eV - fwhm) < 4 * row.fwhm_eV_err
        assert abs(row.tau_ns - tau) < 4 * row.tau_err_ns
        assert row.tau_ns == pytest.approx(tau, rel=0.05)
        assert abs(row.tau_nm - HC_EV_NM / peak) <= 1.0
        assert abs(row.g2_0 - 1.0) < 4 * row.g2_0_err


def test_camera_counts_of_unknown_gain_give_the_same_line(data):
    row = summarise([data[2]])[0]
    unknown = dataclasses.replace(data[2].spectral_map, gain_e_per_adu=None)
    other = summarise([dataclasses.replace(data[2], spectral_map=unknown)])[0]
    assert other.peak_eV == pytest.approx(row.peak_eV, abs=5 * row.peak_eV_err)
    assert other.line.reduced_chi2 is None


def test_night_is_2400_px_wide_and_says_its_numbers(data, rows, tmp_path):
    figure = draw_night(data[::-1], "sample A3", rows[::-1])
    path = save_figure(figure, tmp_path / "new folder" / "night.png")
    assert imread(path).shape[1] == pytest.approx(2400, abs=1)
    texts = [t.get_text() for t in figure.findobj(lambda o: hasattr(o, "get_text"))]
    joined = "\n".join(texts)
    for wanted in (
        "5 K",
        "294 K",
        "µm",
        "wavelength (nm)",
        "photon energy (eV)",
        "position (µm)",
        "peak energy (eV)",
    ):
        assert wanted in joined, wanted
    for row in rows:
        assert f"g²(0) = {row.g2_0:.3f} ± {row.g2_0_err:.3f}" in joined
    # coldest first
    order = [t for t in texts if t.endswith(" K)") and "mean" in t]
    assert order[0].startswith("5 K")


def test_missing_parts_say_why(data, tmp_path):
    dark = dataclasses.replace(data[0].spectral_map, counts=np.full((64, 64), 100.0) + np.eye(64) * 0)
    dark = dataclasses.replace(dark, wavelength_nm=np.linspace(500, 550, 64), position_um=np.arange(64.0))
    empty = dataclasses.replace(data[0].trpl_map, counts=np.zeros_like(data[0].trpl_map.counts))
    flat = dataclasses.replace(data[0].g2, counts=np.zeros_like(data[0].g2.counts))
    temperatures = [
        Temperature(5.0, missing={"g2": "aborted by the operator"}),
        Temperature(10.0, spectral_map=dark, trpl_map=empty, g2=flat),
    ]
    rows = summarise(temperatures)
    assert rows[0].problems["g2"] == "aborted by the operator"
    assert rows[0].problems["trpl_map"] == "not measured"
    assert set(rows[1].problems) == {"spectral_map", "trpl_map", "g2"}
    figure = draw_night(temperatures, "a bad night")
    save_figure(figure, tmp_path / "bad.png", width_px=1200)
    shown = " ".join(t.get_text() for t in figure.findobj(lambda o: hasattr(o, "get_text")))
    assert "aborted by the" in shown and "not measured" in shown
    with pytest.raises(ValueError, match="no temperatures"):
        draw_night([])


def test_single_runs(data, tmp_path):
    first = data[0]
    single = first.trpl_map.row(528.0)
    assert isinstance(single, Decay) and single.label == "528.0 nm"
    for kind, part in {
        "widefield_image": first.picture,
        "spectral_image": first.spectral_map,
        "trpl_map": first.trpl_map,
        "decay": single,
        "g2": first.g2,
        "channel_delay": delay_calibration(),
    }.items():
        assert save_figure(draw_run(kind, part), tmp_path / f"{kind}.png", 1000).stat().st_size > 10_000
    with pytest.raises(ValueError, match="needs Picture"):
        draw_run("widefield_image", first.g2)
    with pytest.raises(ValueError, match="no figure for 'holiday'"):
        draw_run("holiday", first.g2)


def delay_calibration(pairs=20_000):
    rng = np.random.default_rng(4)
    delays_ps = 1_700 + 100_000 * rng.integers(-5, 6, pairs) + rng.laplace(0, 400, pairs)
    histogram = np.histogram(delays_ps, (np.arange(22_002) - 11_000.5) * 50)[0]
    return DelayCalibration(histogram, 50.0, 100.0, (10**6, 10**6), (0, -100, 0))


def said(figure):
    return "\n".join(t.get_text() for t in figure.findobj(lambda o: hasattr(o, "get_text")))


def test_the_delay_and_the_profile_entry_are_in_the_figure():
    data = delay_calibration()
    found = channel_delay(data.histogram, 50.0, 100.0, data.singles)
    shown = said(draw_run("channel_delay", data))
    assert abs(found.delay_ps - 1_700) < 4 * found.sigma_ps
    assert f"delay = {found.delay_ps:.1f} ± {found.sigma_ps:.2g} ps" in shown
    assert f"[0, {-100 - round(found.delay_ps)}, 0]" in shown and "[0, -100, 0]" in shown
    assert "whole laser periods" in shown
    assert "no delay" in said(draw_run("channel_delay", delay_calibration(pairs=50)))


def test_the_g2_figure_says_all_that_is_known(data):
    plain = dataclasses.replace(data[0].g2, accidentals=290.0, warnings=("spad1 sees 7 % of the laser pulses",))
    result = fit_g2(plain)
    shown = said(draw_g2(plain))
    assert f"g²(0) = {result.g2_0_raw:.3f} ± {result.sigma_poisson:.3f}" in shown
    assert f"by the rates {result.g2_0_rate:.3f}, near/far {result.near_far:.3f}" in shown
    assert "spad1 sees 7 %" in shown
    assert "dead time ok" in shown and "cannot be claimed" in shown
    assert "by blocks" not in shown and "background" not in shown
    more = dataclasses.replace(result, bootstrap=Bootstrap(0.123, 50, 1.0, 2000, 0)).with_background((0.9, 0.8))
    shown = said(draw_g2(plain, more))
    assert f"g²(0) = {result.g2_0_raw:.3f} ± {result.sigma_poisson:.3f} (± 0.123 by blocks)" in shown
    assert f"without background {more.g2_0_bgcorr:.3f}" in shown


def test_a_dead_time_artefact_is_red_in_night_and_run(data):
    night_g2 = data[0].g2
    delay = np.asarray(night_g2.delay_ns)
    hole = np.where(np.abs(delay - 1.7) < 250.0, 0, night_g2.counts)
    broken = dataclasses.replace(night_g2, counts=hole)
    assert fit_g2(broken).dead_time_ok is False
    assert "ARTEFACT" in said(draw_g2(broken))
    assert "dead-time artefact" in said(draw_night([dataclasses.replace(data[0], g2=broken)], "x"))


def test_shifted_delay_axis_is_refused_not_misread(data):
    shifted = dataclasses.replace(data[0].g2, delay_ns=np.asarray(data[0].g2.delay_ns) + 100.0)
    with pytest.raises(ValueError, match="middle bin"):
        fit_g2(shifted)


def test_thinning_keeps_means():
    image = np.random.default_rng(0).normal(5, 1, (101, 203))
    small = block_mean(image, (30, 30))
    assert small.shape == (25, 29)
    assert small[0, 0] == pytest.approx(image[:4, :7].mean())
    assert block_axis(np.arange(203), 30).size == 29
    assert [nice_length(x) for x in (1.0, 3.3, 31.8, 0.07)] == [1.0, 2.0, 20.0, 0.05]
