"""Dispersion sanity checks, with a real Kymera's own calibration and with the virtual lab's independent geometry."""

import doctest

import numpy as np
import pytest

from cryopl_bluesky.analysis import AnalysisError, optics
from cryopl_bluesky.analysis.calibration import checks, dispersion
from cryopl_bluesky.analysis.calibration.dispersion import (
    DispersionSetup,
    check_axis,
    check_calibration,
    check_known_lines,
    check_pair,
    check_slope,
    diagnose_ratio,
)
from cryopl_bluesky.analysis.calibration.wavelength import MatchedLines, MeasuredLine, calibrate_wavelength
from cryopl_bluesky.analysis.grating import CzernyTurner, bandwidth_nm, resolution_nm, slit_for_bandwidth_um
from cryopl_bluesky.sim.kymera_optics import KymeraOptics

HG_NM = (546.0735, 576.9598)

# `measurement.sif` of the supplied data: a KY328i's own calibration, cubic in the pixel counted from 1.
SIF_COEFFICIENTS = (529.93812442523, 0.061715845778342, -2.28349748230931e-07, -5.07163560661353e-11)
SIF_AXIS_NM = np.polynomial.Polynomial(SIF_COEFFICIENTS)(np.arange(1, 1025))


def sif_setup(focal_mm=328.0, **changes):
    settings = {"lines_per_mm": 599.566, "centre_nm": 561.47, "pixels": 1024, "pixel_um": 13.0} | changes
    return DispersionSetup(CzernyTurner(focal_mm), **settings)


def zyla_setup(focal_mm=328.0, **changes):
    settings = {"lines_per_mm": 600.0, "centre_nm": 560.0, "pixels": 2048, "pixel_um": 6.5} | changes
    return DispersionSetup(CzernyTurner(focal_mm), **settings)


def seen_at(reference_nm=HG_NM, lines_per_mm=600.0, centre_nm=560.0, pixels=2048, pixel_um=6.5):
    """Columns from 0 at which a real (virtual) Kymera 328i shows lines."""
    axis_nm = KymeraOptics().axis_nm(lines_per_mm, centre_nm, pixels, pixel_um)
    return np.interp(reference_nm, axis_nm, np.arange(pixels))


def results(checked):
    return {check.name: check.ok for check in checked}


def test_the_geometry_is_that_of_the_real_spectrograph():
    setup = sif_setup()
    assert np.abs(setup.at_pixel_nm(np.arange(1024)) - SIF_AXIS_NM).max() < 7.5e-5
    assert setup.geometry.cos_beta(599.566, 561.47) == pytest.approx(0.9295, abs=5e-5)
    assert setup.geometry.wavelengths_nm(0.0, 600, 525.0) == pytest.approx(525.0, abs=1e-9)


def test_the_virtual_lab_has_the_same_geometry():
    for lines in (150, 300, 600, 1200, 1800):
        theirs = KymeraOptics().axis_nm(lines, 525.0)
        ours = CzernyTurner().at_pixel_nm(np.arange(2048), lines, 525.0, 2048, 6.5)
        assert ours == pytest.approx(theirs, abs=1e-9)


def test_dispersion_table_of_the_facts():
    slopes = {150: 19.70, 300: 9.74, 600: 4.74, 1200: 2.19, 1800: 1.29}
    slits = {150: 10.2, 300: 20.5, 600: 42.2, 1200: 91.3, 1800: 155.0}
    windows = {150: 262.0, 300: 130.0, 600: 63.1, 1200: 29.2, 1800: 17.2}
    for lines, slope in slopes.items():
        found = CzernyTurner().dispersion_nm_mm(lines, 525)
        assert found == pytest.approx(slope, abs=5e-3)
        assert slit_for_bandwidth_um(0.2, found) == pytest.approx(slits[lines], rel=5e-3)
        assert bandwidth_nm(slit_for_bandwidth_um(0.2, found), found) == pytest.approx(0.2)
        assert CzernyTurner().window_nm(lines, 525, 13312) == pytest.approx(windows[lines], rel=3e-3)
    # 4x relay: the image of a point, 138 um, is narrower than a wide slit
    assert resolution_nm(500, 137.6, 4.743) == pytest.approx(0.65, abs=0.005)


def test_the_simple_form_of_the_vectors_is_high_by_cos_beta(vectors):
    for lines, simple in vectors["dispersion"]["nm_per_mm"].items():
        cos_beta = CzernyTurner().cos_beta(float(lines), 525)
        assert CzernyTurner().dispersion_nm_mm(float(lines), 525) == pytest.approx(simple * cos_beta, rel=1e-9)
        assert optics.dispersion_nm_mm(float(lines), 328, cos_beta) == pytest.approx(simple * cos_beta, rel=1e-9)
    assert 1 / CzernyTurner().cos_beta(150, 525) == pytest.approx(1.03, abs=0.005)
    assert 1 / CzernyTurner().cos_beta(1200, 525) == pytest.approx(1.16, abs=0.005)


def test_the_real_file_passes():
    slope = np.diff(SIF_AXIS_NM)[510:512].mean() / 13e-3
    assert slope == pytest.approx(4.726, abs=5e-4)
    possible, geometry = check_axis(SIF_AXIS_NM, sif_setup())
    assert possible.ok and geometry.ok
    assert possible.value == pytest.approx(0.9295, abs=1e-4)
    assert geometry.value < 1e-3


@pytest.mark.parametrize(("focal_mm", "cos_beta", "possible"), [(193, 0.547, True), (750, 2.13, False)])
def test_the_real_file_with_another_focal_length(focal_mm, cos_beta, possible):
    first, geometry = check_axis(SIF_AXIS_NM, sif_setup(focal_mm))
    assert first.value == pytest.approx(cos_beta, abs=0.005)
    assert first.ok is possible
    assert not geometry.ok and "focal length 328 mm" in geometry.message


def test_two_known_lines_pass_with_the_right_profile():
    checked = check_known_lines(seen_at(), HG_NM, zyla_setup(), position_err_px=0.05)
    assert results(checked) == {"known pair": True, "cos(beta)": True, "geometry": True}
    assert checked[0].value < 1e-6


def test_500_for_328_mm_is_flagged_and_named():
    pair, possible, geometry = check_known_lines(seen_at(), HG_NM, zyla_setup(500))
    assert not (pair.ok or possible.ok or geometry.ok)
    assert "suspect: focal length 328 mm" in pair.message
    assert "as if the focal length were 328 mm instead of 500 mm" in pair.message


@pytest.mark.parametrize("factor", [0.98, 1.02])
def test_a_focal_length_wrong_by_two_percent_fires(factor):
    pair = check_known_lines(seen_at(), HG_NM, zyla_setup(328 * factor))[0]
    assert not pair.ok
    assert pair.value == pytest.approx(0.02, abs=5e-4)


@pytest.mark.parametrize("factor", [0.995, 1.005])
def test_half_a_percent_does_not_fire(factor):
    assert check_known_lines(seen_at(), HG_NM, zyla_setup(328 * factor))[0].ok


@pytest.mark.parametrize(
    ("configured", "suspect"),
    [
        ({"focal_mm": 193.0}, "focal length 328 mm"),
        ({"focal_mm": 750.0}, "focal length 328 mm"),
        ({"lines_per_mm": 300.0}, "grating 600 lines/mm"),
        ({"lines_per_mm": 1200.0}, "grating 600 lines/mm"),
        ({"pixel_um": 13.0, "pixels": 2048}, "pixel pitch 6.5 um"),
        ({"binning": 4}, "binning 1"),
    ],
)
def test_the_ratio_names_the_suspect(configured, suspect):
    pair = check_known_lines(seen_at(), HG_NM, zyla_setup(**configured))[0]
    assert not pair.ok
    assert suspect in pair.message


def test_second_order_is_a_suspect():
    # lines of half the wavelength stand where the first order has theirs
    halved = [nm / 2 for nm in HG_NM]
    pair = check_known_lines(seen_at(), halved, zyla_setup())[0]
    assert not pair.ok and "second order" in pair.message
    assert diagnose_ratio(2.0, zyla_setup())[0] in pair.message
    assert diagnose_ratio(1.03, zyla_setup()) == ()


def test_a_mirrored_detector_is_not_flagged_but_a_poor_position_is():
    mirrored = 2046.0 - seen_at()
    assert check_known_lines(mirrored, HG_NM, zyla_setup())[0].value < 2e-3
    pair = check_known_lines(seen_at(), HG_NM, zyla_setup(), position_err_px=20.0)[0]
    assert not pair.ok and "too large to judge" in pair.message


def test_a_new_calibration_is_checked_as_a_whole():
    lines = tuple(MeasuredLine(float(p), 0.02, 550.0, 6.0, 1e4) for p in seen_at())
    calibration = calibrate_wavelength(MatchedLines(lines, HG_NM), columns=2048, degree=1)
    right = check_calibration(calibration, zyla_setup())
    assert results(right) == {"known pair": True, "cos(beta)": True, "geometry": True, "second order": True}
    assert results(check_calibration(calibration, zyla_setup(500))) == {
        "known pair": False, "cos(beta)": False, "geometry": False, "second order": True,
    }  # fmt: skip


def test_refusals():
    with pytest.raises(AnalysisError, match="two or more"):
        check_known_lines([100.0], [546.0], zyla_setup())
    with pytest.raises(AnalysisError, match="NaN"):
        check_known_lines([100.0, np.nan], HG_NM, zyla_setup())
    with pytest.raises(AnalysisError, match="same place"):
        check_known_lines([100.0, 100.0], HG_NM, zyla_setup())
    with pytest.raises(AnalysisError, match="slope_nm_mm"):
        check_slope(-1.0, zyla_setup())
    with pytest.raises(AnalysisError, match="ratio"):
        check_pair(0.0, zyla_setup())
    with pytest.raises(AnalysisError, match="1024"):
        check_axis(np.arange(10.0), sif_setup())
    with pytest.raises(AnalysisError, match="beyond what 1800 lines/mm can reach"):
        CzernyTurner().dispersion_nm_mm(1800, 1100)
    with pytest.raises(AnalysisError, match="focal_mm"):
        CzernyTurner(focal_mm=0.0)


def test_the_other_checks_of_the_table():
    assert checks.check_position(1024.0, 1025.5).ok and not checks.check_position(1024.0, 1027.0).ok
    assert checks.check_wavelength(405.3, 404.66).ok and not checks.check_wavelength(406.0, 404.66).ok
    assert checks.check_second_order(849.0).ok
    assert "425 nm" in checks.check_second_order(900.0).message
    assert checks.check_time_axis(400.003, 2.5e6).ok and not checks.check_time_axis(400.06, 2.5e6).ok
    # 11 % error: 4 % off is nothing, a factor of 4 is the other relay
    assert checks.check_length(16.2, 0.11, 15.546).ok
    wrong = checks.check_length(62.2, 0.11, 15.546)
    assert not wrong.ok and "relay" in wrong.message
    assert wrong.record()["ok"] is False
    model, grating = checks.check_header({"model": "SR193i", "lines_per_mm": 599.566, "x": 1},
                                         {"model": "KY328i", "lines_per_mm": 599.56602})
    assert not model.ok and "SR193i" in model.message
    assert grating.ok
    with pytest.raises(AnalysisError, match="no key in common"):
        checks.check_header({}, {"model": "KY328i"})


def test_the_example_in_the_documentation():
    assert doctest.testmod(dispersion).failed == 0
