"""How `TiledWriter` registers time tags: as plain HDF5, without a note in memory for each of millions of rows.

Import it only where `bluesky_tiled_plugins` is needed anyway.
"""

from __future__ import annotations

from typing import Any

from bluesky_tiled_plugins.writing.consolidators import CONSOLIDATOR_REGISTRY, HDF5Consolidator, Patch

from cryopl_bluesky.devices.linked_dataset import HDF5
from cryopl_bluesky.devices.tag_stream import MIMETYPE


class TagConsolidator(HDF5Consolidator):
    """One dataset of a tag file; the catalog stores it as `application/x-hdf5`, which any Tiled server reads.

    The class it comes from keeps a dictionary from sequence number to row, about 100 bytes for each tag.
    """

    supported_mimetypes = {MIMETYPE}

    @classmethod
    def get_supported_mimetype(cls, sres: Any) -> str:
        """The type under which the catalog finds its reader."""
        super().get_supported_mimetype(sres)
        return HDF5

    @property
    def has_skips(self) -> bool:
        """Rows are numbered without gaps."""
        return False

    def consume_stream_datum(self, doc: Any) -> Patch:
        """Note how far the dataset is filled."""
        begin = self._num_rows
        self._num_rows = doc["indices"]["stop"]
        return Patch(offset=(begin,), shape=(self._num_rows - begin,))


CONSOLIDATOR_REGISTRY[MIMETYPE] = TagConsolidator
