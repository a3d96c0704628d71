"""The time tags of a run, read in pieces: from the file when it is on this computer, else through Tiled.

>>> with open_tags(run) as tags:                                     # doctest: +SKIP
...     for times_ps, channels in tags.chunks(acquisition=0):
...         correlation.add(times_ps, channels)
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from cryopl_bluesky.devices.tag_file import ACQUISITIONS, CHANNEL_SETTINGS, CHANNELS, FORMAT, LOSSES, TIMES
from cryopl_bluesky.devices.tag_stream import TagStream
from cryopl_bluesky.drivers.tag_tap import Loss
from cryopl_bluesky.drivers.tagger_setup import ChannelSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK_TAGS = 1_000_000
ROLES = ("spad1", "spad2", "sync")


class NoTagsError(LookupError):
    """The run has no time tags, or its file is not where it was."""


@dataclass(frozen=True)
class TagAcquisition:
    """One acquisition within a run.

    Attributes:
        first_tag: index of its first tag.
        stop_tag: index of the one after its last.
        capture_s: true duration.
        overflows: how often the buffer overflowed.
    """

    first_tag: int
    stop_tag: int
    capture_s: float
    overflows: int


@dataclass(frozen=True)
class Tags:
    """Time tags of a run; a context manager.

    Attributes:
        channels: settings of the inputs by role: spad1, spad2 and sync.
        acquisitions: those that ended as they should, one for each event of the run.
        interrupted: (first, stop) indices of tags that belong to no event: the run was paused or ended there.
        losses: stretches in which tags were lost, as far as the file is at hand.
        number: of all tags.
    """

    channels: Mapping[str, ChannelSettings]
    acquisitions: tuple[TagAcquisition, ...]
    interrupted: tuple[tuple[int, int], ...]
    losses: tuple[Loss, ...]
    number: int

    @abstractmethod
    def read(self, first: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
        """Tags by index.

        Args:
            first: index of the first one.
            stop: index of the one after the last.

        Returns:
            Times in ps (n,), and channel numbers (n,).
        """

    def close(self) -> None:
        """Release the file."""

    def chunks(
        self, acquisition: int | None = None, size: int = CHUNK_TAGS
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int8]]]:
        """All tags, piece by piece; memory is that of one piece.

        Args:
            acquisition: number of the acquisition, from 0; None = all tags of the run.
            size: tags per piece.

        Yields:
            Times in ps (n,), not decreasing within an acquisition, and channel numbers (n,).

        Raises:
            NoTagsError: there is no such acquisition.
        """
        first, stop = 0, self.number
        if acquisition is not None:
            try:
                part = self.acquisitions[acquisition]
            except IndexError:
                raise NoTagsError(
                    f"acquisition={acquisition} does not exist; there are {len(self.acquisitions)}, from 0"
                ) from None
            first, stop = part.first_tag, part.stop_tag
        for begin in range(first, stop, size):
            yield self.read(begin, min(begin + size, stop))

    def __enter__(self) -> Tags:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


@dataclass(frozen=True)
class _FileTags(Tags):
    """From an HDF5 file, complete, still growing, or left behind by a crash."""

    file: Any

    def read(self, first: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
        return self.file[TIMES][first:stop], self.file[CHANNELS][first:stop]

    def close(self) -> None:
        self.file.close()


@dataclass(frozen=True)
class _CatalogTags(Tags):
    """Through a Tiled client, for a catalog on another computer."""

    times: Any
    numbers: Any

    def read(self, first: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
        return np.asarray(self.times[first:stop]), np.asarray(self.numbers[first:stop])


def open_tags(source: Any) -> Tags:
    """Open the time tags of a run, or a tag file.

    Args:
        source: the run (from `find_run` or the client), or the path of a file.

    Raises:
        NoTagsError: the run has no time tags.
    """
    if isinstance(source, str | Path):
        return _open_file(Path(source))
    times, numbers = _nodes(source)
    path = _local_path(times)
    return _open_catalog(source, times, numbers) if path is None else _open_file(path)


def _nodes(run: Any) -> tuple[Any, Any]:
    try:
        parts = dict(run.base[TagStream.stream].base.items())
        (times,) = (part for key, part in parts.items() if key.endswith("_tag_time_ps"))
        (numbers,) = (part for key, part in parts.items() if key.endswith("_tag_channel"))
    except (KeyError, ValueError):
        uid = run.metadata["start"]["uid"]
        raise NoTagsError(
            f"run {uid[:8]} has no time tags; they are stored with store_tags=True (the default of g2)"
        ) from None
    return times, numbers


def _local_path(node: Any) -> Path | None:
    """The file behind an array of the catalog, if this computer has it."""
    (source,) = node.data_sources()
    uri = urlsplit(source.assets[0].data_uri)
    # Written as it stands, not percent-encoded (see `LinkedDataset`); on Windows /C:/... loses its slash.
    path = Path(uri.path[1:] if uri.path[2:3] == ":" else uri.path)
    return path if path.is_file() else None


def _open_file(path: Path) -> Tags:
    import h5py
    import hdf5plugin  # noqa: F401 - brings the decompressor

    try:
        file: Any = h5py.File(path, "r", libver="latest", swmr=True)
    except OSError as error:
        raise NoTagsError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if file.attrs.get("format") != FORMAT:
        file.close()
        raise NoTagsError(f"{path} is not a file of time tags (format {FORMAT!r} expected)")
    number = min(len(file[TIMES]), len(file[CHANNELS]))  # a crash may have hit between the two
    acquisitions = [
        TagAcquisition(int(row["first_tag"]), int(row["stop_tag"]), int(row["capture_ps"]) / 1e12,
                       int(row["overflows"]))
        for row in file[ACQUISITIONS][:]
    ]
    channels = {role: ChannelSettings(**{name: value.item() for name, value in group.attrs.items()})
                for role, group in file[CHANNEL_SETTINGS].items()}
    return _FileTags(channels, tuple(acquisitions), _gaps(acquisitions, number), _losses(file[LOSSES][:]), number, file)


def _gaps(acquisitions: list[TagAcquisition], number: int) -> tuple[tuple[int, int], ...]:
    """Ranges of tags between and behind the acquisitions."""
    ends = [0, *(part.stop_tag for part in acquisitions)]
    begins = [*(part.first_tag for part in acquisitions), number]
    return tuple((end, begin) for end, begin in zip(ends, begins, strict=True) if end < begin)


def _losses(rows: NDArray[np.void]) -> tuple[Loss, ...]:
    by_range: dict[tuple[int, int], dict[int, int]] = {}
    for row in rows:
        missed = by_range.setdefault((int(row["begin_ps"]), int(row["end_ps"])), {})
        if row["missed"]:
            missed[int(row["channel"])] = int(row["missed"])
    return tuple(Loss(begin_ps, end_ps, missed) for (begin_ps, end_ps), missed in by_range.items())


def _open_catalog(run: Any, times: Any, numbers: Any) -> Tags:
    from cryopl_bluesky.catalog.load import load_measurement

    number = min(times.shape[0], numbers.shape[0])
    events = load_measurement(run)
    device = times.item["id"].removesuffix("_tag_time_ps")
    channels = {
        role: ChannelSettings(
            *(events.config[f"{device}_{role}_{name}"]
              for name in ("channel", "trigger_level_V", "dead_time_ps", "delay_ps"))
        )
        for role in ROLES
    }
    columns = ("first_tag", "stop_tag", "capture_duration_s", "overflows")
    rows = zip(*(events.data[f"{device}_{name}"].tolist() for name in columns), strict=True) if events.data else ()
    acquisitions = [TagAcquisition(*row) for row in rows]
    return _CatalogTags(channels, tuple(acquisitions), _gaps(acquisitions, number), (), number, times, numbers)
