"""Photon time tags in an open HDF5 file, one file a run, readable while it grows and after a crash.

    /tags/time_ps      (n,) int64    device time of each tag, not decreasing within an acquisition
    /tags/channel      (n,) int8     its channel, negative for falling edges
    /acquisitions      (m,) table    first_tag, stop_tag, begin_ps, capture_ps, overflows; a row when one has ended
    /losses            (k,) table    begin_ps, end_ps, channel, missed: stretches with a full buffer
    /channels/<role>   attributes    channel, trigger_level_V, dead_time_ps, input_delay_ps of spad1, spad2 and sync

Chunks are small (16384 tags), because a chunk that is not full yet is written again at every flush. Bits are
shuffled and compressed with LZ4: 3.4 to 4.4 bytes a tag instead of 9. The file is in SWMR mode: after a crash it
opens with `h5py.File(path, swmr=True)` (`import hdf5plugin` first) and holds all tags up to the last flush.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cryopl_bluesky.devices.disk_space import RESERVE_BYTES, check_room
from cryopl_bluesky.drivers.errors import InstrumentError
from cryopl_bluesky.drivers.tag_tap import TagBlock
from cryopl_bluesky.drivers.tagger_setup import ChannelSettings

log = logging.getLogger(__name__)

TIMES, CHANNELS = "/tags/time_ps", "/tags/channel"
ACQUISITIONS, LOSSES, CHANNEL_SETTINGS = "/acquisitions", "/losses", "/channels"
FORMAT = "cryopl-bluesky time tags 1"
CHUNK_TAGS = 16_384
ACQUISITION_DTYPE = np.dtype(
    [("first_tag", "<i8"), ("stop_tag", "<i8"), ("begin_ps", "<i8"), ("capture_ps", "<i8"), ("overflows", "<i8")]
)
LOSS_DTYPE = np.dtype([("begin_ps", "<i8"), ("end_ps", "<i8"), ("channel", "<i4"), ("missed", "<i8")])

_BYTES_PER_TAG = 9


class TagFile:
    """Writes the tags of one run to a new file.

    Args:
        path: file to create; its folder is made.
        channels: settings of the inputs by role (spad1, spad2, sync).
        settings: further settings, stored as attributes of the file.
        instrument: device name, for messages.
        flush_s: real seconds after which tags that came are on disk at the latest.
        reserve_bytes: free space that must remain on the disk.

    Attributes:
        path: the file.
        acquisitions: how many have begun.

    Raises:
        InstrumentError: the file cannot be made.
    """

    def __init__(
        self, path: Path, *, channels: Mapping[str, ChannelSettings], settings: Mapping[str, Any], instrument: str,
        flush_s: float = 0.5, reserve_bytes: int = RESERVE_BYTES,
    ):
        self.path = path
        self._instrument, self._flush_s, self._reserve_bytes = instrument, flush_s, reserve_bytes
        self._tags = self._flushed = self._first = 0
        self.acquisitions = 0
        self._flushed_s = time.monotonic()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = _create(path, channels, settings)
        except OSError as error:
            raise self._explain(error) from error

    @property
    def tags(self) -> int:
        """Tags that were put into the file."""
        return self._tags

    @property
    def flushed(self) -> int:
        """Tags that survive the end of this process."""
        return self._flushed

    def begin(self) -> None:
        """An acquisition begins: its tags are those from here on."""
        self._first = self._tags
        self.acquisitions += 1

    def put(self, block: TagBlock) -> None:
        """Append tags and losses; on disk at the latest after `flush_s` of regular calls.

        Raises:
            InstrumentError: the disk is full or not there; the tags before are safe.
        """
        number = len(block.times_ps)
        try:
            check_room(self.path.parent, number * _BYTES_PER_TAG, self._reserve_bytes)
            if number:
                stop = self._tags + number
                for name, values in ((TIMES, block.times_ps), (CHANNELS, block.channels)):
                    dataset = self._file[name]
                    dataset.resize(stop, axis=0)
                    dataset[self._tags : stop] = values
                self._tags = stop
            for loss in block.losses:
                rows = [(loss.begin_ps, loss.end_ps, channel, missed) for channel, missed in loss.missed.items()]
                self._append(LOSSES, np.array(rows or [(loss.begin_ps, loss.end_ps, 0, 0)], LOSS_DTYPE))
            if time.monotonic() - self._flushed_s >= self._flush_s:
                self.flush()
        except (OSError, RuntimeError) as error:
            raise self._explain(error) from error

    def end(self, *, begin_ps: int, capture_ps: int, overflows: int) -> tuple[int, int]:
        """The acquisition has ended.

        Args:
            begin_ps: device time of its begin.
            capture_ps: its true duration.
            overflows: how often the buffer overflowed.

        Returns:
            Index of its first tag, and of the one after its last.
        """
        row = (self._first, self._tags, begin_ps, capture_ps, overflows)
        try:
            self._append(ACQUISITIONS, np.array([row], ACQUISITION_DTYPE))
            self.flush()
        except (OSError, RuntimeError) as error:
            raise self._explain(error) from error
        return self._first, self._tags

    def flush(self) -> None:
        """Hand everything to the operating system; readers see it, and it survives the end of this process.

        Raises:
            InstrumentError: the disk does not take it.
        """
        try:
            self._file.flush()
        except (OSError, RuntimeError) as error:
            raise self._explain(error) from error
        self._flushed, self._flushed_s = self._tags, time.monotonic()

    def close(self) -> None:
        """Complete the file."""
        try:
            self._file.close()
        except (OSError, RuntimeError) as error:
            raise self._explain(error) from error
        self._flushed = self._tags

    def _append(self, name: str, rows: np.ndarray) -> None:
        dataset = self._file[name]
        size = len(dataset)
        dataset.resize(size + len(rows), axis=0)
        dataset[size:] = rows

    def _explain(self, error: Exception) -> InstrumentError:
        if isinstance(error, InstrumentError):
            return error
        reason = " ".join(str(error).split())  # HDF5 reports over several lines
        return InstrumentError(
            self._instrument, f"cannot write time tags to {self.path}: {reason}",
            f"make room on or check the disk of {self.path.anchor}; the {self._flushed} tags before are safe")


def _create(path: Path, channels: Mapping[str, ChannelSettings], settings: Mapping[str, Any]) -> Any:
    """A new file in SWMR mode, with everything but tags in it (nothing can be added in that mode)."""
    import h5py
    import hdf5plugin

    # Format of HDF5 1.10, the first with SWMR: what is "latest" today, older viewers cannot open.
    file = h5py.File(path, "x", libver=("v110", "v110"))
    file.attrs.update({"format": FORMAT, "time_unit": "ps", **settings})
    for role, channel in channels.items():
        file.create_group(f"{CHANNEL_SETTINGS}/{role}").attrs.update(vars(channel))
    packed = hdf5plugin.Bitshuffle(cname="lz4")
    for name, dtype in ((TIMES, "<i8"), (CHANNELS, "i1")):
        file.create_dataset(name, shape=(0,), maxshape=(None,), chunks=(CHUNK_TAGS,), dtype=dtype, **packed)
    for name, dtype in ((ACQUISITIONS, ACQUISITION_DTYPE), (LOSSES, LOSS_DTYPE)):
        file.create_dataset(name, shape=(0,), maxshape=(None,), chunks=(256,), dtype=dtype)
    file.swmr_mode = True
    return file
