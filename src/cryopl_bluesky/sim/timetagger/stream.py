"""The tag stream: made only when somebody asks, and handed to all measurements.

Tags are made and handed out some way ahead of the present, because a watchdog asks every few milliseconds and a small
block costs as much as one with a thousand times as many tags. The measurements look at them only up to `sent_ps`. When
something changes (light, settings, what is listened to), what lies behind that moment is taken back and made anew.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from cryopl_bluesky.sim.timetagger.blocks import Block, Loss
from cryopl_bluesky.sim.timetagger.inputs import LONG_AGO_PS, Inputs, merge
from cryopl_bluesky.sim.timetagger.maker import Scene, TagMaker
from cryopl_bluesky.sim.timetagger.parameters import HbtParameters
from cryopl_bluesky.sim.timetagger.source import PS_PER_S, LightLike, Times

if TYPE_CHECKING:
    from cryopl_bluesky.sim.bench import Bench
    from cryopl_bluesky.sim.timetagger.iterators import IteratorBase, VirtualChannel

BLOCK_TAGS = 1_000_000
_BLOCK_MAX_PS = 10 * 10**12
_AHEAD_MAX_PS = 5 * 10**12
_AHEAD_OF_BLOCK = 0.1
_LIGHT_AGE_PS = 10**12
# Tags are handed out this much behind the generation, so that jitter and cables cannot disturb their order.
_JITTER_PS = 20_000
_OVERFLOW_EVERY_PS = 10**12


class TagStream:
    """Makes the tags of all registered channels and feeds the running measurements.

    Args:
        bench: the physical world.
        light: returns what reaches the interferometer now.
        parameters: the interferometer and the tagger.

    Attributes:
        lock: to hold while several things are read or changed.
        inputs: settings of the inputs.
        overflows: number of overflows of the buffer.
        virtual: channels made from others, by number.
        block_events: the device sends its tags when it has this many ...
        block_latency_ms: ... or after this time (the only one of the two that is modelled).
    """

    def __init__(self, bench: Bench, light: Callable[[], LightLike], parameters: HbtParameters):
        self.lock = threading.RLock()
        self.overflows = 0
        self.virtual: dict[int, VirtualChannel] = {}
        self.block_events, self.block_latency_ms = 131_072, 20
        self._measurements: list[weakref.ref[IteratorBase]] = []
        self._bench, self._light, self._parameters = bench, light, parameters
        self._origin_s = bench.clock.monotonic()
        self._maker = TagMaker(bench, Inputs(parameters))
        self._cuts_lock = threading.Lock()
        self._cuts: list[tuple[int, Scene]] = []
        self._active = False
        self._margin_ps: int | None = None
        # Sent by the device <= handed to the measurements <= made; the tags between the last two are the tail.
        self._made_ps = self._handed_ps = self._sent_ps = self.now_ps()
        self._ahead: deque[Block] = deque()
        self._tail: tuple[Times, np.ndarray] = merge([])
        self._burst_ps = (LONG_AGO_PS, LONG_AGO_PS)
        self._scene = self._look()
        self._scene_ps = 0
        bench.on_change(self._on_change)

    @property
    def clock(self):
        """The bench's clock."""
        return self._bench.clock

    @property
    def inputs(self) -> Inputs:
        """Settings of the inputs."""
        return self._maker.inputs

    @property
    def sent_ps(self) -> int:
        """Time up to which the device has sent its tags."""
        return self._sent_ps

    def now_ps(self) -> int:
        """Present device time, from 0 when the device was opened first."""
        return int((self._bench.clock.monotonic() - self._origin_s) * PS_PER_S)

    def reset(self) -> None:
        """Settings back to those after power-up."""
        with self.lock:
            self.change()
            self._maker.inputs = Inputs(self._parameters)

    def advance(self) -> None:
        """Bring all running measurements up to the present, as far as the device has sent its tags."""
        # Else time goes on while it is worked out what happened, and with bright light there is ever more of it.
        with self.lock, self._bench.moment():
            if self._bench.fault("hbt.freeze") is not None:
                return
            now_ps = self.now_ps()
            while (cut := self._next_cut(now_ps)) is not None:
                at_ps, scene = cut
                self._make_until(at_ps)
                self._take_back(at_ps)
                self._set_scene(scene, at_ps)
            if self._made_ps < now_ps:
                self._make_until(now_ps)
            self._send(now_ps)
            if not self._running():
                self._skip(now_ps)

    def change(self) -> None:
        """Something changes now, so what was made ahead is void (the lock must be held)."""
        self.advance()
        self._take_back(self.now_ps())
        self._margin_ps = None

    def begin(self) -> int:
        """Prepare a measurement that starts now (the lock must be held).

        Returns:
            Its begin in ps.
        """
        self.change()
        if not self._active:
            with self._cuts_lock:
                self._cuts.clear()
            self._active = True
        self._set_scene(self._look(), self._made_ps)
        return self._made_ps

    def add(self, measurement: IteratorBase) -> None:
        """Feed a measurement for as long as somebody keeps a reference to it (like the vendor's)."""
        with self.lock:
            self._measurements = [ref for ref in self._measurements if ref() is not None]
            self._measurements.append(weakref.ref(measurement))

    def end(self) -> None:
        """Stop all measurements and forget all virtual channels (the device is closed)."""
        with self.lock:
            self.advance()
            for measurement in self._consumers():
                measurement.stop()
            self._measurements.clear()
            self.virtual.clear()

    def _consumers(self) -> list[IteratorBase]:
        return [m for m in (ref() for ref in self._measurements) if m is not None and m.is_consuming()]

    def _running(self) -> bool:
        return any((m := ref()) is not None and m.is_consuming() for ref in self._measurements)

    def _skip(self, now_ps: int) -> None:
        if self._made_ps > now_ps:
            self._maker.forget_after(now_ps, self._made_ps, self._scene)
        self._active = False
        self._made_ps = self._handed_ps = self._sent_ps = now_ps
        self._ahead.clear()
        self._tail = merge([])
        self._maker.clear()

    # --- what the inputs see --------------------

    def _on_change(self) -> None:
        # Never takes the stream's lock: the caller may hold the bench's, which `_light` takes under ours.
        if self._active:
            at_ps, scene = self.now_ps(), self._look()
            with self._cuts_lock:
                latest = self._cuts[-1][1] if self._cuts else self._scene
                if scene != latest:
                    self._cuts.append((at_ps, scene))

    def _look(self) -> Scene:
        bench = self._bench
        with bench.lock:  # light and laser of one moment
            light = self._light()
            laser, optics = bench.laser, bench.optics
            laser_Hz = laser.repetition_rate_Hz if laser.mode == "pulsed" else None
            sees = optics.port == "hbt" and optics.shutter_open and not optics.moving and laser.mode != "off"
            replaying = bench.replay is not None and sees
            faults = tuple(sorted(item for item in bench.faults.items() if item[0].startswith("hbt.")))
        return Scene(light, laser_Hz, replaying, faults)

    def _set_scene(self, scene: Scene, at_ps: int) -> None:
        self._scene, self._scene_ps = scene, at_ps

    def _next_cut(self, now_ps: int) -> tuple[int, Scene] | None:
        """The next change up to now."""
        with self._cuts_lock:
            return self._cuts.pop(0) if self._cuts and self._cuts[0][0] <= now_ps else None

    # --- making tags --------------------

    def _wanted(self, consumers: list[IteratorBase]) -> set[int]:
        wanted: set[int] = set()
        for measurement in consumers:
            wanted.update(measurement.hardware_channels())
        return wanted

    def _block_ps(self, wanted: set[int]) -> float:
        """Length of a block of `BLOCK_TAGS` or less."""
        scene = self._scene
        rate_Hz = 4.0 * (self._maker.dark_Hz(scene) + scene.light.background_Hz) + 2.0 * scene.light.rate_Hz
        for channel in wanted & {self._parameters.sync_input, -self._parameters.sync_input}:
            if channel not in self.inputs.filter_filtered:
                rate_Hz += (scene.laser_Hz or 0.0) / self.inputs.state(channel).divider
        return min(_BLOCK_MAX_PS, max(1e6, BLOCK_TAGS / max(rate_Hz, 1.0) * PS_PER_S))

    def _make_until(self, limit_ps: int) -> None:
        """Make the tags up to a time or some way beyond, and hand them out."""
        while self._made_ps < limit_ps and (consumers := self._consumers()):
            if self._scene.light.rate_Hz > 0 and limit_ps - self._scene_ps > _LIGHT_AGE_PS and not self._cuts:
                # The sample's temperature drifts without a message; now and then is often enough.
                self._set_scene(self._look(), limit_ps)
            wanted = self._wanted(consumers)
            block_ps = self._block_ps(wanted)
            stop_ps = self._made_ps + int(max(self._ahead_ps(block_ps), min(block_ps, limit_ps - self._made_ps)))
            measuring = any(measurement.measures for measurement in consumers)
            tags = self._maker.tags(self._made_ps, stop_ps, self._scene, wanted, play=measuring)
            for channel in self.virtual.values():
                tags.append((channel.tags(tags), channel.number))
            self._made_ps = stop_ps
            self._hand_out(self._with_tail(tags), consumers, measuring)
            self._send(limit_ps)

    def _ahead_ps(self, block_ps: float) -> float:
        # Delayed copies would reach across what is taken back, and an overflow would be counted too early.
        if self.virtual or self._scene.fault("hbt.overflow") is not None:
            return 0.0
        return min(_AHEAD_MAX_PS, _AHEAD_OF_BLOCK * block_ps)

    def _margin(self) -> int:
        """How much earlier than the end of what was made the next tag can be, ps."""
        if self._margin_ps is None:
            lead_ps = sum(channel.lead_ps() for channel in self.virtual.values())
            self._margin_ps = _JITTER_PS + self.inputs.lead_ps() + lead_ps
        return self._margin_ps

    def _take_back(self, at_ps: int) -> None:
        """Take back the tags from a time on, or from the first moment that was not sent yet."""
        at_ps = max(at_ps, self._sent_ps + self._margin())
        if at_ps >= self._made_ps:
            return
        self._maker.forget_after(at_ps, self._made_ps, self._scene)
        tail = Block(self._handed_ps, self._made_ps, *self._tail)
        self._made_ps, self._handed_ps = at_ps, min(self._handed_ps, at_ps - self._margin())
        parts = [block.cut(self._handed_ps, at_ps) for block in (*self._ahead, tail)]
        whole = Block.join(parts)
        self._tail = (whole.times, whole.channels)
        self._ahead = deque(block.cut(block.begin_ps, self._handed_ps) for block in self._ahead)
        for measurement in (ref() for ref in self._measurements):
            if measurement is not None:
                measurement.take_back(self._handed_ps)

    # --- handing them out --------------------

    def _with_tail(self, tags: list[tuple[Times, int]]) -> tuple[Times, np.ndarray]:
        old_times, old_channels = self._tail
        times, channels = merge(tags)
        if len(old_times):
            times, channels = np.concatenate([old_times, times]), np.concatenate([old_channels, channels])
            order = np.argsort(times, kind="stable")
            times, channels = times[order], channels[order]
        return times, channels

    def _hand_out(self, tags: tuple[Times, np.ndarray], consumers: list[IteratorBase], measuring: bool) -> None:
        """Hand out what can no longer be disturbed by earlier tags; the rest is the new tail."""
        until_ps = max(self._handed_ps, self._made_ps - self._margin())
        block, tail = Block(self._handed_ps, self._made_ps, *tags).split(until_ps)
        self._tail, self._handed_ps = (tail.times, tail.channels), until_ps
        if block.end_ps > block.begin_ps:
            block = self._with_overflow(block) if measuring else block
            self._ahead.append(block)
            for measurement in consumers:
                measurement.consume(block)

    def _send(self, now_ps: int) -> None:
        """The device sends a block each `block_latency_ms`."""
        sent_ps = min(now_ps - now_ps % (self.block_latency_ms * 10**9), self._handed_ps)
        if sent_ps > self._sent_ps:
            self._sent_ps = sent_ps
            while self._ahead and self._ahead[0].end_ps <= sent_ps:
                self._ahead.popleft()

    def _with_overflow(self, block: Block) -> Block:
        """Lose the tags of a burst of `hbt.overflow` seconds once per second, while that fault is on."""
        duration_s = self._bench.fault("hbt.overflow")
        if duration_s is not None and block.end_ps >= self._burst_ps[0] + _OVERFLOW_EVERY_PS:
            first_ps = max(block.begin_ps, self._burst_ps[0] + _OVERFLOW_EVERY_PS)
            self._burst_ps = (first_ps, first_ps + int(duration_s * PS_PER_S))
            self.overflows += 1
        begin_ps, end_ps = max(block.begin_ps, self._burst_ps[0]), min(block.end_ps, self._burst_ps[1])
        if begin_ps >= end_ps:
            return block
        lost = (block.times >= begin_ps) & (block.times < end_ps)
        numbers, counts = np.unique(block.channels[lost], return_counts=True)
        missed = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
        kept = ~lost
        losses = (Loss(begin_ps, end_ps, missed),)
        return Block(block.begin_ps, block.end_ps, block.times[kept], block.channels[kept], losses)
