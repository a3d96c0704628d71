"""A dataset of an HDF5 file that a run links to: the documents that say where it is and how far it is filled."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from bluesky.protocols import StreamAsset

HDF5 = "application/x-hdf5"


def dated_path(folder: Path, instrument: str, unix_time_s: float, uid: str) -> Path:
    """Where a new file goes: `<folder>/YYYY/MM/DD/<instrument>_<first 8 of uid>.h5`, in local time."""
    day = datetime.fromtimestamp(unix_time_s).strftime("%Y/%m/%d")
    return folder / day / f"{instrument}_{uid[:8]}.h5"


class LinkedDataset:
    """The link from a run to one dataset that grows along its first axis.

    Args:
        path: the HDF5 file.
        dataset: path of the dataset in it.
        data_key: data key of the run's stream.
        chunk_shape: shape in which readers had better ask for it.
        mimetype: how the catalog reads it.
    """

    def __init__(
        self, path: Path, dataset: str, data_key: str, chunk_shape: Sequence[int], mimetype: str = HDF5
    ):
        self._uid = str(uuid.uuid4())
        self._linked = 0
        self._resource = {
            "uid": self._uid, "data_key": data_key, "mimetype": mimetype,
            # Not percent-encoded: Tiled takes the path of a URI as it stands.
            "uri": f"file://localhost/{path.absolute().as_posix().lstrip('/')}",
            "parameters": {"dataset": dataset, "chunk_shape": list(chunk_shape), "swmr": True},
        }

    def documents(self, stop: int) -> Iterator[StreamAsset]:
        """The documents for rows that were not linked yet: the file once, then a range of rows.

        Args:
            stop: number of rows that are on disk.

        Yields:
            (name, document) pairs; the RunEngine fills in run, descriptor and sequence numbers.
        """
        if stop <= self._linked:
            return
        if self._linked == 0:
            yield "stream_resource", {**self._resource}  # pyright: ignore[reportReturnType]
        yield "stream_datum", {
            "uid": f"{self._uid}/{self._linked}", "stream_resource": self._uid, "descriptor": "",
            "indices": {"start": self._linked, "stop": stop}, "seq_nums": {"start": 0, "stop": 0},
        }
        self._linked = stop
