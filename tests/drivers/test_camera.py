"""The camera driver through the unmodified pylablib on the virtual SDK3 library."""

import math
import threading
import time

import numpy as np
import pytest

from cryopl_bluesky.drivers.camera import AndorCamera, FrameTimeoutError, Roi
from cryopl_bluesky.drivers.errors import InstrumentError, LimitError, NotConnectedError
from cryopl_bluesky.sim.andor import install
from cryopl_bluesky.sim.bench import Bench
from cryopl_bluesky.sim.clock import BenchClock

SMALL = Roi(left=900, top=960, width=128, height=64, binning=1)


class Lamp:
    """A scene whose brightness the test sets, in photo-electrons per second and pixel."""

    def __init__(self):
        self.scene = np.zeros((2048, 2048), np.float32)

    def __call__(self):
        return self.scene


@pytest.fixture
def lamp():
    return Lamp()


@pytest.fixture
def bench(lamp):
    bench = Bench(clock=BenchClock(50.0), sample=None, thermal=None)
    uninstall = install(bench, lamp)
    yield bench
    uninstall()


@pytest.fixture
def camera(bench):
    with AndorCamera(bench.clock) as camera:
        camera.set_roi(SMALL)
        camera.set_exposure(0.05)
        yield camera


def expose(camera, **kwargs):
    camera.fire()
    return camera.wait_frame(**kwargs)


def test_frames_come_in_order_with_the_cameras_time(camera):
    camera.arm()
    frames = [expose(camera) for _ in range(12)]  # more than the ring holds
    assert [frame.index for frame in frames] == list(range(12))
    assert np.all(np.diff([frame.timestamp_s for frame in frames]) >= 0.05)
    assert frames[0].image.shape == camera.frame_shape() == (64, 128)
    assert frames[0].image.dtype == np.dtype("<u2")


def test_a_full_frame_and_a_binned_one(camera, lamp):
    lamp.scene[:] = 100.0
    camera.set_roi(Roi(0, 0, 2048, 2048, 1))
    camera.arm()
    full = expose(camera).image
    camera.set_roi(Roi(0, 0, 2048, 2048, 4))
    assert camera.is_armed
    binned = expose(camera).image
    assert full.shape == (2048, 2048) and binned.shape == (512, 512)
    assert np.median(binned) - 100 == pytest.approx(16 * (full.mean() - 100), rel=0.05)


@pytest.mark.parametrize("gain", ["12-bit (high well capacity)", "12-bit (low noise)",
                                  "16-bit (low noise & high well capacity)"])
def test_gain_and_read_noise_come_back_from_the_statistics(camera, lamp, gain):
    assert camera.set_gain(gain) == gain
    camera.set_cooling(True, "0.00")
    camera.arm()

    def mean_and_variance(electrons):
        lamp.scene[:] = electrons / camera.exposure_s()
        first, second = (expose(camera).image.astype(float) for _ in range(2))
        return (first + second).mean() / 2, ((first - second).var()) / 2

    dark_mean, dark_variance = mean_and_variance(0.0)
    mean, variance = mean_and_variance(2000.0 if "high well" in gain else 500.0)
    measured_gain = (mean - dark_mean) / (variance - dark_variance)
    assert measured_gain == pytest.approx(camera.gain_e_per_adu(), rel=0.08)
    noise_e = math.sqrt(dark_variance - 1 / 12) * camera.gain_e_per_adu()
    assert noise_e == pytest.approx(camera.read_noise_e(), rel=0.15)
    assert dark_mean == pytest.approx(camera.baseline_adu(), abs=2)


def test_a_dark_scene_gives_a_dark_frame_and_a_bright_one_saturates(camera, lamp):
    camera.arm()
    assert expose(camera).image.mean() == pytest.approx(100, abs=2)
    lamp.scene[:] = 1e7
    assert expose(camera).image.min() == camera.full_scale_adu() == 65535


def test_exposure_is_quantised_and_refused_outside_the_limits(camera):
    low, high = camera.exposure_limits_s()
    assert camera.set_exposure(0.1) == pytest.approx(0.1, abs=1e-5)
    assert high == 30.0
    with pytest.raises(LimitError, match="exposure_s=100 is above the maximum of 30 s"):
        camera.set_exposure(100.0)
    with pytest.raises(LimitError):
        camera.set_exposure(low / 10)
    assert camera.exposure_s() == pytest.approx(0.1, abs=1e-5)
    camera.set_exposure(1.0)
    camera.set_exposure(0.01)
    assert camera.frame_period_s() < 0.05  # the period of the long exposure does not stay


@pytest.mark.parametrize("roi, what", [
    (Roi(0, 0, 2049, 10), "roi_width"), (Roi(-1, 0, 10, 10), "roi_left"),
    (Roi(2000, 0, 100, 10), "roi_width"),
    (Roi(0, 0, 101, 10, 2), "roi_width"), (Roi(0, 0, 100, 100, 5), "binning"),
])
def test_a_roi_that_does_not_fit_is_refused_and_the_old_one_stays(camera, roi, what):
    with pytest.raises(LimitError, match=what):
        camera.set_roi(roi)
    assert camera.roi() == SMALL


def test_cameras_that_bin_by_enum_only(bench):
    bench.faults["camera.aoi_binning_only"] = 1
    from cryopl_bluesky.sim.andor import install as install_again

    uninstall = install_again(bench, Lamp())
    with AndorCamera(bench.clock) as camera:
        roi = Roi(100, 200, 400, 300, 2)
        assert camera.set_roi(roi) == roi
        camera.arm()
        assert expose(camera).image.shape == (150, 200)
    uninstall()


def test_a_lost_trigger_is_reported_and_the_camera_is_ready_again(bench, camera):
    camera.arm()
    bench.faults["camera.lost_trigger"] = 1
    with pytest.raises(FrameTimeoutError) as caught:
        expose(camera, margin_s=0.3)
    assert caught.value.recovered and camera.recovered and camera.is_armed
    assert expose(camera).image.shape == (64, 128)


@pytest.mark.parametrize("code", [17, 100])
def test_a_buffer_error_that_passes_is_recovered_from(bench, camera, code):
    camera.arm()
    bench.faults.update({"camera.wait_buffer": code, "camera.wait_buffer_times": 1})
    with pytest.raises(FrameTimeoutError) as caught:
        expose(camera, margin_s=0.5)
    assert caught.value.recovered
    assert expose(camera).image.shape == (64, 128)


def test_a_camera_that_stays_broken_says_so(bench, camera):
    camera.arm()
    bench.faults.update({"camera.wait_buffer": 17, "camera.wait_buffer_always": 1})
    with pytest.raises(FrameTimeoutError, match="starting again failed too") as caught:
        expose(camera, margin_s=0.5)
    assert not caught.value.recovered and not camera.is_armed
    bench.faults.clear()


@pytest.mark.parametrize("fault", ["camera.stops", "camera.overflow"])
def test_stopping_by_itself_and_overflow_are_errors_not_endless_waits(bench, camera, fault):
    camera.arm()
    bench.faults[fault] = 1
    with pytest.raises(FrameTimeoutError) as caught:
        expose(camera, margin_s=0.5)
    assert caught.value.recovered
    assert expose(camera).image.shape == (64, 128)


def test_padding_does_not_reach_the_image(bench, camera, lamp):
    lamp.scene[:] = 5000.0
    bench.faults.update({"camera.padded_rows": 16, "camera.padded_metadata": 24})
    camera.arm()
    frame = expose(camera)
    assert frame.timestamp_s is not None
    assert frame.image.shape == (64, 128)
    assert frame.image.min() > 400


def test_regions_higher_than_wide_keep_all_their_rows(camera, lamp):
    """pylablib itself cuts them to their width without a word."""
    lamp.scene[1200:] = 20000.0
    camera.set_roi(Roi(10, 1000, 101, 400))
    camera.arm()
    image = expose(camera).image
    assert image.shape == (400, 101)
    assert image[:200].mean() == pytest.approx(100, abs=2) and image[200:].min() > 1500


def test_triggers_out_of_turn_are_refused(camera):
    with pytest.raises(InstrumentError, match="not armed"):
        camera.fire()
    with pytest.raises(InstrumentError, match="no frame to wait for"):
        camera.wait_frame()
    camera.arm()
    camera.fire()
    with pytest.raises(InstrumentError, match="while a frame is being exposed"):
        camera.fire()
    with pytest.raises(InstrumentError, match="while a frame is being exposed"):
        camera.set_gain("12-bit (low noise)")
    camera.wait_frame()


def test_disarming_from_another_thread_ends_the_wait(bench, camera):
    bench.clock.speed = 1.0
    camera.set_exposure(20.0)
    camera.arm()
    camera.fire()
    threading.Timer(0.3, camera.disarm).start()
    started_s = time.monotonic()
    with pytest.raises(InstrumentError, match="disarmed"):
        camera.wait_frame()
    assert time.monotonic() - started_s < 10 and not camera.is_armed


def test_cooling_lags_and_a_broken_thermometer_is_an_error(bench, camera):
    assert camera.temperature_status() == "Cooler Off"
    assert camera.temperature_C() == pytest.approx(25, abs=0.1)
    camera.set_cooling(True, "0.00")
    assert camera.temperature_status() == "Cooling"
    bench.clock.speed = 1000.0
    bench.clock.sleep(400.0)
    assert camera.temperature_status() == "Stabilised"
    assert camera.temperature_C() == pytest.approx(0, abs=0.5)
    with pytest.raises(LimitError, match="cooling target"):
        camera.set_cooling(True, "-100")
    bench.faults["camera.temperature_nan"] = 1
    with pytest.raises(InstrumentError, match="temperature reads nan"):
        camera.temperature_C()


def test_which_camera(bench):
    with pytest.raises(NotConnectedError, match=r"'X-1'.*ZYLA-4.2P-USB3 VSC-00001"):
        AndorCamera(bench.clock, serial="X-1").open()
    with AndorCamera(bench.clock, serial="VSC-00001") as camera:
        assert camera.info.width_px == 2048 and camera.info.pixel_um == 6.5
    bench.faults["camera.device_in_use"] = 1
    with pytest.raises(NotConnectedError, match="close Andor Solis") as caught:
        AndorCamera(bench.clock).open()
    assert caught.value.code == 38
    bench.faults.clear()
    bench.faults["camera.absent"] = 1
    with pytest.raises(NotConnectedError, match="the SDK lists none"):
        AndorCamera(bench.clock).open()


def test_the_sdks_demonstration_camera_is_not_taken_for_the_real_one():
    bench = Bench(clock=BenchClock(50.0), sample=None, thermal=None, faults={"camera.first_is_simcam": 1})
    uninstall = install(bench, Lamp())
    with AndorCamera(bench.clock) as camera:
        assert camera.info.model == "ZYLA-4.2P-USB3"
    uninstall()


def test_without_the_vendors_library_the_error_says_where_it_looked(bench, monkeypatch):
    from pylablib.devices.Andor import AndorSDK3, atcore_lib
    from pylablib.devices.utils import load_lib

    def nothing(*args, **kwargs):
        raise OSError("can't import library atcore.dll")

    monkeypatch.setattr(load_lib, "load_lib", nothing)
    monkeypatch.setattr(atcore_lib.wlib, "_initialized", False)
    monkeypatch.setattr(AndorSDK3.libctl, "initialized", False)
    with pytest.raises(NotConnectedError, match=r"atcore.dll in .*Andor SOLIS.*install Andor SDK3"):
        AndorCamera(bench.clock).open()
