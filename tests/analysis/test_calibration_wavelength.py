"""Wavelength calibration from lamp lines: recovery of an axis that is known, with the errors that it should have."""

import numpy as np
import pytest
from scipy.special import ndtr

from cryopl_bluesky.analysis import AnalysisError, FitError
from cryopl_bluesky.analysis.calibration.wavelength import (
    MatchedLines,
    MeasuredLine,
    calibrate_wavelength,
    find_lines,
    match_lines,
)
from cryopl_bluesky.sim.kymera_optics import KymeraOptics

READ_NOISE_E = 3.0
# Hg and Ne in air, within the window of 600 lines/mm at 560 nm
LAMP_NM = (535.8, 546.0735, 553.5, 561.9, 568.98, 576.9598, 585.2488)
TRUE_NM = KymeraOptics().axis_nm(600.0, 560.0)


def spectrum(positions, areas, columns, rng, sigma=2.5, background=20.0):
    """Electrons and variance of sharp lines, integrated over each column."""
    edges = np.arange(columns + 1) - 0.5
    expected = np.full(columns, background)
    for position, area in zip(positions, areas, strict=True):
        expected += area * np.diff(ndtr((edges - position) / sigma))
    electrons = rng.poisson(expected) + rng.normal(0.0, READ_NOISE_E, columns)
    return electrons, np.maximum(electrons, 0.0) + READ_NOISE_E**2


def line(position, err=0.02, nominal=500.0):
    return MeasuredLine(position, err, nominal, 6.0, 1e4)


def test_centres_have_the_errors_that_they_claim():
    rng = np.random.default_rng(11)
    axis = np.linspace(500.0, 501.5, 50)
    pulls = []
    for _ in range(200):
        position = 25.0 + rng.uniform(-0.5, 0.5)
        electrons, variance = spectrum([position], [3000.0], axis.size, rng)
        (found,) = find_lines(axis, electrons, variance).lines
        assert found.position_err_px < 0.1
        pulls.append((found.position_px - position) / found.position_err_px)
    assert abs(np.mean(pulls)) < 0.15
    assert abs(np.std(pulls, ddof=1) - 1.0) < 0.15


def test_the_axis_has_the_errors_that_it_claims():
    rng = np.random.default_rng(12)
    index = np.arange(2048.0)
    reference = np.array(LAMP_NM)
    positions = np.interp(reference, TRUE_NM, index)
    errors = rng.uniform(0.02, 0.1, positions.size)
    nominal = TRUE_NM - 0.4 - 1e-4 * (index - 1000.0)  # off by an offset and a stretch
    pulls = []
    for _ in range(200):
        measured = tuple(line(p + e * rng.normal(), e) for p, e in zip(positions, errors, strict=True))
        found = calibrate_wavelength(MatchedLines(measured, LAMP_NM), nominal, degree=1)
        assert found.error_scale == 1.0
        pulls.append(((found.axis_nm - TRUE_NM) / found.axis_err_nm)[[0, 1024, 2047]])
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.15
    assert np.abs(np.std(pulls, axis=0, ddof=1) - 1.0).max() < 0.15


def test_from_a_lamp_spectrum_to_the_axis():
    rng = np.random.default_rng(13)
    index = np.arange(2048.0)
    positions = np.interp(LAMP_NM, TRUE_NM, index)
    areas = [4e4, 2e5, 3e3, 8e3, 5e4, 1e5, 2e4]
    electrons, variance = spectrum(positions, areas, 2048, rng)
    nominal = TRUE_NM + 0.6
    search = find_lines(nominal, electrons, variance)
    assert len(search.lines) == 7 and search.refused == ()
    matched = match_lines(search.lines, LAMP_NM, tolerance_nm=1.5)
    found = calibrate_wavelength(matched, nominal, degree=1)
    assert np.abs(found.axis_nm - TRUE_NM).max() < 5e-3
    assert np.abs(found.axis_nm - TRUE_NM).max() < 5.0 * found.axis_err_nm.max()
    assert found.rms_nm < 2e-3
    assert found.medium == "air" and "7 lines" in found.method
    # the whole axis without one to begin with
    whole = calibrate_wavelength(matched, columns=2048, degree=3)
    assert np.abs(whole.axis_nm - TRUE_NM).max() < 0.02


def test_lines_are_found_on_a_falling_axis_too():
    rng = np.random.default_rng(14)
    electrons, variance = spectrum([300.0, 700.0], [2e4, 2e4], 1000, rng)
    falling = np.linspace(560.0, 530.0, 1000)
    found = find_lines(falling, electrons, variance).lines
    assert [f.position_px for f in found] == pytest.approx([300.0, 700.0], abs=0.05)
    assert found[0].fwhm_px == pytest.approx(2.5 * 2.35482, rel=0.03)
    matched = match_lines(found, np.interp([300.0, 700.0], np.arange(1000), falling), 0.5)
    assert calibrate_wavelength(matched, falling, degree=0).rms_nm < 2e-3


def test_without_variance_errors_come_from_the_scatter():
    rng = np.random.default_rng(15)
    electrons, _ = spectrum([40.0], [2e4], 80, rng)
    (found,) = find_lines(np.linspace(500, 502, 80), 0.7 * electrons).lines
    assert abs(found.position_px - 40.0) < 5.0 * found.position_err_px < 0.3


def test_saturated_and_crowded_lines_are_refused_with_the_reason():
    rng = np.random.default_rng(16)
    electrons, variance = spectrum([60.0, 200.0, 207.0], [2e4, 2e4, 2e4], 300, rng, sigma=1.5)
    full = np.zeros(300, bool)
    full[59:62] = True
    search = find_lines(np.linspace(500, 510, 300), electrons, variance, exclude=full)
    assert search.lines == ()
    assert [" ".join(reason.split(": ")[1].split()[:4]) for reason in search.refused] == [
        "its top is saturated", "a neighbour at column", "a neighbour at column",
    ]  # fmt: skip


@pytest.mark.parametrize(("distance", "area"), [(16.0, 2e5), (12.0, 1e4), (30.0, 1e6)])
def test_a_neighbour_does_not_pull_a_line(distance, area):
    rng = np.random.default_rng(17)
    pulls = []
    for _ in range(20):
        position = 200.0 + rng.uniform(-0.5, 0.5)
        electrons, variance = spectrum([position, position + distance], [2e4, area], 400, rng, sigma=1.5)
        found = find_lines(np.linspace(500, 510, 400), electrons, variance).lines
        assert len(found) == 2
        pulls.append((found[0].position_px - position) / found[0].position_err_px)
    assert abs(np.mean(pulls)) < 4.0 / np.sqrt(20)
    assert np.std(pulls) < 2.0


def test_matching_is_unique_or_refused():
    lines = (line(100, nominal=546.3), line(200, nominal=577.1), line(300, nominal=600.0))
    matched = match_lines(lines, [576.9598, 546.0735, 435.8], tolerance_nm=1.0)
    assert matched.reference_nm == (546.0735, 576.9598)
    assert matched.unmatched_lines_nm == (600.0,)
    assert matched.unmatched_references_nm == (435.8,)
    with pytest.raises(AnalysisError, match=r"may be 576.960 or 579.066"):
        match_lines(lines, [576.9598, 579.0663], tolerance_nm=3.0)
    with pytest.raises(AnalysisError, match="2 lines lie within"):
        match_lines((line(100, nominal=546.3), line(110, nominal=546.5)), [546.0735], tolerance_nm=1.0)
    with pytest.raises(AnalysisError, match="wrong lamp"):
        match_lines(lines, [435.8], tolerance_nm=1.0)


def test_a_wrong_line_is_seen_in_chi2():
    index = np.arange(2048.0)
    positions = np.interp(LAMP_NM, TRUE_NM, index)
    positions[3] += 2.0  # a blend
    matched = MatchedLines(tuple(line(p) for p in positions), LAMP_NM)
    found = calibrate_wavelength(matched, TRUE_NM, degree=1)
    assert found.error_scale > 10.0
    assert any("blended or wrong line" in note for note in found.notes)
    assert np.argmax(np.abs(found.residual_nm)) == 3


def test_what_lines_cannot_tell_is_said_or_refused():
    pair = MatchedLines((line(900.0), line(1000.0)), (550.0, 553.0))
    notes = " ".join(calibrate_wavelength(pair, columns=2048, degree=1).notes)
    assert "as many lines as coefficients" in notes and "extrapolated" in notes
    with pytest.raises(AnalysisError, match="give 3 lines"):
        calibrate_wavelength(pair, columns=2048, degree=2)
    with pytest.raises(AnalysisError, match="degree is 4"):
        calibrate_wavelength(pair, columns=2048, degree=4)
    with pytest.raises(AnalysisError, match="either nominal_nm"):
        calibrate_wavelength(pair)
    with pytest.raises(AnalysisError, match="different columns"):
        calibrate_wavelength(MatchedLines((line(5000.0), line(1.0)), (550.0, 553.0)), columns=2048)
    bent = MatchedLines((line(0.0), line(1000.0), line(1200.0)), (550.0, 555.0, 554.0))
    with pytest.raises(FitError, match="turns round"):
        calibrate_wavelength(bent, columns=2048, degree=2)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (np.full(100, np.nan), "NaN"),
        (np.ones(90), "shape"),
        (np.random.default_rng(1).poisson(5.0, 100), "no peak"),
    ],
)
def test_bad_spectra_are_refused(counts, message):
    with pytest.raises(AnalysisError, match=message):
        find_lines(np.linspace(500, 510, 100), counts)
