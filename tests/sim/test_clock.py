import itertools
import threading
import time

import pytest

from cryopl_bluesky.clock import Clock, SystemClock
from cryopl_bluesky.sim.clock import BenchClock


def test_both_clocks_keep_the_protocol():
    assert isinstance(SystemClock(), Clock)
    assert isinstance(BenchClock(10), Clock)


def test_a_sleep_ends_at_its_alarm_and_not_later():
    clock = BenchClock(speed=1000)
    before = clock.monotonic()
    started = time.monotonic()
    clock.sleep(200)
    assert clock.monotonic() - before == pytest.approx(200, abs=0.5)
    assert time.monotonic() - started < 20


def test_computing_does_not_count_as_bench_time():
    clock = BenchClock(speed=1000)
    before = clock.monotonic()
    time.sleep(0.2)
    assert clock.monotonic() - before < 5


def test_a_background_task_does_not_drive_time():
    clock = BenchClock(speed=1000)
    calls: list[float] = []
    task = clock.periodic(1.0, lambda: calls.append(clock.monotonic()), "watcher")
    time.sleep(0.3)
    assert clock.monotonic() < 5
    task.cancel()


def test_time_waits_for_a_background_task_but_a_stuck_one_does_not_stop_it():
    clock = BenchClock(speed=1000)
    calls: list[float] = []

    def poll():
        clock.sleep(0.2)
        calls.append(clock.monotonic())

    task = clock.periodic(1.0, poll, "poll")
    clock.sleep(100)
    task.cancel()
    assert 40 <= len(calls) <= 100
    assert max(b - a for a, b in itertools.pairwise(calls)) < 3.5

    stuck = threading.Event()
    task = clock.periodic(1.0, lambda: stuck.wait(5), "stuck")
    clock.sleep(1.5)
    stuck.set()
    task.cancel()


def test_a_failing_background_task_goes_on(caplog):
    clock = BenchClock(speed=1000)
    calls: list[int] = []

    def fails():
        calls.append(1)
        raise ValueError("no")

    task = clock.periodic(1.0, fails, "fails")
    clock.sleep(100)
    task.cancel()
    assert len(calls) >= 40
    assert "periodic task fails failed" in caplog.text


def test_wait_returns_when_the_event_is_set_or_the_time_is_over():
    clock = BenchClock(speed=1000)
    event = threading.Event()
    assert clock.wait(event, 50) is False
    threading.Timer(0.05, event.set).start()
    assert clock.wait(event, 1e6) is True


def test_many_sleepers_wake_in_order():
    clock = BenchClock(speed=500)
    woken: list[tuple[int, float]] = []
    start = clock.monotonic()

    def sleeper(seconds: int):
        clock.sleep(seconds)
        woken.append((seconds, clock.monotonic() - start))

    threads = [threading.Thread(target=sleeper, args=(s,)) for s in (90, 30, 60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [seconds for seconds, _ in woken] == [30, 60, 90]


def test_speed_must_be_positive():
    with pytest.raises(ValueError, match="speed=0"):
        BenchClock(speed=0)


def test_a_late_background_task_that_waits_for_an_answer_does_not_make_time_real():
    clock = BenchClock(speed=1000)

    def poll():
        for _ in range(4):
            time.sleep(0.0005)  # computing that makes it late at this speed
            clock.sleep(0.17)

    task = clock.periodic(1.0, poll, "poll")
    started = time.monotonic()
    clock.sleep(100)
    task.cancel()
    assert time.monotonic() - started < 10  # with each late answer in real time: more than 25 s
