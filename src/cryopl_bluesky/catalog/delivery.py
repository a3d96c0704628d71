"""Writes one run from its journal to Tiled, step by step as the journal grows.

This is the only place that knows private names of `bluesky_tiled_plugins` (it has no public way to flush
before the end of a run): see `_flush`, and `tests/catalog/test_delivery_contract.py`, which fails when they
change.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryopl_bluesky.catalog.columns import ColumnTypes, NotAnIntegerError
from cryopl_bluesky.catalog.journal import iterate_lines

if TYPE_CHECKING:
    from tiled.client.container import Container

#: Rows kept back at most before they are written (a replay of a long journal; live runs flush by time).
ROWS_PER_BATCH = 500


class RunDelivery:
    """The way of one run into the catalog.

    Args:
        path: the run's journal.
        replaces: the catalog may hold a part of this run; remove it first.
    """

    def __init__(self, path: Path, *, replaces: bool):
        self.path = path
        self.uid = path.stem
        self.complete = False
        self.documents_read = 0
        self.documents_delivered = 0
        self._replaces = replaces
        self._offset = 0
        self._float_keys: frozenset[str] = frozenset()
        self._rewritten_for_retries = False
        self._writer: Callable[[str, dict[str, Any]], None] | None = None
        self._run_writer: Any = None

    def advance(
        self, client: Container, *, period_s: float, cancelled: Callable[[], bool] = lambda: False
    ) -> None:
        """Write what the journal holds beyond the last call, and flush.

        Args:
            client: Tiled client of the catalog's root.
            period_s: flush at least this often (real seconds) while there is much to write.
            cancelled: asked between documents; True ends the call early, the rest can follow later.

        Raises:
            Exception: whatever Tiled raises; call `restart` before trying again.
        """
        try:
            self._advance(client, period_s, cancelled)
        except NotAnIntegerError as error:
            self._float_keys |= {error.key}
            self.restart()
            self.advance(client, period_s=period_s, cancelled=cancelled)

    def restart(self) -> None:
        """Begin again at the top of the journal; what the catalog holds of this run is replaced."""
        self._replaces = True
        self._offset = self.documents_read = self.documents_delivered = 0
        self._writer = self._run_writer = None

    def _advance(self, client: Container, period_s: float, cancelled: Callable[[], bool]) -> None:
        writer = self._writer or self._begin(client)
        flushed_at = time.monotonic()
        with self.path.open("rb") as file:
            file.seek(self._offset)
            for name, document in iterate_lines(file, self.path):
                writer(name, document)
                self._offset = file.tell()
                self.documents_read += 1
                if name == "stop":
                    self._finish(client, period_s, cancelled)
                    return
                if cancelled():
                    break
                if time.monotonic() - flushed_at > period_s:
                    self._flush()
                    flushed_at = time.monotonic()
        self._flush()

    def _begin(self, client: Container) -> Callable[[str, dict[str, Any]], None]:
        """A `TiledWriter` for this run alone; the run's remains are removed from the catalog first."""
        from bluesky_tiled_plugins import TiledWriter
        from bluesky_tiled_plugins.writing.tiled_writer import RunNormalizer

        import cryopl_bluesky.catalog.tag_consolidator  # noqa: F401 - registers itself

        if self._replaces:
            remove_run(client, self.uid)
            self._replaces = False
        delivery = self

        class Normalizer(RunNormalizer):
            """Tells the delivery which object TiledWriter made to write the run."""

            def subscribe(self, func: Any, name: Any = "all") -> Any:
                delivery._run_writer = func
                return super().subscribe(func, name)

        writer = TiledWriter(
            client, normalizer=Normalizer, patches=ColumnTypes(self._float_keys).patches,
            batch_size=ROWS_PER_BATCH, max_array_size=0,
        )
        self._writer = writer
        return writer

    def _flush(self) -> None:
        """Write the rows and frames that TiledWriter keeps back; by itself it does so at the end of a run."""
        run = self._run_writer
        if run is None:
            return
        # What is outside first: a reader who sees a row finds its frame.
        for resource in list(run._external_data_cache):
            run._write_external_data(run._external_data_cache.pop(resource))
        for stream, rows in run._internal_data_cache.items():
            if rows:
                run._write_internal_data(rows, desc_node=run._desc_nodes[stream])
                rows.clear()
        self.documents_delivered = self.documents_read

    def _finish(self, client: Container, period_s: float, cancelled: Callable[[], bool]) -> None:
        """The stop document is written: done, unless rows may have been written twice."""
        repeated = any("forcing a retry" in note for note in self._run_writer.notes)
        if repeated and not self._rewritten_for_retries:
            self._rewritten_for_retries = True
            self.restart()
            self._advance(client, period_s, cancelled)
            return
        self.documents_delivered = self.documents_read
        self.complete = True
        self._writer = self._run_writer = None


def remove_run(client: Container, uid: str) -> bool:
    """Remove what the catalog holds of a run; camera frames and time tags (external files) are not touched.

    Returns:
        Whether there was anything.
    """
    if uid not in client:
        return False
    client.delete_contents([uid], recursive=True, external_only=False)
    return True
