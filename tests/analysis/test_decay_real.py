"""Decays of the supplied files; expected numbers from data/README.md, sections 2.1 and 2.3."""

from pathlib import Path

import numpy as np
import ptufile
import pytest
from test_decay_fits import lifefit

from cryopl_bluesky.analysis.lifetimes import fit_decay

DATA = Path(__file__).parents[1] / "data"


def test_atto550_by_the_convention_of_its_authors():
    """Unweighted least squares over all bins: lifefit gives 1.006 and 3.887 ns, shares 0.292 and 0.708, 3.609 ns."""
    counts, response = lifefit("Atto550_DNA.txt"), lifefit("irf.txt")
    fit = fit_decay(
        counts, 27.43484, None, irf=response, components=2, fit_bins=(201, 3895), weighting="unweighted"
    )
    assert fit.tau_int_ns == pytest.approx(3.61, rel=0.003)
    assert fit.lifetimes_ns == pytest.approx((1.006, 3.887), rel=0.01)
    assert fit.amplitudes == pytest.approx((0.292, 0.708), abs=0.01)
    assert "unweighted least squares" in fit.method


def test_atto550_by_the_likelihood():
    counts, response = lifefit("Atto550_DNA.txt"), lifefit("irf.txt")
    arguments = {"irf": response, "fit_bins": (865, 3214)}
    two = fit_decay(counts, 27.43484, None, components=2, **arguments)
    assert two.tau_int_ns == pytest.approx(3.694, rel=0.005)
    assert two.tau_amp_ns == pytest.approx(3.164, rel=0.005)
    assert two.reduced_pearson_chi2 == pytest.approx(1.28, abs=0.01)
    # 4.07 channels from the start of the bins; from where the response was recorded half a bin less
    assert two.shift_ns / 0.02743484 == pytest.approx(4.07 - 0.5, abs=0.03)
    one = fit_decay(counts, 27.43484, None, components=1, **arguments)
    assert one.reduced_pearson_chi2 == pytest.approx(5.0, abs=0.1)
    assert not one.good and one.durbin_watson < 0.6 < 1.5 < two.durbin_watson
    assert fit_decay(counts, 27.43484, None, components="bic", **arguments).components == 2


@pytest.mark.parametrize(
    ("first_bin", "average_ns", "components_ns"), [(34, 32.0, (6.9, 35.6)), (39, 32.4, (8.5, 36.3))]
)
def test_tail_of_the_single_emitter(first_bin, average_ns, components_ns):
    with ptufile.PtuFile(DATA / "picoquant" / "hydraharp_v10_t3.ptu") as ptu:
        records = ptu.decode_records()
    counts = np.bincount(records["dtime"][records["channel"] >= 0], minlength=3125)
    assert (counts.size, counts.argmax(), counts.max()) == (3125, 31, 549)
    fit = fit_decay(counts, 128.0, 400.0, components=2, method="tail", fit_bins=(first_bin, 3125))
    assert fit.tau_int_ns == pytest.approx(average_ns, rel=0.03)
    assert fit.lifetimes_ns == pytest.approx(components_ns, abs=1.0)
