"""The tagger object: settings of the inputs and information about the device."""

from __future__ import annotations

import copy
from typing import Any

from cryopl_bluesky.sim.timetagger import arguments
from cryopl_bluesky.sim.timetagger.configuration import configuration
from cryopl_bluesky.sim.timetagger.enums import ChannelEdge
from cryopl_bluesky.sim.timetagger.inputs import (
    DEAD_TIME_RANGE_PS,
    HARDWARE_DELAY_RANGE_PS,
    TRIGGER_RANGE_V,
    ChannelState,
)
from cryopl_bluesky.sim.timetagger.stream import TagStream

MODEL = "Time Tagger Ultra"


class TimeTaggerSource:
    """Delays, dead times, filter, dividers and overflows of the inputs."""

    _stream: TagStream
    _group: Any = None

    def __init__(self) -> None:
        raise AttributeError("No constructor defined - class is abstract")

    def _changing(self, channel: int, function: str) -> ChannelState:
        """The state of a channel that is changed now: the tags up to now have the old settings."""
        state = self._present(channel, function)
        self._stream.change()
        return state

    def _present(self, channel: int, function: str) -> ChannelState:
        return self._stream.inputs.state(arguments.integer(channel, f"TimeTaggerSource_{function}", 2, "int"))

    def setInputDelay(self, channel: int, delay: int) -> None:
        """Delay in ps: in hardware within +-2 us, else in software."""
        delay_ps = arguments.integer(delay, "TimeTaggerSource_setInputDelay", 3)
        with self._stream.lock:
            state = self._changing(channel, "setInputDelay")
            in_hardware = abs(delay_ps) <= HARDWARE_DELAY_RANGE_PS
            state.hardware_delay_ps = delay_ps if in_hardware else 0
            state.software_delay_ps = 0 if in_hardware else delay_ps

    def getInputDelay(self, channel: int) -> int:
        """Sum of both delays, ps."""
        state = self._present(channel, "getInputDelay")
        return state.hardware_delay_ps + state.software_delay_ps

    def setDelayHardware(self, channel: int, delay: int) -> None:
        """Delay before the conditional filter, ps."""
        delay_ps = arguments.integer(delay, "TimeTaggerSource_setDelayHardware", 3)
        if abs(delay_ps) > HARDWARE_DELAY_RANGE_PS:
            raise ValueError(f"The hardware delay {delay_ps} ps is out of range.")
        with self._stream.lock:
            self._changing(channel, "setDelayHardware").hardware_delay_ps = delay_ps

    def getDelayHardware(self, channel: int) -> int:
        """Delay before the conditional filter, ps."""
        return self._present(channel, "getDelayHardware").hardware_delay_ps

    def getDelayHardwareRange(self, channel: int) -> tuple[int, int]:
        """Smallest and largest hardware delay, ps."""
        self._present(channel, "getDelayHardwareRange")
        return -HARDWARE_DELAY_RANGE_PS, HARDWARE_DELAY_RANGE_PS

    def setDelaySoftware(self, channel: int, delay: int) -> None:
        """Delay on the computer, behind the filter, ps."""
        delay_ps = arguments.integer(delay, "TimeTaggerSource_setDelaySoftware", 3)
        with self._stream.lock:
            self._changing(channel, "setDelaySoftware").software_delay_ps = delay_ps

    def getDelaySoftware(self, channel: int) -> int:
        """Delay on the computer, ps."""
        return self._present(channel, "getDelaySoftware").software_delay_ps

    def setDeadtime(self, channel: int, deadtime: int) -> int:
        """Dead time of a channel in ps; returns what was applied."""
        wanted_ps = arguments.integer(deadtime, "TimeTaggerSource_setDeadtime", 3)
        low_ps, high_ps = DEAD_TIME_RANGE_PS
        with self._stream.lock:
            state = self._changing(channel, "setDeadtime")
            state.dead_time_ps = min(max(wanted_ps, low_ps), high_ps)
            return state.dead_time_ps

    def getDeadtime(self, channel: int) -> int:
        """Dead time, ps."""
        return self._present(channel, "getDeadtime").dead_time_ps

    def getDeadtimeRange(self, channel: int) -> tuple[int, int]:
        """Smallest and largest dead time, ps."""
        self._present(channel, "getDeadtimeRange")
        return DEAD_TIME_RANGE_PS

    def setConditionalFilter(self, trigger: Any, filtered: Any) -> None:
        """Let one event of each filtered channel pass after each trigger event."""
        triggers = arguments.integers(trigger, "TimeTaggerSource_setConditionalFilter", 2)
        passed = arguments.integers(filtered, "TimeTaggerSource_setConditionalFilter", 3)
        with self._stream.lock:
            for channel in (*triggers, *passed):
                self._changing(channel, "setConditionalFilter")
            sync = self._stream.inputs.parameters.sync_input
            if any(abs(channel) != sync for channel in passed):
                raise NotImplementedError(f"the virtual tagger filters its sync input {sync} only")
            inputs = self._stream.inputs
            inputs.filter_triggers, inputs.filter_filtered = tuple(triggers), tuple(passed)

    def clearConditionalFilter(self) -> None:
        """Let everything pass."""
        self.setConditionalFilter([], [])

    def getConditionalFilterTrigger(self) -> tuple[int, ...]:
        """Channels that open the gate."""
        return self._stream.inputs.filter_triggers

    def getConditionalFilterFiltered(self) -> tuple[int, ...]:
        """Channels that need an open gate."""
        return self._stream.inputs.filter_filtered

    def setEventDivider(self, channel: int, divider: int) -> None:
        """Keep every `divider`-th event (1 to 65535)."""
        value = arguments.integer(divider, "TimeTaggerSource_setEventDivider", 3, "int")
        if not 1 <= value <= 65535:
            raise ValueError(f"The event divider {value} is out of range.")
        with self._stream.lock:
            state = self._changing(channel, "setEventDivider")
            state.divider, state.phase = value, 0

    def getEventDivider(self, channel: int) -> int:
        """Divider of a channel."""
        return self._present(channel, "getEventDivider").divider

    def getOverflows(self) -> int:
        """Number of overflows since the last clear."""
        self._stream.advance()
        return self._stream.overflows

    def getOverflowsAndClear(self) -> int:
        """Number of overflows, then set to 0."""
        with self._stream.lock:
            count = self.getOverflows()
            self._stream.overflows = 0
            return count

    def clearOverflows(self) -> None:
        """Set the number of overflows to 0."""
        self.getOverflowsAndClear()


class TimeTaggerBase(TimeTaggerSource):
    """A source of tags for measurements."""

    def sync(self, timeout: int = -1) -> bool:
        """Wait until settings are active; here they are at once."""
        self._stream.advance()
        return True

    def getFence(self, alloc_fence: bool = True) -> int:
        """A mark in the stream."""
        return 0

    def waitForFence(self, fence: int, timeout: int = -1) -> bool:
        """Wait for a mark."""
        return True

    def getConfiguration(self) -> dict[str, Any]:
        """All settings, with the vendor's keys."""
        return configuration(self._stream, MODEL)

    def getInvertedChannel(self, channel: int) -> int:
        """The other edge of the same input."""
        return -arguments.integer(channel, "TimeTaggerBase_getInvertedChannel", 2, "int")

    def isUnusedChannel(self, channel: int) -> bool:
        """Whether it is CHANNEL_UNUSED."""
        return channel == -134217728

    def _proxy(self, group: Any) -> TimeTaggerBase:
        proxy = copy.copy(self)
        proxy._group = group
        return proxy

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """The module frees the tagger."""


class TimeTaggerHardware:
    """Trigger levels, buffers and information about the device."""

    _stream: TagStream

    def setTriggerLevel(self, channel: int, voltage: float) -> None:
        """Trigger level in V; both edges of an input share it."""
        volts = arguments.number(voltage, "TimeTaggerHardware_setTriggerLevel", 3)
        if not TRIGGER_RANGE_V[0] <= volts <= TRIGGER_RANGE_V[1]:
            raise ValueError(f"The trigger level {volts} V is out of range.")
        with self._stream.lock:
            self._stream.inputs.state(channel)
            self._stream.change()
            self._stream.inputs.set_trigger(abs(channel), volts)

    def getTriggerLevel(self, channel: int) -> float:
        """Trigger level in V, as the converter makes it."""
        self._stream.inputs.state(channel)
        return self._stream.inputs.trigger_V[abs(channel)]

    def getTriggerLevelRange(self, channel: int) -> tuple[float, float]:
        """Smallest and largest level, V."""
        return TRIGGER_RANGE_V

    def getSerial(self) -> str:
        """Serial number."""
        return self._stream.inputs.parameters.serial

    def getModel(self) -> str:
        """Model name."""
        return MODEL

    def getFirmwareVersion(self) -> str:
        """Firmware version."""
        return "virtual"

    def getPcbVersion(self) -> str:
        """Board version."""
        return "1.4"

    def getSensorData(self) -> list[dict[str, dict[str, str]]]:
        """Board temperatures."""
        return [{"FPGA board": {"Board Temp #1": "38.0 C", "FPGA Temp": "52.0 C"}}]

    def getDeviceLicense(self) -> str:
        """Licence of the device."""
        return f'{{"inputs": {self._stream.inputs.parameters.inputs}}}'

    def getChannelList(self, type: ChannelEdge = ChannelEdge.All) -> tuple[int, ...]:
        """Licensed channels of the wanted edges."""
        edge = ChannelEdge(type)
        if edge & ChannelEdge.HighResAll:
            return ()
        channels = self._stream.inputs.channels()
        if edge & ChannelEdge.Rising:
            return tuple(c for c in channels if c > 0)
        if edge & ChannelEdge.Falling:
            return tuple(c for c in channels if c < 0)
        return channels

    def setStreamBlockSize(self, max_events: int, max_latency: int) -> None:
        """The device sends its tags after `max_latency` ms, or when it has `max_events`."""
        events = arguments.integer(max_events, "TimeTaggerHardware_setStreamBlockSize", 2, "int")
        latency_ms = arguments.integer(max_latency, "TimeTaggerHardware_setStreamBlockSize", 3, "int")
        if not 4_096 <= events <= 32 * 1024**2 or not 1 <= latency_ms <= 10_000:
            raise ValueError(f"The stream block size of {events} events or {latency_ms} ms is out of range.")
        with self._stream.lock:
            self._stream.advance()
            self._stream.block_events, self._stream.block_latency_ms = events, latency_ms

    def getPsPerClock(self) -> int:
        """Period of the internal clock, ps."""
        return 2000


class TimeTagger(TimeTaggerBase, TimeTaggerHardware):
    """The device as `createTimeTagger` returns it."""

    def reset(self) -> None:
        """Settings back to those after power-up."""
        self._stream.reset()


def open_tagger(stream: TagStream) -> TimeTagger:
    """A tagger object (the class itself has no constructor)."""
    tagger = object.__new__(TimeTagger)
    tagger._stream = stream
    return tagger
