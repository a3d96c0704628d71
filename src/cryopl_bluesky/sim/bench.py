"""The one physical world behind all virtual instruments.

Each virtual instrument writes the part of the state that it moves (the spectrograph the grating, the laser its
emission) and asks the bench for what it would see. Nothing above the vendors' boundary ever looks in here,
except tests, which compare the analysis with the truth that was put in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.sim.clock import BenchClock
from cryopl_bluesky.sim.memory import Memory

if TYPE_CHECKING:
    from cryopl_bluesky.sim.sample import Sample
    from cryopl_bluesky.sim.thermal import ThermalModel

_LASTING_OPTICS = ("l1_in", "l5_in", "port", "shutter_open")
"""What the bench's memory keeps of the optics: where light can go."""
_KEEP_TEMPERATURE_S = 60.0


@dataclass
class LaserState:
    """What leaves the laser head.

    Attributes:
        mode: "off", "pulsed" or "cw".
        repetition_rate_Hz: pulse rate (pulsed only).
        power_uW: average optical power.
        pulse_fwhm_ps: optical pulse width.
    """

    mode: str = "off"
    repetition_rate_Hz: float = 2.5e6
    power_uW: float = 0.0
    pulse_fwhm_ps: float = 197.3


@dataclass
class OpticsState:
    """Where the movable parts stand.

    Attributes:
        l1_in: L1 in the beam (wide field) or out (focused spot).
        l5_in: L5 in the beam (whole image into the slit) or out (image on the slit).
        relay_magnification: magnification of L3/L4 (1 or 4).
        lines_per_mm: grating in the beam; 0 = mirror.
        centre_wavelength_nm: 0 at zero order or with the mirror.
        entrance_slit_um: entrance slit width.
        exit_slit_um: slit in front of the interferometer.
        port: "camera" or "hbt".
        shutter_open: entrance shutter of the spectrograph.
        long_pass_in: the long pass is in the detection path, so that no laser light reaches the detectors.
        moving: names of parts that are on their way; light does not reach the detectors meanwhile.
    """

    l1_in: bool = True
    l5_in: bool = False
    relay_magnification: float = 4.0
    lines_per_mm: float = 600.0
    centre_wavelength_nm: float = 525.0
    entrance_slit_um: float = 50.0
    exit_slit_um: float = 100.0
    port: str = "camera"
    shutter_open: bool = False
    long_pass_in: bool = True
    moving: set[str] = field(default_factory=set)


@dataclass
class Bench:
    """State shared by the virtual instruments; take `lock` to change or to read several parts at once.

    Attributes:
        clock: the time of the bench.
        sample: what emits.
        thermal: cold plate and sample temperatures.
        laser: what leaves the laser head.
        optics: where the movable parts stand.
        seed: seed of all random numbers.
        replay: photon file (.ptu) whose photons reach the SPADs instead of generated ones.
        lamp: the spectral lamp that shines on the sample plane, a name of `sim/lamp.py`; "" = none.
        room_light_Hz: extra uncorrelated detections per SPAD while the path to the SPADs is open.
        faults: names of faults that are switched on, with their parameter.
        memory: what is still known when this process has ended; the optics begin as it says.
    """

    clock: Clock
    sample: Sample
    thermal: ThermalModel
    laser: LaserState = field(default_factory=LaserState)
    optics: OpticsState = field(default_factory=OpticsState)
    seed: int = 1
    replay: Path | None = None
    lamp: str = ""
    room_light_Hz: float = 0.0
    faults: dict[str, float] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _listeners: list[Callable[[], None]] = field(default_factory=list)
    _temperature_kept_s: float = float("-inf")

    def __post_init__(self) -> None:
        for name, value in self.memory.recall("optics", self._lasting_optics()).items():
            setattr(self.optics, name, value)

    def _lasting_optics(self) -> dict[str, bool | str]:
        with self.lock:
            return {name: getattr(self.optics, name) for name in _LASTING_OPTICS}

    def _temperatures(self) -> dict[str, float | bool]:
        with self.lock:
            sample_K = self.sample_temperature_K()
            loop = self.thermal.sample_loop
            return {"sample_K": sample_K, "cold_plate_K": self.thermal.cold_plate_K,
                    "setpoint_K": loop.setpoint_K, "control": loop.mode != "off"}

    def remember(self) -> None:
        """Have the memory keep how optics and temperatures are now (the laser sees to its own part)."""
        self.memory.keep("optics", self._lasting_optics)
        self._temperature_kept_s = self.clock.monotonic()
        self.memory.keep("temperature", self._temperatures)

    def rng(self, instrument: str) -> np.random.Generator:
        """A random generator of its own for each instrument, reproducible by the seed."""
        return np.random.default_rng([self.seed, *instrument.encode()])

    def on_change(self, listener: Callable[[], None]) -> None:
        """Have `listener` called after each change of laser or optics (photon streams cut their segments there)."""
        self._listeners.append(listener)

    def changed(self) -> None:
        """Tell the listeners that laser or optics have changed; called by the instrument that changed them."""
        with self.moment():
            for listener in self._listeners:
                listener()
        self.memory.keep("optics", self._lasting_optics)
        if self.clock.monotonic() - self._temperature_kept_s > _KEEP_TEMPERATURE_S:
            self.remember()

    def moment(self) -> AbstractContextManager[None]:
        """What happens inside happens at one moment of bench time, unless that is real time (do not wait inside)."""
        return self.clock.held() if isinstance(self.clock, BenchClock) else nullcontext()

    def sample_temperature_K(self) -> float:
        """Sample temperature now, after integrating the thermal model up to the present bench time."""
        with self.lock:
            self.thermal.advance_to(self.clock.monotonic())
            return self.thermal.sample_K

    def fault(self, name: str) -> float | None:
        """Parameter of a fault that is switched on, else None."""
        return self.faults.get(name)

    def set_fault(self, name: str, parameter: float = 1.0) -> None:
        """Switch a fault on; each instrument's module lists its faults and what their parameter means."""
        with self.moment():
            with self.lock:
                self.faults[name] = parameter
            self.changed()

    def clear_fault(self, name: str) -> None:
        """Switch a fault off."""
        with self.moment():
            with self.lock:
                self.faults.pop(name, None)
            self.changed()
