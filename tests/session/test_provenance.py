"""The calibrations in a start document when the catalog is slow, down or full, and when there is nothing to say."""

from __future__ import annotations

import threading
import time

import pytest
from bluesky import RunEngine
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp

from cryopl_bluesky.catalog.calibrations import KINDS, NEEDED, CalibrationRun
from cryopl_bluesky.session import provenance
from cryopl_bluesky.session.provenance import Provenance

CONDITIONS = {"relay": "4x", "l1": "in", "repetition_rate_Hz": 2.5e6, "intensity_permille": 443.0}
START = {"measurement": "decay", "conditions": CONDITIONS}


class Detector:
    name, parent = "detector", None

    def stage(self):
        return [self]

    def unstage(self):
        return [self]


def run_through(made: Provenance, start=START) -> dict:
    """The start document that a measurement gets."""
    documents = []
    engine = RunEngine({}, context_managers=[])
    engine.preprocessors.append(made)
    engine.subscribe(made.watch_documents)
    engine.subscribe(lambda name, document: documents.append(document), "start")
    detector = Detector()

    def plan():
        yield from bps.stage(detector)  # type: ignore[arg-type]
        yield from bpp.run_wrapper(bps.null(), md=dict(start))
        yield from bps.unstage(detector)  # type: ignore[arg-type]

    engine(plan())
    return documents[0]


def test_a_new_folder_has_none_and_one_line_says_so():
    said = []
    made = Provenance({}, said.append, nothing_before=True)
    document = run_through(made)
    assert document["calibration"] == {}
    assert document["calibration_warnings"] == [f"{kind}: there is no calibration" for kind in NEEDED["decay"]]
    assert said == ["calibration of decay: there is none of dark, irf, channel_delay, spot, laser_power "
                    "(docs/calibrating.md)"]
    run_through(made)
    assert len(said) == 1


def test_other_runs_are_left_alone():
    made = Provenance({}, print, nothing_before=True)
    assert "calibration" not in run_through(made, {"measurement": "settle"})
    assert "calibration" not in run_through(made, {"plan_name": "count"})
    # a step that failed before its run began
    assert "calibration" not in run_through(made, {"measurement": "decay", "optics": None})


def test_when_the_catalog_does_not_answer_the_measurement_goes_on_and_says_it():
    said = []
    made = Provenance({}, said.append, nothing_before=False)

    def down():
        raise ConnectionError("the server is gone")

    made.look_up(down)
    made.watch_documents("start", {"uid": "own", "time": time.time(), "calibration_of": {
        "kind": "spot", "valid_for": {"l1": "in"}, "reference": {}}})
    made.watch_documents("stop", {"run_start": "own", "exit_status": "success"})
    document = run_through(made)
    assert document["calibration"] == {"spot": "own"}  # of this session
    assert document["calibration_warnings"][0] == (
        "calibrations of earlier sessions are not known: the catalog does not answer (the server is gone)")
    assert said[0].endswith("(the server is gone)")


def test_the_first_plan_waits_in_the_dark_for_a_catalog_that_is_being_opened(monkeypatch):
    monkeypatch.setattr(provenance, "calibration_runs", lambda client, kind: [
        CalibrationRun("irf", "earlier", 3, time.time(), {"repetition_rate_Hz": 2.5e6}, {})] if kind == "irf" else [])
    made = Provenance({}, print, nothing_before=False)
    threading.Timer(0.3, lambda: made.look_up(lambda: None)).start()  # type: ignore[arg-type]
    assert run_through(made)["calibration"] == {"irf": "earlier"}


def test_a_catalog_that_does_not_open_is_not_waited_for_long(monkeypatch):
    monkeypatch.setattr(provenance, "WAIT_S", 0.2)
    made = Provenance({}, print, nothing_before=False)
    began_s = time.monotonic()
    document = run_through(made)
    assert time.monotonic() - began_s < 5.0
    assert "the catalog was not looked into yet" in document["calibration_warnings"][0]


@pytest.mark.parametrize("exit_status", ["fail", "abort"])
def test_a_calibration_counts_only_when_it_succeeded(exit_status):
    made = Provenance({}, print, nothing_before=True)
    made.watch_documents("start", {"uid": "own", "time": 1.0, "calibration_of": {"kind": "spot", "valid_for": {}}})
    assert made.known("spot") == []
    made.watch_documents("stop", {"run_start": "own", "exit_status": exit_status})
    assert made.known("spot") == []


def test_with_hundreds_of_calibrations_a_run_is_not_slower_than_milliseconds(monkeypatch):
    def many(client, kind):
        return [CalibrationRun(kind, f"{kind}{n}", n, float(n), {"relay": "1x", **CONDITIONS}, {}) for n in range(100)]

    monkeypatch.setattr(provenance, "calibration_runs", many)
    made = Provenance(dict.fromkeys(KINDS, 1.0), lambda text: None, nothing_before=False)
    made.look_up(lambda: None)  # type: ignore[arg-type]
    took_s = []
    for _ in range(20):
        began_s = time.perf_counter()
        made.keys(START)
        took_s.append(time.perf_counter() - began_s)
    assert min(took_s) < 0.005
