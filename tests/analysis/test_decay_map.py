"""Maps: lifetime against wavelength, gated spectra, model-free numbers."""

import numpy as np
import pytest

from cryopl_bluesky.analysis import AnalysisError, FitError
from cryopl_bluesky.analysis.lifetime_map import fit_lifetime_map
from cryopl_bluesky.analysis.lifetimes import fit_decay
from cryopl_bluesky.analysis.model_free_decay import gated_spectra, model_free_decay
from cryopl_bluesky.analysis.units import HC_EV_NM

PERIOD_NS, BINWIDTH_PS, BINS = 25.0, 40.0, 625
EDGES_NS = np.linspace(0.0, PERIOD_NS, BINS + 1)
SIGMA_NS = 0.2 / 2.35482
SHIFT_NS = 0.023


def response(rng, photons=3_000_000):
    return np.histogram(rng.normal(2.0, SIGMA_NS, photons), EDGES_NS)[0]


def decay(rng, photons, tau_ns, dark=30.0, slow_share=0.0):
    n = rng.poisson(photons)
    tau = np.where(rng.random(n) < slow_share, 4.0, tau_ns)
    times = 2.0 + SHIFT_NS + rng.normal(0.0, SIGMA_NS, n) + rng.exponential(1.0, n) * tau
    times = np.concatenate([times, rng.uniform(0.0, PERIOD_NS, rng.poisson(dark))])
    return np.histogram(times % PERIOD_NS, EDGES_NS)[0]


@pytest.fixture(scope="module")
def trpl():
    """Blue side faster; the outermost rows are dark."""
    rng = np.random.default_rng(21)
    wavelength_nm = np.linspace(516.0, 536.0, 21)
    tau_ns = 0.8 / (1.0 + np.exp((HC_EV_NM / wavelength_nm - 2.355) / 0.02))
    photons = 1e4 * np.exp(-0.5 * ((wavelength_nm - 526.0) / 3.5) ** 2)
    counts = np.array([decay(rng, n, tau) for n, tau in zip(photons, tau_ns, strict=True)])
    return wavelength_nm, tau_ns, counts, response(rng)


def test_lifetime_against_wavelength(trpl):
    wavelength_nm, tau_ns, counts, irf = trpl
    fitted = fit_lifetime_map(counts, wavelength_nm, BINWIDTH_PS, PERIOD_NS, irf=irf, components=1, irf_same_day=True)
    dark = fitted.photons < 500
    assert 2 <= dark.sum() <= 8
    for i in np.flatnonzero(dark):
        assert "below the limit of 500" in fitted.problems[i] and fitted.fits[i] is None
        assert np.isnan(fitted.tau_int_ns[i]) and not fitted.good[i] and fitted.components[i] == 0
    assert fitted.good[~dark].all() and np.isfinite(fitted.tau_amp_ns[~dark]).all()
    pulls = ((fitted.tau_int_ns - tau_ns) / fitted.tau_int_err_ns)[~dark]
    assert abs(pulls.mean()) < 4 / np.sqrt(pulls.size) and 0.5 < pulls.std() < 1.5
    assert fitted.shift_ns == pytest.approx(SHIFT_NS, abs=4 * fitted.shift_err_ns) and fitted.shift_err_ns < 2e-3
    at = [int(np.argmin(abs(wavelength_nm - nm))) for nm in (522.0, 527.0, 530.0)]
    assert (np.diff(fitted.tau_int_ns[at]) > 0).all()
    lower = fit_lifetime_map(
        counts, wavelength_nm, BINWIDTH_PS, PERIOD_NS, irf=irf, components=1, minimum_photons=150
    )
    assert np.isfinite(lower.tau_int_ns).sum() > np.isfinite(fitted.tau_int_ns).sum()


def test_the_common_shift_is_that_of_the_joint_likelihood(trpl):
    """No other shift is more likely, and two standard errors away the deviance of all rows has risen by 4."""
    wavelength_nm, _, counts, irf = trpl
    bright = counts[6:16]

    def deviance(shift_ns):
        rows = [fit_decay(row, BINWIDTH_PS, PERIOD_NS, irf=irf, shift_ns=shift_ns) for row in bright]
        return sum(row.deviance for row in rows)

    fitted = fit_lifetime_map(bright, wavelength_nm[6:16], BINWIDTH_PS, PERIOD_NS, irf=irf, components=1)
    best, error = fitted.shift_ns, fitted.shift_err_ns
    lowest = deviance(best)
    assert deviance(best - 2 * error) - lowest == pytest.approx(4.0, abs=0.5)
    assert deviance(best + 2 * error) - lowest == pytest.approx(4.0, abs=0.5)
    one = fit_decay(bright[5], BINWIDTH_PS, PERIOD_NS, irf=irf)
    assert fitted.tau_int_err_ns[5] < one.tau_int_err_ns  # a known shift helps
    fixed = fit_lifetime_map(
        bright, wavelength_nm[6:16], BINWIDTH_PS, PERIOD_NS, irf=irf, components=1, shift_ns=best
    )
    assert fixed.shift_err_ns == 0.0
    # what the error of the shift adds is in the errors of the rows
    assert (fixed.tau_int_err_ns < fitted.tau_int_err_ns).all()


def test_pulls_of_the_rows():
    """200 rows of one true lifetime: the errors, that of the common shift included, are what they should be."""
    rng = np.random.default_rng(22)
    counts = np.array([decay(rng, 4000, 0.5, slow_share=0.2) for _ in range(200)])
    fitted = fit_lifetime_map(
        counts, np.linspace(500, 520, 200), BINWIDTH_PS, PERIOD_NS, irf=response(rng), components=2
    )
    for value, error, truth in (
        (fitted.tau_int_ns, fitted.tau_int_err_ns, 1.2),
        (fitted.tau_amp_ns, fitted.tau_amp_err_ns, 1 / (0.8 / 0.5 + 0.2 / 4.0)),
    ):
        pulls = (value - truth) / error
        assert np.mean(pulls) == pytest.approx(0.0, abs=0.15) and np.std(pulls) == pytest.approx(1.0, abs=0.15)


def test_gaussian_response_and_number_of_components(trpl):
    wavelength_nm, tau_ns, counts, _ = trpl
    fitted = fit_lifetime_map(counts[8:12], wavelength_nm[8:12], BINWIDTH_PS, PERIOD_NS, irf_fwhm_ps=200)
    assert fitted.components.tolist() == [1, 1, 1, 1]
    assert fitted.shift_ns == pytest.approx(2.0 + SHIFT_NS, abs=4 * fitted.shift_err_ns)
    np.testing.assert_allclose(fitted.tau_int_ns, tau_ns[8:12], atol=4 * fitted.tau_int_err_ns.max())


def test_short_rows_are_limits():
    rng = np.random.default_rng(23)
    counts = np.array([decay(rng, 2e4, tau) for tau in (0.05, 0.5, 0.6)])
    arguments = (counts, [515.0, 525.0, 530.0], BINWIDTH_PS, PERIOD_NS)
    fitted = fit_lifetime_map(*arguments, irf=response(rng), components=1)
    assert fitted.good.tolist() == [False, True, True] and "quote it as below" in fitted.problems[0]
    trusted = fit_lifetime_map(*arguments, irf=response(rng), components=1, irf_same_day=True)
    assert trusted.good.all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counts": np.ones(BINS)}, "2 dimension"),
        ({"counts": np.full((2, BINS), np.nan)}, "NaN"),
        ({"counts": np.full((2, BINS), -1)}, "negative at index"),
        ({"counts": np.full((2, BINS), 0.1)}, "No row holds 500 photons"),
        ({"wavelength_nm": [500.0]}, "wavelength_nm has 1 values for 2 rows"),
        ({"irf": np.ones(5)}, "irf has 5 bins"),
        ({"minimum_photons": 0}, "minimum_photons"),
        ({"fit_bins": (5, 5)}, "fit_bins"),
    ],
)
def test_refusals(change, message):
    good = {
        "counts": np.ones((2, BINS)), "wavelength_nm": [500.0, 501.0], "binwidth_ps": BINWIDTH_PS,
        "period_ns": PERIOD_NS, "irf": np.eye(1, BINS, 50)[0],
    }  # fmt: skip
    with pytest.raises(AnalysisError, match=message):
        fit_lifetime_map(**(good | change))


@pytest.mark.parametrize(("photons", "tau_ns", "sets"), [(1e5, 1.5, 100), (3000, 1.5, 100)])
def test_model_free_time_to_1e(photons, tau_ns, sets):
    """A lifetime far above the response is the time to 1/e; the error is the scatter within a third."""
    rng = np.random.default_rng(24)
    found = [model_free_decay(decay(rng, photons, tau_ns), BINWIDTH_PS, 200) for _ in range(sets)]
    values, errors = np.array([[one.tau_1e_ns, one.tau_1e_err_ns] for one in found]).T
    assert np.mean(values) == pytest.approx(tau_ns, rel=0.03)
    assert np.median(errors) == pytest.approx(np.std(values), rel=0.35)
    background = np.array([one.background_per_bin for one in found])
    assert np.mean(background) == pytest.approx(30 / BINS, rel=0.25)
    assert np.median([one.background_err_per_bin for one in found]) == pytest.approx(np.std(background), rel=0.3)


def test_model_free_time_needs_a_fall():
    rng = np.random.default_rng(25)
    with pytest.raises(FitError, match="does not fall to 1/e"):
        model_free_decay(decay(rng, 1e5, 60.0), BINWIDTH_PS, 200)


def test_gated_spectra():
    counts = np.arange(24.0).reshape(3, 8)
    gated = gated_spectra(counts, [500.0, 510.0, 520.0], 250.0, [(0.0, 0.5), (0.49, 2.0)])
    np.testing.assert_array_equal(gated.counts, [counts[:, :2].sum(axis=1), counts[:, 2:].sum(axis=1)])
    np.testing.assert_array_equal(gated.gates_ns, [[0.0, 0.5], [0.5, 2.0]])
    np.testing.assert_array_equal(gated.counts_err, np.sqrt(gated.counts))
    less = gated_spectra(
        counts, [500.0, 510.0, 520.0], 250.0, [(0.5, 2.0)], background_per_bin=0.5, background_err_per_bin=0.1
    )
    np.testing.assert_allclose(less.net[0], gated.counts[1] - 3.0)
    np.testing.assert_allclose(less.net_err[0], np.sqrt(gated.counts[1] + 0.36))
    energy, density, error = gated.per_eV(2.0)
    assert energy[0] == pytest.approx(HC_EV_NM / 520.0) and (np.diff(energy) > 0).all()
    # the same light: density times bandwidth in eV is the counts
    width_eV = HC_EV_NM * 2.0 / np.array([520.0, 510.0, 500.0]) ** 2
    np.testing.assert_allclose(density * width_eV, gated.counts[:, ::-1], rtol=1e-12)
    np.testing.assert_allclose(error * width_eV, gated.counts_err[:, ::-1], rtol=1e-12)
    for gates in ([(0.5, 0.5)], [(0.0, 2.5)], [(-1.0, 1.0)], [(0.0, 1.0, 2.0)]):
        with pytest.raises(AnalysisError, match="gates_ns"):
            gated_spectra(counts, [500.0, 510.0, 520.0], 250.0, gates)
