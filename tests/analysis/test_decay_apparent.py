import numpy as np
import pytest

from cryopl_bluesky.analysis import AnalysisError, FitError
from cryopl_bluesky.analysis.apparent_lifetime import apparent_lifetime_ns, fit_apparent_lifetime
from cryopl_bluesky.analysis.units import nm_to_eV

LAW = (0.8, 2.355, 0.020)
ENERGY_EV = np.linspace(2.30, 2.42, 41)


def test_order_of_the_lifetimes():
    """facts: 0.21, 0.42, 0.55 ns at 522, 527, 530 nm."""
    tau_ns = apparent_lifetime_ns([nm_to_eV(nm) for nm in (522.0, 527.0, 530.0)], *LAW)
    assert tau_ns == pytest.approx([0.21, 0.42, 0.55], abs=0.005)


def test_pulls():
    rng = np.random.default_rng(31)
    truth = apparent_lifetime_ns(ENERGY_EV, *LAW)
    pulls, reduced = [], []
    for _ in range(200):
        error = 0.02 * truth + 0.002
        values = rng.normal(truth, error)
        values[:3] = np.nan  # rows that a map refused
        law = fit_apparent_lifetime(ENERGY_EV, values, error)
        pulls.append(
            [
                (law.tau_r_ns - LAW[0]) / law.tau_r_err_ns,
                (law.E_m_eV - LAW[1]) / law.E_m_err_eV,
                (law.E_0_eV - LAW[2]) / law.E_0_err_eV,
            ]
        )
        reduced.append(law.reduced_chi2)
        assert law.rows == 38
    np.testing.assert_allclose(np.mean(pulls, axis=0), 0.0, atol=0.15)
    np.testing.assert_allclose(np.std(pulls, axis=0), 1.0, atol=0.15)
    assert np.mean(reduced) == pytest.approx(1.0, abs=0.1)


def test_what_the_rows_do_not_support():
    truth = apparent_lifetime_ns(ENERGY_EV, *LAW)
    with pytest.raises(AnalysisError, match="Only 4 rows"):
        fit_apparent_lifetime(ENERGY_EV[:4], truth[:4], 0.01 * truth[:4])
    with pytest.raises(AnalysisError, match="above zero"):
        fit_apparent_lifetime(ENERGY_EV, truth, np.zeros(41))
    with pytest.raises(AnalysisError, match="shape"):
        fit_apparent_lifetime(ENERGY_EV, truth[:-1], truth[:-1])
    rng = np.random.default_rng(32)
    with pytest.raises(FitError, match="wider range"):
        fit_apparent_lifetime(ENERGY_EV, rng.normal(1.0, 0.02, 41), np.full(41, 0.02))
    other = fit_apparent_lifetime(ENERGY_EV, truth * (1 + 0.2 * np.sin(200 * ENERGY_EV)), 0.02 * truth)
    assert not other.good and "do not follow" in other.notes[-1]
