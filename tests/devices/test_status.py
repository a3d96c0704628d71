"""A Status of work on an instrument's thread ends exactly once, and in time."""

from __future__ import annotations

import threading

import pytest
from ophyd.status import StatusTimeoutError

from cryopl_bluesky.devices.base import Instrument


@pytest.fixture
def device():
    device = Instrument(name="part")
    yield device
    device.shutdown()


def test_it_finishes_with_the_work_and_costs_no_thread(device):
    device.submit(lambda: None, 5, "warm up").wait(5)
    before = threading.active_count()
    statuses = [device.submit(lambda: None, 5, "nothing") for _ in range(50)]
    for status in statuses:
        status.wait(5)
    assert all(status.success for status in statuses)
    assert threading.active_count() <= before


def test_the_error_of_the_work_is_the_error_of_the_status(device):
    def fail():
        raise ValueError("no such grating")

    with pytest.raises(ValueError, match="no such grating"):
        device.submit(fail, 5, "fail").wait(5)


@pytest.mark.parametrize("error", [StatusTimeoutError("inner"), SystemExit(1)])
def test_no_error_leaves_it_hanging(device, error):
    def fail():
        raise error

    with pytest.raises(RuntimeError, match="part: fail"):
        device.submit(fail, 5, "fail").wait(5)


def test_work_that_hangs_fails_at_its_time_limit_and_its_late_end_is_ignored(device):
    go = threading.Event()
    late = device.submit(lambda: go.wait(10), 60, "first")
    status = device.submit(lambda: None, 0.05, "second")
    with pytest.raises(TimeoutError, match=r"part: second was not done within 0\.05 s"):
        status.wait(5)
    go.set()
    late.wait(5)
    device.submit(lambda: None, 5, "third").wait(5)
    assert not status.success and late.success


def test_shutdown_ends_waiting_work():
    device = Instrument(name="part")
    go = threading.Event()
    device.submit(lambda: go.wait(10), 60, "busy")
    waiting = device.submit(lambda: None, 60, "waiting")
    device.shutdown()
    with pytest.raises(RuntimeError, match="shut down"):
        waiting.wait(5)
    go.set()
