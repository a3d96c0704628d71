"""Pieces of the tag stream as measurements receive them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
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


@dataclass(slots=True)
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
        """The part between two times, which may be empty."""
        part = self
        if begin_ps > part.begin_ps:
            part = part.split(min(begin_ps, part.end_ps))[1]
        if end_ps < part.end_ps:
            part = part.split(max(end_ps, part.begin_ps))[0]
        return part

    def split(self, at_ps: int) -> tuple[Block, Block]:
        """The parts before and from a time inside on (overflows belong to the part in which they begin)."""
        i = bisect_left(self.times, at_ps)  # unlike numpy's search it keeps the interpreter to itself
        early, late = (), ()
        if self.losses:
            early = tuple(loss for loss in self.losses if loss.begin_ps < at_ps)
            late = tuple(loss for loss in self.losses if loss.begin_ps >= at_ps)
        return (
            Block(self.begin_ps, at_ps, self.times[:i], self.channels[:i], early),
            Block(at_ps, self.end_ps, self.times[i:], self.channels[i:], late),
        )

    @classmethod
    def join(cls, blocks: Sequence[Block]) -> Block:
        """One block from several that follow each other."""
        if len(blocks) == 1:
            return blocks[0]
        return cls(
            blocks[0].begin_ps,
            blocks[-1].end_ps,
            np.concatenate([block.times for block in blocks]),
            np.concatenate([block.channels for block in blocks]),
            tuple(loss for block in blocks for loss in block.losses),
        )

    def of(self, channel: int) -> Times:
        """Times of one channel."""
        return self.times[self.channels == channel]
