"""Every measurement names the calibrations it belongs to, and says what is wrong with them.

A preprocessor of the RunEngine fills the keys `calibration` and `calibration_warnings` of the start documents, because
plans know no catalog. It decides from memory: the catalog is asked once, when the session begins, and the session's own
calibrations are added as they are closed. It never holds a measurement up, but for one case: a plan that begins while
the catalog is still being opened waits for it in the dark, at most until `WAIT_S` after the session began.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bluesky.utils import Msg, MsgGenerator

from cryopl_bluesky.catalog.calibrations import (
    KINDS,
    NEEDED,
    CalibrationRun,
    Finding,
    calibration_of_start,
    calibration_runs,
    choose,
)
from cryopl_bluesky.supervision.preprocess import look_at_each

if TYPE_CHECKING:
    from tiled.client.container import Container

log = logging.getLogger(__name__)

WAIT_S = 15.0
"""Real seconds after the begin of a session within which a plan waits for the first look into the catalog."""
_LOOK_AGAIN_S = 0.05
NOT_KNOWN = "calibrations of earlier sessions are not known: "


class Provenance:
    """Append it to the preprocessors of a RunEngine, and subscribe `watch_documents` to its documents.

    Args:
        max_age_days: from which age on a calibration counts as old, by kind.
        tell: shows a line to the user.
        nothing_before: there are no earlier runs, so the catalog need not be asked.
    """

    def __init__(self, max_age_days: Mapping[str, float], tell: Callable[[str], object], *, nothing_before: bool):
        self._max_age_days, self._tell = dict(max_age_days), tell
        self._earlier: list[CalibrationRun] = []
        self._own: list[CalibrationRun] = []
        self._unknown = "" if nothing_before else "the catalog was not looked into yet"
        self._pending = not nothing_before
        self._until_s = time.monotonic() + WAIT_S
        self._open: dict[str, CalibrationRun] = {}
        self._told: set[tuple[Any, ...]] = set()

    def look_up(self, client: Callable[[], Container]) -> None:
        """Ask the catalog for the calibrations of earlier sessions; for a thread in the background, never raises.

        Args:
            client: gives the Tiled client of the catalog's root; may wait.
        """
        try:
            self._earlier = [run for kind in KINDS for run in calibration_runs(client(), kind)]
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the catalog, measurements go on
            self._unknown = f"the catalog does not answer ({error})"
            log.warning("%s%s", NOT_KNOWN, self._unknown)
        else:
            self._unknown = ""
        self._pending = False

    def watch_documents(self, name: str, document: Mapping[str, Any]) -> None:
        """Take note of the session's own calibrations; they count from their successful end on."""
        if name == "start" and (calibration := calibration_of_start(document)) is not None:
            self._open[calibration.uid] = calibration
        elif name == "stop":
            closed = self._open.pop(document["run_start"], None)
            if closed is not None and document["exit_status"] == "success":
                self._own.append(closed)

    def known(self, kind: str) -> list[CalibrationRun]:
        """The calibrations of a kind that the session knows, newest first."""
        runs = {run.uid: run for run in (*self._earlier, *self._own) if run.kind == kind}
        return sorted(runs.values(), key=lambda run: -run.time)

    def __call__(self, plan: Iterable[Msg]) -> MsgGenerator[Any]:
        """The plan, with the calibrations named in the start documents of measurements."""
        return (yield from look_at_each(plan, self._look))

    def _look(self, msg: Msg) -> MsgGenerator[Msg]:
        if msg.command == "stage":  # before any light
            yield from self._wait()
        elif msg.command == "open_run" and _is_measured(msg.kwargs):
            return msg._replace(kwargs={**msg.kwargs, **self.keys(msg.kwargs)})
        return msg

    def _wait(self) -> MsgGenerator[None]:
        while self._pending and time.monotonic() < self._until_s:
            yield Msg("sleep", None, _LOOK_AGAIN_S)

    def keys(self, start: Mapping[str, Any]) -> dict[str, Any]:
        """The keys that a measurement's start document gets; what is new about them is shown to the user.

        Args:
            start: metadata of the run, with `measurement` and `conditions`.
        """
        measurement = start["measurement"]
        known = {kind: self.known(kind) for kind in NEEDED[measurement]}
        chosen, findings = choose(known, measurement, start["conditions"], self._max_age_days, time.time())
        unknown = [f"{NOT_KNOWN}{self._unknown}"] if self._unknown else []
        self._say(measurement, findings, unknown)
        return {"calibration": chosen, "calibration_warnings": [*unknown, *(finding.text for finding in findings)]}

    def _say(self, measurement: str, findings: list[Finding], unknown: list[str]) -> None:
        """One line for what is missing, one for each other finding; nothing is said twice in a session."""
        new = [finding for finding in findings if finding.key not in self._told]
        self._told.update(finding.key for finding in new)
        lines = [line for line in unknown if (line,) not in self._told]
        self._told.update((line,) for line in unknown)
        if missing := [finding.kind for finding in new if finding.what == "missing"]:
            lines.append(f"there is none of {', '.join(missing)} (docs/calibrating.md)")
        lines.extend(finding.text for finding in new if finding.what != "missing")
        for line in lines:
            self._tell(f"calibration of {measurement}: {line}")


def _is_measured(start: Mapping[str, Any]) -> bool:
    """Whether a run is a measurement that uses calibrations; one that failed before it began states no conditions."""
    return start.get("measurement") in NEEDED and "conditions" in start
