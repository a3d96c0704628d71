"""Camera frames to one HDF5 file, so that an acknowledged frame survives whatever happens next.

Two threads compress (bit shuffle + LZ4 in a Blosc2 frame), one writes the compressed chunks in order and
flushes after each. The file is in SWMR mode: other processes read it while it grows, and after a crash it
opens with `h5py.File(path, swmr=True)` (`import hdf5plugin` first: it brings the decompressor). Acknowledged
means flushed to the operating system: such a frame survives the end of this process, not a loss of power.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryopl_bluesky.devices.disk_space import RESERVE_BYTES, check_room
from cryopl_bluesky.devices.frame_compression import LZ4_LEVEL, FrameCompressor
from cryopl_bluesky.drivers.errors import InstrumentError

log = logging.getLogger(__name__)

DATASET = "/entry/data/data"
"""Where the frames are: (n, H, W) little-endian uint16, one frame a chunk."""

_QUEUED_FRAMES = 16
_COMPRESSORS = 2
_COLUMN_CHUNK = 512

Frame = npt.NDArray[np.uint16]
_Job = tuple["Future[bytes]", dict[str, float], "Future[int]"]


class FrameWriter:
    """Writes frames of one shape to a new file; never drops one.

    Args:
        path: file to create; its folder is made.
        shape: (H, W) of every frame.
        instrument: device name, for messages and the file's own description.
        settings: what the frames were taken with; stored as attributes of `/entry/instrument/<instrument>`.
        columns: numbers that come with each frame, as name: unit; stored as `/entry/data/<name>`, (n,) <f8.
        reserve_bytes: free space that must remain on the disk; a frame that would use it is refused, because
            a full disk leaves HDF5 unable to close the file.

    Raises:
        InstrumentError: the file cannot be made.
    """

    def __init__(
        self, path: Path, shape: tuple[int, int], *, instrument: str, settings: Mapping[str, Any],
        columns: Mapping[str, str], reserve_bytes: int = RESERVE_BYTES,
    ):
        self.path, self.shape = path, shape
        self._instrument, self._reserve_bytes = instrument, reserve_bytes
        self._failure: InstrumentError | None = None
        self._written = 0
        self._closed = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = _create(path, shape, instrument, settings, columns)
        except OSError as error:
            raise self._explain(error) from error
        self._frames = self._file[DATASET]
        self._columns = {name: self._file[f"/entry/data/{name}"] for name in columns}
        self._compress = FrameCompressor(shape)
        self._slots = threading.BoundedSemaphore(_QUEUED_FRAMES)
        self._order = threading.Lock()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._compressors = ThreadPoolExecutor(_COMPRESSORS, thread_name_prefix=f"{instrument}-compress")
        self._thread = threading.Thread(target=self._write_all, name=f"{instrument}-write", daemon=True)
        self._thread.start()

    @property
    def written(self) -> int:
        """Frames that are in the file and flushed."""
        return self._written

    def put(self, frame: Frame, values: Mapping[str, float], timeout_s: float = 30.0) -> Future[int]:
        """Hand a frame over; it must not be changed afterwards.

        Waits while 16 frames are under way (the disk is slower than the camera).

        Args:
            frame: (H, W) uint16.
            values: one number for each column.
            timeout_s: real seconds to wait for room.

        Returns:
            Its index in the file, done once the frame is written and flushed; or the error.

        Raises:
            InstrumentError: no room within `timeout_s`, or writing has failed before.
            ValueError: another shape or type than the file has.
        """
        if frame.shape != self.shape or frame.dtype != np.uint16:
            raise ValueError(f"{self.path.name} holds {self.shape} uint16 frames, "
                             f"not {frame.shape} {frame.dtype}")
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise InstrumentError(self._instrument, f"{self.path} is closed", "open a new file")
        if not self._slots.acquire(timeout=timeout_s):
            raise InstrumentError(
                self._instrument, f"the disk of {self.path} took no frame for {timeout_s:g} s, "
                f"{_QUEUED_FRAMES} are waiting", "check the disk, or store the data on a faster one")
        done: Future[int] = Future()
        with self._order:
            packed = self._compressors.submit(self._compress, np.ascontiguousarray(frame))
            self._jobs.put((packed, {name: float(values[name]) for name in self._columns}, done))
        return done

    def close(self, timeout_s: float = 60.0) -> int:
        """Write what is under way and close the file; closing twice is fine.

        Args:
            timeout_s: real seconds for the frames under way.

        Returns:
            Number of frames in the file.

        Raises:
            InstrumentError: not done in time, or the file cannot be closed; acknowledged frames are readable.
        """
        if self._closed:
            return self._written
        self._closed = True
        self._jobs.put(None)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise InstrumentError(self._instrument, f"{self.path} is not written after {timeout_s:g} s",
                                  "check the disk; frames already acknowledged are safe")
        self._compressors.shutdown()
        try:
            self._file.close()
        except (OSError, RuntimeError) as error:
            if self._failure is None:
                raise self._explain(error) from error
            log.error("%s did not close cleanly, after an error that was reported: %s", self.path, error)
        return self._written

    def _write_all(self) -> None:
        while (job := self._jobs.get()) is not None:
            packed, values, done = job
            try:
                self._write(packed.result(), values)
            except Exception as error:  # noqa: BLE001 - whatever failed, the owner of the frame must hear of it
                self._failure = self._failure or self._explain(error)
                done.set_exception(self._failure)
            else:
                self._written += 1
                done.set_result(self._written - 1)
            finally:
                self._slots.release()

    def _write(self, packed: bytes, values: dict[str, float]) -> None:
        if self._failure is not None:
            raise self._failure
        check_room(self.path.parent, len(packed), self._reserve_bytes)
        index = self._written
        for name, column in self._columns.items():
            column.resize(index + 1, axis=0)
            column[index] = values[name]
        self._frames.resize(index + 1, axis=0)
        self._frames.id.write_direct_chunk((index, 0, 0), packed)
        self._file.flush()

    def _explain(self, error: Exception) -> InstrumentError:
        if isinstance(error, InstrumentError):
            return error
        reason = " ".join(str(error).split())  # HDF5 reports over several lines
        return InstrumentError(
            self._instrument, f"cannot write frame {self._written} to {self.path}: {reason}",
            f"make room on or check the disk of {self.path.anchor}; the {self._written} before it are safe")


def _create(
    path: Path, shape: tuple[int, int], instrument: str, settings: Mapping[str, Any],
    columns: Mapping[str, str],
) -> Any:
    """A new file in SWMR mode, with everything but frames in it (nothing can be added in that mode)."""
    import h5py
    import hdf5plugin

    # Format of HDF5 1.10, the first with SWMR: what is "latest" today, older viewers cannot open.
    file = h5py.File(path, "x", libver=("v110", "v110"))
    entry = file.create_group("entry")
    entry.attrs.update({"NX_class": "NXentry", "default": "data"})
    detector = entry.create_group(f"instrument/{instrument}")
    entry["instrument"].attrs["NX_class"] = "NXinstrument"
    detector.attrs.update({"NX_class": "NXdetector", **settings})
    data = entry.create_group("data")
    data.attrs.update({"NX_class": "NXdata", "signal": "data", "axes": [".", ".", "."]})
    blosc2_lz4 = hdf5plugin.Blosc2(cname="lz4", clevel=LZ4_LEVEL, filters=hdf5plugin.Blosc2.BITSHUFFLE)
    frames = data.create_dataset("data", shape=(0, *shape), maxshape=(None, *shape), chunks=(1, *shape),
                                 dtype="<u2", **blosc2_lz4)
    frames.attrs.update({"units": "adu", "long_name": f"frames of {instrument}", "interpretation": "image"})
    for name, unit in columns.items():
        column = data.create_dataset(name, shape=(0,), maxshape=(None,), chunks=(_COLUMN_CHUNK,), dtype="<f8")
        column.attrs["units"] = unit
    file.swmr_mode = True
    return file
