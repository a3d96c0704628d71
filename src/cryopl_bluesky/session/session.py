"""A session: everything that is open while a user works."""

from __future__ import annotations

import atexit
import contextlib
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bluesky import RunEngine
from bluesky.preprocessors import SupplementalData

from cryopl_bluesky.catalog.access import Catalog, CatalogUnreachableError, check_place, open_catalog
from cryopl_bluesky.catalog.folder import DataFolder
from cryopl_bluesky.catalog.journal import Journal
from cryopl_bluesky.catalog.metadata import PersistentMetadata
from cryopl_bluesky.catalog.profile import write_tiled_profile
from cryopl_bluesky.catalog.recovery import Recovered, close_interrupted, delivered_list, undelivered
from cryopl_bluesky.catalog.results import store_result
from cryopl_bluesky.catalog.writer import Feeder
from cryopl_bluesky.config import Profile
from cryopl_bluesky.drivers.operator import ConsoleOperator, Operator
from cryopl_bluesky.session.connect import connect
from cryopl_bluesky.session.lab import open_lab
from cryopl_bluesky.session.memory import share_memory_pools
from cryopl_bluesky.session.provenance import Provenance
from cryopl_bluesky.session.validation import validate_first_events_only
from cryopl_bluesky.supervision.guard_reports import note_opening, take_reports
from cryopl_bluesky.supervision.hold_up import HoldUp
from cryopl_bluesky.supervision.interlocks import ClockInterlock, DiskInterlock, TemperatureInterlock
from cryopl_bluesky.supervision.notify import Notifier
from cryopl_bluesky.supervision.outliving import OutlivingGuard, wait_until_done
from cryopl_bluesky.supervision.safe_state import SafeStateKeeper, make_safe

if TYPE_CHECKING:
    from tiled.client.container import Container

log = logging.getLogger(__name__)

DELIVERY_TIMEOUT_S = 60.0


class Session:
    """Opens a profile on a data folder; close it, or use it as a context manager.

    The catalog opens in the background once the instruments are connected (importing Tiled takes seconds). Nothing
    waits for it but who asks for it: the documents go to the journal first, and from there to the catalog when it is
    there.

    Args:
        profile: which microscope.
        data_dir: folder of the data.
        operator: who is asked about parts that are moved by hand.

    Attributes:
        instruments: the devices.
        disk: whether there is room.
        interlocks: holds up runs while something is not in order: the disk, the temperature.
        provenance: names the calibrations of each measurement in its start document.
        notifier: tells people who are not here what happened.
        RE: the RunEngine; its documents are in the journal before anything else sees them.
        recovered: runs of earlier sessions that were closed as interrupted.
        guard_reports: what was done to make the instruments safe after earlier sessions that did not end in order.
        guard: the process that does so after this one.
        lab: the virtual lab when the profile has a bench, else None.

    Raises:
        CatalogMovedError: the data folder was moved or copied after its catalog was made.
        ConnectionFailedError: names every instrument that could not be reached, and the remedy.
    """

    def __init__(self, profile: Profile, data_dir: str | Path, operator: Operator | None = None):
        share_memory_pools()
        self.profile = profile
        self.folder = DataFolder.at(data_dir).create()
        check_place(self.folder)
        self._closed = False
        note_opening(self.folder.guard_reports)  # a guard that is still trying leaves the instruments to this session
        wait_until_done(self.folder.guard_lock)
        with contextlib.ExitStack() as undo:
            # First, because it imports for seconds: on another core while the instruments connect.
            self.guard = OutlivingGuard(
                "cryopl_bluesky.session.guard_process", str(self.folder.root), first_line=profile.model_dump_json(),
                log_path=self.folder.guard_log,
            )
            undo.callback(self.guard.close)
            self._lab = open_lab(profile, self.folder.bench)
            undo.callback(self._lab.close)
            self.lab, self.clock = self._lab.virtual, self._lab.clock
            self.instruments = connect(
                profile, self._lab.vendors, self.clock, self.folder.root, operator or ConsoleOperator(self.clock)
            )
            undo.pop_all()
        self.guard_reports = take_reports(self.folder.guard_reports)
        self.instruments.laser.ask_before_light(self.guard.check)
        atexit.register(self.close)
        self._background = ThreadPoolExecutor(max_workers=1, thread_name_prefix="open-catalog")
        self._catalog: Future[Catalog] = self._background.submit(open_catalog, self.folder)
        self._delivered = delivered_list(self.folder)
        self.feeder = Feeder(
            self.folder.journal, lambda: self.catalog.connect(), on_delivered=self._delivered.add
        )
        self.journal = Journal(self.folder.journal, self.feeder.notify)
        self.notifier = Notifier(profile.notify)
        self.disk = DiskInterlock(self.folder.root, profile.disk.reserve_MB)
        self.interlocks = HoldUp(
            (self.disk, TemperatureInterlock(self.instruments.cryostat), ClockInterlock()), self.instruments, self._tell
        )
        self.provenance = Provenance(
            profile.calibration.max_age_days.model_dump(), self._say, nothing_before=not self.folder.has_runs()
        )
        self._metadata = PersistentMetadata(self.folder.metadata)
        self.RE = self._run_engine()
        self.recovered: list[Recovered] = close_interrupted(self.folder.journal)
        self._background.submit(self.provenance.look_up, lambda: self.catalog.client)
        self._background.submit(self._deliver_what_is_missing)

    def _run_engine(self) -> RunEngine:
        validate_first_events_only()
        engine = RunEngine(
            self._metadata,  # pyright: ignore[reportArgumentType] - any mutable mapping serves
            scan_id_source=self._metadata.next_scan_id,
        )
        engine.md["profile"] = self.profile.name
        engine.subscribe(self.journal)
        ins = self.instruments
        baseline = [ins.spectrograph, ins.laser, ins.l1_flip, ins.l5_flip, ins.microscope]
        engine.preprocessors.append(SupplementalData(baseline=baseline))
        engine.preprocessors.append(self.interlocks)
        engine.preprocessors.append(self.provenance)
        keeper = SafeStateKeeper(self.instruments)
        engine.subscribe(keeper.watch_documents)
        engine.subscribe(self.provenance.watch_documents)
        engine.subscribe(self.notifier.watch_documents)
        engine.state_hook = keeper  # pyright: ignore[reportAttributeAccessIssue] - bluesky types it as None
        return engine

    def _tell(self, interlock: str, text: str) -> None:
        """Say something that the user should know now, at the prompt or above the progress of a night."""
        print(text, flush=True)
        log.warning(text)
        self.notifier.send("disk" if interlock == "disk" else "trip", f"Interlock: {interlock}", text)

    def _say(self, text: str) -> None:
        """Say something that the user should know now, at the prompt or above the progress of a night."""
        print(text, flush=True)
        log.info(text)

    def calibrations(self) -> None:
        """Print the calibrations that this session knows, by kind, newest first."""
        from rich.console import Console

        from cryopl_bluesky.catalog.calibrations import KINDS
        from cryopl_bluesky.session.tables import calibrations_table

        Console().print(calibrations_table([run for kind in KINDS for run in self.provenance.known(kind)]))

    def store_result(
        self, analysis: str, result: Any, sources: Sequence[str], md: Mapping[str, Any] | None = None
    ) -> str:
        """Keep the result of an analysis as a run linked to its sources; see `catalog.results.store_result`.

        Args:
            analysis: name of the analysis, for example `line_fit`.
            result: dict or dataclass of values, errors and units.
            sources: uids of the runs that it comes from.
            md: more keys for the start document.

        Returns:
            Uid of the run.

        Raises:
            NotStorableError: no sources, or a value that JSON does not know.
        """
        journal = Journal(self.folder.journal, self.feeder.notify)  # of its own: a plan may be writing to the other
        return store_result(journal, analysis, result, sources, scan_id=self._metadata.next_scan_id(), md=md)

    def _deliver_what_is_missing(self) -> None:
        try:
            write_tiled_profile(self.folder)
            catalog = self.catalog
            if not catalog.owner:
                return  # the owner's feeder may be finishing these very runs
            client = catalog.client
            self.feeder.enqueue(
                undelivered(self.folder.journal, client, self.journal.open_runs, self._delivered)
            )
        except Exception as error:  # noqa: BLE001 - on a background thread: said in the log, tried at the next start
            log.warning("runs of earlier sessions are not in the catalog yet: %s", error)

    @property
    def catalog(self) -> Catalog:
        """The open catalog (waits until it is open)."""
        return self._catalog.result()

    @property
    def cat(self) -> Container:
        """Tiled client of all runs, newest last: `cat[-1]`, `cat.search(...)`; waits until the catalog is open."""
        return self.catalog.connect()

    def catch_up(self, timeout_s: float = DELIVERY_TIMEOUT_S) -> None:
        """Wait until the catalog holds all that is in the journal, runs of earlier sessions included.

        Raises:
            CatalogUnreachableError: it does not within `timeout_s`; nothing is lost.
        """
        self._background.submit(lambda: None).result()  # behind the delivery of what was missing at the start
        if not self.feeder.wait_until_delivered(timeout_s):
            raise CatalogUnreachableError(f"the catalog is behind: {self.feeder.status()}; all is in the journal")

    def close(self) -> None:
        """Make the instruments safe, deliver the last documents, close everything. May be called twice."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        not_safe = make_safe(self.instruments)
        for problem in not_safe.values():
            print(f"NOT SAFE: {problem}; the guard goes on trying, look yourself as well", flush=True)
        for what in self.instruments.microscope.left_by_hand():
            self._say(f"Before you go: {what}; the next session takes it to be as the profile says.")
        self.journal.close()
        if not self.feeder.close(DELIVERY_TIMEOUT_S):
            log.warning("the catalog is behind; the next session delivers the rest from %s", self.folder.journal)
        for instrument in self.instruments:
            try:
                instrument.shutdown()
            except Exception as error:  # noqa: BLE001 - the others must still be closed; all are safe already
                log.warning("%s did not close cleanly: %s", instrument.name, error)
        self._background.shutdown(wait=True)
        if self._catalog.exception() is None:
            self._catalog.result().close()
        self.notifier.wait()
        self._lab.close()
        self.guard.close(take_over=bool(not_safe))

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def namespace(self) -> dict[str, Any]:
        """The names for a prompt: `RE`, `cat`, the devices, the plans and the usual Bluesky modules."""
        from bluesky import plan_stubs as bps
        from bluesky import plans as bp

        from cryopl_bluesky.session.namespace import LazyCatalog, bound_plans, device_names

        return {
            "session": self, "RE": self.RE, "cat": LazyCatalog(lambda: self.cat), "bp": bp, "bps": bps, "mv": bps.mv,
            **device_names(self.instruments), **bound_plans(self.instruments),
        }
