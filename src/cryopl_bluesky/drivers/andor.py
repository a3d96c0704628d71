"""What the Andor camera and spectrograph have in common: the connection, and pylablib's errors with a remedy."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, Self

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.drivers.errors import InstrumentError, InstrumentTimeoutError, NotConnectedError

log = logging.getLogger(__name__)

COMMUNICATION_ERROR = 20201  # the spectrograph's sporadic error, gone when the command is repeated

_REMEDIES = {
    2: "this camera does not have the feature",
    5: "stop the acquisition first",
    6: "the camera does not accept this value with its present settings",
    10: "check the camera's cable and power, then connect again",
    12: "the camera was closed; connect again",
    17: "check the camera's cable and power, then connect again",
    37: "close other programs: the computer is out of memory",
    38: "close Andor Solis and every other program that uses the camera",
    39: "check the camera's cable and power, then connect again",
    100: "lower the frame rate or close programs that load the USB link",
    COMMUNICATION_ERROR: "check the cable; if it stays, power the spectrograph off and on, connect again",
    20249: "the spectrograph has no wavelength axis with the mirror or at zero order",
    20275: "close the session, power the spectrograph off and on, connect again",
}
_WHERE = {
    "camera": r"atcore.dll in %ProgramFiles%\Andor SOLIS, %ProgramFiles%\Andor SDK3, PATH and the folder "
              "pylablib.par['devices/dlls/andor_sdk3']",
    "spectrograph": r"atspectrograph.dll and ShamrockCIF64.dll in %ProgramFiles%\Andor SDK, "
                    r"%ProgramFiles%\Andor SOLIS, PATH and the folder "
                    "pylablib.par['devices/dlls/andor_shamrock']",
}
_INSTALL = {
    "camera": "install Andor SDK3 (or Andor Solis) on this Windows computer",
    "spectrograph": "install the Andor spectrograph SDK (comes with Solis and SDK2) on this Windows computer",
}


@contextmanager
def andor_errors(instrument: str, doing: str) -> Iterator[None]:
    """Turn what pylablib raises into an `InstrumentError` with the vendor's code and a remedy.

    Args:
        instrument: device name.
        doing: what was tried, for the message ("setting exposure_s=0.1").

    Raises:
        InstrumentError: the library or the instrument refused.
        InstrumentTimeoutError: pylablib gave up waiting.
    """
    from pylablib.devices.Andor.base import AndorError, AndorTimeoutError

    try:
        yield
    except AndorTimeoutError as error:
        raise InstrumentTimeoutError(instrument, f"{doing}: no answer in time") from error
    except AndorError as error:
        code = getattr(error, "code", None)
        remedy = _REMEDIES.get(code or 0, "")
        raise InstrumentError(instrument, f"{doing}: {error}", remedy, code=code) from error


@contextmanager
def andor_connection(instrument: str, kind: str) -> Iterator[None]:
    """Like `andor_errors` while connecting: a missing library or device becomes a `NotConnectedError`.

    Args:
        instrument: device name.
        kind: "camera" or "spectrograph".

    Raises:
        NotConnectedError: says what is missing, where it was looked for and what to do.
    """
    try:
        with andor_errors(instrument, "connecting"):
            yield
    except ImportError as error:
        raise NotConnectedError(instrument, f"the Python package pylablib cannot be imported: {error}",
                                "run pip install pylablib") from error
    except OSError as error:
        raise NotConnectedError(instrument, f"the vendor's library was not found; looked for {_WHERE[kind]}",
                                _INSTALL[kind]) from error
    except NotConnectedError:
        raise
    except InstrumentError as error:
        remedy = error.remedy or "check cable and power, then connect again"
        raise NotConnectedError(instrument, error.problem, remedy, code=error.code) from error


class AndorConnection:
    """One Andor instrument through pylablib, one call at a time.

    Args:
        kind: which of the two, for messages.
        clock: time base of waits.
        serial: serial number; "" = the only one.
        name: device name for messages.
    """

    def __init__(self, kind: Literal["camera", "spectrograph"], clock: Clock, *, serial: str, name: str):
        self._kind, self._clock, self._serial, self._name = kind, clock, serial, name
        self._lock = threading.RLock()
        self._device: Any = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _find(self) -> Any:
        """The opened pylablib object of the instrument with this serial number."""
        raise NotImplementedError

    def _set_up(self) -> None:
        """Read what the instrument is, and set what the driver relies on."""
        raise NotImplementedError

    def open(self) -> None:
        """Connect (a spectrograph may home its drives, up to 2 minutes); harmless when open already.

        Raises:
            NotConnectedError: library or instrument missing, several of them and no serial number, or another
                program holds it.
        """
        with self._lock:
            if self._device is not None:
                return
            with andor_connection(self._name, self._kind):
                self._device = self._find()
            try:
                with andor_connection(self._name, self._kind):
                    self._set_up()
            except InstrumentError:
                self.close()
                raise

    def close(self) -> None:
        """Disconnect; harmless when not open."""
        with self._lock:
            device, self._device = self._device, None
            if device is None:
                return
            try:
                with andor_errors(self._name, "closing"):
                    device.close()
            except InstrumentError as error:
                log.warning("%s (the %s is given up anyway)", error, self._kind)

    @contextmanager
    def _using(self, doing: str) -> Iterator[Any]:
        """The open instrument, locked, with the vendor's errors translated."""
        with self._lock:
            if self._device is None:
                raise InstrumentError(self._name, f"{doing}: not connected", f"open the {self._kind} first")
            with andor_errors(self._name, doing):
                yield self._device
