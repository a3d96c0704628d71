"""The virtual MFF under pylablib's unmodified class."""

import warnings

import pytest
from pylablib.devices.Thorlabs import MFF, ThorlabsError
from sim_bench import make_bench

from cryopl_bluesky.sim.flip_mount import MffBackend


@pytest.fixture
def bench():
    return make_bench()


@pytest.fixture
def mff(bench):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        mount = MFF(MffBackend(bench, "l5", serial=37000005, transit_ms=300))
    yield mount
    mount.close()


def test_identity(mff):
    info = mff.get_device_info()
    assert (info.serial_no, info.model_no, info.nchannels) == (37000005, "MFF101", 1)


def test_move_returns_at_once_and_light_is_cut_meanwhile(bench, mff):
    assert mff.get_state() == 0 and not bench.optics.l5_in
    mff.move_to_state(1)
    assert mff.get_state() is None and "l5" in bench.optics.moving
    mff.wait_for_status("hw_fw_lim", True, timeout=5)
    assert mff.get_state() == 1 and bench.optics.l5_in and bench.optics.moving == set()


def test_listeners_hear_departure_and_arrival(bench, mff):
    heard = []
    bench.on_change(lambda: heard.append(("l5" in bench.optics.moving, bench.optics.l5_in)))
    mff.move_to_state(1)
    mff.wait_for_status("hw_fw_lim", True, timeout=5)
    bench.clock.sleep(0.05)
    assert heard == [(True, False), (False, True)]


def test_parameters_go_round(mff):
    parameters = mff.setup_flipper(transit_time=1.0)
    assert parameters.transit_time == 1.0
    assert parameters.io1_oper_mode == "in_toggle"
    assert mff.get_full_info()  # every variable that pylablib knows can be read


def test_a_jammed_mount_reports_neither_end(bench, mff):
    bench.set_fault("l5.jammed")
    mff.move_to_state(1)
    bench.clock.sleep(0.5)
    with pytest.raises(ThorlabsError, match="position"):
        mff.get_state()


def test_an_unplugged_mount_does_not_answer(bench, mff):
    bench.set_fault("l5.unplugged")
    with pytest.raises(Exception, match="not found"):
        mff.get_state()
