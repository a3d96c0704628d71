"""The spectrograph device: limits before moves, an axis that is never stale, safe from any thread."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import Msg

from cryopl_bluesky.clock import SystemClock
from cryopl_bluesky.devices.spectrograph import Spectrograph
from cryopl_bluesky.drivers.errors import InstrumentError, LimitError

from .stand_ins import SpectrographDriver


@pytest.fixture
def driver():
    return SpectrographDriver()


@pytest.fixture
def spectrograph(driver):
    spectrograph = Spectrograph(driver, name="spectrograph", clock=SystemClock())
    assert driver.calls == []
    spectrograph.refresh()
    yield spectrograph
    driver.hold.set()
    driver.failing.clear()
    spectrograph.shutdown()


def axis(spectrograph):
    return spectrograph.wavelength_axis.read()["spectrograph_wavelength_nm"]["value"]


def test_it_shows_what_the_driver_reports(spectrograph):
    assert spectrograph.turret_position.get() == 2
    assert spectrograph.lines_per_mm.get() == 599.566 and spectrograph.blaze.get() == "500"
    assert spectrograph.centre_wavelength_nm.get() == 600.0
    assert spectrograph.centre_wavelength_nm.limits == (0.0, 1930.0)
    assert (spectrograph.port.get(), spectrograph.shutter.get()) == ("hbt", "open")
    assert spectrograph.serial.get() == "KY-1"
    assert list(spectrograph.read()) == ["spectrograph_centre_wavelength_nm"]


def test_gratings_are_found_by_their_label(spectrograph):
    assert [spectrograph.turret_of(lines) for lines in (0, 600, 150)] == [1, 2, 3]
    with pytest.raises(LimitError, match=r"lines_per_mm=1200 is not fitted.*0 \(mirror\), 599\.566, 150"):
        spectrograph.turret_of(1200)
    assert spectrograph.wavelength_limits_nm(3) == (0.0, 7724.0)
    with pytest.raises(LimitError, match="turret_position=1 has no grating"):
        spectrograph.wavelength_limits_nm(1)


@pytest.mark.parametrize(("quantity", "value", "message"), [
    ("entrance_slit_um", 5, r"entrance_slit_um=5 is below the minimum of 10 um \(choose 10 or more\)"),
    ("exit_slit_um", 3000, r"exit_slit_um=3000 is above the maximum of 2500 um"),
    ("centre_wavelength_nm", 5000, r"centre_wavelength_nm=5000 is above the maximum of 1930 nm"),
    ("turret_position", 4, r"turret_position=4 does not exist \(choose one of 1, 2, 3\)"),
    ("port", "left", r"port='left' does not exist \(choose one of 'camera', 'hbt'\)"),
    ("shutter", "ajar", r"shutter='ajar' does not exist"),
    ("lines_per_mm", 150.0, r"lines_per_mm is read-only"),
])
def test_bad_values_are_refused_before_anything_moves(spectrograph, driver, quantity, value, message):
    with pytest.raises(LimitError, match=message):
        getattr(spectrograph, quantity).set(value)
    assert driver.calls == []


def test_the_axis_follows_each_move(spectrograph):
    first = axis(spectrograph)
    spectrograph.centre_wavelength_nm.set(632.8).wait(5)
    assert spectrograph.centre_wavelength_nm.get() == pytest.approx(632.8, abs=1e-4)
    np.testing.assert_allclose(axis(spectrograph) - first, 32.8, atol=1e-3)
    spectrograph.turret_position.set(3).wait(5)
    assert np.ptp(axis(spectrograph)) > 3 * np.ptp(first)
    assert spectrograph.centre_wavelength_nm.limits == (0.0, 7724.0)
    assert spectrograph.blaze.get() == "650NM"


def test_without_a_grating_there_is_no_axis_and_no_wavelength_to_set(spectrograph):
    spectrograph.turret_position.set(1).wait(5)
    assert spectrograph.lines_per_mm.get() == 0.0 and spectrograph.centre_wavelength_nm.get() == 0.0
    with pytest.raises(InstrumentError, match="no wavelength axis: the mirror"):
        spectrograph.wavelength_axis.read()
    with pytest.raises(LimitError, match=r"the mirror is in the beam.*choose a grating"):
        spectrograph.centre_wavelength_nm.set(500).wait(5)
    spectrograph.turret_position.set(2).wait(5)
    assert axis(spectrograph).shape == (2048,)
    spectrograph.goto_zero_order().wait(5)
    with pytest.raises(InstrumentError, match="zero order"):
        spectrograph.wavelength_axis.describe()


def test_a_failed_move_leaves_no_axis_behind(spectrograph, driver):
    driver.failing.add("wavelength")
    with pytest.raises(InstrumentError, match="wavelength failed"):
        spectrograph.centre_wavelength_nm.set(500).wait(5)
    with pytest.raises(InstrumentError, match="moving to 500 nm, or that move failed"):
        spectrograph.wavelength_axis.read()
    spectrograph.refresh()
    assert axis(spectrograph)[1023] == 600.0


def test_a_move_whose_axis_cannot_be_read_is_done_all_the_same(spectrograph, driver):
    """The safe port above all: only what needs the axis fails, with the reason."""
    driver.failing.add("axis")
    spectrograph.port.set("camera").wait(5)
    assert spectrograph.port.get() == driver.port() == "camera"
    with pytest.raises(InstrumentError, match="there is no wavelength axis: axis failed"):
        spectrograph.wavelength_axis.read()
    driver.failing.clear()
    spectrograph.centre_wavelength_nm.set(500).wait(5)
    assert axis(spectrograph)[1023] == 500.0


def test_slits_keep_their_read_back_even_at_the_limit(spectrograph):
    spectrograph.entrance_slit_um.set(2500).wait(5)
    assert spectrograph.entrance_slit_um.get() == 2500.0001


def test_make_safe_does_not_wait_for_a_move(spectrograph, driver):
    driver.hold.clear()
    moving = spectrograph.centre_wavelength_nm.set(700)
    finished = threading.Thread(target=spectrograph.make_safe)
    finished.start()
    finished.join(2)
    assert not finished.is_alive() and not moving.done
    assert (driver.shutter(), driver.port()) == ("closed", "camera")
    assert (spectrograph.shutter.get(), spectrograph.port.get()) == ("closed", "camera")
    driver.hold.set()
    moving.wait(5)


def test_make_safe_tries_both_and_says_what_failed(spectrograph, driver):
    driver.failing.add("shutter")
    with pytest.raises(InstrumentError, match=r"shutter is not closed: .*shutter failed"):
        spectrograph.make_safe()
    assert driver.port() == "camera"


def test_events_carry_the_axis_of_their_position(spectrograph):
    RE = RunEngine({}, context_managers=[])
    docs = []

    @bpp.run_decorator()
    def plan():
        for wavelength_nm in (500.0, 550.0):
            yield from bps.mv(spectrograph.centre_wavelength_nm, wavelength_nm)
            yield Msg("create", None, name="primary")
            yield Msg("read", spectrograph)
            yield Msg("read", spectrograph.wavelength_axis)
            yield Msg("save")

    RE(plan(), lambda name, doc: docs.append((name, doc)))
    (descriptor,) = [doc for name, doc in docs if name == "descriptor"]
    key = descriptor["data_keys"]["spectrograph_wavelength_nm"]
    assert (key["dtype"], key["shape"], key["dtype_numpy"], key["units"]) == ("array", [2048], "<f8", "nm")
    values = [doc["data"]["spectrograph_wavelength_nm"][1023] for name, doc in docs if name == "event"]
    assert values == [500.0, 550.0]
