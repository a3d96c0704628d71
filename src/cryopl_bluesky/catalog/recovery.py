"""What a session does first: close interrupted runs, and bring into the catalog what is missing there."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cryopl_bluesky.catalog.delivery import RunDelivery
from cryopl_bluesky.catalog.folder import DataFolder
from cryopl_bluesky.catalog.journal import JournalError, JournalRun, append_stop, is_live, read_journal

if TYPE_CHECKING:
    from tiled.client.container import Container

log = logging.getLogger(__name__)

INTERRUPTED = "interrupted: the session ended before the run did"


@dataclass(frozen=True)
class Recovered:
    """What was done about one run.

    Args:
        uid: the run.
        what: `closed` (interrupted, now closed and delivered), `delivered` (was absent or partial in the
            catalog), or `failed`.
        problem: why it failed, empty otherwise; the journal is left as it is.
    """

    uid: str
    what: Literal["closed", "delivered", "failed"]
    problem: str = ""


class DeliveredList:
    """The uids of runs known to be complete in the catalog: a start need not ask for each run ever made.

    Args:
        path: text file, one uid a line; belongs to one catalog and lies with it.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def read(self) -> set[str]:
        """All uids noted."""
        try:
            return set(self.path.read_text(encoding="ascii").split())
        except FileNotFoundError:
            return set()

    def add(self, uid: str) -> None:
        """Note a run; `Feeder(on_delivered=...)` takes this method."""
        with self.path.open("a", encoding="ascii") as file:
            file.write(f"{uid}\n")


def close_interrupted(journal_dir: str | Path, exclude: Collection[str] = ()) -> list[Recovered]:
    """Write a stop document into the journal of each run whose session ended before it did.

    Args:
        journal_dir: directory of the journals.
        exclude: uids to leave alone. Runs being written by any living process are left alone anyway.

    Returns:
        The runs closed, and those whose journal is damaged.
    """
    report: list[Recovered] = []
    for path in sorted(Path(journal_dir).glob("*.jsonl")):
        if path.stem in exclude or _ends_with_stop(path) or is_live(path):
            continue
        try:
            run = read_journal(path)
            if run.stop is None and run.start is not None:
                append_stop(path, _stop_for(run, path))
                report.append(Recovered(path.stem, "closed"))
        except (JournalError, OSError) as error:
            log.warning("recovery: %s", error)
            report.append(Recovered(path.stem, "failed", str(error)))
    return report


def undelivered(
    journal_dir: str | Path,
    client: Container,
    exclude: Collection[str] = (),
    known: DeliveredList | None = None,
) -> list[str]:
    """Uids of closed runs that are absent from, or unfinished in, the catalog; oldest first.

    Args:
        journal_dir: directory of the journals.
        client: Tiled client of the catalog's root.
        exclude: uids to leave alone.
        known: runs that need no question; runs found complete are added to it.
    """
    done = known.read() if known is not None and client.keys().head(1) else set()
    missing: list[tuple[float, str]] = []
    for path in Path(journal_dir).glob("*.jsonl"):
        uid = path.stem
        if uid in done or uid in exclude or not _ends_with_stop(path):
            continue
        if _complete(client, uid):
            if known is not None:
                known.add(uid)
        else:
            missing.append((path.stat().st_mtime, uid))
    return [uid for _, uid in sorted(missing)]


def recover(
    journal_dir: str | Path,
    client: Container,
    exclude: Collection[str] = (),
    known: DeliveredList | None = None,
) -> list[Recovered]:
    """Close interrupted runs and deliver what the catalog lacks; returns when it is done.

    For the owner of the catalog only: another session may be delivering its own last run just now. A session
    that does not want to wait calls `close_interrupted`, and `Feeder.enqueue(undelivered(...))`.

    Args:
        journal_dir: directory of the journals.
        client: Tiled client of the catalog's root.
        exclude: uids of runs to leave alone.
        known: runs known to be complete, see `DeliveredList`.

    Returns:
        One line for each run that something was done about.
    """
    report = {item.uid: item for item in close_interrupted(journal_dir, exclude)}
    for uid in undelivered(journal_dir, client, exclude, known):
        try:
            RunDelivery(Path(journal_dir) / f"{uid}.jsonl", replaces=True).advance(client, period_s=5.0)
        except Exception as error:  # noqa: BLE001 - one damaged run must not keep the others from the catalog
            log.warning("recovery: run %s cannot be delivered: %s", uid[:8], error)
            report[uid] = Recovered(uid, "failed", f"{type(error).__name__}: {error}")
            continue
        report.setdefault(uid, Recovered(uid, "delivered"))
        if known is not None:
            known.add(uid)
    return list(report.values())


def delivered_list(folder: DataFolder) -> DeliveredList:
    """The list that belongs to the catalog of a data folder."""
    return DeliveredList(folder.delivered)


def _complete(client: Container, uid: str) -> bool:
    try:
        return bool(client[uid].metadata.get("stop"))
    except KeyError:
        return False


def _ends_with_stop(path: Path) -> bool:
    """Whether the journal's last line is a stop document; reads only the end of the file."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 20_000))
        tail = file.read()
    return tail.endswith(b"\n") and tail[:-1].rsplit(b"\n", 1)[-1].lstrip().startswith(
        (b'{"name":"stop"', b'{"name": "stop"')
    )


def _stop_for(run: JournalRun, path: Path) -> dict[str, Any]:
    """The stop document that an interrupted run would have got."""
    streams: dict[str, str] = {}
    counts: dict[str, int] = {}
    last = run.start["time"] if run.start else path.stat().st_mtime
    for name, document in run.documents:
        if name == "descriptor":
            streams[document["uid"]] = document["name"]
        elif name in ("event", "event_page"):
            stream = streams[document["descriptor"]]
            rows = 1 if name == "event" else len(document["seq_num"])
            counts[stream] = counts.get(stream, 0) + rows
        when = document.get("time")
        last = max([last, *(when if isinstance(when, list) else [when] if when is not None else [])])
    return {
        "uid": f"{path.stem}-interrupted", "run_start": path.stem, "time": last, "exit_status": "abort",
        "reason": INTERRUPTED, "num_events": counts,
    }
