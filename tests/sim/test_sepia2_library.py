"""The virtual Sepia II as a C library: emission, error codes, and that it believes nothing."""

import ctypes
from ctypes import byref, c_int32, c_ubyte, c_uint16

import pytest
from sim_bench import make_bench

from cryopl_bluesky.drivers.sepia2_library import PROTOTYPES
from cryopl_bluesky.sim.laser_head import cw_power_uW, optical_power_uW, pulse_fwhm_ps
from cryopl_bluesky.sim.sepia2 import Sepia2Library

DEV, SCM, SOMD, SLM = c_int32(0), c_int32(0), c_int32(100), c_int32(200)


@pytest.fixture
def bench():
    return make_bench()


@pytest.fixture
def library(bench):
    library = Sepia2Library(bench)
    model, serial = ctypes.create_string_buffer(33), ctypes.create_string_buffer(13)
    assert library.SEPIA2_USB_OpenDevice(DEV, model, serial) == 0
    assert library.SEPIA2_FWR_GetModuleMap(DEV, c_int32(0), byref(c_int32())) == 0
    return library


def emitting(library, index=5, mode=1, permille=600):
    assert library.SEPIA2_SLM_SetPulseParameters(DEV, SLM, c_int32(index), c_ubyte(mode)) == 0
    assert library.SEPIA2_SLM_SetIntensityFineStep(DEV, SLM, c_uint16(permille)) == 0
    assert library.SEPIA2_SCM_SetLaserSoftLock(DEV, SCM, c_ubyte(0)) == 0


def test_every_prototype_is_a_ctypes_function(library):
    for name in PROTOTYPES:
        assert isinstance(getattr(library, name), ctypes._CFuncPtr)


def test_wrong_ctypes_are_refused_as_by_the_real_library(library):
    with pytest.raises(ctypes.ArgumentError):
        library.SEPIA2_SLM_SetIntensityFineStep(DEV, SLM, "600")


def test_nothing_works_before_open_and_module_map(bench):
    library, locked = Sepia2Library(bench), c_ubyte()
    assert library.SEPIA2_SCM_GetLaserLocked(DEV, SCM, byref(locked)) == -9006
    text = ctypes.create_string_buffer(64)
    assert library.SEPIA2_USB_OpenDevice(c_int32(3), text, text) == -9002
    assert library.SEPIA2_USB_OpenDevice(DEV, text, text) == 0
    assert library.SEPIA2_USB_OpenDevice(DEV, text, text) == -9005
    assert library.SEPIA2_SCM_GetLaserLocked(DEV, SCM, byref(locked)) == -9020


def test_illegal_values_have_the_vendor_s_codes(library):
    assert library.SEPIA2_SLM_SetIntensityFineStep(DEV, SLM, c_uint16(1001)) == -6002
    assert library.SEPIA2_SLM_SetPulseParameters(DEV, SLM, c_int32(8), c_ubyte(1)) == -6001
    assert library.SEPIA2_SOMD_SetFreqTrigMode(DEV, SOMD, c_int32(9), c_ubyte(1)) == -5058
    zero = c_uint16(65536)  # wraps to 0, as in the vendor's own wrapper
    assert library.SEPIA2_SOMD_SetBurstValues(DEV, SOMD, zero, c_ubyte(0), c_ubyte(0)) == -5059
    assert library.SEPIA2_SOMD_SetBurstValues(DEV, SOMD, c_uint16(2), c_ubyte(3), c_ubyte(0)) == -5060
    assert library.SEPIA2_SCM_SetLaserSoftLock(DEV, c_int32(300), c_ubyte(1)) == -9009
    assert library.SEPIA2_SOM_GetFreqTrigMode(DEV, SOMD, byref(c_int32())) == -9009


def test_pulsed_emission_reaches_the_bench(bench, library):
    emitting(library)
    assert (bench.laser.mode, bench.laser.repetition_rate_Hz) == ("pulsed", 2.5e6)
    assert bench.laser.power_uW == optical_power_uW(600, 2.5e6)
    assert bench.laser.pulse_fwhm_ps == pulse_fwhm_ps(600)


def test_pulse_mode_zero_is_cw_not_off(bench, library):
    emitting(library, mode=0)
    assert bench.laser.mode == "cw"
    assert 10 < bench.laser.power_uW / optical_power_uW(600, 40e6) < 50


def test_oscillator_drives_the_head_through_its_output_only(bench, library):
    library.SEPIA2_SOMD_SetBurstValues(DEV, SOMD, c_uint16(80), c_ubyte(0), c_ubyte(0))
    emitting(library, index=7)
    assert bench.laser.mode == "off"
    library.SEPIA2_SOMD_SetOutNSyncEnable(DEV, SOMD, c_ubyte(1), c_ubyte(1), c_ubyte(0))
    assert (bench.laser.mode, bench.laser.repetition_rate_Hz) == ("pulsed", 1e6)


@pytest.mark.parametrize("fault", ["laser.key_off", "laser.interlock_open", "laser.head_missing"])
def test_faults_stop_the_light_at_once(bench, library, fault):
    emitting(library)
    bench.set_fault(fault)
    assert bench.laser.mode == "off"
    bench.clear_fault(fault)
    assert bench.laser.mode == "pulsed"  # settings were kept: light comes back with the key


def test_unplugging_does_not_stop_the_light(bench, library):
    emitting(library)
    bench.set_fault("laser.unplugged")
    assert library.SEPIA2_SCM_SetLaserSoftLock(DEV, SCM, c_ubyte(1)) == -3217
    assert bench.laser.mode == "pulsed"


def test_listeners_hear_each_change_once(bench, library):
    changes = []
    bench.on_change(lambda: changes.append(bench.laser.mode))
    emitting(library)
    library.SEPIA2_SCM_SetLaserSoftLock(DEV, SCM, c_ubyte(0))
    assert changes[-1] == "pulsed" and changes.count("pulsed") == 1


def test_light_curve_has_a_threshold_and_cw_is_much_more():
    assert optical_power_uW(0, 40e6) == 0
    assert optical_power_uW(350, 40e6) == 0.5
    assert optical_power_uW(1000, 40e6) == 1000 and optical_power_uW(1000, 2.5e6) == 62.5
    assert cw_power_uW(1000) > 10 * optical_power_uW(1000, 40e6)
    assert (pulse_fwhm_ps(300), pulse_fwhm_ps(1000)) == (60, 200)
