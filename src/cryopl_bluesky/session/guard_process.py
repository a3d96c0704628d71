"""What the process of the guard that outlives the session does; started by `Session` alone.

It reads the profile and then the heartbeat from its standard input, and acts when that stops: it opens the laser and
the spectrograph of the profile, each on its own, locks the one and closes the other, and writes down what it did.

The vendors' libraries serve one process at a time. When the session's process is gone, the operating system has
closed its devices; when it merely hangs, it may keep them, and then the report says which could not be opened.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Collection

import filelock

from cryopl_bluesky.catalog.folder import DataFolder
from cryopl_bluesky.clock import SystemClock
from cryopl_bluesky.config import Profile
from cryopl_bluesky.devices.base import Instrument
from cryopl_bluesky.drivers.operator import ConsoleOperator
from cryopl_bluesky.drivers.vendors import import_now
from cryopl_bluesky.session.connect import light_path
from cryopl_bluesky.session.lab import open_lab
from cryopl_bluesky.supervision.guard_reports import GuardReport, add_report, opened_since
from cryopl_bluesky.supervision.heartbeat import GONE, NOT_SAFE, Heartbeat
from cryopl_bluesky.supervision.outliving import ACTING_TIMEOUT_S, READY
from cryopl_bluesky.supervision.safe_state import make_safe

log = logging.getLogger(__name__)

_TRY_AGAIN_S = 5.0
_KEEP_TRYING_S = 900.0
"""Long enough for a cable to be plugged in again, real seconds."""


class _LeftBehind:
    """An instrument as the session left it: it is opened, made safe and let go.

    Args:
        name: name for messages.
        open_it: opens it.
    """

    def __init__(self, name: str, open_it: Callable[[], Instrument]):
        self.name, self._open = name, open_it
        self.safe_s: float | None = None

    def make_safe(self) -> None:
        instrument = self._open()
        try:
            instrument.make_safe()
            self.safe_s = time.monotonic()
        finally:
            instrument.shutdown()


class LightPathGuard:
    """Makes laser and light path safe.

    Args:
        profile: which ones and how to reach them.
        folder: data folder of the session; gets the reports.
    """

    def __init__(self, profile: Profile, folder: DataFolder):
        self._profile, self._folder = profile, folder

    def get_ready(self) -> None:
        """Import and compute ahead what acting needs."""
        import_now()
        if self._profile.bench is not None:
            open_lab(self._profile).close()

    def act(self, cause: str) -> None:
        """Open the instruments, make them safe, and write down what was done.

        When no session has them any more, one that does not answer (its cable is out) is tried again, for
        `_KEEP_TRYING_S` or until the next session takes over.

        Args:
            cause: why, for the report.
        """
        clock, time_s, begin_s = SystemClock(), time.time(), time.monotonic()
        safe_after_s, problems = self._attempt(begin_s)
        self._report(GuardReport(time_s, cause, safe_after_s, list(problems.values())))
        if cause not in (GONE, NOT_SAFE):
            return
        if self._profile.laser.driver == "manual":
            problems.pop("laser", None)  # needs somebody, who will be asked by the next session
        while problems and time.monotonic() - begin_s < _KEEP_TRYING_S:
            clock.sleep(_TRY_AGAIN_S)
            if opened_since(self._folder.guard_reports, time_s):
                return
            safe_after_s, problems = self._attempt(begin_s, only=problems)
            if safe_after_s:
                self._report(GuardReport(time_s, cause, safe_after_s, list(problems.values())))

    def _attempt(
        self, begin_s: float, only: Collection[str] | None = None
    ) -> tuple[dict[str, float], dict[str, str]]:
        """Try once; returns what is safe, and how long after `begin_s` it was, and what is not, and why."""
        with filelock.FileLock(self._folder.guard_lock), open_lab(self._profile, self._folder.bench) as lab:
            operator = ConsoleOperator(lab.clock)  # without a terminal: refuses to be asked
            to_open = light_path(self._profile, lab.vendors, lab.clock, operator)
            left = [_LeftBehind(name, open_it) for name, open_it in to_open.items() if only is None or name in only]
            problems = make_safe(left, ACTING_TIMEOUT_S)
        safe_after_s = {one.name: round(one.safe_s - begin_s, 3) for one in left if one.safe_s is not None}
        return safe_after_s, problems

    def _report(self, report: GuardReport) -> None:
        add_report(self._folder.guard_reports, report)
        log.warning("%s", report)


def main(root: str) -> None:
    """Guard the session at the other end of the standard input until it ends.

    Args:
        root: data folder of the session.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    profile = Profile.model_validate_json(sys.stdin.buffer.readline())
    heartbeat = Heartbeat(sys.stdin.buffer)
    guard = LightPathGuard(profile, DataFolder.at(root))
    guard.get_ready()
    sys.stdout.buffer.write(READY + b"\n")
    sys.stdout.flush()
    heartbeat.watch(profile.supervision.silence_s, guard.act)


if __name__ == "__main__":
    main(sys.argv[1])
