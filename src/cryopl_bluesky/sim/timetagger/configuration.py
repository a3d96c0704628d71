"""The tagger's configuration with the keys of the vendor's `getConfiguration`."""

from __future__ import annotations

import time
from typing import Any

from cryopl_bluesky.sim.timetagger.inputs import TRIGGER_RANGE_V
from cryopl_bluesky.sim.timetagger.stream import TagStream


def configuration(stream: TagStream, model: str) -> dict[str, Any]:
    """All settings of a tagger.

    Returns:
        A dictionary with the vendor's keys (`facts/swabian.md` section 5).
    """
    parameters = stream.inputs.parameters
    return {
        "channel number scheme": 1,
        "configure version": 1,
        "current time": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(stream.clock.time())),
        "devices": [{"PCB version": "1.4", "model": model, "serial": parameters.serial}],
        "firmware version": "virtual",
        "fpga link": {"enable": False},
        "hardware buffer size": 64 * 1024 * 1024,
        "inputs": [_input(stream, number) for number in range(1, parameters.inputs + 1)],
        "led bitmask": 0,
        "led disable": False,
        "measurements": [],
        "network": {},
        "registered channels": [],
        "resolution": "Standard",
        "serial": parameters.serial,
        "software clock": {"enabled": False},
        "software version": "2.22.6",
        "stream block size events": stream.block_events,
        "stream block size latency": stream.block_latency_ms,
        "test signal divider": 504,
    }


def _input(stream: TagStream, number: int) -> dict[str, Any]:
    inputs = stream.inputs
    edges = (inputs.state(number), inputs.state(-number))
    channels = (number, -number)
    return {
        "channel": list(channels),
        "deadtime": [edge.dead_time_ps for edge in edges],
        "delay hardware": [edge.hardware_delay_ps for edge in edges],
        "delay software": [edge.software_delay_ps for edge in edges],
        "event divider": [edge.divider for edge in edges],
        "conditional filter filtered": [c in inputs.filter_filtered for c in channels],
        "conditional filter triggers": [c in inputs.filter_triggers for c in channels],
        "average rising falling": [False, False],
        "hardware delay compensation": [0, 0],
        "high priority channel": [False, False],
        "normalization": [True, True],
        "input hysteresis": 1,
        "input impedance high": False,
        "input mux": 0,
        "resolution": "Standard",
        "resolution rms": inputs.parameters.tagger_jitter_ps,
        "test signal": False,
        "trigger level": inputs.trigger_V[number],
        "trigger level range": list(TRIGGER_RANGE_V),
    }
