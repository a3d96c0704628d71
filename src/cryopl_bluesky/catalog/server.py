"""The embedded Tiled server: a thread in the process that owns a data folder; needs no set-up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryopl_bluesky.catalog.folder import DataFolder

ROOT_SPECS = [{"name": "CatalogOfBlueskyRuns", "version": "3.0"}]


class CatalogServerError(RuntimeError):
    """The embedded server did not start."""


def tiled_config(folder: DataFolder, api_key: str) -> dict[str, Any]:
    """Configuration of the server that owns `folder`.

    Args:
        folder: the data folder; the databases exist already (`prepare_databases`).
        api_key: what clients have to present.
    """
    return {
        "authentication": {"single_user_api_key": api_key, "allow_anonymous_access": False},
        "trees": [{"path": "/", "tree": "catalog", "args": {
            "uri": f"sqlite:///{folder.catalog_database.as_posix()}",
            "writable_storage": [str(folder.arrays), _tables_uri(folder)],
            "readable_storage": [str(folder.frames), str(folder.tags)],
            "init_if_not_exists": False,
            "specs": ROOT_SPECS,
        }}],
        "streaming_cache": {"uri": "memory"},
        **_bluesky_extensions(),
    }


def read_only_config(folder: DataFolder) -> dict[str, Any]:
    """Configuration that opens the same files for reading inside another process, with or without an owner.

    SQLite opens the tree of runs with `mode=ro`, so nothing can be changed through it, and in WAL mode
    readers and the owner do not disturb each other.
    """
    return {
        "trees": [{"path": "/", "tree": "catalog", "args": {
            "uri": f"sqlite:///file:{quote(folder.catalog_database.as_posix(), safe='/:')}?mode=ro&uri=true",
            "readable_storage": [
                str(folder.arrays), str(folder.frames), str(folder.tags), _tables_uri(folder),
            ],
            "init_if_not_exists": False,
            "specs": ROOT_SPECS,
        }}],
        **_bluesky_extensions(),
    }


def _tables_uri(folder: DataFolder) -> str:
    return f"sqlite:///{folder.tables_database.as_posix()}"


def _bluesky_extensions() -> dict[str, Any]:
    """What makes `run.documents()` and `run.validate()` work."""
    exporter = "bluesky_tiled_plugins.exporters:json_seq_exporter"
    return {
        "media_types": {"BlueskyRun": {"application/json-seq": exporter}},
        "routers": ["bluesky_tiled_plugins.routers.validator:router"],
    }


def prepare_databases(folder: DataFolder) -> None:
    """Create both databases when they are missing, and set them to write-ahead logging.

    Tiled's own `init_if_not_exists` starts a second Python for this, which takes as long as the whole start.
    """
    folder.create()
    if not folder.catalog_database.exists():
        _initialize_catalog(folder.catalog_database)
    for path in (folder.catalog_database, folder.tables_database):
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA journal_mode=WAL")


def _initialize_catalog(path: Path) -> None:
    """What `tiled catalog init` does, in this process; the file gets its name only when it is whole."""
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from sqlalchemy.engine import Connection
    from sqlalchemy.ext.asyncio import create_async_engine
    from tiled.catalog.alembic_constants import ALEMBIC_DIR
    from tiled.catalog.core import REQUIRED_REVISION, initialize_database

    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)

    def stamp(connection: Connection) -> None:
        MigrationContext.configure(connection).stamp(ScriptDirectory(str(ALEMBIC_DIR)), REQUIRED_REVISION)

    async def initialize() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{temporary.as_posix()}")
        await initialize_database(engine)
        async with engine.begin() as connection:
            await connection.run_sync(stamp)
        await engine.dispose()

    # A thread of its own, because IPython's and the RunEngine's threads may have an event loop already.
    thread = _Outcome(lambda: asyncio.run(initialize()))
    thread.start()
    thread.join()
    if thread.error is not None:
        raise CatalogServerError(f"cannot create {path}: {thread.error}") from thread.error
    temporary.replace(path)


class _Outcome(threading.Thread):
    """A thread that keeps the error of its function."""

    def __init__(self, function: Any):
        super().__init__(daemon=True)
        self._function = function
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._function()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            self.error = error


class EmbeddedServer:
    """Tiled in a thread on loopback, on a port that is free and with a random key.

    Args:
        folder: the data folder; the caller holds its owner lock.
        timeout_s: longest wait for the server to answer, real seconds.

    Raises:
        CatalogServerError: it did not start; the message says why.
    """

    def __init__(self, folder: DataFolder, timeout_s: float = 60.0):
        import uvicorn
        from tiled.server.app import build_app_from_config

        logging.getLogger("tiled.server.app").setLevel(logging.WARNING)  # it greets on stderr
        self.api_key = secrets.token_hex(32)
        prepare_databases(folder)
        app = build_app_from_config(tiled_config(folder, self.api_key))
        self._server = uvicorn.Server(uvicorn.Config(
            app, host="127.0.0.1", port=0, loop="asyncio", timeout_graceful_shutdown=2,
            log_config=None, log_level="warning", access_log=False,
        ))
        self._thread = _Outcome(self._server.run)
        self._thread.name = "catalog-server"
        self._thread.start()
        self._wait_until_started(timeout_s)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/api/v1"

    @property
    def running(self) -> bool:
        """Whether the server's thread lives."""
        return self._thread.is_alive()

    def close(self, timeout_s: float = 10.0) -> None:
        """Stop serving and close the databases; waits up to `timeout_s` real seconds."""
        self._server.should_exit = True
        self._thread.join(timeout_s)

    def _wait_until_started(self, timeout_s: float) -> None:
        end = time.monotonic() + timeout_s
        while not self._server.started:
            self._thread.join(0.02)
            if not self._thread.is_alive():
                raise CatalogServerError(f"the embedded Tiled server ended at once: {self._thread.error!r}")
            if time.monotonic() > end:
                self._server.should_exit = True
                raise CatalogServerError(f"the embedded Tiled server did not start within {timeout_s:g} s")
