"""The time tags of one run: the file they go to, and the documents that link them to the run while it grows.

The tags are a stream of their own, `tags`, with one row a tag: an event of the primary stream says which rows are
its (`hbt_first_tag`, `hbt_stop_tag`). Plans collect it about once a second, so that what is on disk is in the
journal too, whatever happens next.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bluesky.protocols import StreamAsset

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.devices.linked_dataset import LinkedDataset, dated_path
from cryopl_bluesky.devices.tag_file import CHANNELS, TIMES, TagFile
from cryopl_bluesky.drivers.tag_tap import TagBlock
from cryopl_bluesky.drivers.tagger_setup import ChannelSettings

MIMETYPE = "application/x-hdf5;content=time-tags"
"""HDF5 with very many small rows; `catalog.tag_consolidator` registers it as plain HDF5."""
_READ_TAGS = 1 << 20


class TagStream:
    """One file per run, made when its first acquisition begins; for `declare_stream` and `collect`.

    Args:
        instrument: device name.
        data_dir: folder of the session's data; files go to `tags/YYYY/MM/DD/` in it.
        clock: time of the session, for the file's date.
    """

    stream = "tags"
    """Name of the stream in a run."""
    parent = None
    hints: dict[str, Any] = {}

    def __init__(self, instrument: str, data_dir: Path, clock: Clock):
        self.name = f"{instrument}_tags"
        self._instrument, self._folder, self._clock = instrument, data_dir / "tags", clock
        self._keys = {
            f"{instrument}_tag_time_ps": (TIMES, "<i8", "ps"), f"{instrument}_tag_channel": (CHANNELS, "|i1", ""),
        }
        self._file: TagFile | None = None
        self._links: list[LinkedDataset] = []

    def open(self, channels: Mapping[str, ChannelSettings], settings: Callable[[], Mapping[str, Any]]) -> Path:
        """An acquisition begins; the first one of a run makes the file.

        Args:
            channels: settings of the inputs by role.
            settings: further settings, asked for when the file is made.

        Returns:
            The file.

        Raises:
            InstrumentError: the file cannot be made.
        """
        if self._file is None:
            path = dated_path(self._folder, self._instrument, self._clock.time(), str(uuid.uuid4()))
            self._file = TagFile(path, channels=channels, settings=settings(), instrument=self._instrument)
            self._links = [LinkedDataset(path, dataset, key, (_READ_TAGS,), MIMETYPE)
                           for key, (dataset, _, _) in self._keys.items()]
        self._file.begin()
        return self._file.path

    def put(self, block: TagBlock) -> None:
        """Append tags; see `TagFile.put`."""
        assert self._file is not None
        self._file.put(block)

    def end_acquisition(self, *, begin_ps: int, capture_ps: int, overflows: int) -> tuple[int, int]:
        """The acquisition has ended; see `TagFile.end`."""
        assert self._file is not None
        return self._file.end(begin_ps=begin_ps, capture_ps=capture_ps, overflows=overflows)

    def flush(self) -> None:
        """Bring what has come to the disk."""
        if self._file is not None:
            self._file.flush()

    def ttbin_path(self) -> Path:
        """Where the vendor's own file of the acquisition that begins goes: beside ours, numbered."""
        assert self._file is not None
        return self._file.path.with_name(f"{self._file.path.stem}_{self._file.acquisitions}.ttbin")

    def begin_run(self) -> None:
        """Forget the previous run; its file is open still if nothing could unstage (a halted engine)."""
        self.close()
        self._links = []

    def close(self) -> None:
        """Complete the file of the run; without one nothing happens."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    # --- what the RunEngine asks for --------------------

    def describe_collect(self) -> dict[str, Any]:
        """The data keys of a row: its time and its channel, by reference to the file."""
        return {
            key: {"source": self._instrument, "dtype": "integer", "shape": [], "dtype_numpy": dtype,
                  "external": "STREAM:", "units": units, "object_name": self.name}
            for key, (_, dtype, units) in self._keys.items()
        }

    def get_index(self) -> int:
        """Number of tags of this run that are safe on disk."""
        return 0 if self._file is None else self._file.flushed

    def collect_asset_docs(self, index: int | None = None) -> Iterator[StreamAsset]:
        """The documents that link the tags that were flushed since the last call."""
        stop = self.get_index() if index is None else min(index, self.get_index())
        for link in self._links:
            yield from link.documents(stop)
