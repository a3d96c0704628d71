"""Time tags as data of a run: complete, linked while they are counted, and readable whatever happened."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from bluesky.utils import FailedStatus, RunEngineInterrupted

from cryopl_bluesky import plans
from cryopl_bluesky.catalog import tags as tags_module
from cryopl_bluesky.catalog.access import read_catalog
from cryopl_bluesky.catalog.load import load_measurement
from cryopl_bluesky.catalog.queries import find_run, runs_table
from cryopl_bluesky.catalog.tags import NoTagsError, open_tags

from .conftest import Recorder, is_safe
from .measuring import measuring, wait_for


def run_plan(session, plan):
    (uid,) = session.RE(plan)
    assert session.feeder.wait_until_delivered(30)
    return find_run(session.cat, uid)


def all_tags(tags, acquisition=None):
    return tuple(np.concatenate(parts) for parts in zip(*tags.chunks(acquisition), strict=True))


def test_each_event_of_g2_knows_its_tags(session):
    run = run_plan(session, plans.g2(session.instruments, duration_s=3.0, wavelengths_nm=[525.0, 528.0]))
    data = load_measurement(run).data
    with open_tags(run) as tags:
        assert [(a.first_tag, a.stop_tag) for a in tags.acquisitions] == list(
            zip(data["hbt_first_tag"], data["hbt_stop_tag"], strict=True))
        assert tags.number == data["hbt_stop_tag"][-1]
        assert tags.channels["spad2"].input_delay_ps == -1700
        for event in range(2):
            times, channels = all_tags(tags, event)
            assert (np.diff(times) >= 0).all()
            for role in ("spad1", "spad2"):
                number = tags.channels[role].channel
                assert (channels == number).sum() == data[f"hbt_{role}_counts"][event]
            assert tags.acquisitions[event].capture_s == data["hbt_capture_duration_s"][event] == 3.0
    assert Path(data["hbt_tag_file"][0]).is_file()


def test_tags_are_slices_of_an_array_in_the_catalog(session):
    run = run_plan(session, plans.decay(session.instruments, duration_s=2.0, store_tags=True))
    with open_tags(run) as tags:
        times, channels = all_tags(tags)
    node = run.base["tags"].base["hbt_tag_time_ps"]
    assert node.shape == times.shape and node.dtype == np.int64
    np.testing.assert_array_equal(node[1000:1010], times[1000:1010])
    numbers = run.base["tags"].base["hbt_tag_channel"]
    assert numbers.dtype == np.int8
    np.testing.assert_array_equal(numbers[:], channels)


def test_on_another_computer_they_come_through_the_catalog(session, monkeypatch):
    run = run_plan(session, plans.g2(session.instruments, duration_s=1.0, wavelengths_nm=[525.0, 527.0]))
    with open_tags(run) as tags:
        here = all_tags(tags, 1)
    monkeypatch.setattr(tags_module, "_local_path", lambda node: None)
    with open_tags(run) as far:
        assert far.acquisitions == tags.acquisitions and far.channels == tags.channels
        for there, expected in zip(all_tags(far, 1), here, strict=True):
            assert there.dtype == expected.dtype
            np.testing.assert_array_equal(there, expected)


def test_a_run_without_tags_says_how_to_get_them(session):
    run = run_plan(session, plans.decay(session.instruments, duration_s=1.0))
    with pytest.raises(NoTagsError, match="has no time tags; they are stored with store_tags=True"):
        open_tags(run)


def test_an_aborted_run_keeps_its_tags(session, recorder: Recorder):
    recorder.clear()
    linked = threading.Event()
    token = session.RE.subscribe(lambda name, document: linked.set(), "stream_datum")
    thread = threading.Thread(target=lambda: (linked.wait(60), session.RE.abort("enough")), daemon=True)
    thread.start()
    with pytest.raises(RunEngineInterrupted):
        session.RE(plans.g2(session.instruments, duration_s=20_000.0))
    thread.join(30)
    session.RE.unsubscribe(token)
    assert is_safe(session)
    (stop,) = recorder.of("stop")
    assert session.feeder.wait_until_delivered(30)
    run = find_run(session.cat, stop["run_start"])
    documented = max(d["indices"]["stop"] for d in recorder.of("stream_datum"))
    assert run.base["tags"].base["hbt_tag_time_ps"].shape[0] == documented
    with open_tags(run) as tags:
        assert tags.number >= documented > 1000
        assert tags.acquisitions == () and tags.interrupted == ((0, tags.number),)


def test_after_a_pause_an_acquisition_is_counted_anew(session, recorder: Recorder):
    recorder.clear()
    linked = threading.Event()
    token = session.RE.subscribe(lambda name, document: linked.set(), "stream_datum")
    thread = threading.Thread(target=lambda: (linked.wait(60), session.RE.request_pause()), daemon=True)
    thread.start()
    with pytest.raises(RunEngineInterrupted):
        session.RE(plans.g2(session.instruments, duration_s=600.0, store_tags=True))
    thread.join(30)
    session.RE.unsubscribe(token)
    session.instruments.hbt.duration_s.set(1.0).wait(5)
    session.RE.resume()
    (stop,) = recorder.of("stop")
    assert stop["exit_status"] == "success"
    assert session.feeder.wait_until_delivered(30)
    run = find_run(session.cat, stop["run_start"])
    data = load_measurement(run).data
    assert data["hbt_capture_duration_s"].tolist() == [1.0]
    with open_tags(run) as tags:
        (counted,) = tags.acquisitions
        assert counted.first_tag == data["hbt_first_tag"][0] > 0
        assert tags.interrupted == ((0, counted.first_tag),)


def test_lost_tags_are_in_the_file_of_the_run_that_failed(session, recorder: Recorder):
    recorder.clear()
    session.lab.bench.set_fault("hbt.overflow", 0.05)
    with pytest.raises(FailedStatus):
        session.RE(plans.g2(session.instruments, duration_s=3.0))
    session.lab.bench.clear_fault("hbt.overflow")
    (stop,) = recorder.of("stop")
    assert "overflow" in stop["reason"]
    assert session.feeder.wait_until_delivered(30)
    with open_tags(find_run(session.cat, stop["run_start"])) as tags:
        assert tags.losses and tags.losses[0].missed[tags.channels["spad1"].channel] > 0


@pytest.mark.slow
def test_a_killed_session_leaves_its_tags_to_the_last_second(tmp_path, environment):
    data = tmp_path / "data"
    process = measuring(data, environment, "g2(session.instruments, duration_s=60.0)", 1.0)
    try:
        for _ in range(2):
            wait_for(process, "stream_datum")
        first_s = time.monotonic()
        for _ in range(8):
            wait_for(process, "stream_datum")
        watched_s = time.monotonic() - first_s
    finally:
        process.kill()
        process.wait()

    (journal,) = (data / "journal").glob("*.jsonl")
    written = [json.loads(line) for line in journal.read_text().splitlines() if line.endswith("}")]
    documented = max(d["doc"]["indices"]["stop"] for d in written if d["name"] == "stream_datum")

    again = measuring(data, environment, "dark(session.instruments, exposure_s=0.1, frames=1)", 1000.0)
    _, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    with read_catalog(data) as catalog:
        (row,) = [row for row in runs_table(catalog.client) if row.measurement == "g2"]
        run = find_run(catalog.client, row.uid)
        assert "interrupted" in load_measurement(run).stop["reason"]
        assert run.base["tags"].base["hbt_tag_time_ps"].shape[0] == documented
        with open_tags(run) as tags:
            assert tags.number >= documented
            times, _ = all_tags(tags)
    assert (times[-1] - times[0]) / 1e12 > watched_s - 1.0


@pytest.mark.slow
def test_tags_show_up_while_they_are_counted(tmp_path, environment):
    data = tmp_path / "data"
    process = measuring(data, environment, "g2(session.instruments, duration_s=60.0)", 1.0)
    try:
        wait_for(process, "stream_datum")
        with read_catalog(data) as catalog:
            run = find_run(catalog.client, "last")
            numbers = []
            deadline_s = time.monotonic() + 60
            while len(set(numbers)) < 3 and time.monotonic() < deadline_s:
                with suppress(KeyError):  # not delivered yet
                    number = run.base["tags"].base["hbt_tag_time_ps"].shape[0]
                    if number:  # the file is announced before its first tags
                        numbers.append(number)
                time.sleep(0.3)
            assert numbers[-1] > numbers[0] > 0
            times = np.asarray(run.base["tags"].base["hbt_tag_time_ps"][numbers[-1] - 100 : numbers[-1]])
            assert (np.diff(times) >= 0).all() and times[0] > 0
    finally:
        process.kill()
        process.wait()
