"""State and motion of the virtual Kymera 328i: turret, slits, mirrors and shutter on the bench.

Move times: facts/andor.md section 9.2 (wavelength and grating from the maker, the rest estimated).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryopl_bluesky.sim.bench import Bench
from cryopl_bluesky.sim.kymera_optics import KymeraOptics
from cryopl_bluesky.sim.vendor_library import VendorError

COMMUNICATION_ERROR, SUCCESS, ERROR = 20201, 20202, 20249
P1_INVALID, P2_INVALID, P3_INVALID, NOT_INITIALIZED, NOT_AVAILABLE = 20266, 20267, 20268, 20275, 20292

INPUT_FLIPPER, OUTPUT_FLIPPER = 1, 2
DIRECT, SIDE = 0, 1
ENTRANCE_SLIT, EXIT_SLIT = 1, 3  # input_side and output_side: the two that are fitted
MIN_SLIT_UM, MAX_SLIT_UM = 10.0, 2500.0
MAX_FOCUS_STEPS = 550
NM_PER_OFFSET_STEP = 0.01  # [est]
INITIALIZE_S = 1.0
OPEN_SHUTTER_S, CLOSE_SHUTTER_S = 0.05, 0.01  # [est]: a spring closes it


@dataclass(frozen=True)
class Grating:
    """One place of the turret; 0 lines per mm is the mirror."""

    lines_per_mm: float
    blaze: str


DEFAULT_TURRET = (Grating(0, "Mirror"), Grating(150, "500"), Grating(600, "500"), Grating(1200, "500"))


class Kymera:
    """The spectrograph behind the vendor's functions; moves take bench time and return when done.

    Args:
        bench: the physical world; its `optics` follows every move.
        turret: what is in the turret.
        optics: geometry.
    """

    def __init__(self, bench: Bench, turret: tuple[Grating, ...], optics: KymeraOptics):
        self.bench, self.turret, self.optics = bench, turret, optics
        lines = [grating.lines_per_mm for grating in turret]
        self.grating = lines.index(bench.optics.lines_per_mm) + 1 if bench.optics.lines_per_mm in lines else 1
        self.nominal_nm = bench.optics.centre_wavelength_nm
        self.detector_offsets = {DIRECT: 0, SIDE: 40}
        self.grating_offsets = [0] * len(turret)
        exit_port = DIRECT if bench.optics.port == "camera" else SIDE
        self.flippers = {INPUT_FLIPPER: SIDE, OUTPUT_FLIPPER: exit_port}
        self.slits_um = {ENTRANCE_SLIT: bench.optics.entrance_slit_um, EXIT_SLIT: bench.optics.exit_slit_um}
        self.shutter = int(bench.optics.shutter_open)
        self.filter, self.focus_steps = 1, 300
        self.pixel_um, self.pixels = 13.0, 1024
        self._applied_offset = self._wanted_offset = self.detector_offsets[self.flippers[OUTPUT_FLIPPER]]
        self._publish()

    @property
    def is_mirror(self) -> bool:
        """The mirror is in the beam."""
        return self.turret[self.grating - 1].lines_per_mm == 0

    @property
    def wavelength_nm(self) -> float:
        """What the instrument reports; 0 with the mirror."""
        return 0.0 if self.is_mirror else self.nominal_nm

    def wavelength_limits_nm(self, grating: int) -> tuple[float, float]:
        """Range of the centre wavelength; 0 to 0 for the mirror.

        Args:
            grating: place in the turret, from 1.

        Returns:
            Smallest and largest wavelength.
        """
        lines_per_mm = self.turret[grating - 1].lines_per_mm
        return 0.0, self.optics.max_wavelength_nm(lines_per_mm) if lines_per_mm else 0.0

    def home(self) -> None:
        """Start up; the fault `spectrograph.slow_homing` says how long."""
        slow_s = self.bench.fault("spectrograph.slow_homing")
        self.bench.clock.sleep(INITIALIZE_S if slow_s is None else slow_s)

    def set_wavelength(self, nm: float) -> None:
        """Turn the grating.

        Args:
            nm: centre wavelength, 0 for zero order.
        """
        low, high = self.wavelength_limits_nm(self.grating)
        if not low <= nm <= high:
            raise VendorError(P2_INVALID)
        if self.is_mirror:
            return
        self._count_down_communication_error()
        with self._moving("grating", 0.1 + 0.005 * abs(nm - self.nominal_nm)):
            self.nominal_nm = nm
            self._wanted_offset = self.detector_offsets[self.flippers[OUTPUT_FLIPPER]]
            self._applied_offset = self._wanted_offset

    def set_grating(self, grating: int) -> None:
        """Turn the turret; the wavelength is kept where the new grating can reach it.

        Args:
            grating: place in the turret, from 1.
        """
        if not 1 <= grating <= len(self.turret):
            raise VendorError(P2_INVALID)
        self._count_down_communication_error()
        steps = abs(grating - self.grating)
        with self._moving("turret", 5.0 + 5.0 * min(steps, len(self.turret) - steps) if steps else 1.0):
            self.grating = grating
            if not self.is_mirror:
                self.nominal_nm = min(self.nominal_nm, self.wavelength_limits_nm(grating)[1])
            self._wanted_offset = self.detector_offsets[self.flippers[OUTPUT_FLIPPER]]
            self._applied_offset = self._wanted_offset

    def set_slit(self, slit: int, width_um: float) -> None:
        """Move a slit.

        Args:
            slit: `ENTRANCE_SLIT` or `EXIT_SLIT`.
            width_um: its width.
        """
        if not MIN_SLIT_UM <= width_um <= MAX_SLIT_UM:
            raise VendorError(P3_INVALID)
        with self._moving(f"slit {slit}", 0.2 + 0.001 * abs(width_um - self.slits_um[slit])):
            self.slits_um[slit] = width_um

    def set_flipper(self, flipper: int, port: int) -> None:
        """Move a mirror; the new port's detector offset only acts from the next grating or wavelength move.

        Args:
            flipper: `INPUT_FLIPPER` or `OUTPUT_FLIPPER`.
            port: `DIRECT` or `SIDE`.
        """
        if port not in (DIRECT, SIDE):
            raise VendorError(P3_INVALID)
        with self._moving(f"flipper {flipper}", 1.5):
            stuck = self.bench.fault("spectrograph.flipper_stuck")
            if stuck and port != self.flippers[flipper]:
                self.bench.faults["spectrograph.flipper_stuck"] = stuck - 1
                return
            self.flippers[flipper] = port
            self._wanted_offset = self.detector_offsets[self.flippers[OUTPUT_FLIPPER]]

    def set_shutter(self, mode: int) -> None:
        """Move the entrance shutter; it lets light through until it is closed.

        Args:
            mode: 0 closed, 1 open.
        """
        if mode not in (0, 1):
            raise VendorError(P2_INVALID)
        if mode == 1:
            with self._moving("shutter", OPEN_SHUTTER_S):
                self.shutter = mode
        else:
            self.bench.clock.sleep(CLOSE_SHUTTER_S)
            self.shutter = mode
            self._update(self._publish)

    def set_filter(self, position: int) -> None:
        """Turn the filter wheel.

        Args:
            position: 1 to 6.
        """
        if not 1 <= position <= 6:
            raise VendorError(P2_INVALID)
        with self._moving("filter", 2.0):
            self.filter = position

    def move_focus(self, steps: int) -> None:
        """Move the focus mirror relative to where it is, as the vendor's function does.

        Args:
            steps: distance, at 100 steps/s.
        """
        if not 0 <= self.focus_steps + steps < MAX_FOCUS_STEPS:
            raise VendorError(COMMUNICATION_ERROR)
        with self._moving("focus", abs(steps) / 100):
            self.focus_steps += steps

    def calibration_nm(self, pixels: int) -> NDArray[np.float64]:
        """Wavelength of each column of the declared detector.

        Args:
            pixels: number of columns.

        Returns:
            Array (pixels,) in nm.
        """
        broken = self.bench.fault("spectrograph.calibration_error") is not None
        if self.wavelength_nm == 0 or broken:
            raise VendorError(ERROR)
        lines_per_mm = self.turret[self.grating - 1].lines_per_mm
        return self.optics.axis_nm(lines_per_mm, self.nominal_nm, pixels, self.pixel_um)

    def _count_down_communication_error(self) -> None:
        times = self.bench.fault("spectrograph.communication_error")
        if times:
            self.bench.faults["spectrograph.communication_error"] = times - 1
            raise VendorError(COMMUNICATION_ERROR)

    @contextmanager
    def _moving(self, part: str, duration_s: float) -> Iterator[None]:
        """No light passes while a part moves; the body changes the state when it has arrived."""
        self._update(lambda: self.bench.optics.moving.add(part))
        try:
            self.bench.clock.sleep(duration_s)
            yield
        finally:
            def arrive() -> None:
                self.bench.optics.moving.discard(part)
                self._publish()

            self._update(arrive)

    def _update(self, change: Callable[[], None]) -> None:
        with self.bench.lock:
            change()
        self.bench.changed()

    def _publish(self) -> None:
        """Tell the bench; the true wavelength is off while a port's detector offset is not applied."""
        optics = self.bench.optics
        optics.lines_per_mm = self.turret[self.grating - 1].lines_per_mm
        shift_nm = NM_PER_OFFSET_STEP * (self._applied_offset - self._wanted_offset)
        wrong_nm = self.bench.fault("spectrograph.wavelength_off_nm") or 0.0
        lit = self.wavelength_nm > 0
        optics.centre_wavelength_nm = self.wavelength_nm + shift_nm + wrong_nm if lit else 0.0
        optics.entrance_slit_um = self.slits_um[ENTRANCE_SLIT]
        optics.exit_slit_um = self.slits_um[EXIT_SLIT]
        optics.port = "camera" if self.flippers[OUTPUT_FLIPPER] == DIRECT else "hbt"
        optics.shutter_open = self.shutter == 1
        if self.flippers[INPUT_FLIPPER] == SIDE:
            optics.moving.discard("input mirror away")
        else:  # the microscope's light comes in at the side port
            optics.moving.add("input mirror away")
