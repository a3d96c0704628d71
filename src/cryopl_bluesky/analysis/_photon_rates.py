"""Count rates against time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ._checks import AnalysisError
from ._engine import Engine
from ._photon_stream import MAX_BINS, MAX_PS, Integers, TagStream, channel_numbers, whole_number


class RateTrace:
    """Counts of each channel per time bin, from the first tag to the last.

    Args:
        channels: Channel, or several.
        binwidth_ps: Bin width, whole ps.
        origin_ps: Begin of the first bin; None: the first tag of the stream, whatever its channel.
        engine: "numba", "numpy", or "auto": numba if it can be imported. All give the same integers.

    Raises:
        AnalysisError: A channel or bin width that makes no sense.
    """

    def __init__(
        self,
        channels: int | Sequence[int],
        binwidth_ps: int,
        *,
        origin_ps: int | None = None,
        engine: Engine = "auto",
    ):
        numbers = channel_numbers("channels", channels)
        self._binwidth_ps = whole_number("binwidth_ps", binwidth_ps)
        is_given = origin_ps is not None
        self._given_origin_ps = whole_number("origin_ps", origin_ps, -(1 << 62), (1 << 63) - 1) if is_given else None
        self._origin_ps = self._given_origin_ps
        self._stream = TagStream(numbers, engine)
        self._counts = np.zeros((len(numbers), 0), np.int64)
        self._bins = 0

    @property
    def counts(self) -> Integers:
        """Counts up to the newest tag, (channels, bins); the last bin is not complete. A copy."""
        return self._counts[:, : self._bins].copy()

    @property
    def times_ps(self) -> Integers:
        """Begin of each bin, (bins,)."""
        return np.arange(self._bins, dtype=np.int64) * self._binwidth_ps + (self._origin_ps or 0)

    def add(self, times_ps: ArrayLike, channels: ArrayLike) -> None:
        """Count the next chunk of the stream; any chunks give the same counts as all tags at once.

        Args:
            times_ps: int64 in time order, continuing the chunk before, (n,).
            channels: Integers, (n,); tags of other channels only lengthen the trace.

        Raises:
            AnalysisError: Wrong types or shapes, not in time order, before the origin, or too many bins. What comes
                before the fault may be counted.
        """
        for times, numbers, _ in self._stream.blocks(times_ps, channels):
            first, last = int(times[0]), int(times[-1])
            if self._origin_ps is None:
                self._origin_ps = first
            if first < self._origin_ps:
                raise AnalysisError(
                    f"times_ps holds {first} ps, before origin_ps {self._origin_ps}; cut it off with `within`."
                )
            self._lengthen((last - self._origin_ps) // self._binwidth_ps + 1)
            self._stream.kernels.add_rates(
                times, numbers, self._stream.wanted, self._origin_ps, self._binwidth_ps, self._counts
            )

    def clear(self) -> None:
        """Forget all tags and begin a new stream."""
        self._stream.clear()
        self._origin_ps, self._bins = self._given_origin_ps, 0
        self._counts[:] = 0

    def _lengthen(self, bins: int) -> None:
        rows, room = self._counts.shape
        if rows * bins > MAX_BINS or bins * self._binwidth_ps > 4 * MAX_PS:
            raise AnalysisError(
                f"The trace would need {bins} bins of {self._binwidth_ps} ps ({MAX_BINS} are the limit, all channels "
                "together); take wider bins, or give origin_ps near the first tag."
            )
        if bins > room:
            self._counts = np.concatenate(
                [self._counts, np.zeros((rows, max(bins, 2 * room) - room), np.int64)], axis=1
            )
        self._bins = bins
