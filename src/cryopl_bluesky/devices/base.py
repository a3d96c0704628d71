"""The base of all devices: typed quantities, and one owner thread per instrument.

`read()` runs on the RunEngine's thread and therefore never talks to an instrument: it returns cached
read-backs. The hardware is touched by `set()` and `trigger()`, whose work runs on the instrument's own thread.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from ophyd import Device, Signal
from ophyd.status import Status

from cryopl_bluesky.devices.status import WorkStatus
from cryopl_bluesky.drivers.errors import InstrumentError, LimitError, check_limits

log = logging.getLogger(__name__)

REFRESH_TIMEOUT_S = 60.0
_NUMPY_TYPES = {float: "<f8", int: "<i8", bool: "|b1"}
_JSON_TYPES = {float: "number", int: "integer", bool: "boolean", str: "string"}
_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class Quantity(Signal):
    """A typed value of an instrument, with unit, limits and precision.

    Values are coerced to `dtype` at every put, because a table column takes its type from the first value.
    With `write`, `set()` calls that method of the parent with the value on the instrument's thread and stores
    what it returns: the read-back. Without it the quantity is read-only to users (`put` is for the device).

    Args:
        dtype: float, int, bool or str; for an array the numpy dtype as text, for example "<f8".
        shape: shape of an array value; () for scalars.
        units: unit as users read it, "" for none.
        precision: digits shown after the point.
        limits: smallest and largest value `set` accepts, None where there is none.
        choices: the accepted values of a text quantity.
        write: name of the parent's method that applies a value and returns the read-back.
        timeout_s: real seconds after which a `set` fails.
    """

    def __init__(
        self, *, name: str, value: Any = None, dtype: type | str = float, shape: tuple[int, ...] = (),
        units: str = "", precision: int = 3, limits: tuple[float | None, float | None] | None = None,
        choices: tuple[str, ...] = (), write: str = "", timeout_s: float = 30.0, **kwargs: Any,
    ):
        if not _PLAIN_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a plain name: letters, digits and _ only")
        self._value_type, self._shape = dtype, shape
        self.units, self.precision = units, precision
        self._limits, self.choices = limits, choices
        self._write, self._timeout_s = write, timeout_s
        super().__init__(name=name, value=self._default() if value is None else self._coerce(value), **kwargs)

    def _default(self) -> Any:
        return np.zeros(self._shape, self._value_type) if isinstance(self._value_type, str) else self._value_type()

    def _coerce(self, value: Any) -> Any:
        if isinstance(self._value_type, str):
            return np.asarray(value, dtype=self._value_type)
        return self._value_type(value)

    @property  # ophyd types its base as "(0, 0)"
    def limits(self) -> tuple[float | None, float | None] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Smallest and largest value that `set` accepts."""
        return self._limits

    @limits.setter
    def limits(self, limits: tuple[float | None, float | None] | None) -> None:
        self._limits = limits

    def get(self, **kwargs: Any) -> Any:
        """The present value, of the declared type."""
        return super().get(**kwargs)

    @property
    def position(self) -> float:
        """Present value of a number that can be set within limits; by this `%wa` finds what to list."""
        if self._write and self._value_type is float and self._limits is not None and None not in self._limits:
            return self.get()
        raise AttributeError("position")

    def put(self, value: Any, **kwargs: Any) -> None:
        """Store a read-back (coerced to the declared type)."""
        # The instrument is right even when its read-back lies a rounding error outside the limits.
        super().put(self._coerce(value), force=True, **kwargs)

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse a value outside limits or choices.

        Raises:
            LimitError: names the quantity, the value, the limit and the remedy.
        """
        instrument = self.root.name
        if self.choices and value not in self.choices:
            raise LimitError(instrument, f"{self.attr_name}={value!r} does not exist",
                             f"choose one of {', '.join(map(repr, self.choices))}")
        if self._limits is not None:
            check_limits(instrument, self.attr_name, value, *self._limits, self.units)

    def set(self, value: Any, **kwargs: Any) -> Status:
        """Apply `value` on the instrument's thread; the Status finishes when it was read back."""
        value = self._coerce(value)
        self.check_value(value)
        if not self._write:
            raise LimitError(self.root.name, f"{self.attr_name} is read-only")
        instrument: Any = self.parent
        method = getattr(instrument, self._write)
        return instrument.submit(lambda: self.put(method(value)), self._timeout_s, f"{self.name}={value!r}")

    def describe(self) -> dict[str, Any]:
        """The data key, with dtype, unit, precision and limits.

        Returns:
            An event-model data key by name.
        """
        key = super().describe()[self.name]
        if isinstance(self._value_type, str):
            key.update(dtype="array", shape=list(self.get().shape), dtype_numpy=self._value_type)
        else:
            key.update(dtype=_JSON_TYPES[self._value_type], shape=[])
            if self._value_type in _NUMPY_TYPES:
                key["dtype_numpy"] = _NUMPY_TYPES[self._value_type]
        key["units"], key["precision"] = self.units, self.precision
        if self._limits is not None and None not in self._limits:
            low, high = self._limits
            key["limits"] = {"control": {"low": low, "high": high}}
        return {self.name: key}


class Instrument(Device):
    """A device with one owner thread: everything that touches the hardware runs there, in order."""

    def __init__(self, prefix: str = "", *, name: str, **kwargs: Any):
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        super().__init__(prefix, name=name, **kwargs)

    def submit(self, function: Callable[[], Any], timeout_s: float, what: str) -> Status:
        """Run `function` on the owner thread.

        Args:
            function: the work; its exception becomes the Status' exception.
            timeout_s: real seconds after which the Status fails (the work itself must have its own limit).
            what: description for error messages.

        Returns:
            A Status that finishes with the work.
        """
        status = WorkStatus(self, timeout_s, what)
        self._executor.submit(function).add_done_callback(status.conclude)
        return status

    def call(self, function: Callable[[], Any], timeout_s: float) -> Any:
        """Run `function` on the owner thread and wait for its result (not for use on the RunEngine's thread).

        Raises:
            TimeoutError: not done within `timeout_s` real seconds.
        """
        return self._executor.submit(function).result(timeout_s)

    def refresh(self) -> None:
        """Read the present state of the hardware into the signals (called once after connecting)."""

    def trigger(self) -> Status:  # pyright: ignore[reportIncompatibleMethodOverride] - any Status serves
        """Read the state of the hardware anew; detectors take their data instead."""
        return self.submit(self.refresh, REFRESH_TIMEOUT_S, "read the state")

    def make_safe(self) -> None:
        """Leave nothing dangerous on; called from any thread, at any time, also after errors."""

    def shutdown(self) -> None:
        """Make safe, then release the owner thread and the driver; the device cannot be used afterwards."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class Detector(Instrument):
    """An instrument that takes data between stage and unstage.

    A plan that is aborted unstages while data are being taken. They are given up then, and that is no failure:
    otherwise every abort would be reported as a broken detector.
    """

    def __init__(self, prefix: str = "", *, name: str, **kwargs: Any):
        self._times_given_up = 0
        super().__init__(prefix, name=name, **kwargs)

    def give_up(self) -> None:
        """End the data taking that is under way, past the owner thread; part of `unstage`."""
        self._times_given_up += 1
        self._interrupt()

    def settings(self) -> dict[str, Any]:
        """What data are taken with: all configuration by name, for the file of the data."""
        readings: Any = self.read_configuration()
        return {key.removeprefix(f"{self.name}_"): reading["value"] for key, reading in readings.items()}

    def _interrupt(self) -> None:
        """Make the driver call that takes data return at once (with an error)."""
        raise NotImplementedError

    def take(self, function: Callable[[], Any], timeout_s: float, what: str) -> Status:
        """Like `submit`, for work that `give_up` may cut short."""
        before = self._times_given_up

        def unless_given_up() -> None:
            if self._times_given_up != before:
                return
            try:
                function()
            except InstrumentError as error:
                if self._times_given_up == before:
                    raise
                log.info("%s: given up because the run ended or was paused: %s", what, error)

        return self.submit(unless_given_up, timeout_s, what)
