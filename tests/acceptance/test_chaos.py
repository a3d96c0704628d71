"""Nights with random faults and a kill -9 in the middle, then `--resume`: nothing recorded may be lost.

`make chaos` runs 30 nights, `make chaos NIGHTS=200` more; the last lines say how many faults struck and what was lost.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bluesky.utils import FailedStatus
from rich.console import Console

from cryopl_bluesky.catalog.journal import iterate_lines
from cryopl_bluesky.catalog.queries import series_runs
from cryopl_bluesky.catalog.series import SeriesRecord, load_series
from cryopl_bluesky.catalog.tags import open_tags
from cryopl_bluesky.config import load_profile
from cryopl_bluesky.drivers.errors import InstrumentError
from cryopl_bluesky.plans.recipe import load_recipe
from cryopl_bluesky.session import ConnectionFailedError, Session
from cryopl_bluesky.session.night import run_recipe

NIGHTS = int(os.environ.get("CRYOPL_CHAOS_NIGHTS", "30"))
FIRST = int(os.environ.get("CRYOPL_CHAOS_FIRST", "1"))

RECIPE = """
name = "chaos"
temperatures_K = [8, 12]
sample = {name = "A3"}

[[steps]]
plan = "widefield_image"
exposure_s = 0.05
frames = 3

[[steps]]
plan = "trpl_map"
start_nm = 516
stop_nm = 526
step_nm = 2
dwell_s = 2

[[steps]]
plan = "g2"
duration_s = 5
"""
STEPS = 6


def profile_with_faults(path: Path, seed: int, number: int) -> None:
    text = (files("cryopl_bluesky") / "profiles" / "sim" / "profile.toml").read_text(encoding="utf-8")
    path.write_text(text.replace(
        "[bench]\n", f"[bench]\nrandom_faults = {{seed = {seed}, number = {number}, within_s = 800}}\n"
    ), encoding="utf-8")


def start(work: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "HOME": str(work), "USERPROFILE": str(work)}
    command = [sys.executable, "-m", "cryopl_bluesky", "run", "recipe.toml", "--profile", "first.toml"]
    return subprocess.Popen([*command, "--data", "data"], cwd=work, env=environment, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def events_in_journal(data: Path) -> dict[str, int]:
    """Events of the primary stream by run, from whole lines."""
    found: dict[str, int] = {}
    for path in (data / "journal").glob("*.jsonl"):
        primary, number = "", 0
        with path.open("rb") as file:
            for name, document in iterate_lines(file, path):
                if name == "descriptor" and document["name"] == "primary":
                    primary = document["uid"]
                elif name == "event" and document["descriptor"] == primary:
                    number += 1
        found[path.stem] = number
    return found


def kill_in_the_middle(work: Path, rng: np.random.Generator) -> dict[str, int]:
    """Run the night and kill it in one of its runs or just after it; returns the events on disk by then."""
    night = start(work)
    begun = int(rng.integers(1, STEPS + 1))
    deadline_s = time.monotonic() + 100
    while len(list((work / "data" / "journal").glob("*.jsonl"))) < begun and night.poll() is None:
        assert time.monotonic() < deadline_s, f"no {begun} runs within 100 s"
        time.sleep(0.05)
    time.sleep(rng.uniform(0.0, 1.0))
    night.kill()
    until_dark(work / "data")
    printed, _ = night.communicate()
    assert "Traceback" not in printed, printed
    return events_in_journal(work / "data")


def until_dark(data: Path) -> None:
    """Wait until there is no light, at most the 2 s that it may take."""
    deadline_s = time.monotonic() + 2.0
    while not is_dark(data):
        assert time.monotonic() < deadline_s, "2 s after the end there is light"
        time.sleep(0.05)


def is_dark(data: Path) -> bool:
    """Whether the bench, as the next process will find it, has no beam and a closed path to the SPADs."""
    bench = json.loads((data / "bench.json").read_text(encoding="ascii"))
    return bench["laser"]["soft_lock"] and bench["laser"]["permille"] == 0 and not bench["optics"]["shutter_open"]


def is_linked(journal: Path) -> bool:
    """Whether the run says that its files hold something; one killed before that has the file alone."""
    with journal.open("rb") as file:
        return any(name == "stream_datum" for name, _ in iterate_lines(file, journal))


def check_files(run: Any, linked: bool) -> int:
    """Read the last item of each file that a run links; returns the number of files."""
    number = 0
    for stream in run.base:
        for key, node in run.base[stream].base.items():
            if "camera_image" in key and node.shape[0]:
                assert np.asarray(node[node.shape[0] - 1]).shape == (2048, 2048)
                number += 1
    if linked and "tags" in run.base:
        with open_tags(run) as tags:
            assert sum(len(times) for times, _ in tags.chunks()) == tags.number
        number += 1
    return number


def resume(work: Path, begun: bool, printed: Console) -> tuple[Session, SeriesRecord | None]:
    """Go on with the night (begin it if it had not begun) until it is done or ends with a reason, which is printed."""
    try:
        session = Session(load_profile(str(work / "second.toml")), work / "data")
    except ConnectionFailedError as error:  # a fault struck while it connected: the user mends it and starts again
        printed.print(f"not connected: {error}")
        session = Session(load_profile("sim"), work / "data")
    try:
        return session, run_recipe(session, load_recipe(work / "recipe.toml"), printed, "last" if begun else "")
    except (InstrumentError, FailedStatus) as error:
        printed.print(f"ended: {error}")
        session.catch_up()
        return session, load_series(session.cat, "last") if list(session.cat) else None


def not_in_catalog(session: Session, on_disk: dict[str, int], acknowledged: dict[str, int]) -> int:
    """Events of the journal that the catalog does not hold; none may be there twice."""
    missing = 0
    for uid, events in on_disk.items():
        run = session.cat[uid]
        assert run.metadata["stop"] is not None
        stored = np.asarray(run["primary"].read(["seq_num"])["seq_num"] if events else []).tolist()
        assert len(stored) == len(set(stored)), f"run {uid} is in the catalog with an event twice"
        missing += len(set(range(1, max(events, acknowledged.get(uid, 0)) + 1)) - set(stored))
    return missing


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(FIRST, FIRST + NIGHTS))
def test_a_night_of_faults_and_a_kill_loses_nothing(tmp_path, monkeypatch, caplog, record_property, seed):
    monkeypatch.setenv("TILED_PROFILES", str(tmp_path))
    rng = np.random.default_rng(seed)
    (tmp_path / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    number = int(rng.integers(3, 11))
    profile_with_faults(tmp_path / "first.toml", seed, number)
    profile_with_faults(tmp_path / "second.toml", seed + 100_000, number)
    acknowledged = kill_in_the_middle(tmp_path, rng)

    printed = Console(file=io.StringIO(), width=200)
    session, record = resume(tmp_path, bool(acknowledged), printed)
    with session:
        journal = tmp_path / "data" / "journal"
        on_disk = events_in_journal(tmp_path / "data")
        lost = not_in_catalog(session, on_disk, acknowledged)
        files_read = sum(check_files(session.cat[uid], is_linked(journal / f"{uid}.jsonl")) for uid in on_disk)
        succeeded = Counter(
            run.metadata["start"]["series"]["key"] for run in series_runs(session.cat, record.uid)
            if run.metadata["stop"]["exit_status"] == "success"
        ) if record is not None else Counter()
    until_dark(tmp_path / "data")
    assert not [key for key, times in succeeded.items() if times > 1]
    said = printed.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    if record is None or not record.complete:
        reasons = [step.reason for step in record.steps if step.state == "failed"] if record is not None else []
        assert all(reasons)
        assert reasons or (record is not None and record.unsettled) or "ended: " in said, said
    log = (tmp_path / "data" / "cryopl.log").read_text(encoding="utf-8").splitlines() + caplog.messages
    faults = [line for line in log if "fault: " in line and "is over" not in line]
    record_property("night", {
        "seed": seed, "faults": len(faults), "steps": STEPS, "done": record.count("done") if record else 0,
        "failed": record.count("failed") if record else 0, "files": files_read, "events": sum(on_disk.values()),
        "lost": lost,
    })
    assert lost == 0
