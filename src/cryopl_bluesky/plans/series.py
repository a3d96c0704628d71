"""A night: the same steps at one temperature after another, and what happens when one of them fails."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import FailedStatus, Msg, MsgGenerator

from cryopl_bluesky.devices.instruments import Instruments
from cryopl_bluesky.devices.settle_rule import SettleError
from cryopl_bluesky.drivers.errors import InstrumentError
from cryopl_bluesky.plans.beam_path import leave_safe
from cryopl_bluesky.plans.steps import STEPS, SeriesStep, check_policy, retries_of, series_steps

log = logging.getLogger(__name__)

FOREIGN_HANDS = ("foreign_change", "insane", "device_error", "not_applied", "stopped")
"""Reasons not to settle after which no other set point is tried: somebody, or something, has to look first."""


def temperature_series(
    ins: Instruments,
    temperatures_K: Sequence[float],
    steps: Sequence[Mapping[str, Any]],
    sample: Mapping[str, Any] | None = None,
    recipe: str = "",
    on_unsettled: str = "skip",
    series_uid: str = "",
    done: Collection[str] = (),
    md: dict[str, Any] | None = None,
) -> MsgGenerator[list[str]]:
    """Settle at each temperature and run all steps there; each step is a run of its own.

    All steps are checked against the instruments before the first set point is sent. A temperature that has left its
    band between two steps is settled again first. A step that fails is treated as
    its `on_failure` says; whatever failed is a run that says why. The cryostat is left controlling at the last
    temperature.

    Args:
        ins: the instruments.
        temperatures_K: set points, in the order of the night.
        steps: for each step its `plan` (a name of `STEPS`), that plan's arguments, and `on_failure`: "retry(n)"
            (up to n times more, then skip; the default is once), "skip", or "abort" for the whole series.
        sample: what is under the objective, at least its `name`.
        recipe: name of the recipe, recorded with every run.
        on_unsettled: the same for a temperature that does not settle; all its steps are skipped with it.
        series_uid: of the series that is resumed; "" begins a new one.
        done: keys of steps that are not measured (again); a temperature with no other steps is not visited.
        md: more keys for every start document.

    Returns:
        The uids of the runs that succeeded.

    Raises:
        LimitError: a temperature, plan or argument that cannot be; nothing has moved.
    """
    check_policy("on_unsettled", on_unsettled)
    sample = dict(sample or {})
    planned = series_steps(ins, temperatures_K, steps, sample.get("name", ""))
    series = {
        "uid": series_uid or str(uuid.uuid4()), "recipe": recipe, "of": len(planned),
        "temperatures_K": [float(value) for value in temperatures_K], "steps": [dict(step) for step in steps],
        "keys": [step.key for step in planned],
    }
    common = {**(md or {}), "series": series, **({"sample": sample} if sample else {})}
    return _Night(ins, common, on_unsettled, [step for step in planned if step.key not in done]).plan()


class _Night:
    """The course of a series.

    Args:
        ins: the instruments.
        common: what the start documents of all steps share.
        on_unsettled: policy for a temperature that does not settle.
        steps: what is to be measured.
    """

    def __init__(self, ins: Instruments, common: dict[str, Any], on_unsettled: str, steps: list[SeriesStep]):
        self._ins, self._common, self._on_unsettled, self._steps = ins, common, on_unsettled, steps
        self._uids: list[str] = []

    def plan(self) -> MsgGenerator[list[str]]:
        """All temperatures, and a safe end."""
        yield from bpp.finalize_wrapper(self._temperatures(), lambda: leave_safe(self._ins))
        return self._uids

    def _temperatures(self) -> MsgGenerator[None]:
        for temperature_K, steps in _by_temperature(self._steps):
            if not (yield from self._settled(steps[0])):
                continue
            for step in steps:
                if not self._ins.cryostat.holds(temperature_K):
                    log.warning("the temperature has left its band at %g K; it is settled again", temperature_K)
                    if not (yield from self._settled(step)):
                        break
                metadata = self._metadata(step.plan, step)
                yield from self._attempt(
                    lambda s=step, m=metadata: self._measure(s, m), step.on_failure, step.plan, metadata
                )

    def _settled(self, step: SeriesStep) -> MsgGenerator[bool]:
        """Go to the temperature of a step; returns whether it is settled there."""
        def settle() -> MsgGenerator[None]:
            yield from bps.abs_set(self._ins.cryostat, step.temperature_K, wait=True)  # pyright: ignore

        return (yield from self._attempt(settle, self._on_unsettled, "settle", self._metadata("settle", step)))

    def _metadata(self, what: str, step: SeriesStep) -> dict[str, Any]:
        series = {**self._common["series"], "step": what, "index": step.index}
        if what == step.plan:
            series["key"] = step.key
        return {**self._common, "series": series, "temperature_K": step.temperature_K}

    def _measure(self, step: SeriesStep, metadata: dict[str, Any]) -> MsgGenerator[None]:
        self._uids.append((yield from STEPS[step.plan](self._ins, **step.arguments, md=metadata)))

    def _attempt(
        self, make: Callable[[], MsgGenerator[None]], policy: str, what: str, metadata: dict[str, Any]
    ) -> MsgGenerator[bool]:
        """Do something as often as its policy allows; returns whether it succeeded.

        Raises:
            InstrumentError: it did not, and the policy, or what is wrong, ends the series.
        """
        for attempts_left in range(retries_of(policy), -1, -1):
            runs = _OpenRuns()
            try:
                yield from bpp.msg_mutator(make(), runs)
                return True
            except (InstrumentError, FailedStatus) as error:
                problem = cause_of(error)
                yield from leave_safe(self._ins)
                yield from self._record(problem, runs, what, metadata)
                if policy == "abort" or (isinstance(problem, SettleError) and problem.reason in FOREIGN_HANDS):
                    raise
                log.warning("%s at %g K failed: %s; %s", what, metadata["temperature_K"], problem,
                            f"{attempts_left} more attempts" if attempts_left else "it is skipped")
        return False

    def _record(
        self, problem: Exception, runs: _OpenRuns, what: str, metadata: dict[str, Any]
    ) -> MsgGenerator[None]:
        """See to it that there is one failed run that says what went wrong."""
        reason = str(problem)
        if runs.open:
            yield from bps.close_run(exit_status="fail", reason=reason)
        elif not runs.number:  # it failed before its run began
            start = {"plan_name": what, "measurement": what, "optics": None, "excitation": None, **metadata}
            try:
                yield from bps.open_run(start)
            except (InstrumentError, FailedStatus) as error:
                log.warning("the state of the instruments is not recorded: %s", cause_of(error))
            yield from bps.close_run(exit_status="fail", reason=reason)


class _OpenRuns:
    """Counts the runs that a plan opens and closes; a mutator of messages that changes none."""

    def __init__(self) -> None:
        self.number = 0
        self.open = False

    def __call__(self, msg: Msg) -> Msg:
        if msg.command == "open_run":
            self.number, self.open = self.number + 1, True
        elif msg.command == "close_run":
            self.open = False
        return msg


def cause_of(error: Exception) -> Exception:
    """What an instrument said, out of what the RunEngine makes of it."""
    cause = error.__cause__ if isinstance(error, FailedStatus) else None
    return cause if isinstance(cause, Exception) else error


def _by_temperature(steps: Sequence[SeriesStep]) -> Iterator[tuple[float, list[SeriesStep]]]:
    for temperature_K, group in groupby(steps, key=lambda step: step.temperature_K):
        yield temperature_K, list(group)
