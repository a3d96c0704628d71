"""The vendor's file writer, as far as its format is known.

The content of a real `.ttbin` is the vendor's secret; this one holds the 16-byte tag records of the binding
(`facts/swabian.md` section 4) one behind the other, so that tests can tell what went in. The vendor's reader
does not open it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cryopl_bluesky.sim.timetagger import arguments
from cryopl_bluesky.sim.timetagger.blocks import Block
from cryopl_bluesky.sim.timetagger.iterators import IteratorBase, check_tagger

RECORD = np.dtype(
    {"names": ["type", "missed_events", "channel", "time"], "formats": ["u1", "<u2", "<i4", "<i8"],
     "offsets": [0, 2, 4, 8], "itemsize": 16}
)
_DEFAULT_MAX_BYTES = 1_000_000_000


class FileWriter(IteratorBase):
    """Writes the tags of some channels to a file, from construction on (or with its group)."""

    def __init__(self, tagger: Any, filename: str, channels: Any):
        if not isinstance(filename, str):
            raise TypeError("in method 'new_FileWriter', argument 2 of type 'std::string const &'")
        numbers = arguments.integers(channels, "new_FileWriter", 3)
        valid = check_tagger(tagger, "FileWriter")
        path = Path(filename)
        self._path = path if path.suffix == ".ttbin" else path.with_name(f"{path.name}.ttbin")
        self._marker, self._max_bytes = "", _DEFAULT_MAX_BYTES
        try:
            self._path.write_bytes(b"")
        except OSError as error:
            raise RuntimeError(f"FileWriter could not open file '{self._path}'.") from error
        self._attach(valid, numbers)

    def _clear(self) -> None:
        self._events = 0

    def _process(self, block: Block) -> None:
        own = np.isin(block.channels, self._channels)
        records = np.zeros(int(own.sum()), RECORD)
        records["time"], records["channel"] = block.times[own], block.channels[own]
        with self._path.open("ab") as file:
            file.write(records.tobytes())
        self._events += len(records)

    def split(self, new_filename: str = "") -> None:
        """Go on in another file."""
        with self._latest():
            number = 1
            while (path := self._path.with_name(f"{self._path.stem}.{number}.ttbin")).exists():
                number += 1
            self._path = Path(new_filename) if new_filename else path

    def setMaxFileSize(self, max_file_size: int) -> None:
        """Size at which the vendor's writer begins another file; ours does not."""
        self._max_bytes = arguments.integer(max_file_size, "FileWriter_setMaxFileSize", 2, "uint64_t")

    def getMaxFileSize(self) -> int:
        """Size at which another file begins."""
        return self._max_bytes

    def setMarker(self, marker: str) -> None:
        """Remember a text."""
        self._marker = marker

    def getTotalEvents(self) -> int:
        """Tags written."""
        with self._latest():
            return self._events

    def getTotalSize(self) -> int:
        """Bytes written."""
        return RECORD.itemsize * self.getTotalEvents()
