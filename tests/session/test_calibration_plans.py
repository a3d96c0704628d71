"""What the calibration plans refuse, and what a dry run says of them; nothing moves."""

import pytest

from cryopl_bluesky import plans
from cryopl_bluesky.config import load_profile
from cryopl_bluesky.devices.settle_estimate import SettleEstimate
from cryopl_bluesky.drivers.errors import LimitError
from cryopl_bluesky.plans.estimate import estimate_series
from cryopl_bluesky.plans.steps import series_steps
from cryopl_bluesky.session.rehearsal import rehearsal_instruments


def test_what_cannot_be_measured_is_refused_before_anything_moves():
    with rehearsal_instruments(load_profile("sim")) as ins:
        with pytest.raises(LimitError, match=r"the slit shows 6\.0 um of the sample, the spot is about 16\.5 um wide"):
            plans.spot(ins)
        with pytest.raises(LimitError, match=r"lines_nm=\[404\.66\] are blocked by the long pass"):
            plans.wavelength_lines(ins, lines_nm=[404.66, 546.07])
        with pytest.raises(LimitError, match="1 readings_uW for 2 intensities_permille"):
            plans.laser_power(ins, [400.0, 500.0], readings_uW=[1.0])
        with pytest.raises(LimitError, match=r"centre_wavelength_nm=405 is outside 425\.\."):
            plans.decay(ins, wavelength_nm=405.0)

        night = estimate_series(ins, series_steps(ins, [300.0], [
            {"plan": "irf", "duration_s": 30.0}, {"plan": "decay"},
            {"plan": "wavelength_lines", "lines_nm": [546.0735], "exposure_s": 1.0},
            {"plan": "laser_power", "intensities_permille": [400.0, 500.0]},
        ]), SettleEstimate(ins.cryostat.settle_rules, []), 300.0, 300.0, 1e4)
        irf, decay, lines, power = night
        assert irf.moves_s > 60.0 and decay.moves_s > 60.0  # the filter goes out, and in again
        assert lines.lit_s == 0.0 and lines.moves_s > 60.0
        assert power.exposure_s == 60.0 and irf.exposure_s == pytest.approx(32.0)
