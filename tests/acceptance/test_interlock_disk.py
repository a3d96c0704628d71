"""A disk that fills up: the run is held up in the dark before anything fails to write, and nothing is missing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from bluesky.utils import RunEngineInterrupted

from cryopl_bluesky import plans
from cryopl_bluesky.catalog.load import load_measurement
from cryopl_bluesky.catalog.queries import find_run
from cryopl_bluesky.catalog.tags import open_tags
from cryopl_bluesky.session import Session

from .conftest import Recorder, is_safe

pytestmark = pytest.mark.slow

PLENTY_MB = 1e6
HELD_S = 60.0


class Disk:
    """What the session's guard is told of the disk, and a helper that acts while a run is held up."""

    def __init__(self, session: Session):
        self._session = session
        self.free_MB = PLENTY_MB
        self.said: list[str] = []
        session.disk.free_MB = lambda: self.free_MB
        session.interlocks._tell = lambda interlock, text: self.said.append(text)
        self._failures: list[Exception] = []

    @property
    def held_up(self) -> bool:
        return self._session.interlocks.held_by == "disk"

    def while_held_up(self, action: Callable[[], object]) -> threading.Thread:
        """Wait until a run is held up, and then do something on a thread of its own."""

        def act() -> None:
            try:
                deadline_s = time.monotonic() + HELD_S
                while not self.held_up:
                    assert time.monotonic() < deadline_s, "the run was not held up"
                    time.sleep(0.05)
                action()
            except Exception as error:  # noqa: BLE001 - raised in `check`, on the thread of the test
                self._failures.append(error)
            finally:
                self.free_MB = PLENTY_MB  # however a test ends, its run does

        thread = threading.Thread(target=act, daemon=True)
        thread.start()
        return thread

    def check(self, thread: threading.Thread) -> None:
        thread.join(HELD_S)
        assert not thread.is_alive()
        if self._failures:
            raise self._failures[0]


@pytest.fixture
def disk(session: Session) -> Disk:
    return Disk(session)


def after_events(session: Session, number: int, action: Callable[[], object]) -> None:
    """Do something at the event of this number in the primary stream."""

    def note(name, document):
        if document["seq_num"] == number and "cryostat_temperature_K" in document["data"]:
            session.RE.unsubscribe(token)
            action()

    token = session.RE.subscribe(note, "event")


def in_stream(recorder: Recorder, name: str) -> list[dict]:
    uids = {d["uid"] for d in recorder.of("descriptor") if d["name"] == name}
    return [e for e in recorder.of("event") if e["descriptor"] in uids]


def check_frames(session: Session, recorder: Recorder, number: int) -> None:
    """Every event is there once, in the light, with its frame; journal and catalog agree."""
    (stop,) = recorder.of("stop")
    assert stop["exit_status"] == "success"
    events = in_stream(recorder, "primary")
    assert [e["seq_num"] for e in events] == list(range(1, number + 1))
    means = [e["data"]["camera_mean_adu"] for e in events]
    assert np.ptp(means) < 0.05 * (np.mean(means) - 100)
    assert max(d["indices"]["stop"] for d in recorder.of("stream_datum")) == number
    journal = session.folder.journal / f"{stop['run_start']}.jsonl"
    written = [json.loads(line)["name"] for line in journal.read_text().splitlines()]
    assert written == [name for name, _ in recorder.documents]
    assert session.feeder.wait_until_delivered(30)
    run = load_measurement(find_run(session.cat, stop["run_start"]))
    assert run.num_events == number
    frames = run.frames["camera_image"]
    assert frames.shape[0] == number
    for index, mean in enumerate(means):
        assert np.asarray(frames[index]).mean() == pytest.approx(mean)
    assert list(run.client["interlocks"].read()["interlock_state"].values) == ["held", "released"]


def test_a_run_is_held_up_in_the_dark_and_goes_on_when_there_is_room(session, disk: Disk, recorder: Recorder):
    def look() -> None:
        assert is_safe(session) and session.RE.state == "running"
        before = len(recorder.of("event"))
        disk.free_MB = 1.2 * 500  # above the reserve, but not by a quarter
        time.sleep(2.5)
        assert disk.held_up and is_safe(session)
        assert len(recorder.of("event")) == before

    thread = disk.while_held_up(look)
    after_events(session, 2, lambda: setattr(disk, "free_MB", 450.0))
    recorder.clear()
    session.RE(plans.spectral_image(session.instruments, exposure_s=2.0, frames=6))
    disk.check(thread)
    assert is_safe(session)
    check_frames(session, recorder, 6)

    short, enough = in_stream(recorder, "interlocks")
    assert short["data"]["interlock_name_of"] == enough["data"]["interlock_name_of"] == "disk"
    assert enough["time"] - short["time"] > 2
    said = disk.said[0]
    assert said == short["data"]["interlock_cause"]
    for part in ("450 MB", "500 MB", str(session.folder.root), "625 MB", "Make room", "laser is locked"):
        assert part in said


def test_a_run_whose_frames_do_not_fit_does_not_begin_until_they_do(session, disk: Disk, recorder: Recorder):
    recorder.clear()

    def look() -> None:
        time.sleep(1.2)
        assert is_safe(session) and not recorder.documents
        disk.free_MB = 650.0
        time.sleep(1.2)

    disk.free_MB = 510.0
    thread = disk.while_held_up(look)
    session.RE(plans.widefield_image(session.instruments, exposure_s=0.1, frames=2))
    disk.check(thread)
    assert "has not begun" in disk.said[0] and "17 MB for the frames of this run" in disk.said[0]
    (stop,) = recorder.of("stop")
    assert stop["exit_status"] == "success" and stop["num_events"]["primary"] == 2
    assert "interlocks" not in stop["num_events"]


def test_a_pause_by_hand_while_held_up_repeats_nothing(session, disk: Disk, recorder: Recorder):
    thread = disk.while_held_up(lambda: (time.sleep(1.5), session.RE.request_pause(), time.sleep(1.0)))
    after_events(session, 2, lambda: setattr(disk, "free_MB", 450.0))
    recorder.clear()
    with pytest.raises(RunEngineInterrupted):
        session.RE(plans.spectral_image(session.instruments, exposure_s=2.0, frames=4))
    disk.check(thread)
    session.RE.resume()
    check_frames(session, recorder, 4)


def test_an_abort_while_held_up_is_an_abort(session, disk: Disk, recorder: Recorder):
    thread = disk.while_held_up(lambda: session.RE.abort("enough"))
    after_events(session, 2, lambda: setattr(disk, "free_MB", 450.0))
    recorder.clear()
    with pytest.raises(RunEngineInterrupted):
        session.RE(plans.spectral_image(session.instruments, exposure_s=2.0, frames=4))
    disk.check(thread)
    assert is_safe(session)
    (stop,) = recorder.of("stop")
    assert stop["exit_status"] == "abort" and stop["num_events"]["primary"] == 2


def test_tags_that_fill_the_disk_are_held_up_during_the_acquisition(open_session):
    session = open_session(speed=30.0)
    disk, recorder = Disk(session), Recorder(session)

    def fill(name, document):
        session.RE.unsubscribe(token)
        disk.free_MB = 450.0

    def look() -> None:
        assert is_safe(session)
        time.sleep(1.5)
        assert is_safe(session) and not in_stream(recorder, "primary")

    thread = disk.while_held_up(look)
    token = session.RE.subscribe(fill, "stream_datum")
    session.RE(plans.g2(session.instruments, duration_s=120.0, wavelengths_nm=[525.0]))
    disk.check(thread)
    (stop,) = recorder.of("stop")
    (event,) = in_stream(recorder, "primary")
    assert stop["exit_status"] == "success" and event["data"]["hbt_capture_duration_s"] == pytest.approx(120, rel=0.01)
    assert len(in_stream(recorder, "interlocks")) == 2
    assert session.feeder.wait_until_delivered(60)
    with open_tags(find_run(session.cat, stop["run_start"])) as tags:
        assert tags.number == max(d["indices"]["stop"] for d in recorder.of("stream_datum"))
        assert 0 < event["data"]["hbt_first_tag"] < event["data"]["hbt_stop_tag"] == tags.number


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 470 MB; the writers leave 268 MB of it alone."""
    folder = tmp_path / "small"
    folder.mkdir()
    if sys.platform != "linux":
        pytest.skip("a small tmpfs can only be mounted on Linux")
    try:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=450m", "tmpfs", str(folder)],
                                 capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    if subprocess.run(["umount", str(folder)]).returncode:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_on_a_small_disk_nothing_fails_and_nothing_is_missing(open_session, small_disk: Path):
    session = open_session(data=small_disk / "data", disk={"reserve_MB": 300.0}, speed=1000.0)
    recorder, said, failures = Recorder(session), [], []
    session.interlocks._tell = lambda interlock, text: said.append(text)
    filler = small_disk / "filler"

    def fill() -> None:
        filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - 290_000_000))

    def make_room() -> None:
        try:
            while not said:
                time.sleep(0.05)
            assert is_safe(session)
            time.sleep(2.0)
            assert len(said) == 1 and is_safe(session)
        except AssertionError as error:
            failures.append(error)
        finally:
            filler.unlink()

    thread = threading.Thread(target=make_room, daemon=True)
    thread.start()
    after_events(session, 3, fill)
    session.RE(plans.spectral_image(session.instruments, exposure_s=1.0, frames=6))
    thread.join(30)
    assert len(said) == 2 and not failures
    check_frames(session, recorder, 6)
    session.close()  # before its disk goes
