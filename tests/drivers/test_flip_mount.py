"""Flip mounts: the driver over pylablib's unmodified MFF, and the one an operator turns."""

import warnings

import pytest
from laser_bench import make_bench

from cryopl_bluesky.drivers.errors import InstrumentError, InstrumentTimeoutError, NotConnectedError
from cryopl_bluesky.drivers.flip_mount import ManualFlipMount, MotorFlipMount
from cryopl_bluesky.sim.flip_mount import MffBackend


@pytest.fixture
def bench():
    return make_bench()


@pytest.fixture
def mount(bench):
    driver = MotorFlipMount(MffBackend(bench, "l1"), bench.clock, name="l1_flip")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        driver.open()
    yield driver
    driver.close()


def test_moves_and_waits_for_arrival(bench, mount):
    assert mount.position() == "in" and bench.optics.l1_in
    start_s = bench.clock.monotonic()
    assert mount.move("out") == "out"
    assert bench.clock.monotonic() - start_s >= 0.5
    assert mount.position() == "out" and not bench.optics.l1_in and bench.optics.moving == set()
    assert mount.move("in") == "in"
    assert bench.optics.l1_in


def test_which_state_is_in_the_beam_can_be_configured(bench):
    driver = MotorFlipMount(MffBackend(bench, "l5"), bench.clock, name="l5_flip", in_state=0)
    with pytest.warns(UserWarning, match="RTS"):
        driver.open()
    assert not bench.optics.l5_in and driver.position() == "in"
    driver.move("out")
    assert bench.optics.l5_in  # state 1 of the mount
    driver.close()


@pytest.mark.parametrize(("fault", "error", "text"), [
    ("l1.jammed", InstrumentError, "neither end.*free it"),
    ("l1.stuck", InstrumentError, "stays at the other end.*nothing was exposed"),
    ("l1.slow", InstrumentTimeoutError, "still moving after 6 s"),
    ("l1.unplugged", NotConnectedError, "does not answer.*USB"),
])
def test_a_mount_that_does_not_arrive_is_an_error(bench, mount, fault, error, text):
    bench.set_fault(fault)
    with pytest.raises(error, match=text) as caught:
        mount.move("out")
    assert caught.value.instrument == "l1_flip"


def test_a_jammed_mount_has_no_position_and_recovers(bench, mount):
    bench.set_fault("l1.jammed")
    with pytest.raises(InstrumentError):
        mount.move("out")
    with pytest.raises(InstrumentError, match="neither end"):
        mount.position()
    assert "l1" in bench.optics.moving  # light is still cut
    bench.clear_fault("l1.jammed")
    assert mount.move("out") == "out"


def test_a_moving_mount_is_waited_for(bench, mount):
    with bench.moment():
        mount._mount.move_to_state(0)
        assert mount._mount.get_state() is None
    assert mount.position() == "out"


def test_wrong_serial_number_names_the_remedy(bench):
    with pytest.raises(NotConnectedError, match=r"37999999.*serial number in the profile"):
        MotorFlipMount("37999999", bench.clock, name="l1_flip").open()


def test_using_it_unopened_or_closed_is_an_error(bench, mount):
    with pytest.raises(NotConnectedError):
        MotorFlipMount(MffBackend(bench, "l1"), bench.clock, name="l1_flip").position()
    mount.close()
    with pytest.raises(NotConnectedError):
        mount.move("in")


class Scripted:
    answers = ()

    def __init__(self, *script):
        self.script, self.questions = list(script), []

    def ask(self, instrument, question, choices):
        self.questions.append((instrument, question))
        assert self.script[0] in choices
        return self.script.pop(0)


def test_the_operator_says_where_the_lens_is_and_moves_it():
    operator = Scripted("out", "done")
    mount = ManualFlipMount(operator, name="l1_flip")
    mount.open()
    assert mount.position() == mount.position() == "out"
    assert mount.move("in") == mount.position() == "in"
    assert operator.questions == [
        ("l1_flip", "Where is the lens of l1_flip?"),
        ("l1_flip", "Please flip the lens of l1_flip INTO the beam"),
    ]


def test_after_an_impossible_move_the_position_is_asked_for_again():
    mount = ManualFlipMount(Scripted("in", "not possible", "in"), name="l1_flip")
    assert mount.position() == "in"
    with pytest.raises(InstrumentError, match="could not set it to 'out'"):
        mount.move("out")
    assert mount.position() == "in"
