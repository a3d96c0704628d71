"""The journal: every document is on the local disk before anything else sees it.

One file a run, `<uid>.jsonl`, one line a document. While a run is being written, its process holds
`<uid>.lock`; the operating system drops that lock when the process dies, and this is how `recovery` tells a
running measurement from an interrupted one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import filelock

from cryopl_bluesky.catalog.documents import Document, decode, encode

#: Called after a document is on disk with (uid of its run, kind of document).
Listener = Callable[[str, str], None]


class JournalError(RuntimeError):
    """A journal is damaged, or a document belongs to no open run."""


@dataclass(frozen=True)
class JournalRun:
    """What a journal file holds.

    Args:
        documents: (name, document) in the order they were written.
        torn: the last line was cut off (the process died while writing it); it is not among `documents`.
    """

    documents: list[tuple[str, Document]]
    torn: bool

    @property
    def start(self) -> Document | None:
        """The start document, None in an empty journal."""
        return next((document for name, document in self.documents if name == "start"), None)

    @property
    def stop(self) -> Document | None:
        """The stop document, None when the run was not closed."""
        return next((document for name, document in self.documents if name == "stop"), None)


class Journal:
    """Document callback that writes each document to its run's file; subscribe it first of all.

    An error while writing (disk full) is raised into the plan on purpose: a measurement that cannot be kept
    must not go on. Several runs may be open at the same time.

    Args:
        directory: where the files go; created when missing.
        listener: told about each document after it is on disk, typically `Feeder.notify`.
        fsync_events: force every document to the disk's platters, not only start and stop. A killed process
            loses nothing either way; this is about power cuts, and costs milliseconds an event.
    """

    def __init__(
        self, directory: str | Path, listener: Listener | None = None, *, fsync_events: bool = False
    ):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._listener = listener
        self._fsync_events = fsync_events
        self._open: dict[str, _OpenRun] = {}
        self._run_of: dict[str, str] = {}

    @property
    def open_runs(self) -> frozenset[str]:
        """Uids of the runs that this journal is writing."""
        return frozenset(self._open)

    def path(self, uid: str) -> Path:
        """The file of a run."""
        return self.directory / f"{uid}.jsonl"

    def __call__(self, name: str, document: Mapping[str, Any]) -> None:
        """Write one document; return when it is on disk.

        Raises:
            JournalError: the document belongs to no open run.
            OSError: it could not be written.
        """
        uid = self._route(name, document)
        if name == "start":
            self._open[uid] = _OpenRun(self.path(uid))
        run = self._open.get(uid)
        if run is None:
            raise JournalError(f"journal: {name} document of run {uid!r}, which is not open")
        run.write(encode(name, document), fsync=self._fsync_events or name in ("start", "stop"))
        if name == "stop":
            self._forget(uid)
        if self._listener is not None:
            self._listener(uid, name)

    def close(self) -> None:
        """Let go of the files of runs that have no stop document; they count as interrupted from now on."""
        for uid in list(self._open):
            self._forget(uid)

    def _route(self, name: str, document: Mapping[str, Any]) -> str:
        """Uid of the run that a document belongs to."""
        if name == "start":
            return document["uid"]
        if name in ("descriptor", "resource", "stream_resource"):
            self._run_of[document["uid"]] = document["run_start"]
            return document["run_start"]
        if name == "stop":
            return document["run_start"]
        parent = document["resource"] if name in ("datum", "datum_page") else document["descriptor"]
        uid = self._run_of.get(parent)
        if uid is None:
            raise JournalError(f"journal: {name} document refers to {parent!r}, which was never announced")
        return uid

    def _forget(self, uid: str) -> None:
        self._open.pop(uid).close()
        self._run_of = {key: run for key, run in self._run_of.items() if run != uid}


class _OpenRun:
    """The file of a run that is being written, and the lock that says so."""

    def __init__(self, path: Path):
        self._lock = run_lock(path)
        self._lock.acquire(timeout=0)
        self._file = path.open("xb", buffering=0)

    def write(self, line: bytes, *, fsync: bool) -> None:
        begin = self._file.seek(0, os.SEEK_END)
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest):]
            if fsync:
                os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(begin)  # no half a line between whole ones
            raise

    def close(self) -> None:
        self._file.close()
        release(self._lock)


def run_lock(path: Path) -> filelock.FileLock:
    """The lock (not yet taken) that a process holds while it writes the journal at `path`."""
    return filelock.FileLock(path.with_suffix(".lock"), thread_local=False)


def release(lock: filelock.FileLock) -> None:
    """Release a run's lock and remove its file."""
    lock.release()
    with contextlib.suppress(PermissionError):  # Windows, while another process looks at it
        Path(lock.lock_file).unlink(missing_ok=True)


def is_live(path: Path) -> bool:
    """Whether some process, this one included, is writing the journal at `path`."""
    lock = run_lock(path)
    if not Path(lock.lock_file).exists():
        return False
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return True
    release(lock)
    return False


def read_journal(path: str | Path) -> JournalRun:
    """Read a journal file; also one that is being written or whose writer died.

    Args:
        path: the `.jsonl` file.

    Raises:
        JournalError: a line other than the last is damaged.
        FileNotFoundError: there is no such file.
    """
    documents: list[tuple[str, Document]] = []
    with Path(path).open("rb") as file:
        for name, document in iterate_lines(file, Path(path)):
            documents.append((name, document))
        torn = bool(file.read(1))
    return JournalRun(documents, torn)


def iterate_lines(file: BinaryIO, path: Path) -> Iterator[tuple[str, Document]]:
    """Documents from the file's position on; leaves the file behind the last whole line.

    Args:
        file: open journal, binary.
        path: its path, for the message.

    Raises:
        JournalError: a line that ends with a newline is not a document.
    """
    while True:
        begin = file.tell()
        line = file.readline()
        if not line.endswith(b"\n"):
            file.seek(begin)
            return
        try:
            yield decode(line)
        except ValueError as error:
            raise JournalError(f"journal {path.name}: damaged at byte {begin} ({error})") from error


def append_stop(path: str | Path, stop: Mapping[str, Any]) -> None:
    """Close the journal of an interrupted run with a stop document.

    A torn last line is moved to `<name>.torn` first, so that the stop document starts a line of its own.

    Args:
        path: the `.jsonl` file.
        stop: the stop document.
    """
    path = Path(path)
    with path.open("r+b") as file:
        for _ in iterate_lines(file, path):
            pass
        end = file.tell()
        if torn := file.read():
            path.with_suffix(".torn").write_bytes(torn)
        file.seek(end)
        file.truncate()
        file.write(encode("stop", stop))
        file.flush()
        os.fsync(file.fileno())
