"""Drivers without instruments, for what the devices themselves do (drivers have tests of their own)."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np

from cryopl_bluesky.drivers.camera import Frame, Roi
from cryopl_bluesky.drivers.errors import InstrumentError, InstrumentTimeoutError

SENSOR = (32, 48)  # height, width


class CameraDriver:
    """Frames whose pixels all show the number of their exposure."""

    def __init__(self, clock, size=SENSOR):
        self.clock = clock
        self.info = SimpleNamespace(model="ZL41", serial="VSC-1", firmware="1", width_px=size[1],
                                    height_px=size[0], pixel_um=6.5)
        self._roi = Roi(0, 0, size[1], size[0], 1)
        self._exposure_s, self._gain, self._rate = 0.1, "16-bit", "270 MHz"
        self._armed = False
        self._fired: list[tuple[int, float]] = []
        self.calls: list[str] = []
        self.exposures = 0
        self.timeouts = 0
        self.fire_errors = 0
        self.image = None
        self.closed = False
        self.lock = threading.RLock()

    @property
    def is_armed(self):
        return self._armed

    def set_exposure(self, exposure_s):
        self.calls.append("set_exposure")
        self._exposure_s = round(exposure_s, 6)
        return self._exposure_s

    def exposure_s(self):
        return self._exposure_s

    def exposure_limits_s(self):
        return 1e-5, 30.0

    def set_gain(self, gain):
        self._gain = gain
        return gain

    def gain(self):
        return self._gain

    def gains(self):
        return ["12-bit", "16-bit"]

    def set_readout_rate(self, rate):
        self._rate = rate
        return rate

    def readout_rate(self):
        return self._rate

    def readout_rates(self):
        return ["100 MHz", "270 MHz"]

    def set_roi(self, roi):
        self._roi = Roi(roi.left, roi.top, roi.width // 8 * 8, roi.height, roi.binning)
        return self._roi

    def roi(self):
        return self._roi

    def frame_shape(self):
        return self._roi.height // self._roi.binning, self._roi.width // self._roi.binning

    def temperature_C(self):
        return 0.0

    def temperature_status(self):
        return "Stabilised"

    def set_cooling(self, on, target=None):
        self.calls.append(f"cool {on} {target}")

    def baseline_adu(self):
        return 100

    def bit_depth(self):
        return 16

    def full_scale_adu(self):
        return 65535 if self._gain == "16-bit" else 4095

    def frame_period_s(self):
        return self._exposure_s + 0.01

    def gain_e_per_adu(self):
        return 0.45

    def read_noise_e(self):
        return 1.1

    def arm(self, ring_frames=8):
        self.calls.append("arm")
        self._armed = True

    def disarm(self):
        self.calls.append("disarm")
        self._armed = False
        self._fired.clear()

    def fire(self):
        assert self._armed
        if self.fire_errors:
            self.fire_errors -= 1
            raise InstrumentError("camera", "trigger refused")
        self.calls.append("fire")
        self._fired.append((self.exposures, self.clock.monotonic()))
        self.exposures += 1

    def wait_frame(self, margin_s=5.0):
        number, fired_s = self._fired.pop(0)
        self.clock.sleep(fired_s + self._exposure_s - self.clock.monotonic())
        if self.timeouts:
            self.timeouts -= 1
            self._fired.clear()
            raise InstrumentTimeoutError("camera", "no frame")
        self.calls.append("frame")
        image = np.full(self.frame_shape(), number, "<u2") if self.image is None else self.image
        return Frame(image=image, timestamp_s=fired_s, index=number)

    def close(self):
        self.closed = True


class SpectrographDriver:
    """A turret with a mirror, 600 and 150 lines per mm."""

    def __init__(self):
        self.serial = "KY-1"
        self._turret, self._nm = 2, 600.0
        self._slits = {"entrance": 100.0, "exit": 100.0}
        self._port, self._shutter = "hbt", "open"
        self.calls: list[str] = []
        self.failing: set[str] = set()
        self.hold = threading.Event()
        self.hold.set()
        self.closed = False

    def gratings(self):
        return [
            SimpleNamespace(turret=1, lines_per_mm=0.0, blaze="", is_mirror=True),
            SimpleNamespace(turret=2, lines_per_mm=599.566, blaze="500", is_mirror=False),
            SimpleNamespace(turret=3, lines_per_mm=150.0, blaze="650NM", is_mirror=False),
        ]

    def wavelength_limits_nm(self, turret):
        return {2: (0.0, 1930.0), 3: (0.0, 7724.0)}[turret]

    def turret(self):
        return self._turret

    def set_turret(self, turret):
        self._do("turret")
        self._turret = turret

    def wavelength_nm(self):
        return self._nm

    def set_wavelength(self, nm):
        self._do("wavelength")
        self._nm = float(np.float32(nm))

    def goto_zero_order(self):
        self._do("zero")
        self._nm = 0.0

    def slit_um(self, which):
        return self._slits[which]

    def set_slit(self, which, um):
        self._do(f"{which} slit")
        self._slits[which] = um + 1e-4

    def port(self):
        return self._port

    def set_port(self, port):
        self._do("port")
        self._port = port

    def shutter(self):
        return self._shutter

    def set_shutter(self, state):
        self._do("shutter")
        self._shutter = state

    def axis_nm(self):
        if self._nm == 0 or self._turret == 1:
            raise InstrumentError("spectrograph", "no calibration")
        if "axis" in self.failing:
            raise InstrumentError("spectrograph", "axis failed")
        step_nm = 18.0 / self.gratings()[self._turret - 1].lines_per_mm
        return self._nm + step_nm * (np.arange(2048) - 1023)

    def _do(self, what):
        self.calls.append(what)
        if what != "shutter" and what != "port":
            self.hold.wait(10)
        if what in self.failing:
            raise InstrumentError("spectrograph", f"{what} failed")

    def close(self):
        self.closed = True
