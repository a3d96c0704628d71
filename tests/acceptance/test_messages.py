"""What people who are not at the microscope are told of a night."""

from __future__ import annotations

import base64
import io
import time
from pathlib import Path

import pytest
from pydantic import SecretStr
from rich.console import Console

from cryopl_bluesky.drivers.errors import InstrumentError
from cryopl_bluesky.plans.recipe import Recipe
from cryopl_bluesky.session import Session
from cryopl_bluesky.session.announce import run_announced
from message_server import drip, inbox

from .conftest import is_safe

pytestmark = pytest.mark.slow

PASSWORD = "hunter2"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def telling(open_session, data: Path, *ports: int, timeout_s: float = 15.0) -> Session:
    urls = [SecretStr(f"json://night:{PASSWORD}@127.0.0.1:{port}") for port in ports]
    return open_session(data=data, notify={"urls": urls, "timeout_s": timeout_s}, speed=1000.0)


def recipe(*steps: dict) -> Recipe:
    return Recipe.model_validate({"name": "cool-down", "temperatures_K": [8], "sample": {"name": "A3"},
                                  "steps": list(steps)})


IMAGE = {"plan": "widefield_image", "exposure_s": 0.1}
DECAY = {"plan": "decay", "duration_s": 3.0}


def test_a_night_is_told_when_it_begins_and_when_it_is_done(open_session, tmp_path: Path):
    with inbox() as box:
        session = telling(open_session, tmp_path / "data", box.port)
        run_announced(session, recipe(IMAGE, DECAY), Console(file=io.StringIO()))
        session.close()
        begun, done = sorted(box.messages, key=lambda message: message["title"])
    assert begun["title"] == "cool-down: begun" and "2 steps with A3 at 8 K" in begun["message"]
    assert done["title"] == "cool-down: done" and "2 of 2 steps" in done["message"]
    (picture,) = done["attachments"]
    assert base64.b64decode(picture["base64"]).startswith(b"\x89PNG") and picture["filename"].startswith("night-")
    for path in (tmp_path / "data").rglob("*"):
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes(), path


def test_a_failed_night_is_told_and_a_hanging_service_does_not_hold_it_up(open_session, tmp_path: Path):
    with drip() as slow, inbox() as box:
        session = telling(open_session, tmp_path / "data", slow, box.port, timeout_s=2.0)
        session.lab.bench.set_fault("hbt.overflow", 0.01)
        with pytest.raises(InstrumentError, match="overflow"):
            run_announced(session, recipe({**DECAY, "on_failure": "abort"}), Console(file=io.StringIO()))
        assert is_safe(session)
        begun_s = time.monotonic()
        session.notifier.wait()
        assert time.monotonic() - begun_s < 3.0
        session.close()
        failed = next(m for m in box.messages if m["title"] == "cool-down: failed")
    assert "overflow" in failed["message"] and failed["type"] == "failure"


def test_a_night_in_which_a_step_failed_is_told_as_such(open_session, tmp_path: Path):
    with inbox() as box:
        session = telling(open_session, tmp_path / "data", box.port)
        session.lab.bench.set_fault("hbt.overflow", 0.01)
        run_announced(session, recipe(IMAGE, {**DECAY, "on_failure": "skip"}), Console(file=io.StringIO()))
        session.close()
        ended = next(m for m in box.messages if "not complete" in m["title"])
    assert "1 of 2 steps" in ended["message"] and "1 failed" in ended["message"] and ended["type"] == "failure"
