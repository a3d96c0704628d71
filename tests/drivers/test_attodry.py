"""The driver against the controller's wire: real sockets, every quirk of sections 2, 3 and 10."""

import json
import socket
import time

import pytest

from cryopl_bluesky.drivers.attodry import AttoDry, NotAppliedError
from cryopl_bluesky.drivers.errors import (
    InstrumentError,
    InstrumentTimeoutError,
    LimitError,
    NotConnectedError,
)
from cryopl_bluesky.drivers.jsonrpc import LinkError, MethodMissingError
from cryopl_bluesky.sim.attodry import AttoDryServer
from cryopl_bluesky.sim.bench import Bench
from cryopl_bluesky.sim.clock import BenchClock
from cryopl_bluesky.sim.thermal import ThermalModel


class Rig:
    def __init__(self, speed: float = 500.0):
        self.clock = BenchClock(speed)
        self.thermal = ThermalModel(20.0)
        self.thermal.hold()
        self.bench = Bench(clock=self.clock, sample=None, thermal=self.thermal)  # pyright: ignore[reportArgumentType]
        self.server = AttoDryServer(self.bench)
        self.address = self.server.start()

    def driver(self, **options) -> AttoDry:
        driver = AttoDry(*self.address, self.clock, **options)
        driver.open()
        return driver


@pytest.fixture
def rig():
    rig = Rig()
    yield rig
    rig.server.stop()


@pytest.fixture
def driver(rig):
    with rig.driver() as driver:
        yield driver


def _ask(address, *texts: str) -> list[str]:
    """Send pieces of text, return the raw lines that come back (one per method asked)."""
    with socket.create_connection(address, timeout=5) as connection:
        for text in texts:
            connection.sendall(text.encode())
            time.sleep(0.02)
        wanted = "".join(texts).count('"method"')
        reply = b""
        while reply.count(b"\n") < wanted:
            reply += connection.recv(65536)
    return reply.decode().splitlines(keepends=True)


def _request(method: str, number: int = 1, **more) -> str:
    return json.dumps({"jsonrpc": "2.0", "method": method, "api": 2, "id": number, **more})


# Server: forms on the wire


def test_requests_are_a_stream_not_lines(rig):
    method = "com.attocube.cryostat.interface.sample.getSetPoint"
    text = _request(method, 7) + _request(method, 8, params=[]) + "\n" + _request(method, 9)
    replies = _ask(rig.address, text[:30], text[30:150], text[150:])
    assert [json.loads(line)["id"] for line in replies] == [7, 8, 9]
    assert all(line.endswith("\r\n") for line in replies)
    assert replies[0] == '{"jsonrpc": "2.0", "id": 7, "result": [0, 20]}\r\n'  # whole floats as integers


def test_error_objects(rig):
    prefix = "com.attocube.cryostat.interface."
    missing, bad, sane, refused = (json.loads(_ask(rig.address, request)[0]) for request in (
        _request(prefix + "sample.downloadCalibrationCurve340"),
        _request(prefix + "sample.setSetPoint", params=[]),
        _request(prefix + "system.isCryostatSane"),
        _request(prefix + "sample.setSetPoint", params=[400]),
    ))
    assert missing["error"]["code"] == -32601
    assert bad["error"]["code"] == -32602
    assert sane["result"] == [True, "", 0]
    assert len(refused["result"]) == 1 and refused["result"][0] != 0


def test_readings_change_once_a_second_and_are_quantised(rig, driver):
    values = [driver.temperature_K() for _ in range(40)]
    assert len(set(values)) < 20
    assert all(round(value, 4) == value for value in values)
    assert values[-1] == pytest.approx(20.0, abs=0.01)


def test_open_loop_and_base(rig, driver):
    driver.write("sample.stopTempControl")
    driver.write("sample.setHeaterPower", 0.2)
    assert driver.heater_W() == 0
    driver.write("sample.startHeaterOpenLoopPower")
    rig.clock.sleep(1.0)
    assert driver.heater_W() == pytest.approx(0.2, rel=0.01)
    assert not driver.controlling()
    driver.write("action.goToBase")
    rig.clock.sleep(300)
    assert driver.read("action.getCurrentCommand") == ["idle"]
    assert driver.cold_plate_K() < 5
    assert driver.read("tboard.getTemperature", 0)[0] == pytest.approx(driver.cold_plate_K(), abs=0.1)


# Driver


def test_snapshot_and_identity(driver):
    sample = driver.snapshot()
    assert sample.temperature_K == pytest.approx(20.0, abs=0.05)
    assert isinstance(sample.setpoint_K, float) and sample.setpoint_K == 20.0
    assert sample.controlling and sample.sane and not sample.ramping
    assert sample.error_number == 0
    assert sample.max_power_W == pytest.approx(4.992)
    assert sample.resistance_ohm == pytest.approx(909.5, rel=0.01)
    assert driver.snapshot().time_s > sample.time_s
    assert driver.identity()["device"] == "attodry800"
    assert driver.last_error().number == 0


def test_set_and_read_back(rig, driver):
    driver.set_setpoint(25.0)
    assert (driver.setpoint_K(), driver.controlling()) == (25.0, True)
    driver.stop_control()
    assert not driver.controlling()
    driver.set_setpoint(30.0)
    assert rig.thermal.sample_loop.mode == "closed"


@pytest.mark.parametrize(("value", "text"), [
    (400.0, "setpoint_K=400 is above the maximum of 325 K"), (-1.0, "below the minimum"),
    (float("nan"), "nan"),
])
def test_limits(driver, value, text):
    with pytest.raises(LimitError, match=text):
        driver.set_setpoint(value)
    assert driver.setpoint_K() == 20.0


def test_setpoint_ignored_once_is_written_again(rig, driver):
    rig.bench.faults["cryostat.setpoint_ignored"] = 1
    driver.set_setpoint(25.0)
    assert driver.setpoint_K() == 25.0


def test_setpoint_ignored_twice_is_not_applied(rig, driver):
    rig.bench.faults["cryostat.setpoint_ignored"] = 2
    with pytest.raises(NotAppliedError, match=r"setpoint_K=25 was written twice.*20 K"):
        driver.set_setpoint(25.0)


def test_device_error_has_number_and_text(rig, driver):
    rig.bench.faults["cryostat.locked"] = 1
    with pytest.raises(InstrumentError, match="error 1002: device is locked") as caught:
        driver.set_setpoint(25.0)
    assert caught.value.code == 1002


def test_sanity_has_its_error_number_last(rig, driver):
    assert driver.is_sane()
    rig.bench.faults["cryostat.insane"] = 77
    assert driver.sanity() == (False, "", 77)


def test_missing_methods_are_remembered(rig, driver):
    with pytest.raises(MethodMissingError):
        driver.read("sample.downloadCalibrationCurve340")
    rig.bench.faults["cryostat.method_missing"] = 1
    sample = driver.snapshot(everything=True)
    assert sample.resistance_ohm is None and sample.sane is None and sample.max_power_W is None
    assert driver.unsupported == {"resistance_ohm", "sanity", "max_power_W", "ramping"}
    driver.set_setpoint(25.0)


@pytest.mark.parametrize("fault", ["cryostat.reset", "cryostat.half_line", "cryostat.garbage"])
def test_a_read_survives_a_link_that_breaks_twice(rig, driver, fault):
    rig.bench.faults[fault] = 2
    assert driver.setpoint_K() == 20.0
    rig.bench.faults[fault] = 3
    with pytest.raises(LinkError):
        driver.setpoint_K()
    assert driver.setpoint_K() == 20.0


def test_a_write_is_not_repeated_but_read_back(rig, driver):
    rig.bench.faults["cryostat.reset"] = 1
    driver.set_setpoint(25.0)
    assert driver.setpoint_K() == 25.0
    rig.bench.faults["cryostat.reset"] = 1
    with pytest.raises(LinkError):
        driver.write("sample.setSetPoint", 30.0)
    assert driver.setpoint_K() == 25.0


def test_late_reply_does_not_answer_the_next_question():
    rig = Rig(speed=20.0)
    try:
        with rig.driver(timeout_s=0.3) as driver:
            rig.bench.faults["cryostat.stall"] = 20.0  # 1 s of real time
            with pytest.raises(InstrumentTimeoutError):
                driver.write("sample.setHeaterPower", 0.1)
            assert driver.read("system.getDeviceType") == ["attodry800"]
            time.sleep(0.3)
            for _ in range(5):
                assert driver.setpoint_K() == 20.0
                assert driver.read("system.getDeviceType") == ["attodry800"]
            rig.bench.faults["cryostat.stall"] = 10.0  # longer than the time limit of a read: repeated once
            assert driver.setpoint_K() == 20.0
    finally:
        rig.server.stop()


def test_two_clients(rig, driver):
    with rig.driver() as other:
        other.set_setpoint(22.0)
    assert driver.setpoint_K() == 22.0


def test_open_thermometer(rig, driver):
    rig.bench.faults["cryostat.sensor_open"] = 9999.0
    with pytest.raises(InstrumentError, match="9999 K, which cannot be"):
        driver.temperature_K()
    rig.bench.faults["cryostat.sensor_open"] = float("nan")
    with pytest.raises(InstrumentError, match="instead of a number"):
        driver.temperature_K()


def test_ramp(rig, driver):
    assert driver.set_ramp(2.0) == 2.0
    with pytest.raises(LimitError, match="ramp_K_min=200"):
        driver.set_ramp(200.0)
    rig.server.controller.setpoint_follows_ramp = True
    driver.set_setpoint(25.0)
    assert driver.setpoint_K() < 21.0
    assert driver.set_ramp(0.0) == 0.0
    rig.clock.sleep(1.0)
    assert driver.setpoint_K() == 25.0


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    driver = AttoDry("127.0.0.1", port, BenchClock(1.0), timeout_s=0.5)
    for _ in range(2):
        with pytest.raises(NotConnectedError, match=f"127.0.0.1:{port}"):
            driver.open()
    with pytest.raises(NotConnectedError, match="next attempt is due"):
        driver.open()


def test_faults_of_the_cryostat(rig, driver):
    plate_K = driver.cold_plate_K()
    rig.bench.faults["cryostat.compressor_trip"] = 1
    driver.temperature_K()
    rig.clock.sleep(120)
    assert driver.cold_plate_K() == pytest.approx(plate_K + 2.0, abs=0.3)
    assert not driver.is_sane()
    rig.bench.faults.clear()
    rig.bench.faults["cryostat.control_drops"] = 1
    assert not driver.controlling()
    rig.bench.faults["cryostat.frozen"] = 1
    assert driver.temperature_K() == (rig.clock.sleep(30), driver.temperature_K())[1]
