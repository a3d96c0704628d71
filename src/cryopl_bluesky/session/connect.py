"""From a profile to connected instruments, or to a list of what is missing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.config import FlipSettings, Profile
from cryopl_bluesky.devices.base import Instrument
from cryopl_bluesky.devices.camera import Camera
from cryopl_bluesky.devices.cryostat import Cryostat
from cryopl_bluesky.devices.flip_mount import FlipMount
from cryopl_bluesky.devices.hbt import Hbt
from cryopl_bluesky.devices.instruments import Instruments
from cryopl_bluesky.devices.laser import Laser
from cryopl_bluesky.devices.microscope import Microscope
from cryopl_bluesky.devices.settle_rule import DEFAULT_RULES, SettleRule
from cryopl_bluesky.devices.spectrograph import Spectrograph
from cryopl_bluesky.drivers.attodry import AttoDry
from cryopl_bluesky.drivers.camera import AndorCamera
from cryopl_bluesky.drivers.errors import InstrumentError
from cryopl_bluesky.drivers.flip_mount import ManualFlipMount, MotorFlipMount
from cryopl_bluesky.drivers.manual_laser import ManualLaser
from cryopl_bluesky.drivers.operator import Operator
from cryopl_bluesky.drivers.sepia2 import Sepia2Laser
from cryopl_bluesky.drivers.spad_guard import SpadGuard
from cryopl_bluesky.drivers.spectrograph import Kymera
from cryopl_bluesky.drivers.timetagger import TimeTagger
from cryopl_bluesky.drivers.vendors import Vendors

log = logging.getLogger(__name__)

FIRST_READ_TIMEOUT_S = 60.0
"""Real seconds for the first complete read of an instrument (homing may be under way)."""


@dataclass(frozen=True)
class Problem:
    """Why an instrument could not be connected.

    Attributes:
        instrument: device name.
        problem: what happened.
        remedy: what to do about it.
    """

    instrument: str
    problem: str
    remedy: str


class ConnectionFailedError(RuntimeError):
    """Instruments that did not answer; those that did are closed again.

    Args:
        problems: one entry per instrument.
    """

    def __init__(self, problems: list[Problem]):
        self.problems = problems
        super().__init__("\n".join(f"{p.instrument}: {p.problem} ({p.remedy})" for p in problems))


class _Connector:
    """Builds each instrument: driver opened, device made, state read."""

    def __init__(self, profile: Profile, vendors: Vendors, clock: Clock, data_dir: Path, operator: Operator):
        self._profile, self._vendors, self._clock = profile, vendors, clock
        self._data_dir, self._operator = data_dir, operator
        self._guard: SpadGuard | None = None

    def camera(self) -> Camera:
        settings = self._profile.camera
        driver = AndorCamera(self._clock, serial=settings.serial)
        driver.open()
        driver.set_gain(settings.gain)
        driver.set_readout_rate(settings.readout_rate)
        camera = Camera(driver, name="camera", clock=self._clock, data_dir=self._data_dir,
                        cooling_setpoint_C=settings.cooling_setpoint_C, labels={"detectors"})
        if settings.binning != 1:
            camera.binning.set(settings.binning).wait(FIRST_READ_TIMEOUT_S)
        return camera

    def spectrograph(self) -> Spectrograph:
        settings = self._profile.spectrograph
        driver = Kymera(self._clock, serial=settings.serial, entrance_slit=settings.entrance_slit,
                        exit_slit=settings.exit_slit, camera_port=settings.camera_port,
                        hbt_port=settings.hbt_port)
        driver.open()
        return Spectrograph(driver, name="spectrograph", clock=self._clock, labels={"beam_path"})

    def cryostat(self) -> Cryostat:
        settings = self._profile.cryostat
        host, port = self._vendors.attodry(settings.host, settings.port)
        limits_K = (settings.setpoint_min_K, settings.setpoint_max_K)
        driver = AttoDry(host, port, self._clock, setpoint_limits_K=limits_K)
        driver.open()
        rules = tuple(SettleRule(**range_.model_dump()) for range_ in settings.settle) or DEFAULT_RULES
        return Cryostat(driver, name="cryostat", clock=self._clock, rules=rules, labels={"sample_environment"})

    def laser(self) -> Laser:
        settings = self._profile.laser
        table = [(p.repetition_rate_Hz, p.intensity_permille, p.power_uW) for p in settings.power_table]
        if settings.driver == "manual":
            driver = ManualLaser(self._operator, power_table=table)
        else:
            library = self._vendors.sepia2(settings.library)
            driver = Sepia2Laser(library, self._clock, device_index=settings.device_index, power_table=table)
        driver.open()
        return Laser(driver, name="laser", clock=self._clock, wavelength_nm=settings.wavelength_nm,
                     labels={"beam_path"})

    def hbt(self) -> Hbt:
        settings = self._profile.hbt
        driver = TimeTagger(
            self._vendors.timetagger(), self._clock, serial=settings.serial, spad1=settings.spad1,
            spad2=settings.spad2, sync=settings.sync, trigger_levels_V=settings.trigger_levels_V,
            dead_time_ps=settings.dead_time_ps, input_delays_ps=settings.input_delays_ps,
            repetition_rate_Hz=self._profile.laser.repetition_rate_Hz,
            limits=settings.guard,
        )
        driver.open()
        self._guard = driver.guard
        hbt = Hbt(driver, name="hbt", clock=self._clock, data_dir=self._data_dir, ttbin=settings.ttbin,
                  tag_buffer=settings.tag_buffer,
                  irf_fwhm_ps=self._profile.microscope.irf_fwhm_ps, labels={"detectors"})
        hbt.allow_overflows.put(settings.allow_overflows)
        return hbt

    def l1_flip(self) -> FlipMount:
        return self._flip("l1_flip", self._profile.l1_flip)

    def l5_flip(self) -> FlipMount:
        return self._flip("l5_flip", self._profile.l5_flip)

    def _flip(self, name: str, settings: FlipSettings) -> FlipMount:
        if settings.driver == "manual":
            driver = ManualFlipMount(self._operator, name=name)
        else:
            connection = self._vendors.flip_mount(settings.serial)
            driver = MotorFlipMount(connection, self._clock, name=name, in_state=settings.in_state)
        driver.open()
        return FlipMount(driver, name=name, clock=self._clock, labels={"beam_path"})

    def microscope(self) -> Microscope:
        optics = self._profile.optics
        return Microscope(
            name="microscope", operator=self._operator, labels={"microscope"}, pixel_um=optics.pixel_um,
            f_objective_mm=optics.f_objective_mm, f_l2_mm=optics.f_l2_mm, objective_na=optics.objective_na,
            fraction_at_sample=optics.fraction_at_sample, **self._profile.microscope.model_dump(),
        )

    def connected(self, name: str) -> Instrument:
        """Make the instrument `name` and read its state."""
        instrument: Instrument = getattr(self, name)()
        instrument.call(instrument.refresh, FIRST_READ_TIMEOUT_S)
        return instrument

    def protect_spads(self, laser: Laser, spectrograph: Spectrograph) -> None:
        """Wire the guard of the SPADs: who asks it before light can reach them, and whom it darkens on a trip."""
        guard = self._guard
        assert guard is not None, "the Time Tagger is connected"
        guard.make_safe_by(laser.name, laser.make_safe)
        guard.make_safe_by(spectrograph.name, spectrograph.make_safe)
        laser.ask_before_light(guard.check)
        spectrograph.call(lambda: spectrograph.protected_by(guard), FIRST_READ_TIMEOUT_S)


NAMES = ("camera", "spectrograph", "cryostat", "laser", "hbt", "l1_flip", "l5_flip", "microscope")


def connect(
    profile: Profile, vendors: Vendors, clock: Clock, data_dir: Path, operator: Operator
) -> Instruments:
    """Connect all instruments of a profile, side by side.

    Args:
        profile: which instruments and how to reach them.
        vendors: where the drivers get their vendors' libraries from.
        clock: the time of the session.
        data_dir: where the camera writes its frames.
        operator: who is asked about parts moved by hand.

    Raises:
        ConnectionFailedError: all that failed, each with its remedy.
    """
    connector = _Connector(profile, vendors, clock, data_dir, operator)
    with ThreadPoolExecutor(max_workers=len(NAMES), thread_name_prefix="connect") as pool:
        attempts = {name: pool.submit(connector.connected, name) for name in NAMES}
    failures = {name: attempt.exception() for name, attempt in attempts.items() if attempt.exception()}
    if failures:
        for attempt in attempts.values():
            if attempt.exception() is None:
                attempt.result().shutdown()
        raise ConnectionFailedError([_problem(name, error) for name, error in failures.items()])
    devices: Mapping[str, Any] = {name: attempt.result() for name, attempt in attempts.items()}
    connector.protect_spads(devices["laser"], devices["spectrograph"])
    return Instruments(
        **devices,
        operator=operator,
        default_repetition_rate_Hz=profile.laser.repetition_rate_Hz,
        default_intensity_permille=profile.laser.intensity_permille,
    )


def light_path(
    profile: Profile, vendors: Vendors, clock: Clock, operator: Operator
) -> dict[str, Callable[[], Instrument]]:
    """What opens each instrument that can take the light away; nothing is opened or read yet.

    The flip mounts are not among them: neither end of them is safer than the other.

    Args:
        profile: which instruments and how to reach them.
        vendors: where the drivers get their vendors' libraries from.
        clock: for waiting.
        operator: who is asked about a laser that is set by hand.
    """
    connector = _Connector(profile, vendors, clock, Path(), operator)
    return {"laser": connector.laser, "spectrograph": connector.spectrograph}


def _problem(name: str, error: BaseException | None) -> Problem:
    if isinstance(error, InstrumentError):
        return Problem(name, error.problem, error.remedy)
    log.error("connecting %s failed", name, exc_info=error)
    return Problem(name, f"{type(error).__name__}: {error}", "see the log file for the details")


