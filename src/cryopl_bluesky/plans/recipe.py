"""Recipe files: a night written down in TOML, and the plan it becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Union

from bluesky.utils import MsgGenerator
from pydantic import BaseModel, ConfigDict, Field, create_model

from cryopl_bluesky.devices.instruments import Instruments
from cryopl_bluesky.plans.series import STEPS, temperature_series
from cryopl_bluesky.settings_file import Settings, load_toml


class Sample(Settings):
    """What is under the objective; further keys are recorded as they are.

    Attributes:
        name: the name that queries use.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    name: Annotated[str, Field(min_length=1)]


def _step_model(name: str) -> type[BaseModel]:
    """The plan's arguments plus `plan = "<name>"`, by which TOML tables find their model."""
    return create_model(name, __base__=STEPS[name].arguments, plan=(Literal[name], ...))  # pyright: ignore


Step = Annotated[Union[tuple(_step_model(name) for name in STEPS)], Field(discriminator="plan")]  # noqa: UP007


class Recipe(Settings):
    """A night.

    Attributes:
        name: name of the recipe.
        sample: what is under the objective.
        temperatures_K: set points in the order of the night.
        steps: the measurements at every temperature.
    """

    name: str
    sample: Sample
    temperatures_K: Annotated[list[Annotated[float, Field(gt=0, le=400)]], Field(min_length=1)]
    steps: Annotated[list[Step], Field(min_length=1)]  # pyright: ignore[reportInvalidTypeForm]

    def plan(self, ins: Instruments, md: dict[str, Any] | None = None) -> MsgGenerator[list[str]]:
        """The recipe as a plan; checked against the instruments before anything moves.

        Raises:
            LimitError: something the instruments cannot do.
        """
        steps = [step.model_dump(exclude_unset=True) for step in self.steps]
        return temperature_series(ins, self.temperatures_K, steps, self.sample.model_dump(), self.name, md)


def load_recipe(path: Path) -> Recipe:
    """Load a recipe file.

    Raises:
        ConfigError: with the lines of everything that is wrong.
    """
    return load_toml(path, Recipe)
