"""The instruments of a profile without its hardware, to check a recipe against."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryopl_bluesky.bench_settings import BenchSettings
from cryopl_bluesky.config import FlipSettings, Profile
from cryopl_bluesky.devices.instruments import Instruments
from cryopl_bluesky.drivers.operator import ConsoleOperator
from cryopl_bluesky.session.connect import connect
from cryopl_bluesky.session.lab import open_lab


@contextmanager
def rehearsal_instruments(profile: Profile) -> Iterator[Instruments]:
    """The profile's devices and drivers on a virtual lab: the same limits and checks, nothing real is touched.

    What only the hardware knows (which gratings are in the turret) is that of the published microscope. Parts that are
    moved by hand are motorised, so that nobody is asked.

    Args:
        profile: any profile.
    """
    rehearsed = rehearsal_profile(profile)
    with open_lab(rehearsed) as lab, tempfile.TemporaryDirectory(prefix="cryopl-rehearsal-") as folder:
        instruments = connect(rehearsed, lab.vendors, lab.clock, Path(folder), ConsoleOperator(lab.clock))
        try:
            yield instruments
        finally:
            for instrument in instruments:
                instrument.shutdown()


def rehearsal_profile(profile: Profile) -> Profile:
    """The profile on a bench: its limits, rules and defaults, but no serial numbers and nothing moved by hand."""
    from cryopl_bluesky.sim.lab import FLIP_MOUNTS

    serials = {element: serial for serial, element in FLIP_MOUNTS.items()}
    bench = profile.bench or BenchSettings()
    quick = {"speed": max(bench.speed, 1000.0), "faults": [], "random_faults": None}
    return profile.model_copy(update={
        "bench": bench.model_copy(update=quick),
        "camera": profile.camera.model_copy(update={"serial": ""}),
        "spectrograph": profile.spectrograph.model_copy(update={"serial": ""}),
        "laser": profile.laser.model_copy(update={"driver": "sepia2"}),
        "hbt": profile.hbt.model_copy(update={"serial": ""}),
        "l1_flip": FlipSettings(serial=serials["l1"]),
        "l5_flip": FlipSettings(serial=serials["l5"]),
    })
