"""Where things lie in a data folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DataFolder:
    """The paths of one data folder; nothing is created until `create`.

    Args:
        root: the folder that the user names with `--data`.
    """

    root: Path

    @classmethod
    def at(cls, path: str | Path | DataFolder) -> DataFolder:
        """The data folder at `path`, with an absolute root."""
        return path if isinstance(path, DataFolder) else cls(Path(path).expanduser().resolve())

    @property
    def journal(self) -> Path:
        """Directory of the journals, one `<run uid>.jsonl` a run."""
        return self.root / "journal"

    @property
    def frames(self) -> Path:
        """Directory of the camera's files."""
        return self.root / "frames"

    @property
    def tags(self) -> Path:
        """Directory of photon time tags."""
        return self.root / "tags"

    @property
    def catalog(self) -> Path:
        """Directory of everything Tiled owns; can be rebuilt from journals, frames and tags."""
        return self.root / "catalog"

    @property
    def catalog_database(self) -> Path:
        """SQLite file with the tree of runs and their metadata."""
        return self.catalog / "catalog.db"

    @property
    def tables_database(self) -> Path:
        """SQLite file with the rows of the events."""
        return self.catalog / "tables.sqlite"

    @property
    def arrays(self) -> Path:
        """Directory of the arrays inside events (spectra, histograms)."""
        return self.catalog / "data"

    @property
    def server_info(self) -> Path:
        """File with address and key of the running server, readable by its owner only."""
        return self.catalog / "server.json"

    @property
    def server_log(self) -> Path:
        """What the server of the last session complained about; usually empty."""
        return self.catalog / "server.log"

    @property
    def owner_lock(self) -> Path:
        """Lock held by the one process that serves this folder."""
        return self.catalog / "owner.lock"

    @property
    def delivered(self) -> Path:
        """List of run uids that are complete in the catalog; lies beside it so that it goes with it."""
        return self.catalog / "delivered.txt"

    @property
    def place(self) -> Path:
        """Where the folder was when its catalog was made: the links in the catalog are absolute."""
        return self.catalog / "place.txt"

    @property
    def metadata(self) -> Path:
        """File behind `RE.md`."""
        return self.root / "metadata.json"

    @property
    def guard_reports(self) -> Path:
        """What the guard that outlives the session did, one JSON line each; see `supervision/guard_reports.py`."""
        return self.root / "guard.jsonl"

    @property
    def guard_log(self) -> Path:
        """What that guard said while it did so; usually empty."""
        return self.root / "guard.log"

    @property
    def guard_lock(self) -> Path:
        """Lock held while that guard has instruments open."""
        return self.root / "guard.lock"

    @property
    def bench(self) -> Path:
        """How the virtual lab was left, for the next process that opens it."""
        return self.root / "bench.json"

    def has_runs(self) -> bool:
        """Whether anything was measured here."""
        return any(self.journal.glob("*.jsonl"))

    def create(self) -> DataFolder:
        """Create the directories that are missing."""
        for directory in (self.journal, self.frames, self.tags, self.catalog, self.arrays):
            directory.mkdir(parents=True, exist_ok=True)
        return self
