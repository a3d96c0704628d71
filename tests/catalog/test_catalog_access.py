"""Opening a folder: owner, attached, reader, by profile; and what keeps the key private."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys

import pytest
from catalog_rig import Rig, assert_whole, measure

from cryopl_bluesky.catalog.access import (
    CatalogMovedError,
    CatalogUnreachableError,
    NoCatalogError,
    open_catalog,
    read_catalog,
)
from cryopl_bluesky.catalog.profile import write_tiled_profile


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    rig = Rig(tmp_path_factory.mktemp("data folder 50% µ"))
    uid = measure(rig, 3)
    assert rig.feeder.wait_until_delivered(20)
    rig.uid = uid
    yield rig
    rig.close()


def test_one_owner_all_others_attach(rig):
    assert rig.catalog.owner
    with open_catalog(rig.folder) as second, read_catalog(rig.folder.root) as third:
        assert (second.role, third.role) == ("attached", "attached")
        for catalog in (second, third):
            assert list(catalog.client) == [rig.uid]
            assert type(catalog.client).__name__ == "CatalogOfBlueskyRuns"
    assert rig.catalog.alive()


def test_the_key_is_readable_by_its_owner_only_and_needed(rig):
    import httpx

    if os.name == "posix":
        assert stat.S_IMODE(rig.folder.server_info.stat().st_mode) == 0o600
    info = json.loads(rig.folder.server_info.read_text())
    assert info["url"].startswith("http://127.0.0.1:")
    assert httpx.get(f"{info['url']}/metadata/", trust_env=False).status_code == 401


def test_both_databases_are_in_write_ahead_mode(rig):
    for path in (rig.folder.catalog_database, rig.folder.tables_database):
        database = sqlite3.connect(path)
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        database.close()


def test_a_stale_address_is_not_believed(tmp_path, rig):
    """The owner died: its address is there, its lock is not; a session becomes the owner, a reader reads."""
    info = json.loads(rig.folder.server_info.read_text())
    folder = tmp_path / "catalog"
    folder.mkdir()
    (folder / "server.json").write_text(json.dumps({**info, "api_key": "of another server"}))
    with pytest.raises(NoCatalogError, match="no catalog in"):
        read_catalog(tmp_path)
    with open_catalog(tmp_path) as catalog:
        assert catalog.owner and list(catalog.client) == []
    assert not (folder / "server.json").exists()


def test_a_folder_that_was_copied_says_so(tmp_path):
    """The links in a catalog are absolute; without a word, frames of the copy could not be read."""
    open_catalog(tmp_path / "here").close()
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    for opening in (open_catalog, read_catalog):
        with pytest.raises(CatalogMovedError, match=r"there was made when the folder was .*here"):
            opening(tmp_path / "there")
    (tmp_path / "link").symlink_to(tmp_path / "here", target_is_directory=True)
    with read_catalog(tmp_path / "link") as catalog:
        assert list(catalog.client) == []


def test_an_owner_that_does_not_answer_is_named(tmp_path):
    import filelock

    (tmp_path / "catalog").mkdir()
    with filelock.FileLock(tmp_path / "catalog" / "owner.lock"), \
            pytest.raises(CatalogUnreachableError, match="does not answer"):
        open_catalog(tmp_path, timeout_s=0.3)


_FROM_PROFILE = """
import sys
sys.path.insert(0, sys.argv[2])
import databroker
from tiled.client import from_profile
from catalog_rig import assert_whole
assert databroker.from_profile is from_profile
client = databroker.from_profile("cryopl")
assert_whole(client, sys.argv[1], 3)
broker = client.v1
table = broker[-1].table()
assert list(table["tagger_counts"]) == [2**40, 2**40 + 1, 2**40 + 2], table
assert [name for name, _ in client[sys.argv[1]].documents()][-1] == "stop"
try:
    client.create_container("x" * 36, metadata={})
except Exception as error:
    print("refused", type(error).__name__)
"""


@pytest.mark.slow
def test_databroker_opens_it_by_profile_with_and_without_a_session(rig, tmp_path):
    write_tiled_profile(rig.folder, directory=tmp_path / "profiles")
    environment = {**os.environ, "HOME": str(tmp_path), "USERPROFILE": str(tmp_path),
                   "TILED_PROFILES": str(tmp_path / "profiles")}
    here = os.path.dirname(__file__)  # noqa: PTH120 - a plain string for another process
    command = [sys.executable, "-c", _FROM_PROFILE, rig.uid, here]

    def opens() -> None:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("refused")

    opens()
    rig.close()
    opens()
    with read_catalog(rig.folder) as catalog:
        assert catalog.role == "reader"
        assert_whole(catalog.client, rig.uid, 3)


def test_importing_the_catalog_loads_nothing_heavy():
    modules = ["access", "delivery", "folder", "journal", "load", "metadata", "profile", "queries",
               "recovery", "server", "writer"]
    code = ";".join(f"import cryopl_bluesky.catalog.{name}" for name in modules)
    heavy = "('tiled', 'bluesky_tiled_plugins', 'pandas', 'xarray')"
    code += f";import sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
