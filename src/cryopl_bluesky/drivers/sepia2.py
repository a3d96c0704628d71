"""PicoQuant PDL 828 "Sepia II" with an SLM head driver, in the safe order of facts on PicoQuant drivers.

"Off" is a verified lock. Pulse mode 0 is never used: with a CW-capable head it is continuous light.
Opening only reads; whatever ran before goes on until the first command.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from ctypes import c_int32, c_ubyte
from typing import Any, Literal

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.drivers.errors import InstrumentError, LimitError, NotConnectedError, check_limits
from cryopl_bluesky.drivers.laser import LaserInfo, PowerTable
from cryopl_bluesky.drivers.sepia2_frame import find_modules, read_firmware
from cryopl_bluesky.drivers.sepia2_head import FROM_OSCILLATOR, Head
from cryopl_bluesky.drivers.sepia2_library import Sepia2Calls, decode, load_vendor_library
from cryopl_bluesky.drivers.sepia2_oscillator import Oscillator, OscillatorRate
from cryopl_bluesky.drivers.sepia2_sequence import Sequences

__all__ = ["Sepia2Laser", "load_vendor_library"]

log = logging.getLogger(__name__)

_RAMP_STEPS = 5


class Sepia2Laser:
    """A laser head on a Sepia II.

    Args:
        library: object with the `SEPIA2_*` functions, see `load_vendor_library`.
        clock: for waiting.
        device_index: USB index of the Sepia II, 0 to 7.
        name: device name for messages.
        power_table: (rate_Hz, permille, uW) power-meter readings.
        prefer: which clock to use for a rate that both can make: the head driver's own ("head") or the
            oscillator module's ("oscillator"; then the oscillator's sync output follows the laser).
        output: output of the oscillator module that the head driver is wired to, from 1.
    """

    attended = False

    def __init__(
        self, library: Any, clock: Clock, *, device_index: int = 0, name: str = "laser",
        power_table: Iterable[tuple[float, float, float]] = (),
        prefer: Literal["head", "oscillator"] = "head", output: int = 1,
    ):
        self._clock, self.name = clock, name
        self._table, self._prefer, self._output_mask = PowerTable(power_table), prefer, 1 << (output - 1)
        self._sequences = Sequences(name)
        self._lock = self._sequences.lock
        self._calls = Sepia2Calls(library, name, device_index, self._sequences.check)
        self._slots: dict[str, c_int32] = {}
        self._oscillator: Oscillator | None = None
        self._head = Head(self._calls, name, c_int32())  # its slot is learned by open()
        self._info = LaserInfo("")
        self._target_permille = 0
        self._is_open = False

    # ---- connection ----------------------------------------------------------------------------------------

    def open(self) -> None:
        """Connect and read what is there; nothing is set.

        Raises:
            NotConnectedError: no such device, or another program holds it.
            InstrumentError: a module that is needed is missing.
        """
        with self._lock:
            if self._is_open:
                return
            model, serial = ctypes.create_string_buffer(64), ctypes.create_string_buffer(64)
            self._calls("USB_OpenDevice", model, serial)
            try:
                firmware = read_firmware(self._calls, self.name)
                self._slots = find_modules(self._calls, self.name)
                self._head = Head(self._calls, self.name, self._slots["SLM"])
                self._head.read_rates()
                self._oscillator = self._make_oscillator()
                library = self._calls.text("LIB_GetVersion")
                modules = tuple(f"{kind} {slot.value:03d}" for kind, slot in self._slots.items())
                self._info = LaserInfo(decode(model), decode(serial), firmware, library, modules)
                self._target_permille = self._head.permille()
            except Exception:
                self._release()
                raise
            self._is_open = True

    def close(self) -> None:
        """Switch off, then disconnect; the connection is given up even when the laser refuses to lock.

        Raises:
            InstrumentError: the laser could not be locked, it may still be on.
        """
        with self._lock:
            if not self._is_open:
                return
            try:
                self._switch_off_or_emergency()
            finally:
                self._is_open = False
                self._release()

    def __enter__(self) -> Sepia2Laser:
        self.open()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def info(self) -> LaserInfo:
        """Model, serial number, versions and modules."""
        return self._info

    def _switch_off_or_emergency(self) -> None:
        try:
            self.switch_off()
        except InstrumentError:
            self.emergency_off()

    def _make_oscillator(self) -> Oscillator | None:
        for group in ("SOMD", "SOM"):
            if group in self._slots:
                oscillator = Oscillator(self._calls, self._clock, self.name, group, self._slots[group].value)
                oscillator.read_bases()
                return oscillator
        return None

    def _release(self) -> None:
        for function in ("FWR_FreeModuleMap", "USB_CloseDevice"):
            code = self._calls.code(function, c_int32(self._calls.device_index))
            if code != 0:
                log.warning("%s: %s returned %d while disconnecting", self.name, function, code)

    # ---- repetition rate -----------------------------------------------------------------------------------

    def repetition_rates_Hz(self) -> tuple[float, ...]:
        """Rates of the head driver's own oscillator, ascending."""
        return tuple(sorted(self._head.rates_Hz.values()))

    def check_repetition_rate(self, rate_Hz: float) -> None:
        """Refuse a rate that neither the head driver nor the oscillator module makes.

        Raises:
            LimitError: names the nearest rates.
        """
        highest_Hz = max(self._head.rates_Hz.values(), default=None)
        check_limits(self.name, "repetition_rate_Hz", rate_Hz, 1.0, highest_Hz, "Hz")
        self._source_of(rate_Hz)

    def repetition_rate_Hz(self) -> float:
        """The rate that is set, read back from the modules; 0 when the trigger comes from outside."""
        with self._sequence():
            index = self._head.rate_index()
            if index in self._head.rates_Hz:
                return self._head.rates_Hz[index]
            rate = self._oscillator.read_rate() if self._oscillator and index == FROM_OSCILLATOR else None
            return 0.0 if rate is None else rate.rate_Hz

    def set_repetition_rate(self, rate_Hz: float) -> None:
        """Set the rate with the laser locked; if it was on, it comes back by the safe order.

        Raises:
            LimitError: the rate cannot be made; nothing was touched.
            InstrumentError: a step failed; the laser is locked.
        """
        self.check_repetition_rate(rate_Hz)
        with self._sequence():
            was_on = not self.is_locked()
            self.switch_off()
            self._apply_rate(rate_Hz)
            if was_on:
                self._switch_on(rate_Hz)

    def _source_of(self, rate_Hz: float) -> int | OscillatorRate:
        """Index of the head driver's own rate, or how the oscillator makes it."""
        head, module = self._head.index_of(rate_Hz), self._oscillator and self._oscillator.find(rate_Hz)
        if head is not None and (self._prefer == "head" or module is None):
            return head
        if module is not None:
            return module
        from_module = self._oscillator.nearest_Hz(rate_Hz) if self._oscillator else []
        known = {*self._head.rates_Hz.values(), *from_module}
        near = sorted(known, key=lambda other_Hz: abs(other_Hz - rate_Hz))[:2]
        raise LimitError(self.name, f"repetition_rate_Hz={rate_Hz:g} cannot be made by this laser",
                         "nearest: " + ", ".join(f"{other_Hz:.9g}" for other_Hz in near))

    def _apply_rate(self, rate_Hz: float) -> None:
        source = self._source_of(rate_Hz)
        if isinstance(source, OscillatorRate) and self._oscillator:
            self._oscillator.apply(source)
        self._head.set_rate_index(source if isinstance(source, int) else FROM_OSCILLATOR)

    # ---- intensity -----------------------------------------------------------------------------------------

    def intensity_permille(self) -> float:
        """The intensity read back while unlocked; while locked the one that `switch_on` will ramp up to."""
        with self._sequence():
            return float(self._target_permille if self.is_locked() else self._head.permille())

    def set_intensity(self, permille: float) -> None:
        """Set the intensity in whole per mille; ramped at once if the laser is on.

        Raises:
            LimitError: outside 0 to 1000.
            InstrumentError: a step failed; the laser is locked.
        """
        check_limits(self.name, "intensity_permille", permille, 0, 1000, "permille")
        with self._sequence():
            self._target_permille = round(permille)
            if not self.is_locked():
                with self._locking_on_failure():
                    self._head.set_permille(self._target_permille)

    def power_uW(self) -> float | None:
        """Average power by the power table; 0 when locked, None when the table does not say."""
        with self._sequence():
            if self.is_locked():
                return 0.0
            return self._table.power_uW(self.repetition_rate_Hz(), self._head.permille())

    # ---- on and off ----------------------------------------------------------------------------------------

    def is_locked(self) -> bool:
        """The real lock: key switch, interlock, supply failure or soft lock."""
        with self._lock:
            if not self._slots:
                raise self._not_open()
            return bool(self._calls.value("SCM_GetLaserLocked", self._slots["SCM"], kind=c_ubyte))

    def is_emitting(self) -> bool:
        """Whether light may leave the head: whenever it is not locked."""
        return not self.is_locked()

    def switch_on(self) -> None:
        """Dark, locked, everything set and verified, unlocked, verified, then the intensity in steps.

        The shutter must be closed by whoever calls this. If any step fails, the laser is locked again.

        Raises:
            InstrumentError: no laser head, key off or interlock open, or a read-back that differs.
        """
        with self._sequence():
            rate_Hz = self.repetition_rate_Hz()
            if rate_Hz == 0:
                raise InstrumentError(self.name, "the repetition rate is not known: external trigger",
                                      "set repetition_rate_Hz first")
            self._switch_on(rate_Hz)

    def switch_off(self) -> None:
        """Intensity 0, output off, soft lock, and verify the real lock.

        Raises:
            InstrumentError: the laser does not lock; everything was tried.
        """
        with self._sequence():
            self._try_all(self._zero_intensity, self._outputs_off, self._lock_softly, self._verify_locked)

    def emergency_off(self) -> None:
        """Lock first, then intensity 0 and outputs off; stops any sequence that runs in another thread.

        Raises:
            InstrumentError: not verified as locked, after everything was tried.
        """
        with self._sequences.emergency():
            self._try_all(self._lock_softly, self._zero_intensity, self._outputs_off, self._verify_locked)

    def _switch_on(self, rate_Hz: float) -> None:
        with self._locking_on_failure():
            self._head.check_connected()
            self._try_all(self._zero_intensity, self._lock_softly, self._verify_locked)
            self._apply_rate(rate_Hz)
            if self._oscillator is not None:
                mask = self._output_mask if isinstance(self._source_of(rate_Hz), OscillatorRate) else 0
                self._oscillator.enable_outputs(mask, mask)
            self._unlock()
            for step in range(1, _RAMP_STEPS + 1):
                self._head.set_permille(round(self._target_permille * step / _RAMP_STEPS))
            if self.is_locked():
                raise InstrumentError(self.name, "the laser locked itself while its intensity was raised",
                                      "check interlock and supply of the Sepia II")

    def _unlock(self) -> None:
        self._calls("SCM_SetLaserSoftLock", self._slots["SCM"], c_ubyte(0))
        if self.is_locked():
            raise InstrumentError(self.name, "the laser stays locked although the soft lock is open",
                                  "turn the key switch on and check the interlock")

    def _zero_intensity(self) -> None:
        self._head.set_permille(0)

    def _outputs_off(self) -> None:
        if self._oscillator is not None:
            self._oscillator.enable_outputs(0, 0)

    def _try_all(self, *actions: Callable[[], None]) -> None:
        """Each action is tried whatever happened to the ones before it; raises at the end."""
        if not self._slots:
            raise self._not_open()
        errors: list[Exception] = []
        for action in actions:
            try:
                action()
            except Exception as error:  # noqa: BLE001 - the remaining actions can still make the laser safe
                log.error("%s", error)
                errors.append(error)
        if errors:
            raise errors[0] if len(errors) == 1 else InstrumentError(
                self.name, "; ".join(str(error) for error in errors),
                "treat the laser as ON: turn its key switch off") from errors[0]

    def _lock_softly(self) -> None:
        self._calls("SCM_SetLaserSoftLock", self._slots["SCM"], c_ubyte(1))

    def _verify_locked(self) -> None:
        if not self.is_locked():
            raise InstrumentError(self.name, "the soft lock was set but the laser is not locked",
                                  "turn its key switch off")

    @contextmanager
    def _sequence(self) -> Iterator[None]:
        with self._sequences.sequence():
            if not self._is_open:
                raise self._not_open()
            yield

    def _not_open(self) -> NotConnectedError:
        return NotConnectedError(self.name, "the connection to the laser is not open, its state is not known",
                                 "connect first")

    @contextmanager
    def _locking_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            try:
                self.emergency_off()
            except InstrumentError:
                log.critical("%s: could not be locked after a failure; turn its key switch off", self.name)
            raise
