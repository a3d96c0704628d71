"""The spectrograph driver through the unmodified pylablib on the virtual Shamrock library."""

import numpy as np
import pytest

from cryopl_bluesky.drivers.errors import InstrumentError, LimitError, NotConnectedError
from cryopl_bluesky.drivers.spectrograph import Kymera
from cryopl_bluesky.sim.andor import install
from cryopl_bluesky.sim.bench import Bench
from cryopl_bluesky.sim.clock import BenchClock
from cryopl_bluesky.sim.kymera_optics import KymeraOptics


@pytest.fixture
def bench():
    bench = Bench(clock=BenchClock(1000.0), sample=None, thermal=None)
    uninstall = install(bench, lambda: np.zeros((2048, 2048), np.float32))
    yield bench
    uninstall()


@pytest.fixture
def kymera(bench):
    with Kymera(bench.clock) as kymera:
        yield kymera


def test_what_is_in_the_turret(kymera):
    assert [grating.lines_per_mm for grating in kymera.gratings()] == [0, 150, 600, 1200]
    assert [grating.is_mirror for grating in kymera.gratings()] == [True, False, False, False]
    assert kymera.gratings()[2].blaze == "500" and kymera.gratings()[2].turret == 3
    assert kymera.serial == "KY-0001"
    assert kymera.optical_parameters() == pytest.approx((0.328, 11.416, -3.942), abs=1e-6)


@pytest.mark.parametrize("turret, lines_per_mm", [(2, 150), (3, 600), (4, 1200)])
def test_the_axis_is_the_optical_model_with_the_cameras_pixels(bench, kymera, turret, lines_per_mm):
    assert kymera.set_turret(turret) == turret
    assert kymera.set_wavelength(540.0) == pytest.approx(540.0, abs=1e-4)
    axis_nm = kymera.axis_nm()
    assert axis_nm.shape == (2048,) and axis_nm.dtype == np.float64
    np.testing.assert_allclose(axis_nm, KymeraOptics().axis_nm(lines_per_mm, 540.0), atol=1e-4)
    assert bench.optics.lines_per_mm == lines_per_mm
    assert bench.optics.centre_wavelength_nm == pytest.approx(540.0, abs=1e-4)


def test_no_axis_with_the_mirror_or_at_zero_order(bench, kymera):
    kymera.goto_zero_order()
    assert kymera.wavelength_nm() == 0
    with pytest.raises(InstrumentError, match="choose a grating and a centre wavelength"):
        kymera.axis_nm()
    kymera.set_turret(1)
    assert bench.optics.lines_per_mm == 0 and bench.optics.centre_wavelength_nm == 0
    with pytest.raises(InstrumentError, match="choose a grating"):
        kymera.axis_nm()
    with pytest.raises(LimitError, match="the mirror is in the beam"):
        kymera.set_wavelength(525.0)
    assert kymera.wavelength_limits_nm(1) == (0.0, 0.0)


def test_limits_are_refused_before_anything_moves(kymera):
    low, high = kymera.wavelength_limits_nm(4)
    assert low == 0 and 900 < high < 1200
    kymera.set_turret(4)
    with pytest.raises(LimitError, match="centre_wavelength_nm=2000 is above the maximum"):
        kymera.set_wavelength(2000.0)
    with pytest.raises(LimitError, match="slit_um=5 is below the minimum of 10 um"):
        kymera.set_slit("entrance", 5.0)
    with pytest.raises(LimitError, match="turret_position=5 is above the maximum of 4"):
        kymera.set_turret(5)
    with pytest.raises(LimitError, match="port='window' does not exist"):
        kymera.set_port("window")


def test_slits_shutter_and_port_arrive_on_the_bench(bench, kymera):
    assert kymera.set_slit("entrance", 80.0) == pytest.approx(80.0, abs=1e-3)
    assert kymera.set_slit("exit", 150.0) == pytest.approx(150.0, abs=1e-3)
    assert kymera.set_shutter("open") == "open"
    assert kymera.set_port("hbt") == kymera.port() == "hbt"
    optics = bench.optics
    assert (optics.entrance_slit_um, optics.exit_slit_um) == pytest.approx((80.0, 150.0))
    assert optics.shutter_open and optics.port == "hbt" and not optics.moving
    assert kymera.set_shutter("closed") == "closed" and not optics.shutter_open


def test_nothing_passes_while_a_part_moves(bench, kymera):
    seen = []
    bench.on_change(lambda: seen.append(set(bench.optics.moving)))
    kymera.set_slit("entrance", 60.0)
    assert seen == [{"slit 1"}, set()]


def test_the_detector_offset_of_the_new_port_is_applied(bench, kymera):
    """The instrument applies it with the next wavelength only, so the driver sets that again."""
    kymera.set_port("hbt")
    assert bench.optics.centre_wavelength_nm == pytest.approx(525.0, abs=1e-4)
    from pylablib.devices import Andor

    with Andor.ShamrockSpectrograph(0) as device:
        device.set_flipper_port("output", "direct")
    assert bench.optics.centre_wavelength_nm == pytest.approx(525.4, abs=1e-4)


def test_a_mirror_that_sticks_once_is_moved_again(bench, kymera):
    bench.faults["spectrograph.flipper_stuck"] = 1
    assert kymera.set_port("hbt") == "hbt"
    bench.faults["spectrograph.flipper_stuck"] = 2
    with pytest.raises(InstrumentError, match="it stays at 'hbt'"):
        kymera.set_port("camera")


def test_sporadic_communication_errors_are_retried(bench, kymera):
    bench.faults["spectrograph.communication_error"] = 4
    assert kymera.set_wavelength(530.0) == pytest.approx(530.0, abs=1e-4)
    bench.faults["spectrograph.communication_error"] = 1
    assert kymera.set_turret(2) == 2
    bench.faults["spectrograph.communication_error"] = float("inf")
    with pytest.raises(InstrumentError, match="20201") as caught:
        kymera.set_wavelength(540.0)
    assert caught.value.code == 20201
    assert kymera.wavelength_nm() == pytest.approx(530.0, abs=1e-4)


def test_vendor_errors_keep_code_and_remedy(bench, kymera):
    bench.faults["spectrograph.calibration_error"] = 1
    with pytest.raises(InstrumentError) as caught:
        kymera.axis_nm()
    assert caught.value.code == 20249
    bench.faults["spectrograph.not_initialized"] = 1
    with pytest.raises(InstrumentError, match="power the spectrograph off and on") as caught:
        kymera.wavelength_nm()
    assert caught.value.code == 20275
    bench.faults.clear()


def test_which_spectrograph(bench):
    with pytest.raises(NotConnectedError, match="'KY-9'; connected: KY-0001"):
        Kymera(bench.clock, serial="KY-9").open()
    with Kymera(bench.clock, serial="KY-0001") as kymera:
        assert kymera.serial == "KY-0001"
    bench.faults["spectrograph.absent"] = 1
    with pytest.raises(NotConnectedError, match="no spectrograph found"):
        Kymera(bench.clock).open()


def test_slits_that_are_not_motorised_and_closed_instruments(bench):
    with Kymera(bench.clock, entrance_slit="input_direct") as kymera, \
            pytest.raises(InstrumentError, match="not motorised"):
        kymera.slit_um("entrance")
    with pytest.raises(InstrumentError, match="not connected"):
        kymera.wavelength_nm()
    with pytest.raises(LimitError, match="camera_port and hbt_port"):
        Kymera(bench.clock, camera_port="side")
