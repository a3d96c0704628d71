"""A Tiled profile, so that `databroker.from_profile("cryopl")` opens a data folder."""

from __future__ import annotations

from pathlib import Path

from cryopl_bluesky.catalog.folder import DataFolder
from cryopl_bluesky.catalog.tiled_config import read_only_config


def write_tiled_profile(
    data_dir: str | Path | DataFolder, *, name: str = "cryopl", directory: str | Path | None = None
) -> Path:
    """Make `tiled.client.from_profile(name)` and `databroker.from_profile(name)` open this data folder.

    The profile opens the files themselves, read-only, inside the process that asks. So it works while a
    session runs, after it ended, and after it died, and holds no key. (A Tiled profile cannot hold the key of
    a server, and the address of a session's server changes with each session.) A profile of the same name is
    replaced.

    Args:
        data_dir: the data folder.
        name: name of the profile.
        directory: where profiles are searched for; by default the user's own directory of Tiled
            (`TILED_PROFILES`, or the platform's configuration directory).

    Returns:
        The profile file.
    """
    import tiled.profiles
    import yaml

    folder = DataFolder.at(data_dir)
    path = Path(directory or tiled.profiles.paths[-1]) / f"{name}.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(yaml.safe_dump({name: {"direct": read_only_config(folder)}}), encoding="utf-8")
    temporary.replace(path)
    tiled.profiles.load_profiles.cache_clear()
    return path
