"""The catalog's server hangs for the middle half of a night: the plan does not notice, and nothing is missing."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from cryopl_bluesky.catalog.journal import read_journal
from cryopl_bluesky.plans.series import temperature_series
from cryopl_bluesky.session import Session

pytestmark = pytest.mark.slow

TEMPERATURES_K = [8.0, 12.0]
STEPS = [
    {"plan": "widefield_image", "exposure_s": 1.0, "frames": 4},
    {"plan": "trpl_map", "start_nm": 516.0, "stop_nm": 526.0, "step_nm": 2.0, "dwell_s": 5.0},
    {"plan": "g2", "duration_s": 30.0},
]
RUNS = len(TEMPERATURES_K) * len(STEPS)


@dataclass
class Night:
    """What is compared of a night.

    Attributes:
        duration_s: of the plan, in bench time.
        in_documents_s: real time that the plan spent on keeping its documents, and the longest for one of them.
        contents: per run, in order: start keys, number of events, and shape and dtype of the data by stream.
        behind: documents that the catalog lacked at the end of the outage.
    """

    duration_s: float = 0.0
    in_documents_s: list[float] = field(default_factory=list)
    real_s: float = 0.0
    contents: list[Any] = field(default_factory=list)
    behind: int = 0


def server_of(session: Session) -> psutil.Process:
    (server,) = (child for child in psutil.Process(os.getpid()).children()
                 if "cryopl_bluesky.catalog.serve" in child.cmdline())
    assert session.catalog.owner
    return server


def run_night(session: Session, outage: bool) -> Night:
    night, begun = Night(), 0
    assert session.cat is not None  # the catalog is open: its server runs
    server = server_of(session)

    def timed_journal(name: str, document: dict) -> None:
        began_s = time.perf_counter()
        journal(name, document)
        night.in_documents_s.append(time.perf_counter() - began_s)

    def hang(name: str, document: dict) -> None:
        nonlocal begun
        begun += 1
        if begun == RUNS // 4 + 1:
            server.suspend()
        elif begun == RUNS - RUNS // 4 + 1:
            night.behind = session.feeder.status().pending_documents
            server.resume()

    journal = session.journal.__call__
    session.RE.unsubscribe(0)
    session.RE.subscribe(timed_journal)
    if outage:
        session.RE.subscribe(hang, "start")
    began_s, began_real_s = session.clock.monotonic(), time.monotonic()
    try:
        session.RE(temperature_series(session.instruments, TEMPERATURES_K, STEPS, sample={"name": "A3"}))
    finally:
        server.resume()
    night.duration_s = session.clock.monotonic() - began_s
    night.real_s = time.monotonic() - began_real_s
    assert session.feeder.wait_until_delivered(120), session.feeder.status()
    night.contents = [contents(session, path) for path in in_order(session.folder.journal)]
    return night


def in_order(journal: Path) -> list[Path]:
    def began_s(path: Path) -> float:
        start = read_journal(path).start
        assert start is not None
        return start["time"]

    return sorted(journal.glob("*.jsonl"), key=began_s)


def contents(session: Session, path: Path) -> tuple[str, float, dict[str, Any]]:
    """What the catalog has of a run, after comparing every value of it with the journal."""
    kept = read_journal(path)
    run = session.cat[path.stem]
    assert run.metadata["start"] == kept.start
    assert run.metadata["stop"] == kept.stop
    assert kept.start is not None
    names = {doc["uid"]: doc for name, doc in kept.documents if name == "descriptor"}
    shapes: dict[str, Any] = {}
    for uid, descriptor in names.items():
        events = [doc for name, doc in kept.documents if name == "event" and doc["descriptor"] == uid]
        stream = run[descriptor["name"]]
        table = stream.read() if events else {}
        for key, described in descriptor["data_keys"].items():
            if "external" in described:
                shapes[f"{descriptor['name']}/{key}"] = stream.base[key].shape[1:]
                continue
            for index, event in enumerate(events):
                np.testing.assert_array_equal(np.asarray(table[key])[index], np.asarray(event["data"][key]))
            shapes[f"{descriptor['name']}/{key}"] = (len(events), str(np.asarray(table[key]).dtype))
    return kept.start["measurement"], kept.start["temperature_K"], shapes


def test_an_outage_of_the_catalog_does_not_touch_the_night(open_session):
    calm = run_night(open_session(speed=300.0, seed=5), outage=False)
    disturbed = run_night(open_session(speed=300.0, seed=5), outage=True)
    assert len(calm.contents) == RUNS
    assert disturbed.behind > 30  # there was an outage
    assert disturbed.contents == calm.contents
    assert disturbed.duration_s == pytest.approx(calm.duration_s, rel=0.02)
    assert sum(disturbed.in_documents_s) < 0.02 * disturbed.real_s
