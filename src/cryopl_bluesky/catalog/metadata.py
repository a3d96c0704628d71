"""`RE.md` that outlives the session, so that scan ids go on counting."""

from __future__ import annotations

import contextlib
import copy
import json
import os
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import filelock

from cryopl_bluesky.catalog.documents import plain


class PersistentMetadata(MutableMapping[str, Any]):
    """A dict kept as one JSON file that is replaced as a whole at each assignment.

    Changing a nested dict in place is not noticed; assign it again.

    Args:
        path: the JSON file; created at the first assignment.

    Raises:
        ValueError: the file exists and is not a JSON object. It is left alone: starting with an empty one
            would number the scans from 1 again.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = filelock.FileLock(f"{self.path}.lock", thread_local=False)
        self._values = self._load()
        self._scan_id_given: int | None = None

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if key == "scan_id" and value == self._scan_id_given:
            return  # the RunEngine stores what next_scan_id gave; another session may be further by now
        with self._lock:
            self._values = {**self._load(), key: value}
            self._save()

    def __delitem__(self, key: str) -> None:
        with self._lock:
            self._values = self._load()
            del self._values[key]
            self._save()

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return copy.deepcopy(self._values, memo)  # the RunEngine copies it at each start, locks cannot be

    def __repr__(self) -> str:
        return f"PersistentMetadata({self._values!r})"

    def next_scan_id(self, metadata: Mapping[str, Any] | None = None) -> int:
        """The next scan id, never given twice even when two sessions share the folder.

        Args:
            metadata: what the RunEngine passes; not used. Give this method as
                `RunEngine(scan_id_source=...)`.
        """
        with self._lock:
            self._values = self._load()
            scan_id = int(self._values.get("scan_id", 0)) + 1
            self._values["scan_id"] = self._scan_id_given = scan_id
            self._save()
            return scan_id

    def _load(self) -> dict[str, Any]:
        with contextlib.suppress(FileNotFoundError):
            try:
                values = json.loads(self.path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise ValueError(
                    f"{self.path} is not readable ({error}); repair it, or remove it to start with scan id 1"
                ) from error
            if not isinstance(values, dict):
                raise ValueError(f"{self.path} does not hold a JSON object")
            return values
        return {}

    def _save(self) -> None:
        temporary = self.path.with_name(f"{self.path.name}.tmp")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(self._values, file, indent=1, default=plain)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)
