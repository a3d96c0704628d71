from pathlib import Path

import numpy as np
import pytest

from cryopl_bluesky.analysis import AnalysisError, FitError
from cryopl_bluesky.analysis.lifetimes import fit_decay, prepare_irf

DATA = Path(__file__).parents[1] / "data"
SIGMA_NS = 0.2 / 2.35482


def decay(rng, photons, taus_ns, shares, *, shift_ns=1.0, period_ns=50.0, binwidth_ps=50, dark=0.02):
    """Histogram of simulated arrivals, folded into one period."""
    which = rng.choice(len(taus_ns), rng.poisson(photons), p=shares)
    t = rng.exponential(np.array(taus_ns)[which]) + rng.normal(shift_ns, SIGMA_NS, which.size)
    t = np.concatenate([t, rng.uniform(0, period_ns, rng.poisson(dark * photons))]) % period_ns
    edges = np.arange(round(period_ns * 1e3 / binwidth_ps) + 1) * binwidth_ps / 1e3
    return np.histogram(t, edges)[0]


@pytest.mark.parametrize(
    ("photons", "taus", "shares", "shift", "period"),
    [
        (1e5, [3.99], [1.0], 1.0, 50.0),
        (1e3, [3.99], [1.0], 1.0, 50.0),
        (2e4, [0.3], [1.0], 0.02, 50.0),  # the rise lies across the end of the histogram
        (1e5, [8.0], [1.0], 5.0, 20.0),  # strong wrap of earlier pulses
        (1e5, [0.3, 3.0], [0.6, 0.4], 1.0, 50.0),
    ],
)
def test_recovery_and_honest_errors(photons, taus, shares, shift, period):
    rng = np.random.default_rng(11)
    truth = float(np.dot(taus, shares))  # photon-weighted mean
    truth_amp = 1.0 / float(np.dot(shares, 1.0 / np.array(taus)))
    values, pulls, pulls_amp = [], [], []
    for _ in range(40):
        counts = decay(rng, photons, taus, shares, shift_ns=shift, period_ns=period)
        fit = fit_decay(counts, 50, period, irf_fwhm_ps=200, components=len(taus))
        assert fit.good
        values.append(fit.tau_int_ns)
        pulls.append((fit.tau_int_ns - truth) / fit.tau_int_err_ns)
        pulls_amp.append((fit.tau_amp_ns - truth_amp) / fit.tau_amp_err_ns)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.45)  # 4 sigma of a spread of 40
    assert np.std(pulls_amp) == pytest.approx(1.0, abs=0.45)
    assert abs(np.mean(pulls)) < 0.64  # 4 sigma of a mean of 40
    # Neyman weights would be off by 12 % at 1e3 photons; the minimum recovery set asks for 1 % at 1e5
    assert np.mean(values) == pytest.approx(truth, rel=0.01 if photons > 1e4 else 0.03)


def test_number_of_components_by_bic():
    rng = np.random.default_rng(7)
    one = [
        fit_decay(decay(rng, 3e4, [3.0], [1.0]), 50, 50, irf_fwhm_ps=200, components="bic") for _ in range(10)
    ]
    assert [fit.components for fit in one].count(1) >= 9
    two = fit_decay(decay(rng, 3e4, [0.5, 5.0], [0.5, 0.5]), 50, 50, irf_fwhm_ps=200, components="bic")
    assert two.components == 2
    assert sum(two.amplitudes) == pytest.approx(1.0)
    assert two.amplitudes[0] == pytest.approx(10 / 11, abs=0.02)


def test_sampled_response_equals_gaussian_response():
    rng = np.random.default_rng(8)
    counts = decay(rng, 1e5, [2.0], [1.0])
    response = np.histogram(rng.normal(10.0, SIGMA_NS, 1_000_000), np.arange(1001) * 0.05)[0]
    analytic = fit_decay(counts, 50, 50, irf_fwhm_ps=200)
    sampled = fit_decay(counts, 50, 50, irf=response)
    assert sampled.tau_int_ns == pytest.approx(analytic.tau_int_ns, abs=0.3 * analytic.tau_int_err_ns)
    assert sampled.shift_ns == pytest.approx(1.0 - 10.0, abs=0.03)


def test_prepare_irf_keeps_noise_inside_and_cuts_outside():
    counts = np.full(100, 4.0)
    counts[40:50] += 100
    clean = prepare_irf(counts, slice(0, 30), slice(35, 60))
    assert clean.sum() == pytest.approx(1000)
    assert not clean[:35].any()


def lifefit(name):
    lines = (DATA / "lifefit" / name).read_text(errors="replace").splitlines()
    start = next(i for i, text in enumerate(lines) if text.startswith("Chan")) + 1
    return np.array([float(text.split()[1]) for text in lines[start:] if text.strip()])


def test_real_decay_of_atto550():
    """Supplied decay and response of one instrument; expected numbers from data/README.md, section 2.3."""
    counts, response = lifefit("Atto550_DNA.txt"), lifefit("irf.txt")
    assert (counts.sum(), response.sum()) == (1_476_495, 124_877)
    two = fit_decay(counts, 27.43484, None, irf=response, components=2, fit_bins=(865, 3214))
    assert two.tau_int_ns == pytest.approx(3.694, rel=0.005)
    assert two.tau_amp_ns == pytest.approx(3.164, rel=0.005)
    assert two.deviance / (2349 - 6) == pytest.approx(1.32, abs=0.01)
    one = fit_decay(counts, 27.43484, None, irf=response, components=1, fit_bins=(865, 3214))
    assert one.tau_int_ns == pytest.approx(3.66, abs=0.01)
    assert not one.good and "does not fit" in one.notes[0]


def test_weak_points_are_said():
    rng = np.random.default_rng(9)
    short = fit_decay(decay(rng, 1e5, [0.05], [1.0]), 50, 50, irf_fwhm_ps=200)
    assert "below half of the response" in " ".join(short.notes)
    long = fit_decay(decay(rng, 1e5, [20.0], [1.0]), 50, 50, irf_fwhm_ps=200)
    assert "shorter than 4 lifetimes" in " ".join(long.notes)


def test_second_component_that_is_not_there_is_refused():
    rng = np.random.default_rng(10)
    outcomes = []
    for _ in range(6):
        try:
            fit = fit_decay(decay(rng, 1e3, [3.0], [1.0]), 50, 50, irf_fwhm_ps=200, components=2)
            outcomes.append(fit.tau_int_err_ns > 0 and abs(fit.tau_int_ns - 3) < 4 * fit.tau_int_err_ns)
        except FitError as error:
            outcomes.append("fewer components" in str(error) or "told apart" in str(error))
    assert all(outcomes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"counts": np.full(1000, np.nan)}, "NaN"),
        ({"counts": np.full(1000, -1.0)}, "negative at index"),
        ({"counts": np.ones((10, 10))}, "1 dimension"),
        ({"counts": np.zeros(1000)}, "below the limit of 100"),
        ({"counts": np.ones(2000)}, "more than one period"),
        ({"irf_fwhm_ps": None}, "either irf_fwhm_ps"),
        ({"irf_fwhm_ps": None, "irf": np.ones(7)}, "irf has 7 bins"),
        ({"binwidth_ps": 0}, "binwidth_ps"),
        ({"components": 3}, "choose 1, 2"),
        ({"fit_bins": (900, 100)}, "fit_bins"),
    ],
)
def test_refusals(arguments, message):
    good = {"counts": np.ones(1000), "binwidth_ps": 50, "period_ns": 50, "irf_fwhm_ps": 200}
    with pytest.raises(AnalysisError, match=message):
        fit_decay(**(good | arguments))
