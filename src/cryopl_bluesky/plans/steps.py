"""The steps of a series: each measurement at each temperature, with a key by which it is known again."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from cryopl_bluesky.devices.instruments import Instruments
from cryopl_bluesky.drivers.errors import LimitError
from cryopl_bluesky.plans import calibrations, imaging, photon_counting
from cryopl_bluesky.plans.measurement import Measurement, MeasurementPlan

STEPS: Mapping[str, MeasurementPlan[...]] = {
    "widefield_image": imaging.widefield_image,
    "spectral_image": imaging.spectral_image,
    "total_spectrum": imaging.total_spectrum,
    "decay": photon_counting.decay,
    "trpl_map": photon_counting.trpl_map,
    "g2": photon_counting.g2,
    "channel_delay": photon_counting.channel_delay,
    "dark": imaging.dark,
    "irf": calibrations.irf,
    "scale": calibrations.scale,
    "spot": calibrations.spot,
    "wavelength_lines": calibrations.wavelength_lines,
    "laser_power": calibrations.laser_power,
}
"""The plans that may be steps of a series, by name. From `irf` on they need somebody at the microscope."""

_POLICY = r"^(skip|abort|retry\([1-9]\d?\))$"

OnFailure = Annotated[str, Field(pattern=_POLICY)]
"""What happens when a step fails: "skip" it, "abort" the night, or "retry(n)": up to n times more, then skip."""

DEFAULT_ON_FAILURE = "retry(1)"


@dataclass(frozen=True)
class SeriesStep:
    """One measurement at one temperature.

    Attributes:
        index: place in the series, from 0.
        temperature_K: set point.
        plan: name of the plan, see `STEPS`.
        arguments: the plan's arguments as the recipe gives them.
        on_failure: see `OnFailure`.
        key: what is measured, as a short hash; the same in every series that measures the same of the same sample.
        measurement: what the step will do.
    """

    index: int
    temperature_K: float
    plan: str
    arguments: dict[str, Any]
    on_failure: str
    key: str
    measurement: Measurement

    @property
    def retries(self) -> int:
        """How often the step is tried again after a failure."""
        return retries_of(self.on_failure)


def retries_of(on_failure: str) -> int:
    """The n of "retry(n)", 0 for the other policies."""
    found = re.fullmatch(r"retry\((\d+)\)", on_failure)
    return int(found[1]) if found else 0


def check_policy(name: str, value: str) -> None:
    """Refuse a policy that does not exist.

    Raises:
        LimitError: names the policies.
    """
    if not re.match(_POLICY, value):
        raise LimitError("temperature_series", f"{name}={value!r} does not exist",
                         "choose skip, abort or retry(n) with n from 1 to 99")


def series_steps(
    ins: Instruments, temperatures_K: Sequence[float], steps: Sequence[Mapping[str, Any]], sample: str = ""
) -> list[SeriesStep]:
    """All steps of a series in their order, checked against the instruments; nothing moves.

    Args:
        ins: the instruments.
        temperatures_K: set points, in the order of the night.
        steps: for each measurement its `plan`, that plan's arguments, and `on_failure` when it is not the default.
        sample: name of the sample, a part of the keys.

    Raises:
        LimitError: a temperature, plan or argument that cannot be.
    """
    if not temperatures_K or not steps:
        raise LimitError("temperature_series", "there are no temperatures or no steps", "name at least one of each")
    for temperature_K in temperatures_K:
        ins.cryostat.check_value(temperature_K)
    parts = [_parts(step) for step in steps]
    described = [STEPS[plan].describe(ins, **arguments) for plan, arguments, _ in parts]
    seen: Counter[str] = Counter()
    found: list[SeriesStep] = []
    for temperature_K in temperatures_K:
        for (plan, arguments, on_failure), description in zip(parts, described, strict=True):
            excitation = description.measurement.excitation
            key = _hash({
                "temperature_K": float(temperature_K), "plan": plan, "sample": sample,
                "arguments": description.arguments,
                "excitation": None if excitation is None else [
                    excitation.repetition_rate_Hz, excitation.intensity_permille
                ],
            })
            seen[key] += 1
            # The same step once more, as on the way down again, is another step.
            unique = key if seen[key] == 1 else f"{key}-{seen[key]}"
            found.append(SeriesStep(
                len(found), float(temperature_K), plan, arguments, on_failure, unique, description.measurement
            ))
    return found


def _parts(step: Mapping[str, Any]) -> tuple[str, dict[str, Any], str]:
    arguments = dict(step)
    plan = arguments.pop("plan", None)
    on_failure = arguments.pop("on_failure", DEFAULT_ON_FAILURE)
    if plan not in STEPS:
        raise LimitError("temperature_series", f"plan={plan!r} does not exist", f"choose one of {', '.join(STEPS)}")
    check_policy("on_failure", on_failure)
    return plan, arguments, on_failure


def _hash(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
