"""A bench without a sample: the light on the SPADs is set by the test."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from cryopl_bluesky.sim.bench import Bench, LaserState, OpticsState
from cryopl_bluesky.sim.clock import BenchClock
from cryopl_bluesky.sim.timetagger import HbtParameters, make_module

PERIOD_PS = 400_000


@dataclass
class Light:
    rate_Hz: float = 40e3
    fractions: tuple[float, ...] = (1.0,)
    lifetimes_ns: tuple[float, ...] = (4.0,)
    g2_0: float = 1.0
    repetition_rate_Hz: float | None = 2.5e6
    pulse_fwhm_ps: float = 197.3
    background_Hz: float = 0.0


def make_bench(speed: float = 2000.0) -> Bench:
    optics = OpticsState(port="hbt", shutter_open=True)
    return Bench(BenchClock(speed), None, None, laser=LaserState("pulsed", 2.5e6, 1.0), optics=optics)  # type: ignore


def make_tagger(
    light: Light,
    bench: Bench | None = None,
    parameters: HbtParameters | None = None,
    *,
    filtered: bool = True,
) -> tuple[Any, Any, Bench]:
    """Module, tagger with trigger levels and filter set as in the lab, bench."""
    bench = bench or make_bench()
    module = make_module(bench, lambda: replace(light), parameters)
    tagger = module.createTimeTagger()
    for channel in (-1, -2, -3):
        tagger.setTriggerLevel(channel, -0.4)
    if filtered:
        tagger.setConditionalFilter([-1, -2], [-3])
        tagger.setDelaySoftware(-3, -PERIOD_PS)
    return module, tagger, bench


def run_for(measurement: Any, seconds: float) -> None:
    measurement.startFor(round(seconds * 1e12))
    assert measurement.waitUntilFinished()
