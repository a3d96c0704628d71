"""How Tiled opens a data folder: for the server of its owner, and for reading only; and its databases."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryopl_bluesky.catalog.folder import DataFolder

ROOT_SPECS = [{"name": "CatalogOfBlueskyRuns", "version": "3.0"}]


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

    asyncio.run(initialize())
    temporary.replace(path)
