"""However a plan ends, the beam is off, the SPADs are dark, and what was recorded is readable."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from bluesky.utils import FailedStatus, RunEngineInterrupted

from cryopl_bluesky import plans
from cryopl_bluesky.catalog.load import load_measurement
from cryopl_bluesky.catalog.queries import find_run
from cryopl_bluesky.drivers.errors import InstrumentError

from .conftest import Recorder, is_safe

LONG = {
    "widefield_image": {"exposure_s": 20.0, "frames": 50},
    "spectral_image": {"exposure_s": 20.0, "frames": 50},
    "total_spectrum": {"exposure_s": 20.0, "frames": 50},
    "decay": {"duration_s": 20000.0},
    "trpl_map": {"start_nm": 500.0, "stop_nm": 540.0, "step_nm": 1.0, "dwell_s": 60.0},
    "g2": {"duration_s": 100.0, "wavelengths_nm": [520.0 + i for i in range(20)]},
    "dark": {"exposure_s": 20.0, "frames": 50},
}


class _Midway:
    """Calls something once the run is under way: after its first event, or after a while without one."""

    def __init__(self, session, name, action):
        self._action = action
        self._fired = threading.Event()
        self._after_event = name != "decay"
        self._token = session.RE.subscribe(self)
        self._session = session

    def __call__(self, name, document):
        if name == "start" and not self._after_event:
            threading.Timer(0.3, self._fire).start()
        if name == "event" and "cryostat_temperature_K" in document["data"] and self._after_event:
            self._fire()

    def _fire(self):
        if not self._fired.is_set():
            self._fired.set()
            self._action()

    def done(self):
        self._session.RE.unsubscribe(self._token)
        assert self._fired.is_set()


def _check(session, recorder: Recorder, statuses):
    assert is_safe(session)
    (stop,) = recorder.of("stop")
    assert stop["exit_status"] in statuses
    assert session.feeder.wait_until_delivered(30)
    run = load_measurement(find_run(session.cat, stop["run_start"]))
    assert run.stop is not None
    assert run.num_events == stop["num_events"].get("primary", 0)
    if "camera_image" in run.frames:
        frames = run.frames["camera_image"]
        assert np.asarray(frames[0]).shape == (2048, 2048)


@pytest.mark.parametrize("name", list(LONG))
def test_an_exception_in_the_middle(session, recorder: Recorder, name):
    recorder.clear()

    failing = threading.Event()
    midway = _Midway(session, name, failing.set)
    engine_messages = session.RE.msg_hook

    def fail(message):
        if failing.is_set() and message.command in ("checkpoint", "wait", "save", "set", "trigger"):
            failing.clear()
            raise RuntimeError("something unforeseen")

    session.RE.msg_hook = fail
    plan = getattr(plans, name)(session.instruments, **(LONG[name] if name != "decay" else {"duration_s": 30.0}))
    try:
        with pytest.raises(RuntimeError, match="something unforeseen"):
            session.RE(plan)
    finally:
        session.RE.msg_hook = engine_messages
    midway.done()
    _check(session, recorder, {"fail", "abort"})


@pytest.mark.parametrize("name", list(LONG))
def test_an_abort_from_another_thread(session, recorder: Recorder, name):
    recorder.clear()
    threads = []

    def abort():
        thread = threading.Thread(target=lambda: session.RE.abort("enough"), daemon=True)
        threads.append(thread)
        thread.start()

    midway = _Midway(session, name, abort)
    with pytest.raises(RunEngineInterrupted):
        session.RE(getattr(plans, name)(session.instruments, **LONG[name]))
    midway.done()
    for thread in threads:
        thread.join(30)
    _check(session, recorder, {"abort"})


@pytest.mark.parametrize("name", list(LONG))
def test_control_c_pauses_and_then_aborts(session, recorder: Recorder, name):
    recorder.clear()

    def press_again():
        # Bluesky ignores a second press within 0.1 s of the first, however late a busy computer noticed that one.
        for _ in range(10):
            time.sleep(0.3)
            if session.RE.state != "running":
                return
            os.kill(os.getpid(), signal.SIGINT)

    pressing = threading.Thread(target=press_again, daemon=True)

    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        pressing.start()

    midway = _Midway(session, name, twice)
    with pytest.raises(RunEngineInterrupted):
        session.RE(getattr(plans, name)(session.instruments, **LONG[name]))
    midway.done()
    pressing.join(10)  # or it would press in the next test
    session.RE.abort("ended by the operator")
    _check(session, recorder, {"abort"})


def test_a_halt_runs_no_clean_up_of_the_plan_and_is_safe_all_the_same(session, recorder: Recorder):
    recorder.clear()
    pause = threading.Thread(target=session.RE.request_pause, daemon=True)
    midway = _Midway(session, "spectral_image", pause.start)
    with pytest.raises(RunEngineInterrupted):
        session.RE(plans.spectral_image(session.instruments, **LONG["spectral_image"]))
    midway.done()
    session.RE.halt()
    assert is_safe(session)


def test_a_pause_locks_the_laser_and_going_on_measures_in_the_light(session, recorder: Recorder):
    recorder.clear()
    pause = threading.Thread(target=session.RE.request_pause, daemon=True)
    midway = _Midway(session, "spectral_image", pause.start)
    with pytest.raises(RunEngineInterrupted):
        session.RE(plans.spectral_image(session.instruments, exposure_s=2.0, frames=6))
    midway.done()
    assert session.lab.bench.laser.mode == "off"
    session.RE.resume()
    assert is_safe(session)
    (stop,) = recorder.of("stop")
    assert stop["exit_status"] == "success"
    means = [e["data"]["camera_mean_adu"] for e in recorder.of("event") if "camera_mean_adu" in e["data"]]
    assert len(means) == 6
    assert np.ptp(means) < 0.05 * (np.mean(means) - 100)


def test_a_key_switch_turned_off_fails_the_run(session, recorder: Recorder):
    recorder.clear()
    bench = session.lab.bench
    midway = _Midway(session, "spectral_image", lambda: bench.set_fault("laser.key_off"))
    try:
        with pytest.raises(InstrumentError, match="locked itself during the run"):
            session.RE(plans.spectral_image(session.instruments, exposure_s=2.0, frames=3))
    finally:
        bench.clear_fault("laser.key_off")
    midway.done()
    _check(session, recorder, {"fail"})


def test_lost_tags_fail_a_run(session, recorder: Recorder):
    recorder.clear()
    bench = session.lab.bench
    bench.set_fault("hbt.overflow", 0.01)
    try:
        with pytest.raises(FailedStatus) as caught:
            session.RE(plans.g2(session.instruments, duration_s=3.0))
    finally:
        bench.clear_fault("hbt.overflow")
    assert "overflow" in str(caught.value.__cause__)
    assert is_safe(session)


def test_the_stop_document_says_why_a_run_failed(session, recorder: Recorder):
    recorder.clear()
    session.lab.bench.set_fault("hbt.overflow", 0.01)
    with pytest.raises(FailedStatus):
        session.RE(plans.decay(session.instruments, duration_s=3.0))
    session.lab.bench.clear_fault("hbt.overflow")
    (stop,) = recorder.of("stop")
    assert stop["exit_status"] == "fail"
    assert "hbt" in stop["reason"] and "overflow" in stop["reason"]


@pytest.mark.parametrize("name", ["spectral_image", "g2"])
def test_in_real_time_an_abort_does_not_wait_for_the_exposure(open_session, name):
    session = open_session(speed=1.0)
    arguments = {"exposure_s": 25.0, "frames": 2} if name == "spectral_image" else {"duration_s": 600.0}
    started = threading.Event()
    token = session.RE.subscribe(lambda kind, document: started.set() if kind == "start" else None)

    def abort():
        started.wait(60)
        session.clock.sleep(1.0)
        session.RE.abort("enough")

    thread = threading.Thread(target=abort, daemon=True)
    thread.start()
    begun_s = session.clock.monotonic()
    with pytest.raises(RunEngineInterrupted):
        session.RE(getattr(plans, name)(session.instruments, **arguments))
    thread.join(30)
    session.RE.unsubscribe(token)
    assert session.clock.monotonic() - begun_s < 24
    assert is_safe(session)
