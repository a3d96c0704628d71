"""The shapes that decay fits use, against closed forms, quadrature and finite differences."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr

from cryopl_bluesky.analysis import AnalysisError, FitError
from cryopl_bluesky.analysis._decay_model import GaussianModel, TailModel
from cryopl_bluesky.analysis._decay_sampled import SampledModel, gaussian_response
from cryopl_bluesky.analysis.donor_acceptor import _Pair, fit_donor_acceptor
from cryopl_bluesky.analysis.lifetimes import decay_task, fit_decay, funnelling
from cryopl_bluesky.analysis.stretched_decay import StretchedModel, fit_stretched_decay

DT_NS, BINS = 0.05, 400
ENGINES = ("numba", "numpy")


def pulse_in_first_bin():
    response = np.zeros(BINS)
    response[0] = 1.0
    return response


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("period_ns", [None, 20.0, 19.98, 33.3])
@pytest.mark.parametrize("tau_ns", [0.01, 0.7, 30.0])
def test_exponential_of_a_sharp_pulse_is_the_closed_form(engine, period_ns, tau_ns):
    """exp(-k dt/tau)(1 - exp(-dt/tau)), over 1 - exp(-T/tau) in the steady state, also where T is no whole bin."""
    shape, _, _ = SampledModel(pulse_in_first_bin(), BINS, DT_NS, period_ns, engine)(tau_ns, -0.5 * DT_NS)
    k = np.arange(BINS)
    expected = np.exp(-k * DT_NS / tau_ns) * -np.expm1(-DT_NS / tau_ns)
    if period_ns is not None:
        expected /= -np.expm1(-period_ns / tau_ns)
    np.testing.assert_allclose(shape, expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(("period_ns", "position_ns"), [(None, 3.0), (20.0, 3.0), (20.0, 0.03)])
def test_measured_gaussian_equals_analytic_gaussian_where_it_was_recorded(period_ns, position_ns):
    """At shift 0: a response is not moved by half a bin, and one across the end of the period is whole."""
    edges = np.arange(BINS + 1) * DT_NS
    pulses = (0,) if period_ns is None else (-1, 0, 1)
    cumulative = np.sum([ndtr((edges - position_ns - 20.0 * n) / 0.15) for n in pulses], axis=0)
    sampled = SampledModel(np.diff(cumulative), BINS, DT_NS, period_ns)(0.8, 0.0)[0]
    analytic = GaussianModel(BINS, DT_NS, period_ns, 0.15 * 2.354820045)(0.8, position_ns)[0]
    np.testing.assert_allclose(sampled, analytic, atol=2e-3 * analytic.max())
    k = np.arange(BINS)
    moved = (k @ np.roll(sampled, 100) - k @ np.roll(analytic, 100)) * DT_NS
    assert moved == pytest.approx(0.0, abs=0.01 * DT_NS)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["sampled", "single pulse", "Gaussian", "tail"])
def test_derivatives(kind, engine):
    response = gaussian_response(BINS, DT_NS, 0.3)[0]
    model = {
        "sampled": SampledModel(response, BINS, DT_NS, 20.3, engine),
        "single pulse": SampledModel(response, BINS, DT_NS, None, engine),
        "Gaussian": GaussianModel(BINS, DT_NS, 20.3, 0.3),
        "tail": TailModel(BINS, DT_NS, 30),
    }[kind]
    h = 1e-5
    for tau in (0.2, 6.0):
        _, by_tau, by_shift = model(tau, 0.21)
        numeric = (model(tau + h, 0.21)[0] - model(tau - h, 0.21)[0]) / (2 * h)
        np.testing.assert_allclose(by_tau, numeric, atol=1e-6 * np.abs(numeric).max() + 1e-12)
        numeric = (model(tau, 0.21 + h)[0] - model(tau, 0.21 - h)[0]) / (2 * h)
        np.testing.assert_allclose(by_shift, numeric, atol=1e-6 * np.abs(numeric).max() + 1e-12)


@pytest.mark.parametrize("period_ns", [None, 20.3])
def test_both_engines_give_the_same_numbers(period_ns):
    rng = np.random.default_rng(3)
    response = rng.poisson(1e3 * gaussian_response(BINS, DT_NS, 0.3)[0]).astype(float)
    first, second = (SampledModel(response, BINS, DT_NS, period_ns, engine) for engine in ENGINES)
    for tau in (0.02, 1.0, 50.0):
        np.testing.assert_allclose(first(tau, 0.3), second(tau, 0.3), rtol=1e-9, atol=1e-12)
    edges = np.array([3, 10, 200, 390])
    taus = np.array([0.02, 1.0, 50.0])
    np.testing.assert_allclose(first.joined(taus, 0.3, edges), second.joined(taus, 0.3, edges), rtol=1e-9, atol=1e-12)
    one_by_one = [np.add.reduceat(first(tau, 0.3)[0][3:390], edges[:-1] - 3) for tau in taus]
    np.testing.assert_allclose(first.joined(taus, 0.3, edges), one_by_one, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("period_ns", [None, 20.0])
@pytest.mark.parametrize("beta", [0.5, 0.7, 1.0, 1.3])
def test_stretched_exponential_is_its_integral_over_the_bins(vectors, period_ns, beta):
    tau = vectors["avg_lifetime"]["stretched"]["tau"]
    response = SampledModel(pulse_in_first_bin(), BINS, DT_NS, period_ns)
    model = StretchedModel(response, DT_NS, slice(0, BINS))
    got, _ = model.evaluate(np.array([1.0, np.log(tau), np.log(beta), -0.5 * DT_NS, 0.0]))

    def decay(t):
        return np.exp(-((t / tau) ** beta))

    area = quad(decay, 0, np.inf, limit=400, epsabs=1e-13)[0]
    for k in (0, 1, 17, 250):
        begins = k * DT_NS + (np.arange(200) * period_ns if period_ns else np.zeros(1))
        expected = sum(quad(decay, b, b + DT_NS, epsabs=1e-15)[0] for b in begins) / area
        assert got[k] == pytest.approx(expected, rel=1e-6)
    if beta == 1.0:
        np.testing.assert_allclose(got, response(tau, -0.5 * DT_NS)[0], rtol=1e-6, atol=1e-12)
    for i, step in ((1, 1e-5), (2, 1e-4), (3, 1e-5)):
        theta = np.array([1.0, np.log(tau), np.log(beta), -0.3 * DT_NS, 0.0])  # between the knots of the interpolation
        jacobian = model.evaluate(theta)[1]
        up, down = theta.copy(), theta.copy()
        up[i] += step
        down[i] -= step
        numeric = (model.evaluate(up)[0] - model.evaluate(down)[0]) / (2 * step)
        np.testing.assert_allclose(jacobian[:, i], numeric, atol=1e-5 * np.abs(numeric).max())


def test_fed_acceptor_is_the_closed_form_of_funnelling(vectors):
    """Photons per bin of the pair against populations, for the rates of the supplied vector and for equal lifetimes."""
    v = vectors["rate_model_funnelling"]
    for k_donor, k_acceptor, k_transfer, start in ((v["kD"], v["kA"], v["kET"], 1.0), (0.4, 0.6, 0.2000001, 0.3)):
        fine_ns = 1e-3
        t = (np.arange(4000) + 0.5) * fine_ns
        donor, acceptor = funnelling(t, k_donor, k_acceptor, k_transfer, start)
        tau = 1.0 / (k_donor + k_transfer)
        tasks = [
            decay_task(np.ones(4000), 1.0, None, None, np.append(1.0, np.zeros(3999)), None, -0.5 * fine_ns, 0.0)
        ] * 2
        # emitted photons: own excitation A0/k_A, fed k_ET tau/k_A, in photons of rate 1
        own, fed = start / k_acceptor, k_transfer * tau / k_acceptor
        theta = np.array([tau, own, fed, np.log(tau), -np.log(k_acceptor), -0.5 * fine_ns, 0.0, 0.0])
        expected, jacobian = _Pair(*tasks).evaluate(theta)
        np.testing.assert_allclose(expected[:4000], donor * fine_ns, rtol=2e-6)
        # a sum of bins differs from the middle of the bin by half a bin of the rise
        np.testing.assert_allclose(expected[4000:], acceptor * fine_ns, rtol=2e-3)
        for i in (3, 4):
            up, down = theta.copy(), theta.copy()
            up[i] += 1e-3
            down[i] -= 1e-3
            numeric = (_Pair(*tasks).evaluate(up)[0] - _Pair(*tasks).evaluate(down)[0]) / 2e-3
            np.testing.assert_allclose(jacobian[:, i], numeric, atol=1e-4 * np.abs(numeric).max())


@dataclass
class StoredIrf:
    counts: np.ndarray
    binwidth_ps: float


def decay(rng, photons=20_000, tau_ns=2.0):
    times = rng.normal(1.0, 0.15, photons) + rng.exponential(tau_ns, photons)
    return np.histogram(times % 20.0, np.arange(BINS + 1) * DT_NS)[0]


def test_an_irf_that_knows_its_bins():
    rng = np.random.default_rng(4)
    counts, response = decay(rng), np.histogram(rng.normal(1.0, 0.15, 100_000), np.arange(61) * DT_NS)[0]
    short = fit_decay(counts, 50.0, 20.0, irf=StoredIrf(response, 50.0))  # zero after its pulse
    bare = fit_decay(counts, 50.0, 20.0, irf=np.append(response, np.zeros(BINS - 60)))
    assert short.tau_int_ns == bare.tau_int_ns == pytest.approx(2.0, abs=4 * bare.tau_int_err_ns)
    assert short.shift_ns == pytest.approx(0.0, abs=4 * short.shift_err_ns)
    for fit in (fit_decay, fit_stretched_decay):
        with pytest.raises(AnalysisError, match="bins of 25 ps but the decay has bins of 50 ps"):
            fit(counts, 50.0, 20.0, irf=StoredIrf(response, 25.0))
        with pytest.raises(AnalysisError, match="cut it to the range"):
            fit(counts, 50.0, 20.0, irf=StoredIrf(np.ones(500), 50.0))


@pytest.mark.parametrize("fit", [fit_stretched_decay, lambda n, *a, **k: fit_donor_acceptor(np.ones(BINS), n, *a, **k)])
@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (np.full(BINS, np.nan), "NaN"),
        (np.full(BINS, -1.0), "negative at index"),
        (np.zeros(BINS), "below the limit of 100"),
        (np.ones((2, BINS)), "1 dimension"),
    ],
)
def test_refusals_of_the_other_models(fit, counts, message):
    with pytest.raises(AnalysisError, match=message):
        fit(counts, 50.0, 20.0, irf_fwhm_ps=350)


@pytest.mark.parametrize("fit", [fit_decay, fit_stretched_decay])
@pytest.mark.parametrize("response", [{}, {"irf": np.ones(BINS), "irf_fwhm_ps": 200}])
def test_one_response_must_be_given(fit, response):
    with pytest.raises(AnalysisError, match="Give either irf_fwhm_ps"):
        fit(np.ones(BINS), 50.0, 20.0, **response)


def test_short_components_are_limits_unless_the_response_is_of_the_same_day():
    rng = np.random.default_rng(5)
    counts = decay(rng, tau_ns=0.1)  # response 353 ps
    doubtful = fit_decay(counts, 50.0, 20.0, irf_fwhm_ps=353)
    assert doubtful.upper_limits_ns == (pytest.approx(0.1765, rel=1e-3),)
    assert "quote it as below 0.176 ns" in " ".join(doubtful.notes)
    trusted = fit_decay(counts, 50.0, 20.0, irf_fwhm_ps=353, irf_same_day=True)
    assert trusted.upper_limits_ns == (None,) and not trusted.notes
    assert trusted.tau_int_ns == pytest.approx(0.1, abs=4 * trusted.tau_int_err_ns)


def test_a_tail_shows_nothing_shorter_than_the_response():
    rng = np.random.default_rng(6)
    counts = decay(rng, tau_ns=0.3)
    with pytest.raises(FitError, match="shorter than the response"):
        fit_decay(counts, 50.0, 20.0, method="tail", fit_bins=(26, 400), irf_fwhm_ps=353)
    with pytest.raises(AnalysisError, match="needs fit_bins"):
        fit_decay(counts, 50.0, 20.0, method="tail")
    good = fit_decay(decay(rng), 50.0, 20.0, method="tail", fit_bins=(34, 400), irf_fwhm_ps=353)
    assert good.method.startswith("tail from 1.7 ns") and good.good
    assert good.tau_int_ns == pytest.approx(2.0, abs=4 * good.tau_int_err_ns)


def test_the_example_of_the_documentation():
    text = (Path(__file__).parents[2] / "docs" / "lifetimes.md").read_text()
    names: dict = {}
    exec(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0], names)
    fit = names["fit"]
    assert fit.components == 2 and fit.good and fit.notes == ()
    assert fit.tau_int_ns == pytest.approx(2.25, abs=4 * fit.tau_int_err_ns)
    assert fit.tau_amp_ns == pytest.approx(0.5 / (0.25 / 0.5 + 0.25 / 4.0), abs=4 * fit.tau_amp_err_ns)
