"""The cryostat device on the whole chain: thermal model, controller on a real socket, driver, settle rule."""

import time

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.protocols import Locatable, Movable, Readable, Stoppable, Triggerable
from event_model import DocumentNames, schema_validators

from cryopl_bluesky.devices.cryostat import Cryostat
from cryopl_bluesky.devices.settle_rule import SettleError
from cryopl_bluesky.drivers.attodry import AttoDry
from cryopl_bluesky.drivers.errors import InstrumentError, LimitError
from cryopl_bluesky.sim.attodry import AttoDryServer
from cryopl_bluesky.sim.bench import Bench
from cryopl_bluesky.sim.clock import BenchClock
from cryopl_bluesky.sim.thermal import ThermalModel


class Rig:
    def __init__(self, start_K: float, speed: float = 2000.0, **driver_options):
        self.clock = BenchClock(speed)
        self.thermal = ThermalModel(start_K)
        self.thermal.hold()
        self.bench = Bench(clock=self.clock, sample=None, thermal=self.thermal)  # pyright: ignore[reportArgumentType]
        self.server = AttoDryServer(self.bench)
        self.address = self.server.start()
        self.driver = AttoDry(*self.address, self.clock, **driver_options)
        self.driver.open()
        self.cryostat = Cryostat(self.driver, name="cryostat", clock=self.clock)
        self.cryostat.refresh()

    def close(self):
        self.cryostat.shutdown()
        self.server.stop()


@pytest.fixture
def make_rig():
    rigs = []

    def make(*args, **kwargs) -> Rig:
        rigs.append(Rig(*args, **kwargs))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()


def _values(readings: dict) -> dict:
    return {key.removeprefix("cryostat_"): reading["value"] for key, reading in readings.items()}


def _until(condition, timeout_s: float = 5.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def _reason(status) -> str:
    with pytest.raises(SettleError) as caught:
        status.wait(30)
    return caught.value.reason


@pytest.mark.parametrize(("start_K", "setpoint_K"), [(9.0, 10.0), (79.0, 80.0)])
def test_settles(make_rig, start_K, setpoint_K):
    rig = make_rig(start_K)
    cryostat = rig.cryostat
    cryostat.set(setpoint_K).wait(30)
    settled = _values(cryostat.read_configuration())
    assert settled["settle_reason"] == "settled"
    assert settled["settle_mean_K"] == pytest.approx(setpoint_K, abs=settled["settle_tolerance_K"])
    assert settled["settle_time_to_settle_s"] >= 2 * settled["settle_window_s"]
    assert rig.thermal.sample_K == pytest.approx(setpoint_K, abs=settled["settle_tolerance_K"])

    cryostat.trigger()
    rig.clock.sleep(30.0)
    values = _values(cryostat.read())
    assert values["temperature_K"] == pytest.approx(setpoint_K, abs=0.01)
    assert values["temperature_samples"] >= 8
    assert 15 < values["temperature_window_s"] <= 31
    assert 0 < values["temperature_std_K"] < 3e-3
    assert values["in_band"] is True
    assert values["setpoint_K"] == setpoint_K
    assert values["heater_W"] > 0
    assert cryostat.locate()["setpoint"] == setpoint_K


def test_protocols_keys_and_documents(make_rig):
    cryostat = make_rig(10.0).cryostat
    for protocol in (Movable, Readable, Stoppable, Triggerable, Locatable):
        assert isinstance(cryostat, protocol)
    assert cryostat.hints == {"fields": ["cryostat_temperature_K"]}
    key = cryostat.describe()["cryostat_temperature_K"]
    assert (key["units"], key["dtype"], key["dtype_numpy"]) == ("K", "number", "<f8")
    documents = []

    def plan():
        yield from bps.mv(cryostat, 10.5)
        yield from bp.count([cryostat], num=2)

    engine = RunEngine({})
    engine(plan(), lambda name, document: documents.append((name, document)))
    for name, document in documents:
        schema_validators[DocumentNames[name]].validate(document)
    events = [document for name, document in documents if name == "event"]
    assert len(events) == 2
    descriptor = next(document for name, document in documents if name == "descriptor")
    assert descriptor["configuration"]["cryostat"]["data"]["cryostat_settle_reason"] == "settled"
    assert set(events[0]["data"]) == {f"cryostat_{name}" for name in (
        "temperature_K", "temperature_std_K", "temperature_drift_K_min", "temperature_samples",
        "temperature_window_s", "in_band", "heater_W", "cold_plate_K", "setpoint_K")}


def test_short_exposure_gets_three_samples_and_costs_no_poll(make_rig):
    rig = make_rig(10.0)
    rig.cryostat.trigger()
    values = _values(rig.cryostat.read())
    assert values["temperature_samples"] == 3
    assert 2.0 < values["temperature_window_s"] < 10.0
    assert np.isfinite(values["temperature_drift_K_min"])


def test_limits_are_refused_before_anything_is_sent(make_rig):
    rig = make_rig(10.0)
    with pytest.raises(LimitError, match="setpoint_K=400 is above the maximum of 325 K"):
        rig.cryostat.set(400)
    assert rig.thermal.sample_loop.setpoint_K == 10.0


def test_below_base(make_rig):
    rig = make_rig(7.0)
    status = rig.cryostat.set(5.0)
    assert _reason(status) == "below_base"
    assert rig.cryostat.settle_reason.get() == "below_base"
    assert rig.thermal.sample_loop.mode == "closed"


def test_foreign_change(make_rig):
    rig = make_rig(10.0)
    status = rig.cryostat.set(20.0)
    _until(lambda: rig.thermal.sample_loop.setpoint_K == 20.0)
    rig.clock.sleep(30.0)
    with AttoDry(*rig.address, rig.clock) as other:
        other.write("sample.setSetPoint", 33.0)
    assert _reason(status) == "foreign_change"
    assert rig.thermal.sample_loop.setpoint_K == 33.0


@pytest.mark.parametrize(
    ("fault", "parameter", "reason"),
    [("cryostat.frozen", 1, "stale"), ("cryostat.control_drops", 1, "foreign_change"),
     ("cryostat.insane", 0, "insane"),
     ("cryostat.compressor_trip", 1, "device_error"), ("cryostat.reset", 1e9, "stale")],
)
def test_faults_while_settling(make_rig, fault, parameter, reason):
    rig = make_rig(10.0)
    status = rig.cryostat.set(20.0)
    _until(lambda: rig.thermal.sample_loop.setpoint_K == 20.0)
    rig.clock.sleep(20.0)
    rig.bench.faults[fault] = parameter
    assert _reason(status) == reason


def test_plate_runaway(make_rig):
    rig = make_rig(60.0)
    rig.bench.faults["cryostat.plate_runaway"] = -0.3  # the plate warms by 0.3 K/min
    assert _reason(rig.cryostat.set(60.0)) == "plate_runaway"
    assert rig.thermal.sample_K == pytest.approx(60.0, abs=0.2)


def test_not_applied(make_rig):
    rig = make_rig(10.0)
    rig.bench.faults["cryostat.setpoint_ignored"] = 2
    assert _reason(rig.cryostat.set(20.0)) == "not_applied"


def test_stop_leaves_control_running(make_rig):
    rig = make_rig(10.0)
    status = rig.cryostat.set(20.0)
    _until(lambda: rig.thermal.sample_loop.setpoint_K == 20.0)
    rig.cryostat.stop()
    assert _reason(status) == "stopped"
    assert (rig.thermal.sample_loop.mode, rig.thermal.sample_loop.setpoint_K) == ("closed", 20.0)
    rig.cryostat.stop()  # nothing under way: nothing happens


def test_a_new_setpoint_replaces_the_old_one(make_rig):
    rig = make_rig(10.0)
    first = rig.cryostat.set(300.0)
    _until(lambda: rig.thermal.sample_loop.setpoint_K == 300.0)
    second = rig.cryostat.set(12.0)
    assert _reason(first) == "stopped"
    second.wait(30)
    assert rig.thermal.sample_K == pytest.approx(12.0, abs=0.01)


def test_ramp_left_on_by_others_is_switched_off(make_rig):
    rig = make_rig(10.0)
    with AttoDry(*rig.address, rig.clock) as other:
        other.set_ramp(0.1)
    rig.cryostat.set(11.0).wait(30)
    assert not rig.thermal.sample_loop.ramp_on


def test_own_ramp(make_rig):
    rig = make_rig(10.0)
    rig.cryostat.ramp_K_min.set(2.0).wait(10)
    rig.cryostat.set(16.0).wait(30)
    assert rig.cryostat.settle_time_to_settle_s.get() > 180 + 60


def test_stall_and_late_reply_do_not_desynchronise(make_rig):
    rig = make_rig(10.0, speed=50.0, timeout_s=0.2)
    status = rig.cryostat.set(11.0)
    _until(lambda: rig.thermal.sample_loop.setpoint_K == 11.0)
    rig.bench.faults["cryostat.stall"] = 12.0  # 0.24 s of real time
    time.sleep(0.6)
    assert not status.done or status.exception() is None
    assert rig.driver.setpoint_K() == 11.0
    assert rig.driver.read("system.getDeviceType") == ["attodry800"]
    assert 9.0 < rig.driver.temperature_K() < 12.0


def test_stale_log_is_an_error_not_a_number(make_rig):
    rig = make_rig(10.0)
    rig.cryostat.trigger()
    rig.bench.faults["cryostat.reset"] = 1e9
    rig.clock.sleep(40.0)
    with pytest.raises(InstrumentError, match=r"stale: the last temperature reading is \d+ s old"):
        rig.cryostat.read()
    rig.bench.faults.clear()

    def recovered() -> bool:
        try:
            return bool(rig.cryostat.read())
        except InstrumentError:
            return False

    _until(recovered, 15.0)


def test_leaving_the_band_is_marked(make_rig):
    rig = make_rig(10.0)
    rig.cryostat.trigger()
    rig.thermal.sample_loop.stop()
    rig.clock.sleep(20.0)
    assert _values(rig.cryostat.read())["in_band"] is False
