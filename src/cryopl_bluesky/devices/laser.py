"""The excitation laser: "off" is the verified lock, never an intensity of zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ophyd import Component as Cpt

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.devices.base import Instrument, Quantity
from cryopl_bluesky.drivers.laser import LaserDriver

EMISSION = ("on", "off")


class Laser(Instrument):
    """A pulsed laser behind any `LaserDriver`.

    `emission.set("on")` goes through the whole safe order of the driver and is verified; rate and intensity
    may be set in either state. While a plan is paused the laser is locked; it comes back when the plan is
    resumed.

    Args:
        driver: opened driver.
        name: device name.
        clock: time of the session.
        wavelength_nm: measured wavelength of the head.
    """

    repetition_rate_Hz = Cpt(Quantity, units="Hz", precision=0, kind="normal", write="_apply_rate",
                             timeout_s=3600.0)
    intensity_permille = Cpt(Quantity, units="permille", precision=0, limits=(0.0, 1000.0), kind="normal",
                             write="_apply_intensity", timeout_s=3600.0)
    emission = Cpt(Quantity, dtype=str, value="off", choices=EMISSION, kind="normal", write="_apply_emission",
                   timeout_s=3600.0)
    locked = Cpt(Quantity, dtype=bool, value=True, kind="normal")
    power_uW = Cpt(Quantity, units="uW", precision=3, kind="normal")
    power_known = Cpt(Quantity, dtype=bool, kind="normal")
    mode = Cpt(Quantity, dtype=str, value="pulsed", kind="config")
    wavelength_nm = Cpt(Quantity, units="nm", precision=1, kind="config")
    model = Cpt(Quantity, dtype=str, kind="config")
    serial = Cpt(Quantity, dtype=str, kind="config")

    def __init__(
        self, driver: LaserDriver, *, name: str, clock: Clock, wavelength_nm: float = 405.0, **kwargs: Any
    ):
        super().__init__(name=name, **kwargs)
        self._driver, self._clock = driver, clock
        self._resume_emission = False
        self._permits: list[Callable[[], object]] = []
        self.wavelength_nm.put(wavelength_nm)

    def ask_before_light(self, permit: Callable[[], object]) -> None:
        """Call `permit` before each emission; it may wait, and raises to refuse. Who comes last is asked first."""
        self._permits.insert(0, permit)

    def refresh(self) -> None:
        """Read the state of the laser."""
        info = self._driver.info()
        self.model.put(info.model)
        self.serial.put(info.serial)
        self._read_state()

    def check_repetition_rate(self, rate_Hz: float) -> None:
        """Refuse a rate that the laser cannot produce.

        Raises:
            LimitError: names the nearest rates.
        """
        self._driver.check_repetition_rate(rate_Hz)

    def _read_state(self) -> None:
        self.repetition_rate_Hz.put(self._driver.repetition_rate_Hz())
        self.intensity_permille.put(self._driver.intensity_permille())
        locked = self._driver.is_locked()
        power_uW = self._driver.power_uW()
        self.locked.put(locked)
        self.emission.put("off" if locked else "on")
        self.power_known.put(power_uW is not None)
        self.power_uW.put(0.0 if power_uW is None else power_uW)

    def _apply_rate(self, rate_Hz: float) -> float:
        self._driver.set_repetition_rate(rate_Hz)
        self._read_state()
        return self.repetition_rate_Hz.get()

    def _apply_intensity(self, permille: float) -> float:
        self._driver.set_intensity(permille)
        self._read_state()
        return self.intensity_permille.get()

    def _apply_emission(self, emission: str) -> str:
        if emission == "on":
            self._switch_on()
        else:
            self._driver.switch_off()
        self._read_state()
        return self.emission.get()

    def _switch_on(self) -> None:
        for permit in self._permits:
            permit()
        self._driver.switch_on()

    def pause(self) -> None:
        """Lock while the plan is paused (called by the RunEngine)."""
        self._resume_emission = self.emission.get() == "on"
        if self._resume_emission:
            self.make_safe()

    def resume(self) -> None:
        """Emit again if the pause had locked the laser (called by the RunEngine).

        Raises:
            InstrumentError: the laser does not come back; the plan must not go on in the dark.
        """
        if self._resume_emission:
            self._resume_emission = False
            self._switch_on()
            self._read_state()

    def make_safe(self) -> None:
        """Lock at once, from any thread, whatever the owner thread is doing.

        Raises:
            InstrumentError: the lock could not be verified.
        """
        self._driver.emergency_off()
        self.locked.put(True)
        self.emission.put("off")
        self.power_uW.put(0.0)

    def shutdown(self) -> None:
        """Lock, and let the driver go."""
        try:
            self._driver.close()
        finally:
            super().shutdown()
