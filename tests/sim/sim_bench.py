"""A bench at a fixed temperature, laser on at the reference power, shutter open."""

from dataclasses import dataclass

from cryopl_bluesky.clock import SystemClock
from cryopl_bluesky.sim.bench import Bench, LaserState, OpticsState
from cryopl_bluesky.sim.sample import Sample


@dataclass
class FixedTemperature:
    sample_K: float

    def advance_to(self, now_s: float) -> None:
        pass


def make_bench(sample: Sample | str = "superlattice", temperature_K: float = 5.6, **optics) -> Bench:
    sample = Sample.named(sample) if isinstance(sample, str) else sample
    laser = LaserState(mode="pulsed", repetition_rate_Hz=2.5e6, power_uW=sample.reference_power_uW)
    state = OpticsState(**{"shutter_open": True, **optics})
    return Bench(SystemClock(), sample, FixedTemperature(temperature_K), laser, state)  # type: ignore[arg-type]
