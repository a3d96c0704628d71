"""pylablib's own camera class on the virtual SDK3 library: features, encodings, rings, and the traps."""

import numpy as np
import pytest

from cryopl_bluesky.sim.andor import install
from cryopl_bluesky.sim.bench import Bench
from cryopl_bluesky.sim.clock import BenchClock

HIGH_WELL, LOW_NOISE, SIXTEEN = ("12-bit (high well capacity)", "12-bit (low noise)",
                                 "16-bit (low noise & high well capacity)")


@pytest.fixture
def scene():
    return np.zeros((2048, 2048), np.float32)


@pytest.fixture
def bench(scene):
    bench = Bench(clock=BenchClock(50.0), sample=None, thermal=None)
    uninstall = install(bench, lambda: scene)
    yield bench
    uninstall()


@pytest.fixture
def cam(bench):
    from pylablib.devices import Andor

    with Andor.AndorSDK3Camera() as cam:
        cam.set_roi(900, 1028, 1000, 1064)
        cam.set_exposure(0.02)
        yield cam


def test_features(cam):
    from pylablib.devices.Andor.atcore_features import feature_types

    assert len(feature_types) == 162
    assert cam.get_device_info().camera_model == "ZYLA-4.2P-USB3"
    assert cam.get_detector_size() == (2048, 2048)
    assert cam.cav["Baseline"] == 100 and cam.cav["BitDepth"] == "16 Bit"
    assert cam.get_attribute("SimplePreAmpGainControl").values == [HIGH_WELL, LOW_NOISE, SIXTEEN]
    cam.add_attribute("InterfaceType", "str")
    assert cam.cav["InterfaceType"] == "USB3"
    assert not cam.get_attribute("MetadataFrameInfo").implemented


def test_frame_times_are_those_of_the_data_sheet(cam):
    for rate, rows, frames_per_s in [("270 MHz", 2048, 100), ("100 MHz", 2048, 40), ("270 MHz", 512, 403),
                                     ("100 MHz", 128, 631)]:
        cam.cav["PixelReadoutRate"] = rate
        cam.set_roi(0, 2048, 1024 - rows // 2, 1024 + rows // 2)
        cam.set_exposure(0.0)
        assert 1 / cam.cav["ReadoutTime"] == pytest.approx(frames_per_s, rel=0.02)


def test_gain_limits_the_encodings_and_errors_have_the_vendors_codes(cam):
    from pylablib.devices.Andor.AndorSDK3 import AndorSDK3LibError

    def code_of(name, value):
        with pytest.raises(AndorSDK3LibError) as caught:
            cam.cav[name] = value
        return caught.value.code

    assert code_of("PixelEncoding", "Mono12Packed") == 18
    assert code_of("PixelEncoding", "Mono13") == 19
    assert code_of("ExposureTime", 100.0) == 6
    cam.cav["SimplePreAmpGainControl"] = LOW_NOISE
    cam.cav["PixelEncoding"] = "Mono12Packed"
    cam.cav["SimplePreAmpGainControl"] = SIXTEEN
    assert cam.cav["PixelEncoding"] == "Mono16"


@pytest.mark.parametrize("encoding", ["Mono12", "Mono12Packed", "Mono16"])
@pytest.mark.parametrize("width", [128, 101])
def test_encodings_carry_the_same_picture(cam, scene, encoding, width):
    scene[:, ::2] = 30000.0
    cam.cav["SimplePreAmpGainControl"] = HIGH_WELL
    cam.cav["PixelEncoding"] = encoding
    cam.set_roi(900, 900 + width, 1000, 1064)
    image = cam.snap()[:, :width]
    assert image.shape == (64, width)
    assert image[:, ::2].mean() == pytest.approx(100 + 600 / 7.5, rel=0.05)
    assert image[:, 1::2].mean() == pytest.approx(100, abs=1)


def test_metadata_and_binning(cam):
    cam.enable_metadata(True)
    assert cam.set_roi(0, 512, 0, 256, 4, 4) == (0, 512, 0, 256, 4, 4)
    image, info = cam.snap(return_info=True)
    assert image.shape == (64, 128)
    assert info.timestamp_dev > 0 and info.frame_index == 0
    assert info.stride == -1  # MetadataFrameInfo does not exist on this camera


def test_internal_trigger_fills_the_ring_in_order(cam):
    cam.enable_metadata(True)
    frames, infos = cam.grab(20, buff_size=5, return_info=True)
    ticks = np.array([info.timestamp_dev for info in infos])
    assert len(frames) == 20
    periods = np.diff(ticks) / cam.cav["TimestampClockFrequency"] / cam.get_frame_period()
    # A busy computer may be late for a ring of 5: then whole frames are missing, as with the real camera.
    np.testing.assert_allclose(periods, np.round(periods), atol=2e-6)
    assert periods.min() > 0.5 and np.median(np.round(periods)) == 1


def test_triggers_during_readout_are_lost_without_overlap(bench, cam):
    bench.clock.speed = 1.0
    cam.cav["Overlap"] = False
    cam.set_trigger_mode("software")
    cam.set_exposure(0.2)
    cam.start_acquisition(mode="sequence", nframes=5)
    cam.call_command("SoftwareTrigger")
    cam.call_command("SoftwareTrigger")
    cam.wait_for_frame(timeout=5.0)
    with pytest.raises(cam.TimeoutError):
        cam.wait_for_frame(timeout=0.5, nframes=2)
    cam.stop_acquisition()


def test_software_trigger_needs_an_armed_camera(cam):
    with pytest.raises(cam.Error):
        cam.call_command("SoftwareTrigger")


def test_fixed_count_stops_by_itself_and_frames_stay_readable(cam):
    """Trap 9."""
    cam.start_acquisition(mode="snap", nframes=2)
    while cam.acquisition_in_progress():
        cam.wait_for_frame(timeout=1.0)
    assert len(cam.read_multiple_images()) >= 1
    cam.clear_acquisition()


def test_overflow_is_raised_as_frame_transfer_error(bench, cam):
    cam.set_trigger_mode("software")
    cam.start_acquisition(mode="sequence", nframes=5)
    bench.faults["camera.overflow"] = 1
    cam.call_command("SoftwareTrigger")
    with pytest.raises(cam.FrameTransferError):
        cam.wait_for_frame(timeout=2.0)
    assert cam.get_missed_frames_status().overflows == 1


def test_any_other_buffer_error_ends_pylablibs_loop(bench, cam):
    """Trap 7: only a timeout is seen, and the acquisition seems to go on."""
    cam.set_trigger_mode("software")
    cam.start_acquisition(mode="sequence", nframes=5)
    bench.faults.update({"camera.wait_buffer": 17, "camera.wait_buffer_times": 1})
    cam.call_command("SoftwareTrigger")
    with pytest.raises(cam.TimeoutError):
        cam.wait_for_frame(timeout=1.0)
    assert cam.acquisition_in_progress()
    cam.clear_acquisition()


def test_pylablib_cuts_tall_frames_to_their_width(cam):
    """Why the driver reads frames itself; once this fails, camera_frames.py can go."""
    cam.set_roi(0, 64, 0, 256)
    assert cam.get_data_dimensions() == (256, 64)
    assert cam.snap().shape == (64, 64)


def test_second_open_is_refused(cam):
    from pylablib.devices import Andor

    with pytest.raises(Andor.AndorError) as caught:
        Andor.AndorSDK3Camera(0)
    assert caught.value.code == 38
