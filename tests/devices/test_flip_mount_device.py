"""A flip mount as a device, motorised and turned by hand."""

import bluesky.plan_stubs as bps
import pytest
from bluesky import RunEngine

from cryopl_bluesky.devices.flip_mount import FlipMount
from cryopl_bluesky.drivers.errors import InstrumentError, LimitError
from cryopl_bluesky.drivers.flip_mount import ManualFlipMount, MotorFlipMount
from cryopl_bluesky.sim.bench import Bench
from cryopl_bluesky.sim.clock import BenchClock
from cryopl_bluesky.sim.flip_mount import MffBackend
from cryopl_bluesky.sim.sample import Sample
from cryopl_bluesky.sim.thermal import ThermalModel

LIMIT_S = 20
pytestmark = pytest.mark.filterwarnings("ignore:could not cycle RTS")


@pytest.fixture
def bench():
    return Bench(BenchClock(speed=1000.0), Sample.named("superlattice"), ThermalModel(5.6))


@pytest.fixture
def flip(bench):
    driver = MotorFlipMount(MffBackend(bench, "l1"), bench.clock, name="l1_flip")
    driver.open()
    flip = FlipMount(driver, name="l1_flip", clock=bench.clock)
    flip.call(flip.refresh, LIMIT_S)
    yield flip
    flip.shutdown()


def test_a_plan_moves_it(bench, flip):
    assert flip.lens.get() == "in" and flip.attended.get() is False
    RunEngine()(bps.mv(flip.lens, "out"))
    assert flip.lens.get() == "out" and not bench.optics.l1_in
    assert flip.read()["l1_flip_lens"]["value"] == "out"


def test_a_jam_fails_the_status(bench, flip):
    bench.set_fault("l1.jammed")
    with pytest.raises(InstrumentError, match=r"l1_flip: .*neither end"):
        flip.lens.set("out").wait(LIMIT_S)


def test_other_positions_do_not_exist(flip):
    with pytest.raises(LimitError, match="'in', 'out'"):
        flip.lens.set("half")


def test_by_hand_it_is_the_same_device(bench):
    class Willing:
        answers = ()

        def ask(self, instrument, question, choices):
            return choices[0]

    flip = FlipMount(ManualFlipMount(Willing(), name="l5_flip"), name="l5_flip", clock=bench.clock)
    flip.lens.set("out").wait(LIMIT_S)
    assert flip.lens.get() == "out" and flip.attended.get() is True
    flip.shutdown()
