"""The time tags themselves, fetched from the vendor's stream while an acquisition runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryopl_bluesky.drivers.errors import InstrumentError


@dataclass(frozen=True)
class Loss:
    """A stretch in which the tagger's buffer was full: the times are lost, the numbers are kept.

    Attributes:
        begin_ps: device time of its begin.
        end_ps: device time of its end.
        missed: number of lost tags by channel.
    """

    begin_ps: int
    end_ps: int
    missed: dict[int, int]


@dataclass(frozen=True)
class TagBlock:
    """Tags in the order of the stream.

    Attributes:
        times_ps: (n,) device times, not decreasing.
        channels: (n,) channel numbers, negative for falling edges.
        losses: stretches that ended within this block.
    """

    times_ps: NDArray[np.int64]
    channels: NDArray[np.int8]
    losses: tuple[Loss, ...]


class TagTap:
    """The tags of one acquisition.

    Args:
        vendor: the vendor's module.
        proxy: the tagger, or the proxy of synchronised measurements.
        channels: channels to record.
        buffer_tags: tags that may wait between two calls of `fetch`; the vendor drops what is beyond.
        instrument: name for messages.
    """

    def __init__(
        self, vendor: Any, proxy: Any, channels: Sequence[int], buffer_tags: int, instrument: str
    ):
        self._types = vendor.TagType
        self._instrument = instrument
        self._channels = list(channels)
        self._totals = dict.fromkeys(channels, 0)
        self._first_ps: int | None = None
        self._loss_begin_ps: int | None = None
        self._missed: dict[int, int] = {}
        self._stream = vendor.TimeTagStream(proxy, buffer_tags, self._channels)

    @property
    def begin_ps(self) -> int:
        """Device time at which the recording began; 0 before anything was fetched."""
        return self._first_ps or 0

    def fetch(self) -> TagBlock:
        """The tags since the last call, which leave the vendor's buffer."""
        buffer = self._stream.getData()
        if self._first_ps is None:
            self._first_ps = int(buffer.tStart)
        times, channels = buffer.getTimestamps(), buffer.getChannels()
        losses: list[Loss] = []
        if buffer.hasOverflows:
            types = buffer.getEventTypes()
            special = types != self._types.TimeTag.value
            missed = buffer.getMissedEvents()
            for i in np.flatnonzero(special):
                self._note(int(types[i]), int(times[i]), int(channels[i]), int(missed[i]), losses)
            times, channels = times[~special], channels[~special]
        for channel in self._channels:
            self._totals[channel] += int(np.count_nonzero(channels == channel))
        return TagBlock(times, channels.astype(np.int8), tuple(losses))

    def _note(self, kind: int, time_ps: int, channel: int, missed: int, losses: list[Loss]) -> None:
        """Follow the sequence begin, missed events, end (`facts/swabian.md` section 7)."""
        if kind == self._types.OverflowBegin.value:
            self._loss_begin_ps, self._missed = time_ps, {}
        elif kind == self._types.MissedEvents.value:
            self._missed[channel] = self._missed.get(channel, 0) + missed
            self._totals[channel] = self._totals.get(channel, 0) + missed
        elif kind == self._types.OverflowEnd.value:
            losses.append(Loss(time_ps if self._loss_begin_ps is None else self._loss_begin_ps, time_ps, self._missed))
            self._loss_begin_ps, self._missed = None, {}
        else:
            raise InstrumentError(
                self._instrument,
                f"the tag stream reports an error of the device's clock at {time_ps} ps",
                "check the reference clock; the tags before it are kept",
            )

    def check_complete(self, counted: dict[int, int]) -> None:
        """Compare what was fetched with what the tagger counted in the same acquisition.

        Args:
            counted: tags by channel from the vendor's own counters.

        Raises:
            InstrumentError: tags were dropped between the tagger and the file.
        """
        for channel, expected in counted.items():
            fetched = self._totals.get(channel, 0)
            if fetched != expected:
                raise InstrumentError(
                    self._instrument,
                    f"channel {channel}: {expected} tags were counted but {fetched} arrived for storage",
                    "raise tag_buffer in the profile, lower the rate, or store without other work on the computer",
                )
