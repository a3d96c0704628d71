"""The laser device on the driver and the virtual Sepia II: states, ways out, documents."""

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import pytest
from bluesky import RunEngine
from event_model import DocumentNames, schema_validators

from cryopl_bluesky.devices.laser import Laser
from cryopl_bluesky.drivers.errors import InstrumentError, LimitError, NotConnectedError
from cryopl_bluesky.drivers.manual_laser import ManualLaser
from cryopl_bluesky.drivers.sepia2 import Sepia2Laser
from cryopl_bluesky.sim.bench import Bench
from cryopl_bluesky.sim.clock import BenchClock
from cryopl_bluesky.sim.sample import Sample
from cryopl_bluesky.sim.sepia2 import Sepia2Library
from cryopl_bluesky.sim.thermal import ThermalModel

LIMIT_S = 20


@pytest.fixture
def bench():
    return Bench(BenchClock(speed=1000.0), Sample.named("superlattice"), ThermalModel(5.6))


@pytest.fixture
def laser(bench):
    driver = Sepia2Laser(Sepia2Library(bench), bench.clock, power_table=[(2.5e6, 600, 16.0)])
    driver.open()
    laser = Laser(driver, name="laser", clock=bench.clock, wavelength_nm=405.3)
    laser.call(laser.refresh, LIMIT_S)
    yield laser
    bench.faults.clear()
    laser.shutdown()


def apply(quantity, value):
    quantity.set(value).wait(LIMIT_S)


def switch_on(laser):
    apply(laser.repetition_rate_Hz, 2.5e6)
    apply(laser.intensity_permille, 600)
    apply(laser.emission, "on")


def test_starts_with_what_the_hardware_says(laser):
    assert laser.emission.get() == "off" and laser.locked.get() is True
    assert (laser.power_uW.get(), laser.power_known.get()) == (0.0, True)
    assert laser.model.get() == "Sepia II" and laser.wavelength_nm.get() == 405.3


def test_on_and_off(bench, laser):
    switch_on(laser)
    assert bench.laser.mode == "pulsed" and laser.locked.get() is False
    assert (laser.power_uW.get(), laser.power_known.get()) == (16.0, True)
    apply(laser.intensity_permille, 700)
    assert (laser.power_uW.get(), laser.power_known.get()) == (0.0, False)  # outside the table: unknown
    apply(laser.emission, "off")
    assert bench.laser.mode == "off" and laser.locked.get() is True
    assert (laser.power_uW.get(), laser.power_known.get()) == (0.0, True)


def test_a_rate_change_while_on_comes_back(bench, laser):
    switch_on(laser)
    apply(laser.repetition_rate_Hz, 40e6)
    assert (bench.laser.mode, bench.laser.repetition_rate_Hz) == ("pulsed", 40e6)
    assert laser.repetition_rate_Hz.get() == 40e6 and laser.emission.get() == "on"


def test_what_cannot_be_done_is_refused(bench, laser):
    with pytest.raises(LimitError, match="intensity_permille=1001"):
        laser.intensity_permille.set(1001)
    with pytest.raises(LimitError, match="emission='cw'"):
        laser.emission.set("cw")
    with pytest.raises(LimitError, match="cannot be made"):
        laser.check_repetition_rate(1.234e6)
    with pytest.raises(LimitError, match="read-only"):
        laser.locked.set(False)


def test_a_key_that_is_off_fails_the_status(bench, laser):
    bench.set_fault("laser.key_off")
    status = laser.emission.set("on")
    with pytest.raises(InstrumentError, match="key switch"):
        status.wait(LIMIT_S)
    assert bench.laser.mode == "off"


def test_a_key_turned_off_in_mid_run_is_seen_at_the_next_trigger(bench, laser):
    switch_on(laser)
    bench.set_fault("laser.key_off")
    laser.trigger().wait(LIMIT_S)
    assert laser.locked.get() is True and laser.emission.get() == "off" and laser.power_uW.get() == 0.0


def test_make_safe_locks(bench, laser):
    switch_on(laser)
    laser.make_safe()
    assert bench.laser.mode == "off" and laser.emission.get() == "off"


def test_make_safe_after_unplugging_says_that_the_laser_may_be_on(bench, laser, caplog):
    switch_on(laser)
    bench.set_fault("laser.unplugged")
    with pytest.raises(InstrumentError, match="key switch off"):
        laser.make_safe()
    assert laser.locked.get() is False  # nothing is claimed that was not verified
    assert "SCM_SetLaserSoftLock failed" in caplog.text and "SLM_SetIntensityFineStep failed" in caplog.text


def test_a_pause_locks_and_a_resume_comes_back(bench, laser):
    switch_on(laser)
    laser.pause()
    assert bench.laser.mode == "off"
    laser.resume()
    assert bench.laser.mode == "pulsed" and laser.emission.get() == "on"


def test_shutdown_locks_and_disconnects(bench):
    library = Sepia2Library(bench)
    driver = Sepia2Laser(library, bench.clock)
    driver.open()
    laser = Laser(driver, name="laser", clock=bench.clock)
    switch_on(laser)
    laser.shutdown()
    assert bench.laser.mode == "off"
    Sepia2Laser(library, bench.clock).open()  # free for the next one
    with pytest.raises(NotConnectedError):
        driver.switch_on()


def test_documents_are_valid_and_typed(laser):
    documents = []

    def plan():
        yield from bps.mv(laser.repetition_rate_Hz, 2.5e6)
        yield from bps.mv(laser.intensity_permille, 600)
        yield from bps.mv(laser.emission, "on")
        yield from bp.count([laser])
        yield from bps.mv(laser.emission, "off")

    RunEngine()(plan(), lambda name, doc: documents.append((name, doc)))
    for name, doc in documents:
        schema_validators[DocumentNames[name]].validate(doc)
    descriptor = next(doc for name, doc in documents if name == "descriptor")
    event = next(doc for name, doc in documents if name == "event")
    keys = descriptor["data_keys"]
    assert {key: keys[key]["dtype"] for key in ("laser_power_uW", "laser_locked", "laser_emission")} == {
        "laser_power_uW": "number", "laser_locked": "boolean", "laser_emission": "string"}
    assert event["data"]["laser_emission"] == "on" and event["data"]["laser_power_uW"] == 16.0
    assert descriptor["configuration"]["laser"]["data"]["laser_wavelength_nm"] == 405.3


class Willing:
    answers = ()

    def ask(self, instrument, question, choices):
        return choices[0]


def test_the_manual_laser_has_the_same_quantities(bench):
    driver = ManualLaser(Willing(), power_table=[(2.5e6, 600, 16.0)])
    driver.open()
    laser = Laser(driver, name="laser", clock=bench.clock)
    laser.call(laser.refresh, LIMIT_S)
    assert laser.emission.get() == "off"
    switch_on(laser)
    assert laser.emission.get() == "on" and laser.power_uW.get() == 16.0
    with pytest.raises(InstrumentError, match="may be ON"):
        laser.make_safe()
    assert laser.emission.get() == "on"
    apply(laser.emission, "off")
    laser.make_safe()
    laser.shutdown()
