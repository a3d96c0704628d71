"""The guard of the SPADs in a session: too much light is gone before it can do harm, whatever the plan does."""

from __future__ import annotations

import re
import threading
import time

import pytest
from bluesky import plan_stubs as bps
from bluesky.utils import FailedStatus, Msg

from cryopl_bluesky import plans
from cryopl_bluesky.catalog.load import load_measurement
from cryopl_bluesky.catalog.queries import find_run
from cryopl_bluesky.catalog.tags import open_tags
from cryopl_bluesky.drivers.errors import InstrumentError

from .conftest import Recorder, is_safe

LIMIT_S = 0.040
"""From a step of light to darkness, bench time (the issue's acceptance)."""


@pytest.fixture
def guarded(session):
    """The session; nothing of a test stays on, and the guard accepts light again."""
    yield session
    for name in ("hbt.room_light", "hbt.full_beam", "hbt.stuck_zero", "hbt.freeze", "hbt.dark_Hz"):
        session.lab.bench.clear_fault(name)
    session.instruments.hbt.guard.set("reset").wait(10)
    session.clock.sleep(1.0)


class Watch:
    """Makes a step on the bench and notes the bench time at which laser and path were dark."""

    def __init__(self, session):
        self._bench = session.lab.bench
        self._step_s: float | None = None
        self.laser_off_s = self.path_closed_s = float("inf")
        self._bench.on_change(self._note)

    def step(self, fault: str, value: float) -> None:
        with self._bench.lock:
            assert self._bench.laser.mode == "pulsed" and self._bench.optics.shutter_open
        self._step_s = self._bench.clock.monotonic()
        self._bench.set_fault(fault, value)

    def _note(self) -> None:
        if self._step_s is None:
            return
        since_s = self._bench.clock.monotonic() - self._step_s
        with self._bench.lock:
            if self._bench.laser.mode == "off":
                self.laser_off_s = min(self.laser_off_s, since_s)
            if not self._bench.optics.shutter_open:
                self.path_closed_s = min(self.path_closed_s, since_s)


def when_tags_are_linked(session, action) -> threading.Thread:
    """Do something once the tags of an acquisition have begun to be linked."""
    linked = threading.Event()
    token = session.RE.subscribe(lambda name, document: linked.set(), "stream_datum")

    def wait() -> None:
        assert linked.wait(60)
        session.RE.unsubscribe(token)
        action()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_too_much_light_is_gone_within_40_ms_and_ends_the_run(guarded, recorder: Recorder):
    recorder.clear()
    session, watch = guarded, Watch(guarded)
    thread = when_tags_are_linked(session, lambda: watch.step("hbt.room_light", 12.9e6))
    with pytest.raises(FailedStatus) as caught:
        session.RE(plans.g2(session.instruments, duration_s=3_000.0))
    thread.join(30)
    assert watch.laser_off_s <= LIMIT_S and watch.path_closed_s <= LIMIT_S
    assert is_safe(session)

    (stop,) = recorder.of("stop")
    assert stop["exit_status"] == "fail"
    for text in (str(caught.value.__cause__), stop["reason"]):
        assert "SPAD guard locked the laser" in text
    assert re.search("single_bin_Hz|twice_Hz", stop["reason"]), stop["reason"]
    (descriptor,) = [d for d in recorder.of("descriptor") if d["name"] == "spad_guard"]
    (event,) = [e for e in recorder.of("event") if e["descriptor"] == descriptor["uid"]]
    assert event["data"]["hbt_guard_state"] == "tripped"
    assert max(event["data"]["hbt_guard_spad1_rate_Hz"], event["data"]["hbt_guard_spad2_rate_Hz"]) > 2e6
    assert event["data"]["hbt_guard_time_s"] > 0

    assert session.feeder.wait_until_delivered(30)
    with open_tags(find_run(session.cat, stop["run_start"])) as tags:
        documented = max(d["indices"]["stop"] for d in recorder.of("stream_datum"))
        assert tags.number >= documented > 1_000


def test_it_works_while_the_engine_is_blocked(guarded, recorder: Recorder):
    session, watch = guarded, Watch(guarded)
    blocked_s: list[float] = []

    def block(message: Msg) -> None:
        """The engine's own thread stands still, long beyond the limit, while the light steps up."""
        if message.command == "collect" and not blocked_s:
            watch.step("hbt.room_light", 12.9e6)
            time.sleep(1.0)
            blocked_s.append(watch.path_closed_s)

    session.RE.msg_hook = block
    try:
        with pytest.raises(FailedStatus):
            session.RE(plans.g2(session.instruments, duration_s=100_000.0))
    finally:
        session.RE.msg_hook = None
    assert blocked_s and blocked_s[0] <= LIMIT_S
    assert watch.laser_off_s <= LIMIT_S
    assert is_safe(session)


@pytest.mark.parametrize(("fault", "text"), [("hbt.stuck_zero", "fell silent"), ("hbt.freeze", "no counts arrive")])
def test_silence_and_a_stalled_counter_trip_as_well(guarded, recorder: Recorder, fault, text):
    recorder.clear()
    session, watch = guarded, Watch(guarded)
    thread = when_tags_are_linked(session, lambda: watch.step(fault, 1.0))
    with pytest.raises(FailedStatus):
        session.RE(plans.g2(session.instruments, duration_s=3_000.0))
    thread.join(30)
    assert is_safe(session)
    (stop,) = recorder.of("stop")
    assert text in stop["reason"]


def test_what_was_recorded_before_is_kept(guarded, recorder: Recorder):
    recorder.clear()
    session, watch = guarded, Watch(guarded)
    events = threading.Event()

    def note(name, document):
        if "hbt_spad1_counts" in document["data"] and document["seq_num"] == 2:
            events.set()

    token = session.RE.subscribe(note, "event")
    thread = threading.Thread(
        target=lambda: (events.wait(60), session.clock.sleep(5.0), watch.step("hbt.room_light", 12.9e6)), daemon=True)
    thread.start()
    with pytest.raises(FailedStatus):
        session.RE(plans.trpl_map(session.instruments, start_nm=522, stop_nm=532, step_nm=1, dwell_s=60.0))
    thread.join(30)
    session.RE.unsubscribe(token)
    (stop,) = recorder.of("stop")
    assert session.feeder.wait_until_delivered(30)
    run = load_measurement(find_run(session.cat, stop["run_start"]))
    assert run.num_events == stop["num_events"]["primary"] >= 2
    assert (run.data["hbt_spad1_counts"] > 100).all()


def test_it_stays_tripped_until_it_is_reset(guarded):
    session, watch = guarded, Watch(guarded)
    thread = when_tags_are_linked(session, lambda: watch.step("hbt.room_light", 12.9e6))
    with pytest.raises(FailedStatus):
        session.RE(plans.g2(session.instruments, duration_s=3_000.0))
    thread.join(30)
    session.lab.bench.clear_fault("hbt.room_light")
    with pytest.raises((FailedStatus, InstrumentError)) as caught:
        session.RE(plans.decay(session.instruments, duration_s=1.0))
    assert "reset" in str(caught.value.__cause__ or caught.value)
    assert is_safe(session)
    session.RE(bps.mv(session.instruments.hbt.guard, "reset"))
    session.RE(plans.decay(session.instruments, duration_s=1.0))


def test_a_dark_rate_far_above_its_baseline_keeps_the_path_closed(guarded):
    session = guarded
    session.lab.bench.set_fault("hbt.dark_Hz", 5_000.0)
    session.clock.sleep(2.0)
    with pytest.raises((FailedStatus, InstrumentError)) as caught:
        session.RE(plans.decay(session.instruments, duration_s=1.0))
    text = str(caught.value.__cause__ or caught.value)
    assert "dark rate" in text and "baseline" in text and "stays closed" in text
    assert is_safe(session)


def test_light_let_in_by_hand_is_guarded_too(guarded):
    session = guarded
    spectrograph, laser = session.instruments.spectrograph, session.instruments.laser
    session.RE(bps.mv(spectrograph.port, "hbt", laser.emission, "on"))
    session.RE(bps.mv(spectrograph.shutter, "open"))
    watch = Watch(session)
    watch.step("hbt.room_light", 12.9e6)
    session.clock.sleep(0.2)
    assert watch.laser_off_s <= LIMIT_S and watch.path_closed_s <= LIMIT_S
    session.lab.bench.clear_fault("hbt.room_light")
    session.RE(bps.mv(session.instruments.hbt.guard, "reset", spectrograph.port, "camera"))


@pytest.mark.slow
def test_ordinary_light_never_trips(guarded):
    session = guarded
    session.RE(plans.decay(session.instruments, duration_s=300.0))
    session.RE(plans.trpl_map(session.instruments, start_nm=500, stop_nm=540, step_nm=10, dwell_s=30.0))
    assert session.instruments.hbt.guard.state.get() == "idle"
