"""The virtual lab as a whole: one bench, and something at each vendor's boundary that looks at it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from cryopl_bluesky.bench_settings import BenchSettings
from cryopl_bluesky.clock import Clock, SystemClock
from cryopl_bluesky.drivers.vendors import Vendors
from cryopl_bluesky.sim import andor
from cryopl_bluesky.sim.attodry import AttoDryServer
from cryopl_bluesky.sim.bench import Bench
from cryopl_bluesky.sim.clock import BenchClock
from cryopl_bluesky.sim.fault_schedule import FaultSchedule, draw_faults
from cryopl_bluesky.sim.flip_mount import MffBackend
from cryopl_bluesky.sim.lamp import checked_lamp
from cryopl_bluesky.sim.memory import Memory
from cryopl_bluesky.sim.sample import Sample
from cryopl_bluesky.sim.sepia2 import Sepia2Library
from cryopl_bluesky.sim.thermal import ThermalModel, equilibrium_plate_K
from cryopl_bluesky.sim.timetagger.module import make_module

FLIP_MOUNTS: dict[str, Literal["l1", "l5"]] = {"37000001": "l1", "37000005": "l5"}
"""Serial numbers of the two flip mounts on the bench."""


class VirtualLab:
    """Stands in for the instruments below the drivers.

    Args:
        settings: what is on the bench and how fast its time runs.
        memory: file in which the bench keeps how it was left; None: it begins as new and is forgotten.

    Attributes:
        bench: the physical state behind all instruments: the truth that tests compare with.
        clock: the time of the bench.
    """

    def __init__(self, settings: BenchSettings, memory: Path | None = None):
        # At speed 1 bench time is real time, and the real clock is the better one.
        self.clock: Clock = SystemClock() if settings.speed == 1 else BenchClock(settings.speed)
        kept = Memory(memory)
        self.bench = Bench(
            clock=self.clock,
            sample=Sample.named(settings.sample),
            thermal=_thermal_model(kept, float(settings.initial_temperature_K)),
            seed=settings.seed,
            replay=settings.replay,
            lamp=checked_lamp(settings.lamp),
            memory=kept,
        )
        self.bench.optics.relay_magnification = 4.0 if settings.relay == "4x" else 1.0
        self.bench.optics.long_pass_in = settings.long_pass == "in"
        drawn = draw_faults(settings.random_faults) if settings.random_faults else []
        self._faults = [*settings.faults, *drawn]
        self._schedule: FaultSchedule | None = None
        self._cryostat = AttoDryServer(self.bench)
        self._uninstall_andor: Callable[[], None] | None = None

    def install(self) -> Vendors:
        """Put the virtual libraries where the drivers will look, and start the cryostat's controller.

        Returns:
            What the drivers get their vendors' libraries from.
        """
        # pylablib cannot cycle the RTS line of a connection that is no serial port, and says so.
        warnings.filterwarnings("ignore", message="could not cycle RTS", category=UserWarning)
        self._uninstall_andor = andor.install(self.bench)
        address = self._cryostat.start()
        self._schedule = FaultSchedule(self.bench, self._faults)
        return Vendors(
            timetagger=lambda: make_module(self.bench),
            sepia2=lambda path: Sepia2Library(self.bench),
            flip_mount=lambda serial: MffBackend(self.bench, element=FLIP_MOUNTS[serial]),
            attodry=lambda host, port: address,
        )

    def uninstall(self) -> None:
        """Take everything away again; the bench stays as it is."""
        if self._schedule is not None:
            self._schedule.stop()
        self.bench.remember()
        self._cryostat.stop()
        if self._uninstall_andor is not None:
            self._uninstall_andor()
            self._uninstall_andor = None


def _thermal_model(memory: Memory, initial_K: float) -> ThermalModel:
    """Sample and cold plate where they were left, else at rest at `initial_K`."""
    plate_K = min(equilibrium_plate_K(initial_K), initial_K)
    left = memory.recall("temperature", {"sample_K": initial_K, "cold_plate_K": plate_K, "setpoint_K": initial_K,
                                         "control": True})
    thermal = ThermalModel(left["sample_K"], cold_plate_K=left["cold_plate_K"])
    thermal.hold()
    thermal.sample_loop.setpoint_K = left["setpoint_K"]
    if not left["control"]:
        thermal.sample_loop.stop()
    return thermal
