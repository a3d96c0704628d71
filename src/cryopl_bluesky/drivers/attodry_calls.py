"""Calls to an attocube controller: values behind the error number, checked; reads repeated, writes never."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any, Self, TypeVar

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.drivers.errors import InstrumentError
from cryopl_bluesky.drivers.jsonrpc import JsonRpcClient, LinkError, MethodMissingError

INTERFACE = "com.attocube.cryostat.interface."
SYSTEM = "com.attocube.system."
_PLAUSIBLE_K = (0.5, 400.0)
_WRITE_TIMEOUT_FACTOR = 3.0
READ_ATTEMPTS = 3

T = TypeVar("T")


class AttoDryCalls:
    """The connection to one controller and the forms of its answers.

    Args:
        host: name or address of the controller.
        port: TCP port, 9090 on the real one.
        clock: time base of the back-off between attempts to connect.
        name: device name for error messages.
        timeout_s: real seconds to wait for the reply to a read; writes wait three times as long.
    """

    def __init__(self, host: str, port: int, clock: Clock, *, name: str, timeout_s: float):
        self._rpc = JsonRpcClient(host, port, clock, name=name, timeout_s=timeout_s)
        self._clock, self._name, self._write_timeout_s = clock, name, timeout_s * _WRITE_TIMEOUT_FACTOR
        self._unsupported: set[str] = set()

    @property
    def name(self) -> str:
        """Device name."""
        return self._name

    @property
    def unsupported(self) -> frozenset[str]:
        """Methods that the firmware turned out not to know."""
        return frozenset(self._unsupported)

    def open(self) -> None:
        """Connect.

        Raises:
            NotConnectedError: nobody answers at this address.
        """
        self._rpc.connect()

    def close(self) -> None:
        """Disconnect; control goes on."""
        self._rpc.close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, method: str, *params: Any) -> list[Any]:
        """Call a method that changes nothing; repeated over a new connection if the link fails.

        Args:
            method: full name, or a name under `com.attocube.cryostat.interface.`.
            params: positional parameters.

        Returns:
            The values after the error number.

        Raises:
            InstrumentError: error number, missing method, or the link failed at each of `READ_ATTEMPTS`.
        """
        return self._values(method, self.read_raw(method, *params))

    def read_raw(self, method: str, *params: Any) -> list[Any]:
        """As `read`, but the whole result, whatever stands first in it."""
        full_name = _full_name(method)
        for _ in range(READ_ATTEMPTS - 1):
            with contextlib.suppress(LinkError):  # told by the last attempt
                return self._rpc.call(full_name, params)
        return self._rpc.call(full_name, params)

    def write(self, method: str, *params: Any) -> list[Any]:
        """Call a method that changes something; never repeated, because it may have taken effect.

        Args:
            method: as for `read`.
            params: positional parameters.

        Returns:
            The values after the error number.

        Raises:
            LinkError: no reply; read the state back before deciding anything.
            InstrumentError: error number or missing method.
        """
        result = self._rpc.call(_full_name(method), params, timeout_s=self._write_timeout_s)
        return self._values(method, result)

    def _values(self, method: str, result: list[Any]) -> list[Any]:
        number = result[0]
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise InstrumentError(self._name, f"{method} answered {result!r} without an error number first")
        if number != 0:
            raise InstrumentError(self._name, f"{method} failed with error {int(number)}: "
                                  f"{self._error_text(int(number))}", code=int(number))
        return result[1:]

    def _error_text(self, number: int) -> str:
        method = SYSTEM + "errorNumberToString"
        try:
            result = self._rpc.call(method, (0, number))
        except InstrumentError as error:
            return f"no text ({error.problem})"
        return str(result[1]) if len(result) > 1 and result[0] == 0 else "no text"

    def read_float(self, method: str, *params: Any) -> float:
        """The first value as a finite float.

        Raises:
            InstrumentError: not a number, NaN or infinite.
        """
        values = self.read(method, *params)
        if not values or isinstance(values[0], str) or values[0] is None or not math.isfinite(values[0]):
            raise InstrumentError(self._name, f"{method} answered {values!r} instead of a number")
        return float(values[0])

    def read_flag(self, method: str) -> bool:
        """The first value as true or false.

        Raises:
            InstrumentError: it is neither.
        """
        values = self.read(method)
        if not values or isinstance(values[0], str):
            raise InstrumentError(self._name, f"{method} answered {values!r} instead of true or false")
        return bool(values[0])

    def read_temperature(self, method: str) -> float:
        """The first value as a temperature.

        Raises:
            InstrumentError: outside 0.5 to 400 K, as with an open thermometer.
        """
        value_K = self.read_float(method)
        if not _PLAUSIBLE_K[0] <= value_K <= _PLAUSIBLE_K[1]:
            raise InstrumentError(self._name, f"{method} answered {value_K:g} K, which cannot be",
                                  "thermometer open or shorted? Check its resistance")
        return value_K

    def read_optional(self, method: Callable[[], T]) -> T | None:
        """What a method of this class returns; None from then on when the firmware does not know it."""
        key = method.__name__
        if key in self._unsupported:
            return None
        try:
            return method()
        except MethodMissingError:
            self._unsupported.add(key)
            return None


def _full_name(method: str) -> str:
    return method if method.startswith("com.") else INTERFACE + method
