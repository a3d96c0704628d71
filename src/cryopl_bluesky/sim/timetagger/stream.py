"""The tag stream: made only when somebody asks, up to the present bench time, and handed to all measurements.

Order inside the device: trigger level, dead time, hardware delay, conditional filter, event divider, buffer;
then software delays on the computer (`facts/swabian.md` section 6).
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cryopl_bluesky.sim.timetagger import photons
from cryopl_bluesky.sim.timetagger.blocks import Block, Loss
from cryopl_bluesky.sim.timetagger.inputs import LONG_AGO_PS, Inputs, merge
from cryopl_bluesky.sim.timetagger.parameters import HbtParameters
from cryopl_bluesky.sim.timetagger.replay import Recording, read_recording
from cryopl_bluesky.sim.timetagger.source import PS_PER_S, LightLike, PhotonSource, PulseTrain, Times

if TYPE_CHECKING:
    from pathlib import Path

    from cryopl_bluesky.sim.bench import Bench
    from cryopl_bluesky.sim.timetagger.iterators import IteratorBase, VirtualChannel

BLOCK_TAGS = 1_000_000
_BLOCK_MAX_PS = 10 * 10**12
_LIGHT_AGE_PS = 10**12
# Tags are released this much behind the generation, so that jitter and cables cannot disturb their order.
_RELEASE_PS = 20_000
_OVERFLOW_EVERY_PS = 10**12


@dataclass(frozen=True)
class Scene:
    """What the tagger's inputs see from a moment on.

    Attributes:
        light: what reaches the interferometer.
        laser_Hz: rate of the sync pulses, None without.
        replaying: True if a recording takes the place of the light.
    """

    light: LightLike
    laser_Hz: float | None
    replaying: bool


class TagStream:
    """Makes the tags of all registered channels and feeds the running measurements.

    Args:
        bench: the physical world.
        light: returns what reaches the interferometer now.
        parameters: the interferometer and the tagger.
    """

    def __init__(self, bench: Bench, light: Callable[[], LightLike], parameters: HbtParameters):
        self.lock = threading.RLock()
        self.inputs = Inputs(parameters)
        self.overflows = 0
        self.virtual: dict[int, VirtualChannel] = {}
        self._measurements: list[weakref.ref[IteratorBase]] = []
        self._refresh_due = False
        self._bench, self._light, self._parameters = bench, light, parameters
        self._rng = bench.rng("timetagger")
        self._origin_s = bench.clock.monotonic()
        self._source = PhotonSource(parameters, self._rng)
        self._recording: tuple[Path, Recording] | None = None
        self._train: tuple[float, PulseTrain] | None = None
        self._cuts_lock = threading.Lock()
        self._cuts: list[tuple[int, Scene]] = []
        self._active = False
        self._made_ps = self._released_ps = self.now_ps()
        self._pending: tuple[Times, np.ndarray] = merge([])
        self._burst_ps = (LONG_AGO_PS, LONG_AGO_PS)
        self._scene: Scene | None = None
        self._scene_ps = 0
        bench.on_change(self._on_change)

    @property
    def clock(self):
        """The bench's clock."""
        return self._bench.clock

    @property
    def released_ps(self) -> int:
        """Time up to which measurements have seen the stream."""
        return self._released_ps

    def now_ps(self) -> int:
        """Present device time, from 0 when the device was opened first."""
        return int((self._bench.clock.monotonic() - self._origin_s) * PS_PER_S)

    def advance(self) -> None:
        """Bring all running measurements up to the present."""
        with self.lock:
            now_ps = self.now_ps()
            self._refresh_due = self._active and now_ps - self._scene_ps > _LIGHT_AGE_PS
            while self._made_ps < now_ps and self._running():
                self._make_block(now_ps)
            if not self._running():
                self._skip(now_ps)

    def begin(self) -> int:
        """Prepare a measurement that starts now (the lock must be held).

        Returns:
            Its begin in ps.
        """
        self.advance()
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
        return bool(self._consumers())

    def _skip(self, now_ps: int) -> None:
        self._active = False
        self._made_ps = self._released_ps = now_ps
        self._pending = merge([])
        self._source.clear()

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
        return Scene(light, laser_Hz, replaying)

    def _set_scene(self, scene: Scene, at_ps: int) -> None:
        self._scene, self._scene_ps = scene, at_ps

    def _take_cut(self, limit_ps: int) -> int:
        """Apply the changes that lie in the past; returns the end of the stretch of constant light."""
        while True:
            with self._cuts_lock:
                if not self._cuts:
                    break
                at_ps, scene = self._cuts[0]
                if at_ps > self._made_ps:
                    return min(at_ps, limit_ps)
                self._cuts.pop(0)
            self._set_scene(scene, self._made_ps)
        if self._refresh_due:
            # The temperature drifts without a message; once per question is often enough.
            self._refresh_due = False
            self._set_scene(self._look(), self._made_ps)
        return limit_ps

    def _laser_train(self, scene: Scene) -> PulseTrain | None:
        period_ps = None
        if scene.replaying:
            recording = self._open_recording()
            period_ps = recording.period_ps
            if period_ps is not None:
                return PulseTrain(self._made_ps - recording.position_ps, period_ps)
        if scene.laser_Hz is None:
            self._train = None
            return None
        if self._train is None or self._train[0] != scene.laser_Hz:
            self._train = (scene.laser_Hz, PulseTrain(self._made_ps, PS_PER_S / scene.laser_Hz))
        return self._train[1]

    def _open_recording(self) -> Recording:
        path = self._bench.replay
        assert path is not None
        if self._recording is None or self._recording[0] != path:
            self._recording = (path, read_recording(path))
        return self._recording[1]

    # --- making tags --------------------

    def _wanted(self) -> set[int]:
        wanted: set[int] = set()
        for measurement in self._consumers():
            wanted.update(measurement.hardware_channels())
        return wanted

    def _block_ps(self, scene: Scene, wanted: set[int]) -> int:
        rate_Hz = 4.0 * (self._parameters.dark_Hz + scene.light.background_Hz) + 2.0 * scene.light.rate_Hz
        for channel in wanted & {self._parameters.sync_input, -self._parameters.sync_input}:
            if channel not in self.inputs.filter_filtered:
                rate_Hz += (scene.laser_Hz or 0.0) / self.inputs.state(channel).divider
        return int(min(_BLOCK_MAX_PS, max(1_000_000, BLOCK_TAGS / max(rate_Hz, 1.0) * PS_PER_S)))

    def _make_block(self, now_ps: int) -> None:
        stop_ps = self._take_cut(now_ps)
        scene = self._scene
        assert scene is not None
        wanted = self._wanted()
        stop_ps = min(stop_ps, self._made_ps + self._block_ps(scene, wanted))
        train = self._laser_train(scene)
        n_pulses = train.pulses(self._made_ps, stop_ps) if train is not None else 0
        if scene.replaying:
            clicks = self._open_recording().play(self._made_ps, stop_ps)
        else:
            pulsed = scene.light.repetition_rate_Hz is not None and scene.light.rate_Hz > 0
            if pulsed and train is None:
                raise RuntimeError("the bench reports pulsed light while its laser gives no pulses")
            clicks = self._source.clicks(
                self._made_ps, stop_ps, scene.light, train if pulsed else None, n_pulses
            )
        tags = self._through_inputs(clicks, train, n_pulses, wanted)
        for channel in self.virtual.values():
            tags.append((channel.tags(tags), channel.number))
        lead_ps = self.inputs.lead_ps() + sum(channel.lead_ps() for channel in self.virtual.values())
        self._made_ps = stop_ps
        self._release(tags, stop_ps - _RELEASE_PS - lead_ps)

    def _through_inputs(
        self, clicks: tuple[Times, Times], train: PulseTrain | None, n_pulses: int, wanted: set[int]
    ) -> list[tuple[Times, int]]:
        p, inputs = self._parameters, self.inputs
        arrivals = {p.spad1_input: clicks[0], p.spad2_input: clicks[1] + p.cable2_ps}
        filtered = set(inputs.filter_filtered)
        before_filter: dict[int, Times] = {}
        for channel in sorted(wanted | (set(inputs.filter_triggers) if filtered else set())):
            delay_ps = inputs.edge_delay_ps(channel)
            if abs(channel) in arrivals and delay_ps is not None:
                state = inputs.state(channel)
                times = self._jittered(arrivals[abs(channel)] + delay_ps)
                before_filter[channel] = state.after_dead_time(times) + state.hardware_delay_ps
        triggers = [before_filter[c] for c in inputs.filter_triggers if c in before_filter]
        gate = np.empty(0, np.int64)
        for times in triggers:
            gate = photons.merge_sorted(gate, times)
        tags = []
        for channel in sorted(wanted):
            state = inputs.state(channel)
            if abs(channel) == p.sync_input and train is not None:
                times = self._sync(channel, train, n_pulses, gate if channel in filtered else None)
            else:
                times = state.divided(before_filter.get(channel, np.empty(0, np.int64)))
            tags.append((times + state.software_delay_ps, channel))
        return tags

    def _sync(self, channel: int, train: PulseTrain, n_pulses: int, gate: Times | None) -> Times:
        delay_ps = self.inputs.edge_delay_ps(channel)
        if delay_ps is None or self._bench.fault("hbt.no_sync") is not None:
            return np.empty(0, np.int64)
        state = self.inputs.state(channel)
        origin_ps = train.origin_ps + delay_ps + state.hardware_delay_ps
        if gate is None:
            # With a divider only the pulses that it keeps are made: at 80 MHz the others would cost seconds.
            numbers = (
                state.divided_indices(n_pulses)
                if train.period_ps > state.dead_time_ps
                else np.arange(n_pulses)
            )
            shifts = train.fraction_ps + numbers * train.period_ps
            times = state.after_dead_time(self._jittered(origin_ps + np.rint(shifts).astype(np.int64)))
            return times if train.period_ps > state.dead_time_ps else state.divided(times)
        pulses, last_ps = photons.next_pulses(
            gate, origin_ps, train.fraction_ps, train.period_ps, state.last_filtered_ps
        )
        state.last_filtered_ps = int(last_ps)
        return state.divided(self._jittered(pulses))

    def _jittered(self, times: Times) -> Times:
        sigma_ps = self._parameters.tagger_jitter_ps
        return times + np.rint(sigma_ps * self._rng.standard_normal(len(times))).astype(np.int64)

    # --- handing them out --------------------

    def _release(self, tags: list[tuple[Times, int]], until_ps: int) -> None:
        old_times, old_channels = self._pending
        times, channels = merge(tags)
        if len(old_times):
            times, channels = np.concatenate([old_times, times]), np.concatenate([old_channels, channels])
            order = np.argsort(times, kind="stable")
            times, channels = times[order], channels[order]
        if until_ps <= self._released_ps:
            self._pending = (times, channels)
            return
        split = np.searchsorted(times, until_ps)
        self._pending = (times[split:], channels[split:])
        block = Block(self._released_ps, until_ps, times[:split], channels[:split])
        self._released_ps = until_ps
        block = self._with_overflow(block)
        for measurement in self._consumers():
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
