"""The guard of the SPADs on the virtual tagger: every cause, its pace, its latch, and what it refuses."""

from __future__ import annotations

import logging
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "sim"))
from tagger_bench import Light, make_bench

from cryopl_bluesky.config import GuardSettings
from cryopl_bluesky.drivers.errors import InstrumentError
from cryopl_bluesky.drivers.tagger_acquisition import AcquisitionSettings
from cryopl_bluesky.drivers.timetagger import TimeTagger
from cryopl_bluesky.sim.timetagger import HbtParameters, make_module

MOST_S = 0.026
"""From a step of light to the first command, in the worst phase; the laser and the shutter need 5 and 10 ms more."""


def dark() -> Light:
    return Light(rate_Hz=0.0, repetition_rate_Hz=None)


class Lab:
    """A tagger behind a shutter, light that the test sets, and notes of what the guard did."""

    def __init__(self, limits: GuardSettings | None = None, light: Light | None = None):
        self.light = light or Light(rate_Hz=40e3)
        self.leak_Hz = 0.0
        self.is_open = False
        self.bench = make_bench(1000.0)
        self.bench.optics.shutter_open = False
        module = make_module(self.bench, self._seen, HbtParameters())
        self.driver = TimeTagger(module, self.bench.clock, limits=limits)
        self.driver.open()
        self.guard = self.driver.guard
        self.done_s: dict[str, float] = {}
        self.guard.make_safe_by("laser", lambda: self._note("laser"))
        self.guard.make_safe_by("shutter", self._close)
        self.bench.clock.sleep(3.0)  # dark rates are known then

    def _seen(self) -> Light:
        shown = self.light if self.is_open else dark()
        return replace(shown, background_Hz=shown.background_Hz + self.leak_Hz)

    def _note(self, what: str) -> None:
        self.done_s.setdefault(what, self.bench.clock.monotonic())

    def _close(self) -> None:
        self._note("shutter")
        self.close_path()

    def open_path(self, seconds: float = 0.3) -> None:
        self.guard.before_opening()
        self.is_open = True
        self.bench.changed()
        self.bench.clock.sleep(seconds)

    def close_path(self) -> None:
        self.is_open = False
        self.bench.changed()
        self.guard.closed()

    def step(self, leak_Hz: float = 0.0, **light: float) -> float:
        """Change the light at one moment of bench time, which is returned."""
        with self.bench.clock.held():
            self.leak_Hz = leak_Hz
            for name, value in light.items():
                setattr(self.light, name, value)
            self.bench.changed()
            return self.bench.clock.monotonic()


@pytest.fixture
def make_lab():
    labs: list[Lab] = []

    def make(*args, **kwargs) -> Lab:
        labs.append(Lab(*args, **kwargs))
        return labs[-1]

    yield make
    for lab in labs:
        lab.driver.close()


@pytest.mark.parametrize(("fault", "parameter", "text", "within_s"), [
    ("hbt.stuck_zero", 1.0, "fell silent", 3.0),
    ("hbt.dead_spad", 2.0, "SPAD 2 fell silent", 0.1),
    ("hbt.freeze", 1.0, "no counts arrive", 0.6),
])
def test_silence_and_standstill(make_lab, fault, parameter, text, within_s):
    lab = make_lab()
    lab.bench.clock.sleep(30.0)
    lab.open_path()
    lab.bench.set_fault(fault, parameter)
    begin_s = lab.bench.clock.monotonic()
    lab.bench.clock.sleep(2 * within_s)
    assert lab.guard.trip is not None and text in lab.guard.trip.cause
    assert lab.done_s["laser"] - begin_s < within_s


def test_sustained_light_trips_and_short_light_does_not(make_lab):
    lab = make_lab()
    lab.open_path()
    lab.step(background_Hz=3e6)
    lab.bench.clock.sleep(0.03)
    lab.step(background_Hz=0.0)
    lab.bench.clock.sleep(1.0)
    assert lab.guard.trip is None
    step_s = lab.step(background_Hz=3e6)
    lab.bench.clock.sleep(0.5)
    assert lab.guard.trip is not None and "sustained_Hz" in lab.guard.trip.cause
    assert lab.done_s["laser"] - step_s < 0.13


def test_a_running_acquisition_fails_with_the_cause_and_the_latch_holds_until_reset(make_lab):
    lab = make_lab()
    lab.open_path()
    timer = threading.Timer(0.3, lambda: lab.step(background_Hz=1e8))
    timer.start()
    with pytest.raises(InstrumentError, match=r"SPAD guard locked the laser .* at \d{4}-.*single_bin_Hz=1e\+07"):
        lab.driver.acquire(AcquisitionSettings(1e6))
    assert lab.guard.state == "tripped"
    for refused in (
        lab.guard.check, lab.guard.before_opening, lambda: lab.driver.acquire(AcquisitionSettings(0.1)),
    ):
        with pytest.raises(InstrumentError, match=r"RE\(mv\(hbt\.guard, 'reset'\)\)"):
            refused()
    lab.step(background_Hz=0.0)
    lab.bench.clock.sleep(1.0)
    lab.guard.reset()
    assert lab.guard.state == "idle"
    lab.open_path()
    assert lab.driver.acquire(AcquisitionSettings(1.0)).spad1_rate_Hz == pytest.approx(20e3, rel=0.1)


def test_one_that_hangs_or_fails_does_not_keep_the_others(make_lab, caplog):
    lab = make_lab()
    hang = threading.Event()
    lab.guard.make_safe_by("hanging", lambda: hang.wait(20))
    lab.guard.make_safe_by("failing", lambda: 1 / 0)
    lab.guard.make_safe_by("last", lambda: lab._note("last"))
    lab.open_path()
    step_s = lab.step(background_Hz=1e8)
    lab.bench.clock.sleep(0.5)
    hang.set()
    assert set(lab.done_s) == {"laser", "shutter", "last"}
    assert max(lab.done_s.values()) - step_s <= MOST_S
    assert "failing could not be made safe: division by zero" in caplog.text


def test_while_the_path_does_not_close_it_is_tried_again(make_lab):
    lab = make_lab()
    calls = []
    lab.guard.make_safe_by("shutter", lambda: calls.append(lab.bench.clock.monotonic()))  # it stays open
    lab.open_path()
    lab.step(background_Hz=2.5e7)
    lab.bench.clock.sleep(3.0)
    assert len(calls) >= 2
    lab.close_path()
    lab.bench.clock.sleep(0.2)
    number = len(calls)
    lab.bench.clock.sleep(5.0)
    assert len(calls) == number


def test_a_guard_that_fails_itself_trips(make_lab):
    lab = make_lab()
    lab.open_path()
    lab.guard._counter.getDataObject = lambda remove: 1 / 0
    lab.bench.clock.sleep(0.2)
    assert lab.guard.trip is not None and "division by zero" in lab.guard.trip.cause


def test_dark_rates_decide_about_opening(make_lab, caplog):
    lab = make_lab()
    lab.step(leak_Hz=200.0)
    lab.bench.clock.sleep(2.0)
    with caplog.at_level(logging.WARNING):
        lab.guard.before_opening()
    assert "times the baseline of 40 Hz" in caplog.text
    lab.guard.closed()
    lab.step(leak_Hz=5e3)
    with pytest.raises(InstrumentError, match=r"dark rate of SPAD \d is 5.*limit: 10 times.*stays closed"):
        lab.guard.before_opening()
    assert lab.guard.state == "idle"


def test_light_just_before_closing_is_not_taken_for_dark_counts(make_lab):
    lab = make_lab()
    lab.open_path()
    lab.close_path()
    lab.guard.before_opening()


def test_it_watches_before_the_light_comes_and_rests_afterwards(make_lab):
    lab = make_lab()
    beats = lab.guard._beats
    lab.guard.before_opening()
    assert lab.guard.state == "watching" and lab.guard._beats > beats
    beats = lab.guard._beats
    lab.bench.clock.sleep(1.0)
    assert 90 <= lab.guard._beats - beats <= 110
    lab.guard.closed()
    beats = lab.guard._beats
    lab.bench.clock.sleep(10.0)
    assert 5 <= lab.guard._beats - beats <= 12


def test_no_light_without_a_watchdog(make_lab):
    lab = make_lab()
    lab.guard._task.cancel()
    with pytest.raises(InstrumentError, match="does not look at the counts"):
        lab.guard._pace = lambda: None
        lab.guard.before_opening()
    lab.bench.clock.sleep(10.0)
    lab.guard.check()  # ten seconds of the bench are milliseconds: a thread may be that late
    lab.guard._beat_real_s -= 10.0
    with pytest.raises(InstrumentError, match="has not looked at the counts for"):
        lab.guard.check()
    lab.driver.close()
    assert lab.guard.state == "off"
    with pytest.raises(InstrumentError, match="does not run"):
        lab.guard.check()


@pytest.mark.slow
@pytest.mark.parametrize("rate_Hz", [0.0, 500.0, 40e3, 2e6])
def test_no_false_alarm_in_a_quarter_of_an_hour(make_lab, rate_Hz):
    lab = make_lab(light=Light(rate_Hz=rate_Hz, repetition_rate_Hz=None, lifetimes_ns=(0.0,)))
    lab.bench.laser.mode = "cw"
    lab.open_path()
    minutes = 15 if rate_Hz < 1e6 else 1
    for _ in range(4):  # light goes and comes, as behind a grating that moves
        lab.bench.clock.sleep(60.0 * minutes / 8)
        lab.step(rate_Hz=0.0)
        lab.bench.clock.sleep(60.0 * minutes / 8)
        lab.step(rate_Hz=rate_Hz)
    assert lab.guard.trip is None
