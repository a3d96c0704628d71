"""Pieces of the tag stream as measurements receive them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryopl_bluesky.sim.timetagger.source import Times


@dataclass(frozen=True)
class Loss:
    """Tags lost in an overflow of the buffer.

    Attributes:
        begin_ps: begin of the gap.
        end_ps: its end.
        missed: lost tags per channel.
    """

    begin_ps: int
    end_ps: int
    missed: dict[int, int]


@dataclass(frozen=True)
class Block:
    """A piece of the stream, complete between two times.

    Attributes:
        begin_ps: begin.
        end_ps: end (exclusive).
        times: int64 tags in time order.
        channels: int32 channel of each tag.
        losses: gaps inside.
    """

    begin_ps: int
    end_ps: int
    times: Times
    channels: np.ndarray
    losses: tuple[Loss, ...] = ()

    def cut(self, begin_ps: int, end_ps: int) -> Block:
        """The part between two times (overflows belong to the part in which they begin)."""
        if begin_ps <= self.begin_ps and end_ps >= self.end_ps:
            return self
        begin_ps, end_ps = max(begin_ps, self.begin_ps), min(end_ps, self.end_ps)
        window = slice(*np.searchsorted(self.times, [begin_ps, end_ps]))
        losses = tuple(loss for loss in self.losses if begin_ps <= loss.begin_ps < end_ps)
        return Block(begin_ps, end_ps, self.times[window], self.channels[window], losses)

    def of(self, channel: int) -> Times:
        """Times of one channel."""
        return self.times[self.channels == channel]
