"""The types of the plans' arguments, and what several plans make of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cryopl_bluesky.devices.instruments import Instruments
from cryopl_bluesky.plans.beam_path import Excitation

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
PositiveInt = Annotated[int, Field(ge=1)]
Permille = Annotated[float, Field(ge=0, le=1000)]
Lens = Literal["in", "out"]


class Until(BaseModel):
    """When enough was counted; the first that is reached ends the acquisition.

    Attributes:
        seconds: time of counting.
        photons: clicks of both SPADs together.
        precision: standard error of g2(0), or relative standard error of the mean lifetime.
    """

    model_config = ConfigDict(extra="forbid")

    seconds: Positive | None = None
    photons: PositiveInt | None = None
    precision: Annotated[float, Field(gt=0, lt=1)] | None = None

    @model_validator(mode="after")
    def _name_at_least_one(self) -> Until:
        if self.seconds is None and self.photons is None and self.precision is None:
            raise ValueError("until names none of seconds, photons, precision")
        return self


def excitation_of(ins: Instruments, intensity_permille: float | None, repetition_rate_Hz: float | None) -> Excitation:
    """The laser settings asked for; None = the profile's."""
    return Excitation(
        ins.default_repetition_rate_Hz if repetition_rate_Hz is None else repetition_rate_Hz,
        ins.default_intensity_permille if intensity_permille is None else intensity_permille,
    )


def stop_settings(ins: Instruments, until: Until | None) -> list[tuple[Any, Any]]:
    """The interferometer's settings for `until`, as (quantity, value)."""
    return [
        (ins.hbt.until_s, until.seconds or 0.0 if until else 0.0),
        (ins.hbt.until_photons, until.photons or 0 if until else 0),
        (ins.hbt.until_precision, until.precision or 0.0 if until else 0.0),
    ]
