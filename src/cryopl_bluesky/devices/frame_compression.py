"""Frames as HDF5's Blosc2 filter (number 32026) stores a chunk, made outside of HDF5 by several threads.

The filter expects a Blosc2 contiguous frame with one chunk in it. Blosc2's own assembly of that frame copies
and reallocates megabytes for each image, which costs almost as much as compressing [measured]. As frames of
one shape only differ in the chunk and in two lengths of the header, it is assembled once and then filled.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import numpy.typing as npt

log = logging.getLogger(__name__)

LZ4_LEVEL = 9
"""Level 9 only means larger blocks here: 3.7x instead of 3.5x smaller at the same speed [measured]."""

# Positions in the header of a contiguous frame, all big-endian (c-blosc2, README_CFRAME_FORMAT).
_HEADER_LENGTH_AT, _HEADER_LENGTH_BYTES = 11, 4
_FRAME_LENGTH_AT, _CHUNK_LENGTH_AT, _LENGTH_BYTES = 16, 39, 8


class FrameCompressor:
    """Compresses frames of one shape: bits shuffled (the upper ones are nearly constant), then LZ4. Lossless.

    Any thread may call it; the interpreter lock is released meanwhile.

    Args:
        shape: (H, W) of the frames.
    """

    def __init__(self, shape: tuple[int, int]):
        import blosc2

        blosc2.set_releasegil(True)
        self._options: dict[str, Any] = {
            "codec": blosc2.Codec.LZ4, "clevel": LZ4_LEVEL, "typesize": 2, "nthreads": 1,
            "filters": [blosc2.Filter.BITSHUFFLE], "filters_meta": [0],
            "splitmode": blosc2.SplitMode.ALWAYS_SPLIT,
        }
        self._storage: Any = {"contiguous": True, "cparams": self._options, "dparams": {"nthreads": 1}}
        example = np.arange(shape[0] * shape[1], dtype="<u2").reshape(shape)
        frame = self._assemble(example)
        chunk = blosc2.compress2(example, **self._options)
        header = int.from_bytes(frame[_HEADER_LENGTH_AT : _HEADER_LENGTH_AT + _HEADER_LENGTH_BYTES], "big")
        self._header, self._trailer = frame[:header], frame[header + len(chunk) :]
        self._known = self._fill(example) == frame
        if not self._known:
            log.warning("blosc2 %s writes an unknown frame format: frames are compressed right, but at twice "
                        "the cost", blosc2.__version__)

    def __call__(self, frame: npt.NDArray[np.uint16]) -> bytes:
        """One frame, (H, W) uint16 and contiguous, as a chunk for `write_direct_chunk`."""
        return self._fill(frame) if self._known else self._assemble(frame)

    def _assemble(self, frame: npt.NDArray[np.uint16]) -> bytes:
        """By Blosc2 itself."""
        import blosc2

        return blosc2.SChunk(chunksize=frame.nbytes, data=frame, **self._storage).to_cframe()

    def _fill(self, frame: npt.NDArray[np.uint16]) -> bytes:
        """The same bytes, by exchanging the chunk and the lengths."""
        import blosc2

        chunk: Any = blosc2.compress2(frame, **self._options)
        header = bytearray(self._header)
        length = len(header) + len(chunk) + len(self._trailer)
        for at, value in ((_FRAME_LENGTH_AT, length), (_CHUNK_LENGTH_AT, len(chunk))):
            header[at : at + _LENGTH_BYTES] = value.to_bytes(_LENGTH_BYTES, "big")
        return b"".join((header, chunk, self._trailer))
