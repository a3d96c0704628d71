"""The feeder: brings journals into the catalog on a thread of its own and never raises into a plan.

It keeps no documents in memory. What a run still owes the catalog is read from the run's journal when the
catalog answers; until then only the names of the runs wait.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryopl_bluesky.catalog.delivery import RunDelivery

if TYPE_CHECKING:
    from tiled.client.container import Container

log = logging.getLogger(__name__)

#: Longest pause between two attempts, in seconds.
LONGEST_BACK_OFF_S = 30.0


@dataclass(frozen=True)
class FeederStatus:
    """How far the catalog is behind the journal.

    Args:
        pending_runs: runs that are not complete in the catalog, running ones included.
        pending_documents: documents on disk that the catalog does not show yet.
        last_error: why the last attempt failed, None when all is well.
    """

    pending_runs: int
    pending_documents: int
    last_error: str | None


@dataclass
class _Pending:
    """A run on its way, with the count of its documents on disk and the state of its back-off."""

    delivery: RunDelivery
    documents: int = 0
    ended: bool = False
    failures: int = 0
    not_before: float = 0.0
    error: str | None = None


class Feeder:
    """Feeds the catalog from the journal. Give `notify` to `Journal` as its listener.

    Args:
        journal_directory: where the journals are.
        connect: returns a client of the catalog's root, or raises; called on the feeder's thread, again after
            each failure. So the feeder can be started before the server is.
        period_s: rows and frames of a running measurement are shown in the catalog about this often (real
            seconds: this is about the network, not about the experiment's clock).
        on_delivered: told the uid of each run that is complete in the catalog, on the feeder's thread.
    """

    def __init__(
        self,
        journal_directory: str | Path,
        connect: Callable[[], Container],
        *,
        period_s: float = 0.5,
        on_delivered: Callable[[str], None] | None = None,
    ):
        self._directory = Path(journal_directory)
        self._connect = connect
        self._period_s = period_s
        self._on_delivered = on_delivered
        self._pending: dict[str, _Pending] = {}
        self._changed = threading.Condition()
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._closing = False
        self._client: Container | None = None
        self._thread = threading.Thread(target=self._run, name="catalog-feeder", daemon=True)
        self._thread.start()

    def notify(self, uid: str, name: str) -> None:
        """A document of kind `name` of the run `uid` is on disk now. Returns at once, never raises."""
        with self._changed:
            run = self._pending.get(uid)
            if run is None:
                run = self._pending[uid] = _Pending(self._delivery(uid, replaces=name != "start"))
            run.documents += 1
            run.ended = run.ended or name == "stop"
        if name == "stop":
            self._hurry.set()
        self._wake.set()

    def enqueue(self, uids: Iterable[str]) -> None:
        """Deliver runs that lie in the journal from earlier; what the catalog holds of them is replaced."""
        for uid in uids:
            path = self._directory / f"{uid}.jsonl"
            with path.open("rb") as file:
                documents = sum(line.endswith(b"\n") for line in file)
            with self._changed:
                delivery = self._delivery(uid, replaces=True)
                self._pending.setdefault(uid, _Pending(delivery, documents, ended=True))
        self._now()

    def status(self) -> FeederStatus:
        """How far behind the catalog is, and why."""
        with self._changed:
            runs = list(self._pending.values())
            behind = [run.documents - run.delivery.documents_delivered for run in runs]
            return FeederStatus(
                pending_runs=len(runs),
                pending_documents=sum(max(0, documents) for documents in behind),
                last_error=next((run.error for run in runs if run.error), None),
            )

    def wait_until_delivered(self, timeout_s: float, *, skip_failing: bool = False) -> bool:
        """Wait until everything now in the journal is visible in the catalog.

        Args:
            timeout_s: longest wait, real seconds.
            skip_failing: do not wait for runs whose last attempt failed.

        Returns:
            False when the time was over first; `status()` says why.
        """
        with self._changed:
            wanted = {uid: (run.documents, run.ended) for uid, run in self._pending.items()}
            self._now()
            return self._changed.wait_for(lambda: self._reached(wanted, skip_failing), timeout_s)

    def close(self, timeout_s: float = 30.0) -> bool:
        """Deliver what can be delivered and end the thread. What is left stays in the journal.

        Args:
            timeout_s: longest wait, real seconds.

        Returns:
            Whether everything was delivered.
        """
        self.wait_until_delivered(timeout_s, skip_failing=True)
        self._closing = True
        self._now()
        self._thread.join(5.0)
        return self.status().pending_documents == 0

    def _delivery(self, uid: str, *, replaces: bool) -> RunDelivery:
        return RunDelivery(self._directory / f"{uid}.jsonl", replaces=replaces)

    def _reached(self, wanted: dict[str, tuple[int, bool]], skip_failing: bool) -> bool:
        for uid, (documents, ended) in wanted.items():
            run = self._pending.get(uid)
            if run is None or (skip_failing and run.failures):
                continue
            if ended or run.delivery.documents_delivered < documents:
                return False
        return True

    def _now(self) -> None:
        """Make the thread look at the journals without waiting for its period."""
        self._hurry.set()
        self._wake.set()

    def _run(self) -> None:
        """An event after a pause is shown at once; events that follow each other, once a period."""
        while not self._closing:
            self._wake.wait(self._period_s)
            self._wake.clear()
            self._hurry.clear()
            with self._changed:
                runs = list(self._pending.values())
            for run in runs:
                if self._closing:
                    return
                if time.monotonic() >= run.not_before:
                    self._attempt(run)
            self._hurry.wait(self._period_s)

    def _attempt(self, run: _Pending) -> None:
        """Bring one run as far as its journal reaches; a failure is noted and tried again later."""
        try:
            if run.documents > run.delivery.documents_delivered:
                self._client = self._client or self._connect()
                run.delivery.advance(self._client, period_s=self._period_s, cancelled=lambda: self._closing)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong here must not reach the plan
            self._failed(run, error)
            return
        with self._changed:
            if run.error:
                log.info("catalog: run %s is being written again", run.delivery.uid[:8])
            run.failures, run.error = 0, None
            if run.delivery.complete:
                self._pending.pop(run.delivery.uid)
            self._changed.notify_all()
        if run.delivery.complete:
            self._announce(run.delivery.uid)

    def _announce(self, uid: str) -> None:
        if self._on_delivered is None:
            return
        try:
            self._on_delivered(uid)
        except Exception:
            log.exception("catalog: run %s is delivered, but noting it failed", uid[:8])

    def _failed(self, run: _Pending, error: Exception) -> None:
        self._client = None
        run.delivery.restart()
        with self._changed:
            if run.error is None:
                log.warning("catalog: run %s waits in the journal: %s", run.delivery.uid[:8], error)
            run.failures += 1
            self._changed.notify_all()
            run.error = f"{type(error).__name__}: {error}"
            run.not_before = time.monotonic() + min(LONGEST_BACK_OFF_S, self._period_s * 2.0**run.failures)
