"""A night that does not go well: what its policies do, what is recorded, and how it is completed."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from cryopl_bluesky.catalog.access import read_catalog
from cryopl_bluesky.catalog.load import load_measurement
from cryopl_bluesky.catalog.queries import RunNotFoundError, series_runs
from cryopl_bluesky.catalog.series import load_series
from cryopl_bluesky.drivers.errors import InstrumentError, LimitError
from cryopl_bluesky.plans import temperature_series
from cryopl_bluesky.plans.recipe import Recipe
from cryopl_bluesky.session.dry_run import forecast
from cryopl_bluesky.session.night import run_recipe
from cryopl_bluesky.settings_file import ConfigError, parse_toml

from .conftest import is_safe

IMAGE = {"plan": "widefield_image", "exposure_s": 0.02}
MAP = {"plan": "trpl_map", "start_nm": 520, "stop_nm": 524, "step_nm": 2, "dwell_s": 0.2}
DARK = {"plan": "dark", "exposure_s": 0.02, "frames": 1}


def recipe(name: str, steps: list[dict], temperatures_K: list[float] | None = None, **keys: str) -> Recipe:
    return Recipe.model_validate({
        "name": name, "sample": {"name": "A3"}, "temperatures_K": temperatures_K or [8.0], "steps": steps, **keys,
    })


@pytest.fixture
def run(session):
    """Runs a recipe; gives what became of it and what was printed."""
    def run(wanted: Recipe, resume: str = ""):
        console = Console(file=io.StringIO(), width=200)
        record = run_recipe(session, wanted, console, resume)
        assert is_safe(session)
        assert session.RE.state == "idle"
        return record, console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]

    yield run
    session.lab.bench.faults.clear()


def states(record) -> list[str]:
    return [step.state for step in record.steps]


def test_a_step_that_fails_once_is_repeated(session, run):
    session.lab.bench.faults["camera.lost_trigger"] = 2  # the camera itself tries twice
    record, printed = run(recipe("once", [IMAGE, DARK]))
    assert record.complete and "fail" in printed
    runs = [run.metadata for run in series_runs(session.cat, record.uid)]
    assert [run["stop"]["exit_status"] for run in runs] == ["fail", "success", "success"]
    assert "camera" in runs[0]["stop"]["reason"]
    assert runs[0]["start"]["series"]["key"] == runs[1]["start"]["series"]["key"]


def test_a_step_that_goes_on_failing_is_skipped_and_can_be_measured_later(session, run):
    session.lab.bench.faults["laser.interlock_open"] = 1
    wanted = recipe("later", [DARK, {**IMAGE, "on_failure": "skip"}, MAP])
    record, printed = run(wanted)
    assert states(record) == ["done", "failed", "failed"] and not record.complete
    assert all("laser" in step.reason for step in record.steps[1:])
    assert printed.count("widefield_image") == 1 and printed.count("trpl_map") == 2
    session.lab.bench.faults.clear()

    again, printed = run(wanted, resume="last")
    assert again.uid == record.uid and again.complete
    assert "1 of 3 steps are done, 2 are measured now" in printed
    measured = [run.metadata["start"]["measurement"] for run in series_runs(session.cat, record.uid)
                if run.metadata["stop"]["exit_status"] == "success"]
    assert measured == ["dark", "widefield_image", "trpl_map"]

    before = len(list(session.cat))
    _, printed = run(wanted, resume=record.uid[:8])
    assert "0 are measured now" in printed and len(list(session.cat)) == before


def test_abort_ends_the_night_there(session, run):
    session.lab.bench.faults["laser.interlock_open"] = 1
    with pytest.raises(InstrumentError, match="laser"):
        run(recipe("abort", [{**IMAGE, "on_failure": "abort"}, MAP]))
    session.catch_up()
    assert states(load_series(session.cat, "abort")) == ["failed", "missing"]
    assert is_safe(session)


def test_a_failure_before_the_run_begins_is_a_run_that_says_why(session, run):
    session.lab.bench.faults["laser.interlock_open"] = 1
    record, _ = run(recipe("locked", [{**IMAGE, "on_failure": "skip"}, DARK]))
    assert states(record) == ["failed", "done"]
    assert "laser" in record.steps[0].reason
    (failed,) = [run.metadata for run in series_runs(session.cat, record.uid)
                 if run.metadata["stop"]["exit_status"] == "fail"]
    assert failed["start"]["measurement"] == "widefield_image" and failed["start"]["temperature_K"] == 8.0


def test_a_temperature_that_cannot_be_reached_is_skipped_with_its_reason(session, run):
    record, _ = run(recipe("base", [DARK], [3.2, 8.0]))
    assert states(record) == ["missing", "done"]
    ((temperature_K, reason),) = record.unsettled
    assert temperature_K == 3.2 and "below_base" in reason


def test_another_hand_at_the_cryostat_ends_the_night_whatever_the_policy(session, run):
    loop = session.lab.bench.thermal.sample_loop

    def second_program() -> None:
        while loop.setpoint_K != 20.0:
            time.sleep(0.01)
        session.clock.sleep(30.0)  # after the read-back of the command, in the middle of settling
        with session.lab.bench.lock:
            loop.setpoint_K = 15.0

    threading.Thread(target=second_program, daemon=True).start()
    with pytest.raises(InstrumentError, match="15 K, but 20 K was commanded"):
        run(recipe("foreign", [DARK], [20.0, 8.0], on_unsettled="skip"))
    session.catch_up()
    record = load_series(session.cat, "foreign")
    assert states(record) == ["missing", "missing"]
    ((temperature_K, reason),) = record.unsettled
    assert temperature_K == 20.0 and "foreign_change" in reason


@pytest.mark.parametrize("fault", [("camera.stops", 1), ("spectrograph.communication_error", 3)])
def test_faults_that_pass_do_not_cost_a_step(session, run, fault):
    session.lab.bench.faults[fault[0]] = fault[1]
    record, _ = run(recipe(fault[0], [MAP, IMAGE]))
    assert record.complete


def test_a_temperature_that_was_lost_between_steps_is_settled_again(session, run):
    def drop_control(name: str, document: dict) -> None:
        session.lab.bench.set_fault("cryostat.control_drops")  # once
        session.clock.sleep(20.0)
        session.RE.unsubscribe(token)

    token = session.RE.subscribe(drop_control, "stop")
    record, _ = run(recipe("lost", [DARK, {**DARK, "frames": 2}]))
    assert record.complete
    first, second = [run.metadata["start"]["settle"] for run in series_runs(session.cat, record.uid)]
    assert second["start_K"] < 7.9 and second != first
    held = load_measurement(series_runs(session.cat, record.uid)[1])
    assert held.data["cryostat_in_band"].all()


def test_an_edited_recipe_says_what_changed(session, run):
    run(recipe("edit", [IMAGE, DARK]))
    record, printed = run(recipe("edit", [{**IMAGE, "exposure_s": 0.03}, DARK]), resume="last")
    assert "1 of 2 steps are done, 1 are measured now" in printed
    assert "new in the recipe: widefield_image at 8 K" in printed
    assert "not in the recipe any more (what was measured is kept): widefield_image at 8 K" in printed
    assert record.complete and len(record.done_keys) == 3


def test_the_same_step_twice_is_two_steps(session, run):
    record, _ = run(recipe("twice", [DARK, IMAGE, DARK]))
    assert record.complete and len(record.done_keys) == 3


def test_there_is_nothing_to_resume(session, run):
    with pytest.raises(RunNotFoundError, match="without --resume"):
        run(recipe("never", [DARK]), resume="last")


@pytest.mark.parametrize("policy", ["retry", "retry(0)", "Skip", "retry(100)"])
def test_policies_that_do_not_exist_are_refused(session, policy):
    text = f"""
        name = "x"
        sample = {{name = "A3"}}
        temperatures_K = [8]
        [[steps]]
        plan = "dark"
        on_failure = "{policy}"
    """
    with pytest.raises(ConfigError, match=re.escape(policy)):
        parse_toml(text, Recipe, "recipe")
    with pytest.raises(LimitError, match=re.escape(policy)):
        temperature_series(session.instruments, [8.0], [{"plan": "dark", "on_failure": policy}])


def test_the_forecast_counts_what_is_left(session):
    wanted = recipe("forecast", [IMAGE, MAP], [8.0, 20.0])
    whole = forecast(session.instruments, session.profile, wanted, [])
    steps = wanted.series_steps(session.instruments)
    rest = forecast(session.instruments, session.profile, wanted, [], {step.key for step in steps[:2]})
    assert len(whole.steps) == 4 and len(rest.steps) == 2
    assert 120 < rest.duration_s < whole.duration_s - 60
    assert whole.steps[1].exposure_s == pytest.approx(3 * 0.2)
    assert whole.steps[1].settle_s == 0 < whole.steps[2].settle_s


RECIPE = """
name = "killed"
temperatures_K = [8, 10]
sample = {name = "A3"}

[[steps]]
plan = "widefield_image"
exposure_s = 0.02

[[steps]]
plan = "trpl_map"
start_nm = 516
stop_nm = 530
step_nm = 1
dwell_s = 3
"""


def _cryopl(work: Path, environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "cryopl_bluesky", *arguments], cwd=work, text=True,
                            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.mark.slow
def test_a_killed_night_goes_on_where_it_stopped(tmp_path):
    environment = {**os.environ, "HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "TILED_PROFILES": str(tmp_path)}
    (tmp_path / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    dry = _cryopl(tmp_path, environment, "run", "recipe.toml", "--data", "data", "--dry-run")
    printed, _ = dry.communicate(timeout=120)
    assert dry.returncode == 0 and "4 steps" in printed and "it fits" in " ".join(printed.split()), printed
    assert not (tmp_path / "data").exists()

    night = _cryopl(tmp_path, environment, "run", "recipe.toml", "--data", "data")
    deadline_s = time.monotonic() + 120
    while len(list((tmp_path / "data" / "journal").glob("*.jsonl"))) < 2 and time.monotonic() < deadline_s:
        time.sleep(0.05)
    night.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    night.communicate()

    again = _cryopl(tmp_path, environment, "run", "recipe.toml", "--data", "data", "--resume", "last")
    printed, _ = again.communicate(timeout=200)
    assert again.returncode == 0, printed
    assert "1 of 4 steps are done, 3 are measured now" in printed
    assert "4 of 4 steps" in printed
    with read_catalog(tmp_path / "data") as catalog:
        record = load_series(catalog.client, "last")
        ended = [run.metadata["stop"]["exit_status"] for run in series_runs(catalog.client, record.uid)]
    assert record.complete
    assert sorted(ended) == ["abort", *["success"] * 4]  # the interrupted one is kept, and nothing is measured twice
