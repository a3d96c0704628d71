"""Faults that strike by themselves while a night runs: by name and time, or drawn by a seed.

What each fault does is said where it acts: `camera.*` in `zyla_acquisition.py`, `spectrograph.*` in `kymera.py`,
`laser.*` in `sepia2.py`, `cryostat.*` in `attodry.py`, `hbt.*` in `timetagger/`, `l1_flip.*` and `l5_flip.*` in
`flip_mount.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cryopl_bluesky.bench_settings import FaultSettings, RandomFaultSettings
from cryopl_bluesky.clock import Task
from cryopl_bluesky.sim.bench import Bench

log = logging.getLogger(__name__)

_LOOK_S = 1.0


@dataclass(frozen=True)
class _Kind:
    """How a fault is drawn: its parameter is one of `values`; 0 s = it ends by itself, or by being used up."""

    values: tuple[float, ...]
    longest_s: float = 0.0


NIGHT_FAULTS: dict[str, _Kind] = {
    "camera.lost_trigger": _Kind((1, 2, 3)),
    "camera.no_frames": _Kind((1,), 120.0),
    "camera.overflow": _Kind((1,)),
    "camera.stops": _Kind((1,)),
    "camera.wait_buffer": _Kind((17, 100), 20.0),
    "camera.comm": _Kind((1,), 20.0),
    "camera.temperature_nan": _Kind((1,), 120.0),
    "camera.temperature_fault": _Kind((1,), 120.0),
    "spectrograph.communication_error": _Kind((1, 2, 3)),
    "spectrograph.flipper_stuck": _Kind((1, 2)),
    "spectrograph.calibration_error": _Kind((1,), 60.0),
    "spectrograph.not_initialized": _Kind((1,), 30.0),
    "spectrograph.wavelength_off_nm": _Kind((0.5, 30.0), 60.0),
    "l1_flip.stuck": _Kind((1,), 60.0),
    "l5_flip.stuck": _Kind((1,), 60.0),
    "l5_flip.unplugged": _Kind((1,), 60.0),
    "laser.key_off": _Kind((1,), 300.0),
    "laser.interlock_open": _Kind((1,), 120.0),
    "laser.busy": _Kind((1,), 10.0),
    "laser.unplugged": _Kind((1,), 120.0),
    "laser.head_missing": _Kind((1,), 60.0),
    "laser.pll_unlocked": _Kind((3.0,), 60.0),
    "cryostat.stall": _Kind((2.0, 5.0)),
    "cryostat.reset": _Kind((1, 2)),
    "cryostat.half_line": _Kind((1, 2)),
    "cryostat.garbage": _Kind((1, 2)),
    "cryostat.frozen": _Kind((1,), 60.0),
    "cryostat.control_drops": _Kind((1,)),
    "cryostat.foreign_setpoint": _Kind((4.0, 30.0)),
    "cryostat.setpoint_ignored": _Kind((1,)),
    "cryostat.locked": _Kind((1,), 120.0),
    "cryostat.sensor_open": _Kind((0.0, 1000.0), 60.0),
    "cryostat.plate_runaway": _Kind((0.5,), 300.0),
    "cryostat.insane": _Kind((17,), 120.0),
    "cryostat.compressor_trip": _Kind((1,), 600.0),
    "hbt.no_sync": _Kind((1,), 60.0),
    "hbt.dead_spad": _Kind((1, 2), 60.0),
    "hbt.room_light": _Kind((1e5,), 60.0),
    "hbt.full_beam": _Kind((5e7,), 5.0),
    "hbt.stuck_zero": _Kind((1,), 30.0),
    "hbt.freeze": _Kind((1,), 10.0),
    "hbt.overflow": _Kind((0.1,), 30.0),
}
"""Faults that may strike in the middle of a night, for `random_faults`: all but those of connecting and of set-up.

`laser.lock_fails` and `laser.softlock_lies` are left out, too: with them no program can make the laser safe.
"""


def draw_faults(settings: RandomFaultSettings) -> list[FaultSettings]:
    """The faults of one seed."""
    rng = np.random.default_rng(settings.seed)
    names = sorted(NIGHT_FAULTS)
    found = []
    for _ in range(settings.number):
        name = names[int(rng.integers(len(names)))]
        kind = NIGHT_FAULTS[name]
        found.append(FaultSettings(
            name=name, at_s=float(rng.uniform(0.0, settings.within_s)), value=float(rng.choice(kind.values)),
            lasts_s=float(rng.uniform(0.1, 1.0) * kind.longest_s),
        ))
    return sorted(found, key=lambda fault: fault.at_s)


class FaultSchedule:
    """Switches faults on and off at their times of the bench, and logs them.

    Args:
        bench: whose faults.
        faults: what strikes when, counted from now.
    """

    def __init__(self, bench: Bench, faults: Sequence[FaultSettings]):
        self._bench = bench
        begin_s = bench.clock.monotonic()
        self._on = sorted((begin_s + fault.at_s, fault.name, fault.value) for fault in faults)
        self._off = sorted((begin_s + fault.at_s + fault.lasts_s, fault.name) for fault in faults if fault.lasts_s)
        self._task: Task | None = bench.clock.periodic(_LOOK_S, self._look, "faults") if faults else None

    def stop(self) -> None:
        """No more faults."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _look(self) -> None:
        now_s = self._bench.clock.monotonic()
        while self._on and self._on[0][0] <= now_s:
            _, name, value = self._on.pop(0)
            log.warning("fault: %s (%g) at %.0f s of bench time", name, value, now_s)
            self._bench.set_fault(name, value)
        while self._off and self._off[0][0] <= now_s:
            _, name = self._off.pop(0)
            log.warning("fault: %s is over", name)
            self._bench.clear_fault(name)
