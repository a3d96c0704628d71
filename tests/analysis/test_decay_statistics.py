"""Recovery of known lifetimes with the statistics they should have, on simulated photons."""

import numpy as np
import pytest

from cryopl_bluesky.analysis import AnalysisError, FitError
from cryopl_bluesky.analysis.donor_acceptor import fit_donor_acceptor
from cryopl_bluesky.analysis.lifetimes import (
    fit_decay,
    lifetime_precision,
    profile_interval,
    stretched_mean_ns,
    stretched_second_moment_mean_ns,
)
from cryopl_bluesky.analysis.stretched_decay import fit_stretched_decay

SETS = 200
SIGMA_NS = 0.2 / 2.35482


def histogram(rng, arrivals_ns, *, period_ns=50.0, bins=1000, dark=1000.0, position_ns=2.0):
    times = arrivals_ns + rng.normal(position_ns, SIGMA_NS, arrivals_ns.size)
    times = np.concatenate([times, rng.uniform(0.0, period_ns, rng.poisson(dark))]) % period_ns
    return np.histogram(times, np.linspace(0.0, period_ns, bins + 1))[0]


def exponentials(rng, photons, taus_ns, shares):
    which = rng.choice(len(taus_ns), rng.poisson(photons), p=shares)
    return rng.exponential(np.array(taus_ns)[which])


def check_pulls(pulls):
    """Mean 0 +- 0.15 and width 1 +- 0.15 of every column."""
    assert len(pulls) >= SETS
    np.testing.assert_allclose(np.mean(pulls, axis=0), 0.0, atol=0.15)
    np.testing.assert_allclose(np.std(pulls, axis=0), 1.0, atol=0.15)


def test_pulls_of_one_exponential():
    rng = np.random.default_rng(101)
    pulls = []
    for _ in range(SETS):
        fit = fit_decay(histogram(rng, exponentials(rng, 1e4, [3.99], [1.0])), 50.0, 50.0, irf_fwhm_ps=200)
        assert fit.good
        pulls.append(
            [
                (fit.tau_int_ns - 3.99) / fit.tau_int_err_ns,
                (fit.shift_ns - 2.0) / fit.shift_err_ns,
                (fit.background_per_bin - 1.0) / fit.background_err_per_bin,
            ]
        )
    check_pulls(pulls)


def test_pulls_of_two_exponentials_behind_a_measured_response():
    rng = np.random.default_rng(102)
    taus, shares = np.array([0.8, 5.0]), np.array([0.5, 0.5])
    truth, truth_amp = float(taus @ shares), 1.0 / float((shares / taus).sum())
    response = histogram(rng, np.zeros(4_000_000), dark=0.0)
    pulls, values = [], []
    for _ in range(2 * SETS):  # the more numbers are checked, the more often chance alone would fail one
        counts = histogram(rng, exponentials(rng, 2e4, taus, shares))
        fit = fit_decay(counts, 50.0, 50.0, irf=response, components=2)
        assert fit.good
        values.append(fit.tau_int_ns)
        pulls.append(
            [
                (fit.tau_int_ns - truth) / fit.tau_int_err_ns,
                (fit.tau_amp_ns - truth_amp) / fit.tau_amp_err_ns,
                (fit.lifetimes_ns[0] - taus[0]) / fit.lifetimes_err_ns[0],
                (fit.lifetimes_ns[1] - taus[1]) / fit.lifetimes_err_ns[1],
                fit.shift_ns / fit.shift_err_ns,
            ]
        )
    check_pulls(pulls)
    assert np.mean(values) == pytest.approx(truth, rel=0.01)


def test_pulls_of_a_tail():
    rng = np.random.default_rng(103)
    pulls = []
    for _ in range(SETS):
        counts = histogram(rng, exponentials(rng, 2e4, [4.0], [1.0]))
        fit = fit_decay(counts, 50.0, 50.0, method="tail", fit_bins=(52, 1000), irf_fwhm_ps=200)
        pulls.append([(fit.tau_int_ns - 4.0) / fit.tau_int_err_ns])
    check_pulls(pulls)


@pytest.mark.slow
def test_pulls_of_stretched_exponentials():
    rng = np.random.default_rng(104)
    tau, beta = 2.0, 0.7
    by_area, by_arrival = stretched_mean_ns(tau, beta), stretched_second_moment_mean_ns(tau, beta)
    pulls = []
    for _ in range(SETS):
        # t = tau g^(1/beta) with g from a gamma distribution of shape 1/beta has the density exp(-(t/tau)^beta)
        arrivals = tau * rng.gamma(1.0 / beta, 1.0, rng.poisson(1e5)) ** (1.0 / beta)
        fit = fit_stretched_decay(histogram(rng, arrivals, bins=2000), 25.0, 50.0, irf_fwhm_ps=200)
        assert fit.good
        pulls.append(
            [
                (fit.tau_ns - tau) / fit.tau_err_ns,
                (fit.beta - beta) / fit.beta_err,
                (fit.tau_amp_ns - by_area) / fit.tau_amp_err_ns,
                (fit.tau_int_ns - by_arrival) / fit.tau_int_err_ns,
                (fit.shift_ns - 2.0) / fit.shift_err_ns,
            ]
        )
    check_pulls(pulls)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("k_donor", "k_acceptor", "k_transfer", "start"), [(1.0, 1.0, 2.0, 0.5), (0.2, 0.5, 0.4, 0.5)]
)
def test_pulls_of_a_donor_and_its_acceptor(k_donor, k_acceptor, k_transfer, start):
    rng = np.random.default_rng(105)
    tau, per_start = 1.0 / (k_donor + k_transfer), k_transfer / start
    own, fed = start, k_transfer * tau
    pulls = []
    for _ in range(SETS):
        donor = exponentials(rng, 5e4, [tau], [1.0])
        direct = rng.exponential(1.0 / k_acceptor, rng.poisson(5e4 * own / (own + fed)))
        n_fed = rng.poisson(5e4 * fed / (own + fed))
        through_donor = rng.exponential(tau, n_fed) + rng.exponential(1.0 / k_acceptor, n_fed)
        acceptor = np.concatenate([direct, through_donor])
        pair = histogram(rng, donor, bins=500), histogram(rng, acceptor, bins=500)
        fit = fit_donor_acceptor(*pair, 100.0, 50.0, irf_fwhm_ps=200, rise=True)
        assert fit.good
        pulls.append(
            [
                (fit.tau_donor_ns - tau) / fit.tau_donor_err_ns,
                (fit.tau_acceptor_ns - 1.0 / k_acceptor) / fit.tau_acceptor_err_ns,
                (fit.fed_share - fed / (own + fed)) / fit.fed_share_err,
                (np.log(fit.transfer_per_start_per_ns / per_start))
                / (fit.transfer_per_start_err_per_ns / fit.transfer_per_start_per_ns),
            ]
        )
    check_pulls(pulls)
    assert fit.rates(start) == pytest.approx((k_transfer, k_donor), rel=0.3)
    without = fit_donor_acceptor(*pair, 100.0, 50.0, irf_fwhm_ps=200)
    assert not without.good and without.fed_share == 0.0


@pytest.mark.parametrize(("photons", "window_ns"), [(1e4, 40.0), (1e3, 40.0), (1e4, 8.0)])
def test_mean_lifetimes_reach_the_cramer_rao_bound(photons, window_ns):
    """No background, known start, sharp response: the best there is, and the error says so."""
    rng = np.random.default_rng(106)
    sharp = np.append(np.ones(1), np.zeros(399))
    values, errors = [], []
    for _ in range(SETS):
        counts = np.histogram(rng.exponential(4.0, rng.poisson(photons)), np.linspace(0.0, window_ns, 401))[0]
        dt_ns = window_ns / 400
        fit = fit_decay(counts, 1e3 * dt_ns, None, irf=sharp, shift_ns=-0.5 * dt_ns, background_per_bin=0.0)
        values.append(fit.tau_int_ns)
        errors.append(fit.tau_int_err_ns)
    detected = photons * -np.expm1(-window_ns / 4.0)
    bound_ns = 4.0 * lifetime_precision(detected, window_ns, 4.0)
    assert np.std(values) == pytest.approx(bound_ns, rel=0.15)
    assert np.median(errors) == pytest.approx(bound_ns, rel=0.05)


def test_few_photons_are_not_biased():
    """facts: tau 3.99 ns, 400 bins of 0.1 ns, 1e3 photons: Poisson -0.3 %, Neyman weights -12 %."""
    rng = np.random.default_rng(107)
    values = [
        fit_decay(
            histogram(rng, exponentials(rng, 1e3, [3.99], [1.0]), period_ns=40.0, bins=400, dark=0.0),
            100.0,
            40.0,
            irf_fwhm_ps=200,
            background_per_bin=0.0,
        ).tau_int_ns
        for _ in range(SETS)
    ]
    assert np.mean(values) == pytest.approx(3.99, rel=0.01)
    assert np.std(values) == pytest.approx(0.032 * 3.99, rel=0.15)


def test_rhodamine_6g_within_one_percent():
    rng = np.random.default_rng(108)
    for _ in range(20):
        counts = histogram(rng, exponentials(rng, 1e5, [3.99], [1.0]))
        fit = fit_decay(counts, 50.0, 50.0, irf_fwhm_ps=200, components="bic")
        assert fit.components == 1 and fit.tau_int_ns == pytest.approx(3.99, rel=0.01)


def test_averages_of_two_exponentials_within_two_percent():
    rng = np.random.default_rng(109)
    for _ in range(20):
        counts = histogram(rng, exponentials(rng, 2e5, [1.0, 4.0], [0.5, 0.5]))
        fit = fit_decay(counts, 50.0, 50.0, irf_fwhm_ps=200, components=2)
        assert fit.tau_int_ns == pytest.approx(2.5, rel=0.02)
        assert fit.tau_amp_ns == pytest.approx(1.6, rel=0.02)


def test_a_background_at_its_bound_does_not_make_the_lifetime_certain():
    """A window of little more than one lifetime: half of the fits end with a background of exactly zero."""
    rng = np.random.default_rng(110)
    pulls, at_zero = [], 0
    for _ in range(SETS):
        counts = histogram(rng, exponentials(rng, 2e4, [15.0], [1.0]), period_ns=20.0, bins=400, dark=2.0)
        fit = fit_decay(counts, 50.0, 20.0, irf_fwhm_ps=200)
        at_zero += fit.background_per_bin == 0.0
        pulls.append((fit.tau_int_ns - 15.0) / fit.tau_int_err_ns)
    assert at_zero > 50
    assert np.mean(np.abs(pulls) < 1.0) > 0.65 and np.mean(np.abs(pulls) < 2.0) > 0.93


def test_profile_agrees_with_the_fisher_matrix_where_photons_are_many():
    rng = np.random.default_rng(111)
    counts = histogram(rng, exponentials(rng, 3e5, [0.8, 5.0], [0.5, 0.5]))
    fit = fit_decay(counts, 50.0, 50.0, irf_fwhm_ps=200, components=2)
    for name in ("tau_int_ns", "tau_amp_ns", "lifetime_1_ns", "lifetime_2_ns", "shift_ns", "background_per_bin"):
        interval = profile_interval(fit, name)
        assert interval.high - interval.value == pytest.approx(interval.standard_error, rel=0.05)
        assert interval.value - interval.low == pytest.approx(interval.standard_error, rel=0.05)


def test_profile_ends_at_a_bound_and_refuses_what_has_no_error():
    rng = np.random.default_rng(113)
    arguments = {"irf_fwhm_ps": 200, "shift_ns": 2.0}
    fits = [
        fit_decay(histogram(rng, exponentials(rng, 5e3, [6.0], [1.0]), period_ns=20.0, bins=400, dark=0.0), 50.0, 20.0,
                  **arguments)
        for _ in range(8)
    ]  # fmt: skip
    fit = next(fit for fit in fits if fit.background_per_bin == 0.0)
    interval = profile_interval(fit, "background_per_bin", 0.95)
    assert interval.low == interval.value == 0.0 < interval.high < 3 * fit.background_err_per_bin
    with pytest.raises(FitError, match="no error"):
        profile_interval(fit, "shift_ns")
    with pytest.raises(AnalysisError, match="choose one of"):
        profile_interval(fit, "tau")


def test_profile_covers_the_truth_where_photons_are_few():
    """400 photons: asymmetric intervals hold the true lifetime in 68 % of the cases."""
    rng = np.random.default_rng(112)
    inside, sides = [], []
    for _ in range(100):
        counts = histogram(rng, exponentials(rng, 400, [3.0], [1.0]), bins=250, dark=100)
        interval = profile_interval(fit_decay(counts, 200.0, 50.0, irf_fwhm_ps=200), "tau_int_ns")
        inside.append(interval.low <= 3.0 <= interval.high)
        sides.append((interval.high - interval.value) / (interval.value - interval.low))
    assert np.mean(inside) == pytest.approx(0.6827, abs=0.12)
    assert np.median(sides) > 1.02  # longer lifetimes are less unlikely than shorter ones
