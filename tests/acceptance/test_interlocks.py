"""The temperature leaves its band, somebody else takes the cryostat, the clock jumps: what a run does about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from bluesky import plan_stubs as bps
from bluesky.utils import FailedStatus

from cryopl_bluesky import plans
from cryopl_bluesky.drivers.errors import InstrumentError
from cryopl_bluesky.session import Session
from cryopl_bluesky.supervision.interlocks import MAX_SETTLES_PER_RUN, ClockInterlock

from .conftest import Recorder, is_safe

pytestmark = pytest.mark.slow

SETPOINT_K = 20.0


@pytest.fixture(scope="module")
def cold(open_session) -> Session:
    session = open_session(speed=1000.0)
    session.RE(bps.mv(session.instruments.cryostat, SETPOINT_K))
    return session


@pytest.fixture
def documents(cold: Session) -> Recorder:
    cold.RE(bps.mv(cold.instruments.cryostat, SETPOINT_K))
    return Recorder(cold)


def warm(session: Session, by_K: float = 3.0) -> None:
    """A heat load that is over at once."""
    assert session.lab is not None
    bench = session.lab.bench
    with bench.lock:
        bench.thermal._state[0] += by_K


@contextmanager
def at_each_event(session: Session, action: Callable[[int], object]) -> Iterator[None]:
    """Call `action` with the number of each event of the primary stream."""
    primary: list[str] = []

    def note(name, document):
        if name == "descriptor" and document["name"] == "primary":
            primary.append(document["uid"])
        elif name == "event" and document["descriptor"] in primary:
            action(document["seq_num"])

    token = session.RE.subscribe(note)
    try:
        yield
    finally:
        session.RE.unsubscribe(token)


def in_stream(recorder: Recorder, name: str) -> list[dict]:
    uids = {d["uid"] for d in recorder.of("descriptor") if d["name"] == name}
    return [e for e in recorder.of("event") if e["descriptor"] in uids]


def test_a_temperature_that_leaves_its_band_is_settled_again_in_the_dark(cold: Session, documents: Recorder):
    dark: list[bool] = []

    def look(name, document):
        if "interlock_state" in document.get("data", {}):
            dark.append(is_safe(cold))

    looking = cold.RE.subscribe(look, "event")
    with at_each_event(cold, lambda number: warm(cold) if number == 2 else None):
        cold.RE(plans.spectral_image(cold.instruments, exposure_s=5.0, frames=4))
    cold.RE.unsubscribe(looking)
    (stop,) = documents.of("stop")
    assert stop["exit_status"] == "success"
    held, released = in_stream(documents, "interlocks")
    assert (held["data"]["interlock_state"], released["data"]["interlock_state"]) == ("held", "released")
    assert held["data"]["interlock_name_of"] == "temperature" and "outside its band" in held["data"]["interlock_cause"]
    assert dark == [True, True]  # light comes back after the release is on disk
    events = in_stream(documents, "primary")
    assert [e["seq_num"] for e in events] == [1, 2, 3, 4]
    for event in events:  # one may have begun before the temperature log saw it; it says so
        near = event["data"]["cryostat_temperature_K"] == pytest.approx(SETPOINT_K, abs=0.02)
        assert near or not event["data"]["cryostat_in_band"]
    assert sum(event["data"]["cryostat_in_band"] for event in events) >= 3
    assert events[-1]["data"]["cryostat_in_band"]
    brightness = [event["data"]["camera_mean_adu"] for event in events]
    assert max(brightness) - min(brightness) < 0.05 * (min(brightness) - 100)


def test_a_long_acquisition_is_begun_anew_when_the_temperature_is_back(cold: Session, documents: Recorder):
    def disturb(name, document):
        cold.RE.unsubscribe(token)
        warm(cold)

    token = cold.RE.subscribe(disturb, "stream_datum")  # tags arrive: the acquisition is under way
    cold.RE(plans.g2(cold.instruments, duration_s=300.0, wavelengths_nm=[525.0]))
    (stop,) = documents.of("stop")
    assert stop["exit_status"] == "success"
    held, _ = in_stream(documents, "interlocks")
    assert held["data"]["interlock_name_of"] == "temperature"
    (event,) = in_stream(documents, "primary")
    assert event["data"]["hbt_capture_duration_s"] == pytest.approx(300.0, rel=0.01)
    assert event["data"]["hbt_first_tag"] > 0  # what was given up stays in the file, before


def test_a_set_point_that_somebody_else_changed_ends_the_run(cold: Session, documents: Recorder):
    assert cold.lab is not None
    loop = cold.lab.bench.thermal.sample_loop

    def other_program(number: int) -> None:
        loop.setpoint_K = 25.0
        deadline_s = time.monotonic() + 20
        while cold.instruments.cryostat.locate()["setpoint"] != 25.0 and time.monotonic() < deadline_s:
            time.sleep(0.01)  # the temperature log reads it about once a second of bench time

    with at_each_event(cold, lambda number: other_program(number) if number == 2 else None), \
            pytest.raises(Exception, match=r"foreign_change.*25 K instead of 20 K"):
        cold.RE(plans.spectral_image(cold.instruments, exposure_s=5.0, frames=4))
    (stop,) = documents.of("stop")
    assert stop["exit_status"] == "fail" and "foreign_change" in stop["reason"]
    assert stop["num_events"]["primary"] == 2
    assert is_safe(cold)
    assert loop.setpoint_K == 25.0  # nothing was commanded against them


def test_a_temperature_that_never_stays_fails_the_run(cold: Session, documents: Recorder):
    with at_each_event(cold, lambda number: warm(cold)), \
            pytest.raises(Exception, match=r"no_progress.*4 times in this run"):
        cold.RE(plans.spectral_image(cold.instruments, exposure_s=5.0, frames=10))
    (stop,) = documents.of("stop")
    assert stop["exit_status"] == "fail" and stop["num_events"]["interlocks"] == 2 * MAX_SETTLES_PER_RUN + 1
    assert is_safe(cold)


def test_a_compressor_that_stops_ends_the_run_because_it_does_not_settle(cold: Session, documents: Recorder):
    assert cold.lab is not None
    bench = cold.lab.bench

    def trip(number: int) -> None:
        bench.set_fault("cryostat.compressor_trip")
        warm(cold)

    with at_each_event(cold, lambda number: trip(number) if number == 2 else None), \
            pytest.raises(FailedStatus, match="error 2032 Compressor"):
        cold.RE(plans.spectral_image(cold.instruments, exposure_s=5.0, frames=4))
    bench.clear_fault("cryostat.compressor_trip")
    (stop,) = documents.of("stop")
    assert stop["exit_status"] == "fail"
    assert [e["data"]["interlock_state"] for e in in_stream(documents, "interlocks")] == ["held"]
    assert is_safe(cold)


def test_a_temperature_that_was_never_settled_is_left_alone(open_session):
    session = open_session(speed=1000.0)
    recorder = Recorder(session)
    with at_each_event(session, lambda number: warm(session)):
        session.RE(plans.spectral_image(session.instruments, exposure_s=1.0, frames=3))
    (stop,) = recorder.of("stop")
    assert stop["exit_status"] == "success" and not in_stream(recorder, "interlocks")


def test_a_jump_of_the_clock_is_written_down(open_session):
    session = open_session(speed=1000.0)
    recorder = Recorder(session)
    (clock,) = (interlock for interlock in session.interlocks._interlocks if isinstance(interlock, ClockInterlock))
    jump_s = 0.0
    clock._wall_s = lambda: time.time() + jump_s

    def jump(number: int) -> None:
        nonlocal jump_s
        jump_s = 3600.0 if number >= 2 else 0.0

    with at_each_event(session, jump):
        session.RE(plans.spectral_image(session.instruments, exposure_s=1.0, frames=4))
    (stop,) = recorder.of("stop")
    assert stop["exit_status"] == "success" and stop["num_events"]["primary"] == 4
    (noted,) = in_stream(recorder, "interlocks")
    assert noted["data"]["interlock_state"] == "noted" and "+3600 s" in noted["data"]["interlock_cause"]


def test_a_thermometer_that_cannot_be_read_is_the_reason_that_is_recorded(open_session):
    session = open_session(speed=1000.0)
    assert session.lab is not None
    recorder, bench = Recorder(session), session.lab.bench
    with at_each_event(session, lambda number: bench.set_fault("cryostat.sensor_open", 0.0)), \
            pytest.raises(InstrumentError, match="thermometer open or shorted"):
        session.RE(plans.spectral_image(session.instruments, exposure_s=20.0, frames=3))
    bench.clear_fault("cryostat.sensor_open")
    (stop,) = recorder.of("stop")
    assert stop["exit_status"] == "fail" and "thermometer open or shorted" in stop["reason"]
    assert stop["num_events"]["primary"] < 3 and stop["num_events"]["baseline"] == 2
