"""A session that ends without closing leaves no light behind: its guard, a process of its own, sees to that."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from .conftest import sim_profile
from .measuring import measuring

pytestmark = pytest.mark.slow
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
G2 = "g2(session.instruments, duration_s=1e5)"


def bench_of(data):
    """How the virtual lab stands, which is what a next process would find."""
    path = data / "bench.json"
    return json.loads(path.read_text()) if path.exists() else {}


def lit(data):
    """The SPADs see light."""
    bench = bench_of(data)
    laser, optics = bench.get("laser", {}), bench.get("optics", {})
    on = not laser.get("soft_lock", True) and laser["permille"] == 443
    return on and optics["port"] == "hbt" and optics["shutter_open"]


def dark(data):
    """No beam, and nothing can reach the SPADs."""
    bench = bench_of(data)
    return bench["laser"]["soft_lock"] and bench["laser"]["permille"] == 0 and not bench["optics"]["shutter_open"]


def reports_of(data):
    path = data / "guard.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def until(condition, timeout_s, process=None):
    """Seconds until the condition held."""
    begin_s = time.monotonic()
    while not condition():
        assert time.monotonic() - begin_s < timeout_s
        assert process is None or process.poll() is None, process.stderr.read()[-2000:]
        time.sleep(0.01)
    return time.monotonic() - begin_s


def guards_of(data):
    """Numbers of the guards' processes of a data folder."""
    wanted = {"cryopl_bluesky.session.guard_process", str(data)}
    return {process.pid for process in psutil.process_iter(["cmdline"]) if wanted <= set(process.info["cmdline"] or ())}


def test_killed_in_the_middle_of_g2_and_safe_within_2_s_and_told_once(tmp_path, environment):
    data = tmp_path / "data"
    process = measuring(data, environment, G2, 1.0)
    try:
        until(lambda: lit(data), 60, process)
        assert len(guards_of(data)) == 1
    finally:
        process.kill()
    seconds = until(lambda: dark(data), 10)
    assert seconds < 2.0
    process.wait()
    until(lambda: reports_of(data), 10)
    (report,) = reports_of(data)
    assert report["cause"] == "its process was gone" and report["problems"] == []
    assert report["safe_after_s"].keys() == {"laser", "spectrograph"}
    assert bench_of(data)["optics"]["port"] == "camera"

    again = subprocess.run([sys.executable, "-m", "cryopl_bluesky", "session", "--data", str(data)], input="exit\n",
                           env={**environment, "COLUMNS": "200"}, capture_output=True, text=True, timeout=120)
    assert "the guard of a session acted (its process was gone); made safe: laser after" in again.stderr, again.stderr

    # That session ended in order: its guard has gone without a report of its own, and there is nothing more to tell.
    assert not guards_of(data)
    assert [list(line) for line in reports_of(data)] == [list(report), ["opens"], ["told", "time_s"]]
    assert (data / "guard.log").read_text().count("\n") == 1


@POSIX
def test_a_session_that_hangs_is_guarded_too_and_once_more_when_it_dies(tmp_path, environment):
    data = tmp_path / "data"
    process = measuring(data, environment, G2, 100.0, silence_s=3.0)
    try:
        until(lambda: lit(data), 60, process)
        process.send_signal(signal.SIGSTOP)
        assert until(lambda: dark(data), 15) < 3.0 + 2.0
    finally:
        process.kill()
    process.wait()
    until(lambda: len(reports_of(data)) == 2, 10)
    assert ["no sign of life for 3 s" in report["cause"] for report in reports_of(data)] == [True, False]


def guard_process(data, environment, profile):
    """The guard alone, with a pipe that does not belong to a session."""
    data.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "cryopl_bluesky.session.guard_process", str(data)], env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(profile.model_dump_json().encode() + b"\n")
    process.stdin.flush()
    return process


def test_what_cannot_be_opened_is_reported_and_does_not_hinder_the_rest(tmp_path, environment):
    data = tmp_path / "data"
    profile = sim_profile()
    manual = profile.laser.model_copy(update={"driver": "manual"})
    process = guard_process(data, environment, profile.model_copy(update={"laser": manual}))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    (report,) = reports_of(data)
    assert list(report["safe_after_s"]) == ["spectrograph"]
    (problem,) = report["problems"]
    assert "laser could not be made safe" in problem and "operator" in problem
    assert b"Traceback" not in err


@POSIX
def test_ctrl_c_at_the_prompt_does_not_reach_the_guard(tmp_path, environment):
    script = f"""
        import signal
        from pathlib import Path
        from cryopl_bluesky.config import load_profile
        from cryopl_bluesky.supervision.outliving import OutlivingGuard

        signal.signal(signal.SIGINT, lambda *_: None)
        guard = OutlivingGuard("cryopl_bluesky.session.guard_process", {str(tmp_path)!r},
                               first_line=load_profile("sim").model_dump_json(),
                               log_path=Path({str(tmp_path / "guard.log")!r}))
        guard.check()
        print(guard.pid, flush=True)
        input()
        guard.close()
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], env=environment, text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    guard = int(process.stdout.readline())
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(1.0)
    assert guards_of(tmp_path) == {guard} and process.poll() is None
    process.communicate("\n", timeout=30)
    assert not guards_of(tmp_path)
    assert reports_of(tmp_path) == []


def test_a_laser_that_was_unplugged_at_the_end_is_locked_when_it_is_back(tmp_path, environment):
    """The session cannot lock it, says so, and hands it over."""
    data = tmp_path / "data"
    script = f"""
        from bluesky import plan_stubs as bps
        from cryopl_bluesky.config import load_profile
        from cryopl_bluesky.session import Session

        session = Session(load_profile("sim"), {str(data)!r})
        session.RE(bps.mv(session.instruments.laser.emission, "on"))
        session.lab.bench.set_fault("laser.unplugged")
        session.close()
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], env=environment, text=True,
                           capture_output=True, timeout=120)
    assert "NOT SAFE: laser could not be made safe" in ended.stdout, ended.stdout + ended.stderr
    until(lambda: dark(data), 10)  # plugged in: the fault belonged to the bench of that process
    until(lambda: reports_of(data), 10)
    (report,) = reports_of(data)
    assert report["cause"] == "it ended and could not make them safe itself" and report["problems"] == []
