"""What the Andor camera and spectrograph have in common: pylablib's errors, translated with a remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cryopl_bluesky.drivers.errors import InstrumentError, InstrumentTimeoutError, NotConnectedError

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
