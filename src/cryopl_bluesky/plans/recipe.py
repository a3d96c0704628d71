"""Recipe files: a night written down in TOML, and the plan it becomes."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from bluesky.utils import MsgGenerator
from pydantic import BaseModel, ConfigDict, Field, create_model

from cryopl_bluesky.devices.instruments import Instruments
from cryopl_bluesky.plans.series import temperature_series
from cryopl_bluesky.plans.steps import DEFAULT_ON_FAILURE, STEPS, OnFailure, SeriesStep, series_steps
from cryopl_bluesky.settings_file import Settings, load_toml


class Sample(Settings):
    """What is under the objective; further keys are recorded as they are.

    Attributes:
        name: the name that queries use.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    name: Annotated[str, Field(min_length=1)]


def _step_model(name: str) -> type[BaseModel]:
    """The plan's arguments plus `plan = "<name>"`, by which TOML tables find their model, and the step's policy."""
    fields: dict[str, Any] = {"plan": (Literal[name], ...), "on_failure": (OnFailure, DEFAULT_ON_FAILURE)}
    return create_model(name, __base__=STEPS[name].arguments, **fields)


Step = Annotated[Union[tuple(_step_model(name) for name in STEPS)], Field(discriminator="plan")]  # noqa: UP007


class Recipe(Settings):
    """A night.

    Attributes:
        name: name of the recipe.
        sample: what is under the objective.
        temperatures_K: set points in the order of the night.
        steps: the measurements at every temperature; each may say what happens `on_failure`.
        on_unsettled: what happens when a temperature does not settle: "skip" it, "abort", or "retry(n)".
    """

    name: str
    sample: Sample
    temperatures_K: Annotated[list[Annotated[float, Field(gt=0, le=400)]], Field(min_length=1)]
    steps: Annotated[list[Step], Field(min_length=1)]  # pyright: ignore[reportInvalidTypeForm]
    on_unsettled: OnFailure = "skip"

    def series_steps(self, ins: Instruments) -> list[SeriesStep]:
        """All steps of the night in their order, checked against the instruments.

        Raises:
            LimitError: something the instruments cannot do.
        """
        return series_steps(ins, self.temperatures_K, self._steps(), self.sample.name)

    def plan(
        self, ins: Instruments, *, series_uid: str = "", done: Collection[str] = (), md: dict[str, Any] | None = None
    ) -> MsgGenerator[list[str]]:
        """The recipe as a plan; checked against the instruments before anything moves.

        Args:
            ins: the instruments.
            series_uid: of the series that is resumed; "" begins a new one.
            done: keys of the steps that are measured already.
            md: more keys for every start document.

        Raises:
            LimitError: something the instruments cannot do.
        """
        return temperature_series(
            ins, self.temperatures_K, self._steps(), self.sample.model_dump(), self.name,
            on_unsettled=self.on_unsettled, series_uid=series_uid, done=done, md=md,
        )

    def _steps(self) -> list[dict[str, Any]]:
        return [step.model_dump(exclude_unset=True) for step in self.steps]


def load_recipe(path: Path) -> Recipe:
    """Load a recipe file.

    Raises:
        ConfigError: with the lines of everything that is wrong.
    """
    return load_toml(path, Recipe)
