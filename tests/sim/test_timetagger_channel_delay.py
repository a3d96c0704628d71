"""The delay of the virtual cables, found again from the photons that went through them."""

import numpy as np
import pytest
from tagger_bench import PERIOD_PS, HbtParameters, Light, make_bench, make_tagger, run_for

from cryopl_bluesky.analysis.channel_delay import channel_delay


@pytest.mark.parametrize(("lifetime_ns", "cable2_ps", "binwidth_ps"), [(4.0, 1_700, 100), (0.3, -900, 25)])
def test_the_longer_cable_comes_back_within_its_error(lifetime_ns, cable2_ps, binwidth_ps):
    pulls = []
    for seed in range(24):
        bench = make_bench()
        bench.seed = seed
        module, tagger, _ = make_tagger(
            Light(lifetimes_ns=(lifetime_ns,), background_Hz=500.0), bench, HbtParameters(cable2_ps=cable2_ps)
        )
        group = module.SynchronizedMeasurements(tagger)
        pairs = module.Correlation(group.getTagger(), -2, -1, binwidth_ps, 2 * round(3.5 * PERIOD_PS / binwidth_ps) + 1)
        counts = module.Countrate(group.getTagger(), [-1, -2])
        run_for(group, 5.0)
        first, second = counts.getCountsTotal()
        found = channel_delay(pairs.getData(), binwidth_ps, PERIOD_PS / 1e3, (first, second))
        pulls.append((found.delay_ps - cable2_ps) / found.sigma_ps)
    assert abs(np.mean(pulls)) < 3 / np.sqrt(24)
    assert 0.6 < np.std(pulls) < 1.4
