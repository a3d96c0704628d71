"""The frames of one run: the file they go to, and the documents that link them to the run's events."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any

from bluesky.protocols import StreamAsset

from cryopl_bluesky.devices.exposing import Exposure
from cryopl_bluesky.devices.frames import DATASET, FrameWriter
from cryopl_bluesky.devices.linked_dataset import LinkedDataset, dated_path
from cryopl_bluesky.drivers.errors import InstrumentTimeoutError

_DISK_LIMIT_S = 30.0


class FrameStream:
    """One file per run, made when its first frame arrives (only then is the shape certain).

    Args:
        instrument: device name.
        data_key: data key of the frames in events.
        data_dir: folder of the session's data; files go to `frames/YYYY/MM/DD/` in it.
    """

    def __init__(self, instrument: str, data_key: str, data_dir: Path):
        self._instrument, self._data_key, self._data_dir = instrument, data_key, data_dir
        self._writer: FrameWriter | None = None
        self._link: LinkedDataset | None = None
        self._recorded = 0

    @property
    def has_file(self) -> bool:
        """Whether the run has frames, and so a file of a certain shape."""
        return self._writer is not None

    @property
    def recorded(self) -> int:
        """Number of frames of the run that are on disk."""
        return self._recorded

    def begin(self) -> None:
        """Forget the previous run."""
        self._link, self._recorded = None, 0

    def add(self, exposure: Exposure, settings: Callable[[], Mapping[str, Any]]) -> Callable[[], None]:
        """Hand a frame to the file.

        Args:
            exposure: the frame; its image must not be changed afterwards.
            settings: what the frames are taken with, asked for when the file is made.

        Returns:
            A function that returns when the frame is flushed to disk, and then counts it as recorded.

        Raises:
            InstrumentError: the disk is full, too slow or not there.
        """
        if self._writer is None:
            self._writer = self._open(exposure, settings())
        values = {"trigger_time_s": exposure.unix_time_s}
        if exposure.frame.timestamp_s is not None:
            values["camera_time_s"] = exposure.frame.timestamp_s
        acknowledged = self._writer.put(exposure.frame.image, values, _DISK_LIMIT_S)

        def wait() -> None:
            try:
                self._recorded = acknowledged.result(_DISK_LIMIT_S) + 1
            except FutureTimeoutError as error:
                raise InstrumentTimeoutError(
                    self._instrument, f"a frame was not on disk after {_DISK_LIMIT_S:g} s",
                    f"check the disk of {self._data_dir}") from error

        return wait

    def end(self) -> None:
        """Close the file; without one nothing happens."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def asset_docs(self, index: int | None = None) -> Iterator[StreamAsset]:
        """The documents for frames that were not linked yet: the file once, then a range of indices.

        Args:
            index: link frames below this only; None = all.

        Yields:
            (name, document) pairs; the RunEngine fills in run, descriptor and sequence numbers.
        """
        if self._link is not None:
            yield from self._link.documents(self._recorded if index is None else min(index, self._recorded))

    def _open(self, exposure: Exposure, settings: Mapping[str, Any]) -> FrameWriter:
        path = dated_path(
            self._data_dir / "frames", self._instrument, exposure.unix_time_s, str(uuid.uuid4())
        ).absolute()
        columns = {"trigger_time_s": "s"}
        if exposure.frame.timestamp_s is not None:
            columns["camera_time_s"] = "s"
        height, width = exposure.frame.image.shape
        writer = FrameWriter(path, (height, width), instrument=self._instrument, settings=settings,
                             columns=columns)
        self._link = LinkedDataset(path, DATASET, self._data_key, (1, height, width))
        return writer
