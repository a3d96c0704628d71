"""Opening the catalog of a data folder: be its owner, attach to the owner, or read the files.

Exactly one process owns a folder and serves it (`server.CatalogServer`); the lock of the operating system
says who, and goes when that process dies. Other sessions talk to it over loopback. A process that only reads
attaches as well, and reads the files itself when nobody serves them.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import filelock

from cryopl_bluesky.catalog.folder import DataFolder

if TYPE_CHECKING:
    from tiled.client.container import Container

    from cryopl_bluesky.catalog.server import CatalogServer

log = logging.getLogger(__name__)

Role = Literal["owner", "attached", "reader"]


class CatalogUnreachableError(ConnectionError):
    """The process that serves the catalog is gone, or does not answer."""


class CatalogMovedError(RuntimeError):
    """The data folder is not where its catalog was made."""


class NoCatalogError(FileNotFoundError):
    """There is no catalog in this folder yet."""


@dataclass(frozen=True)
class _Address:
    """Where the owner serves, from `server.json`."""

    url: str
    api_key: str
    pid: int


class Catalog:
    """An open catalog; made by `open_catalog` or `read_catalog`.

    Args:
        folder: the data folder.
        client: Tiled client of the root.
        role: `owner` serves the folder, `attached` talks to the owner, `reader` reads the files itself.
        address: of the server; None for a reader.
        server: the server of the owner.
        lock: the owner lock.
    """

    def __init__(
        self, folder: DataFolder, client: Container, role: Role, *, address: _Address | None = None,
        server: CatalogServer | None = None, lock: filelock.BaseFileLock | None = None,
    ):
        self.folder = folder
        self.role: Role = role
        self._client = client
        self._address = address
        self._server = server
        self._lock = lock
        self._closed = False
        self._guard = threading.RLock()
        atexit.register(self.close)

    @property
    def owner(self) -> bool:
        """Whether this process serves the folder."""
        return self.role == "owner"

    @property
    def client(self) -> Container:
        """Tiled client of the root, a `CatalogOfBlueskyRuns`.

        Raises:
            CatalogUnreachableError: the server is gone.
        """
        if self._closed:
            raise CatalogUnreachableError(f"the catalog of {self.folder.root} was closed here")
        if not self.alive():
            raise CatalogUnreachableError(
                f"the server of the catalog of {self.folder.root} is gone; "
                "call reattach() to open it again (nothing is lost)"
            )
        return self._client

    def alive(self) -> bool:
        """Whether the catalog answers."""
        if self._closed:
            return False
        if self._server is not None:
            return self._server.running
        if self._address is not None:
            return _answers(self._address)
        return True

    def connect(self) -> Container:
        """The client, after `reattach` if that was necessary; what the feeder uses."""
        with self._guard:
            return self._client if self.alive() else self.reattach()

    def reattach(self, timeout_s: float = 30.0) -> Container:
        """Open the folder again after its server went away: attach to the new owner's, or become the owner.

        Args:
            timeout_s: longest wait, real seconds.

        Returns:
            The new client; `client` gives the same from now on.
        """
        with self._guard:
            self._release()
            fresh = open_catalog(self.folder, timeout_s=timeout_s)
            atexit.unregister(fresh.close)
            self.role, self._client, self._address = fresh.role, fresh._client, fresh._address
            self._server, self._lock, self._closed = fresh._server, fresh._lock, False
            return self._client

    def close(self) -> None:
        """Stop serving if this process is the owner. Calling it again does nothing."""
        with self._guard:
            atexit.unregister(self.close)
            self._closed = True
            self._release()

    def _release(self) -> None:
        server, lock = self._server, self._lock
        self._server = self._lock = None
        if server is not None:
            self.folder.server_info.unlink(missing_ok=True)
            server.close()
        if lock is not None:
            lock.release()

    def __enter__(self) -> Catalog:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def open_catalog(data_dir: str | Path | DataFolder, *, timeout_s: float = 60.0) -> Catalog:
    """Open the catalog of a data folder for writing; creates it when there is none.

    Becoming the owner takes 4 to 5 s (importing Tiled's server), attaching about 2 s.

    Args:
        data_dir: the data folder.
        timeout_s: longest wait for an owner that starts or ends just now, real seconds.

    Raises:
        CatalogUnreachableError: another process holds the folder and does not answer.
        CatalogServerError: the server did not start.
        CatalogMovedError: the folder was moved or copied after its catalog was made.
    """
    folder = DataFolder.at(data_dir).create()
    check_place(folder)
    lock = filelock.FileLock(folder.owner_lock, thread_local=False)
    end = time.monotonic() + timeout_s
    pause = threading.Event()
    while True:
        with contextlib.suppress(filelock.Timeout):
            lock.acquire(timeout=0)
            return _own(folder, lock)
        address = _read_address(folder)
        if address is not None and _answers(address):
            return Catalog(folder, _client_of(address), "attached", address=address)
        if time.monotonic() > end:
            raise CatalogUnreachableError(
                f"another process (pid {address.pid if address else 'unknown'}) holds the catalog of "
                f"{folder.root} and does not answer since {timeout_s:g} s; end that process, then try again"
            )
        pause.wait(0.1)


def read_catalog(data_dir: str | Path | DataFolder) -> Catalog:
    """Open the catalog for reading only, with or without a session running; never becomes the owner.

    Args:
        data_dir: the data folder.

    Raises:
        NoCatalogError: nothing was measured in this folder yet.
        CatalogMovedError: the folder was moved or copied after its catalog was made.
    """
    folder = DataFolder.at(data_dir)
    address = _read_address(folder)
    if address is not None and _answers(address):
        return Catalog(folder, _client_of(address), "attached", address=address)
    if not folder.catalog_database.exists():
        raise NoCatalogError(f"no catalog in {folder.root}; is --data right? (a session or a demo makes one)")
    check_place(folder)
    return Catalog(folder, _client_of_files(folder), "reader")


def check_place(folder: DataFolder) -> None:
    """Refuse a folder that was moved or copied: the links in its catalog lead to where it was.

    Raises:
        CatalogMovedError: names both places.
    """
    if not folder.place.exists():
        return
    made_at = Path(folder.place.read_text(encoding="utf-8"))
    if made_at != folder.root and not (made_at.exists() and made_at.samefile(folder.root)):
        raise CatalogMovedError(
            f"the catalog in {folder.root} was made when the folder was {made_at}, and the links in it lead there. "
            "Move the folder back, or make a link of the old name to it. The files themselves can be read anywhere"
        )


def _own(folder: DataFolder, lock: filelock.BaseFileLock) -> Catalog:
    """Serve the folder; the lock is held already."""
    from cryopl_bluesky.catalog.server import CatalogServer

    with contextlib.ExitStack() as undo:
        undo.callback(lock.release)
        if not folder.place.exists():
            folder.place.write_text(str(folder.root), encoding="utf-8")
        server = CatalogServer(folder)
        undo.callback(server.close)
        address = _Address(server.url, server.api_key, os.getpid())
        client = _client_of(address)
        _write_address(folder, address)
        undo.pop_all()
    return Catalog(folder, client, "owner", address=address, server=server, lock=lock)


def _client_of(address: _Address) -> Container:
    from tiled.client import from_uri

    _shorten_retries()
    # trust_env: a proxy of the network must not get to see requests to this computer.
    return from_uri(address.url, api_key=address.api_key, trust_env=False)


def _client_of_files(folder: DataFolder) -> Container:
    from tiled.client import from_context
    from tiled.client.context import Context
    from tiled.server.app import build_app_from_config

    from cryopl_bluesky.catalog.tiled_config import read_only_config

    return from_context(Context.from_app(build_app_from_config(read_only_config(folder))))


def _shorten_retries() -> None:
    """Tiled repeats a failed request for 45 s, right for a distant server; ours is in this computer."""
    import tiled.client.utils as utils

    if "TILED_RETRY_TIMEOUT" not in os.environ:
        utils.TILED_RETRY_TIMEOUT = 5.0


def _answers(address: _Address) -> bool:
    import httpx

    headers = {"Authorization": f"Apikey {address.api_key}"}
    try:
        response = httpx.get(f"{address.url}/metadata/", headers=headers, timeout=5.0, trust_env=False)
    except httpx.HTTPError:
        return False
    return response.status_code == 200


def _read_address(folder: DataFolder) -> _Address | None:
    """The owner's address; None when there is no owner, or it has not written it yet."""
    try:
        return _Address(**json.loads(folder.server_info.read_text(encoding="utf-8")))
    except (FileNotFoundError, PermissionError, ValueError, TypeError):
        return None


def _write_address(folder: DataFolder, address: _Address) -> None:
    """Write `server.json` so that only this user can read the key (Windows: as the folder's rights say)."""
    temporary = folder.server_info.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump({"url": address.url, "api_key": address.api_key, "pid": address.pid}, file)
    temporary.replace(folder.server_info)
