"""The sCMOS sensor of the virtual camera: gain modes, noise, dark current, timing and how a frame is made.

Numbers: facts/andor.md section 8 (test sheets and the Zyla 4.2 PLUS data sheet); spreads are estimates.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SENSOR_PX = 2048
PIXEL_UM = 6.5
BASELINE_ADU = 100
DARK_CURRENT_E_S = 0.107  # per pixel at 0 degC (the sheets do not state the temperature)
DARK_CURRENT_HALVING_K = 6.5
ROW_TIME_S = {"100 MHz": 24.07e-6, "270 MHz": 9.63e-6}
READOUT_OVERHEAD_ROWS = 1.8


@dataclass(frozen=True)
class GainMode:
    """One entry of SimplePreAmpGainControl.

    Attributes:
        bits: bits of the converter.
        gain_e_per_adu: electrons per count.
        read_noise_e: typical read noise in electrons rms, by pixel readout rate.
        encodings: pixel encodings that the mode allows.
    """

    bits: int
    gain_e_per_adu: float
    read_noise_e: dict[str, float]
    encodings: tuple[str, ...]


_12_BIT = ("Mono12", "Mono12Packed", "Mono16", "Mono32")
GAIN_MODES = {
    "12-bit (high well capacity)": GainMode(12, 7.5, {"100 MHz": 7.4, "270 MHz": 7.1}, _12_BIT),
    "12-bit (low noise)": GainMode(12, 0.28, {"100 MHz": 0.90, "270 MHz": 1.09}, _12_BIT),
    "16-bit (low noise & high well capacity)": GainMode(
        16, 0.45, {"100 MHz": 1.09, "270 MHz": 1.31}, ("Mono16", "Mono32")
    ),
}


@dataclass(frozen=True)
class Window:
    """Region of interest: `top` and `left` in sensor pixels from 0, `height` and `width` in binned pixels."""

    left: int
    top: int
    width: int
    height: int
    binning: int

    def readout_rows(self) -> float:
        """Rows that the busier half of the sensor reads; both halves are read in parallel."""
        half, bottom = SENSOR_PX // 2, self.top + self.height * self.binning
        upper = max(0, min(bottom, half) - self.top)
        lower = max(0, bottom - max(self.top, half))
        return max(upper, lower) + READOUT_OVERHEAD_ROWS


@dataclass(frozen=True)
class PixelMaps:
    """Differences between pixels, float32 (2048, 2048), relative to the typical pixel."""

    efficiency: NDArray[np.float32]
    dark: NDArray[np.float32]
    noise: NDArray[np.float32]


@lru_cache(maxsize=2)
def pixel_maps(seed: int) -> PixelMaps:
    """Fixed pattern of the sensor: 1 % PRNU, 10 % spread of read noise, 1 in 5000 pixels hot [est].

    Args:
        seed: seed of the bench; the same seed is the same sensor.

    Returns:
        The maps (48 MB, shared by all users).
    """
    rng = np.random.default_rng([seed, *b"sensor"])
    shape = (SENSOR_PX, SENSOR_PX)
    efficiency = 1 + np.float32(0.01) * rng.standard_normal(shape, dtype=np.float32)
    noise = np.exp(np.float32(0.1) * rng.standard_normal(shape, dtype=np.float32))
    dark = np.exp(np.float32(0.3) * rng.standard_normal(shape, dtype=np.float32))
    hot = rng.integers(0, SENSOR_PX, size=(2, SENSOR_PX * SENSOR_PX // 5000))
    dark[hot[0], hot[1]] = rng.uniform(50, 2000, hot.shape[1]).astype(np.float32)
    return PixelMaps(efficiency, dark, noise)


@lru_cache(maxsize=1)
def _normal_table() -> NDArray[np.float32]:
    from scipy.special import ndtri

    from cryopl_bluesky.sim.sensor_kernels import NORMAL_TABLE_SIZE

    table = ndtri((np.arange(NORMAL_TABLE_SIZE) + 0.5) / NORMAL_TABLE_SIZE)
    return (table / table.std()).astype(np.float32)


class Sensor:
    """Makes frames.

    Args:
        rng: source of the noise.
        seed: which sensor (fixed pattern).
    """

    def __init__(self, rng: np.random.Generator, seed: int):
        self._state = rng.integers(1, 2**63, size=2).astype(np.uint64)
        self._seed = seed

    def warm_up(self) -> None:
        """Compile the kernels and make the pixel maps, so that the first frame is not late."""
        mode = GAIN_MODES["12-bit (low noise)"]
        image = self.expose(np.zeros((SENSOR_PX, SENSOR_PX), np.float32), Window(0, 0, 2, 1, 1), 0.0, mode,
                            "100 MHz", 0.0, 2)
        encode(image, 2, "Mono12Packed", 8)

    def expose(
        self, scene: NDArray[np.float32], window: Window, exposure_s: float, mode: GainMode,
        readout_rate: str, temperature_C: float, columns: int,
    ) -> NDArray[np.uint16]:
        """One digitised exposure.

        Args:
            scene: photo-electrons per second and sensor pixel, (2048, 2048).
            window: region of interest.
            exposure_s: exposure time.
            mode: gain mode.
            readout_rate: pixel readout rate, decides the read noise.
            temperature_C: sensor temperature, decides the dark current.
            columns: columns of the result, at least `window.width`; the rest is padding.

        Returns:
            Counts, (window.height, columns).
        """
        from cryopl_bluesky.sim.sensor_kernels import expose

        maps = pixel_maps(self._seed)
        dark_e = DARK_CURRENT_E_S * 2 ** (temperature_C / DARK_CURRENT_HALVING_K) * exposure_s
        image = np.zeros((window.height, columns), np.uint16)
        expose(
            _plain(scene), maps.efficiency, maps.dark, maps.noise, window.top, window.left, window.binning,
            window.width, exposure_s, dark_e, mode.read_noise_e[readout_rate], mode.gain_e_per_adu,
            float(BASELINE_ADU), 2.0**mode.bits - 1, _normal_table(), self._state, image,
        )
        return image


def encode(image: NDArray[np.uint16], width: int, encoding: str, stride: int) -> NDArray[np.uint8]:
    """Bytes of an image as the camera sends them.

    Args:
        image: counts, (height, columns) with columns >= width.
        width: image columns.
        encoding: entry of PixelEncoding.
        stride: bytes per row.

    Returns:
        Bytes, (height, stride).
    """
    if encoding in ("Mono12", "Mono16") and image.shape[1] * 2 == stride:
        return image.view(np.uint8)
    rows = np.zeros((image.shape[0], stride), np.uint8)
    if encoding == "Mono12Packed":
        from cryopl_bluesky.sim.sensor_kernels import pack_12_bit

        pack_12_bit(image, width, rows)
        return rows
    kind = "<u4" if encoding == "Mono32" else "<u2"
    pixels = np.ascontiguousarray(image[:, :width], dtype=kind).view(np.uint8)
    rows[:, : pixels.shape[1]] = pixels
    return rows


def _plain(scene: NDArray[np.float32]) -> NDArray[np.float32]:
    """A read-only view: the kernel is compiled once, for read-only contiguous float32 arrays."""
    if scene.shape != (SENSOR_PX, SENSOR_PX):
        raise ValueError(f"scene has shape {scene.shape}, expected {(SENSOR_PX, SENSOR_PX)}")
    plain = np.ascontiguousarray(scene, dtype=np.float32).view()
    plain.flags.writeable = False
    return plain
