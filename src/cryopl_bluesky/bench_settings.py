"""The section [bench] of a profile: the virtual lab, and what goes wrong in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from cryopl_bluesky.settings_file import NotNegative, Positive, Settings


class FaultSettings(Settings):
    """A fault of the virtual lab.

    Attributes:
        name: for example "camera.no_frames"; `sim/fault_schedule.py` says where each is explained.
        at_s: when it strikes, in bench time.
        value: its parameter.
        lasts_s: when it ends; 0 = it stays, or ends by itself.
    """

    name: str
    at_s: NotNegative = 0.0
    value: float = 1.0
    lasts_s: NotNegative = 0.0


class RandomFaultSettings(Settings):
    """Faults drawn by a seed.

    Attributes:
        seed: which ones.
        number: how many.
        within_s: they strike in this time, in bench time.
    """

    seed: int
    number: Annotated[int, Field(ge=1, le=100)] = 6
    within_s: Positive = 3600.0


class BenchSettings(Settings):
    """The virtual lab; a profile with this section needs no hardware.

    Attributes:
        speed: bench seconds per real second; 1 is real time.
        seed: seed of all random numbers.
        sample: name of the sample on the cold finger; "beads" and "ink_film" are for calibrations.
        lamp: spectral lamp that shines on the sample plane, "Hg", "Ne" or "HeNe"; "" = none.
        relay: the pair L3/L4 that is really built in, whatever the section [microscope] says.
        long_pass: whether the long pass is really in the detection path, whatever the operator says.
        replay: photon file (.ptu) whose photons reach the SPADs instead of generated ones.
        initial_temperature_K: where the sample is in a new data folder; later, where it was left.
        faults: what goes wrong, and when.
        random_faults: what else goes wrong, by a seed.
    """

    speed: Positive = 1000.0
    seed: int = 1
    sample: str = "superlattice"
    lamp: str = ""
    relay: Literal["4x", "1x"] = "4x"
    long_pass: Literal["in", "out"] = "in"
    replay: Path | None = None
    initial_temperature_K: Annotated[float, Field(ge=3, le=325)] = 8.0
    faults: list[FaultSettings] = []
    random_faults: RandomFaultSettings | None = None
