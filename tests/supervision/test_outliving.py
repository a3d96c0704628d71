"""The handle of the guard's process, with processes that are no guards."""

import time

import pytest

from cryopl_bluesky.drivers.errors import InstrumentError
from cryopl_bluesky.supervision import outliving
from cryopl_bluesky.supervision.outliving import OutlivingGuard, wait_until_done


def test_no_light_without_a_guard_that_is_ready(tmp_path, monkeypatch):
    monkeypatch.setattr(outliving, "READY_TIMEOUT_S", 0.5)
    guard = OutlivingGuard("platform", first_line="", log_path=tmp_path / "guard.log")  # ends at once, says no "ready"
    with pytest.raises(InstrumentError, match=r"no light without it \(see .*guard.log"):
        guard.check()
    guard.close()


def test_a_guard_that_has_ended_is_started_again(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(outliving, "_START_AGAIN_S", 0.5)
    guard = OutlivingGuard("platform", first_line="", log_path=tmp_path / "guard.log")
    first, end_s = guard.pid, time.monotonic() + 20
    while guard.pid == first:
        assert time.monotonic() < end_s
        time.sleep(0.05)
    guard.close()
    assert "has ended" in caplog.text and "guard.log" in caplog.text


def test_a_next_session_does_not_wait_where_no_guard_is_at_work(tmp_path):
    begin_s = time.monotonic()
    wait_until_done(tmp_path / "guard.lock")
    assert time.monotonic() - begin_s < 1.0
