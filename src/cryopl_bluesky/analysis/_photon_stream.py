"""The tag stream as the photon accumulators take it: checked, in blocks, in the types of the kernels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._checks import AnalysisError
from ._engine import Engine, kernels_of

Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Chunk = tuple[NDArray[Any], NDArray[Any]]
"""Times in ps and channel numbers of the same tags."""

MAX_BINS = 1 << 27
"""Bins of a histogram, all rows together: 1 GB of counts."""

MAX_PS = 1 << 60
"""Longest histogram, period or gate, 13 days: sums of a few of them fit into int64."""

_MAX_SPAN_PS = 1 << 62


def whole_number(name: str, value: Any, lowest: int = 1, highest: int = MAX_PS) -> int:
    """Return `value` as int, or raise AnalysisError unless it is a whole number from `lowest` to `highest`."""
    is_whole = isinstance(value, Integral) or (isinstance(value, float | np.floating) and value % 1 == 0)
    if isinstance(value, bool) or not is_whole or not lowest <= int(value) <= highest:
        raise AnalysisError(f"{name} is {value!r} but must be a whole number from {lowest} to {highest}.")
    return int(value)


def channel_numbers(name: str, channels: int | Sequence[int]) -> list[int]:
    """Return one or several channel numbers as a list.

    Raises:
        AnalysisError: None at all, more than 200, the same one twice, or no whole numbers.
    """
    given = np.atleast_1d(np.asarray(channels))
    if given.ndim != 1 or given.dtype.kind not in "iu" or not 1 <= len(given) <= 200:
        raise AnalysisError(f"{name} is {channels!r}; give one channel number, or a list of 1 to 200 of them.")
    if len(set(given.tolist())) < len(given):
        raise AnalysisError(f"{name} {channels!r} names a channel twice; name each once.")
    return given.tolist()


def _checked(times_ps: ArrayLike, channels: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    times, numbers = np.asarray(times_ps), np.asarray(channels)
    if times.ndim != 1 or times.shape != numbers.shape:
        raise AnalysisError(
            f"times_ps has shape {times.shape} and channels {numbers.shape}; give two 1-D arrays of the same length."
        )
    if times.size and not (times.dtype.kind in "iu" and np.can_cast(times.dtype, np.int64)):
        raise AnalysisError(
            f"times_ps is {times.dtype}; give whole picoseconds as int64 (of floats: times.round().astype('int64')). "
            "Floats may hold NaN, and beyond 2**53 ps they lose picoseconds."
        )
    if numbers.size and numbers.dtype.kind not in "iu":
        raise AnalysisError(f"channels is {numbers.dtype}; give channel numbers as integers, for example int8.")
    return times, numbers


class TagStream:
    """Cuts the chunks of one time-ordered stream into blocks for the kernels.

    Args:
        channels: Numbers of the channels that matter.
        engine: Which kernels.

    Attributes:
        kernels: The module with the kernels.
        wanted: The byte that stands for each of the channels.
    """

    def __init__(self, channels: Sequence[int], engine: Engine):
        self.kernels = kernels_of("photon", engine)
        self._channels = list(channels)
        self._fits = min(channels) >= -128 and max(channels) <= 127
        codes = np.array(channels, np.int8) if self._fits else np.arange(1, len(channels) + 1)
        self.wanted: Bytes = codes.astype(np.uint8)
        self._other = min(set(range(256)) - set(self.wanted.tolist()))
        self._first_ps: int | None = None
        self._latest_ps: int | None = None
        self._begin = 0

    def blocks(
        self, times_ps: ArrayLike, channels: ArrayLike, *, check_order: bool = True
    ) -> Iterator[tuple[Integers, Bytes, NDArray[Any]]]:
        """Times, a byte per tag for its channel, and the channel numbers as they came, block by block.

        Args:
            times_ps: Chunk, (n,).
            channels: Its channels, (n,).
            check_order: False: the kernel finds times that decrease within a block (then call `refuse_disorder`).

        Raises:
            AnalysisError: Wrong types or shapes, or times that decrease, also from the chunk before.
        """
        times, numbers = _checked(times_ps, channels)
        for begin in range(0, len(times), self.kernels.BLOCK):
            part, self._begin = slice(begin, begin + self.kernels.BLOCK), begin
            block = np.ascontiguousarray(times[part], np.int64)
            self._check_ends(int(block[0]), int(block[-1]))
            if check_order and not self.kernels.in_order(block):
                self.refuse_disorder(block)
            yield block, self._bytes(numbers[part]), numbers[part]

    def clear(self) -> None:
        """Begin a new stream."""
        self._first_ps = self._latest_ps = None

    def _check_ends(self, first_ps: int, last_ps: int) -> None:
        if self._first_ps is None or self._latest_ps is None:
            self._first_ps = self._latest_ps = first_ps
        if first_ps < self._latest_ps:
            self._refuse(first_ps, 0, self._latest_ps)
        if first_ps <= -_MAX_SPAN_PS or last_ps - self._first_ps >= _MAX_SPAN_PS:
            raise AnalysisError(
                f"times_ps goes from {self._first_ps} to {last_ps} ps, more than 53 days; check that its unit is ps."
            )
        self._latest_ps = last_ps

    def refuse_disorder(self, block: Integers) -> None:
        """Say where the times of the present block decrease."""
        index = int(np.flatnonzero(block[1:] < block[:-1])[0]) + 1
        self._refuse(int(block[index]), index, int(block[index - 1]))

    def _refuse(self, time_ps: int, index: int, before_ps: int) -> None:
        raise AnalysisError(
            f"times_ps is not in time order: {time_ps} ps at index {self._begin + index} comes after {before_ps} ps. "
            "Sort the tags by time and feed the chunks in the order of the recording, into a new accumulator."
        )

    def _bytes(self, numbers: NDArray[Any]) -> Bytes:
        is_raw = numbers.dtype == np.int8 or (numbers.dtype == np.uint8 and min(self._channels) >= 0)
        if self._fits and is_raw:
            return np.ascontiguousarray(numbers).view(np.uint8)
        codes = np.full(len(numbers), self._other, np.uint8)
        for byte, channel in zip(self.wanted, self._channels, strict=True):
            codes[numbers == channel] = byte
        return codes
