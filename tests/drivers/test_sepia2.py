"""The Sepia II driver on the virtual library: safe order, verification, and each trap of the fact sheet."""

import ctypes
import inspect
import sys
import threading

import pytest
from laser_bench import POWER_TABLE, CallLog, laser_on_bench, make_bench

from cryopl_bluesky.drivers import sepia2, sepia2_library
from cryopl_bluesky.drivers.errors import (
    InstrumentError,
    InstrumentTimeoutError,
    LimitError,
    NotConnectedError,
)
from cryopl_bluesky.drivers.laser import LaserDriver, PowerTable
from cryopl_bluesky.drivers.sepia2 import Sepia2Laser, load_vendor_library
from cryopl_bluesky.sim.sepia2 import Sepia2Library

LOCK, UNLOCK = ("SCM_SetLaserSoftLock", 1), ("SCM_SetLaserSoftLock", 0)


def intensity(permille):
    return ("SLM_SetIntensityFineStep", permille)


def outputs(mask):
    return ("SOMD_SetOutNSyncEnable", mask, mask, 0)


@pytest.fixture
def rig():
    with laser_on_bench() as parts:
        yield parts


def switched_on(laser, permille=600, rate_Hz=2.5e6):
    laser.set_repetition_rate(rate_Hz)
    laser.set_intensity(permille)
    laser.switch_on()


def test_driver_has_the_methods_that_the_device_needs(rig):
    assert isinstance(rig[0], LaserDriver)


def test_opening_only_reads_and_tells_what_is_there(rig):
    laser, _, log = rig
    assert log.sets() == []
    assert ("FWR_GetModuleMap", 0, 0) in log.calls  # no restart of the frame
    info = laser.info()
    assert (info.model, info.library, info.firmware) == ("Sepia II", "1.2.64.767", "2.01.624")
    assert info.modules == ("SCM 000", "SOMD 100", "SLM 200")
    assert laser.is_locked()


def test_on_follows_the_safe_order(rig):
    laser, bench, log = rig
    laser.set_repetition_rate(2.5e6)
    laser.set_intensity(600)
    log.calls.clear()
    laser.switch_on()
    assert log.sets() == [
        intensity(0), LOCK, ("SLM_SetPulseParameters", 5, 1), outputs(0), UNLOCK,
        *(intensity(permille) for permille in (120, 240, 360, 480, 600)),
    ]
    names = [call[0] for call in log.calls]
    after_unlock = names[names.index("SCM_SetLaserSoftLock", names.index("SLM_SetPulseParameters")):]
    assert after_unlock[1] == "SCM_GetLaserLocked"  # verified before any intensity
    assert bench.laser.mode == "pulsed" and bench.laser.repetition_rate_Hz == 2.5e6
    assert laser.is_emitting() and not laser.is_locked()


def test_off_follows_the_safe_order(rig):
    laser, bench, log = rig
    switched_on(laser)
    log.calls.clear()
    laser.switch_off()
    assert log.sets() == [intensity(0), outputs(0), LOCK]
    assert log.calls[-1][0] == "SCM_GetLaserLocked"
    assert bench.laser.mode == "off" and laser.is_locked() and not laser.is_emitting()
    assert laser.intensity_permille() == 600  # what the next switch_on will ramp to


def test_emergency_locks_first(rig):
    laser, bench, log = rig
    switched_on(laser)
    log.calls.clear()
    laser.emergency_off()
    assert log.sets() == [LOCK, intensity(0), outputs(0)]
    assert bench.laser.mode == "off"


def test_a_rate_of_the_oscillator_is_driven_through_its_output(rig):
    laser, bench, log = rig
    switched_on(laser, rate_Hz=1e6)
    assert ("SOMD_SetFreqTrigMode", 2, 1) in log.sets()
    assert ("SOMD_SetBurstValues", 80, 0, 0) in log.sets()
    assert ("SOMD_SetBurstLengthArray", 1, 0, 0, 0, 0, 0, 0, 0) in log.sets()
    assert ("SLM_SetPulseParameters", 7, 1) in log.sets()
    assert log.sets().index(outputs(1)) < log.sets().index(UNLOCK)
    assert bench.laser.repetition_rate_Hz == laser.repetition_rate_Hz() == 1e6


def test_the_oscillator_can_be_preferred_so_that_its_sync_follows_the_laser():
    with laser_on_bench(prefer="oscillator") as (laser, bench, log):
        switched_on(laser, rate_Hz=40e6)
        assert ("SLM_SetPulseParameters", 7, 1) in log.sets() and outputs(1) in log.sets()
        assert bench.laser.repetition_rate_Hz == 40e6


def test_pulse_mode_zero_is_never_used(rig):
    """Trap 1: it is CW, not off, on this head."""
    laser, _, log = rig
    switched_on(laser)
    laser.set_repetition_rate(1e6)
    laser.switch_off()
    laser.emergency_off()
    modes = {call[2] for call in log.sets() if call[0] == "SLM_SetPulseParameters"}
    assert modes == {1}


def test_cw_left_by_another_program_ends_with_switch_off(rig):
    laser, bench, log = rig
    device, slot = ctypes.c_int32(0), ctypes.c_int32(200)
    log.SEPIA2_SLM_SetPulseParameters(device, slot, ctypes.c_int32(0), ctypes.c_ubyte(0))
    log.SEPIA2_SLM_SetIntensityFineStep(device, slot, ctypes.c_uint16(700))
    log.SEPIA2_SCM_SetLaserSoftLock(device, ctypes.c_int32(0), ctypes.c_ubyte(0))
    assert bench.laser.mode == "cw" and laser.is_emitting()
    laser.switch_off()
    assert bench.laser.mode == "off" and laser.is_locked()


def test_power_is_the_table_s_and_nothing_else(rig):
    """Trap 2: per mille is not power."""
    laser, _, _ = rig
    laser.set_intensity(600)
    assert laser.power_uW() == 0.0  # locked
    switched_on(laser)
    assert laser.power_uW() == 16.0
    laser.set_intensity(500)
    assert laser.power_uW() == pytest.approx(4.0)  # geometric mean of 1 and 16
    laser.set_intensity(700)
    assert laser.power_uW() is None  # never extrapolated
    laser.set_repetition_rate(10e6)
    assert laser.power_uW() is None  # no reading at this rate


@pytest.mark.parametrize("fault", ["laser.key_off", "laser.interlock_open"])
def test_unlocking_with_key_off_or_interlock_open_is_an_error(rig, fault):
    """Trap 3: the soft lock opens and the laser stays locked."""
    laser, bench, log = rig
    bench.set_fault(fault)
    laser.set_intensity(600)
    with pytest.raises(InstrumentError, match=r"stays locked.*key switch"):
        laser.switch_on()
    bench.clear_fault(fault)
    assert laser.is_locked() and bench.laser.mode == "off"  # nothing starts when the key is turned
    assert log.sets()[-1] == outputs(0)


def test_key_turned_off_in_mid_run_is_seen(rig):
    laser, bench, _ = rig
    switched_on(laser)
    bench.set_fault("laser.key_off")
    assert laser.is_locked() and not laser.is_emitting() and laser.power_uW() == 0.0


def test_interlock_opening_during_the_ramp_is_an_error(rig):
    laser, bench, log = rig
    laser.set_intensity(600)
    log.calls.clear()
    log.before["SLM_SetIntensityFineStep"] = lambda: log.before.update(
        SLM_SetIntensityFineStep=lambda: bench.set_fault("laser.interlock_open"))
    with pytest.raises(InstrumentError, match="locked itself"):
        laser.switch_on()


def test_the_soft_lock_register_is_not_believed(rig):
    laser, bench, _ = rig
    switched_on(laser)
    bench.set_fault("laser.softlock_lies")
    assert not laser.is_locked()


def test_a_lock_without_effect_is_reported_after_everything_was_tried(rig):
    laser, bench, log = rig
    switched_on(laser)
    bench.set_fault("laser.lock_fails")
    log.calls.clear()
    with pytest.raises(InstrumentError, match=r"not locked.*key switch off"):
        laser.switch_off()
    assert log.sets() == [intensity(0), outputs(0), LOCK]
    assert bench.laser.mode == "off"  # no intensity, no output


def test_close_switches_off_before_it_disconnects():
    """Trap 4: the vendor's own wrapper leaves the laser running."""
    with laser_on_bench() as (laser, bench, log):
        switched_on(laser)
        log.calls.clear()
        laser.close()
        names = [call[0] for call in log.calls]
        assert log.sets() == [intensity(0), outputs(0), LOCK]
        assert names[-2:] == ["FWR_FreeModuleMap", "USB_CloseDevice"]
        assert bench.laser.mode == "off"
        with pytest.raises(NotConnectedError):
            laser.switch_on()


@pytest.mark.parametrize("rate_Hz", [1.234e6, 50e6 / 65536, 0.0, 90e6, float("nan")])
def test_a_rate_that_cannot_be_made_is_refused_before_anything_is_sent(rig, rate_Hz):
    """Trap 5: a divider of 65536 would overflow to 0."""
    laser, _, log = rig
    with pytest.raises(LimitError):
        laser.set_repetition_rate(rate_Hz)
    assert log.sets() == []


def test_refusal_of_a_rate_names_the_nearest(rig):
    with pytest.raises(LimitError, match="nearest: 80000000"):
        rig[0].set_repetition_rate(79.9e6)


@pytest.mark.parametrize(("permille", "written"), [(599.6, 600), (0.4, 0), (1000, 1000)])
def test_intensity_is_rounded_not_cut(rig, permille, written):
    """Trap 6."""
    rig[0].set_intensity(permille)
    assert rig[0].intensity_permille() == written


@pytest.mark.parametrize("permille", [-1, 1001, float("nan")])
def test_intensity_outside_the_scale_is_refused(rig, permille):
    with pytest.raises(LimitError):
        rig[0].set_intensity(permille)


def test_another_program_holding_the_device_is_said_once():
    """Trap 7: clear message, no retry."""
    bench = make_bench()
    bench.set_fault("laser.busy")
    log = CallLog(Sepia2Library(bench))
    with pytest.raises(NotConnectedError, match=r"busy.*\[-9004\].*close the vendor's program") as caught:
        Sepia2Laser(log, bench.clock).open()
    assert caught.value.code == -9004
    assert [call[0] for call in log.calls].count("USB_OpenDevice") == 1


def test_every_setting_is_written_at_switch_on_whatever_was_left_behind(rig):
    """Trap 8: settings persist."""
    laser, bench, log = rig
    device, slot = ctypes.c_int32(0), ctypes.c_int32(100)
    log.SEPIA2_SOMD_SetBurstValues(device, slot, ctypes.c_uint16(7), ctypes.c_ubyte(0), ctypes.c_ubyte(0))
    log.SEPIA2_SOMD_SetBurstLengthArray(device, slot, *(ctypes.c_int32(3) for _ in range(8)))
    log.SEPIA2_SOMD_SetAUXIOSequencerCtrl(device, slot, ctypes.c_ubyte(0), ctypes.c_ubyte(3))
    switched_on(laser, rate_Hz=1e6)
    log.calls.clear()
    laser.switch_on()
    written = {call[0] for call in log.sets()}
    assert {"SOMD_SetFreqTrigMode", "SOMD_SetBurstValues", "SOMD_SetBurstLengthArray",
            "SOMD_SetAUXIOSequencerCtrl", "SOMD_SetOutNSyncEnable", "SLM_SetPulseParameters"} <= written
    assert bench.laser.repetition_rate_Hz == 1e6


def test_rate_change_while_emitting_goes_through_dark(rig):
    """Trap 10."""
    laser, bench, log = rig
    switched_on(laser)
    log.calls.clear()
    laser.set_repetition_rate(40e6)
    written = log.sets()
    assert written[0] == intensity(0)
    change = written.index(("SLM_SetPulseParameters", 1, 1))
    assert LOCK in written[:change] and UNLOCK not in written[:change]
    assert written[-1] == intensity(600)
    assert (bench.laser.mode, bench.laser.repetition_rate_Hz) == ("pulsed", 40e6)
    assert laser.power_uW() == 260.0


def test_an_external_trigger_has_no_known_rate_and_does_not_switch_on(rig):
    laser, _, log = rig
    log.SEPIA2_SLM_SetPulseParameters(*(ctypes.c_int32(n) for n in (0, 200, 6)), ctypes.c_ubyte(1))
    assert laser.repetition_rate_Hz() == 0.0
    with pytest.raises(InstrumentError, match="set repetition_rate_Hz first"):
        laser.switch_on()


def test_missing_head_is_refused_and_leaves_the_laser_locked(rig):
    laser, bench, _ = rig
    bench.set_fault("laser.head_missing")
    with pytest.raises(InstrumentError, match=r"no laser head: head type 3 \(none\)"):
        laser.switch_on()
    assert laser.is_locked()


def test_an_unlocked_pll_is_waited_for(rig):
    laser, bench, _ = rig
    bench.set_fault("laser.pll_unlocked", 3.0)
    start_s = bench.clock.monotonic()
    switched_on(laser, rate_Hz=1e6)
    assert bench.laser.mode == "pulsed"
    assert bench.clock.monotonic() - start_s >= 3.0
    assert laser.repetition_rate_Hz() == 1e6


def test_a_pll_that_never_locks_is_an_error_with_its_code(rig):
    laser, bench, _ = rig
    bench.set_fault("laser.pll_unlocked", 1e6)
    with pytest.raises(InstrumentTimeoutError, match=r"-5077.*after 5 s"):
        laser.set_repetition_rate(1e6)
    assert bench.laser.mode == "off"


def test_unplugging_is_said_and_everything_is_tried(rig):
    laser, bench, log = rig
    switched_on(laser)
    bench.set_fault("laser.unplugged")
    with pytest.raises(NotConnectedError, match="USB"):
        laser.is_locked()
    log.calls.clear()
    with pytest.raises(InstrumentError, match="key switch off") as caught:
        laser.emergency_off()
    assert log.sets() == [LOCK, intensity(0), outputs(0)]
    assert log.calls[-1][0] in ("SCM_GetLaserLocked", "LIB_DecodeError")
    assert "-3217" in str(caught.value)
    assert bench.laser.mode == "pulsed"  # the laser itself goes on: the error must not be swallowed


def test_a_failure_in_the_middle_of_switching_on_locks_the_laser(rig):
    laser, bench, log = rig
    laser.set_intensity(600)
    failing = log._library.SEPIA2_SLM_SetIntensityFineStep
    log._library.SEPIA2_SLM_SetIntensityFineStep = (
        lambda *arguments: -6002 if arguments[2].value > 300 else failing(*arguments))
    with pytest.raises(InstrumentError, match="-6002"):
        laser.switch_on()
    assert laser.is_locked() and bench.laser.mode == "off"


def test_an_emergency_stops_a_sequence_of_another_thread(rig):
    laser, bench, log = rig
    laser.set_repetition_rate(1e6)
    laser.set_intensity(600)
    reached, emergency = threading.Event(), threading.Thread(target=laser.emergency_off)

    def at_unlock():
        emergency.start()
        while laser._sequences._permit == laser._sequences._emergencies:
            pass
        reached.set()

    log.before["SOMD_SetOutNSyncEnable"] = at_unlock
    with pytest.raises(InstrumentError, match="interrupted"):
        laser.switch_on()
    emergency.join(10)
    assert reached.is_set() and UNLOCK not in log.sets()
    assert laser.is_locked() and bench.laser.mode == "off"
    laser.switch_on()  # a later command is a new one
    assert bench.laser.mode == "pulsed"


def test_prototypes_use_32_bit_types_only():
    """`long` has 64 bits on other platforms."""
    source = inspect.getsource(sepia2_library) + inspect.getsource(sepia2)
    assert "c_long" not in source.replace("never `c_long`", "")


def test_the_library_that_is_missing_names_the_remedy(monkeypatch):
    if sys.platform != "win32":
        with pytest.raises(NotConnectedError, match=r'Windows.*driver = "manual"'):
            load_vendor_library("")
    monkeypatch.setattr(sys, "platform", "win32")

    def no_such_file(name):
        raise OSError(f"{name} not found")

    monkeypatch.setattr(ctypes, "WinDLL", no_such_file, raising=False)
    with pytest.raises(NotConnectedError, match=r"Sepia2_Lib.dll.*install PicoQuant"):
        load_vendor_library("")


def test_prototypes_are_declared_on_the_real_library(monkeypatch):
    class Function:
        argtypes = restype = None

    class Library:
        def __init__(self, name):
            self.name = name

        def __getattr__(self, name):
            self.__dict__[name] = Function()
            return self.__dict__[name]

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "WinDLL", Library, raising=False)
    library = load_vendor_library("C:/Sepia2/Sepia2_Lib.dll")
    assert library.name == "C:/Sepia2/Sepia2_Lib.dll"
    assert library.SEPIA2_SOMD_SetBurstValues.argtypes[2] is ctypes.c_uint16
    assert library.SEPIA2_SOM_SetBurstValues.argtypes[2] is ctypes.c_ubyte
    assert library.SEPIA2_USB_OpenDevice.restype is ctypes.c_int32


def test_power_table_refuses_nonsense():
    with pytest.raises(ValueError, match="negative"):
        PowerTable([(1e6, 100, -1.0)])
    with pytest.raises(ValueError, match="two readings"):
        PowerTable([(1e6, 100, 1.0), (1e6, 100, 2.0)])
    assert PowerTable([(1e6, 0, 0.0), (1e6, 100, 2.0)]).power_uW(1e6, 50) == 1.0  # from zero: linear
    assert PowerTable(POWER_TABLE).power_uW(2.5e6, 399) is None
    assert PowerTable().power_uW(2.5e6, 600) is None
