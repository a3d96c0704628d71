"""The tag stream: made only when somebody asks, and handed to all measurements up to the present bench time.

Tags are made some way ahead of the present, because a watchdog asks every few milliseconds and a small block costs
as much as one with a thousand times as many tags. When something changes (light, settings, what is listened to),
what was made ahead is taken back from there on.
"""

from __future__ import annotations

import threading
import weakref
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
_AHEAD_MAX_PS = 5 * 10**11
_AHEAD_OF_BLOCK = 0.1
_LIGHT_AGE_PS = 10**12
# Tags are released this much behind the generation, so that jitter and cables cannot disturb their order.
_RELEASE_PS = 20_000
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
        self._made_ps = self._released_ps = self.now_ps()
        self._pending: tuple[Times, np.ndarray] = merge([])
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
    def released_ps(self) -> int:
        """Time up to which measurements have seen the stream."""
        return self._released_ps

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
        with self.lock:
            if self._bench.fault("hbt.freeze") is not None:
                return
            now_ps = self.now_ps()
            while (cut := self._next_cut(now_ps)) is not None:
                at_ps, scene = cut
                self._make_until(at_ps, now_ps)
                self._forget_after(at_ps)
                self._set_scene(scene, at_ps)
            self._make_until(now_ps, now_ps)
            if not self._running():
                self._skip(now_ps)

    def change(self) -> None:
        """Something changes now, so what was made ahead is void (the lock must be held)."""
        self.advance()
        self._forget_after(self.now_ps())
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
        self._made_ps = self._released_ps = now_ps
        self._pending = merge([])
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
        light = self._light()
        bench = self._bench
        with bench.lock:
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

    def _make_until(self, limit_ps: int, now_ps: int) -> None:
        """Make the tags up to a time or some way beyond, and hand out those up to now."""
        while self._made_ps < limit_ps and (consumers := self._consumers()):
            if now_ps - self._scene_ps > _LIGHT_AGE_PS and not self._cuts:
                # The temperature drifts without a message; now and then is often enough.
                self._set_scene(self._look(), now_ps)
            wanted = self._wanted(consumers)
            block_ps = self._block_ps(wanted)
            # Delayed copies would reach across what is taken back.
            ahead_ps = 0.0 if self.virtual else min(_AHEAD_MAX_PS, _AHEAD_OF_BLOCK * block_ps)
            stop_ps = self._made_ps + int(max(ahead_ps, min(block_ps, limit_ps - self._made_ps)))
            play = any(measurement.measures for measurement in consumers)
            tags = self._maker.tags(self._made_ps, stop_ps, self._scene, wanted, play=play)
            for channel in self.virtual.values():
                tags.append((channel.tags(tags), channel.number))
            self._made_ps = stop_ps
            self._append(tags)
            self._release(now_ps)
        self._release(now_ps)

    def _append(self, tags: list[tuple[Times, int]]) -> None:
        old_times, old_channels = self._pending
        times, channels = merge(tags)
        if len(old_times):
            times, channels = np.concatenate([old_times, times]), np.concatenate([old_channels, channels])
            order = np.argsort(times, kind="stable")
            times, channels = times[order], channels[order]
        self._pending = (times, channels)

    def _forget_after(self, at_ps: int) -> None:
        """Take back the tags from a time on."""
        at_ps = max(at_ps, self._released_ps + self._margin())
        if at_ps >= self._made_ps:
            return
        times, channels = self._pending
        kept = slice(np.searchsorted(times, at_ps))
        self._pending = (times[kept], channels[kept])
        self._maker.forget_after(at_ps, self._made_ps, self._scene)
        self._made_ps = at_ps

    def _margin(self) -> int:
        """How much earlier than the end of what was made the next tag can be, ps."""
        if self._margin_ps is None:
            lead_ps = sum(channel.lead_ps() for channel in self.virtual.values())
            self._margin_ps = _RELEASE_PS + self.inputs.lead_ps() + lead_ps
        return self._margin_ps

    # --- handing them out --------------------

    def _release(self, now_ps: int) -> None:
        """Hand out what the device has sent: a block each `block_latency_ms`."""
        sent_ps = now_ps - now_ps % (self.block_latency_ms * 10**9)
        until_ps = min(sent_ps, self._made_ps - self._margin())
        if until_ps <= self._released_ps:
            return
        times, channels = self._pending
        split = np.searchsorted(times, until_ps)
        self._pending = (times[split:], channels[split:])
        block = Block(self._released_ps, until_ps, times[:split], channels[:split])
        self._released_ps = until_ps
        consumers = self._consumers()
        if any(measurement.measures for measurement in consumers):
            block = self._with_overflow(block)
        for measurement in consumers:
            measurement.consume(block)

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
