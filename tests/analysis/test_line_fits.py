import numpy as np
import pytest
from scipy.special import ndtr

from cryopl_bluesky.analysis import AnalysisError, FitError
from cryopl_bluesky.analysis.spectra import (
    describe_line,
    fit_line,
    frame_to_electrons,
    per_eV,
    pixel_edges,
    rows_at,
    sum_rows,
)
from cryopl_bluesky.analysis.units import FWHM_PER_SIGMA, HC_EV_NM

AXIS = 525.0 + (np.arange(1024) - 512) * 0.06


def line(peak_eV, fwhm_eV, area, axis=AXIS):
    """Electrons per pixel of a Gaussian in S_E, integrated over each pixel."""
    edges = HC_EV_NM / pixel_edges(axis)
    cdf = ndtr((edges - peak_eV) * FWHM_PER_SIGMA / fwhm_eV)
    return area * np.abs(np.diff(cdf))


@pytest.mark.parametrize(("area", "background"), [(2e4, 20.0), (3e3, 0.0)])
def test_errors_of_the_line_fit_are_honest(area, background):
    """100 seeds: the estimates scatter as the errors say, and are not biased."""
    rng = np.random.default_rng(5)
    peak, fwhm, read_e = 2.36, 0.060, 5.0
    pulls = []
    for _ in range(100):
        shot = rng.poisson(line(peak, fwhm, area) + background)
        counts = shot + rng.normal(0, read_e, AXIS.size)
        fit = fit_line(AXIS, counts, np.maximum(counts, 0) + read_e**2)
        pulls.append(
            [
                (fit.peak_eV - peak) / fit.peak_eV_err,
                (fit.fwhm_eV - fwhm) / fit.fwhm_eV_err,
                (fit.area - area) / fit.area_err,
                (fit.background - background) / fit.background_err,
            ]
        )
    pulls = np.array(pulls)
    assert np.abs(pulls.mean(axis=0)).max() < 0.4  # 4 sigma of a mean of 100
    assert pulls.std(axis=0) == pytest.approx(1.0, abs=0.28)  # 4 sigma of a spread of 100


def test_peak_is_in_energy_density_not_in_wavelength_density():
    """Without the Jacobian this line would come out 0.98 meV too high (analysis notes, section 5)."""
    fit = fit_line(AXIS, line(2.36, 0.08, 1e9) + 10, line(2.36, 0.08, 1e9) + 20)
    assert fit.peak_eV == pytest.approx(2.36, abs=1e-6)
    assert fit.fwhm_eV == pytest.approx(0.08, abs=1e-6)


def test_axis_direction_does_not_matter_and_unknown_variance_gives_errors_from_scatter():
    rng = np.random.default_rng(2)
    counts = rng.poisson(line(2.35, 0.05, 1e5) + 100) * 0.37 + 50  # units unknown to the fit
    pulls = []
    for _ in range(40):
        counts = rng.poisson(line(2.35, 0.05, 1e5) + 2000) * 0.37 + 50
        fit = fit_line(AXIS[::-1], counts[::-1])
        assert fit.reduced_chi2 is None
        pulls.append((fit.peak_eV - 2.35) / fit.peak_eV_err)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.45)


def test_instrument_width_is_removed_or_refused():
    counts = line(2.36, 0.010, 1e6)
    fit = fit_line(AXIS, counts, counts + 4, instrument_fwhm_nm=1.0)
    instrument = 1.0 * HC_EV_NM / (HC_EV_NM / 2.36) ** 2
    assert fit.intrinsic_fwhm_eV == pytest.approx(np.sqrt(0.010**2 - instrument**2), rel=1e-3)
    wide = fit_line(AXIS, counts, counts + 4, instrument_fwhm_nm=4.0)
    assert wide.intrinsic_fwhm_eV is None
    assert "not wider than the instrument" in wide.notes[0]


def test_dark_spectrum_is_no_line():
    rng = np.random.default_rng(3)
    refused = 0
    for _ in range(20):
        with pytest.raises(FitError):
            fit_line(AXIS, rng.normal(0, 5, AXIS.size), np.full(AXIS.size, 25.0))
        refused += 1
    assert refused == 20


def test_line_that_is_not_gaussian_has_scaled_errors():
    counts = line(2.34, 0.02, 1e6) + line(2.37, 0.02, 4e5)
    fit = fit_line(AXIS, counts, counts + 4)
    assert fit.reduced_chi2 is not None and fit.reduced_chi2 > 2
    assert fit.error_scale == pytest.approx(np.sqrt(fit.reduced_chi2))
    assert "not a single Gaussian" in fit.notes[0]


def test_frame_to_electrons_and_row_sums():
    rng = np.random.default_rng(4)
    light = np.full((200, 300), 50.0)
    gain, read_e, offset = 0.45, 1.3, 100.0
    frame = (rng.poisson(light) + rng.normal(0, read_e, light.shape)) / gain + offset
    got = frame_to_electrons(frame, gain_e_per_adu=gain, read_noise_e=read_e, offset_adu=offset)
    assert got.electrons.mean() == pytest.approx(50, abs=0.15)
    assert got.electrons.var() == pytest.approx(got.variance.mean(), rel=0.03)
    dark = rng.normal(0, read_e, light.shape) / gain + offset
    both = frame_to_electrons(
        frame, gain_e_per_adu=gain, read_noise_e=read_e, offset_adu=offset, dark_adu=dark
    )
    assert both.electrons.var() == pytest.approx(both.variance.mean(), rel=0.03)
    total = sum_rows(got)
    assert total.rows == 200
    assert total.counts.mean() == pytest.approx(200 * 50, rel=0.01)
    position = np.arange(200) * 0.1
    chosen = rows_at(position, 5.0, 3)
    assert (chosen.start, chosen.stop) == (47, 54)
    assert sum_rows(got, chosen).rows == 7
    assert sum_rows(got, chosen, slice(100, 200)).counts.mean() == pytest.approx(0, abs=6)


def test_per_eV_conserves_counts():
    counts = line(2.36, 0.05, 1e4)
    spectrum = per_eV(AXIS, counts, counts)
    assert np.all(np.diff(spectrum.energy_eV) > 0)
    assert np.trapezoid(spectrum.density, spectrum.energy_eV) == pytest.approx(1e4, rel=1e-4)
    description = describe_line(AXIS, counts)
    assert description.maximum_eV == pytest.approx(2.36, abs=2e-4)
    assert description.centroid_eV == pytest.approx(2.36, abs=5e-4)
    assert description.fwhm_eV == pytest.approx(0.05, abs=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit_line(AXIS, np.full(AXIS.size, np.nan)), "counts holds 1024 NaN"),
        (lambda: fit_line(AXIS, np.ones(10)), "shape"),
        (lambda: fit_line(np.zeros(AXIS.size), np.ones(AXIS.size)), "wavelength_nm must rise"),
        (lambda: fit_line(AXIS, np.ones(AXIS.size), np.zeros(AXIS.size)), "read noise"),
        (lambda: frame_to_electrons(np.ones((2, 2)), gain_e_per_adu=0, read_noise_e=1), "gain_e_per_adu"),
        (lambda: rows_at(np.arange(5.0), 9.0, 1), "outside of the frame"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(AnalysisError, match=message):
        call()
