"""Plain values around the camera: what it is, a frame, and the maker's typical numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cryopl_bluesky.drivers.errors import InstrumentError, InstrumentTimeoutError

_Value = TypeVar("_Value")

# Typical values of the ZL41 Wave 4.2 and Zyla 4.2 PLUS data sheet and two test sheets (facts/andor.md section
# 8); the sheets of single cameras differ from them by up to 20 %. By words of the gain mode's name.
_GAIN_E_PER_ADU = {"16-bit": 0.45, "12-bit (low noise)": 0.28, "12-bit (high well capacity)": 7.5}
_READ_NOISE_SLOW_FAST_E = {
    "16-bit": (1.09, 1.31), "12-bit (low noise)": (0.90, 1.09), "12-bit (high well capacity)": (7.4, 7.1),
}
_SLOW_RATES = ("100 MHz", "200 MHz")


@dataclass(frozen=True)
class CameraInfo:
    """What the camera says about itself.

    Attributes:
        model: model name.
        serial: serial number.
        firmware: firmware version.
        width_px: columns of the sensor.
        height_px: rows of the sensor.
        pixel_um: pixel pitch.
    """

    model: str
    serial: str
    firmware: str
    width_px: int
    height_px: int
    pixel_um: float


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        image: counts, (rows, columns) uint16, row 0 on top.
        timestamp_s: start of the exposure on the camera's own clock in s; None when it is not sent.
        index: number of the frame since arming, from 0.
    """

    image: NDArray[np.uint16]
    timestamp_s: float | None
    index: int


class FrameTimeoutError(InstrumentTimeoutError):
    """A frame did not come.

    Attributes:
        recovered: the camera was armed again and takes another trigger.
    """

    def __init__(self, instrument: str, problem: str, remedy: str = "", *, recovered: bool):
        self.recovered = recovered
        super().__init__(instrument, problem, remedy)


def gain_of(gain_mode: str, instrument: str) -> float:
    """Typical electrons per count.

    Args:
        gain_mode: entry of SimplePreAmpGainControl.
        instrument: device name for the message.

    Returns:
        Electrons per count.

    Raises:
        InstrumentError: no value is known for this mode.
    """
    return _by_mode(_GAIN_E_PER_ADU, gain_mode, instrument)


def read_noise_of(gain_mode: str, readout_rate: str, instrument: str) -> float:
    """Typical read noise of one sensor pixel.

    Args:
        gain_mode: entry of SimplePreAmpGainControl.
        readout_rate: entry of PixelReadoutRate.
        instrument: device name for the message.

    Returns:
        Electrons rms.

    Raises:
        InstrumentError: no value is known for this mode.
    """
    slow_e, fast_e = _by_mode(_READ_NOISE_SLOW_FAST_E, gain_mode, instrument)
    return slow_e if readout_rate in _SLOW_RATES else fast_e


def parse_bits(bit_depth: str, instrument: str) -> int:
    """Number in front of BitDepth's "12 Bit".

    Args:
        bit_depth: the feature's text.
        instrument: device name for the message.

    Returns:
        Bits.
    """
    digits = bit_depth.split()[0].split("-")[0] if bit_depth.strip() else ""
    if not digits.isdigit():
        raise InstrumentError(instrument, f"bit depth {bit_depth!r} is not understood")
    return int(digits)


def _by_mode(table: dict[str, _Value], gain_mode: str, instrument: str) -> _Value:
    for start, value in table.items():
        if gain_mode.startswith(start):
            return value
    raise InstrumentError(instrument, f"no typical values are known for gain={gain_mode!r}",
                          "measure gain and read noise of this mode and enter them in the profile")
