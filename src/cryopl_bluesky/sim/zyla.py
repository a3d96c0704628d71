"""State of one virtual sCMOS camera: what its SDK3 features say and do to each other.

The feature list, access rights and value ranges are those of facts/andor.md sections 7 and 8.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from math import exp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryopl_bluesky.sim.bench import Bench
from cryopl_bluesky.sim.sensor import GAIN_MODES, ROW_TIME_S, SENSOR_PX, GainMode, Sensor, Window

TIMESTAMP_FREQUENCY_HZ = 100_000_000
MAX_EXPOSURE_S = 30.0
MIN_EXPOSURE_ROWS = {"Internal": 1}  # software and external triggers need three
AMBIENT_C = 25.0
COOLING_TIME_CONSTANT_S = 40.0  # a few minutes to settle [est]
STABILISED_WITHIN_K = 0.5
STRIDE_MULTIPLE = 8
BINNINGS = ("1x1", "2x2", "3x3", "4x4", "8x8")
BYTES_PER_PIXEL = {"Mono12": 2.0, "Mono12Packed": 1.5, "Mono16": 2.0, "Mono32": 4.0}
CHUNK_HEADER_BYTES = 8
TIMESTAMP_CHUNK_BYTES = CHUNK_HEADER_BYTES + 8

_DEFAULTS: dict[str, Any] = {
    "AOIWidth": SENSOR_PX, "AOIHeight": SENSOR_PX, "AOILeft": 1, "AOITop": 1, "AOIHBin": 1, "AOIVBin": 1,
    "AOILayout": "Image", "FastAOIFrameRateEnable": False, "VerticallyCentreAOI": False,
    "PixelEncoding": "Mono16", "SimplePreAmpGainControl": "16-bit (low noise & high well capacity)",
    "PixelReadoutRate": "270 MHz", "SpuriousNoiseFilter": True, "StaticBlemishCorrection": True,
    "ElectronicShutteringMode": "Rolling", "RollingShutterGlobalClear": False, "Overlap": True,
    "AlternatingReadoutDirection": False, "ScanSpeedControlEnable": False,
    "SensorReadoutMode": "Centre Out Simultaneous", "ExternalTriggerDelay": 0.0, "TriggerMode": "Internal",
    "CycleMode": "Fixed", "FrameCount": 1, "AccumulateCount": 1, "SensorCooling": False,
    "TargetSensorTemperature": 0.0, "TemperatureControl": "0.00", "FanSpeed": "On", "MetadataEnable": False,
    "MetadataTimestamp": True, "MetadataFrame": True, "EventSelector": "ExposureEndEvent",
}


class Zyla:
    """A camera on the bench; `changed` guards all its state.

    Args:
        bench: the physical world.
        scene: photo-electrons per second and sensor pixel, float32 (2048, 2048).
        model: CameraModel.
        serial: SerialNumber.
    """

    def __init__(self, bench: Bench, scene: Callable[[], NDArray[np.float32]], *, model: str, serial: str):
        self.bench, self.scene = bench, scene
        self.model, self.serial = model, serial
        self.sensor = Sensor(bench.rng(f"camera {serial}"), bench.seed)
        self.changed = threading.Condition(threading.RLock())
        self.values: dict[str, Any] = dict(_DEFAULTS)
        self.enabled_events: set[str] = set()
        self.acquiring = False
        self._exposure_rows = 0
        self._requested_rate_Hz = float("inf")
        self._temperature_C = AMBIENT_C
        self._temperature_at_s = self._epoch_s = bench.clock.monotonic()
        self.exposure_s = 0.01

    @property
    def mode(self) -> GainMode:
        """Present gain mode."""
        return GAIN_MODES[self.values["SimplePreAmpGainControl"]]

    @property
    def window(self) -> Window:
        """Present region of interest."""
        value = self.values
        return Window(value["AOILeft"] - 1, value["AOITop"] - 1, value["AOIWidth"], value["AOIHeight"],
                      value["AOIHBin"])

    @property
    def row_time_s(self) -> float:
        """Time between two rows."""
        return ROW_TIME_S[self.values["PixelReadoutRate"]]

    @property
    def readout_s(self) -> float:
        """Time to read one frame from the sensor."""
        return self.row_time_s * self.window.readout_rows()

    @property
    def exposure_s(self) -> float:
        """Exposure time, a whole number of row times."""
        return self._exposure_rows * self.row_time_s

    @exposure_s.setter
    def exposure_s(self, value: float) -> None:
        self._exposure_rows = max(round(value / self.row_time_s), 1)

    def exposure_limits_s(self) -> tuple[float, float]:
        """Shortest and longest exposure in the present trigger mode."""
        return MIN_EXPOSURE_ROWS.get(self.values["TriggerMode"], 3) * self.row_time_s, MAX_EXPOSURE_S

    @property
    def min_period_s(self) -> float:
        """Shortest time between frames: exposure and readout overlap or follow each other."""
        if self.values["Overlap"]:
            return max(self.exposure_s, self.readout_s)
        return self.exposure_s + self.readout_s

    @property
    def frame_rate_Hz(self) -> float:
        """Frame rate of the internal trigger."""
        return min(self._requested_rate_Hz, 1 / self.min_period_s)

    @frame_rate_Hz.setter
    def frame_rate_Hz(self, value: float) -> None:
        self._requested_rate_Hz = value

    @property
    def stride(self) -> int:
        """Bytes per image row; rows are padded."""
        row_bytes = -(-int(BYTES_PER_PIXEL[self.values["PixelEncoding"]] * 2 * self.values["AOIWidth"]) // 2)
        padded = -(-row_bytes // STRIDE_MULTIPLE) * STRIDE_MULTIPLE
        return padded + int(self.bench.fault("camera.padded_rows") or 0)

    @property
    def image_chunk_bytes(self) -> int:
        """Bytes of the image, with the padding that some frame grabbers add behind it."""
        padding = int(self.bench.fault("camera.padded_metadata") or 0) if self.values["MetadataEnable"] else 0
        return self.stride * self.values["AOIHeight"] + padding

    @property
    def image_size_bytes(self) -> int:
        """Bytes of one buffer: image and, with metadata, the chunk headers and the time stamp."""
        if not self.values["MetadataEnable"]:
            return self.image_chunk_bytes
        return self.image_chunk_bytes + CHUNK_HEADER_BYTES + TIMESTAMP_CHUNK_BYTES

    def ticks(self, at_s: float | None = None) -> int:
        """The camera's time stamp clock.

        Args:
            at_s: moment on the bench clock (default: now).

        Returns:
            Ticks of `TIMESTAMP_FREQUENCY_HZ`.
        """
        now_s = self.bench.clock.monotonic() if at_s is None else at_s
        return round((now_s - self._epoch_s) * TIMESTAMP_FREQUENCY_HZ)

    def reset_ticks(self) -> None:
        """Start the time stamp clock at zero."""
        self._epoch_s = self.bench.clock.monotonic()

    def temperature_C(self) -> float:
        """Sensor temperature, which follows the cooler with a lag."""
        with self.changed:
            now_s = self.bench.clock.monotonic()
            elapsed_s, self._temperature_at_s = now_s - self._temperature_at_s, now_s
            aim_C = self._aim_C()
            left = exp(-elapsed_s / COOLING_TIME_CONSTANT_S)
            self._temperature_C = aim_C + (self._temperature_C - aim_C) * left
            return self._temperature_C

    def reported_temperature_C(self) -> float:
        """What the thermometer says."""
        broken = self.bench.fault("camera.temperature_nan") is not None
        return float("nan") if broken else self.temperature_C()

    def temperature_status(self) -> str:
        """Entry of TemperatureStatus."""
        if self.bench.fault("camera.temperature_fault") is not None:
            return "Fault"
        if not self.values["SensorCooling"]:
            return "Cooler Off"
        return "Stabilised" if abs(self.temperature_C() - self._aim_C()) < STABILISED_WITHIN_K else "Cooling"

    def _aim_C(self) -> float:
        return float(self.values["TemperatureControl"]) if self.values["SensorCooling"] else AMBIENT_C

    def store(self, name: str, value: Any) -> None:
        """Write a feature and what follows from it (an AOI or gain change re-limits others)."""
        with self.changed:
            self.temperature_C()  # a cooler change acts from now on
            exposure_s = self.exposure_s
            self.values[name] = value
            if name in ("AOIHBin", "AOIVBin"):  # the two axes are binned alike
                self.values["AOIHBin"] = self.values["AOIVBin"] = value
            if name in ("AOIHBin", "AOIVBin", "AOILeft", "AOITop"):
                self.values["AOIWidth"] = min(self.values["AOIWidth"], self.aoi_limits("AOIWidth")[1])
                self.values["AOIHeight"] = min(self.values["AOIHeight"], self.aoi_limits("AOIHeight")[1])
            if name == "SimplePreAmpGainControl" and self.values["PixelEncoding"] not in self.mode.encodings:
                self.values["PixelEncoding"] = "Mono16"
            if name in ("PixelReadoutRate", "TriggerMode"):
                low, high = self.exposure_limits_s()
                self.exposure_s = min(max(exposure_s, low), high)

    def store_binning(self, text: str) -> None:
        """Write AOIBinning, for example "2x2"."""
        self.store("AOIHBin", int(text.split("x")[0]))

    def binning_text(self) -> str:
        """AOIBinning; binnings that it cannot express read as the first entry."""
        text = f"{self.values['AOIHBin']}x{self.values['AOIVBin']}"
        return text if text in BINNINGS else BINNINGS[0]

    def aoi_limits(self, name: str) -> tuple[int, int]:
        """Limits of AOIWidth, AOIHeight, AOILeft or AOITop, given the other features."""
        along = {"AOIWidth": "AOILeft", "AOIHeight": "AOITop",
                 "AOILeft": "AOIWidth", "AOITop": "AOIHeight"}[name]
        binning = self.values["AOIHBin"]
        if name in ("AOIWidth", "AOIHeight"):
            return 1, (SENSOR_PX - self.values[along] + 1) // binning
        return 1, SENSOR_PX - self.values[along] * binning + 1
