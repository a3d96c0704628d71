"""Base of all measurements and virtual channels, and `SynchronizedMeasurements`."""

from __future__ import annotations

import json
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from cryopl_bluesky.sim.timetagger import arguments
from cryopl_bluesky.sim.timetagger.blocks import Block
from cryopl_bluesky.sim.timetagger.source import Times
from cryopl_bluesky.sim.timetagger.stream import TagStream
from cryopl_bluesky.sim.timetagger.tagger import TimeTaggerBase

_WAIT_SLICE_S = 0.5
_MOST_WAITING_TAGS = 500_000
_FOR_EVER_PS = 2**62


def check_tagger(tagger: Any, function: str) -> TimeTaggerBase:
    """Refuse what is not a tagger, with the vendor's exceptions.

    Raises:
        ValueError: None.
        TypeError: another object.
    """
    if tagger is None:
        raise ValueError("a valid Time Tagger must be provided.")
    if not isinstance(tagger, TimeTaggerBase):
        raise TypeError(f"in method 'new_{function}', argument 1 of type 'TimeTaggerBase *'")
    return tagger


class IteratorBase:
    """A consumer of the tag stream; it runs from construction on, except on a synchronised proxy.

    It keeps the blocks it is given and works on them when somebody asks for its data, or when there are many. They may
    reach beyond what the device has sent; that part waits.
    """

    measures = True
    """Whether a recording plays and the fault `hbt.overflow` strikes because this measurement runs."""

    def __init__(self) -> None:
        raise AttributeError("No constructor defined - class is abstract")

    def _listen(self, tagger: TimeTaggerBase, channels: list[int]) -> None:
        self._stream: TagStream = tagger._stream
        self._channels = channels
        self._hardware = self._stream_channels(channels)
        self._consuming = False
        self._begin_ps, self._end_ps = 0, _FOR_EVER_PS
        self._waiting: deque[Block] = deque()
        self._forget()

    def _attach(self, tagger: TimeTaggerBase, channels: list[int]) -> None:
        self._listen(tagger, channels)
        self._stream.add(self)
        group = tagger._group
        if group is not None:
            group.registerMeasurement(self)
        else:
            self.start()

    def _stream_channels(self, channels: list[int]) -> set[int]:
        hardware: set[int] = set()
        for channel in channels:
            if channel in self._stream.virtual:
                hardware |= self._stream.virtual[channel]._hardware
            else:
                self._stream.inputs.state(channel)
                hardware.add(channel)
        return hardware

    # --- the stream's side --------------------

    def is_consuming(self) -> bool:
        """Whether the stream must be made for this measurement."""
        return self._consuming and self._stream.sent_ps < self._end_ps

    def hardware_channels(self) -> set[int]:
        """Inputs that it listens to."""
        return self._hardware

    def consume(self, block: Block) -> None:
        """Take the next block."""
        self._waiting.append(block)
        self._waiting_tags += len(block.times)
        if self._waiting_tags > _MOST_WAITING_TAGS:
            self._catch_up()

    def take_back(self, at_ps: int) -> None:
        """Give back what lies behind a time that the device has not reached yet."""
        while self._waiting and self._waiting[-1].end_ps > at_ps:
            block = self._waiting.pop()
            kept = block.cut(block.begin_ps, at_ps)
            self._waiting_tags -= len(block.times) - len(kept.times)
            if kept.end_ps > kept.begin_ps:
                self._waiting.append(kept)

    def _catch_up(self) -> None:
        """Work on what the device has sent, as far as it lies in the capture window."""
        waiting, sent_ps = self._waiting, self._stream.sent_ps
        sent = []
        while waiting and waiting[0].begin_ps < sent_ps:
            block = waiting.popleft()
            if block.end_ps > sent_ps:
                block, rest = block.split(sent_ps)
                waiting.appendleft(rest)
            sent.append(block)
        if not sent:
            return
        whole = Block.join(sent)
        self._waiting_tags -= len(whole.times)
        part = whole.cut(self._begin_ps, self._end_ps)
        if part.end_ps > part.begin_ps:
            self._process(part)
            self._captured_ps += part.end_ps - part.begin_ps

    def _forget(self) -> None:
        """Begin anew without data."""
        self._waiting.clear()
        self._waiting_tags = self._captured_ps = 0
        self._clear()

    def _process(self, block: Block) -> None:
        raise NotImplementedError

    def _clear(self) -> None:
        """Forget the data."""

    def _begin(self, begin_ps: int, end_ps: int) -> None:
        self._catch_up()
        self._waiting.clear()
        self._waiting_tags = 0
        self._begin_ps, self._end_ps, self._consuming = begin_ps, end_ps, True

    # --- the user's side --------------------

    def start(self) -> None:
        """Start or go on without an end."""
        with self._stream.lock:
            self._begin(self._stream.begin(), _FOR_EVER_PS)

    def startFor(self, capture_duration: int, clear: bool = True) -> None:
        """Start, and stop after `capture_duration` ps of data."""
        duration_ps = arguments.integer(capture_duration, "IteratorBase_startFor", 2)
        with self._stream.lock:
            begin_ps = self._stream.begin()
            if clear:
                self._forget()
            self._begin(begin_ps, begin_ps + duration_ps)

    def stop(self) -> None:
        """Stop; the data stay."""
        with self._stream.lock:
            self._stream.advance()
            self._end()

    def _end(self) -> None:
        self._catch_up()
        self._consuming = False
        self._waiting.clear()
        self._waiting_tags = 0

    def abort(self) -> None:
        """Stop at once."""
        self.stop()

    def clear(self) -> None:
        """Forget the data; a running measurement goes on."""
        with self._latest():
            self._clear()
            self._captured_ps = 0

    def isRunning(self) -> bool:
        """Whether data are still taken."""
        with self._stream.lock:
            self._stream.advance()
            return self.is_consuming()

    def waitUntilFinished(self, timeout: int = -1) -> bool:
        """Wait for the end of `startFor`; `timeout` in ms, -1 for ever."""
        return wait_until(self._stream, self.isRunning, lambda: self._end_ps, timeout)

    def getCaptureDuration(self) -> int:
        """Length of the data taken, ps."""
        with self._latest():
            return self._captured_ps

    def getConfiguration(self) -> dict[str, Any]:
        """Class and channels of the measurement."""
        return json.loads(json.dumps({"name": type(self).__name__, "params": {"channels": self._channels}}))

    @contextmanager
    def _latest(self) -> Iterator[None]:
        """Hold the stream, with the data brought up to date."""
        with self._stream.lock:
            self._stream.advance()
            self._catch_up()
            yield

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


def wait_until(stream: TagStream, running: Any, end_ps: Any, timeout_ms: int) -> bool:
    """Sleep on the bench's clock until `running()` is False.

    Returns:
        False when `timeout_ms` was over before (-1: never).
    """
    clock = stream.clock
    deadline_s = clock.monotonic() + timeout_ms / 1e3 if timeout_ms >= 0 else float("inf")
    while running():
        remaining_s = deadline_s - clock.monotonic()
        if remaining_s <= 0:
            return False
        due_s = max(1e-3, (end_ps() - stream.sent_ps) / 1e12)
        clock.sleep(min(due_s, remaining_s, _WAIT_SLICE_S))
    return True


class VirtualChannel(IteratorBase):
    """A channel made from other channels; it follows the stream of whoever listens to it."""

    def _attach_channel(self, tagger: TimeTaggerBase, channels: list[int]) -> None:
        self._listen(tagger, channels)
        with self._stream.lock:
            self._stream.change()
            self.number = 10_001 + len(self._stream.virtual)
            self._stream.virtual[self.number] = self

    def tags(self, tags: list[tuple[Times, int]]) -> Times:
        """Its times, from those of all channels before it."""
        raise NotImplementedError

    def lead_ps(self) -> int:
        """How much earlier than their cause its tags can be."""
        return 0

    def start(self) -> None:
        """Nothing to do: it always follows."""

    def getChannel(self) -> int:
        """Its channel number."""
        return self.number


class DelayedChannel(VirtualChannel):
    """A copy of a channel, later by `delay` ps."""

    def __init__(self, tagger: Any, input_channel: int, delay: int):
        self._delay_ps = arguments.integer(delay, "new_DelayedChannel", 3)
        channel = arguments.integer(input_channel, "new_DelayedChannel", 2, "int")
        self._attach_channel(check_tagger(tagger, "DelayedChannel"), [channel])

    def tags(self, tags: list[tuple[Times, int]]) -> Times:
        """The input's times plus the delay."""
        return combined(tags, self._channels) + self._delay_ps

    def lead_ps(self) -> int:
        """The delay, if it is negative."""
        return max(0, -self._delay_ps)


class Combiner(VirtualChannel):
    """All tags of several channels."""

    def __init__(self, tagger: Any, channels: Any):
        numbers = arguments.integers(channels, "new_Combiner", 2)
        self._counts = np.zeros(len(numbers), np.int64)
        self._attach_channel(check_tagger(tagger, "Combiner"), numbers)

    def tags(self, tags: list[tuple[Times, int]]) -> Times:
        """The inputs' times, in order."""
        for times, channel in tags:
            if channel in self._channels:
                self._counts[self._channels.index(channel)] += len(times)
        return np.sort(combined(tags, self._channels))

    def getChannelCounts(self) -> np.ndarray:
        """Tags per input channel, int64."""
        return self._counts.copy()


def combined(tags: list[tuple[Times, int]], channels: list[int]) -> Times:
    """Times of some channels one behind the other."""
    return np.concatenate([np.empty(0, np.int64), *(times for times, c in tags if c in channels)])


class SynchronizedMeasurements:
    """Starts and stops several measurements together, so that all see the same tags."""

    def __init__(self, tagger: Any):
        self._tagger = check_tagger(tagger, "SynchronizedMeasurements")
        self._stream = self._tagger._stream
        self._members: list[weakref.ref[IteratorBase]] = []

    def _alive(self) -> list[IteratorBase]:
        return [m for m in (ref() for ref in self._members) if m is not None]

    def getTagger(self) -> TimeTaggerBase:
        """A tagger whose measurements belong to this group and do not start on their own."""
        return self._tagger._proxy(self)

    def registerMeasurement(self, measurement: IteratorBase) -> None:
        """Take a measurement into the group; it stops."""
        with self._stream.lock:
            measurement._consuming = False
            self._members.append(weakref.ref(measurement))

    def unregisterMeasurement(self, measurement: IteratorBase) -> None:
        """Release a measurement from the group."""
        self._members = [ref for ref in self._members if ref() is not measurement]

    def start(self) -> None:
        """Start all."""
        self._start(_FOR_EVER_PS, clear=False)

    def startFor(self, capture_duration: int, clear: bool = True) -> None:
        """Start all, for `capture_duration` ps of data."""
        duration_ps = arguments.integer(capture_duration, "SynchronizedMeasurements_startFor", 2)
        self._start(duration_ps, clear=clear)

    def _start(self, duration_ps: int, *, clear: bool) -> None:
        with self._stream.lock:
            begin_ps = self._stream.begin()
            for member in self._alive():
                if clear:
                    member._forget()
                member._begin(begin_ps, min(_FOR_EVER_PS, begin_ps + duration_ps))

    def stop(self) -> None:
        """Stop all at one moment."""
        with self._stream.lock:
            self._stream.advance()
            for member in self._alive():
                member._end()

    def clear(self) -> None:
        """Forget the data of all."""
        with self._stream.lock:
            for member in self._alive():
                member.clear()

    def isRunning(self) -> bool:
        """Whether any of them still takes data."""
        with self._stream.lock:
            self._stream.advance()
            return any(member.is_consuming() for member in self._alive())

    def waitUntilFinished(self, timeout: int = -1) -> bool:
        """Wait for the end of `startFor`; `timeout` in ms, -1 for ever."""
        return wait_until(
            self._stream, self.isRunning, lambda: max((m._end_ps for m in self._alive()), default=0), timeout
        )

    def __enter__(self) -> SynchronizedMeasurements:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
