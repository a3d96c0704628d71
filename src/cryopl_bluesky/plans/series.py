"""A night: the same steps at one temperature after another."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import MsgGenerator

from cryopl_bluesky.devices.instruments import Instruments
from cryopl_bluesky.drivers.errors import LimitError
from cryopl_bluesky.plans import imaging, photon_counting
from cryopl_bluesky.plans.beam_path import leave_safe

STEPS: Mapping[str, Callable[..., MsgGenerator[str]]] = {
    "widefield_image": imaging.widefield_image,
    "spectral_image": imaging.spectral_image,
    "total_spectrum": imaging.total_spectrum,
    "decay": photon_counting.decay,
    "trpl_map": photon_counting.trpl_map,
    "g2": photon_counting.g2,
    "channel_delay": photon_counting.channel_delay,
    "dark": imaging.dark,
}
"""The plans that may be steps of a series, by name."""


def temperature_series(
    ins: Instruments,
    temperatures_K: Sequence[float],
    steps: Sequence[Mapping[str, Any]],
    sample: Mapping[str, Any] | None = None,
    recipe: str = "",
    md: dict[str, Any] | None = None,
) -> MsgGenerator[list[str]]:
    """Settle at each temperature and run all steps there; each step is a run of its own.

    All steps are checked against the instruments before the first set point is sent. The cryostat is left
    controlling at the last temperature.

    Args:
        ins: the instruments.
        temperatures_K: set points, in the order of the night.
        steps: for each step its `plan` (a name of `STEPS`) and that plan's arguments.
        sample: what is under the objective, at least its `name`.
        recipe: name of the recipe, recorded with every run.
        md: more keys for every start document.

    Returns:
        The uids of the runs.

    Raises:
        LimitError: a temperature, plan or argument that cannot be; nothing has moved.
    """
    _check_series(ins, temperatures_K, steps)
    return _run_series(ins, list(temperatures_K), list(steps), sample, recipe, md or {})


def _check_series(ins: Instruments, temperatures_K: Sequence[float], steps: Sequence[Mapping[str, Any]]) -> None:
    if not temperatures_K or not steps:
        raise LimitError("temperature_series", "there are no temperatures or no steps", "name at least one of each")
    for temperature_K in temperatures_K:
        ins.cryostat.check_value(temperature_K)
    for step in steps:
        _plan_of_step(ins, step, {}).close()


def _plan_of_step(ins: Instruments, step: Mapping[str, Any], md: dict[str, Any]) -> MsgGenerator[str]:
    arguments = dict(step)
    name = arguments.pop("plan", None)
    if name not in STEPS:
        raise LimitError("temperature_series", f"plan={name!r} does not exist", f"choose one of {', '.join(STEPS)}")
    return STEPS[name](ins, **arguments, md=md)


def _run_series(
    ins: Instruments, temperatures_K: list[float], steps: list[Mapping[str, Any]],
    sample: Mapping[str, Any] | None, recipe: str, md: dict[str, Any],
) -> MsgGenerator[list[str]]:
    series_uid = str(uuid.uuid4())
    total = len(temperatures_K) * len(steps)
    uids: list[str] = []

    def night() -> MsgGenerator[None]:
        for temperature_K in temperatures_K:
            yield from bps.abs_set(ins.cryostat, temperature_K, wait=True)  # pyright: ignore[reportArgumentType]
            for step in steps:
                series = {"uid": series_uid, "recipe": recipe, "step": step["plan"], "index": len(uids), "of": total}
                step_md = {**md, "series": series, **({} if sample is None else {"sample": dict(sample)})}
                uids.append((yield from _plan_of_step(ins, step, step_md)))

    yield from bpp.finalize_wrapper(night(), lambda: leave_safe(ins))
    return uids
