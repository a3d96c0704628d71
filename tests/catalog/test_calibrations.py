"""Which calibration a measurement gets, and results that name their sources."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from event_model import DocumentNames, schema_validators

from cryopl_bluesky.catalog.access import open_catalog
from cryopl_bluesky.catalog.calibrations import (
    KINDS,
    NEEDED,
    CalibrationRun,
    calibration_runs,
    choose,
    newest_calibration,
    newest_valid,
    version_of,
)
from cryopl_bluesky.catalog.journal import Journal, read_journal
from cryopl_bluesky.catalog.queries import find_run, run_row
from cryopl_bluesky.catalog.recovery import delivered_list, recover, undelivered
from cryopl_bluesky.catalog.results import NotStorableError, results_of, store_result, store_result_in

NOW = 1.8e9
DAY = 86_400.0
MAX_AGE = {"irf": 30.0}
RATE = {"repetition_rate_Hz": 2.5e6, "intensity_permille": 443.0, "spad1_channel": -1, "spad2_channel": -2}


def irf(number: int, age_days: float, **changed) -> CalibrationRun:
    return CalibrationRun("irf", f"uid-{number}", number, NOW - age_days * DAY, RATE | changed, {})


def chosen(runs, conditions=RATE, measurement="decay"):
    uids, findings = choose({"irf": runs}, measurement, conditions, MAX_AGE, NOW)
    return uids.get("irf"), [finding for finding in findings if finding.kind == "irf"]


def test_every_kind_that_is_needed_exists():
    assert {kind for kinds in NEEDED.values() for kind in kinds} == set(KINDS)


def test_the_newest_that_matches_is_chosen():
    runs = [irf(1, 20.0), irf(2, 10.0), irf(3, 1.0, repetition_rate_Hz=5e6)]
    assert chosen(runs) == ("uid-2", [])
    assert chosen(runs, RATE | {"repetition_rate_Hz": 5e6}) == ("uid-3", [])


def test_an_old_one_is_used_and_named():
    uid, (finding,) = chosen([irf(7, 45.0)])
    assert uid == "uid-7"
    assert finding.text == "irf: the calibration of scan 7 is 45 days old, more than max_age_days=30"


@pytest.mark.parametrize(("name", "value", "text"), [
    ("repetition_rate_Hz", 5e6, "repetition_rate_Hz=2.5e+06 instead of 5e+06"),
    ("intensity_permille", 600.0, "intensity_permille=443 instead of 600"),
    ("spad1_channel", -4, "spad1_channel=-1 instead of -4"),
])
def test_one_that_does_not_match_is_not_used(name, value, text):
    uid, (finding,) = chosen([irf(7, 1.0)], RATE | {name: value})
    assert uid is None
    assert finding.text == f"irf: no calibration matches; that of scan 7 is for {text}"


def test_the_nearest_of_those_that_do_not_match_is_named():
    runs = [irf(1, 9.0), irf(2, 1.0, repetition_rate_Hz=5e6)]
    _, (finding,) = chosen(runs, RATE | {"intensity_permille": 500.0})
    assert "scan 1 is for intensity_permille=443 instead of 500" in finding.text


def test_none_at_all_is_missing():
    assert chosen([])[1][0].text == "irf: there is no calibration"


def test_what_a_measurement_does_not_state_does_not_matter():
    dark = CalibrationRun("dark", "d", 1, NOW, {"camera_gain": "16-bit", "exposure_s": 0.5, "spad1_channel": -1}, {})
    assert dark.mismatches({"camera_gain": "16-bit", "exposure_s": 0.5}) == []
    assert dark.mismatches({"camera_gain": "12-bit", "exposure_s": 0.5}) == ["camera_gain"]
    assert dark.mismatches({"spad1_channel": -1}) == []


def test_numbers_are_compared_as_settings_and_ranges_are_closed():
    power = CalibrationRun("laser_power", "p", 1, NOW, {"repetition_rate_Hz": 80e6 / 3,
                                                        "intensity_permille": [400.0, 800.0]}, {})
    for permille, fits in ((400.0, True), (399.9, False), (800, True), (801.0, False)):
        assert (power.mismatches({"repetition_rate_Hz": 26666666.7, "intensity_permille": permille}) == []) is fits


def test_a_newer_one_supersedes_and_the_older_keeps_its_version():
    runs = [irf(1, 20.0), irf(2, 10.0), irf(3, 1.0, repetition_rate_Hz=5e6)]
    assert [version_of(run, runs) for run in runs] == [1, 2, 1]
    then = [run for run in runs if run.time < NOW - 15 * DAY]
    found = newest_valid(then, RATE)
    assert found is not None and found.uid == "uid-1"


@dataclass(frozen=True)
class Line:
    peak_eV: float
    peak_err_eV: float
    counts: np.ndarray


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    with open_catalog(tmp_path_factory.mktemp("data")) as opened:
        journal = Journal(opened.folder.journal)
        for number, (kind, status, valid_for) in enumerate([
            ("scale", "success", {"relay": "4x"}), ("scale", "success", {"relay": "1x"}),
            ("scale", "success", {"relay": "4x"}), ("scale", "fail", {"relay": "4x"}), ("irf", "success", RATE),
        ], 1):
            uid = f"{number:08d}-aaaa-4000-8000-000000000000"
            journal("start", {"uid": uid, "time": 1000.0 + number, "scan_id": number, "plan_name": kind,
                              "measurement": kind,
                              "calibration_of": {"kind": kind, "valid_for": valid_for, "reference": {"a_um": 2.11}}})
            journal("stop", {"uid": f"s{number}", "run_start": uid, "time": 1000.5 + number, "exit_status": status})
        recover(opened.folder.journal, opened.client)
        yield opened


def test_the_catalog_gives_successful_calibrations_newest_first(catalog):
    assert [run.scan_id for run in calibration_runs(catalog.client, "scale")] == [3, 2, 1]
    newest = newest_calibration(catalog.client, "scale", {"relay": "4x"})
    assert newest is not None and (newest.scan_id, newest.reference) == (3, {"a_um": 2.11})
    assert newest_calibration(catalog.client, "scale", {"relay": "2x"}) is None
    assert newest_calibration(catalog.client, "spot", {}) is None


def test_a_result_is_a_run_that_names_its_sources(catalog):
    source = "00000001-aaaa-4000-8000-000000000000"
    line = Line(2.3517, 0.0001, np.array([1, 2, 3]))
    uid = store_result_in(catalog.folder, "line_fit", {"line": line, "unit": "eV", "n": np.int64(3), "why": None},
                          [source], md={"sample": {"name": "A3"}})
    for kind, document in read_journal(catalog.folder.journal / f"{uid}.jsonl").documents:
        schema_validators[DocumentNames[kind]].validate(document)
    row = run_row(find_run(catalog.client, uid[:8]))
    assert (row.measurement, row.sample, row.exit_status) == ("analysis", "A3", "success")
    (start,) = results_of(catalog.client, source)
    assert start["uid"] == uid and start["sources"] == [source] and "cryopl_bluesky" in start["versions"]
    assert start["result"] == {"line": {"peak_eV": 2.3517, "peak_err_eV": 0.0001, "counts": [1, 2, 3]},
                               "unit": "eV", "n": 3, "why": None}
    assert results_of(catalog.client, source, "decay_fit") == []
    assert results_of(catalog.client, "00000002-aaaa-4000-8000-000000000000") == []
    assert undelivered(catalog.folder.journal, catalog.client, known=delivered_list(catalog.folder)) == []


@pytest.mark.parametrize(("result", "sources", "text"), [
    ({"tau_ns": float("nan")}, ["a"], r"result\.tau_ns is nan"),
    ({"taus_ns": np.array([1.0, np.inf])}, ["a"], r"result\.taus_ns\[1\] is inf"),
    ({"tau.ns": 1.0}, ["a"], r"'tau\.ns' is no name"),
    ({"fit": object()}, ["a"], r"result\.fit is of type object"),
    ({"tau_ns": 1.0}, [], r"sources=\[\]"),
])
def test_what_cannot_be_kept_is_refused_before_anything_is_written(result, sources, text):
    written = []
    with pytest.raises(NotStorableError, match=text):
        store_result(lambda name, document: written.append(name), "fit", result, sources)
    assert written == []
