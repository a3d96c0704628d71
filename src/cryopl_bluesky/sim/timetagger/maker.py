"""From what the inputs see to tags: photons or a recording, the laser's sync, and the way through the inputs.

Order inside the device: trigger level, dead time, hardware delay, conditional filter, event divider, buffer;
then software delays on the computer (`facts/swabian.md` section 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cryopl_bluesky.sim.timetagger import photons
from cryopl_bluesky.sim.timetagger.inputs import Inputs
from cryopl_bluesky.sim.timetagger.replay import Recording, read_recording
from cryopl_bluesky.sim.timetagger.source import PS_PER_S, Darkness, LightLike, PhotonSource, PulseTrain, Times

if TYPE_CHECKING:
    from cryopl_bluesky.sim.bench import Bench


@dataclass(frozen=True)
class Scene:
    """What the tagger's inputs see from a moment on.

    Attributes:
        light: what reaches the interferometer.
        laser_Hz: rate of the sync pulses, None without.
        replaying: True if a recording takes the place of the light.
        faults: names and parameters of the faults that are switched on.
    """

    light: LightLike
    laser_Hz: float | None
    replaying: bool
    faults: tuple[tuple[str, float], ...]

    def fault(self, name: str) -> float | None:
        """Parameter of a fault that is switched on, else None."""
        return dict(self.faults).get(name)


class TagMaker:
    """Makes the tags of one stretch of constant light after another.

    Args:
        bench: the physical world.
        inputs: settings of the tagger's inputs.
    """

    def __init__(self, bench: Bench, inputs: Inputs):
        self.inputs = inputs
        self._bench = bench
        self._rng = bench.rng("timetagger")
        self._source = PhotonSource(inputs.parameters, self._rng)
        self._recording: tuple[Path, Recording] | None = None
        self._train: tuple[float, PulseTrain] | None = None
        self._playing = False

    def tags(
        self, start_ps: int, stop_ps: int, scene: Scene, wanted: set[int], *, play: bool
    ) -> list[tuple[Times, int]]:
        """Tags of the time from the end of the stretch before to `stop_ps`.

        Args:
            start_ps: begin.
            stop_ps: end.
            scene: what the inputs see meanwhile.
            wanted: channels whose tags are made.
            play: let the recording run, if there is one.

        Returns:
            Times and channel, for each wanted channel.
        """
        self._playing = play and scene.replaying
        train = self._laser_train(start_ps, scene)
        n_pulses = train.pulses(start_ps, stop_ps) if train is not None else 0
        if self._playing:
            clicks = self._open_recording().play(start_ps, stop_ps)
        else:
            light = Darkness() if scene.replaying else scene.light  # a recording that pauses
            pulsed = light.repetition_rate_Hz is not None and light.rate_Hz > 0
            if pulsed and train is None:
                raise RuntimeError("the bench reports pulsed light while its laser gives no pulses")
            clicks = self._source.clicks(
                start_ps,
                stop_ps,
                light,
                train if pulsed else None,
                n_pulses,
                dark_Hz=self.dark_Hz(scene),
                paralysable=scene.fault("hbt.fold_over") is not None,
            )
        first, second = (self._silenced(times, number, scene) for number, times in enumerate(clicks, 1))
        if scene.fault("hbt.no_sync") is not None:
            train = None
        return self._through_inputs((first, second), train, n_pulses, wanted)

    def dark_Hz(self, scene: Scene) -> float:
        """Dark counts per SPAD."""
        raised_Hz = scene.fault("hbt.dark_Hz")
        return self.inputs.parameters.dark_Hz if raised_Hz is None else raised_Hz

    def _silenced(self, clicks: Times, spad: int, scene: Scene) -> Times:
        stuck = scene.fault("hbt.stuck_zero") is not None or scene.fault("hbt.dead_spad") == spad
        return clicks[:0] if stuck else clicks

    def forget_after(self, at_ps: int, made_ps: int, scene: Scene) -> None:
        """Take back the tags from `at_ps` to `made_ps` (with them go the photons on their way just then)."""
        self._source.forget_after(at_ps)
        train = self._laser_train(at_ps, scene)
        self.inputs.forget_after(at_ps, train.pulses(at_ps, made_ps) if train is not None else 0)
        if self._playing:
            self._open_recording().position_ps -= made_ps - at_ps

    def clear(self) -> None:
        """Forget photons that are on their way (the time that follows is not connected)."""
        self._source.clear()

    def _laser_train(self, start_ps: int, scene: Scene) -> PulseTrain | None:
        if scene.replaying:
            recording = self._open_recording()
            if recording.period_ps is not None:
                return PulseTrain(start_ps - recording.position_ps, recording.period_ps)
        if scene.laser_Hz is None:
            self._train = None
            return None
        if self._train is None or self._train[0] != scene.laser_Hz:
            self._train = (scene.laser_Hz, PulseTrain(start_ps, PS_PER_S / scene.laser_Hz))
        return self._train[1]

    def _open_recording(self) -> Recording:
        path = self._bench.replay
        assert path is not None
        if self._recording is None or self._recording[0] != path:
            self._recording = (path, read_recording(path))
        return self._recording[1]

    def _through_inputs(
        self, clicks: tuple[Times, Times], train: PulseTrain | None, n_pulses: int, wanted: set[int]
    ) -> list[tuple[Times, int]]:
        p, inputs = self.inputs.parameters, self.inputs
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
        if delay_ps is None:
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
        sigma_ps = self.inputs.parameters.tagger_jitter_ps
        return times + np.rint(sigma_ps * self._rng.standard_normal(len(times))).astype(np.int64)
