"""The camera device: frames on disk before their events, documents by the rules, exposing ahead."""

from __future__ import annotations

import threading
from collections import defaultdict
from pathlib import Path

import event_model
import h5py
import hdf5plugin  # noqa: F401 - registers the decompressor
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import FailedStatus, Msg

from cryopl_bluesky.clock import SystemClock
from cryopl_bluesky.devices.camera import Camera, frame_statistics
from cryopl_bluesky.drivers.errors import InstrumentError, InstrumentTimeoutError, LimitError

from .stand_ins import SENSOR, CameraDriver


@pytest.fixture
def driver():
    driver = CameraDriver(SystemClock())
    driver._exposure_s = 0.02
    return driver


@pytest.fixture
def camera(driver, tmp_path):
    camera = Camera(driver, name="camera", clock=driver.clock, data_dir=tmp_path / "my data")
    camera.refresh()
    yield camera
    camera.shutdown()


class Documents(list):
    def __call__(self, name, doc):
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)
        self.append((name, doc))

    def of(self, kind):
        return [doc for name, doc in self if name == kind]


@pytest.fixture
def docs():
    return Documents()


@pytest.fixture
def RE(docs):
    RE = RunEngine({}, context_managers=[])
    RE.subscribe(lambda name, doc: docs(name, doc))
    return RE


def events(camera, number, between=lambda i: bps.null()):
    for i in range(number):
        yield from between(i)
        yield Msg("checkpoint")
        yield Msg("trigger", camera, group=i)
        yield Msg("wait", None, group=i)
        yield Msg("create", None, name="primary")
        yield Msg("read", camera)
        yield Msg("save")


def run(camera, number, **kwargs):
    return bpp.stage_wrapper(bpp.run_wrapper(events(camera, number, **kwargs)), [camera])


def file_of(docs) -> Path:
    (resource,) = docs.of("stream_resource")
    assert resource["uri"].startswith("file://localhost/")
    return Path("/" + resource["uri"].removeprefix("file://localhost/").lstrip("/"))


def frames_in(docs):
    with h5py.File(file_of(docs)) as f:
        return f["/entry/data/data"][:]


def test_each_event_has_one_frame_that_was_on_disk_before_it(RE, docs, camera, tmp_path):
    seen = []

    def look(name, doc):
        if name == "event":
            with h5py.File(file_of(docs), swmr=True) as f:
                seen.append(f["/entry/data/data"].shape[0])

    RE.subscribe(look)
    RE(run(camera, 3))
    assert seen == [1, 2, 3]
    (resource,) = docs.of("stream_resource")
    parameters = {"dataset": "/entry/data/data", "chunk_shape": [1, *SENSOR], "swmr": True}
    assert resource["parameters"] == parameters
    assert resource["data_key"] == "camera_image"
    for i, datum in enumerate(docs.of("stream_datum")):
        assert datum["indices"] == {"start": i, "stop": i + 1}
        assert datum["seq_nums"] == {"start": i + 1, "stop": i + 2}
    assert file_of(docs).is_relative_to(tmp_path / "my data" / "frames")
    np.testing.assert_array_equal(frames_in(docs), np.arange(3)[:, None, None] * np.ones((3, *SENSOR), int))


def test_numbers_have_the_promised_names_and_types(RE, docs, camera):
    RE(run(camera, 2))
    (descriptor,) = docs.of("descriptor")
    keys = descriptor["data_keys"]
    assert set(keys) == {"camera_image", "camera_mean_adu", "camera_max_adu", "camera_saturated_px",
                         "camera_frame_time_s"}
    image = keys["camera_image"]
    assert image["shape"] == list(SENSOR) and image["dtype_numpy"] == "<u2" and image["external"] == "STREAM:"
    assert descriptor["hints"]["camera"]["fields"] == ["camera_mean_adu"]
    last = docs.of("event")[-1]
    assert last["data"]["camera_mean_adu"] == 1.0 and type(last["data"]["camera_saturated_px"]) is int
    assert type(last["data"]["camera_mean_adu"]) is float
    assert abs(last["data"]["camera_frame_time_s"] - last["time"]) < 5
    configuration = descriptor["configuration"]["camera"]["data"]
    assert configuration["camera_exposure_s"] == 0.02 and configuration["camera_gain"] == "16-bit"
    assert configuration["camera_model"] == "ZL41" and configuration["camera_roi_width"] == SENSOR[1]


def test_each_run_has_its_own_file_which_describes_itself(RE, docs, camera):
    RE(run(camera, 1))
    first = file_of(docs)
    docs.clear()
    RE(run(camera, 2))
    assert file_of(docs) != first
    with h5py.File(file_of(docs)) as f:
        attrs = dict(f["/entry/instrument/camera"].attrs)
        assert attrs["exposure_s"] == 0.02 and attrs["gain"] == "16-bit" and attrs["serial"] == "VSC-1"
        assert f["/entry/data/trigger_time_s"].shape == f["/entry/data/camera_time_s"].shape == (2,)
        assert np.all(np.diff(f["/entry/data/trigger_time_s"]) > 0)


def test_a_series_is_exposed_ahead_and_no_further(RE, docs, camera, driver):
    def plan():
        yield from bps.abs_set(camera.frames_expected, 3, wait=True)
        yield from run(camera, 3)

    RE(plan())
    assert driver.exposures == 3
    order = [c for c in driver.calls if c in ("fire", "frame")]
    assert order == ["fire", "frame", "fire", "frame", "fire", "frame"]
    assert camera.frames_expected.get() == 1
    assert frames_in(docs)[:, 0, 0].tolist() == [0, 1, 2]


def test_exposing_ahead_overlaps_with_the_time_between_events(RE, camera, driver):
    driver._exposure_s = 0.1
    camera.refresh()
    fired = []
    fire = driver.fire
    driver.fire = lambda: (fired.append(driver.clock.monotonic()), fire())

    def plan():
        yield from bps.abs_set(camera.frames_expected, 5, wait=True)
        yield from run(camera, 5, between=lambda i: bps.sleep(0.05))

    RE(plan())
    assert np.median(np.diff(fired)) < 0.14  # one of them may be late on a busy computer


@pytest.mark.parametrize("change", ["announce", "pause", "late"])
def test_a_frame_exposed_ahead_is_not_used_when_it_may_show_something_else(camera, driver, change):
    camera.frames_expected.set(9).wait(5)
    camera.stage()
    camera.trigger().wait(5)
    assert driver.exposures == 2
    if change == "announce":
        camera.frames_expected.set(1).wait(5)
    elif change == "pause":
        camera.pause()
        camera.resume()
    else:
        driver.clock.sleep(1.2)
    camera.trigger().wait(5)
    assert camera.mean_adu.get() == 2.0
    camera.unstage()


def test_a_lost_frame_is_exposed_once_more(RE, docs, camera, driver):
    driver.timeouts = 1
    RE(run(camera, 2))
    assert frames_in(docs)[:, 0, 0].tolist() == [1, 2]
    assert len(docs.of("event")) == 2


def test_two_lost_frames_fail_the_run_and_leave_a_closed_file(RE, docs, camera, driver):
    def lose(i):
        if i == 1:
            driver.timeouts = 2
        yield from bps.null()

    with pytest.raises(FailedStatus) as failure:
        RE(run(camera, 3, between=lose))
    assert isinstance(failure.value.__cause__, InstrumentTimeoutError)
    assert docs.of("stop")[0]["exit_status"] == "fail"
    assert len(docs.of("event")) == 1 and frames_in(docs).shape[0] == 1
    assert not driver.is_armed


def test_a_trigger_refused_ahead_does_not_cost_the_frame_before_it(camera, driver):
    camera.frames_expected.set(2).wait(5)
    camera.stage()
    fire = driver.fire

    def fire_once():
        fire()
        driver.fire_errors, driver.fire = 1, fire

    driver.fire = fire_once
    camera.trigger().wait(5)
    assert camera.get_index() == 1
    camera.trigger().wait(5)
    assert camera.get_index() == 2
    camera.unstage()


def test_settings_are_fixed_once_the_run_has_frames(camera):
    camera.stage()
    camera.exposure_s.set(0.01).wait(5)
    camera.trigger().wait(5)
    for change in (lambda: camera.set_roi(width=16), lambda: camera.binning.set(2),
                   lambda: camera.exposure_s.set(1.0), lambda: camera.gain.set("12-bit")):
        with pytest.raises(InstrumentError, match=r"this run has frames already.*another run"):
            change().wait(5)
    camera.unstage()
    camera.binning.set(2).wait(5)
    assert camera.describe()["camera_image"]["shape"] == [SENSOR[0] // 2, SENSOR[1] // 2]


def test_a_region_that_does_not_fit_is_refused_at_once(camera, driver):
    for bad in (
        {"left": -1}, {"left": 40, "width": 16}, {"width": 0}, {"width": 15, "binning": 2}, {"binning": 3}
    ):
        with pytest.raises(LimitError, match=r"camera: (width|binning)"):
            camera.set_roi(**bad)
    camera.set_roi(left=8, top=4, binning=4).wait(5)
    assert (camera.roi_left.get(), camera.roi_width.get(), camera.binning.get()) == (8, 40, 4)


def test_a_region_that_the_camera_rounds_is_an_error_not_a_surprise(camera):
    with pytest.raises(InstrumentError, match="is not possible, the camera took"):
        camera.set_roi(width=20).wait(5)
    assert camera.roi_width.get() == 16


def test_an_exposure_outside_the_limits_is_refused_before_anything_is_sent(camera, driver):
    with pytest.raises(LimitError, match=r"exposure_s=100 is above the maximum of 30 s"):
        camera.exposure_s.set(100)
    assert "set_exposure" not in driver.calls


def test_exposing_unstaged_is_refused(camera):
    with pytest.raises(InstrumentError, match="not staged"):
        camera.trigger()


def test_the_runengine_never_replays_around_it(camera):
    assert camera.rewindable.get() is False


def test_a_full_disk_fails_the_run_with_its_name(RE, docs, camera, monkeypatch):
    monkeypatch.setattr("cryopl_bluesky.devices.disk_space.shutil.disk_usage",
                        lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(FailedStatus) as failure:
        RE(run(camera, 1))
    assert "cannot write frame 0" in str(failure.value.__cause__)
    assert "make room" in str(failure.value.__cause__)


def test_abort_in_the_middle_leaves_a_closed_readable_file(RE, docs, camera, driver):
    def interrupt(i):
        if i == 2:
            threading.Timer(0.01, RE.abort).start()
            yield from bps.sleep(5)

    from bluesky.utils import RunEngineInterrupted

    with pytest.raises(RunEngineInterrupted):
        RE(run(camera, 5, between=interrupt))
    assert frames_in(docs).shape[0] == 2 and not driver.is_armed


def test_cooling_is_switched_on_when_the_profile_says_so(driver, tmp_path):
    camera = Camera(driver, name="camera", clock=driver.clock, data_dir=tmp_path, cooling_setpoint_C=0.0)
    assert driver.calls == []
    camera.refresh()
    assert driver.calls == ["cool True 0.00"]
    camera.shutdown()
    assert driver.closed


def test_statistics_agree_with_plain_numpy():
    rng = np.random.default_rng(0)
    for high in (200, 65536):
        frame = rng.integers(0, high, (300, 2048), dtype="<u2")
        mean, highest, saturated = frame_statistics(frame, 65535)
        assert mean == pytest.approx(frame.mean(), rel=1e-12)
        assert highest == frame.max() and saturated == (frame >= 65535).sum()


def test_events_keep_pace_with_their_frames(RE, docs, camera):
    by_stream = defaultdict(int)
    RE(run(camera, 4))
    for event in docs.of("event"):
        by_stream[event["descriptor"]] += 1
    assert list(by_stream.values()) == [4]
