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
from collections.abc import Callable

import filelock

from cryopl_bluesky.catalog.folder import DataFolder
from cryopl_bluesky.config import Profile
from cryopl_bluesky.devices.base import Instrument
from cryopl_bluesky.drivers.operator import ConsoleOperator
from cryopl_bluesky.drivers.vendors import import_now
from cryopl_bluesky.session.connect import light_path
from cryopl_bluesky.session.lab import open_lab
from cryopl_bluesky.supervision.guard_reports import GuardReport, add_report
from cryopl_bluesky.supervision.heartbeat import Heartbeat
from cryopl_bluesky.supervision.outliving import ACTING_TIMEOUT_S, READY
from cryopl_bluesky.supervision.safe_state import make_safe

log = logging.getLogger(__name__)


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

    def act(self, cause: str) -> GuardReport:
        """Open the instruments, make them safe, and write down what was done.

        Args:
            cause: why, for the report.
        """
        time_s, begin_s = time.time(), time.monotonic()
        with filelock.FileLock(self._folder.guard_lock), open_lab(self._profile, self._folder.bench) as lab:
            operator = ConsoleOperator(lab.clock)  # without a terminal: refuses to be asked
            to_open = light_path(self._profile, lab.vendors, lab.clock, operator)
            left = [_LeftBehind(name, open_it) for name, open_it in to_open.items()]
            problems = make_safe(left, ACTING_TIMEOUT_S)
            safe_after_s = {one.name: round(one.safe_s - begin_s, 3) for one in left if one.safe_s is not None}
            report = GuardReport(time_s, cause, safe_after_s, problems)
            add_report(self._folder.guard_reports, report)
        log.warning("%s", report)
        return report


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
