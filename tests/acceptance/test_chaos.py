"""Nights with random faults and a kill -9 in the middle, then `--resume`: nothing recorded may be lost.

`make chaos NIGHTS=200` runs many; the suite runs as many as `CRYOPL_CHAOS_NIGHTS` says.
"""

from __future__ import annotations

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

from cryopl_bluesky.catalog.access import read_catalog
from cryopl_bluesky.catalog.journal import iterate_lines
from cryopl_bluesky.catalog.queries import series_runs
from cryopl_bluesky.catalog.series import load_series
from cryopl_bluesky.catalog.tags import open_tags

NIGHTS = int(os.environ.get("CRYOPL_CHAOS_NIGHTS", "1"))
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


def start(work: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "HOME": str(work), "USERPROFILE": str(work), "TILED_PROFILES": str(work)}
    command = [sys.executable, "-m", "cryopl_bluesky", "run", "recipe.toml", "--data", "data", *arguments]
    return subprocess.Popen(command, cwd=work, env=environment, text=True,
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
    night = start(work, "--profile", "first.toml")
    begun = int(rng.integers(1, STEPS + 1))
    deadline_s = time.monotonic() + 100
    while len(list((work / "data" / "journal").glob("*.jsonl"))) < begun and night.poll() is None:
        assert time.monotonic() < deadline_s, f"no {begun} runs within 100 s"
        time.sleep(0.05)
    time.sleep(rng.uniform(0.0, 1.0))
    night.kill()
    time.sleep(2.0)
    assert is_dark(work / "data"), "2 s after the kill there is light"
    printed, _ = night.communicate()
    assert "Traceback" not in printed, printed
    return events_in_journal(work / "data")


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


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(FIRST, FIRST + NIGHTS))
def test_a_night_of_faults_and_a_kill_loses_nothing(tmp_path, seed):
    rng = np.random.default_rng(seed)
    (tmp_path / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    number = int(rng.integers(3, 11))
    profile_with_faults(tmp_path / "first.toml", seed, number)
    profile_with_faults(tmp_path / "second.toml", seed + 100_000, number)
    acknowledged = kill_in_the_middle(tmp_path, rng)

    again = start(tmp_path, "--profile", "second.toml", *(["--resume", "last"] if acknowledged else []))
    printed, _ = again.communicate(timeout=290)
    assert again.returncode in (0, 1), printed
    assert "Traceback" not in printed, printed
    assert is_dark(tmp_path / "data")

    files_read = lost = 0
    on_disk = events_in_journal(tmp_path / "data")
    with read_catalog(tmp_path / "data") as catalog:
        record = load_series(catalog.client, "last")
        for uid, events in on_disk.items():
            run = catalog.client[uid]
            assert run.metadata["stop"] is not None
            stored = np.asarray(run["primary"].read(["seq_num"])["seq_num"] if events else []).tolist()
            assert len(stored) == len(set(stored)), f"run {uid} is in the catalog with an event twice"
            lost += len(set(range(1, max(events, acknowledged.get(uid, 0)) + 1)) - set(stored))
            files_read += check_files(run, is_linked(tmp_path / "data" / "journal" / f"{uid}.jsonl"))
        succeeded = Counter(
            run.metadata["start"]["series"]["key"] for run in series_runs(catalog.client, record.uid)
            if run.metadata["stop"]["exit_status"] == "success"
        )
    assert not [key for key, times in succeeded.items() if times > 1]
    assert record.complete == (again.returncode == 0), printed
    if not record.complete:
        reasons = [step.reason for step in record.steps if step.state == "failed"]
        assert all(reasons)
        assert reasons or record.unsettled or "error:" in printed, printed
    log = (tmp_path / "data" / "cryopl.log").read_text(encoding="utf-8")
    print(json.dumps({
        "seed": seed, "faults": log.count("fault: ") - log.count("is over"), "steps": len(record.steps),
        "done": record.count("done"), "failed": record.count("failed"), "files": files_read,
        "events": sum(on_disk.values()), "lost": lost,
    }))
    assert lost == 0
