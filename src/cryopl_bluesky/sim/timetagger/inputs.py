"""Settings of the virtual tagger's inputs, and the events they let through."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from cryopl_bluesky.sim.timetagger import photons
from cryopl_bluesky.sim.timetagger.parameters import HbtParameters
from cryopl_bluesky.sim.timetagger.source import Times

LONG_AGO_PS = -(2**61)
HARDWARE_DELAY_RANGE_PS = 2_000_000
DEAD_TIME_RANGE_PS = (2_000, 2_147_000_000)
TRIGGER_RANGE_V = (-2.5, 2.5)
_DAC_STEP_V = 5.0 / 4096.0


@dataclass
class ChannelState:
    """One edge of one input: settings, and what it remembers from event to event.

    Attributes:
        dead_time_ps: dead time.
        hardware_delay_ps: delay before the conditional filter.
        software_delay_ps: delay after everything else.
        divider: every `divider`-th event is kept.
        last_ps: time of the last event that the dead time let through.
        phase: events since the last one that the divider kept.
        last_filtered_ps: last laser pulse that the conditional filter let through.
    """

    dead_time_ps: int
    hardware_delay_ps: int = 0
    software_delay_ps: int = 0
    divider: int = 1
    last_ps: int = LONG_AGO_PS
    phase: int = 0
    last_filtered_ps: int = LONG_AGO_PS

    def after_dead_time(self, times_ps: Times) -> Times:
        """The events that the dead time lets through."""
        keep, last_ps = photons.apply_dead_time(times_ps, self.last_ps, self.dead_time_ps)
        self.last_ps = int(last_ps)
        return times_ps[keep]

    def forget_after(self, at_ps: int) -> None:
        """Take back the events from `at_ps` on."""
        self.last_ps = min(self.last_ps, at_ps)
        self.last_filtered_ps = min(self.last_filtered_ps, at_ps)

    def divided(self, times_ps: Times) -> Times:
        """Every `divider`-th event."""
        return times_ps if self.divider == 1 else times_ps[self.divided_indices(len(times_ps))]

    def divided_indices(self, number: int) -> np.ndarray:
        """Which of the next `number` events the divider keeps."""
        first = self.divider - 1 - self.phase
        self.phase = (self.phase + number) % self.divider
        return np.arange(first, number, self.divider)


@dataclass
class Inputs:
    """All settings of the tagger that decide which events become tags.

    Attributes:
        parameters: what is connected.
        trigger_V: trigger level per input.
        filter_triggers: channels whose events open the gate.
        filter_filtered: channels that need an open gate.
        test_signal: channels whose test signal is on.
    """

    parameters: HbtParameters
    trigger_V: dict[int, float] = field(default_factory=lambda: defaultdict(lambda: 0.5))
    filter_triggers: tuple[int, ...] = ()
    filter_filtered: tuple[int, ...] = ()
    test_signal: set[int] = field(default_factory=set)
    _channels: dict[int, ChannelState] = field(default_factory=dict)

    def channels(self) -> tuple[int, ...]:
        """Licensed channels: rising edges n, then falling edges -n."""
        numbers = range(1, self.parameters.inputs + 1)
        return (*numbers, *(-n for n in numbers))

    def state(self, channel: int) -> ChannelState:
        """State of a channel.

        Raises:
            ValueError: the channel does not exist or is not licensed.
        """
        if channel not in self.channels():
            raise ValueError(f"The channel {channel} is not available on this device.")
        return self._channels.setdefault(channel, ChannelState(self.parameters.tagger_dead_time_ps))

    def forget_after(self, at_ps: int, pulses: int) -> None:
        """Take back all events from `at_ps` on, among them `pulses` laser pulses."""
        for channel, state in self._channels.items():
            state.forget_after(at_ps)
            if abs(channel) == self.parameters.sync_input and channel not in self.filter_filtered:
                state.phase = (state.phase - pulses) % state.divider

    def set_trigger(self, number: int, voltage: float) -> None:
        """Set a trigger level; the converter rounds it to its steps of 1.2 mV."""
        self.trigger_V[number] = round(voltage / _DAC_STEP_V) * _DAC_STEP_V

    def edge_delay_ps(self, channel: int) -> int | None:
        """Delay of this edge behind the leading one; None if the pulses do not cross the trigger level."""
        height_V = self.parameters.pulse_V
        level_V = self.trigger_V[abs(channel)]
        if not 0.0 < level_V / height_V < 1.0:
            return None
        leading = (channel > 0) == (height_V > 0)
        return 0 if leading else self.parameters.pulse_width_ps

    def lead_ps(self) -> int:
        """How much earlier than its cause a tag can appear, by negative delays."""
        states = self._channels.values()
        hardware = min((s.hardware_delay_ps for s in states), default=0)
        software = min((s.software_delay_ps for s in states), default=0)
        return -min(0, hardware) - min(0, software)


def merge(parts: list[tuple[Times, int]]) -> tuple[Times, np.ndarray]:
    """One stream in time order from (times, channel) of each channel; equal times stay in list order."""
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int32)
    times = np.concatenate([times for times, _ in parts])
    channels = np.repeat(np.array([c for _, c in parts], np.int32), [len(times) for times, _ in parts])
    order = np.argsort(times, kind="stable")
    return times[order], channels[order]
